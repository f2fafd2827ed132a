"""People drawn from the population, whose modes widen the default head."""

import pytest
import torch

from morphable.population import Population

PEOPLE = 30


@pytest.fixture(scope="module")
def population():
    return Population.load()


@pytest.fixture(scope="module")
def people(model, population):
    """Neutral heads and joints of people."""
    draws = torch.randn(PEOPLE, model.identities, generator=torch.Generator().manual_seed(0)).double()
    identities = (population.mean + draws @ population.factor(model).mT).float()
    return model.neutral(identities), model.joints(identities)


def test_the_default_head_is_widened_by_the_residual_modes(model, population):
    count = len(population.residual_basis)
    assert model.identities == len(population.mean) == 200 + count
    assert torch.equal(model.identity_basis[-count:], population.residual_basis.float())


def test_widening_leaves_the_model_itself_alone(model):
    wider = model.widened(torch.ones(1, len(model.mean), 3), torch.ones(1, 4, 3))
    assert wider.identities == model.identities + 1
    one = torch.zeros(1, wider.identities)
    one[0, -1] = 0.5
    torch.testing.assert_close(wider.neutral(one)[0], model.mean + 0.5)
    torch.testing.assert_close(wider.joints(one)[0], model.joint_mean + 0.5)


def test_eyeballs_move_as_a_whole(model, population):
    for side, name in enumerate(("eye_left", "eye_right")):
        moves = population.residual_basis[:, model.parts[name].vertices]
        joint = population.residual_joint_basis[:, 2 + side, None]
        assert (moves - joint).abs().max() < 1e-5


def test_lids_keep_out_of_the_eyeballs(model, people):
    neutrals, joints = people
    for side, name in enumerate(("eye_left", "eye_right")):
        centre = joints[:, 2 + side, None]
        radius = (neutrals[:, model.parts[name].vertices] - centre).norm(dim=-1).amax(1, keepdim=True)
        height = (neutrals[:, model.soft[model.lids[side]]] - centre).norm(dim=-1) - radius
        assert height.min() > 2e-4


def test_lips_stay_closed(model, population):
    moves = population.residual_basis[:, model.soft[model.lip_pairs]]
    apart = torch.einsum("kpci,pc->kpi", moves, model.lip_weights.double())
    assert apart.norm(dim=-1).max() < 1e-4


def test_people_measure_as_people_do(model, people):
    """Pupils apart, and the face's breadth at the cheekbones, within what surveys find."""
    neutrals, joints = people
    pupils = 1000 * (joints[:, 2] - joints[:, 3]).norm(dim=1)
    assert pupils.mean() == pytest.approx(63, abs=2)
    assert 2 < pupils.std() < 5
    face = neutrals[:, model.regions["face"]]
    breadth = 1000 * (face[..., 0].amax(1) - face[..., 0].amin(1))
    assert 0.03 < breadth.std() / breadth.mean() < 0.08


def test_what_moves_the_face_most_comes_first(model, population):
    factor = population.factor(model)
    torch.testing.assert_close(factor @ factor.mT, population.covariance, rtol=1e-4, atol=1e-4)
    face = model.identity_basis[:, model.regions["face"]].double().flatten(1)
    strengths = (factor.mT @ face).square().sum(1)
    assert (strengths.diff() < 1e-9).all()
