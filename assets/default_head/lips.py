"""Lips: where they touch, and that they do at rest on every head and in every shape of a closed mouth."""

from dataclasses import dataclass

import numpy as np
import torch
import trimesh
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

from assets.default_head.skin import Skin
from assets.default_head.topology import edge_distance
from assets.default_head.weights import harmonic, linear
from morphable import ARKIT_NAMES

CLOSED_MOUTH = (
    *("brow", "cheek", "eye", "nose", "jawForward", "jawLeft", "jawRight", "mouthDimple", "mouthFrown", "mouthLeft"),
    *("mouthPress", "mouthPucker", "mouthRight", "mouthRoll", "mouthShrugLower", "mouthSmile", "mouthStretch"),
)
"""Beginnings of the names of shapes that leave a closed mouth closed."""
LIP_CONTACT = 1.5e-3
"""Metres: lips this close to each other touch."""
TOUCH = 5e-5
"""Metres between touching lips."""
LIP_COLUMN = 3e-3
"""Metres between contacts along the mouth."""
LIP_DEPTH = 0.012
"""Metres over the skin from the mouth's loop to where lips may touch."""
LIP_REACH = 0.03
"""Metres around the mouth within which skin follows closing lips."""
LOWER_LIP_SHARE = 0.8
"""Of the way that lips make towards each other when the mouth closes, the lower lip's part."""


@dataclass(frozen=True)
class LipContacts:
    """Where the lips touch.

    Attributes:
        pairs, weights: a vertex of the upper lip and three of the lower, and weights whose weighted sum is the gap.
        vertices: those that move when the lips close.
        spread: how they move for each unit of gap that is to be closed.
    """

    pairs: Int[np.ndarray, "contact 4"]
    weights: Float[np.ndarray, "contact 4"]
    vertices: Int[np.ndarray, " vertex"]
    spread: Float[np.ndarray, "vertex contact"]


def lip_contacts(skin: Skin) -> LipContacts:
    """One contact for every LIP_COLUMN along the mouth: where there the upper lip comes nearest to the lower."""
    upper, lower = _lips_of(skin)
    faces = skin.triangles[np.isin(skin.triangles, lower).all(1)]
    surface = trimesh.Trimesh(skin.vertices, faces, process=False)
    nearest, gap, face = trimesh.proximity.closest_point_naive(surface, skin.vertices[upper])
    column = np.round(skin.vertices[upper, 0] / LIP_COLUMN).astype(int)
    best = [members[gap[members].argmin()] for members in (np.flatnonzero(column == c) for c in np.unique(column))]
    best = [i for i in best if gap[i] < LIP_CONTACT]
    touched = faces[face[best]]
    weights = trimesh.triangles.points_to_barycentric(skin.vertices[touched], nearest[best])

    handles = np.unique(touched)
    along = linear(skin.vertices[handles, 0], skin.vertices[upper[best], 0])
    mouth = cKDTree(skin.vertices[skin.mouth])
    region = np.flatnonzero(mouth.query(skin.vertices)[0] < LIP_REACH)
    spread = harmonic(skin, region, np.concatenate([upper[best], handles]))
    closing = (LOWER_LIP_SHARE - 1) * spread[:, : len(best)] + LOWER_LIP_SHARE * spread[:, len(best) :] @ along
    pairs, weights = np.column_stack([upper[best], touched]), np.column_stack([np.ones(len(best)), -weights])
    place = np.zeros(len(skin.vertices), int)
    place[region] = np.arange(len(region))
    closed = np.einsum("pk,pkq->pq", weights, closing[place[pairs]])
    return LipContacts(pairs, weights, region, closing @ -np.linalg.inv(closed))


def with_lips_closed(
    mean: Float[Tensor, "vertex 3"], modes: Float[Tensor, "identity vertex 3"], contacts: LipContacts
) -> tuple[Float[Tensor, "vertex 3"], Float[Tensor, "identity vertex 3"]]:
    """The mean and the identity modes changed so that lips touch at rest on every head: contacts that are further
    apart than TOUCH on the mean close, and no mode moves the two sides of a contact apart."""
    pairs, weights = torch.as_tensor(contacts.pairs), torch.as_tensor(contacts.weights, dtype=mean.dtype)
    spread = torch.as_tensor(contacts.spread, dtype=mean.dtype)
    mean, modes = mean.clone(), modes.clone()
    gap = torch.einsum("pki,pk->pi", mean[pairs], weights)
    mean[contacts.vertices] += spread @ (gap * (1 - TOUCH / gap.norm(dim=-1, keepdim=True)).clamp(min=0))
    modes[:, contacts.vertices] += spread @ torch.einsum("mpki,pk->mpi", modes[:, pairs], weights)
    return mean, modes


def keep_lips_together(basis: Float[Tensor, "52 vertex 3"], contacts: LipContacts) -> None:
    """Shapes of a closed mouth neither open it nor push one lip into the other; in place."""
    shapes = [i for i, name in enumerate(ARKIT_NAMES) if name.startswith(CLOSED_MOUTH)]
    pairs, weights = torch.as_tensor(contacts.pairs), torch.as_tensor(contacts.weights, dtype=basis.dtype)
    gap = torch.einsum("epk,pk->ep", basis[shapes][:, pairs, 1], weights)
    closing = gap @ torch.as_tensor(contacts.spread, dtype=basis.dtype).T
    basis[np.ix_(np.array(shapes), contacts.vertices, np.array([1]))] += closing[..., None]


def _lips_of(skin: Skin) -> tuple[Int[np.ndarray, " upper"], Int[np.ndarray, " lower"]]:
    """Vertices near the mouth that lie nearer, over the skin, to the upper or to the lower part of its loop."""
    ends = skin.mouth[[skin.vertices[skin.mouth, 0].argmin(), skin.vertices[skin.mouth, 0].argmax()]]
    first, last = sorted(int(np.flatnonzero(skin.mouth == end)[0]) for end in ends)
    halves = [skin.mouth[first + 1 : last], np.r_[skin.mouth[last + 1 :], skin.mouth[:first]]]
    halves.sort(key=lambda half: -skin.vertices[half, 1].mean())
    away = [edge_distance(skin.vertices, skin.triangles, half) for half in halves]
    near = np.minimum(*away) < LIP_DEPTH
    return np.flatnonzero(near & (away[0] < away[1])), np.flatnonzero(near & (away[0] > away[1]))
