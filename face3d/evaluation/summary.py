"""What an evaluation says: a table to paste, JSON, and curves."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from face3d.evaluation.errors import REGIONS
from face3d.evaluation.evaluation import VARIANTS, Evaluation

CURVE_END, CURVE_STEPS = 0.005, 100
"""Metres up to which curves are drawn, and their points."""


def table(evaluation: Evaluation, method: str) -> str:
    """Markdown, millimetres: NoW's figures over all points of all scans, and the regions' means over the scans."""
    head = ["method", "", "scans", "median", "mean", "std", *REGIONS]
    rows = [head, ["---"] * 3 + ["--:"] * (len(head) - 3)]
    for variant in VARIANTS:
        distances = evaluation.distances(variant)
        if len(distances):
            figures = [np.median(distances), distances.mean(), distances.std()]
            figures += [_known_mean(means) for means in evaluation.region_means(variant).values()]
            count = str(len(evaluation.errors[variant]))
            rows.append([method, variant.replace("_", "-"), count, *map(_millimetres, figures)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def as_json(evaluation: Evaluation, method: str) -> dict[str, Any]:
    """Everything that the table and the curves say, and each prediction's own figures; millimetres."""
    return {
        "method": method,
        "unit": "mm",
        "scans_without_prediction": list(evaluation.missing),
        **{variant: _variant(evaluation, variant) for variant in VARIANTS},
    }


def curves(evaluations: Mapping[str, Evaluation]) -> bytes:
    """A PNG: for each method and variant, how many percent of the points are nearer than an error."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, variant in zip(figure.subplots(1, len(VARIANTS)), VARIANTS, strict=True):
        for method, evaluation in evaluations.items():
            errors, shares = cumulative(evaluation.distances(variant))
            axes.plot(1000 * errors, 100 * shares, label=method)
        axes.set(title=variant.replace("_", "-"), xlabel="error (mm)", ylabel="scan's points (%)")
        axes.set(xlim=(0, 1000 * CURVE_END), ylim=(0, 100))
        axes.grid(alpha=0.3)
        axes.legend(loc="lower right")
    file = io.BytesIO()
    figure.savefig(file, dpi=120, format="png")
    return file.getvalue()


def cumulative(distances: Float[np.ndarray, " point"]) -> tuple[Float[np.ndarray, " step"], Float[np.ndarray, " step"]]:
    """Errors in metres from 0 to CURVE_END, and the share of distances that are no greater; NaN if there are none."""
    errors = np.linspace(0, CURVE_END, CURVE_STEPS + 1)
    within = np.searchsorted(np.sort(distances), errors, side="right")
    return errors, within / len(distances) if len(distances) else np.full(len(errors), np.nan)


def _variant(evaluation: Evaluation, variant: str) -> dict[str, Any]:
    predictions = {
        name: {**_figures(errors.distances), "regions": {key: _figures(own) for key, own in errors.regions.items()}}
        for name, errors in evaluation.errors[variant].items()
    }
    if not predictions:
        return {"predictions": {}}
    distances = evaluation.distances(variant)
    means = evaluation.region_means(variant)
    errors, shares = cumulative(distances)
    return {
        **_figures(distances),
        "regions": {
            name: None if np.isnan(each).all() else _rounded(_known_mean(each)) for name, each in means.items()
        },
        "curve": {"error": [_rounded(error) for error in errors], "share": [round(float(each), 5) for each in shares]},
        "predictions": predictions,
    }


def _figures(distances: Float[np.ndarray, " point"]) -> dict[str, Any]:
    median, mean, std = np.median(distances), distances.mean(), distances.std()
    return {"points": len(distances), "median": _rounded(median), "mean": _rounded(mean), "std": _rounded(std)}


def _known_mean(means: Float[np.ndarray, " prediction"]) -> float:
    known = means[np.isfinite(means)]
    return float(known.mean()) if len(known) else np.nan


def _rounded(metres: float) -> float:
    return round(1000 * float(metres), 5)


def _millimetres(metres: float) -> str:
    return "-" if np.isnan(metres) else f"{1000 * metres:.2f}"
