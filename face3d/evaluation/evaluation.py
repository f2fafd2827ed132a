"""Folders of predictions against folders of scans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from face3d.errors import Face3DError
from face3d.evaluation.errors import REGIONS, Errors, face_errors
from face3d.evaluation.faces import Face, meshes_under, read_face
from face3d.stages import Progress

VARIANTS = {"metric": False, "scale_free": True}
"""Names of the ways to compare, and whether a prediction may grow to fit."""


@dataclass(frozen=True)
class Evaluation:
    """What predictions are worth.

    Attributes:
        errors: variant → prediction's path below its folder → its Errors; no metric ones if its unit is unknown.
        missing: scans that nothing was predicted for.
    """

    errors: dict[str, dict[str, Errors]]
    missing: tuple[str, ...]

    def distances(self, variant: str) -> Float[np.ndarray, " point"]:
        """Of all scans' points together, metres."""
        each = [errors.distances for errors in self.errors[variant].values()]
        return np.concatenate(each) if each else np.empty(0)

    def region_means(self, variant: str) -> dict[str, Float[np.ndarray, " prediction"]]:
        """Each prediction's mean distance in each region, metres; NaN where its scan lacks the region."""
        return {
            name: np.array([_mean(errors.regions.get(name)) for errors in self.errors[variant].values()])
            for name in REGIONS
        }


def evaluate(predictions: str | Path, scans: str | Path, progress: Progress | None = None) -> Evaluation:
    """Compares every prediction in a folder with its scan.

    A prediction belongs to the scan of its own name, or of the name of a folder it lies in: `anna.glb`, `anna/head.glb`
    and, as in the NoW challenge, `anna/selfie/IMG_1.obj` all belong to `anna.obj` or `anna/scan.obj`.

    Raises:
        Face3DError: there are no predictions, no scans, none that belong together, or one of them cannot be used.
        OSError: a file cannot be read.
    """
    known = _scans(Path(scans))
    pairs = _pairs(Path(predictions), known)
    errors: dict[str, dict[str, Errors]] = {variant: {} for variant in VARIANTS}
    loaded: tuple[str, Face] | None = None
    for done, (prediction, subject) in enumerate(pairs):
        if loaded is None or loaded[0] != subject:
            loaded = subject, read_face(known[subject], scans)
        face = read_face(prediction)
        name = str(prediction.relative_to(predictions))
        for variant, scaled in VARIANTS.items():
            if scaled or face.metric:
                errors[variant][name] = face_errors(face, loaded[1], scaled)
        if progress is not None:
            progress("evaluating", (done + 1) / len(pairs))
    seen = {subject for _, subject in pairs}
    return Evaluation(errors, tuple(name for name in known if name not in seen))


def _scans(folder: Path) -> dict[str, Path]:
    """Name → mesh: the file's own name, or that of the folder it lies in, whose first mesh counts."""
    meshes = reversed(_meshes(folder, "scans"))
    return {(mesh.stem if mesh.parent == folder else mesh.relative_to(folder).parts[0]): mesh for mesh in meshes}


def _pairs(folder: Path, scans: Mapping[str, Path]) -> list[tuple[Path, str]]:
    pairs = []
    for mesh in _meshes(folder, "predictions"):
        place = mesh.relative_to(folder)
        subject = next((name for name in (*place.parts[:-1], mesh.stem) if name in scans), None)
        if subject is not None:
            pairs.append((mesh, subject))
    if not pairs:
        raise Face3DError(f"No mesh in {folder} has the name of a scan, such as {next(iter(scans))}.")
    return sorted(pairs, key=lambda pair: pair[1])


def _meshes(folder: Path, what: str) -> Sequence[Path]:
    if not folder.is_dir():
        raise Face3DError(f"{folder} is no folder; give the one that holds the {what}.")
    meshes = list(meshes_under(folder))
    if not meshes:
        raise Face3DError(f"There are no {what} in {folder}: no .glb, .obj or .ply files.")
    return meshes


def _mean(distances: Float[np.ndarray, " point"] | None) -> float:
    return np.nan if distances is None else float(distances.mean())
