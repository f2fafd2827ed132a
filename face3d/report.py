"""`report.json`: what a reconstruction found, and how far to trust it."""

from importlib.metadata import version
from typing import Any

from jaxtyping import Float
from torch import Tensor

from face3d.fitting.gauss_newton import State
from face3d.subject import Subject
from morphable import ARKIT_NAMES

DOUBTFUL_ERROR = 0.04
"""Landmark error relative to the eyes' distance beyond which the user is warned."""


def make_report(
    subject: Subject, state: State, skin: Float[Tensor, "3"], light: Float[Tensor, "9 3"], landmark_error: float
) -> dict[str, Any]:
    """Camera, parameters, scale, landmark error (relative to the eyes' distance), warnings and versions."""
    focal = float(state.log_focal.exp())
    joints = subject.model.joints(state.identity.float()[None])[0]
    error = round(100 * landmark_error, 2)
    warnings = []
    if subject.photo.focal_pixels is None:
        warnings.append("the photo does not tell its focal length: size and perspective are less certain")
    if landmark_error > DOUBTFUL_ERROR:
        warnings.append(
            f"the landmarks are off by {error} % of the eyes' distance: look at fit.png before you rely on it"
        )
    return {
        "photo": {"name": subject.photo.name, "width": subject.width, "height": subject.height},
        "face": {"box": [round(edge, 1) for edge in subject.observation.box], "score": subject.observation.score},
        "camera": {
            "focal_pixels": focal,
            "focal_from_exif": subject.photo.focal_pixels is not None,
            "principal_pixels": subject.principal.tolist(),
            "world_to_camera_rotation": state.rotation.tolist(),
            "world_to_camera_translation_m": state.translation.tolist(),
        },
        "parameters": {
            "model": subject.model.name,
            "identity": state.identity.tolist(),
            "expression": {n: round(w, 4) for n, w in zip(ARKIT_NAMES, state.expression.tolist(), strict=True)},
            "skin_linear_rgb": skin.tolist(),
            "light_spherical_harmonics": light.tolist(),
        },
        "scale": {
            "interpupillary_distance_mm": round(1000 * float((joints[2] - joints[3]).norm()), 2),
            "source": "the identity prior and the camera" if subject.photo.focal_pixels else "the identity prior",
        },
        "landmark_error_percent_of_eye_distance": error,
        "warnings": warnings,
        "versions": {name: version(name) for name in ("face3d", "torch", "warp-lang", "mediapipe")},
    }


def provenance(report: dict[str, Any]) -> dict[str, Any]:
    """What of the report belongs to the head for good."""
    return {key: report[key] for key in ("photo", "camera", "parameters", "scale", "versions")}
