"""Weights by which vertices follow others: smoothly over the skin, linearly along a line."""

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
from jaxtyping import Float, Int

from assets.default_head.skin import Skin


def harmonic(
    skin: Skin, region: Int[np.ndarray, " region"], handles: Int[np.ndarray, " handle"]
) -> Float[np.ndarray, "region handle"]:
    """How far vertices of a region follow handles: smooth over the skin (biharmonic), still outside the region."""
    stiffness, mass = laplacian(skin)
    smoothness = (stiffness @ scipy.sparse.diags(1 / mass) @ stiffness).tocsr()
    free = np.setdiff1d(region, handles)
    solve = scipy.sparse.linalg.factorized(smoothness[free][:, free].tocsc())
    weights = np.zeros((len(skin.vertices), len(handles)))
    weights[handles, np.arange(len(handles))] = 1
    weights[free] = -solve(smoothness[free][:, handles].toarray())
    return weights[region]


def laplacian(skin: Skin) -> tuple[scipy.sparse.csr_matrix, Float[np.ndarray, " vertex"]]:
    """The skin's graph Laplacian with inverse edge lengths as weights, and the area-like mass of each vertex."""
    edges = np.concatenate([skin.triangles[:, [a, b]] for a, b in ((0, 1), (1, 2), (2, 0))])
    length = np.linalg.norm(skin.vertices[edges[:, 0]] - skin.vertices[edges[:, 1]], axis=1)
    count = len(skin.vertices)
    near = scipy.sparse.coo_matrix((1 / length, (edges[:, 0], edges[:, 1])), (count, count))
    near = (near + near.T) / 2
    mass = np.bincount(edges[:, 0], length, count)
    return (scipy.sparse.diags(np.asarray(near.sum(1)).ravel()) - near).tocsr(), mass


def linear(at: Float[np.ndarray, " point"], nodes: Float[np.ndarray, " node"]) -> Float[np.ndarray, "point node"]:
    """Rows of weights that interpolate linearly between nodes along a line."""
    return np.stack([np.interp(at, nodes, hat) for hat in np.eye(len(nodes))], 1)
