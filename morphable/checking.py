"""Checks of what a model file holds, each failing with one sentence."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from morphable.errors import ModelFileError

Shape = tuple[int | None, ...]
"""None fits any length."""


def numbers(data: Mapping[str, Any], key: str, shape: Shape, file: str) -> Float[np.ndarray, "..."]:
    """`data[key]` as finite float64 of this shape.

    Raises:
        ModelFileError: it is absent, no array of numbers, of another shape, or not finite.
    """
    array = _array(data, key, shape, file, "biuf").astype(np.float64)
    if not np.isfinite(array).all():
        raise ModelFileError(f"`{key}` in {file} holds values that are no finite numbers.")
    return array


def indices(data: Mapping[str, Any], key: str, shape: Shape, count: int, file: str) -> Int[np.ndarray, "..."]:
    """`data[key]` as int64 of this shape, all at least 0 and below `count`. Raises as `numbers`."""
    array = _array(data, key, shape, file, "biuf")
    if not ((array >= 0) & (array < count) & (array == np.floor(array))).all():
        raise ModelFileError(f"`{key}` in {file} holds indices that are not within 0 and {count - 1}.")
    return array.astype(np.int64)


def plausible_head(vertices: Float[np.ndarray, "vertex 3"], file: str) -> None:
    """Refuses what no adult's face or head measures: the larger of its height and width, in metres."""
    size = np.ptp(vertices, axis=0)[:2].max() if len(vertices) else 0.0
    if not 0.1 <= size <= 0.7:
        raise ModelFileError(f"The head in {file} would be {size:.3g} m tall; its numbers are in another unit.")


def _array(data: Mapping[str, Any], key: str, shape: Shape, file: str, kinds: str) -> np.ndarray:
    if key not in data:
        raise ModelFileError(f"{file} lacks `{key}`.")
    array = np.asarray(data[key])
    if array.dtype.kind not in kinds:
        raise ModelFileError(f"`{key}` in {file} is no array of numbers.")
    fits = array.ndim == len(shape) and all(want in (None, have) for want, have in zip(shape, array.shape, strict=True))
    if not fits:
        wanted = " x ".join("any" if each is None else str(each) for each in shape)
        have = " x ".join(map(str, array.shape)) or "a single number"
        raise ModelFileError(f"`{key}` in {file} has the wrong shape: {have} instead of {wanted}.")
    return array
