"""NumPy's NPZ: everything, exactly, small and fast."""

import io
import json
import zipfile
from typing import Any

import numpy as np

from morphable.performance import Performance
from morphable.performance_formats.arrays import from_arrays, to_arrays

MAX_BYTES = 1 << 31
"""Unpacked; a file that claims more is refused before memory is asked for."""


def encode(performance: Performance) -> bytes:
    """Raises ValueError where the provenance holds what JSON cannot."""
    file = io.BytesIO()
    arrays: dict[str, Any] = to_arrays(performance)
    arrays["provenance"] = np.array(json.dumps(performance.provenance, allow_nan=False))
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def decode(contents: bytes) -> Performance:
    """Raises ValueError, TypeError or LookupError where there is no performance."""
    try:
        with zipfile.ZipFile(io.BytesIO(contents)) as file:
            if sum(entry.file_size for entry in file.infolist()) > MAX_BYTES:
                raise ValueError("it would unpack to more than a performance needs")
        with np.load(io.BytesIO(contents), allow_pickle=False) as arrays:
            loaded = {name: arrays[name] for name in arrays.files}
    except Exception as error:  # zipfile, zlib, numpy and the tokenizer in it each have their own
        raise ValueError("it is damaged, too large or no NPZ file") from error
    if "times" not in loaded or "weights" not in loaded:
        raise ValueError("it has no times and weights")
    return from_arrays(loaded, json.loads(str(loaded.get("provenance", "{}"))))
