"""The fit: its derivatives, and known parameters recovered from exact or disturbed measurements."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

import morphable
from avatars.painting import paint
from face3d.appearance.plain import plain_picture
from face3d.fitting import contour, shading
from face3d.fitting.evidence import landmark_sigma
from face3d.fitting.fitted_model import FittedModel
from face3d.fitting.gauss_newton import (
    Belief,
    PointBasis,
    PointTerm,
    State,
    View,
    minimise,
    moved,
    normal_equations,
    projected,
)
from face3d.fitting.geometry import GeometryFit, Measurements, calibrated, fitted_together
from face3d.fitting.identity_regression import IdentityRegression
from face3d.fitting.posterior import Posterior
from face3d.fitting.shading import Radiance, bare_skin
from face3d.fitting.start import first_state, priors
from face3d.perception import MediaPipeDetector
from morphable import ARKIT_NAMES, MorphableModel
from morphable.appearance import plain_textures
from renderers import Camera, interpolate, rasterize, spherical_harmonics_shade, vertex_normals

PRINCIPAL = torch.tensor([320.0, 240.0], dtype=torch.float64)
UPRIGHT = torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64))
"""World to camera of a camera in front of the face."""


def true_state(model: MorphableModel, yaw: float = 0.3, seed: int = 0) -> State:
    generator = torch.Generator().manual_seed(seed)
    identity = torch.zeros(model.identities, dtype=torch.float64)
    identity[:12] = torch.randn(12, generator=generator, dtype=torch.float64)
    expression = torch.zeros(len(ARKIT_NAMES), dtype=torch.float64)
    for name, weight in {"jawOpen": 0.4, "mouthSmileLeft": 0.6, "mouthSmileRight": 0.5, "browInnerUp": 0.5}.items():
        expression[ARKIT_NAMES.index(name)] = weight
    turn = roma.rotvec_to_rotmat(torch.tensor([0.1, yaw, 0.05], dtype=torch.float64))
    return State(
        identity,
        expression,
        UPRIGHT @ turn,
        torch.tensor([0.03, 0.02, 0.8]).double(),
        torch.tensor(900.0).double().log(),
    )


def seen_landmarks(model: MorphableModel, state: State) -> torch.Tensor:
    vertices = model(state.identity.float()[None], state.expression.float()[None], torch.zeros(1, 4, 3))[0][0]
    points = morphable.on_surface(model.landmarks["mediapipe"], vertices, model.triangles)
    return projected(points.double(), state, PRINCIPAL)


def geometry_fit(model: MorphableModel, landmarks: torch.Tensor, scores: torch.Tensor | None = None) -> GeometryFit:
    beliefs = priors(torch.zeros(52).double() if scores is None else scores, 900.0, 480, 640)
    return GeometryFit(FittedModel(model), Measurements(landmarks, np.zeros((480, 640)), PRINCIPAL), beliefs)


def started(fit: GeometryFit, model: MorphableModel) -> State:
    identity = true_state(model).identity
    flat = torch.cat([fit.seen.landmarks, torch.zeros(478, 1)], 1).numpy()
    relative = (fit.head.mean_landmarks @ true_state(model).rotation.mT)[:, 2] * 900 / 0.8
    flat[:, 2] = relative.numpy()
    return fit.pose(first_state(fit.head.mean_landmarks, flat, fit.priors, identity, PRINCIPAL))


def truth_known(model: MorphableModel) -> Belief:
    return Belief(true_state(model).identity, torch.eye(model.identities, dtype=torch.float64))


def fitted(fit: GeometryFit, model: MorphableModel, rounds: int = 4) -> State:
    return fitted_together([fit], [started(fit, model)], truth_known(model), rounds, [None])[0]


def test_gradient_agrees_with_finite_differences() -> None:
    generator = torch.Generator().manual_seed(1)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    basis = PointBasis(0.08 * random(20, 3), 0.003 * random(4, 20, 3), 0.005 * random(52, 20, 3))
    state = State(
        random(4),
        torch.rand(52, generator=generator).double(),
        UPRIGHT,
        torch.tensor([0.0, 0.0, 0.7]).double(),
        torch.tensor(800.0).double().log(),
    )
    beliefs = priors(torch.full((52,), 0.3).double(), None, 480, 640)
    normals = torch.nn.functional.normalize(random(20, 2), dim=1)
    term = PointTerm(basis, projected(basis(state), state, PRINCIPAL) + random(20, 2), torch.full((20,), 2.0).double())
    robust_off = 1e9
    root = random(4, 4)
    belief = Belief(random(4), root @ root.mT)
    for each in (replace(term, robust=robust_off), replace(term, normals=normals, robust=robust_off)):
        _, gradient = normal_equations([View(state, [each], beliefs, PRINCIPAL)], belief)

        def energy(step: torch.Tensor, each: PointTerm = each) -> torch.Tensor:
            (at,) = moved([state], step)
            residual = projected(each.basis(at), at, PRINCIPAL) - each.targets
            if each.normals is not None:
                residual = (residual * each.normals).sum(-1, keepdim=True)
            squared = (residual / each.sigma[:, None]).square().sum()
            away = at.identity - belief.mean
            squared = squared + away @ belief.precision @ away
            squared = squared + ((at.expression - beliefs.expression) / beliefs.expression_sigma).square().sum()
            squared = squared + ((at.translation[2].log() - beliefs.log_distance) / beliefs.log_distance_sigma) ** 2
            return 0.5 * (squared + ((at.log_focal - beliefs.log_focal) / beliefs.log_focal_sigma) ** 2)

        step = torch.zeros(len(gradient), dtype=torch.float64)
        for unknown in (0, 3, 4, 20, 56, 57, 58, 59, 60, 61, 62):
            shift = torch.zeros_like(step)
            shift[unknown] = 1e-6
            slope = float(energy(shift) - energy(-shift)) / 2e-6
            assert slope == pytest.approx(float(gradient[unknown]), rel=1e-4, abs=1e-5)


def test_exact_landmarks_give_the_head_back(model: MorphableModel) -> None:
    """But for its size: a larger head further away looks the same, so that size and distance stay near the prior's."""
    truth = true_state(model)
    fit = geometry_fit(model, seen_landmarks(model, truth), truth.expression)
    found = fitted(fit, model)
    assert fit.landmark_error(found, torch.zeros(478, 2)) < 0.004
    turn = roma.rotmat_geodesic_distance(found.rotation, truth.rotation)
    assert math.degrees(float(turn)) < 1.5
    direction, true_direction = (s.translation / s.translation.norm() for s in (found, truth))
    assert float((direction - true_direction).norm()) < 0.005
    assert float(found.translation[2] / truth.translation[2]) == pytest.approx(1.0, abs=0.15)
    open_jaw = ARKIT_NAMES.index("jawOpen")
    assert float(found.expression[open_jaw]) == pytest.approx(0.4, abs=0.1)


def test_a_few_wild_landmarks_do_not_bend_the_head(model: MorphableModel) -> None:
    truth = true_state(model)
    exact = seen_landmarks(model, truth)
    wild = exact.clone()
    wild[100:110] += torch.tensor([60.0, -40.0])
    clean_fit, wild_fit = (geometry_fit(model, points, truth.expression) for points in (exact, wild))
    clean, bent = (fitted(fit, model) for fit in (clean_fit, wild_fit))
    others = torch.ones(478, dtype=torch.bool)
    others[100:110] = False
    moved_by = (clean_fit.projected_landmarks(clean) - wild_fit.projected_landmarks(bent)).norm(dim=1)[others]
    assert float(moved_by.median()) < 0.5


def test_expression_weights_stay_within_bounds(model: MorphableModel) -> None:
    landmarks = seen_landmarks(model, true_state(model))
    fit = geometry_fit(model, landmarks + 15 * torch.randn(478, 2, generator=torch.Generator().manual_seed(2)))
    found = fitted(fit, model, rounds=2)
    assert float(found.expression.min()) >= 0.0
    assert float(found.expression.max()) <= 1.0
    assert torch.isfinite(found.identity).all()


def test_the_same_measurements_give_the_same_bits(model: MorphableModel) -> None:
    landmarks = seen_landmarks(model, true_state(model))
    first, second = (fitted(fit, model, rounds=2) for fit in (geometry_fit(model, landmarks),) * 2)
    assert torch.equal(first.identity, second.identity)
    assert torch.equal(first.rotation, second.rotation)


def test_calibration_takes_the_detectors_bias_off(model: MorphableModel) -> None:
    """A detector that displaces every point in its own way, the same on photo and render, does no harm."""
    truth = true_state(model)
    bias = 4 * torch.randn(478, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    fit = geometry_fit(model, seen_landmarks(model, truth) + bias, truth.expression)

    def detect(states: Sequence[State]) -> Iterator[np.ndarray]:
        return (torch.cat([fit.projected_landmarks(state) + bias, torch.zeros(478, 1)], 1).numpy() for state in states)

    biased = fitted(fit, model)
    (found,), (measured,) = calibrated([fit], [biased], truth_known(model), detect, rounds=2, most=0.2)

    def error(state: State) -> float:
        return float((fit.projected_landmarks(state) - seen_landmarks(model, truth)).norm(dim=1).median())

    assert torch.allclose(measured, bias, atol=1e-6)
    assert error(found) < 0.5 * error(biased)


def test_hidden_points_and_the_outline_count_less() -> None:
    facing = torch.ones(478, dtype=torch.float64)
    facing[50] = -0.5
    sigma = landmark_sigma(facing, 100.0)
    assert sigma[50] > 2 * sigma[51]
    assert sigma[152] > sigma[51] > sigma[33]


def test_outline_finds_an_edge() -> None:
    luminance = np.where(np.arange(200)[None, :] < 104, 40.0, 180.0) * np.ones((100, 1))
    points = np.array([[100.0, 30.0], [100.0, 60.0], [20.0, 50.0]])
    targets, clear = contour.nearest_edges(luminance, points, np.array([[1.0, 0.0]] * 3), eye_distance=120.0)
    assert clear.tolist() == [True, True, False]
    assert targets[:2, 0] == pytest.approx(104.0, abs=1.0)


def test_outline_pulls_points_across_it_only() -> None:
    """A term with normals constrains one direction: the other stays free."""
    generator = torch.Generator().manual_seed(5)
    points = 0.05 * torch.randn(12, 3, generator=generator, dtype=torch.float64)
    basis = PointBasis(points, torch.zeros(1, 12, 3).double(), torch.zeros(52, 12, 3).double())
    state = State(
        torch.zeros(1).double(),
        torch.zeros(52).double(),
        UPRIGHT,
        torch.tensor([0.0, 0.0, 0.8]).double(),
        torch.tensor(900.0).double().log(),
    )
    normals = torch.tensor([[1.0, 0.0]]).double().expand(12, 2)
    targets = projected(points, state, PRINCIPAL) + torch.tensor([7.0, 50.0])
    term = PointTerm(basis, targets, torch.ones(12).double(), normals, robust=1e6)
    beliefs = priors(torch.zeros(52).double(), 900.0, 480, 640)
    found = minimise([View(state, [term], beliefs, PRINCIPAL)], Belief.prior(1), 10, frozenset({"pose"}))[0]
    shift = (projected(points, found, PRINCIPAL) - projected(points, state, PRINCIPAL)).mean(0)
    assert float(shift[0]) == pytest.approx(7.0, abs=0.2)
    assert abs(float(shift[1])) < 3.0


def lit(model: MorphableModel, state: State, light: torch.Tensor) -> Radiance:
    """A head of one albedo, photographed by a camera of 160 x 160 pixels."""
    axes = state.rotation.float(), state.translation.float()
    camera = Camera(torch.full((2,), 450.0), torch.full((2,), 80.0), *axes, (160, 160))
    vertices = model(state.identity.float()[None], state.expression.float()[None], torch.zeros(1, 4, 3))[0]
    fragments = rasterize(camera.clip(vertices), model.triangles, camera.resolution)
    normals = interpolate(vertex_normals(vertices, model.triangles), fragments, model.triangles)[0]
    normals = torch.nn.functional.normalize(normals, dim=-1)
    shade = spherical_harmonics_shade(normals.flatten(0, 1), light).view(normals.shape)
    photo = torch.tensor([0.4, 0.25, 0.2]) * shade * (fragments.triangle[0] >= 0)[..., None]
    return Radiance(photo.double(), torch.zeros(2).double(), 1.0)


def shaded_fit(model: MorphableModel, radiance: Radiance, state: State) -> GeometryFit:
    beliefs = priors(state.expression, 450.0, 160, 160)
    middle = torch.full((2,), 80.0).double()
    return GeometryFit(
        FittedModel(model), Measurements(torch.zeros(478, 2).double(), np.zeros((160, 160)), middle, radiance), beliefs
    )


def without_expression(model: MorphableModel, yaw: float) -> State:
    return replace(
        true_state(model, yaw), expression=torch.zeros(52).double(), log_focal=torch.tensor(450.0).double().log()
    )


SIDE_LIGHT = torch.zeros(9, 3)
SIDE_LIGHT[0], SIDE_LIGHT[3] = 2.2, 1.0


def shape_from_shading(fit: GeometryFit, state: State, belief: Belief) -> State:
    for _ in range(5):
        view = fit.shaded_view(state)
        (state,) = minimise([replace(view, terms=view.terms[-1:])], belief, 2, frozenset({"identity"}))
    return state


def test_shading_tells_the_shape(model: MorphableModel) -> None:
    """With the pose known, one photo's shading leads from the average head towards the true one."""
    truth = without_expression(model, yaw=0.2)
    fit = shaded_fit(model, lit(model, truth, SIDE_LIGHT), truth)
    basis = model.identity_basis[:, bare_skin(model)].double()

    def away(state: State) -> float:
        moves = torch.tensordot(state.identity - truth.identity, basis, 1)
        return float((moves - moves.mean(0)).norm(dim=1).mean())

    start = replace(truth, identity=torch.zeros_like(truth.identity))
    assert away(shape_from_shading(fit, start, Belief.prior(model.identities))) < 0.6 * away(start)


@pytest.mark.parametrize("exposure", [0.0, 1e-3, 100.0])
def test_shading_says_nothing_in_the_dark_and_in_glare(model: MorphableModel, exposure: float) -> None:
    truth = without_expression(model, yaw=0.2)
    radiance = lit(model, truth, SIDE_LIGHT)
    radiance = replace(radiance, image=(radiance.image * exposure).clamp(max=1))
    term = shaded_fit(model, radiance, truth).shaded_view(truth).terms[-1]
    normal, gradient = term.normal_equations(truth, torch.full((2,), 80.0).double())
    assert not normal.any()
    assert not gradient.any()


def test_slopes_of_normals_and_samples_are_those_of_finite_differences(model: MorphableModel) -> None:
    truth = without_expression(model, yaw=0.2)
    radiance = lit(model, truth, SIDE_LIGHT)
    term = shaded_fit(model, radiance, truth).shaded_view(truth).terms[-1]
    step = 1e-6 * torch.randn(model.identities + 59, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    step[model.identities : model.identities + 52].abs_()  # weights do not go below zero
    (there,) = moved([truth], step)
    normals, slopes = shading._normals_with_slopes(term.basis, term.triangles, truth)
    moved_normals = shading._normals_with_slopes(term.basis, term.triangles, there)[0]
    torch.testing.assert_close(moved_normals - normals, slopes @ step, rtol=1e-3, atol=1e-9)
    places = torch.tensor([[70.3, 80.6], [90.2, 60.1]]).double()
    shift = torch.tensor([[1e-3, -2e-3]]).double()
    value, slope = shading._sampled(radiance.image, places)
    changed = shading._sampled(radiance.image, places + shift)[0] - value
    torch.testing.assert_close(changed, (slope @ shift[0]), rtol=1e-2, atol=1e-6)


def seen_by_detector(model: MorphableModel, detector: MediaPipeDetector, identity: torch.Tensor, yaw: float):
    """What the detector makes of a head drawn plainly."""
    vertices = model.neutral(identity[None])[0]
    turn = torch.tensor([0.0, yaw, 0.0]).double()
    rotation = (UPRIGHT @ roma.rotvec_to_rotmat(turn)).float()
    points = morphable.on_surface(model.landmarks["mediapipe"], vertices, model.triangles)
    away = torch.tensor([0.0, 0.0, 0.7]) - rotation @ points.mean(0)
    camera = Camera(torch.full((2,), 900.0), torch.full((2,), 192.0), rotation, away, (384, 384))
    picture = plain_picture(camera, vertices, model, paint(model, plain_textures(model, resolution=256), 256))
    (face,) = detector.detect(picture)
    return face


def test_regression_tells_heads_apart_and_is_surer_with_more_photos(model: MorphableModel) -> None:
    """A head's estimate lies nearer to that head than the average does, and photos only add to what is known."""
    regression = IdentityRegression.load()
    face = model.regions["face"]
    generator = torch.Generator().manual_seed(11)
    gains = []
    with MediaPipeDetector() as detector:
        for _ in range(10):
            draw = torch.randn(model.identities, generator=generator, dtype=torch.float64)
            identity = regression.mean + regression.factor @ draw
            seen = [seen_by_detector(model, detector, identity.float(), yaw) for yaw in (0.0, 0.4)]
            one, both = regression.belief(seen[:1]), regression.belief(seen)
            assert torch.logdet(both.precision) > torch.logdet(one.precision)

            def away(estimate: torch.Tensor, truth: torch.Tensor = identity) -> float:
                move = torch.tensordot(estimate - truth, model.identity_basis[:, face].double(), 1)
                return float((move - move.mean(0)).norm(dim=1).mean())

            gains.append(away(both.mean) / away(regression.mean))
    assert sum(gains) / len(gains) < 0.85


def test_posterior_is_narrower_the_more_is_known(model: MorphableModel) -> None:
    size = model.identities
    mean, eye = torch.zeros(size, dtype=torch.float64), torch.eye(size, dtype=torch.float64)
    loose, tight = (Posterior.of(model, Belief(mean, share * eye)) for share in (1.0, 9.0))
    assert tight.factor == pytest.approx(loose.factor / 3, abs=1e-6)
    face = model.regions["face"].numpy()
    assert (tight.deviation[face] < loose.deviation[face]).all()
