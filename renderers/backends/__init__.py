"""Other rasterizers behind the same functions, imported only when asked for."""

from importlib import import_module
from typing import Protocol, cast

from jaxtyping import Float, Int
from torch import Tensor

from ..rasterization import Fragments

PACKAGES = {"pytorch3d": "pytorch3d", "nvdiffrast": "nvdiffrast"}


class Backend(Protocol):
    """What a backend module offers."""

    @staticmethod
    def rasterize(
        clip: Float[Tensor, "batch vertex 4"], triangles: Int[Tensor, "triangle 3"], resolution: tuple[int, int]
    ) -> Fragments: ...


def load(name: str) -> Backend:
    """The backend module of that name.

    Raises:
        ValueError: there is none of that name.
        ImportError: the package it needs is not installed.
    """
    if name not in PACKAGES:
        raise ValueError(f"backend must be 'warp', {', '.join(map(repr, PACKAGES))}, not {name!r}")
    try:
        return cast(Backend, import_module(f".{name}", __name__))
    except ModuleNotFoundError as error:
        raise ImportError(f"the {name} backend needs the package {PACKAGES[name]}, which is not installed") from error
