"""A head mesh of anyone's, made to move: ARKit's 52 shapes, eyes, joints and skinning weights on its own vertices.

The default head is laid onto the mesh, its shapes are fitted to it there, and deformation transfer carries them over.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse
import scipy.sparse.csgraph
import torch
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image
from scipy.spatial import cKDTree

import morphable
from avatars.export.surface import split_seams
from face3d.errors import Face3DError
from face3d.perception import FaceDetector, MediaPipeDetector
from face3d.registration import FittedHead, SurfaceLandmarks, fitted_head, register
from face3d.registration.fitted import EYES, clear_of_ball
from face3d.scan import find_landmarks_on
from face3d.scan_file import Scan, guess_unit, load_scan
from face3d.stages import Progress, Stages
from morphable import Head, MorphableModel, Part, Texture
from morphable.appearance import default_textures
from morphable.head import OWN
from morphable.linear import cylinder
from morphable.surface import Footpoints, Surface
from morphable.topology import Topology
from morphable.transfer import Transfer, stiffened
from renderers import linear_to_srgb

EYE_DISTANCE = 0.01
"""Metres between an eyeball of the mesh and where the default head has it, at most."""
EYE_SIZES = (0.6, 1.4)
"""Radii of eyeballs over the default head's."""
FUSED = 0.004
"""Metres before an eyeball in which there is skin where the eyes are part of it."""
LID_GAP = 2e-4
"""Metres that skin keeps from eyeballs all along its way."""
MOUTH_PARTS = ("teeth_upper", "teeth_lower", "tongue")
MOUTH_REACH = 0.008
"""Metres from the default head's teeth or tongue up to which a piece of the mesh is what they are."""
MOVES = 2e-5
"""Metres: vertices that a shape moves less it leaves alone."""
WEIGHT_STEPS = 256
"""Skinning weights are multiples of one over this, so that they add up to one exactly."""
SHEET_SIDE = 2048
"""Pixels a side of an image, at most, where a mesh has several, which are laid side by side."""
CLAY = (0.62, 0.45, 0.37)
"""Linear colour of meshes that have none."""


@dataclass(frozen=True)
class Rig:
    """A rigged head and what there is to say about it."""

    head: Head
    warnings: tuple[str, ...]
    distance_mm: float
    """Between the mesh and the default head laid onto it, in the median."""


@dataclass(frozen=True)
class _Mesh:
    """The mesh in the head's frame, in metres, its vertices ordered part by part."""

    vertices: Float[np.ndarray, "vertex 3"]
    triangles: Int[np.ndarray, "triangle 3"]
    parts: dict[str, Part]
    order: Int[np.ndarray, " triangle"]
    """The file's triangles, in the order of `triangles`."""


def rig(path: str | Path, *, detector: FaceDetector | None = None, progress: Progress | None = None) -> Rig:
    """Rigs a mesh file: any topology, unit and pose; a neutral face with open eyes.

    The head keeps the mesh's vertices, triangles and texture. It stands in the project's frame: metres, y up, facing
    +z. Eyeballs that are pieces of their own turn; where there are none and the lids are open, the default head's are
    put in.

    Raises:
        Face3DError: the file cannot be read, or no face can be seen on it.
    """
    if detector is None:
        with MediaPipeDetector() as own:
            return rig(path, detector=own, progress=progress)
    stages = Stages(progress)
    stages("reading the mesh")
    scan = load_scan(path)
    model = morphable.load()
    stages("finding the face")
    landmarks = find_landmarks_on(scan, model, detector)
    unit = guess_unit(landmarks.to_model.scale)
    metres = landmarks.to_model.scale if unit is None else unit[1]
    warnings = [] if unit is not None else ["the mesh's unit is unknown: it is given the size of an average head"]
    if unit is not None and unit[0] != "metres":
        warnings.append(f"the mesh was taken to be in {unit[0]}, from the size of the head")

    stages("laying the default head onto it")
    scaled = SurfaceLandmarks(landmarks.points * metres, landmarks.seen, landmarks.to_model)
    found = register(model, scan.vertices * metres, scan.triangles, scaled, scaled=unit is None)
    fitted = fitted_head(model, found.identity, found.vertices(model))
    placed = found.to_model(scan.vertices * metres)

    stages("carrying the shapes over")
    mesh, moving = _with_eyes(placed, scan.triangles, fitted, model)
    if not moving:
        warnings.append("the eyes are part of the skin: they cannot turn")
    joints = _joints(mesh, fitted)
    lying = _default_surface(fitted, model)
    transfer = Transfer.between(lying, Surface(mesh.vertices, mesh.triangles))
    shapes = _shapes(mesh, transfer, fitted, joints, model)
    topology, textures = _dressed(scan, mesh, transfer.of_vertices, lying, model)
    head = Head(
        OWN,
        np.zeros(0, np.float32),
        mesh.vertices.astype(np.float32),
        shapes.astype(np.float32),
        joints.astype(np.float32),
        textures,
        provenance={"mesh": scan.name, "unit": unit[0] if unit else "unknown", "warnings": list(warnings)},
        topology=topology,
    )
    stages.finish()
    return Rig(head, tuple(warnings), 1000 * float(np.median(found.residuals)))


def require_glb(path: str | Path) -> None:
    """Raises Face3DError if the path's suffix is not .glb, which alone holds shapes and joints."""
    if Path(path).suffix.lower() != ".glb":
        raise Face3DError(f"{path}: a rigged head is saved as .glb, which alone holds its shapes and joints.")


def _default_surface(fitted: FittedHead, model: MorphableModel) -> Surface:
    """All parts but the lashes, which lie on the lids."""
    triangles = model.triangles.long().numpy()
    return Surface(fitted.neutral, triangles[: model.parts["lashes"].triangles.start])


def _with_eyes(
    vertices: Float[np.ndarray, "vertex 3"],
    triangles: Int[np.ndarray, "triangle 3"],
    fitted: FittedHead,
    model: MorphableModel,
) -> tuple[_Mesh, bool]:
    """The mesh with its eyeballs as parts, the default head's if it has none; and whether there are any."""
    owners = [_eyeball(vertices, triangles, fitted, model, side) for side in range(2)]
    if all(owner.any() for owner in owners):
        label = np.where(owners[0], 1, np.where(owners[1], 2, 0))
        return _ordered(vertices, triangles, label, len(triangles)), True
    label = np.zeros(len(vertices), int)
    if _fused(vertices, triangles, fitted):
        return _ordered(vertices, triangles, label, len(triangles)), False
    count = len(triangles)
    for side, name in enumerate(EYES):
        part = model.parts[name]
        ball = model.triangles.long().numpy()[part.triangles] - part.vertices.start + len(vertices)
        vertices = np.concatenate([vertices, fitted.neutral[part.vertices]])
        triangles = np.concatenate([triangles, ball])
        label = np.concatenate([label, np.full(part.vertices.stop - part.vertices.start, 1 + side)])
    return _ordered(vertices, triangles, label, count), True


def _eyeball(
    vertices: Float[np.ndarray, "vertex 3"],
    triangles: Int[np.ndarray, "triangle 3"],
    fitted: FittedHead,
    model: MorphableModel,
    side: int,
) -> Bool[np.ndarray, " vertex"]:
    """The vertices of all pieces of the mesh that are about as large as an eyeball and lie where it should be."""
    centre = fitted.joints[2 + side]
    radius = np.linalg.norm(fitted.neutral[model.parts[EYES[side]].vertices] - centre, axis=1).max()
    chosen = np.zeros(len(vertices), bool)
    pieces = _pieces(len(vertices), triangles)
    near = np.unique(pieces[np.linalg.norm(vertices - centre, axis=1) < radius + EYE_DISTANCE])
    for piece in near:
        members = pieces == piece
        low, high = vertices[members].min(0), vertices[members].max(0)
        size = (high - low).max() / 2 / radius
        whole = EYE_SIZES[0] < size < EYE_SIZES[1]
        if whole and np.linalg.norm((low + high) / 2 - centre) < EYE_DISTANCE:
            chosen |= members
    return chosen


def _pieces(count: int, triangles: Int[np.ndarray, "triangle 3"]) -> Int[np.ndarray, " vertex"]:
    edges = triangles[:, [0, 1, 1, 2]].reshape(-1, 2)
    graph = scipy.sparse.coo_matrix((np.ones(len(edges)), edges.T), (count, count))
    labels: np.ndarray = scipy.sparse.csgraph.connected_components(graph, directed=False)[1]
    return labels


def _fused(
    vertices: Float[np.ndarray, "vertex 3"], triangles: Int[np.ndarray, "triangle 3"], fitted: FittedHead
) -> bool:
    """Whether there is skin where the pupils would be."""
    pupils = fitted.joints[2:] + [[0, 0, 0.012]]
    return bool((Surface(vertices, triangles).closest(pupils).distances < FUSED).all())


def _ordered(
    vertices: Float[np.ndarray, "vertex 3"],
    triangles: Int[np.ndarray, "triangle 3"],
    label: Int[np.ndarray, " vertex"],
    originals: int,
) -> _Mesh:
    """Parts one after the other: everything that is no eyeball first. Vertices that no triangle uses are left out."""
    used = np.zeros(len(vertices), bool)
    used[triangles] = True
    order = np.flatnonzero(used)[np.argsort(label[used], kind="stable")]
    places = np.full(len(vertices), -1)
    places[order] = np.arange(len(order))
    of_triangles = label[triangles[:, 0]]
    triangle_order = np.argsort(of_triangles, kind="stable")
    names = ("head", *EYES) if label.any() else ("head",)
    edges = np.searchsorted(label[order], range(len(names) + 1))
    triangle_edges = np.searchsorted(of_triangles[triangle_order], range(len(names) + 1))
    parts = {
        name: Part(slice(*map(int, edges[i : i + 2])), slice(*map(int, triangle_edges[i : i + 2])))
        for i, name in enumerate(names)
    }
    own = np.where(triangle_order < originals, triangle_order, -1)
    return _Mesh(vertices[order], places[triangles[triangle_order]], parts, own)


def _joints(mesh: _Mesh, fitted: FittedHead) -> Float[np.ndarray, "4 3"]:
    """The default head's where it lies, but for eyes, which turn about the middles of their own eyeballs."""
    joints = fitted.joints.copy()
    for side, name in enumerate(EYES):
        if name in mesh.parts:
            ball = mesh.vertices[mesh.parts[name].vertices]
            design = np.concatenate([2 * ball, np.ones((len(ball), 1))], 1)
            joints[2 + side] = np.linalg.lstsq(design, np.square(ball).sum(1), rcond=None)[0][:3]
    return joints


def _shapes(
    mesh: _Mesh, transfer: Transfer, fitted: FittedHead, joints: Float[np.ndarray, "4 3"], model: MorphableModel
) -> Float[np.ndarray, "52 vertex 3"]:
    shapes = transfer(fitted.expressions)
    skin = mesh.parts["head"].vertices
    for members, moved in _inside_mouth(mesh, fitted, model):
        shapes[:, members] = moved
    for side, name in enumerate(EYES):
        if name not in mesh.parts:
            continue
        ours, theirs = model.parts[name].vertices, mesh.parts[name].vertices
        away = fitted.neutral[ours] - fitted.joints[2 + side]
        turn = np.linalg.lstsq(away, fitted.expressions[:, ours].transpose(1, 0, 2).reshape(len(away), -1), rcond=None)
        ball = mesh.vertices[theirs] - joints[2 + side]
        shapes[:, theirs] = (ball @ turn[0]).reshape(len(ball), len(shapes), 3).transpose(1, 0, 2)
        radius = float(np.median(np.linalg.norm(ball, axis=1)))
        rest = mesh.vertices[skin]
        outside = np.linalg.norm(rest - joints[2 + side], axis=1) > radius
        moved = clear_of_ball((rest + shapes[:, skin])[:, outside], joints[2 + side], radius + LID_GAP)
        shapes[:, np.flatnonzero(outside) + skin.start] = np.where(
            np.any(shapes[:, skin][:, outside], axis=2, keepdims=True), moved - rest[outside], 0
        )
    shapes[np.linalg.norm(shapes, axis=2) < MOVES] = 0
    return shapes


def _inside_mouth(
    mesh: _Mesh, fitted: FittedHead, model: MorphableModel
) -> list[tuple[Int[np.ndarray, " vertex"], Float[np.ndarray, "52 vertex 3"]]]:
    """The mesh's teeth and gums, upper and lower, and tongue, where they are pieces of their own; and how they move: as
    the default head's do below them, teeth as one rigid thing."""
    found = []
    for name, members, feet in _mouth_parts(mesh, fitted, model):
        corners = model.triangles.long().numpy()[model.parts[name].triangles][feet.triangles]
        moved = np.einsum("pk,spki->spi", feet.barycentric, fitted.expressions[:, corners])
        found.append((members, moved if name == "tongue" else stiffened(mesh.vertices[members], moved)))
    return found


def _mouth_parts(
    mesh: _Mesh, fitted: FittedHead, model: MorphableModel
) -> list[tuple[str, Int[np.ndarray, " vertex"], Footpoints]]:
    """For each of MOUTH_PARTS that the mesh has: its vertices, and their places on the default head's. Pieces go to the
    part that they lie nearest to, both mouths being laid middle on middle first."""
    pieces = _pieces(len(mesh.vertices), mesh.triangles)
    skin = np.bincount(pieces).argmax()
    eyes = {int(pieces[mesh.parts[name].vertices.start]) for name in EYES if name in mesh.parts}
    everything = model.triangles.long().numpy()
    surfaces = {name: Surface(fitted.neutral, everything[model.parts[name].triangles]) for name in MOUTH_PARTS}
    near = cKDTree(np.concatenate([fitted.neutral[model.parts[name].vertices] for name in MOUTH_PARTS]))
    inside = [
        members
        for members in (np.flatnonzero(pieces == piece) for piece in np.unique(pieces) if piece not in {skin, *eyes})
        if near.query(mesh.vertices[members])[0].mean() < MOUTH_REACH
    ]
    if not inside:
        return []
    theirs = mesh.vertices[np.concatenate(inside)]
    shift = (near.data.min(0) + near.data.max(0) - theirs.min(0) - theirs.max(0)) / 2
    groups: dict[str, list[np.ndarray]] = {}
    for members in inside:
        off = {name: surface.closest(mesh.vertices[members] + shift).distances for name, surface in surfaces.items()}
        groups.setdefault(min(off, key=lambda name: float(off[name].mean())), []).append(members)
    together = {name: np.concatenate(members) for name, members in groups.items()}
    return [(name, all_, surfaces[name].closest(mesh.vertices[all_] + shift)) for name, all_ in together.items()]


def _dressed(
    scan: Scan, mesh: _Mesh, feet: Footpoints, lying: Surface, model: MorphableModel
) -> tuple[Topology, dict[str, Texture]]:
    """Texture coordinates, textures and skinning weights."""
    uv, sheet = _texture(scan, mesh)
    own = default_textures(model, resolution=512)
    textures = {"head": Texture.encode(sheet)}
    corners, places, count = [], [], 0
    for name, part in mesh.parts.items():
        local = mesh.triangles[part.triangles] - part.vertices.start
        if name in EYES and (mesh.order[part.triangles] < 0).all():
            span = model.parts[name]
            drawn = model.uv.numpy()[model.uv_triangles.long().numpy()[span.triangles]]
            textures["eyes"] = Texture.encode(own["eyes"])
        else:
            drawn = uv[part.triangles]
            if name in EYES:
                textures["eyes"] = textures["head"]
        flat, index = np.unique(drawn.reshape(-1, 2), axis=0, return_inverse=True)
        split = split_seams(local, index.reshape(-1, 3), flat, part.vertices.stop - part.vertices.start)
        corners.append(split.uv)
        places.append(split.triangles + count)
        count += len(split.uv)
    tensors = (mesh.triangles.astype(np.int32), np.concatenate(corners), np.concatenate(places).astype(np.int32))
    weights = _skinning_weights(mesh, feet, lying, model)
    return Topology(mesh.parts, *(torch.from_numpy(each) for each in (*tensors, weights))), textures


def _skinning_weights(
    mesh: _Mesh, feet: Footpoints, lying: Surface, model: MorphableModel
) -> Float[np.ndarray, "vertex 4"]:
    """Those of the default head below each vertex; eyeballs follow their own joints alone."""
    known = model.skinning_weights.double().numpy()
    weights = np.einsum("pk,pkj->pj", feet.barycentric, known[lying.triangles[feet.triangles]])
    weights[:, 1] += weights[:, 2:].sum(1)
    weights[:, 2:] = 0
    for side, name in enumerate(EYES):
        if name in mesh.parts:
            weights[mesh.parts[name].vertices] = np.eye(4)[2 + side]
    steps = np.rint(weights * WEIGHT_STEPS)
    steps[:, 1] += WEIGHT_STEPS - steps.sum(1)
    return (steps / WEIGHT_STEPS).astype(np.float32)


def _texture(scan: Scan, mesh: _Mesh) -> tuple[Float[np.ndarray, "triangle 3 2"], UInt8[np.ndarray, "h w 3"]]:
    """Texture coordinates of each triangle's corners, (0, 0) at the top left, and the one image of the mesh's skin."""
    images = [paint for paint in scan.paintwork if paint.image is not None and paint.uv is not None]
    if not images:
        return _painted_cylinder(scan, mesh)
    uv = np.zeros((len(scan.triangles), 3, 2))
    sheets = [paint.image for paint in images if paint.image is not None]
    for place, paint in enumerate(images):
        inside = np.asarray(paint.uv) - np.floor(np.asarray(paint.uv).min((0, 1))).clip(min=0)
        inside = inside.clip(0, 1) * [1, -1] + [0, 1]
        uv[paint.triangles] = (inside + [place, 0]) / [len(images), 1]
    if len(sheets) > 1:
        side = min(SHEET_SIDE, max(image.shape[0] for image in sheets))
        sheets = [np.asarray(Image.fromarray(image).resize((side, side))) for image in sheets]
    return np.where((mesh.order >= 0)[:, None, None], uv[mesh.order], 0), np.concatenate(sheets, 1)


def _painted_cylinder(scan: Scan, mesh: _Mesh) -> tuple[Float[np.ndarray, "triangle 3 2"], UInt8[np.ndarray, "h w 3"]]:
    """Texture coordinates of a cylinder for a mesh without any, in the mesh's median colour."""
    corners, places = cylinder(mesh.vertices, mesh.triangles)
    colours = scan.vertex_colours()
    linear = torch.tensor(CLAY) if colours is None else torch.as_tensor(np.median(colours, axis=0))
    pixel = (linear_to_srgb(linear.float()) * 255 + 0.5).to(torch.uint8).numpy()
    return corners[places], np.tile(pixel, (8, 8, 1))
