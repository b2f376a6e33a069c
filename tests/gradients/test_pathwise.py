import math

import numpy as np
import pytest
import torch
from torch.distributions import (
    Bernoulli,
    Gamma,
    Independent,
    Normal,
    OneHotCategorical,
    OneHotCategoricalStraightThrough,
    RelaxedBernoulli,
)
from torch.testing import assert_close

from jensen.distributions import DiagonalNormal
from jensen.gradients._parts import UnsupportedError
from jensen.gradients.pathwise import kernel, pathwise

DOUBLE = torch.float64


@pytest.fixture(scope="module")
def quadrature():
    """Nodes and weights that integrate a polynomial of any degree below 80 against the standard Gaussian."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    return torch.as_tensor(nodes), torch.as_tensor(weights) / math.sqrt(2 * math.pi)


def mean_over_noise(quadrature, f, parameters):
    nodes, weights = quadrature
    loc, scale = parameters
    return (weights * kernel(f(loc + scale * nodes).unsqueeze(0))).sum()


def test_value_and_derivatives_of_two_orders_over_all_noise(quadrature):
    """E z^3 = mu^3 + 3 mu sigma^2."""
    parameters = torch.tensor([0.7, 1.3], dtype=DOUBLE)

    def exact(p):
        return p[0] ** 3 + 3 * p[0] * p[1] ** 2

    def found(p):
        return mean_over_noise(quadrature, lambda z: z**3, p)

    assert_close(found(parameters), exact(parameters), atol=1e-12, rtol=0)
    for derivative in (torch.autograd.functional.jacobian, torch.autograd.functional.hessian):
        assert_close(derivative(found, parameters), derivative(exact, parameters), atol=1e-12, rtol=0)


def test_a_jump_is_not_seen_as_the_docstring_says(quadrature):
    parameters = torch.tensor([0.7, 1.3], dtype=DOUBLE, requires_grad=True)
    value = mean_over_noise(quadrature, lambda z: z + (z > 0), parameters)
    (found,) = torch.autograd.grad(value, parameters)
    density_at_the_jump = math.exp(-0.5 * (0.7 / 1.3) ** 2) / (1.3 * math.sqrt(2 * math.pi))
    assert_close(found[0].item(), 1.0, atol=1e-12, rtol=0)
    assert density_at_the_jump > 0.26


@pytest.mark.parametrize(
    "make",
    [
        lambda p: Normal(p, 1.0),
        lambda p: Independent(Normal(p, p.exp()), 1),
        lambda p: Independent(Normal(p, 1.0), 2),
        lambda p: DiagonalNormal(p, p / 2),
        lambda p: Gamma(p.exp(), 1.0),
        lambda p: RelaxedBernoulli(torch.tensor(0.5, dtype=DOUBLE), logits=p),
    ],
)
def test_the_driver_is_the_mean_cost_of_reparameterised_draws(make):
    parameter = torch.linspace(-1, 1, 6, dtype=DOUBLE).reshape(2, 3).requires_grad_()
    q = make(parameter)
    event = len(q.event_shape)

    def f(z):
        return z.sin().flatten(z.ndim - event).sum(-1) if event else z.sin()

    value = pathwise(f, q, samples=7, generator=torch.Generator().manual_seed(0))
    assert value.shape == q.batch_shape
    (gradient,) = torch.autograd.grad(value.sum(), parameter)
    assert (gradient != 0).all()


def test_the_gradient_of_a_line_is_its_slope_and_the_cost_keeps_its_own():
    location, slope = torch.zeros(5, requires_grad=True), torch.tensor(3.0, requires_grad=True)
    seen = []

    def f(z):
        seen.append(z)
        return slope * z

    pathwise(f, Normal(location, 1.0), samples=4).sum().backward()
    assert_close(location.grad, torch.full((5,), 3.0))
    assert_close(slope.grad, seen[0].mean(0).sum())
    assert [z.shape for z in seen] == [(4, 5)]


def test_a_distribution_without_parameters_needs_no_path():
    slope = torch.tensor(3.0, requires_grad=True)
    value = pathwise(lambda z: slope * (z > 0), Normal(0.0, 1.0), samples=3)
    value.backward()
    assert slope.grad * 3 == value


@pytest.mark.parametrize(
    "f",
    [
        lambda z: (z > 0).double(),
        lambda z: z.detach() ** 2,
        lambda z: torch.nn.Parameter(torch.tensor(2.0)).double() * (z > 0),
    ],
)
def test_a_cost_that_does_not_follow_its_sample_is_refused(f):
    location = torch.tensor(0.0, dtype=DOUBLE, requires_grad=True)
    with pytest.raises(UnsupportedError, match="not differentiable in its sample"):
        pathwise(f, Normal(location, 1.0))


def test_a_long_way_from_the_sample_to_the_cost_is_found():
    location = torch.tensor(0.0, dtype=DOUBLE, requires_grad=True)

    def f(z):
        for _ in range(3000):
            z = z + 0.001
        return z

    pathwise(f, Normal(location, 1.0)).backward()
    assert location.grad == 1


@pytest.mark.parametrize(
    ("q", "message"),
    [
        (Bernoulli(0.5), "Bernoulli has no rsample"),
        (Independent(OneHotCategorical(logits=torch.zeros(2, 3)), 1), "OneHotCategorical has no rsample"),
        (OneHotCategoricalStraightThrough(logits=torch.zeros(3)), "discrete: its rsample is a biased substitute"),
        (Independent(OneHotCategoricalStraightThrough(logits=torch.zeros(2, 3)), 1), "biased substitute"),
    ],
)
def test_what_cannot_be_reparameterised_is_refused(q, message):
    with pytest.raises(UnsupportedError, match=message):
        pathwise(lambda z: z.flatten(1).sum(-1), q)


def test_no_sample_is_refused():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        pathwise(lambda z: z, Normal(0.0, 1.0), samples=0)


def test_the_generator_alone_decides():
    state = torch.random.get_rng_state()
    values = [
        pathwise(lambda z: z, Normal(0.0, 1.0), generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    ]
    assert values[0] == values[1] != values[2]
    assert torch.equal(torch.random.get_rng_state(), state)
