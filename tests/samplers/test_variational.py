"""Gaussian fits where the best Gaussian is known, and their ELBO against log Z."""

import importlib
import math

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal
from torch.testing import assert_close

from jensen._targets import Target
from jensen.samplers.variational import GaussianFit, fit_gaussian

DOUBLE = torch.float64


def gaussian(precision, mean, log_z):
    """A Gaussian density of known integral, as likelihood over a wide reference."""
    density = MultivariateNormal(mean, precision_matrix=precision)
    return Target.from_density(lambda x: density.log_prob(x) + log_z, Normal(torch.zeros_like(mean), 10.0), exact=log_z)


def correlated(dim):
    noise = torch.randn(dim, dim, dtype=DOUBLE, generator=torch.Generator().manual_seed(dim))
    precision = noise @ noise.T / dim + torch.diag(torch.linspace(0.5, 3, dim, dtype=DOUBLE))
    return precision, torch.linspace(-2, 2, dim, dtype=DOUBLE)


def log_weights(target, fit, *, count=4000, seed=1):
    points, log_q = fit.draw(count, seed=seed)
    return target.log_joint(points) - log_q


@pytest.mark.parametrize("dim", [1, 2, 12])
def test_a_gaussian_is_recovered_and_every_weight_is_its_evidence(dim):
    precision, mean = correlated(dim)
    target = gaussian(precision, mean, -3.5)
    fit = fit_gaussian(target, covariance="full", iterations=100)
    assert_close(fit.mean, mean, atol=1e-6, rtol=0)
    assert_close(fit.scale_tril @ fit.scale_tril.T, torch.linalg.inv(precision), atol=1e-6, rtol=0)
    assert_close(log_weights(target, fit), torch.full((4000,), -3.5, dtype=DOUBLE), atol=1e-5, rtol=0)
    assert fit.converged
    assert fit.not_finite == 0


@pytest.mark.parametrize("dim", [2, 12])
def test_independent_coordinates_get_the_conditional_variances_and_the_known_gap(dim):
    precision, mean = correlated(dim)
    target = gaussian(precision, mean, 2.0)
    fit = fit_gaussian(target)
    gap = float(precision.diagonal().log().sum() - precision.logdet()) / 2
    assert_close(fit.mean, mean, atol=1e-4, rtol=0)
    assert_close(fit.scale_tril.diagonal() ** -2, precision.diagonal(), atol=0, rtol=0.02)
    assert torch.equal(fit.scale_tril, fit.scale_tril.diagonal().diag())
    log_w = log_weights(target, fit)
    assert abs(float(log_w.mean()) - (2.0 - gap)) < 4.56 * float(log_w.std()) / math.sqrt(4000) + 1e-3
    assert fit.converged


def test_the_marginal_variances_are_caught():
    """A twin with the posterior's own variances loses more of the evidence than the fit."""
    precision = torch.tensor([[1.0, 0.9], [0.9, 1.0]], dtype=DOUBLE)
    target = gaussian(precision, torch.zeros(2, dtype=DOUBLE), 0.0)
    fit = fit_gaussian(target)
    wide = torch.linalg.inv(precision).diagonal().sqrt().diag()
    twin = fit._replace(scale_tril=wide)
    assert float(log_weights(target, twin).mean()) < float(log_weights(target, fit).mean()) - 2


@pytest.fixture
def no_mode(monkeypatch):
    """The mode is taken for one at infinity, so that the fit begins in the middle of the prior."""
    module = importlib.import_module("jensen.samplers.mode")
    found = module.find_mode
    monkeypatch.setattr(module, "find_mode", lambda *args, **named: found(*args, **named)._replace(is_interior=False))


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_from_the_middle_of_the_prior_it_arrives_as_well(covariance, no_mode):
    precision = torch.tensor([[1.0, 0.5], [0.5, 1.0]], dtype=DOUBLE)
    mean = torch.tensor([3.0, -2.0], dtype=DOUBLE)
    fit = fit_gaussian(gaussian(precision, mean, 0.0), covariance=covariance, iterations=600)
    assert_close(fit.mean, mean, atol=0.02, rtol=0)
    wanted = torch.linalg.inv(precision) if covariance == "full" else torch.eye(2, dtype=DOUBLE)
    assert_close(fit.scale_tril @ fit.scale_tril.T, wanted, atol=0.04, rtol=0)
    assert fit.converged


def test_a_fit_that_is_still_rising_says_so(no_mode):
    target = gaussian(1e4 * torch.eye(2, dtype=DOUBLE), torch.tensor([30.0, 0.0], dtype=DOUBLE), 0.0)
    assert not fit_gaussian(target, iterations=40).converged


def test_a_skewed_posterior_against_quadrature():
    """log-Gamma(3, 1): the ELBO of every Gaussian is known, and no grid point beats the fit."""
    target = Target.from_density(lambda x: 3 * x - x.exp(), Normal(torch.zeros((), dtype=DOUBLE), 3.0))
    fit = fit_gaussian(target, iterations=600)
    m = torch.linspace(0, 2, 401, dtype=DOUBLE)[:, None]
    s = torch.linspace(0.2, 1.2, 401, dtype=DOUBLE)
    elbo = 3 * m - (m + s**2 / 2).exp() + s.log() + 0.5 * math.log(2 * math.pi * math.e)
    best = elbo.max()
    mean, scale = fit.mean[0], fit.scale_tril[0, 0]
    found = 3 * mean - (mean + scale**2 / 2).exp() + scale.log() + 0.5 * math.log(2 * math.pi * math.e)
    assert float(best - found) == pytest.approx(0, abs=2e-4)
    assert float(found) < math.log(2)
    log_w = log_weights(target, fit)
    assert abs(float(log_w.mean() - found)) < 4.56 * float(log_w.std()) / math.sqrt(4000)


def test_log_prob_is_that_of_the_draws_and_of_torch():
    fit = fit_gaussian(gaussian(*correlated(3), 0.0), covariance="full", iterations=20)
    points, log_q = fit.draw(7, seed=4)
    assert_close(fit.log_prob(points), log_q)
    assert_close(MultivariateNormal(fit.mean, scale_tril=fit.scale_tril).log_prob(points), log_q)


def test_the_trace_is_the_elbo_and_the_cost_is_counted():
    target = gaussian(*correlated(4), 1.0)
    asked, told = [], []
    fit = fit_gaussian(target.watched(asked.append), samples=8, iterations=40, covariance="full",
                       progress=lambda done, total: told.append((done, total)))  # fmt: skip
    assert_close(fit.elbo, torch.ones(40, dtype=DOUBLE), atol=1e-6, rtol=0)
    assert fit.evaluations >= 320
    assert sum(asked) >= 320
    assert told[-1] == (40, 40)


def test_draws_without_a_finite_density_are_counted_and_left_out():
    mean = torch.zeros(2, dtype=DOUBLE)

    def density(x):
        return torch.where(x[:, 0] > 2.5, math.nan, Normal(0.0, 1.0).log_prob(x).sum(-1))

    fit = fit_gaussian(Target.from_density(density, Normal(mean, 1.0)), iterations=50)
    assert fit.not_finite > 0
    assert not fit.converged
    assert bool(fit.mean.isfinite().all())
    assert float(fit.mean.abs().max()) < 0.5


def test_the_seed_decides_and_the_global_generator_is_left_alone():
    target = Target.from_density(lambda x: -(x**4).sum(-1), Normal(torch.zeros(3, dtype=DOUBLE), 2.0))
    before = torch.random.get_rng_state()
    first, same, other = (fit_gaussian(target, iterations=20, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(first.mean, same.mean)
    assert not torch.equal(first.scale_tril, other.scale_tril)
    assert torch.equal(first.draw(3, seed=5).points, same.draw(3, seed=5).points)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"covariance": "dense"}, "must be 'diagonal' or 'full', got 'dense'"),
        ({"samples": 7}, "an even number of samples and 8 iterations at least, got 7 and 400"),
        ({"iterations": 3}, "got 64 and 3"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        fit_gaussian(gaussian(*correlated(2), 0.0), **settings)


def test_no_draws_are_refused():
    fit = GaussianFit(torch.zeros(1), torch.eye(1), torch.zeros(1), True, 0, 0)
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        fit.draw(0)
