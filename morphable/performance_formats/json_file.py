"""JSON: everything, exactly, in a form that is written by hand as well.

Only `times` and `weights` are needed, and `shapes` may name any of ARKit's 52, in any order.
"""

import json

from morphable.performance import Performance
from morphable.performance_formats.arrays import from_arrays, to_arrays

VERSION = 1


def encode(performance: Performance) -> bytes:
    """Raises ValueError where the provenance holds what JSON cannot."""
    arrays = {name: array.tolist() for name, array in to_arrays(performance).items()}
    document = {"face3d_performance": VERSION} | arrays | {"provenance": performance.provenance}
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()


def decode(contents: bytes) -> Performance:
    """Raises ValueError, TypeError, LookupError or RecursionError where there is no performance."""
    document = json.loads(contents)
    if not isinstance(document, dict) or "times" not in document or "weights" not in document:
        raise ValueError("it has no times and weights")
    return from_arrays(document, document.get("provenance", {}))
