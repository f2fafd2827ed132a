from __future__ import annotations

import numpy as np
import trimesh
from PIL import Image

from avatars.export import obj, ply
from morphable import Head, Texture


def read_obj(path) -> dict[str, list[list[str]]]:
    lines: dict[str, list[list[str]]] = {}
    for keyword, *words in map(str.split, path.read_text().splitlines()):
        lines.setdefault(keyword, []).append(words)
    return lines


def test_obj_keeps_the_models_vertices_and_groups(head: Head, model, tmp_path) -> None:
    obj.save(head, tmp_path / "my head.obj")
    lines = read_obj(tmp_path / "my head.obj")
    assert np.array_equal(np.array(lines["v"], dtype=np.float32), head.neutral)
    assert np.allclose(np.array(lines["vt"], dtype=float) * [1, -1] + [0, 1], model.uv, atol=1e-6)
    assert [words[0] for words in lines["g"]] == list(model.parts)
    corners = np.array([[corner.split("/") for corner in face] for face in lines["f"]], dtype=int) - 1
    assert np.array_equal(corners[..., 0], model.triangles)
    assert np.array_equal(corners[..., 1], model.uv_triangles)
    assert np.array_equal(corners[..., 2], model.triangles)


def test_obj_comes_with_its_textures(head: Head, tmp_path) -> None:
    obj.save(head, tmp_path / "my head.obj")
    assert {file.name for file in tmp_path.iterdir()} == {
        "my head.obj",
        "my_head.mtl",
        *(f"my_head_{name}.jpg" for name in ("head", "eyes", "teeth", "tongue")),
        "my_head_lashes.png",
    }
    scene = trimesh.load_scene(tmp_path / "my head.obj")
    skins = [mesh.visual.material for mesh in scene.geometry.values() if mesh.visual.material.name == "head"]
    assert np.array_equal(np.asarray(skins[0].image), head.textures["head"].pixels)


def test_ply_has_colours_and_normals(head: Head, model, tmp_path) -> None:
    skin = np.zeros((64, 64, 3), dtype=np.uint8)
    skin[:, :32, 0], skin[:, 32:, 2] = 255, 255  # red where u < 0.5, the person's right as u starts at the back
    Image.fromarray(skin).save(tmp_path / "skin.png")
    head.textures["head"] = Texture((tmp_path / "skin.png").read_bytes())
    ply.save(head, tmp_path / "head.ply")

    mesh = trimesh.load_mesh(tmp_path / "head.ply", process=False)
    assert np.array_equal(mesh.vertices.astype(np.float32), head.neutral)
    assert np.array_equal(mesh.faces, model.triangles)
    part = model.parts["head"].vertices
    colours, across = mesh.visual.vertex_colors[part], head.neutral[part, 0]
    assert np.array_equal(np.unique(colours[across < -0.01], axis=0), [[255, 0, 0, 255]])
    assert np.array_equal(np.unique(colours[across > 0.01], axis=0), [[0, 0, 255, 255]])
    assert b"property float nx" in (tmp_path / "head.ply").read_bytes()[:1000]
