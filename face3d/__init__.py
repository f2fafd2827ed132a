"""From a photo to a head: metric, textured, rigged, animatable.

>>> import face3d                            # doctest: +SKIP
>>> head = face3d.reconstruct("me.jpg")      # doctest: +SKIP
>>> head.save("me.glb")                      # doctest: +SKIP
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING

from face3d.errors import Face3DError

if TYPE_CHECKING:
    from face3d.measurement import Measurement, measure
    from face3d.reconstruction import reconstruct
    from morphable import Head

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # torch's waiting threads would take the renderer's cores

__version__ = "0.1.0"
__all__ = ["Face3DError", "Head", "Measurement", "__version__", "measure", "reconstruct"]

_HOMES = {
    "reconstruct": "face3d.reconstruction",
    "measure": "face3d.measurement",
    "Measurement": "face3d.measurement",
    "Head": "morphable",
}


def __getattr__(name: str) -> object:
    """Import the heavy parts when they are first asked for, so that `import face3d` takes no time."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
