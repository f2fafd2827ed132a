"""What JSON and NPZ share: a performance as named arrays."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from morphable.arkit import ARKIT_NAMES
from morphable.performance import Performance

OPTIONAL = ("head", "translation", "gaze", "confidence")


def to_arrays(performance: Performance) -> dict[str, np.ndarray]:
    """Everything but the provenance, and the names of the shapes."""
    names = ("times", "weights", *OPTIONAL)
    return {"shapes": np.array(ARKIT_NAMES)} | {name: getattr(performance, name) for name in names}


def from_arrays(arrays: Mapping[str, Any], provenance: Any) -> Performance:
    """Raises ValueError, TypeError or OverflowError where arrays are missing, ragged or of the wrong shape."""
    shapes = [str(name) for name in arrays.get("shapes", ARKIT_NAMES)]
    unknown = sorted(set(shapes) - set(ARKIT_NAMES))
    if unknown or len(set(shapes)) < len(shapes):
        raise ValueError(f"its shapes are not ARKit's ({', '.join(unknown[:3]) or 'some twice'})")
    if not isinstance(provenance, dict):
        raise ValueError("its provenance is no table of names and values")
    times = np.asarray(arrays["times"], dtype=np.float64)
    weights = np.zeros((len(times), len(ARKIT_NAMES)), dtype=np.float32)
    columns = [ARKIT_NAMES.index(name) for name in shapes]
    weights[:, columns] = np.reshape(arrays["weights"], (len(times), len(shapes)))
    parts = {name: np.asarray(arrays[name], dtype=np.float32) for name in OPTIONAL if name in arrays and len(times)}
    return Performance.of(times, weights, provenance=provenance, **parts)
