"""How people vary, in the default head's coefficients: `python -m assets.population.build ict_facekit.npz`.

ICT-FaceKit's identity modes (Li et al. 2020, MIT) are statistics of laser scans. The model is registered to their mean;
what each of its vertices touches there is followed through the modes, exactly, as all ICT heads share one topology, and
is written in the model's own coefficients. Scanned people are mixed with the model's own, sampled ones.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from safetensors.torch import save_file

import morphable
from face3d.perception import MediaPipeDetector
from face3d.registration import Registration, find_landmarks, register
from morphable import MorphableModel
from morphable.surface import Surface

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
    model = morphable.load()
    with MediaPipeDetector() as detector:
        found = register(model, mean, triangles, find_landmarks(model, mean, triangles, detector))
    average, spread = _in_coefficients(model, found, mean, triangles, modes)
    identity = torch.eye(model.identities, dtype=torch.float64)
    share = SCANNED_SHARE
    between = average[:, None] * average
    covariance = share * spread @ spread.mT + (1 - share) * identity + share * (1 - share) * between
    save_file({"mean": (share * average).float(), "covariance": covariance.float()}, path)


def _in_coefficients(
    model: MorphableModel,
    found: Registration,
    mean: Float[np.ndarray, "scan 3"],
    triangles: np.ndarray,
    modes: Float[np.ndarray, "mode scan 3"],
) -> tuple[Float[torch.Tensor, " identity"], Float[torch.Tensor, "identity mode"]]:
    """Identities of the mean scan, and of its modes at one standard deviation."""
    skin = model.parts["head"].vertices
    touched = Surface(found.to_model(mean), triangles).closest(found.vertices(model)[skin])
    followed = np.einsum("kvci,vc->kvi", modes[:, triangles[touched.triangles]], touched.barycentric)
    turned = found.to_model.scale * followed @ found.to_model.rotation.T
    scanned = (touched.distances < TOUCHING) & ~_hidden(model)[skin]
    fields = torch.as_tensor(_without_motion(touched.points, turned, scanned)[:, scanned])
    basis = model.identity_basis[:, skin][:, torch.as_tensor(scanned)].double().flatten(1) / AGREEMENT
    precision = basis @ basis.mT + torch.eye(len(basis), dtype=torch.float64)
    spread = torch.linalg.solve(precision, basis @ (fields.flatten(1) / AGREEMENT).mT)
    return torch.as_tensor(found.identity).double(), spread


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
