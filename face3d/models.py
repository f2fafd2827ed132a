"""Other people's head models, made as able as the default head."""

from pathlib import Path

import torch

import morphable
from face3d.convert import carried_shapes
from face3d.errors import Face3DError
from face3d.perception import published
from morphable import catalogue
from morphable.catalogue import Entry


def add(path: str | Path, name: str | None = None) -> Entry:
    """Add a user's copy of a model as `morphable.catalogue.add` does; one without ARKit's 52 shapes gets the default
    head's, carried to its mean head. One on which no face can be seen stays without. A checkpoint of a network of
    `face3d.perception.published` is added to the FLAME model of that name.

    Raises:
        ValueError: the file is no model, or damaged.
        OSError: it cannot be read, or the model cannot be stored.
    """
    if Path(path).suffix.lower() in published.SUFFIXES:
        model = name or "flame"
        published.add(Path(path), model)
        return catalogue.entry(model)
    entry = catalogue.add(path, name)
    if entry.shapes:
        return entry
    try:
        shapes = carried_shapes(morphable.load(entry.name))
    except Face3DError:
        return entry
    catalogue.amend(entry.name, torch.as_tensor(shapes))
    return catalogue.entry(entry.name)
