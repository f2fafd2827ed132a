"""How near an avatar comes to frames that it was not shown."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Int, UInt8
from PIL import Image

from avatars.capture import Capture, silhouette
from avatars.neural.avatar import NeuralAvatar
from avatars.neural.similarity import structural_similarity

HAIR = 0.12
"""Of the head's breadth: how far above the chin the person still counts as head."""


def report(avatar: NeuralAvatar, capture: Capture, held_out: Int[np.ndarray, " some"], folder: Path) -> dict:
    """Draw held-out frames from tracking only, write pictures and `report.json` into a folder, and give its content.

    For each frame NNNN of the capture: heldout/NNNN_render.png, NNNN_truth.png, and NNNN_mask.png, 255 where the head
    is: the person where the posed head's mesh is, and near it above the chin. PSNR is of the mean squared difference
    over a frame's masked pixels and channels (sRGB); SSIM the mean of its map there (Gaussian window of 1.5 pixels,
    mean of the channels). Both are then averaged over frames.
    """
    pictures = folder / "heldout"
    pictures.mkdir(parents=True, exist_ok=True)
    for old in pictures.glob("*.png"):
        old.unlink()
    rows = []
    for index in held_out.tolist():
        truth, mask = capture.frames[index], head_mask(avatar, capture, index)
        drawn = shown(avatar, capture, index)
        for name, picture in (("render", drawn), ("truth", truth), ("mask", mask.astype(np.uint8) * 255)):
            Image.fromarray(picture).save(pictures / f"{index:04d}_{name}.png")
        rows.append((*measured(drawn, truth, mask), *measured(drawn, truth, np.ones_like(mask))))
    means = np.mean(rows, axis=0).round(4).tolist() if rows else [None] * 4
    names = ("psnr", "ssim", "psnr_of_whole_frames", "ssim_of_whole_frames")
    found = {
        "frames": len(capture),
        "held_out": held_out.tolist(),
        "size": list(capture.camera.resolution),
        **avatar.size,
        **dict(zip(names, means, strict=True)),
        "per_frame": [dict(zip(names, np.round(row, 4).tolist(), strict=True)) for row in rows],
    } | avatar.provenance
    (folder / "report.json").write_text(json.dumps(found, indent=2))
    return found


@torch.no_grad()
def shown(avatar: NeuralAvatar, capture: Capture, index: int) -> UInt8[np.ndarray, "height width 3"]:
    """A frame of the capture as the avatar draws it, from tracking only."""
    background = torch.as_tensor(avatar.background).float() / 255
    picture = avatar.picture(avatar.moment(capture.performance, index), capture.camera, background)
    return (picture.clamp(0, 1) * 255 + 0.5).to(torch.uint8).numpy()


def peak_signal(avatar: NeuralAvatar, capture: Capture, index: int) -> float:
    """PSNR of a whole frame, from tracking only, dB."""
    both = (shown(avatar, capture, index), capture.frames[index])
    picture, truth = (torch.as_tensor(each).float() / 255 for each in both)
    return float(-10 * (picture - truth).square().mean().clamp(min=1e-10).log10())


@torch.no_grad()
def head_mask(avatar: NeuralAvatar, capture: Capture, index: int) -> Bool[np.ndarray, "height width"]:
    """Where a frame shows the head."""
    vertices = avatar.surface.vertices(avatar.moment(capture.performance, index))[: len(avatar.head.neutral)]
    shape = silhouette(avatar.head, vertices, capture.camera)
    reach = 2 * round(HAIR * shape.breadth) + 1
    near = cv2.dilate(shape.head.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))) > 0
    near[int(shape.chin) :] = False
    return (capture.masks[index] > 127) & (near | shape.head)


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
