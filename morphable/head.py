"""One person's head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8

from morphable import catalogue
from morphable.model import JOINT_PARENTS, MorphableModel
from morphable.skinning import blend_skinning
from morphable.texture import Texture
from morphable.topology import Layout, Topology

OWN = "own"
"""What stands for a model's name where the head has a mesh of its own."""
FORMATS = "morphable.formats"
"""The entry-point group through which file formats are found: suffix → module with `save(head, path)`, `load(path)`."""


@dataclass(eq=False)
class Head:
    """A person's head: plain data, which any engine can play. World frame and order of vertices are the model's.

    Attributes:
        model: name of the model that gives the mesh its topology; OWN if it has its own.
        identity: the coefficients that made the neutral mesh.
        neutral: metres.
        expressions: offsets of the 52 ARKit shapes, metres.
        joints: neck, head, left eye, right eye, metres.
        textures: part (`head`, `eyes`, `teeth`, `tongue`, `lashes`) → sRGB image.
        provenance: how the head was made; anything that JSON can hold.
        deviation: one standard deviation of the distance between the neutral surface and the true one at each vertex,
            metres; None if nobody knows.
        identity_factor: how far `identity` is known: samples of the posterior are identity + factor @ N(0, I); None if
            nobody knows.
        topology: the head's own, where no model gives it.
    """

    model: str
    identity: Float[np.ndarray, " identity"]
    neutral: Float[np.ndarray, "vertex 3"]
    expressions: Float[np.ndarray, "52 vertex 3"]
    joints: Float[np.ndarray, "4 3"]
    textures: dict[str, Texture]
    provenance: dict[str, Any] = field(default_factory=dict)
    deviation: Float[np.ndarray, " vertex"] | None = None
    identity_factor: Float[np.ndarray, "identity rank"] | None = None
    topology: Topology | None = None

    @property
    def layout(self) -> Layout:
        """Triangles, parts, texture coordinates and skinning weights.

        Raises:
            ValueError: the model that has them is not there.
        """
        return self.topology or catalogue.load(self.model)

    @classmethod
    def from_model(
        cls,
        model: MorphableModel,
        identity: Float[torch.Tensor, " identity"],
        textures: Mapping[str, Texture | UInt8[np.ndarray, "height width channel"]],
        provenance: dict[str, Any] | None = None,
        deviation: Float[np.ndarray, " vertex"] | None = None,
        identity_factor: Float[np.ndarray, "identity rank"] | None = None,
    ) -> Head:
        """The head that `model` makes of `identity`; pixels given as textures are encoded once, here."""
        one = identity.detach().to(model.mean)[None]
        encoded = {
            part: image if isinstance(image, Texture) else Texture.encode(image) for part, image in textures.items()
        }
        with torch.no_grad():
            return cls(
                model.name,
                identity=_array(one[0]),
                neutral=_array(model.neutral(one)[0]),
                expressions=_array(model.expressions(one)[0]),
                joints=_array(model.joints(one)[0]),
                textures=encoded,
                provenance=provenance or {},
                deviation=_single(deviation),
                identity_factor=_single(identity_factor),
            )

    def posed(
        self,
        model: Layout,
        expression: Float[np.ndarray, 52],
        pose: Float[np.ndarray, "4 3"] | None = None,
    ) -> Float[torch.Tensor, "vertex 3"]:
        """Vertices under expression weights and joint rotations (axis-angle, radians), as an engine places them."""
        weights = torch.as_tensor(np.asarray(expression, dtype=np.float32))
        turned = torch.as_tensor(np.zeros((4, 3)) if pose is None else pose, dtype=torch.float32)
        shaped = torch.as_tensor(self.neutral) + torch.tensordot(weights, torch.as_tensor(self.expressions), 1)
        joints = torch.as_tensor(self.joints)
        weights = model.skinning_weights.float().cpu()
        return blend_skinning(shaped[None], joints[None], JOINT_PARENTS, weights, turned[None])[0][0]

    def save(self, path: str | Path) -> None:
        """Write the head in the format of the path's suffix. A `.glb` holds all of it: `Head.load` gives it back.

        Raises:
            ValueError: no such format.
        """
        _format_module(Path(path)).save(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Head:
        """Read a head that `save` wrote.

        Raises:
            ValueError: a format that cannot be read back, or a file that holds no head.
        """
        module = _format_module(Path(path))
        if not hasattr(module, "load"):
            raise ValueError(f"{path}: heads cannot be read back from {Path(path).suffix} files; give a .glb")
        head: Head = module.load(path)
        return head

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Head):
            return NotImplemented
        return all(_same(getattr(self, f.name), getattr(other, f.name)) for f in fields(self))


def _same(mine: Any, theirs: Any) -> bool:
    arrays = isinstance(mine, np.ndarray) or isinstance(theirs, np.ndarray)
    return np.array_equal(mine, theirs) if arrays else bool(mine == theirs)


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.cpu().numpy().astype(np.float32)


def _single(values: np.ndarray | None) -> np.ndarray | None:
    return None if values is None else np.asarray(values, dtype=np.float32)


def _format_module(path: Path) -> ModuleType:
    suffix = path.suffix.removeprefix(".").lower()
    formats = {entry.name: entry.value for entry in entry_points(group=FORMATS)}
    if suffix not in formats:
        known = ", ".join(f".{name}" for name in sorted(formats))
        raise ValueError(f"{path}: heads are saved as {known}, not as {path.suffix or 'a file without a suffix'}")
    return import_module(formats[suffix])
