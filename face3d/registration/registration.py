"""Registration: a rigid motion, then the model's identity, then smooth detail, until the model lies on a surface.

The surface's points are drawn to the model, not the other way round: what the surface lacks then pulls nothing, and
what it has is weighed by its area. Distances count along the normals alone, the mean of both surfaces' (Rusinkiewicz
2019), so that the model may slide; landmarks say where to.
"""

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
import trimesh
from jaxtyping import Bool, Float, Int

from face3d.registration.alignment import Similarity, aligning
from face3d.registration.landmarks import SurfaceLandmarks, outer_triangles
from morphable import MorphableModel
from morphable.surface import Surface

SAMPLES = 16000
"""Points of the surface that are drawn to the model, in no order."""
FEWER_SAMPLES = 6000
"""As many of them as find the identity, which has hundreds of unknowns where detail has thousands."""
FACE_SHARE = 3.0
"""How much denser they lie on the face."""
FACE_RADIUS = 0.095
"""Metres about the middle of the face that count as the face."""
MARGIN = 0.04
"""Metres about the aligned average head within which the surface may belong to the head."""
IGNORED = ("inner_mouth", "eye_socket", "nostrils")
"""Regions that no scanner sees into: what lies nearest to them pulls nothing."""
LOOSE = {"scalp": 0.1, "neck": 0.3, "ears": 0.5}
"""How much regions count that hair and clothes hide."""
AGREEING = 0.5
"""Least cosine between the normals of points that belong together."""
LANDMARK_DEVIATION = 2e-3
"""Metres by which a landmark strays over the surface."""
INDEPENDENT = 1e-4
"""Square metres of surface whose misfit is one and the same: a centimetre squared."""
IRISES = slice(468, 478)
MEMBRANE = 1.5e-3
"""Metres: detail on scales below this is held back by its slope; see `_detail_system`."""
MATCHED = 0.01
"""Metres: parts of the surface further away are not of the head."""


@dataclass(frozen=True)
class Step:
    """One round of a schedule, in metres: points further off than `reach` count little; misfit has `deviation`; detail
    is smooth over `smoothness`."""

    reach: float
    deviation: float = 5e-4
    smoothness: float = 0.0


IDENTITY_STEPS = (
    *(Step(0.015, 3e-3),) * 3,
    *(Step(0.008, 1.5e-3),) * 4,
    *(Step(0.004, 8e-4),) * 4,
    *(Step(0.0025, 5e-4),) * 6,
)
LAST_IDENTITY_STEPS = (Step(0.0025, 1.5e-4),) * 6
"""Where the identity is to explain everything, as no detail follows."""
DETAIL_STEPS = (
    *(Step(0.004, smoothness=8e-3),) * 2,
    *(Step(0.004, smoothness=4e-3),) * 2,
    *(Step(0.003, smoothness=2e-3),) * 2,
    *(Step(0.003, smoothness=1e-3),) * 2,
)


@dataclass(frozen=True)
class Registration:
    """A model laid onto a surface.

    Attributes:
        to_model: takes the surface's frame to the model's; its scale is 1 unless it was asked for.
        identity: coefficients.
        detail: what they leave, a displacement of each vertex of the model, metres, in its frame.
        samples: points of the surface's part that was matched, in the model's frame.
        residuals_without_detail: their distances from the model without detail, metres.
        residuals: their distances from the model.
    """

    to_model: Similarity
    identity: Float[np.ndarray, " identity"]
    detail: Float[np.ndarray, "vertex 3"]
    samples: Float[np.ndarray, "sample 3"]
    residuals_without_detail: Float[np.ndarray, " sample"]
    residuals: Float[np.ndarray, " sample"]

    def vertices(self, model: MorphableModel, detail: bool = True) -> Float[np.ndarray, "vertex 3"]:
        """The registered head at rest, in the model's frame."""
        return neutral_of(model, self.identity) + (self.detail if detail else 0.0)


def register(
    model: MorphableModel,
    vertices: Float[np.ndarray, "vertex 3"],
    triangles: Int[np.ndarray, "triangle 3"],
    landmarks: SurfaceLandmarks,
    *,
    scaled: bool = False,
    detail: bool = True,
) -> Registration:
    """Lay a model onto a surface.

    Args:
        model: a model with MediaPipe's landmarks.
        vertices, triangles: the surface; metres, unless `scaled`.
        landmarks: of `find_landmarks`, on this surface.
        scaled: the unit is unknown: the landmarks of this head are taken to lie as far apart as those of the average
            one. (The likeliest scale together with the identity is always too small: the smaller a head is made, the
            less it differs from the average.)
        detail: leave the model's space.
    """
    matched = landmarks.seen & (np.arange(len(landmarks.seen)) < IRISES.start)
    corresponding = landmarks.points[matched]
    anchors = _Anchors(model, matched)
    start = _placing(corresponding, anchors.of(neutral_of(model, np.zeros(model.identities))), scaled)
    points, normals, areas = _samples(vertices, triangles, start, model)
    task = _Task(model, points, normals, areas, corresponding, anchors)
    fit = _Fit(start, np.zeros(model.identities), np.zeros((task.skin, 3)))
    fewer = slice(FEWER_SAMPLES)
    shares = areas[fewer] * (areas.sum() / areas[fewer].sum())
    coarse = _Task(model, points[fewer], normals[fewer], shares, corresponding, anchors)
    for step in IDENTITY_STEPS if detail else (*IDENTITY_STEPS, *LAST_IDENTITY_STEPS):
        fit = coarse.identity_step(fit, step)
    without = task.distances(fit)
    for step in DETAIL_STEPS if detail else ():
        fit = task.detail_step(fit, step)
    residuals = task.distances(fit)
    near = task.weights(task.match(fit), np.inf) > 0
    near &= residuals < MATCHED
    whole = task.whole_detail(fit)
    return Registration(fit.to_model, fit.identity, whole, fit.to_model(points[near]), without[near], residuals[near])


def neutral_of(model: MorphableModel, identity: Float[np.ndarray, " identity"]) -> Float[np.ndarray, "vertex 3"]:
    """As `model.neutral`, of one head, in double precision."""
    return model.mean.double().numpy() + np.tensordot(identity, model.identity_basis.double().numpy(), 1)


@dataclass(frozen=True)
class _Fit:
    to_model: Similarity
    identity: Float[np.ndarray, " identity"]
    detail: Float[np.ndarray, "skin 3"]


@dataclass(frozen=True)
class _Match:
    """Where samples of the surface belong on the model."""

    points: Float[np.ndarray, "sample 3"]
    normals: Float[np.ndarray, "sample 3"]
    corners: Int[np.ndarray, "sample 3"]
    barycentric: Float[np.ndarray, "sample 3"]
    offsets: Float[np.ndarray, " sample"]
    distances: Float[np.ndarray, " sample"]
    usable: Float[np.ndarray, " sample"]


class _Anchors:
    """The model's landmarks as corners and weights."""

    def __init__(self, model: MorphableModel, chosen: Bool[np.ndarray, " 478"]) -> None:
        embedding = model.landmarks["mediapipe"]
        self.corners = model.triangles.long().numpy()[embedding.triangles.long().numpy()[chosen]]
        self.barycentric = embedding.barycentric.double().numpy()[chosen]

    def of(self, vertices: Float[np.ndarray, "vertex 3"]) -> Float[np.ndarray, "landmark 3"]:
        return np.einsum("lk,lki->li", self.barycentric, vertices[self.corners])


class _Task:
    """What does not change while a model is laid onto a surface."""

    def __init__(
        self,
        model: MorphableModel,
        points: Float[np.ndarray, "sample 3"],
        normals: Float[np.ndarray, "sample 3"],
        areas: Float[np.ndarray, " sample"],
        landmarks: Float[np.ndarray, "landmark 3"],
        anchors: _Anchors,
    ) -> None:
        self.points, self.normals, self.areas = points, normals, areas
        self.landmarks, self.anchors = landmarks, anchors
        self.model = model
        self.skin = model.parts["head"].vertices.stop
        outer = model.triangles.long().numpy()
        parts = [outer[model.parts[name].triangles] for name in ("head", "eye_left", "eye_right")]
        self.triangles = np.concatenate(parts)
        self.skin_surface = Surface(model.mean.double().numpy()[: self.skin], parts[0])
        self.worth = self._worth(len(parts[0]))
        self.mean = model.mean.double().numpy()
        self.basis = model.identity_basis.double().numpy()

    def _worth(self, skin_triangles: int) -> Float[np.ndarray, " triangle"]:
        """How much each triangle of the model counts: eyeballs, and where the skin ends, not at all."""
        vertex = np.ones(self.skin)
        for name, share in LOOSE.items():
            vertex[self.model.regions[name].numpy()[: self.skin]] = share
        for name in IGNORED:
            vertex[self.model.regions[name].numpy()[: self.skin]] = 0
        vertex[self.skin_surface.boundary] = 0
        return np.concatenate(
            [vertex[self.triangles[:skin_triangles]].min(1), np.zeros(len(self.triangles) - skin_triangles)]
        )

    def head(self, fit: _Fit) -> Float[np.ndarray, "vertex 3"]:
        vertices = self.mean + np.tensordot(fit.identity, self.basis, 1)
        vertices[: self.skin] += fit.detail
        return vertices

    def match(self, fit: _Fit) -> _Match:
        surface = Surface(self.head(fit), self.triangles)
        points = fit.to_model(self.points)
        feet = surface.closest(points)
        corners = self.triangles[feet.triangles]
        normals = np.einsum("pk,pki->pi", feet.barycentric, surface.normals[corners])
        theirs = self.normals @ fit.to_model.rotation.T
        agreement = (normals * theirs).sum(1)
        both = normals + theirs
        both /= np.maximum(np.linalg.norm(both, axis=1, keepdims=True), 1e-9)
        offsets = ((points - feet.points) * both).sum(1)
        usable = np.where(agreement > AGREEING, self.worth[feet.triangles], 0.0)
        return _Match(points, both, corners, feet.barycentric, offsets, feet.distances, usable)

    def weights(self, match: _Match, reach: float) -> Float[np.ndarray, " sample"]:
        """Geman and McClure's, of the distances."""
        robust = 1 / (1 + (match.distances / reach) ** 2) ** 2
        return match.usable * self.areas * robust

    def distances(self, fit: _Fit) -> Float[np.ndarray, " sample"]:
        return self.match(fit).distances

    def identity_step(self, fit: _Fit, step: Step) -> _Fit:
        """One Gauss-Newton step over pose and identity."""
        match = self.match(fit)
        weight = self.weights(match, step.reach) / (INDEPENDENT * step.deviation**2)
        jacobian = np.concatenate(
            [
                _rigid_columns(match.points, match.normals),
                -_blended(self.basis, match.corners, match.barycentric, match.normals),
            ],
            1,
        )
        normal = jacobian.T @ (weight[:, None] * jacobian)
        right = -jacobian.T @ (weight * match.offsets)

        seen, known = fit.to_model(self.landmarks), self.anchors.of(self.head(fit))
        gap = seen - known
        steady = np.sqrt(len(seen)) * LANDMARK_DEVIATION  # errors of neighbours agree: the points weigh as √n of them
        pull = 1 / (1 + (gap**2).sum(1) / (3 * LANDMARK_DEVIATION) ** 2) ** 2 / (steady * LANDMARK_DEVIATION)
        for axis in np.eye(3):
            axes = np.tile(axis, (len(seen), 1))
            columns = np.concatenate(
                [
                    _rigid_columns(seen, axes),
                    -_blended(self.basis, self.anchors.corners, self.anchors.barycentric, axes),
                ],
                1,
            )
            normal += columns.T @ (pull[:, None] * columns)
            right -= columns.T @ (pull * (gap @ axis))

        normal[6:, 6:] += np.eye(len(fit.identity))
        right[6:] -= fit.identity
        change = np.linalg.solve(normal, right)
        return _Fit(fit.to_model.moved(change[:3], change[3:6]), fit.identity + change[6:], fit.detail)

    def detail_step(self, fit: _Fit, step: Step) -> _Fit:
        """The smooth displacements that bring the model to the surface as it is matched now."""
        match = self.match(fit)
        weight = self.weights(match, step.reach)
        usable = weight > 0
        corners, barycentric, normals = match.corners[usable], match.barycentric[usable], match.normals[usable]
        now = np.einsum("pk,pki,pi->p", barycentric, fit.detail[corners], normals)
        system, right = _projections(
            corners, barycentric, normals, weight[usable], now + match.offsets[usable], self.skin
        )

        chosen = (self.anchors.corners < self.skin).all(1)
        corners, barycentric = self.anchors.corners[chosen], self.anchors.barycentric[chosen]
        gap = (fit.to_model(self.landmarks) - self.anchors.of(self.head(fit)))[chosen]
        now = np.einsum("lk,lki->li", barycentric, fit.detail[corners])
        pull = LANDMARK_PULL / (1 + (gap**2).sum(1) / (3 * LANDMARK_DEVIATION) ** 2) ** 2
        for axis in range(3):
            axes = np.tile(np.eye(3)[axis], (len(gap), 1))
            more, also = _projections(corners, barycentric, axes, pull, (now + gap)[:, axis], self.skin)
            system, right = system + more, right + also

        system = system + scipy.sparse.kron(self._smoothness(step.smoothness), scipy.sparse.eye(3))
        detail = scipy.sparse.linalg.spsolve(system.tocsc(), right).reshape(-1, 3)
        return replace(fit, detail=detail)

    def _smoothness(self, scale: float) -> scipy.sparse.csr_matrix:
        """The energy of displacements d in square metres times metres squared, as what the data term has: bending
        scale⁴ ∫|Δd|² and stretching MEMBRANE² ∫|∇d|². Waves shorter than 2π times these lengths are held back."""
        stiffness, masses = self.skin_surface.stiffness, np.maximum(self.skin_surface.masses, 1e-9)
        bending = stiffness @ scipy.sparse.diags(1 / masses) @ stiffness
        return scale**4 * bending + MEMBRANE**2 * stiffness + REST * scipy.sparse.diags(masses)

    def whole_detail(self, fit: _Fit) -> Float[np.ndarray, "vertex 3"]:
        """Detail of all parts: those inside follow the skin around them as rigid things do."""
        whole = np.zeros_like(self.mean)
        whole[: self.skin] = fit.detail
        skin = self.mean[: self.skin]
        for name, part in self.model.parts.items():
            if name != "head":
                feet = Surface(skin, self.skin_surface.triangles).closest(self.mean[part.vertices])
                near = self.skin_surface.triangles[feet.triangles]
                carried = np.einsum("pk,pki->pi", feet.barycentric, fit.detail[near])
                whole[part.vertices] = carried if name == "lashes" else carried.mean(0)
        return whole


LANDMARK_PULL = 2e-6
"""Square metres of surface that a landmark weighs as much as."""
REST = 1e-4
"""How much detail is drawn to nothing where no data is."""


def _placing(
    points: Float[np.ndarray, "landmark 3"], goals: Float[np.ndarray, "landmark 3"], scaled: bool
) -> Similarity:
    """What brings landmarks to those of the average head; if `scaled`, to their size."""
    sizes = [float(np.linalg.norm(each - each.mean(0))) for each in (goals, points)]
    grown = Similarity(sizes[0] / sizes[1] if scaled else 1.0, np.eye(3), np.zeros(3))
    return aligning(grown(points), goals).after(grown)


def _samples(
    vertices: Float[np.ndarray, "vertex 3"],
    triangles: Int[np.ndarray, "triangle 3"],
    to_model: Similarity,
    model: MorphableModel,
) -> tuple[Float[np.ndarray, "sample 3"], Float[np.ndarray, "sample 3"], Float[np.ndarray, " sample"]]:
    """Points all over the outside of a head, their normals, and the area that each stands for, in the model's square
    metres."""
    placed = to_model(vertices)
    low, high = model.mean.numpy().min(0) - MARGIN, model.mean.numpy().max(0) + MARGIN
    near = ((placed > low) & (placed < high)).all(1)[triangles].all(1)
    kept = near & outer_triangles(placed, triangles, np.array([0.0, -0.03, 0.02]))
    surface = Surface(placed, triangles[kept])
    middle = placed[triangles[kept]].mean(1)
    on_face = np.linalg.norm(middle - [0.0, -0.04, 0.09], axis=1) < FACE_RADIUS
    density = surface.areas * np.where(on_face, FACE_SHARE, 1.0)
    mesh = trimesh.Trimesh(placed, surface.triangles, process=False)
    points, owners = trimesh.sample.sample_surface(mesh, SAMPLES, face_weight=density, seed=0)[:2]
    barycentric = trimesh.triangles.points_to_barycentric(surface.corners[owners], points, method="cramer")
    normals = np.einsum("pk,pki->pi", np.nan_to_num(barycentric), surface.normals[surface.triangles[owners]])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    areas = np.where(on_face, 1 / FACE_SHARE, 1.0)[owners] * density.sum() / SAMPLES
    back = to_model.inverse()
    return back(points), normals @ back.rotation.T, areas


def _rigid_columns(
    points: Float[np.ndarray, "point 3"], directions: Float[np.ndarray, "point 3"]
) -> Float[np.ndarray, "point 6"]:
    """How offsets along directions change as the points turn and shift."""
    return np.concatenate([np.cross(points, directions), directions], 1)


def _blended(
    basis: Float[np.ndarray, "mode vertex 3"],
    corners: Int[np.ndarray, "point 3"],
    barycentric: Float[np.ndarray, "point 3"],
    directions: Float[np.ndarray, "point 3"],
) -> Float[np.ndarray, "point mode"]:
    """How far each mode moves points of the surface along directions."""
    columns = (3 * corners[:, :, None] + np.arange(3)).reshape(len(corners), 9)
    values = (barycentric[:, :, None] * directions[:, None]).reshape(len(corners), 9)
    rows = np.repeat(np.arange(len(corners)), 9)
    picks = scipy.sparse.csr_matrix((values.ravel(), (rows, columns.ravel())), (len(corners), 3 * basis.shape[1]))
    return picks @ basis.reshape(len(basis), -1).T


def _projections(
    corners: Int[np.ndarray, "point 3"],
    barycentric: Float[np.ndarray, "point 3"],
    directions: Float[np.ndarray, "point 3"],
    weights: Float[np.ndarray, " point"],
    goals: Float[np.ndarray, " point"],
    count: int,
) -> tuple[scipy.sparse.csr_matrix, Float[np.ndarray, " unknown"]]:
    """Normal equations for displacements of `count` vertices whose components at points are to reach goals."""
    columns = (3 * corners[:, :, None] + np.arange(3)).reshape(len(corners), 9)
    values = (barycentric[:, :, None] * directions[:, None]).reshape(len(corners), 9)
    rows = np.repeat(np.arange(len(corners)), 9)
    matrix = scipy.sparse.csr_matrix((values.ravel(), (rows, columns.ravel())), (len(corners), 3 * count))
    return matrix.T @ scipy.sparse.diags(weights) @ matrix, matrix.T @ (weights * goals)
