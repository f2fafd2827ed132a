"""A head's shape by a network that others published (`face3d.perception.published`)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

import morphable
from face3d.errors import Face3DError
from face3d.perception import FaceDetector, select
from face3d.perception.published import Coefficients, PublishedNetwork
from face3d.photo import Photo
from morphable import ARKIT_NAMES, Head
from morphable.flame import Flame
from morphable.retargeting import FlameExpression, arkit_from_flame


def read_photos(
    network: PublishedNetwork, photos: Sequence[Photo], face: int, detector: FaceDetector
) -> list[Coefficients]:
    """What the network makes of the same person in each photo in which that face is found.

    Raises:
        Face3DError: it is in none.
    """
    found, reason = [], Face3DError("give at least one photo")
    for photo in photos:
        try:
            observation = select(detector.detect(photo.pixels), face, photo.name)
        except Face3DError as error:
            reason = error
        else:
            found.append(network.read(photo.pixels, observation.landmarks))
    if not found:
        raise reason
    return found


def reshaped(head: Head, network: str, seen: Sequence[Coefficients]) -> tuple[Head, dict[str, Any]]:
    """The head with the shape that a network sees, its mean over the photos, in the textures that it has; and a report:
    the network, photos, coefficients, and the first photo's expression in ARKit's weights where the model has them.

    Args:
        head: of the FLAME model that the network belongs to.
        seen: as `read_photos` returns it.
    """
    model = morphable.load(head.model)
    assert isinstance(model, Flame)
    shape = np.mean([each.shape for each in seen], axis=0)
    identity = _padded(shape, model.identities)
    provenance = {**head.provenance, "shape_by": network}
    new = Head.from_model(model, torch.as_tensor(identity), head.textures, provenance)
    report: dict[str, Any] = {"network": network, "photos": len(seen), "shape": shape.round(5).tolist()}
    expression, jaw = seen[0].expression, seen[0].jaw
    if expression is not None and jaw is not None and model.can_express:
        native = FlameExpression(_padded(expression, len(model.native_expression_basis)), jaw.astype(float))
        weights, left = arkit_from_flame(model, identity, new.expressions.astype(float), native)
        if seen[0].eyelids is not None:
            blinks = [ARKIT_NAMES.index(f"eyeBlink{side}") for side in ("Left", "Right")]
            weights[blinks] = np.maximum(weights[blinks], seen[0].eyelids)
        report["expression"] = dict(zip(ARKIT_NAMES, weights.round(4).tolist(), strict=True))
        report["expression_left_mm"] = round(left, 3)
    return new, report


def _padded(leading: np.ndarray, count: int) -> np.ndarray:
    """All coefficients; those that the network does not know are the average's."""
    return np.concatenate([leading, np.zeros(count - len(leading))])
