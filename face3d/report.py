"""`report.json`: what a reconstruction found, and how far to trust it."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from face3d.fitting.gauss_newton import State
from face3d.fitting.posterior import Posterior
from face3d.subject import Subject
from morphable import ARKIT_NAMES, MorphableModel

DOUBTFUL_ERROR = 0.04
"""Landmark error relative to the eyes' distance beyond which the user is warned."""

REPORTED_REGIONS = ("face", "lips", "brows", "eyelids", "ears", "scalp", "neck")


def make_report(
    subjects: Sequence[Subject],
    states: Sequence[State],
    main: int,
    skin: Float[Tensor, "3"],
    light: Float[Tensor, "9 3"],
    landmark_errors: Sequence[float],
    posterior: Posterior,
    unseen: Sequence[str],
    irises_seen: bool,
) -> dict[str, Any]:
    """Cameras, parameters, scale, uncertainty, landmark errors (relative to the eyes' distance), warnings, versions.

    Args:
        main: the photo that the texture is from, with its `skin` and `light`.
        unseen: names of photos in which no face was found.
        irises_seen: whether they told the size.
    """
    subject, state = subjects[main], states[main]
    model = subject.model
    photos = [_of_photo(*each) for each in zip(subjects, states, landmark_errors, strict=True)]
    known = any(subject.photo.focal_pixels is not None for subject in subjects)
    sources = ["the identity prior", *(["the irises"] if irises_seen else []), *(["the camera"] if known else [])]
    return {
        **photos[main],
        **({"photos": photos} if len(photos) > 1 else {}),
        "parameters": {
            "model": model.name,
            "identity": state.identity.tolist(),
            "expression": {n: round(w, 4) for n, w in zip(ARKIT_NAMES, state.expression.tolist(), strict=True)},
            "skin_linear_rgb": skin.tolist(),
            "light_spherical_harmonics": light.tolist(),
        },
        "scale": _scale(model, state, posterior) | {"source": ", ".join(sources)},
        "deviation_mm": {
            name: round(1000 * float(np.median(posterior.deviation[model.regions[name].numpy()])), 2)
            for name in REPORTED_REGIONS
        },
        "warnings": _warnings(subjects, landmark_errors, unseen),
        "versions": {name: version(name) for name in ("face3d", "torch", "warp-lang", "mediapipe")},
    }


def _of_photo(subject: Subject, state: State, landmark_error: float) -> dict[str, Any]:
    return {
        "photo": {"name": subject.photo.name, "width": subject.width, "height": subject.height},
        "face": {"box": [round(edge, 1) for edge in subject.observation.box], "score": subject.observation.score},
        "camera": {
            "focal_pixels": float(state.log_focal.exp()),
            "focal_from_exif": subject.photo.focal_pixels is not None,
            "principal_pixels": subject.principal.tolist(),
            "world_to_camera_rotation": state.rotation.tolist(),
            "world_to_camera_translation_m": state.translation.tolist(),
        },
        "landmark_error_percent_of_eye_distance": round(100 * landmark_error, 2),
    }


def _scale(model: MorphableModel, state: State, posterior: Posterior) -> dict[str, float]:
    """The distance between the eyes' centres and its standard deviation, millimetres."""
    joints = model.joints(state.identity.float()[None])[0]
    between = joints[2] - joints[3]
    along = between / between.norm()
    slopes = (model.joint_basis[:, 2] - model.joint_basis[:, 3]) @ along
    deviation = (slopes @ torch.as_tensor(posterior.factor)).norm()
    return {
        "interpupillary_distance_mm": round(1000 * float(between.norm()), 2),
        "interpupillary_deviation_mm": round(1000 * float(deviation), 2),
    }


def _warnings(subjects: Sequence[Subject], landmark_errors: Sequence[float], unseen: Sequence[str]) -> list[str]:
    warnings = [f"{name}: no face was found in this photo, it was left out" for name in unseen]
    if all(subject.photo.focal_pixels is None for subject in subjects):
        warnings.append("the photo does not tell its focal length: size and perspective are less certain")
    for subject, error in zip(subjects, landmark_errors, strict=True):
        if error > DOUBTFUL_ERROR:
            name = f"{subject.photo.name}: " if len(subjects) > 1 else ""
            warnings.append(
                f"{name}the landmarks are off by {round(100 * error, 2)} % of the eyes' distance: "
                "look at fit.png before you rely on it"
            )
    return warnings


def provenance(report: dict[str, Any]) -> dict[str, Any]:
    """What of the report belongs to the head for good."""
    return {key: report[key] for key in ("photo", "camera", "parameters", "scale", "versions")}
