"""How people vary, in the default head's coefficients: `python -m assets.population.build ict_facekit.npz`.

ICT-FaceKit's identity modes (Li et al. 2020, MIT) are statistics of laser scans. The model is registered to their mean;
what each of its vertices touches there is followed through the modes, exactly, as all ICT heads share one topology.
What the model's sliders cannot say of these people widens its basis; then all of them are written in its coefficients,
and mixed with the model's own, sampled ones.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from safetensors.torch import save_file

from assets.population.residual import importance, residual_modes
from face3d.perception import MediaPipeDetector
from face3d.registration import Registration, find_landmarks, register
from morphable import MorphableModel
from morphable.default_head import DefaultHead
from morphable.storage import read_model
from morphable.surface import Surface
from renderers import vertex_normals

SCANNED_SHARE = 0.6
"""Scanned people in the mixture; the others are sampled ones, who differ in what scans of one place do not show."""
AGREEMENT = 0.001
"""Metres within which the model's coefficients follow a scanned person's skin."""
HEAD_VERTICES = 11248
"""The first of ICT-FaceKit's vertices: face, head and neck."""
HIDDEN = ("inner_mouth", "eye_socket", "nostrils")
TOUCHING = 0.003
"""Metres between the registered skin and the scan beyond which a vertex has no counterpart."""
CENTIMETRE = 0.01


def build(ict: Path, path: Path) -> None:
    with np.load(ict) as data:
        triangles = data["f"][(data["f"] < HEAD_VERTICES).all(1)]
        mean = CENTIMETRE * data["v"][:HEAD_VERTICES].astype(float)
        modes = CENTIMETRE * data["identity"][:, :HEAD_VERTICES].astype(float)
    model = read_model(Path(__file__).parents[1] / "default_head" / "head.safetensors", "default")
    assert isinstance(model, DefaultHead)
    with MediaPipeDetector() as detector:
        found = register(model, mean, triangles, find_landmarks(model, mean, triangles, detector))
    fields, scanned = _followed(model, found, mean, triangles, modes)
    weights = importance(model, scanned)

    unsaid = _unsaid(model, fields, weights)
    residual, joints = residual_modes(model, unsaid, scanned, weights)
    residual, joints = residual.half(), joints.float()
    wider = model.widened(residual, joints)
    for name, left in (("sliders", unsaid), ("sliders and residual modes", _unsaid(wider, fields, weights))):
        print(f"{name} leave {_along_normals(model, left, scanned):.2f} mm of people's differences")
    average, *spread = torch.as_tensor(_coefficients(wider, fields, weights))

    share, factor = SCANNED_SHARE, torch.stack(spread, 1)
    between = average[:, None] * average
    sampled = torch.eye(len(average), dtype=torch.float64)
    covariance = share * factor @ factor.mT + (1 - share) * sampled + share * (1 - share) * between
    statistics = {"mean": (share * average).float(), "covariance": covariance.float()}
    save_file(statistics | {"residual_basis": residual, "residual_joint_basis": joints}, path)


def _followed(
    model: DefaultHead,
    found: Registration,
    mean: Float[np.ndarray, "scan 3"],
    triangles: np.ndarray,
    modes: Float[np.ndarray, "mode scan 3"],
) -> tuple[Float[np.ndarray, "field skin 3"], Bool[np.ndarray, " skin"]]:
    """What moves the model's skin to the mean scan, and along each mode; and where on it that is known."""
    skin = model.parts["head"].vertices
    touched = Surface(found.to_model(mean), triangles).closest(found.vertices(model)[skin])
    followed = np.einsum("kvci,vc->kvi", modes[:, triangles[touched.triangles]], touched.barycentric)
    turned = found.to_model.scale * followed @ found.to_model.rotation.T
    scanned = (touched.distances < TOUCHING) & ~_hidden(model)[skin]
    there = touched.points - model.mean[skin].double().numpy()
    return np.concatenate([there[None], _without_motion(touched.points, turned, scanned)]), scanned


def _coefficients(
    model: MorphableModel, fields: Float[np.ndarray, "field skin 3"], importance: Float[np.ndarray, " skin"]
) -> Float[np.ndarray, "field identity"]:
    """Identities that displace the skin like this."""
    weights = importance[:, None] / AGREEMENT
    basis = (weights * _skin_of(model)).reshape(model.identities, -1)
    goals = (weights * fields).reshape(len(fields), -1)
    return np.linalg.solve(basis @ basis.T + np.eye(model.identities), basis @ goals.T).T


def _unsaid(
    model: MorphableModel, fields: Float[np.ndarray, "field skin 3"], importance: Float[np.ndarray, " skin"]
) -> Float[np.ndarray, "field skin 3"]:
    return fields - np.tensordot(_coefficients(model, fields, importance), _skin_of(model), 1)


def _along_normals(
    model: MorphableModel, fields: Float[np.ndarray, "field skin 3"], scanned: Bool[np.ndarray, " skin"]
) -> float:
    """Of all fields but the first, the root mean square over the face, mm."""
    skin = model.parts["head"].vertices
    normals = vertex_normals(model.mean, model.triangles)[skin].double().numpy()
    face = scanned & model.regions["face"][skin].numpy()
    along = np.einsum("kvi,vi->kv", fields[1:], normals)[:, face]
    return 1000 * float(np.sqrt((along**2).sum(0).mean()))


def _skin_of(model: MorphableModel) -> Float[np.ndarray, "identity skin 3"]:
    return model.identity_basis[:, model.parts["head"].vertices].double().numpy()


def _hidden(model: MorphableModel) -> Bool[np.ndarray, " vertex"]:
    return np.any([model.regions[name].numpy() for name in HIDDEN], axis=0)


def _without_motion(
    places: Float[np.ndarray, "skin 3"], modes: Float[np.ndarray, "mode skin 3"], on: Bool[np.ndarray, " skin"]
) -> Float[np.ndarray, "mode skin 3"]:
    """Modes less the rigid motion in each."""
    arms = places - places[on].mean(0)
    turns = np.stack([np.cross(axis, arms) for axis in np.eye(3)], -1)
    motions = np.concatenate([np.broadcast_to(np.eye(3), (len(arms), 3, 3)), turns], 2)
    share = np.linalg.lstsq(motions[on].reshape(-1, 6), modes[:, on].reshape(len(modes), -1).T, rcond=None)[0]
    return modes - np.einsum("vim,mk->kvi", motions, share)


if __name__ == "__main__":
    build(Path(sys.argv[1]), Path(__file__).parent / "population.safetensors")
