"""The divergence from the log-uniform prior: Dawson's integral, quadrature, Monte Carlo, limits, bad twins."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import integrate, special
from torch.testing import assert_close

from jensen.distributions import kl_log_uniform, kl_log_uniform_cubic, kl_log_uniform_exact

DOUBLE = torch.float64
LOG_ALPHAS = (-12.0, -8.0, -4.0, -3.5, -1.0, 0.0, 1.0, 3.0, 8.0, 15.0)


def double(numbers):
    return torch.tensor(numbers, dtype=DOUBLE)


def by_dawson(log_alpha):
    """Twice the integral of Dawson's function."""
    end = math.exp(-0.5 * log_alpha) / math.sqrt(2)
    marks = [0.0, *(mark for mark in (1.0, 3.0, 10.0, 40.0) if mark < end), end]
    pieces = (integrate.quad(special.dawsn, a, b, epsabs=0)[0] for a, b in pairwise(marks))
    return 2 * math.fsum(pieces)


def by_definition(log_alpha):
    """E log q - E log p for q = N(1, alpha) and p(w) = 1 / |w|, less its limit at infinite alpha."""
    scale = math.exp(0.5 * log_alpha)

    def log_size(noise):
        return math.exp(-0.5 * noise * noise) / math.sqrt(2 * math.pi) * math.log(abs(1 + scale * noise) or 1e-300)

    pole = -1 / scale
    marks = sorted({-40.0, 40.0, *({pole} if abs(pole) < 40 else {})})
    pieces = (integrate.quad(log_size, a, b, limit=400)[0] for a, b in pairwise(marks))
    entropy = 0.5 * math.log(2 * math.pi * math.e) + 0.5 * log_alpha
    limit = -0.5 * math.log(2 * math.pi * math.e) - 0.5 * (np.euler_gamma + math.log(2))
    return math.fsum(pieces) - entropy - limit


@pytest.mark.parametrize("log_alpha", LOG_ALPHAS)
def test_it_is_twice_the_integral_of_dawson_s_function(log_alpha):
    x = torch.tensor(log_alpha, dtype=DOUBLE, requires_grad=True)
    found = kl_log_uniform_exact(x)
    assert found.item() == pytest.approx(by_dawson(log_alpha), rel=1e-12)
    (gradient,) = torch.autograd.grad(found, x)
    y = math.exp(-0.5 * log_alpha) / math.sqrt(2)
    assert gradient.item() == pytest.approx(-y * special.dawsn(y), rel=1e-12)


@pytest.mark.parametrize("log_alpha", [-6.0, -2.0, 0.0, 2.0, 6.0])
def test_it_is_the_divergence_by_definition(log_alpha):
    assert kl_log_uniform_exact(double(log_alpha)).item() == pytest.approx(by_definition(log_alpha), abs=1e-7)


def test_it_is_what_draws_say():
    """Poisson and digamma apart, log|1 + sqrt(alpha) e| averaged over draws; half of alpha must fail the same test."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(400_000, dtype=DOUBLE, generator=generator)

    def z_score(log_alpha, claimed):
        log_size = (1 + math.exp(0.5 * log_alpha) * noise).abs().log()
        value = log_size - 0.5 * log_alpha + 0.5 * (np.euler_gamma + math.log(2))
        return ((value.mean() - kl_log_uniform_exact(double(claimed))) / value.std() * len(noise) ** 0.5).item()

    for log_alpha in (-3.0, 0.0, 3.0):
        assert abs(z_score(log_alpha, log_alpha)) < 4.56
        assert abs(z_score(log_alpha, log_alpha - math.log(2))) > 4.56


def test_series_and_quadrature_meet():
    around = double([-8 - 1e-9, -8 + 1e-9]).requires_grad_()
    left, right = kl_log_uniform_exact(around)
    assert (left - right).item() == pytest.approx(1e-9, rel=1e-3)
    (gradient,) = torch.autograd.grad(left + right, around)
    assert_close(gradient[0], gradient[1], atol=1e-12, rtol=0)


def test_the_approximation_is_as_near_as_it_says():
    log_alpha = torch.linspace(-40, 40, 4001, dtype=DOUBLE)
    exact = kl_log_uniform_exact(log_alpha)
    distance = (kl_log_uniform(log_alpha) - exact).abs()
    assert 0.009 < distance.max() < 0.0095
    assert 0.03 < (distance / exact).max() < 0.035


@pytest.mark.parametrize("function", [kl_log_uniform, kl_log_uniform_exact])
def test_it_decreases_to_zero_and_grows_like_half_the_logarithm(function):
    values = function(torch.linspace(-30, 60, 901, dtype=DOUBLE))
    assert (values.diff() < 0).all()
    assert 0 < values[-1] < 1e-18
    assert function(double(-40.0)).item() == pytest.approx(20 + 0.5 * (np.euler_gamma + math.log(2)), abs=2e-3)


@pytest.mark.parametrize(
    "twin",
    [
        lambda x: kl_log_uniform(x) - 0.63576,
        lambda x: 0.63576 * torch.sigmoid(-1.8732 - 1.48695 * x) - 0.5 * torch.log1p(torch.exp(-x)),
        lambda x: kl_log_uniform(0.5 * x),
        lambda x: kl_log_uniform(-x),
    ],
    ids=["no constant", "wrong sign", "scale for variance", "inverse alpha"],
)
def test_a_plausible_slip_is_caught(twin):
    log_alpha = torch.linspace(-8, 8, 161, dtype=DOUBLE)
    exact = kl_log_uniform_exact(log_alpha)
    assert (kl_log_uniform(log_alpha) - exact).abs().max() < 0.0095
    assert (twin(log_alpha) - exact).abs().max() > 0.3


@pytest.mark.parametrize("function", [kl_log_uniform, kl_log_uniform_exact])
def test_extremes_are_finite_in_single_precision(function):
    log_alpha = torch.tensor([-1e30, -200.0, -90.0, 90.0, 200.0, 1e30], requires_grad=True)
    found = function(log_alpha)
    (gradient,) = torch.autograd.grad(found.sum(), log_alpha)
    assert found.isfinite().all()
    assert_close(gradient, torch.tensor([-0.5, -0.5, -0.5, 0.0, 0.0, 0.0]), atol=1e-7, rtol=0)


@pytest.mark.parametrize("function", [kl_log_uniform, kl_log_uniform_exact])
def test_single_precision_agrees_with_double(function):
    log_alpha = torch.linspace(-12, 12, 97)
    found = function(log_alpha)
    assert found.dtype == torch.float32
    assert_close(found.double(), function(log_alpha.double()), rtol=3e-6, atol=0)


@pytest.mark.parametrize("function", [kl_log_uniform, kl_log_uniform_exact])
def test_any_shape_and_vmap(function):
    log_alpha = torch.linspace(-12, 12, 24).reshape(2, 3, 4)
    assert function(log_alpha).shape == (2, 3, 4)
    assert function(log_alpha[:0]).shape == (0, 3, 4)
    assert_close(torch.func.vmap(function)(log_alpha), function(log_alpha))


@pytest.mark.parametrize("function", [kl_log_uniform, kl_log_uniform_exact])
def test_gradients_agree_with_finite_differences(function):
    assert torch.autograd.gradcheck(function, (double(LOG_ALPHAS).requires_grad_(),))


def test_the_cubic_is_nowhere_below_and_as_near_as_it_says():
    log_alpha = torch.linspace(-16, 0, 4001, dtype=DOUBLE)
    excess = kl_log_uniform_cubic(log_alpha) - kl_log_uniform_exact(log_alpha)
    assert (excess > 0).all()
    assert excess.min() < 2e-5
    assert 0.0403 < excess.max() < 0.0404
    assert 0.013 < excess[log_alpha.exp() >= 0.05].max() < 0.0134
    assert (kl_log_uniform_cubic(log_alpha).diff() < 0).all()


def test_a_cubic_of_the_standard_deviation_is_caught():
    log_alpha = torch.linspace(-16, 0, 401, dtype=DOUBLE)
    excess = kl_log_uniform_cubic(0.5 * log_alpha) - kl_log_uniform_exact(log_alpha)
    assert excess.min() < -3


def test_the_cubic_ends_at_one():
    with pytest.raises(ValueError, match=r"alpha up to 1, got 7\.389.*kl_log_uniform"):
        kl_log_uniform_cubic(double([-1.0, 2.0]))
