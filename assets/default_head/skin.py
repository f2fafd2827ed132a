"""The mean head's skin, and the lines on it along which lids and lips meet."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from assets.default_head.geometry import EyeRings, mouth_loop
from assets.default_head.makehuman import BaseMesh

RINGS = 4
"""Of vertices around an eye that are kept."""


@dataclass(frozen=True)
class Skin:
    """The mean head's skin.

    Attributes:
        vertices: metres.
        triangles: in the model's index space, in which the skin comes first.
        eye_rings: for the left and the right eye, rings of vertices from the lids' inner edge outwards; column 0 is the
            inner corner, then follow the upper lid, the outer corner half way, and the lower lid backwards.
        sockets: the lining of the eye sockets, behind the lids.
        mouth: the loop where the lips' skin ends inside the mouth.
        mouth_lining: what lies behind it, the loop included.
    """

    vertices: Float[np.ndarray, "vertex 3"]
    triangles: Int[np.ndarray, "triangle 3"]
    eye_rings: tuple[Int[np.ndarray, "ring column"], Int[np.ndarray, "ring column"]]
    sockets: Int[np.ndarray, " vertex"]
    mouth: Int[np.ndarray, " loop"]
    mouth_lining: Int[np.ndarray, " vertex"]


def find_skin(
    vertices: Float[Tensor, "vertex 3"],
    triangles: Int[np.ndarray, "triangle 3"],
    base: BaseMesh,
    rings: dict[str, EyeRings],
    number: Int[np.ndarray, " base"],
) -> Skin:
    """The skin of a head, its lines found on the base mesh.

    Args:
        vertices, triangles: of the skin; metres.
        number: the skin's vertex that each of the base mesh's vertices is; -1 where it is none.
    """
    body = base.groups == "body"
    lids = [number[rings[side].lids[:RINGS]] for side in ("left", "right")]
    cavities = number[np.unique(base.quads[body & np.char.startswith(base.labels, "eye_cavity")])]
    sockets = np.setdiff1d(cavities[cavities >= 0], np.stack(lids)[:, 0])
    lining = number[np.unique(base.quads[body & (base.labels == "mouth_cavity")])]
    return Skin(vertices.numpy(), triangles, (lids[0], lids[1]), sockets, number[mouth_loop(base)], lining)
