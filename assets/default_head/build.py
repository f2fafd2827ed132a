"""Build the default head from MakeHuman's data: `python -m assets.default_head.build [output.safetensors]`."""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from assets.default_head.expressions import (
    find_skin,
    fitted_expressions,
    lip_contacts,
    with_lids_seated,
    with_lips_closed,
)
from assets.default_head.geometry import Part, build_parts
from assets.default_head.identity import principal_modes
from assets.default_head.landmarks import IBUG68_OF_MEDIAPIPE, NOW7_OF_IBUG68, detected_landmarks
from assets.default_head.makehuman import BaseMesh, Sampler, load_base_mesh
from assets.default_head.regions import draw_region_map, paint, vertex_regions
from face3d.perception import MediaPipeDetector
from morphable import ARKIT_NAMES, LandmarkEmbedding

PEOPLE = 3000
MODES = 200
SPREAD = 0.0026
"""Metres: how much real heads differ from their mean at a vertex, root mean square after rigid alignment."""
SEED = 1
JOINT_CUBES = ("joint-neck", "joint-head", "joint-l-eye", "joint-r-eye")
ORIGIN_BEHIND_EYES = 0.08
BASE_VERTICES = 19158


def build(path: Path) -> None:
    base, sampler = load_base_mesh(), Sampler()
    parts = build_parts(base)
    ranges, triangles, uv, uv_triangles = _joined(parts, sampler.template)
    skin = ranges["head"][0]

    everyone = _people(base, sampler, parts)
    basis = principal_modes(everyone, slice(*skin), MODES, SPREAD)
    count = len(basis.mean) - len(JOINT_CUBES)
    origin = basis.mean[-2:].mean(0) - torch.tensor([0.0, 0.0, ORIGIN_BEHIND_EYES])
    mean, joints = basis.mean[:count] - origin, basis.mean[count:] - origin
    modes, joint_modes = basis.modes[:, :count], basis.modes[:, count:]
    number = _numbers(parts["head"])
    skin_triangles = triangles[slice(*ranges["head"][1])]
    contacts = lip_contacts(find_skin(mean[slice(*skin)], skin_triangles, base, number))
    mean, modes = with_lips_closed(mean, modes, contacts)
    face = find_skin(mean[slice(*skin)], skin_triangles, base, number)
    mean, modes = with_lids_seated(mean, modes, joints, joint_modes, face, ranges)
    face = find_skin(mean[slice(*skin)], skin_triangles, base, number)
    template, drawn = _drawn(sampler, parts)

    with MediaPipeDetector() as detector:
        bare = torch.full_like(mean, 0.45)
        eyes = np.r_[slice(*ranges["eye_left"][1]), slice(*ranges["eye_right"][1])]
        first = detected_landmarks(mean, triangles, bare, eyes, detector)
        region_map, names = draw_region_map(first, triangles, uv, uv_triangles, base, parts, ranges)
        painted = paint(region_map, names, ranges, uv, uv_triangles)
        mediapipe = detected_landmarks(mean, triangles, painted, eyes, detector)
    region_map, names = draw_region_map(mediapipe, triangles, uv, uv_triangles, base, parts, ranges)
    regions = vertex_regions(region_map, names, ranges, triangles, uv, uv_triangles, mean.numpy())

    tensors = {
        "mean": mean,
        "identity_basis": modes.half(),
        **fitted_expressions(drawn, template, mean, joints, face, contacts, ranges),
        "joint_mean": joints,
        "joint_basis": joint_modes,
        "skinning_weights": _skinning_weights(mean, joints, ranges),
        "triangles": torch.as_tensor(triangles, dtype=torch.int32),
        "uv": torch.as_tensor(uv, dtype=torch.float32),
        "uv_triangles": torch.as_tensor(uv_triangles, dtype=torch.int32),
        "region_map": torch.as_tensor(region_map),
        **{f"region.{name}": torch.as_tensor(mask) for name, mask in regions.items()},
    }
    ibug68 = _subset(mediapipe, IBUG68_OF_MEDIAPIPE)
    for name, embedding in (("mediapipe", mediapipe), ("ibug68", ibug68), ("now7", _subset(ibug68, NOW7_OF_IBUG68))):
        tensors[f"landmark.{name}.triangles"] = embedding.triangles.int()
        tensors[f"landmark.{name}.barycentric"] = embedding.barycentric
    metadata = {"parts": ranges, "region_names": names}
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path, {"head": json.dumps(metadata)})


def _joined(parts: dict[str, Part], template: torch.Tensor):
    """All parts in one index space: name → ((first, last) vertex, (first, last) triangle), triangles, uv, uv triangles."""
    ranges, triangles, uv, uv_triangles, vertices, corners, faces = {}, [], [], [], 0, 0, 0
    for name, part in parts.items():
        size = len(part.place(template))
        ranges[name] = ((vertices, vertices + size), (faces, faces + len(part.triangles)))
        triangles.append(part.triangles + vertices)
        uv.append(part.uv)
        uv_triangles.append(part.uv_triangles + corners)
        vertices, corners, faces = vertices + size, corners + len(part.uv), faces + len(part.triangles)
    return ranges, np.concatenate(triangles), np.concatenate(uv), np.concatenate(uv_triangles)


def _people(base: BaseMesh, sampler: Sampler, parts: dict[str, Part]) -> torch.Tensor:
    """(PEOPLE, vertices + joints, 3): sampled adults on the head's own mesh, the joints as its last vertices."""
    cubes = [torch.as_tensor(np.unique(base.quads[base.groups == group])) for group in JOINT_CUBES]
    everything = torch.arange(len(sampler.template))
    weights = sampler.coefficients(PEOPLE, SEED)
    batches = []
    for batch in weights.split(100):
        vertices = sampler.vertices(batch, everything)
        joints = torch.stack([vertices[:, cube].mean(1) for cube in cubes], 1)
        batches.append(torch.cat([*(part.place(vertices) for part in parts.values()), joints], 1))
    return torch.cat(batches)


def _numbers(skin: Part) -> np.ndarray:
    """The skin's vertex that each of the base mesh's vertices is; -1 where it is none."""
    chosen = skin.place(torch.arange(BASE_VERTICES)[:, None])[:, 0].numpy()
    number = np.full(BASE_VERTICES, -1)
    number[chosen] = np.arange(len(chosen))
    return number


def _drawn(sampler: Sampler, parts: dict[str, Part]) -> tuple[torch.Tensor, torch.Tensor]:
    """(vertex, 3) MakeHuman's template and (52, vertex, 3) the offsets of ARKit's shapes as drawn for it."""
    rest = torch.cat([part.place(sampler.template) for part in parts.values()])
    shapes = sampler.expressions()
    moved = [
        torch.cat([part.place(sampler.template + shapes[name]) for part in parts.values()]) for name in ARKIT_NAMES
    ]
    return rest, torch.stack(moved) - rest


def _skinning_weights(mean: torch.Tensor, joints: torch.Tensor, ranges: dict) -> torch.Tensor:
    """The neck bends smoothly between its joint and the skull; eyeballs follow their own joints."""
    neck, head = joints[0], joints[1]
    height = (mean[:, 1] - neck[1] + 0.35 * (mean[:, 2] - neck[2])) / (head[1] - neck[1])
    share = (height / 0.9).clamp(0, 1)
    share = share * share * (3 - 2 * share)
    share[ranges["head"][0][1] :] = 1.0
    weights = torch.stack([1 - share, share, torch.zeros_like(share), torch.zeros_like(share)], 1)
    for column, name in ((2, "eye_left"), (3, "eye_right")):
        weights[slice(*ranges[name][0])] = torch.eye(4)[column]
    return weights


def _subset(embedding: LandmarkEmbedding, indices: tuple[int, ...]) -> LandmarkEmbedding:
    return LandmarkEmbedding(embedding.triangles[list(indices)], embedding.barycentric[list(indices)])


if __name__ == "__main__":
    build(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "head.safetensors")
