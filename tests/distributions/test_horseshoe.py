"""The pieces of the horseshoe: their product is half-Cauchy, and each divergence is its integral."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch.distributions import Gamma, HalfCauchy, InverseGamma, LogNormal, Normal, kl_divergence
from torch.testing import assert_close

from jensen.distributions import (
    half_cauchy_pieces,
    kl_lognormal_gamma,
    kl_lognormal_inverse_gamma,
    root_of_lognormals,
)

DOUBLE = torch.float64
STEP = 0.02
GRID = torch.arange(-45, 45, STEP, dtype=DOUBLE)


def double(*numbers):
    return torch.tensor(numbers, dtype=DOUBLE).squeeze()


def log_density_of_the_root(pieces, log_z):
    r"""The log-density of z = sqrt(alpha beta), by the trapezoidal rule over log alpha."""
    gamma, inverse_gamma = pieces
    log_alpha = GRID[:, None]
    log_beta = 2 * log_z - log_alpha
    log_joint = gamma.log_prob(log_alpha.exp()) + log_alpha + inverse_gamma.log_prob(log_beta.exp()) + log_beta
    return torch.logsumexp(log_joint, 0) + math.log(STEP) + math.log(2) - log_z


@pytest.mark.parametrize("scale", [0.05, 1.0, 3.0])
def test_the_root_of_the_product_is_half_cauchy(scale):
    log_z = torch.linspace(-5, 5, 41, dtype=DOUBLE) + math.log(scale)
    found = log_density_of_the_root(half_cauchy_pieces(double(scale)), log_z)
    assert_close(found, HalfCauchy(double(scale)).log_prob(log_z.exp()), atol=1e-10, rtol=0)


@pytest.mark.parametrize(
    "twin",
    [
        lambda k: (Gamma(double(0.5), k.square()), InverseGamma(double(0.5), double(1.0))),
        lambda k: (Gamma(double(0.5), 1 / k), InverseGamma(double(0.5), double(1.0))),
        lambda k: (Gamma(double(1.0), k**-2), InverseGamma(double(1.0), double(1.0))),
        lambda k: (Gamma(double(0.5), k**-2), Gamma(double(0.5), double(1.0))),
    ],
    ids=["rate for scale", "scale not squared", "shape one", "gamma twice"],
)
def test_other_pieces_are_not(twin):
    log_z = torch.linspace(-3, 3, 13, dtype=DOUBLE)
    found = log_density_of_the_root(twin(double(0.3)), log_z)
    assert (found - HalfCauchy(double(0.3)).log_prob(log_z.exp())).abs().max() > 0.1


def test_draws_of_the_pieces_are_half_cauchy():
    torch.manual_seed(0)
    gamma, inverse_gamma = half_cauchy_pieces(2.0)
    z = (gamma.sample((20_000,)) * inverse_gamma.sample((20_000,))).sqrt()
    assert stats.kstest(z.numpy(), stats.halfcauchy(scale=2.0).cdf).pvalue > 1e-5
    assert stats.kstest(z.numpy(), stats.halfcauchy(scale=1.8).cdf).pvalue < 1e-5


PRIORS = {
    kl_lognormal_gamma: lambda shape, scale: stats.gamma(shape, scale=scale),
    kl_lognormal_inverse_gamma: lambda shape, scale: stats.invgamma(shape, scale=scale),
}


def by_quadrature(prior, mean, variance):
    """Over log x, where the posterior is Gaussian."""
    q = stats.norm(mean, math.sqrt(variance))

    def integrand(y):
        return q.pdf(y) * (q.logpdf(y) - prior.logpdf(math.exp(y)) - y)

    centre = mean + variance * np.arange(-1, 2)
    marks = sorted([q.mean() - 14 * q.std(), *centre, q.mean() + 14 * q.std()])
    pieces = (integrate.quad(integrand, a, b, epsabs=1e-13)[0] for a, b in pairwise(marks))
    return math.fsum(pieces)


CASES = [(0.0, 1.0, 0.5, 1.0), (-3.0, 0.01, 0.5, 1e-4), (2.0, 2.5, 0.5, 4.0), (0.5, 0.3, 2.0, 0.7)]


@pytest.mark.parametrize("function", PRIORS)
@pytest.mark.parametrize("case", CASES)
def test_the_divergence_is_its_integral(function, case):
    mean, variance, shape, scale = case
    expected = by_quadrature(PRIORS[function](shape, scale), mean, variance)
    found = function(double(mean), double(variance), shape=shape, scale=scale)
    assert found.item() == pytest.approx(expected, rel=1e-9, abs=1e-10)
    assert found > 0
    learned = function(double(mean), double(variance), shape=shape, scale=double(scale))
    assert_close(learned, found)


@pytest.mark.parametrize("function", PRIORS)
@pytest.mark.parametrize(
    "twin",
    [
        {"variance": 0.4**2},
        {"scale": 1 / 0.7},
        {"scale": 0.7**2},
        {"shape": 0.5},
        {"mean": -0.5},
    ],
    ids=["scale for variance", "rate for scale", "squared", "shape", "sign"],
)
def test_a_plausible_slip_is_caught(function, twin):
    right = {"mean": 0.5, "variance": 0.4, "shape": 1.5, "scale": 0.7}
    expected = by_quadrature(PRIORS[function](1.5, 0.7), 0.5, 0.4)

    def divergence(mean, variance, shape, scale):
        return function(double(mean), double(variance), shape=shape, scale=scale).item()

    assert divergence(**right) == pytest.approx(expected, abs=1e-9)
    assert abs(divergence(**{**right, **twin}) - expected) > 0.02


def test_inverse_gamma_is_gamma_of_the_inverse():
    mean, variance = double(0.4, -2.0), double(0.3, 1.7)
    inverse = kl_lognormal_inverse_gamma(mean, variance, shape=0.5, scale=3.0)
    assert_close(inverse, kl_lognormal_gamma(-mean, variance, shape=0.5, scale=1 / 3))


def test_the_root_of_lognormals_is_lognormal():
    means, variances = double(0.5, -1.0, 2.0, 0.1), double(0.2, 0.6, 1.0, 0.3)
    mean, variance = root_of_lognormals(means, variances)
    assert (mean.item(), variance.item()) == pytest.approx((0.8, 0.525))
    torch.manual_seed(0)
    log_z = 0.5 * Normal(means, variances.sqrt()).sample((100_000,)).sum(-1)
    assert abs((log_z.mean() - mean) / (variance / 1e5).sqrt()) < 4.56
    assert abs(log_z.var() / variance - 1) < 4.56 * math.sqrt(2 / 1e5)
    assert abs(log_z.var() / (2 * variance) - 1) > 4.56 * math.sqrt(2 / 1e5)


@pytest.mark.parametrize("scale", [0.1, 1.0])
def test_the_divergences_of_the_pieces_bound_that_of_their_root(scale):
    r"""Data processing: KL(q(alpha) q(beta) || p(alpha) p(beta)) >= KL(q(z) || p(z)) for z = sqrt(alpha beta)."""
    for means, variances in ([(-1.0, 0.5), (0.3, 0.8)], [(-4.0, -2.0), (0.05, 0.1)]):
        pieces = (
            kl_lognormal_gamma(double(means[0]), double(variances[0]), shape=0.5, scale=scale**2)
            + kl_lognormal_inverse_gamma(double(means[1]), double(variances[1]), shape=0.5, scale=1.0)
        ).item()  # fmt: skip
        mean, variance = root_of_lognormals(double(*means), double(*variances))
        root = by_quadrature(stats.halfcauchy(scale=scale), mean.item(), variance.item())
        assert 0 < root < pieces


@pytest.mark.parametrize("function", PRIORS)
def test_gradients(function):
    inputs = [each.requires_grad_() for each in (double(0.4, -2.0), double(0.3, 1.7), double(3.0))]
    assert torch.autograd.gradcheck(lambda m, v, s: function(m, v, shape=0.5, scale=s), inputs)


@pytest.mark.parametrize("function", PRIORS)
def test_extremes_are_finite_in_single_precision(function):
    sign = 1 if function is kl_lognormal_gamma else -1
    mean = (sign * torch.tensor([-1e6, -80.0, 80.0, 0.0])).requires_grad_()
    variance = torch.tensor([1e-30, 1e-30, 1e-10, 80.0], requires_grad=True)
    found = function(mean, variance, shape=0.5, scale=1.0)
    gradients = torch.autograd.grad(found.sum(), (mean, variance))
    assert found.isfinite().all()
    assert all(each.isfinite().all() for each in gradients)
    assert_close(found.double(), function(mean.double(), variance.double(), shape=0.5, scale=1.0), rtol=1e-4, atol=0)


def test_torch_s_lognormal_has_no_such_divergence():
    with pytest.raises(NotImplementedError):
        kl_divergence(LogNormal(0.0, 1.0), Gamma(0.5, 1.0))


@pytest.mark.parametrize("scale", [0.0, -1.0, math.inf, math.nan])
def test_bad_scales_are_refused(scale):
    for function in PRIORS:
        with pytest.raises(ValueError, match="scale"):
            function(double(0.0), double(1.0), shape=0.5, scale=scale)
    for given in (scale, torch.tensor([1.0, scale])):
        with pytest.raises(ValueError, match="scale"):
            half_cauchy_pieces(given)


def test_other_bad_input_is_refused():
    for function in PRIORS:
        with pytest.raises(ValueError, match="shape"):
            function(double(0.0), double(1.0), shape=-0.5, scale=1.0)
    for shapes in (((2, 3), (3,)), ((0, 3), (0, 3)), ((), ())):
        with pytest.raises(ValueError, match="factors"):
            root_of_lognormals(*(torch.zeros(shape) for shape in shapes))
