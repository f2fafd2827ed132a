import pytest
import torch

import morphable
from morphable import ARKIT_NAMES, MorphableModel


@pytest.fixture(scope="session")
def model() -> MorphableModel:
    return morphable.load()


@pytest.fixture(scope="session", params=[5, pytest.param(100, marks=pytest.mark.slow)])
def people(request, model) -> torch.Tensor:
    """(person, identity): the mean head and others drawn from the prior."""
    drawn = torch.randn(request.param, model.identities, generator=torch.Generator().manual_seed(7))
    return torch.cat([torch.zeros(1, model.identities), drawn])


@pytest.fixture(scope="session")
def weights():
    """Makes (1, 52) weights from names; `eyeBlink=1` means both sides."""

    def make(**values: float) -> torch.Tensor:
        made = torch.zeros(1, len(ARKIT_NAMES))
        for name, value in values.items():
            for each in [name] if name in ARKIT_NAMES else [f"{name}Left", f"{name}Right"]:
                made[0, ARKIT_NAMES.index(each)] = value
        return made

    return make
