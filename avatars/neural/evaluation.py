"""How near an avatar comes to frames that it was not shown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Int, UInt8
from PIL import Image

from avatars.capture import Capture, silhouette
from avatars.neural.avatar import NeuralAvatar
from avatars.neural.footage import Footage, Shot
from avatars.neural.similarity import structural_similarity

HAIR = 0.12
"""Of the head's breadth: how far above the chin the person still counts as head."""
FIGURES = ("psnr", "ssim", "psnr_of_whole_frames", "ssim_of_whole_frames")


def report(avatar: NeuralAvatar, captures: Sequence[Capture], held_out: Int[np.ndarray, " some"], folder: Path) -> dict:
    """Draw held-out frames from tracking only, write pictures and `report.json` into a folder, and give its content.

    For each frame NNNN, counted through all captures: heldout/NNNN_render.png, NNNN_truth.png, and NNNN_mask.png, 255
    where the head is: the person where the posed head's mesh is, and near it above the chin. PSNR is of the mean
    squared difference over a frame's masked pixels and channels (sRGB); SSIM the mean of its map there (Gaussian window
    of 1.5 pixels, mean of the channels). Both are then averaged over frames.
    """
    pictures = folder / "heldout"
    pictures.mkdir(parents=True, exist_ok=True)
    for old in pictures.glob("*.png"):
        old.unlink()
    footage, rows = Footage(captures), []
    for index in held_out.tolist():
        shot = footage[index]
        truth, mask, drawn = shot.capture.frames[shot.frame], head_mask(avatar, shot), shown(avatar, shot)
        for name, picture in (("render", drawn), ("truth", truth), ("mask", mask.astype(np.uint8) * 255)):
            Image.fromarray(picture).save(pictures / f"{index:04d}_{name}.png")
        rows.append((*measured(drawn, truth, mask), *measured(drawn, truth, np.ones_like(mask))))
    found = {
        "frames": len(footage),
        "held_out": held_out.tolist(),
        "size": list(captures[0].camera.resolution),
        **avatar.size,
        **_means(rows),
        "per_frame": [_means([row]) for row in rows],
    } | avatar.provenance
    if len(captures) > 1:
        clips = [footage[index].clip for index in held_out.tolist()]
        found["clips"] = [
            {"frames": len(each)} | _means([row for row, clip in zip(rows, clips, strict=True) if clip == number])
            for number, each in enumerate(captures)
        ]
    (folder / "report.json").write_text(json.dumps(found, indent=2))
    return found


def _means(rows: Sequence[Sequence[float]]) -> dict[str, float | None]:
    """Of figures of frames, each by its name."""
    means = np.mean(rows, axis=0).round(4).tolist() if rows else [None] * len(FIGURES)
    return dict(zip(FIGURES, means, strict=True))


@torch.no_grad()
def shown(avatar: NeuralAvatar, shot: Shot) -> UInt8[np.ndarray, "height width 3"]:
    """A frame as the avatar draws it, from tracking only, in its clip's look."""
    picture = avatar.picture(shot.moment(avatar), shot.capture.camera, shot.background)
    return (picture.clamp(0, 1) * 255 + 0.5).to(torch.uint8).numpy()


def peak_signal(avatar: NeuralAvatar, shot: Shot) -> float:
    """PSNR of a whole frame, from tracking only, dB."""
    picture, truth = torch.as_tensor(shown(avatar, shot)).float() / 255, shot.picture
    return float(-10 * (picture - truth).square().mean().clamp(min=1e-10).log10())


@torch.no_grad()
def head_mask(avatar: NeuralAvatar, shot: Shot) -> Bool[np.ndarray, "height width"]:
    """Where a frame shows the head."""
    vertices = avatar.surface.vertices(shot.moment(avatar))[: len(avatar.head.neutral)]
    shape = silhouette(avatar.head, vertices, shot.capture.camera)
    reach = 2 * round(HAIR * shape.breadth) + 1
    near = cv2.dilate(shape.head.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))) > 0
    near[int(shape.chin) :] = False
    return (shot.capture.masks[shot.frame] > 127) & (near | shape.head)


def measured(
    drawn: UInt8[np.ndarray, "height width 3"],
    truth: UInt8[np.ndarray, "height width 3"],
    mask: Bool[np.ndarray, "height width"],
) -> tuple[float, float]:
    """PSNR (dB) and SSIM over some pixels."""
    one, other = (torch.as_tensor(picture).float() / 255 for picture in (drawn, truth))
    squared = (one - other).square()[torch.as_tensor(mask)].mean().clamp(min=1e-10)
    similar = structural_similarity(one, other)[torch.as_tensor(mask)].mean()
    return float(-10 * squared.log10()), float(similar)
