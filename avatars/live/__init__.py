"""Motion that leaves as it happens: a module per protocol, each from one frame of a Performance to datagrams."""
