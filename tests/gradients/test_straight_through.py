import math

import numpy as np
import pytest
import torch
from torch.distributions import Bernoulli, Categorical, Independent, OneHotCategorical
from torch.testing import assert_close

from jensen.gradients._parts import UnsupportedError
from jensen.gradients.relaxation import relaxation
from jensen.gradients.straight_through import kernel, kernel_mean, straight_through, straight_through_mean

DOUBLE = torch.float64
EDGES = np.array([0, 0.005, 0.01, 0.02, 0.04, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6, 10, 15, 20, 30])
BOTH = pytest.mark.parametrize("estimator", [straight_through, straight_through_mean])


def of_a_bit(make, logit, moments, f):
    """Exact moments over the noise of one bit."""
    x, w = np.polynomial.legendre.leggauss(20)
    half, middle = np.diff(EDGES)[:, None] / 2, (EDGES[1:] + EDGES[:-1])[:, None] / 2
    positive, weight = torch.from_numpy((middle + half * x).ravel()), torch.from_numpy((half * w).ravel())
    u = torch.sigmoid(torch.cat([-positive, positive]) - logit)
    logits = torch.full((len(u), 1), logit, dtype=DOUBLE, requires_grad=True)
    estimate = make(f, relaxation(Independent(Bernoulli(logits=logits), 1)), u=u.reshape(1, -1, 1))
    return moments(estimate, logits, weight.repeat(2) * u * (1 - u))


def toy(t):
    return lambda b: (b - t).square().sum(-1)


def gumbel(tau):
    return lambda f, p, *, u: kernel(f, p, u=u, tau=tau)


@pytest.mark.parametrize(("tau", "mean"), [(0.5, -0.0271167), (1.0, -0.0380531)])
def test_mean_of_the_gumbel_form_on_rebars_toy(tau, mean, moments):
    """The exact gradient is 0.0197."""
    found = of_a_bit(gumbel(tau), -1.0, moments, toy(0.45))
    assert_close(found.gradient.item(), mean, atol=1e-7, rtol=0)


@pytest.mark.parametrize(
    ("t", "logit", "mean", "variance"), [(0.45, -1.0, -0.0711966, 0.0304011), (0.499, 1.5, 0.0950285, None)]
)
def test_mean_of_the_mean_form_on_rebars_toy(t, logit, mean, variance, moments):
    """The exact gradients are 0.0197 and 0.0003."""
    found = of_a_bit(kernel_mean, logit, moments, toy(t))
    assert_close(found.gradient.item(), mean, atol=1e-7, rtol=0)
    if variance:
        assert_close(found.variance.item(), variance, atol=1e-7, rtol=0)


@pytest.mark.parametrize("make", [gumbel(0.5), kernel_mean])
def test_the_value_is_the_discrete_expectation(make, moments):
    theta = 1 / (1 + math.exp(1))
    found = of_a_bit(make, -1.0, moments, toy(0.45))
    assert_close(found.value.item(), theta * 0.55**2 + (1 - theta) * 0.45**2, atol=1e-10, rtol=0)


def test_low_temperatures_remove_the_bias_of_a_quadratic_cost_from_the_gumbel_form_alone(moments):
    theta = 1 / (1 + math.exp(1))
    exact = 0.1 * theta * (1 - theta)
    biases = [of_a_bit(gumbel(tau), -1.0, moments, toy(0.45)).gradient.item() - exact for tau in (0.04, 0.02)]
    assert abs(2 * biases[1] - biases[0]) < 1e-4
    assert 1.95 < biases[0] / biases[1] < 2.05
    assert of_a_bit(kernel_mean, -1.0, moments, toy(0.45)).gradient.item() - exact < -0.09


def test_no_temperature_removes_the_bias_of_a_cubic_cost(moments):
    r"""As `tau` falls the soft derivative gathers at the step, half of it on either side: the trapezoid rule."""
    theta = 1 / (1 + math.exp(1))

    def f(b):
        return b.sum(-1) ** 3

    ends = [of_a_bit(gumbel(tau), -1.0, moments, f).gradient.item() for tau in (0.04, 0.02)]
    assert_close(2 * ends[1] - ends[0], 1.5 * theta * (1 - theta), atol=1e-4, rtol=0)
    assert abs(ends[1] - theta * (1 - theta)) > 0.09


def test_both_are_exact_for_a_linear_cost(moments):
    theta = 1 / (1 + math.exp(1))

    def f(b):
        return 3 * b.sum(-1)

    assert_close(of_a_bit(kernel_mean, -1.0, moments, f).gradient.item(), 3 * theta * (1 - theta), atol=1e-10, rtol=0)
    biases = [of_a_bit(gumbel(tau), -1.0, moments, f).gradient.item() - 3 * theta * (1 - theta) for tau in (0.08, 0.04)]
    assert 3.9 < biases[0] / biases[1] < 4.1


@BOTH
def test_the_cost_sees_hard_samples_and_its_parameters_their_gradient(estimator, case):
    scale, seen = torch.tensor(2.0, dtype=DOUBLE, requires_grad=True), []

    def f(z):
        seen.append(z.detach())
        return scale * case.f(z)

    logits = case.logits.expand(5, -1).clone().requires_grad_()
    value = estimator(f, case.q(logits), samples=3, generator=torch.Generator().manual_seed(0))
    assert value.shape == (5,)
    assert set(seen[0].unique().tolist()) == {0.0, 1.0}
    assert torch.equal(value.detach(), 2 * case.f(seen[0]).mean(0))
    own, gradient = torch.autograd.grad(value.sum(), [scale, logits])
    assert_close(own, case.f(seen[0]).mean(0).sum())
    assert (gradient != 0).all()


@BOTH
def test_extreme_logits_in_single_precision(estimator):
    logits = torch.tensor([1e4, -1e4, -math.inf, 0.0], requires_grad=True)
    for q in (Independent(Bernoulli(logits=logits), 1), OneHotCategorical(logits=logits)):
        value = estimator(lambda b: b.square().sum(-1), q, samples=5)
        (gradient,) = torch.autograd.grad(value, logits)
        assert value in (torch.arange(5, 16) / 5)
        assert gradient.isfinite().all()


@BOTH
@pytest.mark.parametrize(
    ("q", "f", "options", "message"),
    [
        (Categorical(logits=torch.zeros(3)), lambda b: b, {}, "Categorical has no relaxation"),
        (Bernoulli(logits=torch.zeros(3)), lambda b: b, {"samples": 0}, "samples must be at least 1"),
        (Bernoulli(logits=torch.zeros(3)), lambda b: b.sum(-1), {}, r"costs of shape \(1,\)"),
    ],
)
def test_bad_input_is_refused(estimator, q, f, options, message):
    with pytest.raises(ValueError, match=message):
        estimator(f, q, **options)


@BOTH
def test_a_cost_without_a_derivative_is_refused(estimator):
    with pytest.raises(UnsupportedError, match="not differentiable in its sample; use score_function"):
        estimator(lambda b: (b > 0).float(), Bernoulli(logits=torch.zeros(3, requires_grad=True)))


def test_a_temperature_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="tau must be positive"):
        straight_through(lambda b: b, Bernoulli(logits=torch.zeros(3)), tau=0.0)
