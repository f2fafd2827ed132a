"""A model as fits see it: in double precision, and what depends on the identity worked out once for all photos."""

from dataclasses import dataclass
from threading import Lock

import torch
from jaxtyping import Float, Int
from torch import Tensor

from face3d.fitting.gauss_newton import PointBasis
from face3d.fitting.shading import bare_skin
from morphable import MorphableModel


@dataclass(frozen=True, eq=False)
class Shape:
    """A head at rest, metres in the world.

    Attributes:
        neutral: its vertices.
        expressions: how its 52 shapes move them.
        landmarks: MediaPipe's points on it.
    """

    neutral: Float[Tensor, "vertex 3"]
    expressions: Float[Tensor, "52 vertex 3"]
    landmarks: PointBasis


class FittedModel:
    """Shared by all fits of one person.

    Attributes:
        mean, identity_basis: the model's, double.
        mean_landmarks: MediaPipe's points on the average head.
        edges: of its triangles, each once.
        outline_allowed: vertices whose outline may show in a photo as an edge.
        skin: its bare skin.
        skin_vertices, skin_triangles: the surface around it; corners of the latter count among the former.
    """

    def __init__(self, model: MorphableModel) -> None:
        self.model = model
        self.mean, self.identity_basis = model.mean.double(), model.identity_basis.double()
        embedding = model.landmarks["mediapipe"]
        self._corners = model.triangles[embedding.triangles.long()].long()
        self._weights = embedding.barycentric.double()
        self.mean_landmarks = self.at_landmarks(self.mean)
        self._landmark_identity = self.at_landmarks(self.identity_basis)
        self.edges = _edges(model.triangles)
        outside = model.regions["face"] | model.regions["ears"]
        self.outline_allowed = outside & ~model.regions["lips"] & ~model.regions["eye_socket"]
        self.skin = bare_skin(model)
        around = model.triangles[self.skin[model.triangles.long()].any(1)].long()
        self.skin_vertices, corners = torch.unique(around, return_inverse=True)
        self.skin_triangles = corners.view(-1, 3)
        self._last: tuple[Tensor, Shape] | None = None
        self._lock = Lock()

    def shape(self, identity: Float[Tensor, " identity"]) -> Shape:
        """The head of an identity; that of the last one asked for is kept."""
        with self._lock:
            if self._last is None or not torch.equal(self._last[0], identity):
                self._last = identity, self._shape(identity)
            return self._last[1]

    def basis(self, chosen: Int[Tensor, " point"], shape: Shape) -> PointBasis:
        """Of some vertices, near a shape."""
        return PointBasis(self.mean[chosen], self.identity_basis[:, chosen], shape.expressions[:, chosen])

    def at_landmarks(self, values: Float[Tensor, "*batch vertex channel"]) -> Float[Tensor, "*batch 478 channel"]:
        """What lives on vertices, at MediaPipe's points."""
        return (values[..., self._corners, :] * self._weights[:, :, None]).sum(-2)

    @torch.no_grad()
    def _shape(self, identity: Float[Tensor, " identity"]) -> Shape:
        expressions = self.model.expressions(identity.to(self.model.mean)[None])[0].double()
        landmarks = PointBasis(self.mean_landmarks, self._landmark_identity, self.at_landmarks(expressions))
        return Shape(self.mean + torch.tensordot(identity, self.identity_basis, 1), expressions, landmarks)


def _edges(triangles: Int[Tensor, "triangle 3"]) -> Int[Tensor, "edge 2"]:
    pairs = torch.cat([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]).long()
    return torch.unique(pairs.sort(1).values, dim=0)
