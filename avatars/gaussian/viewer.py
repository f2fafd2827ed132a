"""A page in the browser that shows an avatar: orbit it, move its 52 shapes, play a performance.

The page's Gaussians are sent anew whenever something moves; the browser draws and turns them.
"""

from __future__ import annotations

import time
from threading import Lock
from types import ModuleType
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from avatars.gaussian.avatar import GaussianAvatar
from morphable import ARKIT_NAMES, Performance
from morphable.editing import sampled
from morphable.playing import HEAD

HOST = "127.0.0.1"
NAME = "/avatar"
RATE = 12.0
"""Pictures a second while a performance plays."""
TURN = 0.6
"""Radians to which the head can be turned by hand."""
TURNS = ("pitch", "yaw", "roll")
DISTANCE = 0.75
"""Metres from the head at which a page begins to look."""


class Page:
    """A running page. `close` ends it.

    Args:
        performance: what is played when the page's box is ticked.
        port: on this machine alone; the first free one from there is taken.

    Raises:
        ImportError: viser is not installed.
    """

    def __init__(self, avatar: GaussianAvatar, performance: Performance | None = None, port: int = 8080) -> None:
        self.avatar, self.performance = avatar, performance
        self.server = _viser().ViserServer(host=HOST, port=port, verbose=False)
        self._sending = Lock()
        self.server.scene.set_up_direction("+y")
        self.server.on_client_connect(self._look)
        gui = self.server.gui
        self.playing = gui.add_checkbox("play the performance", initial_value=False, disabled=performance is None)
        with gui.add_folder("head"):
            self.turns = [gui.add_slider(name, -TURN, TURN, 0.01, 0.0) for name in TURNS]
        with gui.add_folder("expression", expand_by_default=False):
            self.sliders = [gui.add_slider(name, 0.0, 1.0, 0.01, 0.0) for name in ARKIT_NAMES]
        for slider in (*self.turns, *self.sliders):
            slider.on_update(lambda _: self.show(self.by_hand()))
        self.show(self.by_hand())

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.server.get_port()}"

    def by_hand(self) -> Performance:
        """What the sliders say."""
        weights = np.array([[slider.value for slider in self.sliders]])
        return Performance.of(np.zeros(1), weights, head=np.array([[slider.value for slider in self.turns]]))

    @torch.no_grad()
    def show(self, performance: Performance) -> None:
        """Send the first frame of a performance to all browsers."""
        means, axes, opacities, colours = self.avatar.placed(self.avatar.moment(performance), self.avatar.camera)
        with self._sending:
            self.server.scene.add_gaussian_splats(
                NAME,
                centers=means.numpy(),
                covariances=(axes @ axes.mT).numpy(),
                rgbs=colours.clamp(0, 1).numpy(),
                opacities=opacities[:, None].numpy(),
            )

    def run(self) -> None:
        """Play while the box is ticked, until interrupted."""
        started = 0.0
        while True:
            if self.performance is None or not self.playing.value:
                started = time.monotonic()
            else:
                moment = (time.monotonic() - started) % max(self.performance.duration, 1 / RATE)
                self.show(sampled(self.performance, np.array([self.performance.times[0] + moment])))
            time.sleep(1 / RATE)

    def close(self) -> None:
        self.server.stop()

    def _look(self, client: Any) -> None:
        """From the front, at the face."""
        at: Float[np.ndarray, 3] = self.avatar.head.joints[HEAD] + np.array([0.0, 0.02, 0.0])
        client.camera.up_direction = np.array([0.0, 1.0, 0.0])
        client.camera.position = at + np.array([0.0, 0.0, DISTANCE])
        client.camera.look_at = at


def _viser() -> ModuleType:
    try:
        import viser
    except ModuleNotFoundError as error:
        raise ImportError("the viewer needs the package viser: pip install 'face3d[viewer]'") from error
    module: ModuleType = viser
    return module
