"""Heads and the models that they are of."""

import torch

import morphable
from face3d.errors import Face3DError
from morphable import Head, MorphableModel


def model_of(head: Head) -> MorphableModel:
    """The model whose mesh the head has.

    Raises:
        Face3DError: it has a mesh of its own, or one of another version of the model.
        ValueError: there is no such model here.
    """
    if head.topology is not None:
        raise Face3DError("The head has a mesh of its own, not a model's, so that its places are not known.")
    model = morphable.load(head.model)
    if head.neutral.shape != tuple(model.mean.shape):
        raise Face3DError(
            f"The head has {len(head.neutral):,} vertices and the model {head.model!r} {len(model.mean):,}; "
            "it was made with another version of the model."
        )
    return model


def average_head() -> Head:
    """The default model's mean person, in its own colours."""
    model = morphable.load()
    return Head.from_model(model, torch.zeros(model.identities), morphable.default_textures(model))
