"""FLAME (Li et al. 2017), in all its releases: 300 identity and 100 expression components, a neck, a jaw, two eyes.

Read from the `.pkl` or `.npz` that its makers give to those who register. Releases differ in numbers only: 2017, 2019,
2020, 2023 and 2023 Open have one layout.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from morphable import checking
from morphable.albedo import AlbedoSpace
from morphable.errors import ModelFileError
from morphable.linear import EYE_PARTS, as_buffers, cylinder, no_region_map, origin_of
from morphable.model import LandmarkEmbedding, MorphableModel, Part
from morphable.skinning import joint_transforms, rotation_matrices

IDENTITIES = 300
PARENTS = (-1, 0, 1, 1, 1)
"""Of FLAME's joints: root, neck, jaw, left eye, right eye."""
SHARED_JOINTS = (0, 1, 3, 4)
"""FLAME's joints that are JOINT_NAMES: its root lies at the base of the neck, its neck below the skull."""
LAYOUT = {"v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "f"}
STATIC = ("lmk_face_idx", "lmk_b_coords")
FULL = ("full_lmk_faces_idx", "full_lmk_bary_coords")
MASKS = {"face", "scalp", "lips", "neck", "nose"}


class Flame(MorphableModel):
    """FLAME behind the common interface, and as its makers define it: `native`.

    Behind the interface the jaw and FLAME's expressions rest, the pose correctives of the neck are left out, so that a
    head stays what engines compute, and the 52 shapes are those that `expression_basis` holds, if any.

    Further buffers:
        native_expression_basis: FLAME's expression components.
        pose_basis: displacements per entry of the rotation matrices of all joints but the root, less the identity.
        native_joint_mean, native_joint_basis: the five joints at rest, per component of shape and expression.
        native_skinning_weights: how much each vertex follows each of them.
        origin: of the common frame, in FLAME's.
        file_triangles: where each of the file's triangles stands here.
    """

    native_expression_basis: Float[Tensor, "native vertex 3"]
    pose_basis: Float[Tensor, "36 vertex 3"]
    native_joint_mean: Float[Tensor, "5 3"]
    native_joint_basis: Float[Tensor, "component 5 3"]
    native_skinning_weights: Float[Tensor, "vertex 5"]
    origin: Float[Tensor, "3"]
    file_triangles: Tensor

    def native(
        self,
        shape: Float[Tensor, "batch shape"],
        expression: Float[Tensor, "batch native"],
        pose: Float[Tensor, "batch 5 3"],
    ) -> tuple[Float[Tensor, "batch vertex 3"], Float[Tensor, "batch 5 3"]]:
        """FLAME's own vertices and joints, metres in its own frame (Li et al. 2017, equations 1 to 5).

        Args:
            shape: the first coefficients of identity; the rest are zero.
            expression: the first coefficients of FLAME's expressions; the rest are zero.
            pose: axis-angle rotations of root, neck, jaw, left eye, right eye relative to their parents, radians.
        """
        shapes, expressions = shape.shape[1], expression.shape[1]
        bend = rotation_matrices(pose[:, 1:]) - torch.eye(3).to(pose)
        flat = (self.mean + self.origin).flatten()[None]
        flat = torch.addmm(flat, shape, self.identity_basis[:shapes].flatten(1))
        flat = torch.addmm(flat, expression, self.native_expression_basis[:expressions].flatten(1))
        flat = torch.addmm(flat, bend.flatten(1), self.pose_basis.flatten(1))
        joints = self.native_joint_mean + torch.tensordot(shape, self.native_joint_basis[:shapes], 1)
        last = IDENTITIES + expressions
        joints = joints + torch.tensordot(expression, self.native_joint_basis[IDENTITIES:last], 1)
        rotations, translations = joint_transforms(joints, PARENTS, pose)
        posed = _blended(flat.unflatten(1, (-1, 3)), rotations, translations, self.native_skinning_weights)
        return posed, torch.einsum("bjik,bjk->bji", rotations, joints) + translations


def is_flame(data: Mapping[str, Any]) -> bool:
    return {"v_template", "shapedirs"} <= data.keys()


def flame_from(data: Mapping[str, Any], name: str, file: str) -> Flame:
    """The model in a file of FLAME's layout, float32.

    Raises:
        ModelFileError: something is absent, of the wrong shape, not finite, or not FLAME's.
    """
    if absent := LAYOUT - data.keys():
        raise ModelFileError(f"{file} is no FLAME model: it lacks {_listed(absent)}.")
    template = checking.numbers(data, "v_template", (None, 3), file)
    count = len(template)
    components = checking.numbers(data, "shapedirs", (count, 3, None), file).transpose(2, 0, 1)
    if len(components) <= IDENTITIES:
        raise ModelFileError(
            f"`shapedirs` in {file} has {len(components)} components; FLAME has {IDENTITIES} of identity "
            "and more of expression."
        )
    pose_basis = checking.numbers(data, "posedirs", (count, 3, 9 * (len(PARENTS) - 1)), file).transpose(2, 0, 1)
    regressor = checking.numbers(data, "J_regressor", (len(PARENTS), count), file)
    weights = checking.numbers(data, "weights", (count, len(PARENTS)), file)
    triangles = checking.indices(data, "f", (None, 3), count, file)
    joints = regressor @ template
    _check_flame(data, template, weights, joints, file)

    origin = origin_of(joints[3:])
    parts, order = _parts(weights, triangles)
    triangles = triangles[order]
    uv, uv_triangles = cylinder(template - origin, triangles)
    joint_basis = np.einsum("jv,kvi->kji", regressor, components)
    shared = list(SHARED_JOINTS)
    common_weights = weights[:, shared]
    common_weights[:, 1] += weights[:, 2]
    arrays = {
        "mean": template - origin,
        "identity_basis": components[:IDENTITIES],
        "expression_basis": np.zeros((0, count, 3)),
        "joint_mean": joints[shared] - origin,
        "joint_basis": joint_basis[:IDENTITIES, shared],
        "skinning_weights": common_weights,
        "triangles": triangles,
        "uv": uv,
        "uv_triangles": uv_triangles,
        "native_expression_basis": components[IDENTITIES:],
        "pose_basis": pose_basis,
        "native_joint_mean": joints,
        "native_joint_basis": joint_basis,
        "native_skinning_weights": weights,
        "origin": origin,
        "file_triangles": np.argsort(order),
    }
    return Flame(name, as_buffers(arrays), parts, {}, {}, *no_region_map())


def landmarks_from(data: Mapping[str, Any], model: Flame, file: str) -> dict[str, LandmarkEmbedding] | None:
    """Landmark sets by name, if that is what the file holds: `ibug51` of `flame_static_embedding.pkl`; `ibug17`, the
    outline of a face seen from the front, of `flame_dynamic_embedding.npy`; `ibug68` of `landmark_embedding.npy`.

    Raises:
        ModelFileError: as `flame_from`.
    """
    if FULL[0] in data:
        return {"ibug68": _embedding(data, FULL, model, file)}
    if STATIC[0] not in data or "landmark_indices" in data:
        return None
    if np.ndim(data[STATIC[0]]) == 2:  # a row per degree of yaw, the first of them 0°
        frontal = {key: np.asarray(data[key])[0] for key in STATIC if key in data}
        return {"ibug17": _embedding(frontal, STATIC, model, file)}
    return {"ibug51": _embedding(data, STATIC, model, file)}


def regions_from(data: Mapping[str, Any], model: Flame, file: str) -> dict[str, Tensor] | None:
    """Regions by name, if that is what the file (`FLAME_masks.pkl`) holds. Raises as `flame_from`."""
    if not data.keys() >= MASKS:
        return None
    regions = {}
    for name in data:
        members = checking.indices(data, name, (None,), len(model.mean), file)
        regions[name] = torch.zeros(len(model.mean), dtype=torch.bool)
        regions[name][torch.from_numpy(members)] = True
    return regions


def albedo_from(data: Mapping[str, Any], model: Flame, file: str) -> tuple[AlbedoSpace, dict[str, Tensor]] | None:
    """Texture space and texture coordinates, if that is what the file holds: `FLAME_texture.npz`, or
    `FLAME_albedo_from_BFM.npz`. Raises as `flame_from`."""
    if {"mean", "tex_dir"} <= data.keys():
        mean = checking.numbers(data, "mean", (None, None, 3), file) / 255
        basis = checking.numbers(data, "tex_dir", (*mean.shape, None), file).transpose(3, 0, 1, 2) / 255
    elif {"MU", "PC"} <= data.keys():
        side = int(np.sqrt(np.size(data["MU"]) / 3))
        flat = {"MU": np.ravel(data["MU"]), "PC": np.reshape(data["PC"], (np.size(data["MU"]), -1))}
        mean = checking.numbers(flat, "MU", (3 * side * side,), file).reshape(side, side, 3)
        basis = checking.numbers(flat, "PC", (mean.size, None), file).T.reshape(-1, *mean.shape)
    else:
        return None
    if mean[..., 0].mean() < mean[..., 2].mean():  # releases differ in the order of channels; skin is red
        mean, basis = mean[..., ::-1], basis[..., ::-1]
    corners = checking.numbers(data, "vt", (None, 2), file) * (1, -1) + (0, 1)
    uv_triangles = checking.indices(data, "ft", (len(model.triangles), 3), len(corners), file)
    order = np.argsort(model.file_triangles.numpy())
    return AlbedoSpace.of(mean, basis), as_buffers({"uv": corners, "uv_triangles": uv_triangles[order]})


def _blended(
    vertices: Float[Tensor, "batch vertex 3"],
    rotations: Float[Tensor, "batch 5 3 3"],
    translations: Float[Tensor, "batch 5 3"],
    weights: Float[Tensor, "vertex 5"],
) -> Float[Tensor, "batch vertex 3"]:
    """Linear blend skinning, the transforms being blended before they are applied, all vertices of an entry in a row:
    four times as fast as applying them first where vertices follow several joints."""
    columns = torch.cat([rotations.mT, translations[:, :, None]], 2).permute(0, 2, 3, 1).flatten(1, 2)
    x_axis, y_axis, z_axis, shift = (columns @ weights.T).unflatten(1, (4, 3)).unbind(1)
    x, y, z = vertices.mT[:, :, None].unbind(1)
    return (x_axis * x + y_axis * y + z_axis * z + shift).mT


def _check_flame(
    data: Mapping[str, Any], template: np.ndarray, weights: np.ndarray, joints: np.ndarray, file: str
) -> None:
    checking.plausible_head(template, file)
    parents = checking.numbers(data, "kintree_table", (2, len(PARENTS)), file)[0].astype(np.int64)
    if tuple(parents[1:]) != PARENTS[1:]:
        raise ModelFileError(f"The skeleton in {file} is not FLAME's.")
    if np.abs(weights.sum(1) - 1).max() > 1e-3 or weights.min() < -1e-6:
        raise ModelFileError(f"`weights` in {file} are no shares: they do not sum to one at each vertex.")
    if not 0.03 < joints[3, 0] - joints[4, 0] < 0.12:
        raise ModelFileError(
            f"The eyes in {file} do not lie as FLAME's do, the left at +x and 3 to 12 cm from the right."
        )


def _parts(weights: np.ndarray, triangles: np.ndarray) -> tuple[dict[str, Part], np.ndarray]:
    """Head and eyeballs, which follow their joints alone; and the order that puts each part's triangles together."""
    owner = np.zeros(len(weights), int)
    for side in range(len(EYE_PARTS)):
        owner[weights[:, 3 + side] > 0.9] = 1 + side
    of_triangles = owner[triangles].min(1)
    apart = (np.diff(owner) >= 0).all() and len(np.unique(owner)) == 1 + len(EYE_PARTS)
    if not apart or (owner[triangles] != of_triangles[:, None]).any():
        return {"head": Part(slice(0, len(weights)), slice(0, len(triangles)))}, np.arange(len(triangles))
    order = np.argsort(of_triangles, kind="stable")
    edges, triangle_edges = (np.searchsorted(np.sort(each), range(4)) for each in (owner, of_triangles))
    return {
        name: Part(slice(*map(int, edges[i : i + 2])), slice(*map(int, triangle_edges[i : i + 2])))
        for i, name in enumerate(("head", *EYE_PARTS))
    }, order


def _embedding(data: Mapping[str, Any], keys: tuple[str, str], model: Flame, file: str) -> LandmarkEmbedding:
    data = {key: np.squeeze(np.asarray(data[key])) for key in keys if key in data}
    places = checking.indices(data, keys[0], (None,), len(model.triangles), file)
    shares = checking.numbers(data, keys[1], (len(places), 3), file)
    if np.abs(shares.sum(1) - 1).max() > 1e-2:
        raise ModelFileError(f"`{keys[1]}` in {file} are no barycentric coordinates: they do not sum to one.")
    return LandmarkEmbedding(model.file_triangles[torch.from_numpy(places)], torch.from_numpy(shares).float())


def _listed(names: set[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))
