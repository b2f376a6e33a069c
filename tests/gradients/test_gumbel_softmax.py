import itertools
import math

import numpy as np
import pytest
import torch
from torch.distributions import Bernoulli, Categorical, Independent, OneHotCategorical
from torch.testing import assert_close

from jensen.gradients._parts import UnsupportedError
from jensen.gradients.gumbel_softmax import gumbel_softmax, kernel
from jensen.gradients.relaxation import relaxation

DOUBLE = torch.float64
EDGES = np.array([0, 0.005, 0.01, 0.02, 0.04, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6, 10, 15, 20, 30])


def noise_of_a_bit(logit):
    """Noise on either side of the step, `(1, N, 1)`, and its weight."""
    x, w = np.polynomial.legendre.leggauss(20)
    half, middle = np.diff(EDGES)[:, None] / 2, (EDGES[1:] + EDGES[:-1])[:, None] / 2
    positive, weight = torch.from_numpy((middle + half * x).ravel()), torch.from_numpy((half * w).ravel())
    u = torch.sigmoid(torch.cat([-positive, positive]) - logit)
    return u.reshape(1, -1, 1), weight.repeat(2) * u * (1 - u)


def of_a_bit(f, logit, tau, moments):
    u, weight = noise_of_a_bit(logit)
    logits = torch.full((u.shape[1], 1), logit, dtype=DOUBLE, requires_grad=True)
    return moments(kernel(f, relaxation(Independent(Bernoulli(logits=logits), 1)), u=u, tau=tau), logits, weight)


def toy(b):
    return (b - 0.45).square().sum(-1)


@pytest.mark.parametrize(
    ("logit", "tau", "mean", "variance"),
    [
        (0.0, 0.1, 0.0247989, 0.0861936),
        (0.0, 0.5, 0.0214602, 0.0142445),
        (0.0, 1.0, 1 / 60, 0.0048175),
        (-1.0, 0.1, 0.0107144, None),
        (-1.0, 0.5, -0.0116356, None),
        (-1.0, 1.0, -0.0145337, None),
    ],
)
def test_mean_and_variance_on_rebars_toy(logit, tau, mean, variance, moments):
    """The exact gradients are 0.025 and 0.0197, and the sign is wrong in the last two."""
    found = of_a_bit(toy, logit, tau, moments)
    assert_close(found.gradient.item(), mean, atol=1e-7, rtol=0)
    if variance:
        assert_close(found.variance.item(), variance, atol=1e-7, rtol=0)


def test_the_bias_vanishes_with_the_temperature(moments):
    theta = 1 / (1 + math.exp(1))
    exact_value, exact = theta * 0.55**2 + (1 - theta) * 0.45**2, 0.1 * theta * (1 - theta)
    found = [of_a_bit(toy, -1.0, tau, moments) for tau in (0.08, 0.04, 0.02)]
    biases = [each.gradient.item() - exact for each in found]
    for bias, half in itertools.pairwise(biases):
        assert 1.95 < bias / half < 2.05  # of order tau
    even = [of_a_bit(toy, 0.0, tau, moments).gradient.item() - 0.025 for tau in (0.08, 0.04)]
    assert 3.9 < even[0] / even[1] < 4.1  # of order tau squared at even odds
    errors = [each.value.item() - exact_value for each in found]
    assert abs(errors[-1]) < abs(errors[0]) / 2


def test_the_value_is_the_relaxed_expectation_and_not_the_discrete_one(moments):
    r"""At `tau` 1 and even odds the relaxed bit is uniform, and its square has the mean 1/3 and not 1/2."""
    assert_close(of_a_bit(lambda z: z.square().sum(-1), 0.0, 1.0, moments).value.item(), 1 / 3, atol=1e-10, rtol=0)


def test_at_a_low_temperature_the_driver_gives_the_discrete_expectation(case, exact):
    logits = case.logits.expand(20_000, -1).clone().requires_grad_()
    value = gumbel_softmax(case.f, case.q(logits), tau=0.002, generator=torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    for found, expected in zip((value.detach(), gradient), exact(case), strict=True):
        z = (found.mean(0) - expected) / (found.std(0) / math.sqrt(len(found)))
        assert z.abs().max() < 4.56


def test_it_is_differentiable_twice():
    logits = torch.tensor([0.3, -0.6], dtype=DOUBLE, requires_grad=True)

    def estimate(logits):
        q = Independent(Bernoulli(logits=logits), 1)
        return gumbel_softmax(lambda z: z.prod(-1), q, samples=3, generator=torch.Generator().manual_seed(0))

    assert torch.autograd.gradcheck(estimate, logits)
    assert torch.autograd.gradgradcheck(estimate, logits)


def test_parameters_of_the_cost_and_of_the_temperature():
    tau = torch.tensor([0.5, 2.0], dtype=DOUBLE, requires_grad=True)
    scale = torch.tensor(2.0, dtype=DOUBLE, requires_grad=True)
    q = OneHotCategorical(logits=torch.randn(2, 3, dtype=DOUBLE))
    value = gumbel_softmax(lambda z: scale * z[..., 0] ** 2, q, samples=4, tau=tau)
    own, slope = torch.autograd.grad(value.sum(), [scale, tau])
    assert_close(own, value.detach().sum() / 2)
    assert (slope != 0).all()


def test_extreme_logits_in_single_precision():
    logits = torch.tensor([1e4, -1e4, -math.inf, 0.0], requires_grad=True)
    for q in (Independent(Bernoulli(logits=logits), 1), OneHotCategorical(logits=logits)):
        value = gumbel_softmax(lambda b: b.square().sum(-1), q, samples=5, tau=0.01)
        (gradient,) = torch.autograd.grad(value, logits)
        assert value.isfinite()
        assert gradient.isfinite().all()


@pytest.mark.parametrize(
    ("q", "f", "options", "message"),
    [
        (Categorical(logits=torch.zeros(3)), lambda b: b, {}, "Categorical has no relaxation"),
        (Bernoulli(logits=torch.zeros(3)), lambda b: b, {"tau": 0.0}, "tau must be positive"),
        (Bernoulli(logits=torch.zeros(3)), lambda b: b, {"samples": 0}, "samples must be at least 1"),
        (Bernoulli(logits=torch.zeros(3)), lambda b: b.sum(-1), {}, r"costs of shape \(1,\)"),
    ],
)
def test_bad_input_is_refused(q, f, options, message):
    with pytest.raises(ValueError, match=message):
        gumbel_softmax(f, q, **options)


def test_a_cost_without_a_derivative_is_refused():
    with pytest.raises(UnsupportedError, match="not differentiable in its sample; use score_function"):
        gumbel_softmax(lambda b: (b > 0.5).float(), Bernoulli(logits=torch.zeros(3, requires_grad=True)))
