"""A filmed face says something else: frame after frame of a video, each its own photo.

Pose, background and what is not driven stay the video's. Skin moves from where the frame shows it to where the new
expression has it, and what opens shows the head's own mouth, in a light that is steady from frame to frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8

from avatars.portrait.anatomy import Anatomy
from avatars.portrait.driving import driven, require_choices
from avatars.portrait.performer import PortraitPerformer
from avatars.portrait.posed_photo import PosedPhoto
from avatars.portrait.unseen import smooth_step
from morphable import Head, Performance
from renderers import Fragments, rasterize, srgb_to_linear

UNMOVED, MOVED = 0.001, 0.004
"""Metres that driven shapes can move skin at most: up to there the frame stays as it is; from there on it is drawn."""
MARGIN = 0.08
"""Of the head's height: how far beyond what can move the frame is drawn."""
LIGHT_SHARE = 0.1
"""Of the light of each frame in that with which the next is drawn."""


class Dubber:
    """Gives frames of a video that come in order another expression; the light of the last frames is remembered.

    Args:
        head: of the person.
        only: what of the face is driven, of CHOICES but the pose.

    Raises:
        ValueError: a choice that is none, or the pose.
    """

    def __init__(self, head: Head, only: Sequence[str] = ("lips",)) -> None:
        require_expression(only)
        self.anatomy = Anatomy(head)
        self.driven: Bool[np.ndarray, 52] = driven(tuple(only))
        shapes = torch.as_tensor(head.expressions[self.driven])
        moving = smooth_step((shapes.norm(dim=-1).amax(0) - UNMOVED) / (MOVED - UNMOVED))
        mouth = self.anatomy.in_mouth * moving[self.anatomy.in_mouth > 0].amax() if self.anatomy.in_mouth.any() else 0
        self.moving = torch.maximum(moving, torch.as_tensor(mouth))
        self._last: _DubbedFrame | None = None

    def __call__(
        self, frame: PosedPhoto, weights: Float[np.ndarray, 52], *, new_scene: bool = False
    ) -> UInt8[np.ndarray, "height width 3"]:
        """The frame with these weights of the driven shapes, sRGB.

        Args:
            frame: how the person is seen, with the same head but for its neutral shape.
            new_scene: the light may be another one than in the last frame.
        """
        performer = _DubbedFrame(frame, self.anatomy)
        if self._last is not None and not new_scene:
            performer.steady_light(self._last)
        self._last = performer
        return performer.dubbed(np.where(self.driven, weights, frame.weights), self.moving)


def require_expression(only: Sequence[str]) -> None:
    """Raises:
    ValueError: there is a choice that is none of CHOICES, or the pose.
    """
    require_choices(only)
    if "pose" in only:
        raise ValueError("in a video the pose stays; choose of lips, eyes, brows, cheeks, expression")


class _DubbedFrame(PortraitPerformer):
    """All that a frame shows moves with the head, and fades into what it shows."""

    around, reach = 0.3, 0.12

    def _see_mouth(self, fragments: Fragments) -> None:
        """Teeth that only some frames show would come and go."""
        self.sees_mouth = False

    def _cut_out(self, fragments: Fragments, size: tuple[float, float]) -> None:
        colour = srgb_to_linear(torch.as_tensor(self.photo.pixels[self.place]).float() / 255)
        self.layer = torch.nn.functional.pad(colour, (0, 1), value=1.0).numpy()
        self.behind = np.zeros((*colour.shape[:2], 3), np.float32)

    def steady_light(self, last: _DubbedFrame) -> None:
        """The running mean of the light."""
        self.wet_light = torch.lerp(last.wet_light, self.wet_light, LIGHT_SHARE)
        self.lid_light = torch.lerp(last.lid_light, self.lid_light, LIGHT_SHARE)
        self.light = replace(
            self.light,
            coefficients=torch.lerp(last.light.coefficients, self.light.coefficients, LIGHT_SHARE),
            brightest=torch.lerp(last.light.brightest, self.light.brightest, LIGHT_SHARE),
        )

    @torch.no_grad()
    def dubbed(
        self, weights: Float[np.ndarray, 52], moving: Float[torch.Tensor, " vertex"]
    ) -> UInt8[np.ndarray, "height width 3"]:
        """Under these weights; where nothing can move the frame stays as it is to the bit."""
        picture = self.draw(Performance.of(np.zeros(1), weights[None]))
        share = self._around(moving)[..., None]
        drawn, shown = (each[self.place].astype(np.float32) for each in (picture, self.photo.pixels))
        picture[self.place] = (shown + share * (drawn - shown) + 0.5).astype(np.uint8)
        return picture

    def _around(self, moving: Float[torch.Tensor, " vertex"]) -> Float[np.ndarray, "height width"]:
        """1 where the frame shows what moves and next to it, then fading; 0 on eyes that do not."""
        fragments = rasterize(self.lens.clip(self.rest[None]), self.triangles, self.lens.resolution)
        margin = max(1, round(MARGIN * np.ptp(self.source[self.anatomy.rigid == 1, 1].numpy())))
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * margin + 1, 2 * margin + 1))
        near = cv2.dilate(self._spread(moving, fragments).numpy(), disc)
        eyes = torch.maximum(self.anatomy.eyes, self.anatomy.lids) * (1 - moving)
        return cv2.GaussianBlur(near, (0, 0), margin / 2) * (1 - self._spread(eyes, fragments).numpy())
