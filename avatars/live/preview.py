"""A page for the browser of the same computer: what the camera sees, and beside it a head that does what is sent."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

import cv2
import numpy as np
from jaxtyping import UInt8

from avatars.mesh_performer import MeshPerformer, View
from avatars.painting import studio_lights
from morphable import Head, Performance

HEIGHT = 360
"""Pixels of what is shown."""
RATE = 15.0
"""Frames a second at most: the face that is followed needs the processor more."""
QUALITY = 80
"""Of the pictures, as JPEG counts it."""
BACKGROUND = np.full(3, 0.08)
"""Linear grey behind the head."""
LOOPBACK = "127.0.0.1"
NAMES = (LOOPBACK, "localhost")
"""Under which the page answers; by another name a page from elsewhere might read along."""
BOUNDARY = "frame"
PAGE = b"""<!doctype html><title>face3d live</title>
<body style="margin:0;background:#222;display:grid;place-items:center;height:100vh">
<img src="/stream" alt="the camera, and the head" style="max-width:100%">"""


@dataclass(frozen=True)
class _Shown:
    moment: Performance
    pixels: UInt8[np.ndarray, "height width 3"]


class Preview:
    """Serves the page on the loopback address while its `with` block runs. Nothing is drawn while nobody looks.

    Args:
        head: what plays the motion.
        port: 0 for any that is free.

    Raises:
        ValueError: the port cannot be had.
    """

    def __init__(self, head: Head, port: int = 0) -> None:
        self._performer = MeshPerformer(head, 2 * HEIGHT)
        self._camera = View(size=(HEIGHT, HEIGHT)).camera(head, 0)
        self._lights = studio_lights()
        self._news, self._drawing = threading.Condition(), threading.Lock()
        self._shown: _Shown | None = None
        self._open = True
        handler = type("Handler", (_Handler,), {"preview": self})
        try:
            self._server = ThreadingHTTPServer((LOOPBACK, port), handler)
        except (OSError, OverflowError) as error:
            raise ValueError(f"port {port} cannot be had for the preview; give another, or 0 for any") from error
        self._server.daemon_threads = True

    @property
    def address(self) -> str:
        return f"http://{LOOPBACK}:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._news:
            self._open = False
            self._news.notify_all()
        self._server.shutdown()
        self._server.server_close()

    def show(self, moment: Performance, pixels: UInt8[np.ndarray, "height width 3"]) -> None:
        """The first frame of a performance, and the picture it was seen in, sRGB."""
        with self._news:
            self._shown = _Shown(moment, pixels)
            self._news.notify_all()

    def next_after(self, last: _Shown | None) -> _Shown | None:
        """What is shown when it is no longer `last`; None when the preview has ended."""
        with self._news:
            self._news.wait_for(lambda: not self._open or self._shown is not last)
            return self._shown if self._open else None

    def drawn(self, shown: _Shown) -> bytes:
        """As JPEG: the picture, and the head beside it."""
        height, width = shown.pixels.shape[:2]
        size = (max(1, round(width * HEIGHT / height)), HEIGHT)
        seen = cv2.resize(shown.pixels, size, interpolation=cv2.INTER_AREA)
        with self._drawing:
            head = self._performer.draw(shown.moment, self._camera, self._lights, BACKGROUND)
        both = np.concatenate([seen, head], axis=1)[..., ::-1]
        return cv2.imencode(".jpg", both, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()


class _Handler(BaseHTTPRequestHandler):
    preview: Preview

    def do_GET(self) -> None:
        if (self.headers.get("Host") or "").rsplit(":", 1)[0] not in NAMES:
            self.send_error(403)
        elif self.path == "/":
            self._begin("text/html; charset=utf-8")
            self.wfile.write(PAGE)
        elif self.path == "/stream":
            self._begin(f"multipart/x-mixed-replace; boundary={BOUNDARY}")
            with suppress(ConnectionError):
                self._stream()
        else:
            self.send_error(404)

    def _begin(self, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Cache-Control", "no-store")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.end_headers()

    def _stream(self) -> None:
        shown = self.preview.next_after(None)
        while shown is not None:
            began = time.monotonic()
            picture = self.preview.drawn(shown)
            head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
            self.wfile.write(head.encode() + picture + b"\r\n")
            time.sleep(max(0.0, 1 / RATE - (time.monotonic() - began)))
            shown = self.preview.next_after(shown)

    def log_message(self, format: str, *args: object) -> None:
        """The terminal is for what happens to the face."""
