"""Shading as evidence: the drawn face should be as bright and as coloured as the photo's, pixel by pixel."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from face3d.fitting.gauss_newton import State, moved
from morphable import JOINT_NAMES, MorphableModel
from renderers import Camera, interpolate, rasterize, spherical_harmonics_shade, vertex_normals

SIGMA = 0.10
"""Expected deviation of a pixel from plain skin under smooth light, relative to the face's mean radiance."""
ROBUST = 2.0
"""Sigmas beyond which a pixel begins to be taken for something else than skin: hair, shadow, a glint."""
INDEPENDENT = 1.0 / 150.0
"""Independent measurements a pixel is worth: neighbours share their albedo's deviation."""
EVALUATIONS = 12


@dataclass(frozen=True)
class ShadedView:
    """A photo as linear light."""

    camera: Camera
    photo: Float[Tensor, "height width 3"]
    inside: Bool[Tensor, "height width"]
    """Which pixels of `photo` there are; the others are padding."""
    skin: Float[Tensor, "3"]
    light: Float[Tensor, "9 3"]


def refine(
    states: Sequence[State],
    curvature: Float[Tensor, "unknown unknown"],
    model: MorphableModel,
    views: Sequence[ShadedView],
    bare: Bool[Tensor, " vertex"],
) -> list[State]:
    """Move states that landmarks and outlines have found to where shading agrees too.

    What has been found before enters as its Gaussian approximation (Laplace): with curvature L Lᵀ and unknowns
    x = x₀ + L⁻ᵀ z, its energy is |z|² / 2. To that comes Cauchy's energy of the photometric residuals, through the
    differentiable renderer, minimised by L-BFGS (Liu & Nocedal 1989).

    Args:
        curvature: normal equations of all other terms at the states.
        bare: vertices whose albedo is the view's `skin`.
    """
    whitening = torch.linalg.cholesky(curvature)
    skin_triangles = bare[model.triangles.long()].all(1)
    z = torch.zeros(len(curvature), dtype=torch.float64, requires_grad=True)

    def unknowns() -> Tensor:
        return torch.linalg.solve_triangular(whitening.mT, z[:, None], upper=True)[:, 0]

    def energy() -> Tensor:
        optimiser.zero_grad()
        total = 0.5 * z.square().sum()
        for state, view in zip(moved(states, unknowns()), views, strict=True):
            total = total + _energy(state, model, view, skin_triangles)
        total.backward()
        return total

    optimiser = torch.optim.LBFGS([z], max_iter=EVALUATIONS, max_eval=EVALUATIONS, line_search_fn="strong_wolfe")
    with _same_bits_every_time():
        optimiser.step(energy)
    with torch.no_grad():
        return moved(states, unknowns())


def _energy(state: State, model: MorphableModel, view: ShadedView, skin_triangles: Tensor) -> Tensor:
    residual, seen = _residuals(state, model, view, skin_triangles)
    squared = (residual / (SIGMA * view.photo[view.inside].mean())).square().mean(-1)
    cost = 0.5 * ROBUST**2 * torch.log1p(squared / ROBUST**2)
    return INDEPENDENT * (cost * (seen & view.inside)).sum().double()


@contextmanager
def _same_bits_every_time() -> Iterator[None]:
    """Gradients of indexing are otherwise summed in whatever order torch's threads arrive."""
    before = torch.are_deterministic_algorithms_enabled()
    only_warned = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=only_warned)


def _residuals(state: State, model: MorphableModel, view: ShadedView, skin_triangles: Tensor) -> tuple[Tensor, Tensor]:
    """Drawn minus photographed radiance, and which pixels show bare skin."""
    pose = torch.zeros(1, len(JOINT_NAMES), 3)
    vertices = model(state.identity.float()[None], state.expression.float()[None], pose)[0]
    camera = view.camera
    seen_by = Camera(
        camera.focal, camera.principal, state.rotation.float(), state.translation.float(), camera.resolution
    )
    fragments = rasterize(seen_by.clip(vertices), model.triangles, camera.resolution)
    normals = interpolate(vertex_normals(vertices, model.triangles), fragments, model.triangles)
    normals = torch.nn.functional.normalize(normals[0], dim=-1)
    drawn = view.skin * spherical_harmonics_shade(normals.flatten(0, 1), view.light).view(normals.shape)
    triangle = fragments.triangle[0]
    seen = (triangle >= 0) & skin_triangles[triangle.clamp(min=0).long()]
    return drawn - view.photo, seen
