"""What the default head needs to fit ARKit's shapes to each identity: see `morphable.default_head`.

Everything is found on the mean head and written as indices and constant weights.
"""

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
import torch
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

from assets.default_head.geometry import Ranges
from assets.default_head.lids import (
    around_eyeballs,
    carry_lashes,
    follow_gaze,
    gaze_turns,
    lid_buffers,
    near_eyeball,
    sphere_centre,
)
from assets.default_head.lips import LipContacts, keep_lips_together
from assets.default_head.mouth import DAMPED, chin, jaw_motions, move_tongue
from assets.default_head.skin import Skin
from assets.default_head.weights import laplacian
from morphable import ARKIT_NAMES

MOVES = 2e-5
"""Metres: vertices that no shape moves further are left out."""
DIFFUSION, PUFF_DIFFUSION = 4e-3, 14e-3
"""Metres over which the offsets as drawn are smoothed, and those of cheekPuff, whose cheeks are lumpy."""
PUFF_HEIGHT = 0.013
"""Metres by which cheekPuff blows up the cheeks where they bulge most."""
PROBES, NEIGHBOURS, REACH = 300, 24, 0.018
"""Vertices all over the skin whose displacements tell how it stretches; how many of them tell it at any one vertex, and
with which standard deviation in metres."""
STIFFNESS = 0.05
"""Pull of a Jacobian towards the identity, as a share of its neighbourhood's spread."""
CHEEK_PUFF = ARKIT_NAMES.index("cheekPuff")


def fitted_expressions(
    drawn: Float[Tensor, "52 vertex 3"],
    template: Float[Tensor, "vertex 3"],
    mean: Float[Tensor, "vertex 3"],
    joints: Float[Tensor, "4 3"],
    skin: Skin,
    contacts: LipContacts,
    ranges: Ranges,
) -> dict[str, Tensor]:
    """Buffers of `DefaultHead`, from the shapes as drawn for MakeHuman's template; metres."""
    shapes = _mended(drawn, template, skin, ranges)
    lids = around_eyeballs(skin, [mean[slice(*ranges[name][0])].numpy() for name in ("eye_left", "eye_right")])
    lashes, tongue, teeth = (np.arange(*ranges[name][0]) for name in ("lashes", "tongue", "teeth_lower"))
    moving = np.flatnonzero((shapes.norm(dim=-1) > MOVES).any(0).numpy())
    soft = np.unique(np.concatenate([moving, *lids, lashes, contacts.vertices, tongue]))
    place = np.full(len(mean), -1)
    place[soft] = np.arange(len(soft))

    probes = _spread_out(skin.vertices, PROBES)
    basis = _carried(shapes, template, mean, soft, probes)
    keep_lips_together(basis, contacts)
    move_tongue(basis, mean, tongue, float(skin.vertices[contacts.pairs, 2].max()))
    eyes = lid_buffers(skin, lids, joints[2:].numpy(), basis.numpy(), lashes, mean.numpy(), place)
    for side in range(2):
        follow_gaze(basis, mean, joints[2 + side], lids[side], eyes, side)
        carry_lashes(basis, soft, lids[side], eyes, side)

    neighbours, gradients = _gradients(mean.numpy(), soft, probes)
    jaw_shapes, jaw, hinge = jaw_motions(drawn, template, skin, teeth)
    buffers = {
        "expression_basis": basis[:, soft].half(),
        "soft": soft,
        "neighbours": neighbours,
        "gradients": gradients,
        "gaze": np.stack([gaze_turns("Left", 1), gaze_turns("Right", -1)]),
        "jaw_shapes": jaw_shapes,
        "jaw": jaw,
        "chin": place[chin(skin, mean[teeth].numpy())],
        "hinge": hinge,
        **eyes,
        "lip_pairs": place[contacts.pairs],
        "lip_weights": contacts.weights,
        "lips": place[contacts.vertices],
        "lip_spread": contacts.spread,
    }
    return {key: _as_tensor(value) for key, value in buffers.items()}


def _mended(
    drawn: Float[Tensor, "52 vertex 3"], template: Float[Tensor, "vertex 3"], skin: Skin, ranges: Ranges
) -> Float[Tensor, "52 vertex 3"]:
    """The skin's offsets without creases, round cheeks, still sockets, lips before the teeth, brows that stay in a
    blink; none for the other parts."""
    shapes = torch.zeros_like(drawn)
    whole = slice(0, len(skin.vertices))
    shapes[:, whole] = _smoothed(drawn[:, whole], skin, DIFFUSION)
    inside = template[slice(*ranges["tongue"][0])].mean(0)
    shapes[CHEEK_PUFF, whole] = _blown_up(drawn[CHEEK_PUFF, whole], template[whole] - inside, skin)
    shapes[:, skin.sockets] = 0
    for name, share in DAMPED.items():
        shapes[ARKIT_NAMES.index(name)] *= share
    for side in ("left", "right"):
        ball = template[slice(*ranges[f"eye_{side}"][0])]
        stays = near_eyeball(template.numpy(), ball.numpy(), sphere_centre(ball).numpy())
        shapes[ARKIT_NAMES.index(f"eyeBlink{side.capitalize()}")] *= torch.as_tensor(stays)[:, None]
    return shapes


def _carried(
    shapes: Float[Tensor, "52 vertex 3"],
    template: Float[Tensor, "vertex 3"],
    mean: Float[Tensor, "vertex 3"],
    soft: Int[np.ndarray, " soft"],
    probes: Int[np.ndarray, " probe"],
) -> Float[Tensor, "52 vertex 3"]:
    """The template's offsets of soft vertices, carried by the local deformation to the mean head."""
    neighbours, gradients = _gradients(template.numpy(), soft, probes)
    jacobians = np.eye(3) + np.einsum("mki,mkj->mij", (mean - template).numpy()[neighbours], gradients)
    basis = torch.zeros_like(shapes)
    basis[:, soft] = torch.einsum("mij,emj->emi", torch.as_tensor(jacobians, dtype=shapes.dtype), shapes[:, soft])
    return basis


def _as_tensor(value: np.ndarray | Tensor) -> Tensor:
    if isinstance(value, Tensor):
        return value
    return torch.as_tensor(value, dtype=torch.float32 if value.dtype.kind == "f" else torch.int32)


def _blown_up(
    drawn: Float[Tensor, "skin 3"], from_inside: Float[Tensor, "skin 3"], skin: Skin
) -> Float[Tensor, "skin 3"]:
    """A smooth bulge where offsets are drawn: outwards from the middle of the mouth, as air presses."""
    outwards = torch.nn.functional.normalize(from_inside, dim=-1)
    bulge = _smoothed((drawn.norm(dim=-1, keepdim=True) * outwards)[None], skin, PUFF_DIFFUSION)[0]
    return bulge * (PUFF_HEIGHT / bulge.norm(dim=-1).max())


def _smoothed(offsets: Float[Tensor, "shape skin 3"], skin: Skin, over: float) -> Float[Tensor, "shape skin 3"]:
    """Offsets diffused over the skin, by one implicit step (Desbrun et al. 1999): MakeHuman's have creases and spikes
    that its own subdivision hides."""
    stiffness, mass = laplacian(skin)
    solve = scipy.sparse.linalg.factorized((scipy.sparse.diags(mass) + over**2 * stiffness).tocsc())
    columns = offsets.permute(1, 0, 2).flatten(1).numpy().astype(float)
    smooth = solve(mass[:, None] * columns).reshape(len(mass), len(offsets), 3)
    return torch.as_tensor(smooth.transpose(1, 0, 2), dtype=offsets.dtype)


def _gradients(
    vertices: Float[np.ndarray, "vertex 3"], soft: Int[np.ndarray, " soft"], probes: Int[np.ndarray, " probe"]
) -> tuple[Int[np.ndarray, "soft neighbour"], Float[np.ndarray, "soft neighbour 3"]]:
    """Neighbours among the probes, and weights g so that Σ displacement ⊗ g is the gradient of the
    displacement: a regularised least-squares fit with Gaussian weights (moving least squares, Levin 1998)."""
    near = probes[cKDTree(vertices[probes]).query(vertices[soft], NEIGHBOURS)[1]]
    away = vertices[near] - vertices[soft, None]
    weight = np.exp(-0.5 * (away**2).sum(-1) / REACH**2)
    weight /= weight.sum(1, keepdims=True)
    away -= (weight[..., None] * away).sum(1, keepdims=True)
    spread = np.einsum("mk,mki,mkj->mij", weight, away, away)
    stiffness = STIFFNESS * np.trace(spread, axis1=1, axis2=2)[:, None, None] * np.eye(3)
    return near, np.einsum("mk,mki,mij->mkj", weight, away, np.linalg.inv(spread + stiffness))


def _spread_out(vertices: Float[np.ndarray, "vertex 3"], count: int) -> Int[np.ndarray, " probe"]:
    """Indices of vertices as far from each other as can be (farthest-point sampling, Gonzalez 1985)."""
    chosen = [int(vertices[:, 2].argmax())]
    away = np.full(len(vertices), np.inf)
    while len(chosen) < count:
        away = np.minimum(away, np.linalg.norm(vertices - vertices[chosen[-1]], axis=1))
        chosen.append(int(away.argmax()))
    return np.array(chosen)
