"""What is known of a head's surface in places, carried over all of it."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import sparse
from scipy.sparse.linalg import splu
from torch import Tensor

from renderers import Fragments

SMOOTHNESS = 0.05
"""Weight of the difference along an edge, relative to that of a vertex all of whose texels are known."""
STRANDS = (480, 6)
"""Cells of the hair's texture around the face's half, and from the face to the back of the head."""
STRAND_SEED = 12


@dataclass(frozen=True)
class Surface:
    """A welded mesh under a texture, so that what spreads over it knows no seams."""

    barycentric: sparse.csr_array
    """(texel, vertex): the weights of each texel's three corners; empty rows where there is no mesh."""
    laplacian: sparse.csr_array
    """(vertex, vertex): graph Laplacian, its edges weighted by 1 / length relative to the mean edge."""
    size: int
    """Texels a side."""

    @classmethod
    def of(
        cls, vertices: Float[Tensor, "vertex 3"], triangles: Int[Tensor, "triangle 3"], fragments: Fragments
    ) -> "Surface":
        """`fragments`: the mesh's triangles as rasterized into its texture."""
        corners, count = triangles.numpy().astype(np.int64), len(vertices)
        triangle = fragments.triangle[0].flatten().numpy()
        covered = triangle >= 0
        rows = np.concatenate([[0], 3 * np.cumsum(covered)])
        weights = fragments.barycentric[0].flatten(0, 1).numpy()[covered].ravel()
        shape = (len(triangle), count)
        barycentric = sparse.csr_array((weights, corners[triangle[covered]].ravel(), rows), shape=shape)
        return cls(barycentric, _laplacian(vertices.numpy(), corners), fragments.triangle.shape[-1])

    def fill(
        self,
        values: Float[Tensor, "size size channel"],
        weight: Float[Tensor, "size size"],
        rest: Float[Tensor, "#vertex channel"],
        rest_weight: float,
    ) -> Float[Tensor, "size size channel"]:
        """The smoothest field through values that are known in places: a screened Poisson equation on the mesh.

        Args:
            values: per texel.
            weight: how far they are known, from 0 to 1.
            rest: what the field tends to far from anything known.
            rest_weight: that tendency's weight; it wins beyond about √(SMOOTHNESS / rest_weight) edges.
        """
        weighted = torch.cat([values * weight[..., None], weight[..., None]], -1)
        average = self.at_vertices(weighted).numpy()
        target = average[:, :-1] + rest_weight * rest.numpy()
        system = sparse.diags_array(average[:, -1] + rest_weight) + SMOOTHNESS * self.laplacian
        field = splu(system.astype(np.float64).tocsc()).solve(target.astype(np.float64)).astype(np.float32)
        return torch.from_numpy(self.barycentric @ field).view(self.size, self.size, -1)

    def at_vertices(self, values: Float[Tensor, "size size channel"]) -> Float[Tensor, "vertex channel"]:
        """Averages over the texels around each vertex; 0 where there are none."""
        spread = self.barycentric.T
        texels = spread @ np.ones(self.size**2, np.float32)
        return torch.from_numpy(spread @ values.flatten(0, 1).numpy() / np.maximum(texels, 1e-6)[:, None])


def strands(size: int) -> Float[Tensor, "size size"]:
    """A pattern of hair combed back from the face, the same left and right; mean 0, deviation about 1.

    In the texture, directions from the face's centre lead over the head to its back.
    """
    generator = torch.Generator().manual_seed(STRAND_SEED)
    around, back = STRANDS
    cells = torch.randn(1, 1, back, around, generator=generator)
    coarse = torch.nn.functional.avg_pool1d(cells[0], 9, stride=1, padding=4)[None]
    at = (torch.arange(size) + 0.5) / size * 2 - 1
    y, x = torch.meshgrid(at, at.abs(), indexing="ij")
    places = torch.stack([torch.atan2(x, -y) / torch.pi * 2 - 1, torch.hypot(x, y) / 2**0.5 * 2 - 1], -1)
    pattern = torch.nn.functional.grid_sample(cells + 1.2 * coarse, places[None], "bicubic", "border", False)[0, 0]
    return (pattern - pattern.mean()) / pattern.std()


def _laplacian(vertices: Float[np.ndarray, "vertex 3"], triangles: Int[np.ndarray, "triangle 3"]) -> sparse.csr_array:
    edges = np.unique(np.sort(np.concatenate([triangles[:, [i, (i + 1) % 3]] for i in range(3)]), 1), axis=0)
    length = np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1)
    stiffness = length.mean() / np.maximum(length, 0.05 * length.mean())
    adjacency = sparse.coo_array((stiffness, edges.T), shape=(len(vertices), len(vertices)))
    adjacency = (adjacency + adjacency.T).tocsr()
    return sparse.diags_array(adjacency.sum(1)) - adjacency
