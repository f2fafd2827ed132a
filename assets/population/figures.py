"""People drawn from the population, and how they measure beside surveys: `python -m assets.population.figures`."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

import morphable
from assets.default_head.anthropometry import ADULTS
from assets.default_head.contact_sheet import HAIRS, IRISES, SKINS, YAWS, portrait
from morphable import MorphableModel, on_surface
from morphable.anthropometry import anthropometric_points
from morphable.population import Population

PEOPLE, SEED = 2000, 3
COLUMNS, ROWS, SIZE = 6, 5, 160
MOUTH_CORNERS, EYE_CORNERS = (61, 291), ((33, 133), (263, 362))
"""Of MediaPipe's landmarks."""


def main() -> None:
    model = morphable.load()
    population = Population.load()
    draws = torch.randn(PEOPLE, model.identities, generator=torch.Generator().manual_seed(SEED)).double()
    people = (population.mean + draws @ population.factor(model).mT).float()
    for name, values in _measures(model, people).items():
        survey = ADULTS[name]
        found = f"{1000 * values.mean():.1f} ± {1000 * values.std():.1f}"
        print(f"| {name.replace('_', ' ')} | {found} | {1000 * survey.mean:.1f} ± {1000 * survey.deviation:.1f} |")
    colours = np.random.default_rng(SEED)
    pictures = []
    for place, vertices in enumerate(model.neutral(people[: ROWS * COLUMNS])):
        skin, hair, iris = (options[colours.integers(len(options))] for options in (SKINS, HAIRS, IRISES))
        dark = sum(skin) < 0.6
        textures = morphable.default_textures(
            model,
            skin_colour=skin,
            brow_colour=HAIRS[-1] if dark else hair,
            iris_colour=IRISES[-1] if dark else iris,
            resolution=512,
        )
        pictures.append(portrait(model, vertices, textures, SIZE, YAWS[place % len(YAWS)]))
    rows = [np.concatenate(pictures[start : start + COLUMNS], 1) for start in range(0, len(pictures), COLUMNS)]
    Image.fromarray(np.concatenate(rows)).quantize(128).save(Path(__file__).parent / "contact_sheet.png", optimize=True)


def _measures(model: MorphableModel, people: Float[Tensor, "person identity"]) -> dict[str, Float[Tensor, " person"]]:
    """Of each of ADULTS, metres."""
    skin = model.parts["head"].vertices
    places = anthropometric_points(model.mean[skin].numpy(), model.joint_mean[2:].mean(0).numpy())
    named, corners, eyes = [], [], []
    for some in people.split(100):
        vertices = model.neutral(some)
        named.append(vertices[:, list(places.values())])
        corners.append(on_surface(model.landmarks["mediapipe"], vertices, model.triangles))
        eyes.append(model.joints(some)[:, 2:])
    points = dict(zip(places, torch.cat(named).unbind(1), strict=True))
    marks, pupils = torch.cat(corners), torch.cat(eyes)

    def between(one: str, other: str) -> Float[Tensor, " person"]:
        return (points[one] - points[other]).norm(dim=1)

    fissures = [(marks[:, outer] - marks[:, inner]).norm(dim=1) for outer, inner in EYE_CORNERS]
    return {
        "head_breadth": between("euryon_left", "euryon_right"),
        "head_length": between("glabella", "opisthocranion"),
        "bizygomatic_breadth": between("zygion_left", "zygion_right"),
        "menton_sellion": between("menton", "sellion"),
        "interpupillary": (pupils[:, 0] - pupils[:, 1]).norm(dim=1),
        "nose_breadth": between("alare_left", "alare_right"),
        "nose_length": between("sellion", "subnasale"),
        "nose_protrusion": points["pronasale"][:, 2] - points["subnasale"][:, 2],
        "lip_length": (marks[:, MOUTH_CORNERS[0]] - marks[:, MOUTH_CORNERS[1]]).norm(dim=1),
        "fissure_length": (fissures[0] + fissures[1]) / 2,
    }


if __name__ == "__main__":
    main()
