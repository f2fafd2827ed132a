"""Wavefront OBJ: the neutral mesh, a group per part, with a material file and the textures beside it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float

from avatars.export.staging import staging
from avatars.export.surface import TEXTURES, vertex_normals
from morphable import Head
from morphable.topology import Layout


def save(head: Head, path: str | os.PathLike[str]) -> None:
    """Writes the neutral `head` in metres, y up, facing +z; its vertices are the model's, in the model's order.

    `x.obj` comes with `x.mtl` and an image per texture, `x_head.jpg` and so on; spaces in their names become
    underscores, as many readers end a name at a space.

    Raises:
        OSError: the files cannot be written; what was there before is left as it was.
    """
    path = Path(path)
    model = head.layout
    stem = "_".join(path.stem.split())
    images = {name: f"{stem}_{name}{texture.suffix}" for name, texture in head.textures.items()}
    with staging(path) as folder:
        for name, texture in head.textures.items():
            (folder / images[name]).write_bytes(texture.encoded)
        _write(folder / f"{stem}.mtl", _materials(model, images))
        _write(folder / path.name, [f"mtllib {stem}.mtl", *_mesh(head, model)])


def _write(path: Path, lines: Iterable[str]) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _materials(model: Layout, images: dict[str, str]) -> Iterator[str]:
    for name in dict.fromkeys(TEXTURES.get(part, part) for part in model.parts):
        yield f"newmtl {name}\nKd 1 1 1\nillum 2"
        if name in images:
            yield f"map_Kd {images[name]}"
        if name in images and name == "lashes":
            yield f"map_d -imfchan m {images[name]}"


def _mesh(head: Head, model: Layout) -> Iterator[str]:
    triangles = np.asarray(model.triangles)
    uv_up = np.asarray(model.uv) * [1, -1] + [0, 1]
    yield from _rows("v", head.neutral)
    yield from _rows("vt", uv_up)
    yield from _rows("vn", vertex_normals(head.neutral, triangles))
    for name, part in model.parts.items():
        yield f"g {name}\nusemtl {TEXTURES.get(name, name)}"
        corners = np.stack([triangles, np.asarray(model.uv_triangles), triangles], axis=-1)[part.triangles] + 1
        yield from ("f {}/{}/{} {}/{}/{} {}/{}/{}".format(*corner) for corner in corners.reshape(-1, 9).tolist())


def _rows(keyword: str, rows: Float[np.ndarray, "row column"]) -> Iterator[str]:
    for row in rows.tolist():
        yield f"{keyword} {' '.join(f'{value:.9g}' for value in row)}"
