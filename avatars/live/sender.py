"""Sending motion to an address: `livelink://host:port`, `osc://host:port` or `vmc://host:port`."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

from avatars.live import live_link, osc
from morphable import Performance

Encoder = Callable[[Performance], list[bytes]]
PROTOCOLS: dict[str, tuple[Encoder, int]] = {
    "livelink": (live_link.encode, 11111),
    "osc": (osc.encode, 9000),
    "vmc": (osc.encode_vmc, 39539),
}
"""How frames are encoded, and the port that is usual."""


@dataclass
class Sender:
    """Sends frames as UDP datagrams; a context manager.

    Raises:
        ValueError: the address is none.
    """

    address: str
    encode: Encoder = field(init=False)
    target: tuple[str, int] = field(init=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.address)
        try:
            self.encode, usual = PROTOCOLS[parts.scheme]
            self.target = parts.hostname or "", parts.port or usual
        except (KeyError, ValueError) as error:
            raise ValueError(f"{self.address!r} is no address; give one as {_examples()}") from error
        if not self.target[0] or parts.path.strip("/"):
            raise ValueError(f"{self.address!r} is no address; give one as {_examples()}")

    def __enter__(self) -> Self:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, moment: Performance) -> None:
        """Send the first frame of `moment`.

        Raises:
            OSError: the host is not known.
        """
        for datagram in self.encode(moment):
            self._socket.sendto(datagram, self.target)


def _examples() -> str:
    return " or ".join(f"{name}://127.0.0.1:{port}" for name, (_, port) in PROTOCOLS.items())
