"""What lies behind the lips: teeth, the mouth's lining, the jaw's motion and the tongue's."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

from assets.default_head.skin import Skin
from morphable import ARKIT_NAMES

TEETH_REACH = 0.006
"""Standard deviation in metres of the distance over which skin holds the teeth behind it."""
LINING_REACH, LINING_DEPTH = 0.004, 0.006
"""Metres over which skin carries the mouth's lining, and from the lips' inner edge to where it does so fully."""
JAW_OPEN, TONGUE_OUT = (ARKIT_NAMES.index(name) for name in ("jawOpen", "tongueOut"))
DAMPED = {
    **{"mouthRollUpper": 0.5, "jawForward": 0.6, "jawLeft": 0.8, "jawRight": 0.8, "mouthDimpleLeft": 0.85},
    **{"mouthDimpleRight": 0.85, "mouthSmileLeft": 0.9, "mouthSmileRight": 0.9},
}
"""How much is left of shapes whose whole way would press the lips through the teeth."""
JAW_SHAPES = ("jawForward", "jawLeft", "jawOpen", "jawRight")
TONGUE_OUT_JAW = 0.3
"""The part of jawOpen that makes room for the tongue."""
TONGUE_SINK = (0.015, 0.004)
"""Metres by which the tongue's root and its tip sink as the jaw opens: it lies down on the floor of the mouth."""
TONGUE_LENGTH, TONGUE_LIFT, TONGUE_DROP = 0.016, 0.010, 0.008
"""Metres by which the tip comes out of the lips, the tongue rises to pass over the lower teeth, and the tip hangs."""


def with_teeth_held(
    mean: Float[Tensor, "vertex 3"],
    modes: Float[Tensor, "identity vertex 3"],
    mouth_lining: Int[np.ndarray, " lining"],
    vertices: Mapping[str, slice],
) -> Float[Tensor, "identity vertex 3"]:
    """The identity modes changed so that on every head teeth and tongue keep their place behind the skin before them:
    each arch follows its position, turn and size, and the lower one takes the tongue along.

    A mode's displacement of that skin is fitted by an infinitesimal similarity u = t + ω × x + s x, by least squares
    with Gaussian weights of the distance from the arch.

    Args:
        mouth_lining: vertices of the skin that are not before the teeth.
        vertices: of the parts; the skin's come first.
    """
    modes, skin = modes.clone(), mean[vertices["head"]].numpy()
    for names in (("teeth_upper",), ("teeth_lower", "tongue")):
        arch = mean[vertices[names[0]]]
        away, _ = cKDTree(arch.numpy()).query(skin)
        away[mouth_lining] = np.inf
        before = (away < 3 * TEETH_REACH) & (skin[:, 2] > float(arch[:, 2].mean()))
        chosen, middle = np.flatnonzero(before), arch.mean(0)
        weight = torch.as_tensor(np.exp(-0.25 * (away[chosen] / TEETH_REACH) ** 2), dtype=mean.dtype)[:, None]
        motions, seen = weight * _similarities(mean[chosen] - middle), weight * modes[:, chosen]
        fit = torch.linalg.lstsq(motions.flatten(1).mT, seen.flatten(1).mT).solution
        for name in names:
            held = _similarities(mean[vertices[name]] - middle)
            modes[:, vertices[name]] = torch.tensordot(fit.mT, held, 1)
    return modes


def with_mouth_lined(modes: Float[Tensor, "identity vertex 3"], skin: Skin) -> Float[Tensor, "identity vertex 3"]:
    """The identity modes changed so that the mouth's lining keeps behind the skin before it on every head; towards the
    loop at which the lips end, it goes with them as it did."""
    outside = np.setdiff1d(np.arange(len(skin.vertices)), skin.mouth_lining)
    lining = skin.vertices[skin.mouth_lining]
    away = np.linalg.norm(lining[:, None] - skin.vertices[outside], axis=2)
    near = np.exp(-(away - away.min(1, keepdims=True)) / LINING_REACH)
    followed = torch.as_tensor(near / near.sum(1, keepdims=True), dtype=modes.dtype) @ modes[:, outside]
    deep = cKDTree(skin.vertices[skin.mouth]).query(lining)[0] / LINING_DEPTH
    share = torch.as_tensor(np.clip(deep, 0, 1), dtype=modes.dtype)[:, None]
    modes = modes.clone()
    modes[:, skin.mouth_lining] = torch.lerp(modes[:, skin.mouth_lining], followed, share)
    return modes


def jaw_motions(
    drawn: Float[Tensor, "52 vertex 3"],
    template: Float[Tensor, "vertex 3"],
    skin: Skin,
    teeth: Int[np.ndarray, " tooth"],
) -> tuple[Int[np.ndarray, " jaw"], Float[np.ndarray, "jaw 3 3"], Int[np.ndarray, "2"]]:
    """The shapes that move the jaw, how they turn it (less the identity), and the skin's vertices over its hinge."""
    rest = template[teeth].numpy().astype(float)
    motions = {}
    for name in JAW_SHAPES:
        turn, shift = _rigid(rest, rest + drawn[ARKIT_NAMES.index(name), teeth].numpy())
        motions[name] = turn - np.eye(3), shift
    turn, shift = motions["jawOpen"]
    pivot = np.linalg.lstsq(turn[1:, 1:], -shift[1:], rcond=None)[0]
    outer = template.numpy()[: len(skin.vertices)]
    hinge = []
    for side in (1, -1):
        away = np.abs(outer[:, 1:] - pivot).max(1) + np.where(outer[:, 0] * side > 0.05, 0, 1)
        hinge.append(int(away.argmin()))
    turns = [TONGUE_OUT_JAW * motions["jawOpen"][0], *(DAMPED.get(name, 1.0) * motions[name][0] for name in JAW_SHAPES)]
    return np.array([TONGUE_OUT, *map(ARKIT_NAMES.index, JAW_SHAPES)]), np.stack(turns), np.array(hinge)


def chin(skin: Skin, teeth: Float[np.ndarray, "vertex 3"]) -> Int[np.ndarray, " chin"]:
    """The skin's vertices straight before the lower front teeth and their gum."""
    gum = teeth[(np.abs(teeth[:, 0]) < 0.01) & (teeth[:, 2] > teeth[:, 2].max() - 0.01)]
    low, high = gum[:, 1].min(), gum[:, 1].max()
    x, y, z = skin.vertices.T
    return np.flatnonzero((np.abs(x) < 0.012) & (y > low - 0.006) & (y < high) & (z > gum[:, 2].max() - 0.002))


def move_tongue(
    basis: Float[Tensor, "52 vertex 3"],
    mean: Float[Tensor, "vertex 3"],
    tongue: Int[np.ndarray, " tongue"],
    lips: float,
) -> None:
    """The tongue sinks as the jaw opens, and comes out over the lips, which end at z = `lips` metres; in place."""
    basis[TONGUE_OUT] += TONGUE_OUT_JAW * basis[JAW_OPEN]
    basis[JAW_OPEN, tongue, 1] -= _sinking(mean[tongue])
    basis[TONGUE_OUT, tongue] = _coming_out(mean[tongue], lips)


def _similarities(points: Float[Tensor, "point 3"]) -> Float[Tensor, "7 point 3"]:
    """Velocities of points under shifts along the axes, turns about them, and growth."""
    axes = torch.eye(3)[:, None].expand(-1, len(points), -1)
    turns = torch.linalg.cross(axes, points.expand(3, -1, -1))
    return torch.cat([axes, turns, points[None]])


def _rigid(
    source: Float[np.ndarray, "point 3"], target: Float[np.ndarray, "point 3"]
) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "3"]]:
    """Rotation and translation from source to target in the least-squares sense (Kabsch 1976)."""
    a, b = source.mean(0), target.mean(0)
    u, _, vt = np.linalg.svd((target - b).T @ (source - a))
    turn = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
    return turn, b - turn @ a


def _sinking(tongue: Float[Tensor, "vertex 3"]) -> Float[Tensor, " vertex"]:
    root, tip = TONGUE_SINK
    return root + (tip - root) * _along(tongue) ** 3


def _coming_out(tongue: Float[Tensor, "vertex 3"], lips: float) -> Float[Tensor, "vertex 3"]:
    """Offsets that lift the tongue's front over the teeth and past the lips, flatten it and let its tip hang."""
    along = _along(tongue)
    moving = along**2 * (3 - 2 * along)
    middle = tongue[:, 1].mean() + 0.6 * (tongue[:, 1] - tongue[:, 1].mean())
    offsets = torch.zeros_like(tongue)
    offsets[:, 1] = moving * (TONGUE_LIFT + middle - tongue[:, 1]) - TONGUE_DROP * along**6
    offsets[:, 2] = moving * (lips + TONGUE_LENGTH - tongue[:, 2].max())
    return offsets


def _along(tongue: Float[Tensor, "vertex 3"]) -> Float[Tensor, " vertex"]:
    """From 0 at the tongue's root to 1 at its tip."""
    back, front = tongue[:, 2].aminmax()
    return (tongue[:, 2] - back) / (front - back)
