"""A face's landmarks on any mesh: draw it, detect them in the picture, cast them back onto the surface."""

from dataclasses import dataclass
from itertools import product
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from face3d.errors import Face3DError
from face3d.perception import FaceDetector, FaceObservation
from face3d.registration.alignment import Similarity, aligning
from morphable import MorphableModel, on_surface
from renderers import Camera, DirectionalLight, EnvironmentLight, Light, linear_to_srgb, rasterize, render_mesh

SIZE = 640
"""Pixels a side of a picture in which landmarks are measured."""
SEARCH_SIZE = 320
"""Pixels a side of a picture in which a face is looked for."""
SKIN = (0.62, 0.40, 0.31)
"""Linear colour of a mesh that has none."""
SURE = 0.86
"""A detector's score above which no other side of the mesh is looked at."""
ANGLES = ((0.0, 0.0), (0.3, 0.0), (-0.3, 0.0), (0.0, 0.25), (0.0, -0.25))
"""Yaw and pitch, in radians, from which a face is looked at once its front is known."""
FACE_RADIUS = 0.17
"""Metres about the middle of a face that are drawn."""
FACING = 0.3
"""Least cosine between a surface and the line of sight for its landmark to count."""
ALIGNED = 0.006
"""Metres: landmarks further from the average head's than this, in the median, are not a face's."""


@dataclass(frozen=True)
class SurfaceLandmarks:
    """MediaPipe's 478 points on a mesh.

    Attributes:
        points: in the mesh's own frame and unit; meaningless where not `seen`.
        seen: whether a point was found on the surface.
        to_model: takes the mesh's frame to the model's, metres, roughly.
    """

    points: Float[np.ndarray, "478 3"]
    seen: Bool[np.ndarray, " 478"]
    to_model: Similarity


@dataclass(frozen=True)
class _View:
    points: Float[np.ndarray, "478 3"]
    trust: Float[np.ndarray, " 478"]
    score: float


def find_landmarks(
    model: MorphableModel,
    vertices: Float[np.ndarray, "vertex 3"],
    triangles: Int[np.ndarray, "triangle 3"],
    detector: FaceDetector,
    colours: Float[np.ndarray, "vertex 3"] | None = None,
) -> SurfaceLandmarks:
    """The landmarks of the face on a mesh in any pose and unit.

    Args:
        model: has the points, too, and so tells the pose.
        vertices, triangles: the mesh.
        detector: finds the face in pictures of the mesh.
        colours: linear; they help the detector. Without them the mesh is skin-coloured.

    Raises:
        Face3DError: no face can be seen on the mesh from any side.
    """
    unit = _unit_sphere(vertices)
    mesh = _Drawn(unit(vertices), triangles, colours, detector)
    reference = on_surface(model.landmarks["mediapipe"], model.mean, model.triangles).double().numpy()
    found = None
    for direction, up in _directions():
        view = mesh.seen_from(np.zeros(3), np.array(direction, float), np.array(up, float), 1.05)
        if view is not None and (found is None or view.score > found.score):
            if _misfit(view, reference) < ALIGNED:
                found = view
            if found is not None and found.score > SURE:
                break
    if found is None:
        raise Face3DError("no face can be seen on the mesh from any side")
    points, trust = mesh.measured(found.points, found.trust, reference)
    to_model = _alignment(points, trust, reference)
    points = to_model.inverse()(to_model(points) - _habit(model, detector))
    return SurfaceLandmarks(unit.inverse()(points), trust > 0, _alignment(points, trust, reference).after(unit))


def outer_triangles(
    vertices: Float[np.ndarray, "vertex 3"], triangles: Int[np.ndarray, "triangle 3"], centre: Float[np.ndarray, "3"]
) -> Bool[np.ndarray, " triangle"]:
    """Which triangles can be seen from somewhere around: not sockets, teeth, or the inside of a mouth.

    Args:
        vertices: metres.
        centre: where to look.
    """
    outside = np.zeros(len(triangles), bool)
    faces = torch.as_tensor(triangles.astype(np.int32))
    points = torch.as_tensor(vertices, dtype=torch.float32)
    target = torch.as_tensor(centre, dtype=torch.float32)
    for direction in product((-1, 0, 1), repeat=3):
        if any(direction):
            towards = torch.nn.functional.normalize(torch.tensor(direction, dtype=torch.float32), dim=0)
            up = [0.0, 0.0, 1.0] if direction[0] == direction[2] == 0 else [0.0, 1.0, 0.0]
            camera = Camera.looking_at(target + 1.5 * towards, target, up, 0.24, (2 * SIZE, 2 * SIZE))
            triangle = rasterize(camera.clip(points[None]), faces, camera.resolution).triangle
            outside[np.unique(triangle[triangle >= 0].numpy())] = True
    return outside


def weighted_median(
    values: Float[np.ndarray, "view point 3"], weights: Float[np.ndarray, "view point"]
) -> Float[np.ndarray, "point 3"]:
    """Over the views, coordinate by coordinate."""
    order = values.argsort(0)
    ranked = np.take_along_axis(np.broadcast_to(weights[..., None], values.shape), order, 0)
    at = (ranked.cumsum(0) >= 0.5 * ranked.sum(0)).argmax(0)[None]
    return np.take_along_axis(np.take_along_axis(values, order, 0), at, 0)[0]


def _habit(model: MorphableModel, detector: FaceDetector) -> Float[np.ndarray, "478 3"]:
    """Where the detector sees the model's own points on its mean head drawn in the same way, less where they are;
    metres. It is taken off what is found on other meshes, so that both are seen alike."""
    known = _habits.setdefault(model, {})
    if type(detector) not in known:
        reference = on_surface(model.landmarks["mediapipe"], model.mean, model.triangles).double().numpy()
        drawn = _Drawn(model.mean.double().numpy(), model.triangles.long().numpy(), None, detector)
        points, trust = drawn.measured(reference, np.ones(len(reference)), reference)
        known[type(detector)] = np.where((trust > 0)[:, None], points - reference, 0.0)
    return known[type(detector)]


_habits: WeakKeyDictionary[MorphableModel, dict[type, Float[np.ndarray, "478 3"]]] = WeakKeyDictionary()


class _Drawn:
    """A mesh as the detector sees it."""

    def __init__(
        self,
        vertices: Float[np.ndarray, "vertex 3"],
        triangles: Int[np.ndarray, "triangle 3"],
        colours: Float[np.ndarray, "vertex 3"] | None,
        detector: FaceDetector,
    ) -> None:
        self.vertices = torch.as_tensor(vertices, dtype=torch.float32)
        self.triangles = torch.as_tensor(triangles.astype(np.int32))
        skin = torch.tensor(SKIN).expand(len(vertices), 3)
        self.colours = skin if colours is None else torch.as_tensor(colours, dtype=torch.float32)
        self.detector = detector

    def measured(
        self,
        points: Float[np.ndarray, "478 3"],
        trust: Float[np.ndarray, " 478"],
        reference: Float[np.ndarray, "478 3"],
    ) -> tuple[Float[np.ndarray, "478 3"], Float[np.ndarray, " 478"]]:
        """From the face's front and near it, where landmarks found in one view say that this is."""
        for _ in range(2):
            points, trust = self.seen_from_front(_alignment(points, trust, reference), reference, (points, trust))
        return points, trust

    def seen_from_front(
        self, to_model: Similarity, reference: Float[np.ndarray, "478 3"], before: tuple[np.ndarray, np.ndarray]
    ) -> tuple[Float[np.ndarray, "478 3"], Float[np.ndarray, " 478"]]:
        """The medians over ANGLES and how often each point was seen; what was known before where no view works."""
        to_mesh = to_model.inverse()
        centre = to_mesh(np.array([[0.0, -0.03, 0.06]]))[0]
        views = []
        for yaw, pitch in ANGLES:
            direction = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
            up = to_mesh.rotation @ np.array([0.0, 1.0, 0.0])
            view = self.seen_from(
                centre, to_mesh.rotation @ direction, up, FACE_RADIUS * to_mesh.scale, to_mesh(reference)
            )
            if view is not None:
                views.append(view)
        if not views:
            return before
        points, trust = np.stack([view.points for view in views]), np.stack([view.trust for view in views])
        return weighted_median(points, trust), trust.sum(0)

    def seen_from(
        self,
        centre: Float[np.ndarray, "3"],
        direction: Float[np.ndarray, "3"],
        up: Float[np.ndarray, "3"],
        radius: float,
        expected: Float[np.ndarray, "478 3"] | None = None,
    ) -> _View | None:
        """What the detector makes of the sphere about `centre` seen from a direction; None if that is no face. With
        landmarks expected somewhere it does not search."""
        angle = 0.3
        size = SEARCH_SIZE if expected is None else SIZE
        target = torch.as_tensor(centre, dtype=torch.float32)
        away = torch.as_tensor(direction / np.linalg.norm(direction) * radius / np.sin(angle / 2), dtype=torch.float32)
        distance = float(away.norm())
        towards = torch.as_tensor(up, dtype=torch.float32)
        camera = Camera.looking_at(
            target + away, target, towards, angle, (size, size), near=0.05 * distance, far=distance + 4 * max(1, radius)
        )
        lights = _lights(camera)
        drawn = render_mesh(
            camera,
            self.vertices[None],
            self.triangles,
            colour=self.colours,
            lights=lights,
            background=0.35,
            supersample=2,
        )
        image = (linear_to_srgb(drawn.colour[0].clamp(0, 1)) * 255 + 0.5).to(torch.uint8).numpy()
        if expected is None:
            face = max(self.detector.detect(image), key=lambda face: face.score, default=None)
        else:
            face = self.detector.measure(image, _box(camera, expected))
        return None if face is None else _cast_back(camera, face, drawn.depth[0], drawn.normals[0])


def _box(camera: Camera, points: Float[np.ndarray, "478 3"]) -> tuple[float, float, float, float]:
    seen = camera.project(torch.as_tensor(points, dtype=torch.float32))
    (x0, y0), (x1, y1) = seen.amin(0).tolist(), seen.amax(0).tolist()
    return x0, y0, x1, y1


def _cast_back(
    camera: Camera, face: FaceObservation, depth: Float[Tensor, "h w"], normals: Float[Tensor, "h w 3"]
) -> _View:
    landmarks = face.landmarks[:, :2]
    height, width = camera.resolution
    column = np.clip(landmarks[:, 0].astype(int), 0, width - 1)
    row = np.clip(landmarks[:, 1].astype(int), 0, height - 1)
    distance = depth.numpy()[row, column]
    plane = (landmarks - camera.principal.numpy()) / camera.focal.numpy()
    rays = np.concatenate([plane, np.ones((len(plane), 1))], 1) * distance[:, None]
    points = (rays - camera.translation.numpy()) @ camera.rotation.numpy()
    towards = camera.position.numpy() - points
    towards /= np.maximum(np.linalg.norm(towards, axis=1, keepdims=True), 1e-12)
    facing = (normals.numpy()[row, column] * towards).sum(1)
    return _View(points, np.where(distance > 0, np.clip(facing - FACING, 0, None), 0.0), face.score)


def _lights(camera: Camera) -> list[Light]:
    """A headlight from a little above, over ambient light."""
    ambient = torch.zeros(9, 3)
    ambient[0] = 1.6
    shine = camera.rotation.T @ torch.tensor([0.0, 0.45, 1.0])
    return [EnvironmentLight(ambient), DirectionalLight(shine, torch.full((3,), 0.6))]


def _directions() -> list[tuple[tuple[int, ...], tuple[int, int, int]]]:
    """Where to look from, and what is up there: the front first, then the axes, then between them. The detector finds
    faces that lie on their side or head, so each direction needs one roll."""
    axes = [(0, 0, 1), (0, 0, -1), (0, -1, 0), (0, 1, 0), (1, 0, 0), (-1, 0, 0)]
    between = sorted((d for d in product((-1, 0, 1), repeat=3) if sum(map(abs, d)) > 1), key=lambda d: sum(map(abs, d)))
    return [(d, (0, 0, 1) if d[0] == d[2] == 0 else (0, 1, 0)) for d in axes + between]


def _unit_sphere(vertices: Float[np.ndarray, "vertex 3"]) -> Similarity:
    low, high = vertices.min(0), vertices.max(0)
    scale = 2 / float(np.linalg.norm(high - low))
    return Similarity(scale, np.eye(3), -scale * (low + high) / 2)


def _alignment(points: np.ndarray, trust: np.ndarray, reference: np.ndarray) -> Similarity:
    """Iris points are left out: eyes may be closed, missing, or look elsewhere."""
    chosen = (trust > 0) & (np.arange(len(points)) < 468)
    return aligning(points[chosen], reference[chosen], scaled=True)


def _misfit(view: _View, reference: Float[np.ndarray, "478 3"]) -> float:
    """Median distance in metres between the landmarks of a view and the average head's."""
    if (view.trust[:468] > 0).sum() < 200:
        return np.inf
    to_model = _alignment(view.points, view.trust, reference)
    return float(np.median(np.linalg.norm(to_model(view.points) - reference, axis=1)[view.trust > 0]))
