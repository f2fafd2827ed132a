"""What scanned people's heads have that the default head's sliders cannot say, as further directions of identity."""

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
import torch
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree
from torch import Tensor

from assets.default_head.mouth import with_teeth_held
from morphable.default_head import DefaultHead
from morphable.surface import Surface

COUNT = 60
FACE_ALONE = 0.3
"""What a vertex elsewhere counts beside one of the face."""
STIFFNESS = 0.3
"""Of the skin against bending, beside a vertex that was scanned."""
HELD = 100.0
"""How strongly lids keep to their eyeballs and lips to each other."""
LIDS = 0.007
"""Metres from the lids' margin within which the skin comes to follow the eyeball instead of the scans."""
CLEAR = 0.008
"""Metres above an eyeball up to which skin moves less beside it, so that it keeps out of it."""
ABOUT_EYE = 0.012
LINING = 10.0
"""How strongly linings follow the skin before them."""
DEPTH = 0.005
"""Metres over which what lies under the skin follows it."""
EYES = ("eye_left", "eye_right")


def residual_modes(
    model: DefaultHead,
    fields: Float[np.ndarray, "field skin 3"],
    scanned: Bool[np.ndarray, " skin"],
    importance: Float[np.ndarray, " skin"],
) -> tuple[Float[Tensor, "mode vertex 3"], Float[Tensor, "mode 4 3"]]:
    """The strongest directions of displacements that are left over, of the whole head and of its joints.

    Eyeballs move as a whole, with the skin around them; the lids' margin and the sockets' lining with the eyeballs;
    the linings of mouth and nostrils, the teeth and the tongue with the skin before them, as the sliders' do. The lips
    stay closed.
    Between, and where nothing was scanned, the skin bends as little as it can.

    Args:
        fields: metres, each at one standard deviation; what the sliders say of them is taken off already.
        scanned: the skin's vertices at which they are known.
        importance: square root of what each of these counts.
    """
    skin = model.parts["head"]
    surface = Surface(model.mean[skin.vertices].double().numpy(), model.triangles[skin.triangles].long().numpy())
    rims = [model.soft[model.lids[side, model.rim[side].flatten()]].numpy() for side in range(2)]
    sockets = model.regions["eye_socket"][skin.vertices].numpy()
    lefts = surface.vertices[:, 0] > 0

    held, goals = np.zeros(len(scanned)), np.zeros_like(fields)
    near = np.full(len(scanned), np.inf)
    balls = []
    for side, rim in enumerate(rims):
        distance = cKDTree(surface.vertices[rim]).query(surface.vertices)[0]
        near = np.minimum(near, distance)
        balls.append(fields[:, scanned & (distance < ABOUT_EYE) & (distance > 0)].mean(1))
        lining = np.union1d(np.flatnonzero(sockets & (lefts == (side == 0))), rim)
        held[lining], goals[:, lining] = HELD, balls[-1][:, None]
    under = np.flatnonzero((model.regions["inner_mouth"] | model.regions["nostrils"])[skin.vertices].numpy())
    held[under], goals[:, under] = LINING, _followed(surface, fields, scanned, surface.vertices[under])

    known = scanned * np.clip(near / LIDS, 0, 1) ** 2
    bending = _bending(surface)
    apart = _lips_apart(model, len(scanned))
    normal = scipy.sparse.diags(known + held) + STIFFNESS * bending + HELD * apart.T @ apart
    pull = known[:, None] * np.where(scanned[:, None], fields, 0) + held[:, None] * goals
    columns = pull.transpose(1, 0, 2).reshape(len(scanned), -1)
    solved = scipy.sparse.linalg.splu(normal.tocsc()).solve(columns)
    moved = solved.reshape(len(scanned), len(fields), 3).transpose(1, 0, 2)

    shares = np.linalg.svd((importance[:, None] * moved).reshape(len(fields), -1), full_matrices=False)[0][:, :COUNT].T
    modes = np.zeros((COUNT, len(model.mean), 3))
    modes[:, skin.vertices] = np.tensordot(shares, moved, 1)
    joints = np.zeros((COUNT, 4, 3))
    for side, name in enumerate(EYES):
        joints[:, 2 + side] = shares @ balls[side]
        modes[:, model.parts[name].vertices] = joints[:, 2 + side, None]
        beside = np.flatnonzero(lefts == (side == 0))
        free = np.clip(_height(model, side, surface.vertices[beside]) / CLEAR, 0, 1)[:, None]
        modes[:, beside] = free * modes[:, beside] + (1 - free) * joints[:, 2 + side, None]
    lashes = np.arange(model.parts["lashes"].vertices.start, model.parts["lashes"].vertices.stop)
    for side in range(2):
        own = lashes[(model.mean[lashes, 0].numpy() > 0) == (side == 0)]
        modes[:, own] = joints[:, 2 + side, None]
    vertices = {name: part.vertices for name, part in model.parts.items()}
    lining = np.flatnonzero(model.regions["inner_mouth"][skin.vertices].numpy())
    return with_teeth_held(model.mean, torch.as_tensor(modes).float(), lining, vertices), torch.as_tensor(joints)


def _height(model: DefaultHead, side: int, places: Float[np.ndarray, "place 3"]) -> Float[np.ndarray, " place"]:
    """Above an eyeball."""
    centre = model.joint_mean[2 + side].double().numpy()
    ball = model.mean[model.parts[EYES[side]].vertices].double().numpy()
    return np.linalg.norm(places - centre, axis=1) - np.linalg.norm(ball - centre, axis=1).max()


def importance(model: DefaultHead, scanned: Bool[np.ndarray, " skin"]) -> Float[np.ndarray, " skin"]:
    """Square root of each vertex's area, in those of the face's average vertex, less where it is not of the face."""
    skin = model.parts["head"]
    surface = Surface(model.mean[skin.vertices].double().numpy(), model.triangles[skin.triangles].long().numpy())
    face = model.regions["face"][skin.vertices].numpy()
    return np.sqrt(surface.masses / surface.masses[face].mean()) * np.where(face, 1, FACE_ALONE) * scanned


def _followed(
    surface: Surface,
    fields: Float[np.ndarray, "field skin 3"],
    scanned: Bool[np.ndarray, " skin"],
    places: Float[np.ndarray, "place 3"],
) -> Float[np.ndarray, "field place 3"]:
    """How places under the skin move with what of it was scanned around them."""
    away = np.linalg.norm(places[:, None] - surface.vertices[scanned], axis=2)
    shares = surface.masses[scanned] * np.exp(-((away - away.min(1, keepdims=True)) / DEPTH))
    return np.einsum("pv,kvi->kpi", shares / shares.sum(1, keepdims=True), fields[:, scanned])


def _bending(surface: Surface) -> scipy.sparse.csr_matrix:
    """fᵀ B f is the sum over vertices of (f less the mean of its neighbours)², squared."""
    edges = np.sort(surface.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), 1)
    first, second = np.unique(edges, axis=0).T
    size = len(surface.vertices)
    joined = scipy.sparse.coo_matrix((np.ones(len(first)), (first, second)), (size, size))
    joined = (joined + joined.T).tocsr()
    difference = scipy.sparse.identity(size) - scipy.sparse.diags(1 / np.asarray(joined.sum(1))[:, 0]) @ joined
    return difference.T @ difference


def _lips_apart(model: DefaultHead, size: int) -> scipy.sparse.csr_matrix:
    """(contact, vertex): what a displacement adds to the distance between the lips at each of their contacts."""
    places = model.soft[model.lip_pairs].numpy()
    rows = np.repeat(np.arange(len(places)), places.shape[1])
    return scipy.sparse.csr_matrix((model.lip_weights.numpy().ravel(), (rows, places.ravel())), (len(places), size))
