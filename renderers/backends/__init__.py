"""Other renderers behind the same functions, imported only when asked for."""

from importlib import import_module
from types import ModuleType
from typing import Protocol, cast

from jaxtyping import Float, Int
from torch import Tensor

from ..camera import Camera
from ..gaussians import Splatted
from ..rasterization import Fragments

RASTERIZERS = ("pytorch3d", "nvdiffrast")
SPLATTERS = ("gsplat",)
"""Modules here, named as the packages that they need."""


class Backend(Protocol):
    """What a backend module offers."""

    @staticmethod
    def rasterize(
        clip: Float[Tensor, "batch vertex 4"], triangles: Int[Tensor, "triangle 3"], resolution: tuple[int, int]
    ) -> Fragments: ...


class Splatter(Protocol):
    """What a backend module for Gaussians offers."""

    @staticmethod
    def splat(
        means: Float[Tensor, "gaussian 3"],
        axes: Float[Tensor, "gaussian 3 3"],
        opacities: Float[Tensor, " gaussian"],
        colours: Float[Tensor, "gaussian 3"],
        camera: Camera,
    ) -> Splatted: ...


def load(name: str) -> Backend:
    """The rasterizer of that name.

    Raises:
        ValueError: there is none of that name.
        ImportError: the package it needs is not installed.
    """
    return cast(Backend, _module(name, RASTERIZERS))


def load_splatter(name: str) -> Splatter:
    """The renderer of Gaussians of that name. Raises as `load`."""
    return cast(Splatter, _module(name, SPLATTERS))


def _module(name: str, known: tuple[str, ...]) -> ModuleType:
    if name not in known:
        raise ValueError(f"backend must be 'warp', {', '.join(map(repr, known))}, not {name!r}")
    try:
        return import_module(f".{name}", __name__)
    except ModuleNotFoundError as error:
        raise ImportError(f"the {name} backend needs the package {name}, which is not installed") from error
