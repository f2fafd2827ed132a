"""Walking over meshes: neighbours, loops and the rings around them."""

from collections import defaultdict

import numpy as np
import scipy.sparse
from jaxtyping import Float, Int
from scipy.sparse.csgraph import dijkstra


def neighbours(faces: Int[np.ndarray, "face corner"]) -> dict[int, set[int]]:
    """Vertices that share an edge with each vertex."""
    found = defaultdict(set)
    for one, other in zip(faces.ravel().tolist(), np.roll(faces, -1, 1).ravel().tolist(), strict=True):
        found[one].add(other)
        found[other].add(one)
    return found


def loop_from(
    first: int, edge: set[int], next_to: dict[int, set[int]], vertices: Float[np.ndarray, "vertex 3"]
) -> Int[np.ndarray, " column"]:
    """A closed loop of vertices from a given one, setting out upwards."""
    loop = [first, max(next_to[first] & edge, key=lambda v: vertices[v, 1])]
    while len(loop) < len(edge):
        loop.append(next(v for v in next_to[loop[-1]] & edge if v not in loop))
    return np.array(loop)


def grow_rings(
    loop: Int[np.ndarray, " column"], within: set[int], count: int, next_to: dict[int, set[int]]
) -> Int[np.ndarray, "ring column"]:
    """A loop and the `count` rings that follow it on a grid of vertices."""
    rings, used = [loop.tolist()], set(loop.tolist())
    while len(rings) <= count:
        candidates = [(next_to[vertex] & within) - used for vertex in rings[-1]]
        if any(len(choice) != 1 for choice in candidates):
            raise ValueError(f"the mesh is no grid at ring {len(rings)}")
        rings.append([choice.pop() for choice in candidates])
        used |= set(rings[-1])
    return np.array(rings)


def edge_distance(
    vertices: Float[np.ndarray, "vertex 3"], triangles: Int[np.ndarray, "triangle 3"], sources: Int[np.ndarray, " some"]
) -> Float[np.ndarray, " vertex"]:
    """Length of the shortest way along edges from each vertex to the nearest of the sources."""
    edges = np.concatenate([triangles[:, [a, b]] for a, b in ((0, 1), (1, 2), (2, 0))])
    length = np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1)
    graph = scipy.sparse.coo_matrix((length, (edges[:, 0], edges[:, 1])), [len(vertices)] * 2).tocsr()
    graph = graph.maximum(graph.T)
    return dijkstra(graph, indices=sources, min_only=True)
