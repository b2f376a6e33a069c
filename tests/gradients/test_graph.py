import pytest
import torch

from jensen.gradients._parts import UnsupportedError
from jensen.gradients.graph import check_differentiable, leaves, reaches

STEPS = [
    torch.sign,
    torch.round,
    torch.floor,
    torch.ceil,
    torch.trunc,
    lambda z: torch.round(z, decimals=1),
    lambda z: torch.heaviside(z, z),
]


@pytest.mark.parametrize("step", STEPS)
def test_no_gradient_goes_through_a_step(step):
    z = torch.tensor(0.3, requires_grad=True) * 2.0
    parameter = torch.ones((), requires_grad=True)
    assert not reaches(parameter * step(z), [z])
    assert reaches(parameter * step(z) + z.exp(), [z])
    with pytest.raises(UnsupportedError, match="not differentiable"):
        check_differentiable(parameter * step(z), z)


def test_a_way_around_a_tensor_is_told_from_one_through_it():
    a = torch.ones(2, requires_grad=True)
    middle = 2 * a
    assert reaches(middle + a, [a], without=[middle])
    assert not reaches(middle.exp(), [a], without=[middle])


def test_samples_without_a_gradient_are_no_offence():
    z = torch.tensor(0.3)
    assert check_differentiable(torch.sign(z), z) == 1


def test_leaves_are_found_once():
    a, b = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    assert leaves([a * b, a.sum(), b])[0] is b
    assert {id(each) for each in leaves([a * b, a.sum(), b])} == {id(a), id(b)}
