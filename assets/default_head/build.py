"""Build the default head from MakeHuman's data: `python -m assets.default_head.build [output.safetensors]`."""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors.torch import save_file
from torch import Tensor

from assets.default_head import regions
from assets.default_head.anthropometry import ADULTS, ANCHORS, gauges
from assets.default_head.expressions import fitted_expressions
from assets.default_head.geometry import (
    JOINT_CUBES,
    EyeRings,
    Part,
    Ranges,
    build_parts,
    eye_rings,
    eyeball_sphere,
    head_of,
    mouth_corners,
    seat_eyes,
    seat_teeth,
)
from assets.default_head.identity import aligned, principal_modes, with_covariance, with_measures
from assets.default_head.landmarks import IBUG68_OF_MEDIAPIPE, NOW7_OF_IBUG68, Pieces, detected_landmarks
from assets.default_head.lids import with_lids_seated
from assets.default_head.lips import lip_contacts, with_lips_closed
from assets.default_head.makehuman import BaseMesh, People, load_base_mesh
from assets.default_head.mouth import with_mouth_lined, with_teeth_held
from assets.default_head.skin import Skin, find_skin
from assets.default_head.topology import edge_distance
from assets.default_head.unwrap import unwrapped
from face3d.perception import MediaPipeDetector
from morphable import ARKIT_NAMES, JOINT_NAMES, LandmarkEmbedding

PEOPLE, SEED = 800, 1
"""Sampled people; each is joined by its mirror image."""
MODES = 200
SHAPE_SHARE = 0.6
"""How much of the sampled people's differences in shape is kept: sliders drawn independently make caricatures."""
SIZE_DEVIATION = 0.03
"""Standard deviation of the size of heads, as a share of it."""
SPREAD_SHARE = 0.6
"""How far each measure's standard deviation is moved from the population's own (0) to the published one (1), as
logarithms: heads then differ from the mean by about 3 mm at a vertex of the face, as scanned people do."""
ORIGIN_BEHIND_EYES = 0.08
TEXELS = {"face": 3.5, "skin": 1.0, "hidden": 0.15}
"""Texels for the same area of the face, of the linings of mouth and eye sockets, and of all other skin."""


def build(path: Path) -> None:
    base = head_of(load_base_mesh())
    rings = eye_rings(base)
    parts, number = build_parts(base, rings)
    people = People(base)
    ranges, triangles = _joined(parts, people.template)
    skin, skin_triangles = slice(*ranges["head"][0]), triangles[slice(*ranges["head"][1])]

    mean, modes = _population(base, people, parts, rings, number)
    origin = mean[-2:].mean(0) - torch.tensor([0.0, 0.0, ORIGIN_BEHIND_EYES])
    mean = mean - origin
    count = len(mean) - len(JOINT_NAMES)
    (mean, joints), (modes, joint_modes) = mean.split([count, 4]), modes.split([count, 4], 1)
    mean = _looking_ahead(base, mean, joints, people.template, parts, ranges)
    contacts = lip_contacts(find_skin(mean[skin], skin_triangles, base, rings, number))
    mean, modes = with_lips_closed(mean, modes, contacts)
    face = find_skin(mean[skin], skin_triangles, base, rings, number)
    mean, modes = with_lids_seated(mean, modes, joints, joint_modes, face, ranges)
    vertices = {name: slice(*own) for name, (own, _) in ranges.items()}
    modes = with_mouth_lined(with_teeth_held(mean, modes, face.mouth_lining, vertices), face)
    face = find_skin(mean[skin], skin_triangles, base, rings, number)
    template, drawn = _drawn(base, people, parts, rings)

    uv, uv_triangles, canvas = _textured(base, parts, number, rings, face, joints)
    pieces = _pieces(canvas, ranges)
    bare = slice(0, ranges["lashes"][1][0])
    with MediaPipeDetector() as detector:
        first = detected_landmarks(mean, triangles[bare], torch.full_like(mean, 0.45), pieces, detector)
        painted = regions.paint(regions.draw_region_map(canvas, first), len(canvas.uv), uv, uv_triangles[bare])
        mediapipe = detected_landmarks(mean, triangles[bare], painted, pieces, detector)
    region_map = regions.draw_region_map(canvas, mediapipe)

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
    }
    for name, mask in regions.vertex_regions(canvas, region_map, count).items():
        tensors[f"region.{name}"] = torch.as_tensor(mask)
    ibug68 = _subset(mediapipe, IBUG68_OF_MEDIAPIPE)
    for name, embedding in (("mediapipe", mediapipe), ("ibug68", ibug68), ("now7", _subset(ibug68, NOW7_OF_IBUG68))):
        tensors[f"landmark.{name}.triangles"] = embedding.triangles.int()
        tensors[f"landmark.{name}.barycentric"] = embedding.barycentric
    metadata = {"parts": ranges, "region_names": regions.NAMES}
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path, {"head": json.dumps(metadata)})


def _joined(parts: dict[str, Part], template: Tensor) -> tuple[Ranges, Int[np.ndarray, "triangle 3"]]:
    """Where all parts lie in one index space, and their triangles in it."""
    ranges: Ranges = {}
    triangles, vertices, faces = [], 0, 0
    for name, part in parts.items():
        size = len(part.place(template))
        ranges[name] = ((vertices, vertices + size), (faces, faces + len(part.triangles)))
        triangles.append(part.triangles + vertices)
        vertices, faces = vertices + size, faces + len(part.triangles)
    return ranges, np.concatenate(triangles)


def _population(
    base: BaseMesh, people: People, parts: dict[str, Part], rings: dict[str, EyeRings], number: np.ndarray
) -> tuple[Float[Tensor, "vertex 3"], Float[Tensor, "identity vertex 3"]]:
    """Mean and modes of heads, the joints as their last vertices; metres."""
    sampled = people.sampled(PEOPLE, SEED)
    mirrored = sampled[:, torch.as_tensor(base.mirror)] * torch.tensor([-1.0, 1.0, 1.0])
    cubes = [torch.as_tensor(base.of_group(group)) for group in JOINT_CUBES]
    heads = []
    for batch in torch.cat([sampled, mirrored]).split(200):
        seated = seat_teeth(base, seat_eyes(base, rings, batch))
        joints = [seated[:, cube].mean(1, keepdim=True) for cube in cubes]
        eyes = [eyeball_sphere(base, side, seated)[0] for side in rings]
        heads.append(torch.cat([*(part.place(seated) for part in parts.values()), *joints, *eyes], 1))
    whole = torch.cat(heads)

    skin = int(number.max()) + 1
    average = whole.mean(0)
    chin = average[-2:].mean(0) - torch.tensor([0.0, 0.12, 0.0])
    above = (average[:skin] - chin) @ torch.tensor([0.0, 1.0, 0.3]) > 0
    whole = aligned(whole, above.nonzero()[:, 0])
    mean = whole.mean(0)
    modes = principal_modes((whole - mean) / len(whole) ** 0.5, MODES - 1) * SHAPE_SHARE

    measured = gauges(mean, skin, _named_points(base, rings, number, len(mean) - len(JOINT_NAMES)))
    gauge = torch.stack(list(measured.values()))
    anchors = [list(ADULTS).index(name) for name in ANCHORS]
    published = torch.tensor([measure.mean for measure in ADULTS.values()])
    size = (published / (mean * gauge).sum((1, 2)))[anchors].mean()
    middle = mean[:skin][above].mean(0)
    mean = middle + size * (mean - middle)
    modes = torch.cat([size * modes, SIZE_DEVIATION * (mean - middle)[None]])
    mean = with_measures(mean, modes, gauge[anchors], published[anchors])
    loadings = (modes[:, None] * gauge).sum((2, 3)).double()
    own = loadings.T @ loadings
    deviation = own.diagonal().sqrt()
    wanted = torch.tensor([measure.deviation for measure in ADULTS.values()], dtype=torch.float64)
    ratio = (wanted / deviation) ** SPREAD_SHARE
    return mean, with_covariance(modes, gauge, own * ratio[:, None] * ratio)


def _looking_ahead(
    base: BaseMesh, mean: Tensor, joints: Tensor, template: Tensor, parts: dict[str, Part], ranges: Ranges
) -> Tensor:
    """The mean head with its eyeballs turned back to +z, from which the alignment of people has turned them."""
    mean = mean.clone()
    for name, centre in (("eye_left", joints[2]), ("eye_right", joints[3])):
        ball = slice(*ranges[name][0])
        drawn = parts[name].place(template) - eyeball_sphere(base, name.removeprefix("eye_"), template)[0]
        mean[ball] = centre + drawn * ((mean[ball] - centre).norm(dim=1).mean() / drawn.norm(dim=1).mean())
    return mean


def _named_points(base: BaseMesh, rings: dict[str, EyeRings], number: np.ndarray, joints: int) -> dict[str, int]:
    """Vertices of the eyes' centres and of the corners of eyes and mouth. `joints`: where the joints begin."""
    points = {"eye_left": joints + 2, "eye_right": joints + 3}
    corners = mouth_corners(base)
    points |= {f"mouth_{side}": int(number[corner]) for side, corner in zip(("left", "right"), corners, strict=True)}
    for side, ring in rings.items():
        points[f"inner_{side}"] = int(number[ring.lids[1, 0]])
        points[f"outer_{side}"] = int(number[ring.lids[1, ring.lids.shape[1] // 2]])
    return points


def _drawn(
    base: BaseMesh, people: People, parts: dict[str, Part], rings: dict[str, EyeRings]
) -> tuple[Float[Tensor, "vertex 3"], Float[Tensor, "52 vertex 3"]]:
    """MakeHuman's template, and the offsets of ARKit's shapes as drawn for it."""
    template = seat_eyes(base, rings, people.template)

    def placed(vertices: Tensor) -> Tensor:
        return torch.cat([part.place(vertices) for part in parts.values()])

    rest = placed(template)
    return rest, torch.stack([placed(template + people.expression(name)) - rest for name in ARKIT_NAMES])


def _textured(
    base: BaseMesh,
    parts: dict[str, Part],
    number: np.ndarray,
    rings: dict[str, EyeRings],
    face: Skin,
    joints: Float[Tensor, "4 3"],
) -> tuple[np.ndarray, np.ndarray, regions.Skin]:
    """Texture coordinates of all parts, and the skin as a canvas for regions."""
    of_base = np.flatnonzero(number >= 0)
    of_base = of_base[np.argsort(number[of_base])]
    mirror = number[base.mirror[of_base]]
    vertices = (face.vertices + face.vertices[mirror] * (-1, 1, 1)) / 2
    mouth = np.zeros(len(vertices), bool)
    mouth[number[np.unique(base.quads[(base.groups == "body") & (base.labels == "mouth_cavity")])]] = True
    socket = np.zeros(len(vertices), bool)
    for ring in rings.values():
        socket[number[np.concatenate([ring.lids[:1], ring.socket])]] = True
    eyes = joints[2:].mean(0).numpy()
    importance = TEXELS["skin"] + (TEXELS["face"] - TEXELS["skin"]) * _frontal(vertices - eyes)
    importance[mouth | socket] = TEXELS["hidden"]
    uv, uv_triangles = unwrapped(vertices, parts["head"].triangles, eyes, importance)
    canvas = regions.Skin(
        vertices,
        parts["head"].triangles,
        uv,
        uv_triangles,
        mouth,
        socket,
        base.painted["lips"][of_base],
        base.painted["ears"][of_base],
        _nearer_upper_lip(vertices, parts["head"].triangles, face.mouth),
        vertices[face.mouth].mean(0),
        eyes,
    )
    all_uv, all_triangles, corners = [uv], [uv_triangles], len(uv)
    for name, part in parts.items():
        if name != "head":
            all_uv.append(part.uv)
            all_triangles.append(part.uv_triangles + corners)
            corners += len(part.uv)
    return np.concatenate(all_uv), np.concatenate(all_triangles), canvas


def _frontal(from_eyes: Float[np.ndarray, "vertex 3"]) -> Float[np.ndarray, " vertex"]:
    """1 on the face, 0 behind the ears, on the scalp and the neck, with soft borders."""
    _, y, z = from_eyes.T

    def above(value: np.ndarray, limit: float, width: float) -> np.ndarray:
        return 1 / (1 + np.exp(-(value - limit) / width))

    return above(z, -0.03, 0.012) * above(y, -0.125, 0.008) * above(-y, -0.06, 0.015)


def _nearer_upper_lip(
    vertices: Float[np.ndarray, "vertex 3"], triangles: np.ndarray, loop: np.ndarray
) -> Float[np.ndarray, " vertex"]:
    """How much nearer, over the skin's edges, vertices lie to the upper half of the mouth's loop than to the lower."""
    x = vertices[loop, 0]
    first, last = sorted((int(x.argmin()), int(x.argmax())))
    halves = [loop[first : last + 1], np.concatenate([loop[last:], loop[: first + 1]])]
    halves.sort(key=lambda half: vertices[half, 1].mean())
    lower, upper = (edge_distance(vertices, triangles, half) for half in halves)
    return lower - upper


def _pieces(canvas: regions.Skin, ranges: Ranges) -> Pieces:
    outer = ~canvas.inner_mouth[canvas.triangles].all(1) & ~canvas.eye_socket[canvas.triangles].all(1)
    lips = (canvas.lips[canvas.triangles].mean(1) > 0.3) & outer
    above = canvas.upper[canvas.triangles].mean(1) > 0
    masks = {"skin": outer, "lip_upper": lips & above, "lip_lower": lips & ~above}
    eyes = np.concatenate([np.arange(*ranges[f"eye_{side}"][1]) for side in ("left", "right")])
    return {name: np.flatnonzero(mask) for name, mask in masks.items()} | {"eyes": eyes}


def _skinning_weights(mean: Tensor, joints: Tensor, ranges: Ranges) -> Float[Tensor, "vertex 4"]:
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
