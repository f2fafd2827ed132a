"""Figures of speed and memory: `python -m benchmarks [name ...]` prints one JSON line each.

A figure is a dict of name, value, unit, and, where there is something to compare with, peer, peer_value and ratio (how
many times better ours is). Each module in this folder that has a `figures()` generator is a subject; naming modules on
the command line runs only those.
"""
