import math

import pytest
import torch
from torch.distributions import Bernoulli, Independent, Normal, OneHotCategorical
from torch.testing import assert_close

from jensen._random import seeded
from jensen.gradients._parts import UnsupportedError, check_samples, draw, evaluate, worth


def test_a_value_keeps_its_worth_and_gains_a_gradient():
    x = torch.tensor(2.0, requires_grad=True)
    value = worth(3 * x, x**2)
    assert value == 6
    assert torch.autograd.grad(value, x)[0] == 3 + 4


def test_unsupported_is_a_value_error():
    assert issubclass(UnsupportedError, ValueError)


def test_too_few_samples_are_refused_with_the_reason():
    check_samples(1)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        check_samples(0)
    with pytest.raises(ValueError, match=r"at least 2 \(others\), got 1"):
        check_samples(1, 2, why="others")


def test_draws_carry_no_gradient():
    location = torch.zeros(3, requires_grad=True)
    z = draw(Normal(location, 1.0), 5)
    assert z.shape == (5, 3)
    assert not z.requires_grad


def test_the_generator_alone_decides():
    q = Normal(torch.zeros(3), 1.0)
    state = torch.random.get_rng_state()
    first, same, other = (draw(q, 5, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_generator_moves_on():
    generator = torch.Generator().manual_seed(0)
    q = Normal(0.0, 1.0)
    assert draw(q, 1, generator) != draw(q, 1, generator)


def test_without_a_generator_the_global_one_moves_on():
    state = torch.random.get_rng_state()
    with seeded(None):
        torch.rand(1)
    assert not torch.equal(torch.random.get_rng_state(), state)


def test_costs_are_one_for_each_sample():
    q = Independent(Bernoulli(torch.full((5, 3), 0.5)), 1)
    z = draw(q, 4)
    assert_close(evaluate(lambda z: z.sum(-1), z, q), z.sum(-1))
    with pytest.raises(ValueError, match=r"shape \(4, 5, 3\) for samples \(4, 5, 3\); expected \(4, 5\)"):
        evaluate(lambda z: z, z, q)
    one = OneHotCategorical(logits=torch.zeros(3))
    with pytest.raises(ValueError, match=r"expected \(4,\)"):
        evaluate(lambda z: z.sum(), draw(one, 4), one)


@pytest.mark.parametrize(("cost", "kind"), [(lambda z: z.sum(-1) > 0, "bool"), (lambda z: math.pi, "float")])
def test_costs_that_are_no_floating_tensor_are_refused(cost, kind):
    q = Independent(Bernoulli(torch.full((5, 3), 0.5)), 1)
    with pytest.raises(ValueError, match=rf"floating-point tensor of costs \(4, 5\), got .*{kind}"):
        evaluate(cost, draw(q, 4), q)


@pytest.mark.parametrize("samples", [1.5, "3", None, 0])
def test_a_number_of_draws_that_is_none_is_refused(samples):
    with pytest.raises(ValueError, match="samples must be at least 1"):
        check_samples(samples)


@pytest.mark.parametrize("infinite", [math.inf, -math.inf])
def test_an_infinite_surrogate_leaves_the_value_alone(infinite):
    value, surrogate = torch.tensor([infinite, 2.0]), torch.tensor([infinite, 3.0], requires_grad=True)
    found = worth(value, surrogate)
    found.sum().backward()
    assert found.tolist() == value.tolist()
    assert surrogate.grad.tolist() == [0.0, 1.0]
