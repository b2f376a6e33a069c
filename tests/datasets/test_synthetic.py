"""Exact identities to 1e-9, and z-tests with the suite's budget |z| < 4.56 (a false alarm in 200,000), seeds fixed."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from jensen.datasets.synthetic import LinearGaussianWorld, linear_gaussian

WORLD = linear_gaussian(pixels=7, latents=3, noise=0.4, seed=5, dtype=torch.float64)


def test_log_prob_is_the_dense_gaussian():
    x = WORLD.sample(50, seed=1)
    covariance = (WORLD.weight @ WORLD.weight.mT + WORLD.noise**2 * torch.eye(7, dtype=torch.float64)).numpy()
    exact = multivariate_normal(WORLD.bias.numpy(), covariance).logpdf(x.numpy())
    assert np.allclose(WORLD.log_prob(x).numpy(), exact, atol=1e-9, rtol=0)
    forgets_the_mixing = multivariate_normal(WORLD.bias.numpy(), np.diag(np.diag(covariance))).logpdf(x.numpy())
    assert not np.allclose(forgets_the_mixing, exact, atol=0.1, rtol=0)


def log_evidence_at(world, posterior, x, z):
    return world.likelihood(z).log_prob(x) + world.prior().log_prob(z) - posterior.log_prob(z)


def test_bayes_rule_holds_at_every_z():
    x, z = WORLD.sample(20, seed=2), torch.randn(9, 20, 3, generator=torch.Generator().manual_seed(0)).double()
    exact = WORLD.log_prob(x).expand(9, 20)
    assert torch.allclose(log_evidence_at(WORLD, WORLD.posterior(x), x, z), exact, atol=1e-9, rtol=0)


@pytest.mark.parametrize("bug", [{"noise": 0.41}, {"bias": WORLD.bias + 0.01}, {"weight": 1.01 * WORLD.weight}])
def test_a_posterior_of_another_world_is_caught(bug):
    x, z = WORLD.sample(20, seed=2), torch.randn(9, 20, 3, generator=torch.Generator().manual_seed(0)).double()
    wrong = dataclasses.replace(WORLD, **bug).posterior(x)
    exact = WORLD.log_prob(x).expand(9, 20)
    assert (log_evidence_at(WORLD, wrong, x, z) - exact).abs().max() > 1e-3


def surprise_z(world, x):
    """Minus log-density has mean entropy and variance pixels / 2 under a Gaussian."""
    surprise = -world.log_prob(x)
    return ((surprise.mean() - world.marginal().entropy()) / math.sqrt(7 / 2 / len(x))).item()


def mean_z(world, x):
    error = (world.marginal().variance / len(x)).sqrt()
    return ((x.mean(0) - world.bias) / error).abs().max().item()


def test_samples_have_the_entropy_and_mean_that_the_world_says():
    x = WORLD.sample(100_000, seed=3)
    assert abs(surprise_z(WORLD, x)) < 4.56
    assert mean_z(WORLD, x) < 4.56


@pytest.mark.parametrize("bug", [{"noise": 0.41}, {"weight": 1.02 * WORLD.weight}])
def test_samples_of_a_noisier_world_are_caught(bug):
    assert abs(surprise_z(WORLD, dataclasses.replace(WORLD, **bug).sample(100_000, seed=3))) > 4.56


def test_samples_of_a_shifted_world_are_caught():
    shifted = dataclasses.replace(WORLD, bias=WORLD.bias + 0.03)
    assert mean_z(WORLD, shifted.sample(100_000, seed=3)) > 4.56


def test_a_sample_depends_on_its_seed_alone_and_leaves_the_global_generator():
    before = torch.get_rng_state()
    first = WORLD.sample(4, seed=8)
    linear_gaussian(pixels=2, latents=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(WORLD.sample(4, seed=8), first)
    assert not torch.equal(WORLD.sample(4, seed=9), first)


def test_a_world_depends_on_its_seed_alone_and_not_on_its_type():
    small = linear_gaussian(pixels=7, latents=3, noise=0.4, seed=5)
    assert small.weight.dtype == torch.float32
    assert torch.equal(small.weight, WORLD.weight.float())
    assert not torch.equal(small.weight, linear_gaussian(pixels=7, latents=3, seed=6).weight)
    assert torch.allclose(small.sample(5, seed=0), WORLD.sample(5, seed=0).float(), atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.ones(3), torch.ones(3), 1.0), r"do not fit: got \(3,\) and \(3,\)"),
        ((torch.ones(3, 2), torch.ones(2), 1.0), r"do not fit: got \(3, 2\) and \(2,\)"),
        ((torch.ones(3, 2), torch.ones(3), 0.0), "positive standard deviation, got 0.0"),
        ((torch.ones(3, 2), torch.ones(3), float("nan")), "positive standard deviation, got nan"),
    ],
)
def test_pieces_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        LinearGaussianWorld(*arguments)


def test_data_of_another_width_are_refused():
    with pytest.raises(ValueError, match=r"data must be \(\*batch, 7\), got \(4, 6\)"):
        WORLD.log_prob(torch.zeros(4, 6).double())
    with pytest.raises(ValueError, match="at least one pixel"):
        linear_gaussian(pixels=0, latents=1)
