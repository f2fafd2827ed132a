"""Deformation transfer: what one mesh does, done by another (Sumner & Popović 2004).

How the source's surface stretches and turns near each triangle is asked of the target's triangle that lies there; the
target's vertices move so as to come nearest to it, in the gradient-domain form of Botsch et al. (2006): displacements u
minimise ∫ |∇u - G|². Vertices that lie on the source are drawn to move as the source does there, which fixes where the
whole goes and keeps what touches in touch: lids that meet on the source meet on the target.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
from jaxtyping import Bool, Float, Int

from morphable.surface import Footpoints, Surface, selection

NEAR = 4e-3
"""Metres between both surfaces beyond which a vertex has no counterpart; half as much halves its say."""
AGREEING = 0.3
"""Least cosine between the normals of counterparts."""
ANCHORING = 4e-3
"""Metres of surface over which gradients and anchors weigh alike: the larger, the weaker the anchors."""
FREE = 1e-3
"""How much gradients and anchors count where there is no counterpart within NEAR."""


@dataclass(frozen=True)
class Transfer:
    """Carries displacements from the vertices of one mesh to those of another that lies on it.

    Attributes:
        source, target: both in one frame, metres; the target lies on the source as far as it can.
        of_vertices, of_triangles: where the target's vertices, and the middles of its triangles, lie on the source.
        trust: of each vertex, 0 where it has no counterpart.
    """

    source: Surface
    target: Surface
    of_vertices: Footpoints
    of_triangles: Footpoints
    trust: Float[np.ndarray, " vertex"]
    triangle_trust: Float[np.ndarray, " triangle"]

    @classmethod
    def between(
        cls, source: Surface, target: Surface, excluded: Bool[np.ndarray, " source_vertex"] | None = None
    ) -> "Transfer":
        """The transfer for two meshes as they lie.

        Args:
            excluded: vertices of the source that say nothing, such as those of parts that the target lacks.
        """
        of_vertices = source.closest(target.vertices, target.normals)
        middles = target.corners.mean(1)
        of_triangles = source.closest(middles, target.triangle_normals)
        trust = _trust(source, of_vertices, target.normals, excluded)
        triangle_trust = _trust(source, of_triangles, target.triangle_normals, excluded)
        return cls(source, target, of_vertices, of_triangles, trust, triangle_trust)

    def __call__(self, displacements: Float[np.ndarray, "shape source 3"]) -> Float[np.ndarray, "shape target 3"]:
        """The target's displacements for each of the source's."""
        carried = [self._right_side(each) for each in displacements]
        solved = self._solve(np.concatenate(carried, 1))
        return solved.reshape(len(self.target.vertices), len(displacements), 3).transpose(1, 0, 2)

    def moved_feet(self, displacements: Float[np.ndarray, "source 3"]) -> Float[np.ndarray, "target 3"]:
        """How the source moves below each vertex of the target."""
        corners = self.source.triangles[self.of_vertices.triangles]
        return np.einsum("pk,pki->pi", self.of_vertices.barycentric, displacements[corners])

    def _right_side(self, displacements: Float[np.ndarray, "source 3"]) -> Float[np.ndarray, "target 3"]:
        """Of the normal equations, for one shape: the divergence of the wanted gradients, and the anchors."""
        at_vertices = _vertex_means(self.source, _jacobians(self.source, displacements))
        corners = self.source.triangles[self.of_triangles.triangles]
        wanted = np.einsum("tk,tkij->tij", self.of_triangles.barycentric, at_vertices[corners])
        weighted = wanted * (self.target.areas * self.triangle_trust.clip(FREE))[:, None, None]
        flat = weighted.transpose(0, 2, 1).reshape(-1, 3)
        anchors = self._anchors[:, None] * self.moved_feet(displacements)
        total: np.ndarray = self._gradient.T @ flat + anchors
        return total

    @cached_property
    def _anchors(self) -> Float[np.ndarray, " target"]:
        return self.trust.clip(FREE) * self.target.masses / ANCHORING**2

    @cached_property
    def _gradient(self) -> scipy.sparse.csr_matrix:
        return gradient_operator(self.target)

    @cached_property
    def _solve(self):  # type: ignore[no-untyped-def]
        weights = np.repeat(self.target.areas * self.triangle_trust.clip(FREE), 3)
        system = self._gradient.T @ scipy.sparse.diags(weights) @ self._gradient
        smallest = 1e-9 * self.target.masses.sum() / ANCHORING**2 / len(self.trust)
        system = system + scipy.sparse.diags(self._anchors + smallest)
        return scipy.sparse.linalg.splu(system.tocsc()).solve


def stiffened(
    points: Float[np.ndarray, "point 3"], displacements: Float[np.ndarray, "*shape point 3"]
) -> Float[np.ndarray, "*shape point 3"]:
    """What a rigid thing does that would follow the displacements: the nearest rotation and shift (Kabsch 1976)."""
    middle = points.mean(0)
    away = points - middle
    moved = points + displacements
    target = moved.mean(-2, keepdims=True)
    left, _, right = np.linalg.svd(np.swapaxes(away, -1, -2) @ (moved - target))
    upright = np.stack([np.ones(left.shape[:-2]), np.ones(left.shape[:-2]), np.linalg.det(left @ right)], -1)
    rotation: np.ndarray = (left * upright[..., None, :]) @ right
    return away @ rotation + target - points


def gradient_operator(surface: Surface) -> scipy.sparse.csr_matrix:
    """(3 triangle, vertex): the gradient, in the plane of each triangle, of a function given at the vertices."""
    normals, areas = surface.triangle_normals, np.maximum(surface.areas, 1e-12)
    rows = np.arange(3 * len(areas)).reshape(-1, 3)
    total = scipy.sparse.csr_matrix((3 * len(areas), len(surface.vertices)))
    for corner in range(3):
        opposite = surface.corners[:, (corner + 2) % 3] - surface.corners[:, (corner + 1) % 3]
        slope = np.cross(normals, opposite) / (2 * areas[:, None])
        columns = np.repeat(surface.triangles[:, corner], 3)
        total += scipy.sparse.csr_matrix((slope.ravel(), (rows.ravel(), columns)), total.shape)
    return total


def _jacobians(surface: Surface, displacements: Float[np.ndarray, "vertex 3"]) -> Float[np.ndarray, "triangle 3 3"]:
    """∂u/∂x of each triangle, its normal being carried to the normal of the deformed triangle."""
    moved = Surface(surface.vertices + displacements, surface.triangles)
    gradient = (gradient_operator(surface) @ displacements).reshape(-1, 3, 3).transpose(0, 2, 1)
    turned = moved.triangle_normals - surface.triangle_normals
    return gradient + turned[:, :, None] * surface.triangle_normals[:, None, :]


def _vertex_means(surface: Surface, values: Float[np.ndarray, "triangle 3 3"]) -> Float[np.ndarray, "vertex 3 3"]:
    """Means over the triangles around each vertex, weighed by area."""
    around = selection(surface.triangles.ravel(), len(surface.vertices)).T
    weights = np.repeat(surface.areas, 3)
    total = around @ (weights[:, None] * np.repeat(values.reshape(-1, 9), 3, axis=0))
    return (total / np.maximum(around @ weights, 1e-15)[:, None]).reshape(-1, 3, 3)


def _trust(
    source: Surface,
    feet: Footpoints,
    normals: Float[np.ndarray, "point 3"],
    excluded: Bool[np.ndarray, " source_vertex"] | None,
) -> Float[np.ndarray, " point"]:
    corners: Int[np.ndarray, "point 3"] = source.triangles[feet.triangles]
    theirs = np.einsum("pk,pki->pi", feet.barycentric, source.normals[corners])
    agreeing = (theirs * normals).sum(1) > AGREEING
    if excluded is not None:
        agreeing &= ~excluded[corners].any(1)
    beyond = source.boundary[corners] & (feet.barycentric > 1e-3)
    agreeing &= (beyond.sum(1) < 2) | (feet.distances < NEAR / 4)
    return agreeing * np.clip(2 - 2 * feet.distances / NEAR, 0, 1)
