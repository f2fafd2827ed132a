import pytest
import torch

from renderers import linear_to_srgb, srgb_to_linear


def test_known_values():
    torch.testing.assert_close(
        linear_to_srgb(torch.tensor([0.0, 0.001, 0.214041, 1.0])), torch.tensor([0, 0.01292, 0.5, 1.0])
    )
    torch.testing.assert_close(
        srgb_to_linear(torch.tensor([0.0, 0.04, 0.5, 1.0])), torch.tensor([0, 0.04 / 12.92, 0.214041, 1.0])
    )


def test_they_are_each_others_inverse():
    values = torch.linspace(-0.1, 1.5, 1001)
    torch.testing.assert_close(srgb_to_linear(linear_to_srgb(values)), values, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("function", [linear_to_srgb, srgb_to_linear])
def test_gradients_are_finite_and_right(function):
    at_zero = torch.tensor([-0.5, 0.0, 1e-9, 0.04045, 0.0031308], requires_grad=True)
    function(at_zero).sum().backward()
    assert at_zero.grad.isfinite().all()
    assert (at_zero.grad > 0).all()
    assert torch.autograd.gradcheck(function, torch.tensor([-0.2, 0.002, 0.03, 0.3, 1.2]).double().requires_grad_())
