"""Build the default head from MakeHuman's data: `python -m assets.default_head.build [output.safetensors]`."""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

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
GAZE = np.radians(30.0)
"""How far eyeLook* at weight 1 turns an eyeball."""


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
        "identity_basis": basis.modes[:, :count].half(),
        "expression_basis": _expressions(sampler, parts, ranges, mean, joints).half(),
        "joint_mean": joints,
        "joint_basis": basis.modes[:, count:],
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


def _expressions(sampler: Sampler, parts: dict[str, Part], ranges: dict, mean: torch.Tensor, joints: torch.Tensor):
    """(52, vertex, 3) offsets on the mean head."""
    rest = torch.cat([part.place(sampler.template) for part in parts.values()])
    shapes = []
    for name in ARKIT_NAMES:
        moved = sampler.template + sampler.expressions()[name]
        shapes.append(torch.cat([part.place(moved) for part in parts.values()]) - rest)
    shapes = torch.stack(shapes)
    for side, joint, outwards in (("left", 2, 1.0), ("right", 3, -1.0)):
        ball = slice(*ranges[f"eye_{side}"][0])
        for direction, (dx, dy) in {"Up": (0, 1), "Down": (0, -1), "In": (-outwards, 0), "Out": (outwards, 0)}.items():
            turned = _turned(mean[ball], joints[joint], dx * GAZE, dy * GAZE)
            shapes[ARKIT_NAMES.index(f"eyeLook{direction}{side.capitalize()}"), ball] = turned - mean[ball]
    return shapes


def _turned(points: torch.Tensor, centre: torch.Tensor, right: float, up: float) -> torch.Tensor:
    """Points turned about a centre so that +z moves towards +x by `right` and towards +y by `up` radians."""
    c, s, cu, su = np.cos(right), np.sin(right), np.cos(up), np.sin(up)
    yaw = torch.tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]], dtype=torch.float32)
    pitch = torch.tensor([[1, 0, 0], [0, cu, su], [0, -su, cu]], dtype=torch.float32)
    return (points - centre) @ (yaw @ pitch).T + centre


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
