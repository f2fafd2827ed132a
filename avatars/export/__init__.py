"""One module per file format. Each has `save(head, path)`; a format that keeps everything also has `load(path)`, and
one that moves takes a performance as well: `save(head, path, performance)`.

`morphable.Head.save` and `Head.load` find the module for a suffix through the entry-point group `morphable.formats`.
"""

from importlib import import_module
from pathlib import Path
from types import ModuleType

ANIMATED = {".glb": "glb", ".usda": "usd", ".usdc": "usd", ".usdz": "usd"}


def animated_format(path: Path) -> ModuleType:
    """The module that saves a head with a performance in the format of the path's suffix.

    Raises:
        ValueError: no such format.
    """
    if path.suffix.lower() not in ANIMATED:
        found = path.suffix or "a file without a suffix"
        raise ValueError(f"{path}: animated heads are saved as {', '.join(ANIMATED)}, not as {found}")
    return import_module(f"{__name__}.{ANIMATED[path.suffix.lower()]}")
