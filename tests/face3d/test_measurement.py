"""Measures of heads: known answers, known spreads, and what the command prints."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from typer.testing import CliRunner

import face3d
import morphable
from face3d.cli import app
from face3d.measurement import MEASURES, PAIRS, Measurement, _root_breadth, _tape, measure
from morphable import Head, MorphableModel
from morphable.topology import Topology

ICT = Path(__file__).parents[3] / "shared/data/ict_facekit.npz"
PUBLISHED = {
    "interpupillary_distance": (63, 4),
    "face_width": (139, 7),
    "face_height": (118, 8),
    "jaw_width": (115, 10),
    "nose_breadth": (36, 6),
    "nose_bridge_width": (16.5, 4),
    "nose_height": (51, 5),
    "mouth_width": (50, 5),
    "eye_width": (29, 3),
    "inner_eye_distance": (32, 3),
    "ear_length": (62, 6),
    "head_breadth": (151, 7),
    "head_length": (195, 12),
    "head_circumference": (567, 20),
}
"""Adults, women and men pooled, and how far the average head may be off, mm: ANSUR II, NIOSH (Zhuang & Bradtmiller
2005), Farkas (1994)."""


def mean_head(model: MorphableModel, **uncertainty: np.ndarray) -> Head:
    return Head.from_model(model, torch.zeros(model.identities), {}, **uncertainty)


def identity_posterior(model: MorphableModel, deviation: float) -> np.ndarray:
    return deviation * np.eye(model.identities)


def test_the_average_head_measures_as_adults_do(model: MorphableModel) -> None:
    found = face3d.measure(mean_head(model))
    assert list(found) == list(MEASURES)
    for name, (mean, tolerance) in PUBLISHED.items():
        assert 1000 * found[name].value == pytest.approx(mean, abs=tolerance), name
    assert {each.deviation for each in found.values()} == {None}


def test_a_larger_head_measures_larger(model: MorphableModel) -> None:
    head = mean_head(model)
    larger = replace(head, neutral=np.float32(1.1) * head.neutral, joints=np.float32(1.1) * head.joints)
    before, after = measure(head), measure(larger)
    for name in MEASURES:
        assert after[name].value == pytest.approx(1.1 * before[name].value, rel=1e-4), name


def test_deviations_are_those_of_the_posterior(model: MorphableModel) -> None:
    """Straight measures are nearly linear in the identity, so their spread is known in closed form."""
    found = measure(mean_head(model, identity_factor=identity_posterior(model, 0.3)))
    eyes = model.joint_basis[:, 2, 0] - model.joint_basis[:, 3, 0]
    assert found["interpupillary_distance"].deviation == pytest.approx(0.3 * float(eyes.norm()), rel=0.15)
    wide = measure(mean_head(model, identity_factor=identity_posterior(model, 0.6)))
    for name in PAIRS:
        assert wide[name].deviation == pytest.approx(2 * found[name].deviation, rel=0.1), name


def test_the_posterior_covers_the_truth(model: MorphableModel) -> None:
    """Estimates that miss by draws from their own posterior: the truth lies within 1 σ two times in three."""
    generator = torch.Generator().manual_seed(4)
    factor = identity_posterior(model, 0.4)
    truth = measure(mean_head(model))
    inside = []
    for _ in range(8):
        missed = 0.4 * torch.randn(model.identities, generator=generator)
        found = measure(Head.from_model(model, missed, {}, identity_factor=factor))
        inside += [abs(each.value - truth[name].value) < each.deviation for name, each in found.items()]
    assert 0.5 < np.mean(inside) < 0.85


def test_surface_deviation_adds_to_what_the_identity_leaves_open(model: MorphableModel) -> None:
    surface = np.full(len(model.mean), 5e-4)
    alone = measure(mean_head(model, deviation=surface))
    assert alone["interpupillary_distance"].deviation is None
    assert 2e-4 < alone["head_breadth"].deviation < 1e-3
    posterior = identity_posterior(model, 0.3)
    within = measure(mean_head(model, identity_factor=posterior, deviation=np.zeros(len(model.mean))))
    without = measure(mean_head(model, identity_factor=posterior))
    assert within == without
    more = measure(mean_head(model, identity_factor=posterior, deviation=np.full(len(model.mean), 5e-3)))
    assert more["head_breadth"].deviation > 2 * without["head_breadth"].deviation


def test_measures_repeat_exactly(model: MorphableModel) -> None:
    head = mean_head(model, identity_factor=identity_posterior(model, 0.3), deviation=np.full(len(model.mean), 1e-3))
    assert measure(head) == measure(head)


def test_tape_about_a_ball() -> None:
    ball = trimesh.creation.icosphere(5, radius=0.09)
    around = _tape(ball.vertices, ball.faces, np.array([0, 0.02, 0.08]), np.array([0, 0.02, -0.08]))
    assert around == pytest.approx(2 * np.pi * np.sqrt(0.09**2 - 0.02**2), rel=1e-3)


def test_root_of_a_nose_like_a_roof() -> None:
    """A ridge along y whose flanks fall at 45 degrees is, at a depth d, 2 d wide."""
    vertices = np.array([[0, y, 0.1] for y in (-1, 1)] + [[x, y, 0.0] for x in (-0.1, 0.1) for y in (-1, 1)])
    triangles = np.array([[0, 1, 2], [1, 3, 2], [0, 4, 1], [1, 4, 5]])
    assert _root_breadth(vertices, triangles, np.array([0, 0, 0.1]), 0.08) == pytest.approx(0.02)
    assert np.isnan(_root_breadth(vertices, triangles, np.array([0, 0, 0.1]), 0.12))


def test_another_model_is_measured_at_the_same_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not ICT.exists():
        pytest.skip("ICT-FaceKit's arrays are not here")
    monkeypatch.setenv("FACE3D_MODELS", str(tmp_path))
    ict = morphable.load(morphable.catalogue.add(ICT).name)
    found = measure(mean_head(ict))
    assert "ear_length" not in found and "jaw_width" not in found
    for name in found.keys() & PUBLISHED.keys():
        mean, tolerance = PUBLISHED[name]
        assert 1000 * found[name].value == pytest.approx(mean, abs=2 * tolerance), name


def test_a_head_of_another_version_of_its_model(model: MorphableModel) -> None:
    head = mean_head(model)
    with pytest.raises(face3d.Face3DError, match="another version of the model"):
        measure(replace(head, neutral=head.neutral[:-1]))
    own = Topology(model.parts, model.triangles, model.uv, model.uv_triangles, model.skinning_weights)
    with pytest.raises(face3d.Face3DError, match="a mesh of its own"):
        measure(replace(head, model="own", topology=own))
    shorter = replace(head, identity_factor=np.ones((3, 2), dtype="f4"))
    assert measure(shorter)["head_breadth"].deviation is None


@pytest.fixture
def saved(model: MorphableModel, tmp_path: Path) -> Path:
    mean_head(model, identity_factor=identity_posterior(model, 0.3)).save(tmp_path / "head.glb")
    return tmp_path / "head.glb"


def test_the_command_prints_a_line_a_measure(saved: Path) -> None:
    result = CliRunner().invoke(app, ["measure", str(saved)])
    lines = result.stdout.splitlines()
    assert result.exit_code == 0 and len(lines) == len(MEASURES)
    name, value, sign, deviation = lines[0].rsplit(maxsplit=3)
    assert (name, value, sign) == ("interpupillary distance", "63.0", "±")
    assert 0.5 < float(deviation) < 1.5


def test_the_command_prints_json(saved: Path) -> None:
    found = measure(Head.load(saved))
    result = CliRunner().invoke(app, ["measure", str(saved), "--json"])
    printed = json.loads(result.stdout)
    assert list(printed) == list(found)
    for name, each in printed.items():
        again = Measurement(each["value_mm"] / 1000, each["deviation_mm"] / 1000)
        assert again.value == pytest.approx(found[name].value, abs=1e-6)
        assert again.deviation == pytest.approx(found[name].deviation, abs=1e-6)


def test_unknown_deviations_say_so(model: MorphableModel, tmp_path: Path) -> None:
    mean_head(model).save(tmp_path / "head.glb")
    printed = CliRunner().invoke(app, ["measure", str(tmp_path / "head.glb")]).stdout
    assert printed.count("± unknown") == len(MEASURES)
    as_json = CliRunner().invoke(app, ["measure", str(tmp_path / "head.glb"), "--json"]).stdout
    assert {each["deviation_mm"] for each in json.loads(as_json).values()} == {None}


@pytest.mark.parametrize("name", ["absent.glb", "text.glb", "head.xyz"])
def test_bad_files_are_one_sentence(name: str, tmp_path: Path) -> None:
    (tmp_path / "text.glb").write_text("no head")
    result = CliRunner().invoke(app, ["measure", str(tmp_path / name)])
    assert result.exit_code == 1 and result.stdout == ""
    assert result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1
