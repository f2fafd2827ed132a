"""Universal Scene Description: meshes with blend shapes under one skeleton, and a performance as their animation.

`.usda` is text and `.usdc` binary, both with their textures beside them; `.usdz` is one package. Needs usd-core, the
extra `usd`.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import roma
import torch
from jaxtyping import Float

from avatars.export.staging import staging
from avatars.export.surface import ROUGHNESS, TEXTURES, shape_normals
from morphable import ARKIT_NAMES, JOINT_NAMES, JOINT_PARENTS, Head, Part, Performance
from morphable.editing import usual_rate
from morphable.playing import joint_motion
from morphable.topology import Layout

if TYPE_CHECKING:
    from pxr import Usd

ROOT = "/Head"
SKELETON = f"{ROOT}/Skeleton"
ANIMATION = f"{ROOT}/Animation"
MATERIALS = f"{ROOT}/Materials"
LASHES = "lashes"
MOVING = (JOINT_NAMES.index("neck"), JOINT_NAMES.index("head"))
UNPAINTED = (0.5, 0.5, 0.5)
ROOM = 0.5
"""How far a pose may reach out of the neutral head, over the head's largest side; on top of how far it is carried."""


def save(head: Head, path: str | os.PathLike[str], performance: Performance | None = None) -> None:
    """Writes `head` in metres, y up, facing +z, neutral at rest, with the performance as its animation from time 0 on.

    The SkelRoot `Head` holds a Mesh per part with BlendShapes of ARKit's names, a Skeleton with the joints of
    JOINT_NAMES, materials and, with a performance, a SkelAnimation. `x.usda` comes with an image per texture,
    `x_head.jpg` and so on; spaces in their names become underscores.

    Raises:
        OSError: the files cannot be written; what was there before is left as it was.
        ValueError: usd-core is not installed, or the performance has no frames.
    """
    try:
        from pxr import UsdUtils
    except ModuleNotFoundError as error:
        raise ValueError(f"{path}: USD files need usd-core; install it with pip install 'face3d[usd]'") from error
    path = Path(path)
    stem = "_".join(path.stem.split())
    images = {name: f"{stem}_{name}{texture.suffix}" for name, texture in head.textures.items()}
    stage = _stage(head, performance, images)
    with staging(path) as folder, tempfile.TemporaryDirectory() as unpacked:
        packs = path.suffix.lower() == ".usdz"
        beside = Path(unpacked) if packs else folder
        for name, texture in head.textures.items():
            (beside / images[name]).write_bytes(texture.encoded)
        layer = beside / ("head.usdc" if packs else path.name)
        written = stage.GetRootLayer().Export(str(layer))
        if packs:
            written = written and UsdUtils.CreateNewUsdzPackage(str(layer), str(folder / path.name))
        if not written:
            raise OSError(None, "USD could not write it")


def _stage(head: Head, performance: Performance | None, images: dict[str, str]) -> Usd.Stage:
    from pxr import Kind, Usd, UsdGeom, UsdSkel

    layout = head.layout
    stage = Usd.Stage.CreateInMemory()
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    root = UsdSkel.Root.Define(stage, ROOT)
    stage.SetDefaultPrim(root.GetPrim())
    Usd.ModelAPI(root).SetKind(Kind.Tokens.component)
    _define_skeleton(stage, head)
    _define_materials(stage, layout, images)
    _define_meshes(stage, head, layout)
    binding = UsdSkel.BindingAPI.Apply(root.GetPrim())
    binding.CreateSkeletonRel().SetTargets([SKELETON])
    carried = 0.0
    if performance is not None:
        _define_animation(stage, head, performance)
        UsdSkel.BindingAPI.Apply(stage.GetPrimAtPath(SKELETON)).CreateAnimationSourceRel().SetTargets([ANIMATION])
        carried = float(np.abs(performance.translation).max())
    low, high = head.neutral.min(0), head.neutral.max(0)
    room = ROOM * float((high - low).max()) + carried
    root.CreateExtentAttr(_vectors(np.stack([low - room, high + room])))
    return stage


def _define_skeleton(stage: Usd.Stage, head: Head) -> None:
    from pxr import Gf, UsdSkel

    skeleton = UsdSkel.Skeleton.Define(stage, SKELETON)
    places = head.joints.astype(float)
    offsets = [places[joint] - (places[parent] if parent >= 0 else 0) for joint, parent in enumerate(JOINT_PARENTS)]
    skeleton.CreateJointsAttr(_joint_paths())
    skeleton.CreateBindTransformsAttr([Gf.Matrix4d().SetTranslate(Gf.Vec3d(*place)) for place in places.tolist()])
    skeleton.CreateRestTransformsAttr([Gf.Matrix4d().SetTranslate(Gf.Vec3d(*place.tolist())) for place in offsets])


def _define_animation(stage: Usd.Stage, head: Head, performance: Performance) -> None:
    from pxr import UsdSkel, Vt

    if not len(performance):
        raise ValueError("a performance without frames cannot be an animation")
    rate = usual_rate(performance)
    codes = ((performance.times - performance.times[0]) * rate).tolist()
    stage.SetTimeCodesPerSecond(rate)
    stage.SetFramesPerSecond(rate)
    stage.SetStartTimeCode(codes[0])
    stage.SetEndTimeCode(codes[-1])

    neck, skull = MOVING
    motion = joint_motion(head, performance)
    places = np.tile(np.stack([head.joints[neck], head.joints[skull] - head.joints[neck]]), (len(codes), 1, 1))
    places[:, 0] += motion.translations
    turns = roma.rotvec_to_unitquat(torch.as_tensor(motion.rotations[:, MOVING])).numpy()

    animation = UsdSkel.Animation.Define(stage, ANIMATION)
    animation.CreateJointsAttr([_joint_paths()[joint] for joint in MOVING])
    animation.CreateBlendShapesAttr(ARKIT_NAMES)
    animation.CreateScalesAttr(Vt.Vec3hArray(len(MOVING), (1, 1, 1)))
    translations, rotations = animation.CreateTranslationsAttr(), animation.CreateRotationsAttr()
    weights = animation.CreateBlendShapeWeightsAttr()
    for code, place, turn, weight in zip(codes, places, turns, performance.weights, strict=True):
        translations.Set(_vectors(place), code)
        rotations.Set(Vt.QuatfArray.FromNumpy(np.ascontiguousarray(turn, dtype=np.float32)), code)
        weights.Set(Vt.FloatArray.FromNumpy(weight), code)


def _define_meshes(stage: Usd.Stage, head: Head, layout: Layout) -> None:
    normals, turns = shape_normals(head.neutral, head.expressions, np.asarray(layout.triangles))
    for name, part in layout.parts.items():
        mesh = _define_mesh(stage, head, layout, name, part, normals[part.vertices])
        _define_shapes(mesh, head.expressions[:, part.vertices], turns[:, part.vertices])


def _define_mesh(
    stage: Usd.Stage, head: Head, layout: Layout, name: str, part: Part, normals: Float[np.ndarray, "vertex 3"]
) -> Any:
    from pxr import Gf, Sdf, UsdGeom, UsdShade, UsdSkel, Vt

    points = head.neutral[part.vertices]
    triangles = np.asarray(layout.triangles)[part.triangles].astype(np.int32) - part.vertices.start
    mesh = UsdGeom.Mesh.Define(stage, f"{ROOT}/{_identifier(name)}")
    mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    mesh.CreatePointsAttr(_vectors(points))
    mesh.CreateFaceVertexCountsAttr(Vt.IntArray(len(triangles), 3))
    mesh.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(triangles.ravel()))
    mesh.CreateNormalsAttr(_vectors(normals))
    mesh.SetNormalsInterpolation(UsdGeom.Tokens.vertex)
    mesh.CreateExtentAttr(_vectors(np.stack([points.min(0), points.max(0)])))
    mesh.CreateDoubleSidedAttr(name == LASHES)

    corners, indices = np.unique(np.asarray(layout.uv_triangles)[part.triangles], return_inverse=True)
    upwards = np.asarray(layout.uv)[corners] * [1, -1] + [0, 1]
    st = UsdGeom.PrimvarsAPI(mesh).CreatePrimvar("st", Sdf.ValueTypeNames.TexCoord2fArray, UsdGeom.Tokens.faceVarying)
    st.Set(Vt.Vec2fArray.FromNumpy(upwards.astype(np.float32)))
    st.SetIndices(Vt.IntArray.FromNumpy(indices.ravel().astype(np.int32)))

    weights = np.asarray(layout.skinning_weights)[part.vertices].astype(np.float64)
    weights /= weights.sum(1, keepdims=True)
    binding = UsdSkel.BindingAPI.Apply(mesh.GetPrim())
    joints = np.tile(np.arange(len(JOINT_NAMES), dtype=np.int32), len(points))
    binding.CreateJointIndicesPrimvar(False, len(JOINT_NAMES)).Set(Vt.IntArray.FromNumpy(joints))
    binding.CreateJointWeightsPrimvar(False, len(JOINT_NAMES)).Set(
        Vt.FloatArray.FromNumpy(weights.astype(np.float32).ravel())
    )
    binding.CreateGeomBindTransformAttr(Gf.Matrix4d(1))
    material = UsdShade.Material.Get(stage, f"{MATERIALS}/{_identifier(TEXTURES.get(name, name))}")
    UsdShade.MaterialBindingAPI.Apply(mesh.GetPrim()).Bind(material)
    return mesh


def _define_shapes(
    mesh: Any, moves: Float[np.ndarray, "shape vertex 3"], turns: Float[np.ndarray, "shape vertex 3"]
) -> None:
    """A BlendShape for each of ARKIT_NAMES that moves the mesh, over the vertices that it moves."""
    from pxr import UsdSkel, Vt

    shapes = []
    for name, move, turn in zip(ARKIT_NAMES, moves, turns, strict=True):
        moved = np.flatnonzero(np.any((move != 0) | (turn != 0), axis=1)).astype(np.int32)
        if len(moved):
            shape = UsdSkel.BlendShape.Define(mesh.GetPrim().GetStage(), mesh.GetPath().AppendChild(name))
            shape.CreateOffsetsAttr(_vectors(move[moved]))
            shape.CreateNormalOffsetsAttr(_vectors(turn[moved]))
            shape.CreatePointIndicesAttr(Vt.IntArray.FromNumpy(moved))
            shapes.append((name, shape.GetPath()))
    if shapes:
        names, targets = zip(*shapes, strict=True)
        binding = UsdSkel.BindingAPI(mesh.GetPrim())
        binding.CreateBlendShapesAttr(names)
        binding.CreateBlendShapeTargetsRel().SetTargets(targets)


def _define_materials(stage: Usd.Stage, layout: Layout, images: dict[str, str]) -> None:
    from pxr import Gf, Sdf, UsdGeom, UsdShade

    kinds = Sdf.ValueTypeNames
    UsdGeom.Scope.Define(stage, MATERIALS)
    for name in dict.fromkeys(TEXTURES.get(part, part) for part in layout.parts):
        material = UsdShade.Material.Define(stage, f"{MATERIALS}/{_identifier(name)}")
        surface = _shader(stage, material, "Surface", "UsdPreviewSurface")
        surface.CreateInput("roughness", kinds.Float).Set(ROUGHNESS.get(name, ROUGHNESS["head"]))
        surface.CreateInput("metallic", kinds.Float).Set(0.0)
        material.CreateSurfaceOutput().ConnectToSource(surface.CreateOutput("surface", kinds.Token))
        colour = surface.CreateInput("diffuseColor", kinds.Color3f)
        if name not in images:
            colour.Set(Gf.Vec3f(*UNPAINTED))
            continue
        place = _shader(stage, material, "Coordinates", "UsdPrimvarReader_float2")
        place.CreateInput("varname", kinds.String).Set("st")
        image = _shader(stage, material, "Image", "UsdUVTexture")
        image.CreateInput("file", kinds.Asset).Set(f"./{images[name]}")
        image.CreateInput("sourceColorSpace", kinds.Token).Set("sRGB")
        for axis in ("wrapS", "wrapT"):
            image.CreateInput(axis, kinds.Token).Set("clamp")
        image.CreateInput("st", kinds.Float2).ConnectToSource(place.CreateOutput("result", kinds.Float2))
        colour.ConnectToSource(image.CreateOutput("rgb", kinds.Float3))
        if name == LASHES:
            opacity = surface.CreateInput("opacity", kinds.Float)
            opacity.ConnectToSource(image.CreateOutput("a", kinds.Float))


def _shader(stage: Usd.Stage, material: Any, name: str, identifier: str) -> Any:
    from pxr import UsdShade

    shader = UsdShade.Shader.Define(stage, material.GetPath().AppendChild(name))
    shader.CreateIdAttr(identifier)
    return shader


def _joint_paths() -> list[str]:
    paths: list[str] = []
    for name, parent in zip(JOINT_NAMES, JOINT_PARENTS, strict=True):
        paths.append(name if parent < 0 else f"{paths[parent]}/{name}")
    return paths


def _identifier(name: str) -> str:
    from pxr import Tf

    identifier: str = Tf.MakeValidIdentifier(name)
    return identifier


def _vectors(values: np.ndarray) -> Any:
    from pxr import Vt

    return Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(values, dtype=np.float32))
