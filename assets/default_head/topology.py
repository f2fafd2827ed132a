"""Walking over meshes: neighbours, loops and the rings around them."""

from collections import defaultdict

import numpy as np
from jaxtyping import Float, Int


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
