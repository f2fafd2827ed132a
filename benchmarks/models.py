"""FLAME's forward pass against the smplx package, where installed: a made-up head of FLAME's layout, 400 components.

smplx computes 51 landmarks as well; its skinning alone (`smplx.lbs.lbs`, components joined beforehand) is measured
beside it.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.flame_layout import EXPRESSIONS, SHAPES, flame_arrays, smplx_folder
from benchmarks.timing import figure, medians
from morphable.flame import Flame, flame_from

BATCHES = (1, 16)
POSES = ("global_orient", "neck_pose", "jaw_pose", "leye_pose", "reye_pose")


def figures() -> Iterator[dict]:
    try:
        from smplx import FLAMELayer
    except ImportError:
        return
    arrays = flame_arrays()
    ours = flame_from(arrays, "flame", "made up")
    with tempfile.TemporaryDirectory() as folder:
        smplx_folder(arrays, Path(folder))
        peer = FLAMELayer(folder, num_betas=SHAPES, num_expression_coeffs=EXPRESSIONS)
    for batch in BATCHES:
        yield from _compared(batch, ours, peer)


def _compared(batch: int, ours: Flame, peer: Any) -> Iterator[dict]:
    from smplx.body_models import FLAME
    from smplx.lbs import lbs

    shape, expression = torch.randn(batch, SHAPES), torch.randn(batch, EXPRESSIONS)
    pose = 0.2 * torch.randn(batch, 5, 3)
    turns = dict(zip(POSES, pose.unbind(1), strict=True))
    components, joined = torch.cat([shape, expression], 1), torch.cat([peer.shapedirs, peer.expr_dirs], -1)
    fixed = peer.posedirs, peer.J_regressor, peer.parents, peer.lbs_weights

    def whole() -> Any:
        return FLAME.forward(peer, betas=shape, expression=expression, **turns)

    with torch.no_grad():
        mine, theirs, alone = medians(
            [
                lambda: ours.native(shape, expression, pose),
                whole,
                lambda: lbs(components, pose.flatten(1), peer.v_template, joined, *fixed),
            ]
        )
        difference = (ours.native(shape, expression, pose)[0] - whole().vertices).abs().max()
    yield figure(f"flame_forward_batch_{batch}", mine, "ms", "smplx FLAME", theirs)
    yield figure(f"flame_forward_batch_{batch}_against_skinning", mine, "ms", "smplx lbs alone", alone)
    yield figure(f"flame_difference_batch_{batch}", 1e6 * float(difference), "micrometres from smplx")
