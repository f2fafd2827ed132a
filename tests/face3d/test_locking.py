"""Tracked poses follow the pictures."""

from dataclasses import replace

import numpy as np
import roma
import torch

import morphable
from avatars.mesh_performer import MeshPerformer
from avatars.painting import studio_lights
from face3d.locking import locked
from morphable import ARKIT_NAMES, Head, Performance
from morphable.editing import sampled
from morphable.model import on_surface
from renderers import Camera

FRAMES, SIZE = 24, 160


def test_lags_and_trembles_are_taken_out() -> None:
    """A drawn head whose poses are told wrong by a degree and two millimetres, its smile by a tenth."""
    random = np.random.default_rng(0)
    model = morphable.load()
    head = Head.from_model(model, torch.zeros(model.identities), morphable.default_textures(model, resolution=256))
    share = np.linspace(0, 1, FRAMES)
    weights = np.zeros((FRAMES, 52))
    smile = [ARKIT_NAMES.index(f"mouthSmile{side}") for side in ("Left", "Right")]
    weights[:, smile] = 0.3 + 0.3 * np.sin(9 * share)[:, None]
    turns = np.stack([0.1 * np.sin(7 * share), 0.25 * np.sin(5 * share), 0.05 * np.cos(6 * share)], 1)
    truth = Performance.of(share, weights, head=turns, translation=0.01 * np.sin(np.outer(share, [4, 5, 6])))
    camera = Camera.looking_at((0.0, 0.0, 0.8), (0, -0.02, 0), (0, 1, 0), 0.45, (SIZE, SIZE))
    performer = MeshPerformer(head, 512)
    drawn = np.stack([performer.draw(sampled(truth, share[i : i + 1]), camera, studio_lights()) for i in range(FRAMES)])
    frames = (drawn[..., :3] * (drawn[..., 3:] / 255)).astype(np.uint8)
    posed = performer.posed(truth)
    landmarks = camera.project(on_surface(model.landmarks["mediapipe"], posed, model.triangles)).double().numpy()
    wrong = replace(
        truth,
        head=(turns + random.normal(0, 0.017, (FRAMES, 3))).astype(np.float32),
        translation=(truth.translation + random.normal(0, 0.002, (FRAMES, 3))).astype(np.float32),
        weights=np.clip(truth.weights + random.normal(0, 0.1, (FRAMES, 1)) * (truth.weights > 0), 0, 1).astype("f4"),
    )
    found = locked(wrong, head, camera, frames, drawn[..., 3], landmarks + random.normal(0, 0.5, landmarks.shape))

    def errors(performance: Performance) -> tuple[float, float, float]:
        """What frames differ by from each other: degrees, millimetres, weight."""
        both = [roma.rotvec_to_rotmat(torch.as_tensor(each.head).double()) for each in (performance, truth)]
        turn = roma.rotmat_to_rotvec(both[0] @ both[1].mT).numpy()
        place = performance.translation - truth.translation
        smiling = (performance.weights - truth.weights)[:, smile]
        return (
            float(np.degrees(np.linalg.norm(turn - turn.mean(0), axis=1).mean())),
            float(1e3 * np.linalg.norm((place - place.mean(0))[:, :2], axis=1).mean()),
            float(np.abs(smiling - smiling.mean(0)).mean()),
        )

    before, after = errors(wrong), errors(found)
    assert after[0] < 0.5 * before[0]
    assert after[1] < 0.35 * before[1]
    assert after[2] < 0.8 * before[2]
