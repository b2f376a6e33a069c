"""Gaussian weights against Gaussian and Laplace priors: torch's divergences, quadrature, extremes, bad twins."""

import math
from itertools import pairwise

import pytest
import torch
from scipy import integrate, stats
from torch.distributions import Laplace, Normal, kl_divergence
from torch.testing import assert_close

from jensen.distributions import kl_normal_laplace, kl_normal_normal

DOUBLE = torch.float64
MEANS = (0.0, 0.3, -2.0, 7.0)
SCALES = (1e-3, 0.2, 1.0, 3.0)
FUNCTIONS = {kl_normal_normal: stats.norm, kl_normal_laplace: stats.laplace}


def grid():
    mean, scale = torch.cartesian_prod(torch.tensor(MEANS, dtype=DOUBLE), torch.tensor(SCALES, dtype=DOUBLE)).T
    return mean, scale.log()


def by_quadrature(prior, mean, log_scale):
    q = stats.norm(mean, math.exp(log_scale))
    inside = {mean, min(max(0.0, q.ppf(1e-16)), q.ppf(1 - 1e-16))}
    marks = sorted({mean - 40 * q.std(), mean + 40 * q.std(), *inside})
    pieces = (
        integrate.quad(lambda w: q.pdf(w) * (q.logpdf(w) - prior.logpdf(w)), a, b, epsabs=1e-13, limit=200)[0]
        for a, b in pairwise(marks)
    )
    return math.fsum(pieces)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_it_is_the_integral(function):
    mean, log_scale = grid()
    found = function(mean, log_scale, prior_scale=0.6)
    prior = FUNCTIONS[function](scale=0.6)
    expected = [by_quadrature(prior, *pair) for pair in zip(mean.tolist(), log_scale.tolist(), strict=True)]
    assert_close(found, torch.tensor(expected, dtype=DOUBLE), rtol=1e-9, atol=1e-10)
    assert (found >= 0).all()


def test_it_is_torch_s_divergence():
    mean, log_scale = grid()
    q = Normal(mean, log_scale.exp())
    zero, scale = torch.zeros((), dtype=DOUBLE), torch.tensor(0.6, dtype=DOUBLE)
    assert_close(kl_normal_normal(mean, log_scale, prior_scale=0.6), kl_divergence(q, Normal(zero, scale)))
    assert_close(kl_normal_laplace(mean, log_scale, prior_scale=0.6), kl_divergence(q, Laplace(zero, scale)))


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    "twin",
    [
        lambda f, mean, log_scale: f(mean, 2 * log_scale, prior_scale=0.6),
        lambda f, mean, log_scale: f(mean, log_scale, prior_scale=0.6**2),
        lambda f, mean, log_scale: f(mean, log_scale, prior_scale=0.6) + 0.5,
        lambda f, mean, log_scale: f(mean, log_scale, prior_scale=0.6) + log_scale,
    ],
    ids=["variance for scale", "prior variance for scale", "no constant", "no entropy"],
)
def test_a_plausible_slip_is_caught(function, twin):
    mean, log_scale = torch.tensor(0.3, dtype=DOUBLE), torch.tensor(-0.4, dtype=DOUBLE)
    expected = by_quadrature(FUNCTIONS[function](scale=0.6), 0.3, -0.4)
    assert abs(function(mean, log_scale, prior_scale=0.6).item() - expected) < 1e-10
    assert abs(twin(function, mean, log_scale).item() - expected) > 0.05


def test_it_is_zero_where_posterior_and_prior_agree():
    log_scale = torch.tensor([math.log(0.6), math.log(0.6) + 1e-6], dtype=DOUBLE)
    found = kl_normal_normal(torch.zeros(2, dtype=DOUBLE), log_scale, prior_scale=0.6)
    assert_close(found, torch.tensor([0.0, 1e-12], dtype=DOUBLE), atol=1e-16, rtol=1e-3)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("learned", [False, True])
def test_gradients_agree_with_finite_differences(function, learned):
    mean, log_scale = (each.requires_grad_() for each in grid())
    prior_scale = torch.tensor(0.6, dtype=DOUBLE, requires_grad=learned)

    def divergence(mean, log_scale, prior_scale):
        return function(mean, log_scale, prior_scale=prior_scale)

    assert torch.autograd.gradcheck(divergence, (mean, log_scale, prior_scale))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_learned_scale_gives_what_a_number_gives(function):
    mean, log_scale = grid()
    learned = function(mean, log_scale, prior_scale=torch.tensor(0.6, dtype=DOUBLE))
    assert_close(learned, function(mean, log_scale, prior_scale=0.6))


EXTREMES = [(0.0, -200.0), (1.0, -200.0), (-1e15, -50.0), (1e-30, -80.0), (0.0, 40.0), (1e10, 40.0), (0.0, 0.0)]


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("pair", EXTREMES)
def test_extremes_are_finite_in_single_precision(function, pair):
    mean, log_scale = (torch.tensor(each, requires_grad=True) for each in pair)
    found = function(mean, log_scale, prior_scale=1.0)
    gradients = torch.autograd.grad(found, (mean, log_scale))
    exact = [each.detach().double().requires_grad_() for each in (mean, log_scale)]
    expected = function(*exact, prior_scale=1.0)
    assert found.isfinite()
    assert all(each.isfinite() for each in gradients)
    assert_close(found.double(), expected, rtol=1e-6, atol=0)
    for gradient, other in zip(gradients, torch.autograd.grad(expected, exact), strict=True):
        assert_close(gradient.double(), other, rtol=1e-5, atol=1e-7)


def test_the_textbook_mean_size_would_not_be():
    mean, scale = torch.tensor(1.0, requires_grad=True), torch.tensor(-200.0).exp()
    standard = mean / scale
    folded = scale * torch.exp(-0.5 * standard.square()) + mean * torch.erf(standard)
    assert torch.autograd.grad(folded, mean)[0].isnan()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_it_works_under_vmap(function):
    mean, log_scale = grid()
    batched = torch.func.vmap(lambda m, s: function(m, s, prior_scale=0.6))(mean, log_scale)
    assert_close(batched, function(mean, log_scale, prior_scale=0.6))


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("scale", [0.0, -1.0, math.inf, math.nan])
def test_a_prior_without_a_scale_is_refused(function, scale):
    with pytest.raises(ValueError, match="prior_scale"):
        function(torch.zeros(1), torch.zeros(1), prior_scale=scale)
