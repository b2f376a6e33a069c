"""Path sampling, on power posteriors of a normal mean, which are normal themselves."""

import math

import pytest
import torch
from torch.testing import assert_close

from jensen.evidence.path import modified_path, path

DOUBLE = torch.float64
Y = torch.tensor([0.5, 1.5, 2.0, -0.3], dtype=DOUBLE)
EXACT = -8.2607523023  # prior N(0, 100), unit noise
PRIOR_VARIANCE = 100.0
CONSTANT = float(-len(Y) / 2 * math.log(2 * math.pi) - (Y - Y.mean()).square().sum() / 2)


def power_posterior(betas, prior_variance=PRIOR_VARIANCE):
    """Mean and variance of the parameter at each beta."""
    variance = 1 / (betas * len(Y) + 1 / prior_variance)
    return variance * betas * Y.sum(), variance


def log_likelihood(mu):
    return CONSTANT - len(Y) / 2 * (mu - Y.mean()).square()


def moments(betas, prior_variance=PRIOR_VARIANCE):
    """Mean and variance of the log-likelihood at each beta."""
    mean, variance = power_posterior(betas, prior_variance)
    apart = (mean - Y.mean()).square()
    n = len(Y)
    return CONSTANT - n / 2 * (variance + apart), n**2 / 4 * (2 * variance.square() + 4 * variance * apart)


def log_z(prior_variance=PRIOR_VARIANCE):
    grown = 1 + len(Y) * prior_variance
    return CONSTANT - math.log(grown) / 2 - float(len(Y) * Y.mean() ** 2) / 2 / grown


def quantiles(T, alpha=0.3):
    return torch.linspace(0, 1, T, dtype=DOUBLE) ** (1 / alpha)


def two_draws(betas, prior_variance=PRIOR_VARIANCE):
    """An array whose means and variances are the exact ones."""
    mean, variance = moments(betas, prior_variance)
    half = (variance / 2).sqrt()
    return torch.stack([mean - half, mean + half], 1).unsqueeze(-1)  # (T, 2, 1)


def draws(betas, S, C, seed, rho=0.0):
    """Chains of the exact power posteriors, autoregressive."""
    return next(iter(many_draws(betas, S, C, [seed], rho=rho)))


def many_draws(betas, S, C, seeds, rho):
    """The same for each of several seeds, moved together."""
    noise = torch.stack(
        [torch.randn(S, len(betas), C, generator=torch.Generator().manual_seed(i), dtype=DOUBLE) for i in seeds], 1
    )
    for t in range(1, S):
        noise[t] = rho * noise[t - 1] + math.sqrt(1 - rho**2) * noise[t]
    mean, variance = power_posterior(betas)
    return log_likelihood(mean[:, None, None] + variance.sqrt()[:, None, None] * noise.permute(1, 2, 0, 3))


def test_the_closed_form():
    assert log_z() == pytest.approx(EXACT, abs=1e-9)


@pytest.mark.parametrize("T", [2, 7, 40])
def test_both_rules_on_exact_moments(T):
    betas = quantiles(T)
    mean, variance = moments(betas)
    steps = betas.diff()
    trapezoid = (steps * (mean[1:] + mean[:-1]) / 2).sum()
    correction = -(steps.square() * variance.diff() / 12).sum()
    found, better = path(two_draws(betas), betas), modified_path(two_draws(betas), betas)
    assert_close(found.log_z, float(trapezoid), rtol=1e-12, atol=1e-10)
    assert_close(better.log_z, float(trapezoid + correction), rtol=1e-12, atol=1e-10)
    assert_close(found.diagnostics["discretization"], float(correction), rtol=1e-9, atol=1e-9)
    assert_close(found.diagnostics["half_gap"], float((steps * mean.diff()).sum() / 2), rtol=1e-12, atol=1e-10)
    assert found.log_z < log_z()
    assert abs(found.log_z - log_z()) < found.diagnostics["half_gap"]
    assert found.diagnostics["monotone"]


def test_the_orders_of_both_rules():
    """With equal steps the trapezoid's error falls fourfold when they are halved, the modified one's sixteenfold."""
    grids = [torch.linspace(0, 1, T, dtype=DOUBLE) for T in (129, 257)]
    for rule, factor in ((path, 4), (modified_path, 16)):
        coarse, fine = (rule(two_draws(grid, 1.0), grid).log_z - log_z(1.0) for grid in grids)
        assert coarse / fine == pytest.approx(factor, rel=0.03)


def test_the_modified_rule_with_the_sign_of_its_correction_reversed_is_caught():
    betas = quantiles(40)
    found = path(two_draws(betas), betas)
    right = modified_path(two_draws(betas), betas).log_z - log_z()
    wrong = found.log_z - found.diagnostics["discretization"] - log_z()
    assert abs(right) < 0.05 * abs(found.log_z - log_z())
    assert abs(wrong) > 1.9 * abs(found.log_z - log_z())


def test_the_modified_rules_own_estimate_of_its_error():
    betas = torch.linspace(0, 1, 65, dtype=DOUBLE)
    found = modified_path(two_draws(betas, 1.0), betas)
    assert found.diagnostics["discretization"] == pytest.approx(log_z(1.0) - found.log_z, rel=0.5)


@pytest.mark.parametrize("rule", [path, modified_path])
def test_a_constant_likelihood(rule):
    flat = torch.zeros(6, 10, 4, dtype=DOUBLE)
    found = rule(flat, quantiles(6))
    assert (found.log_z, found.std_error, found.warnings) == (0.0, 0.0, ())
    assert rule(flat - 3.5, quantiles(6)).log_z == pytest.approx(-3.5, abs=1e-12)


@pytest.mark.parametrize("rule", [path, modified_path])
@pytest.mark.parametrize(
    ("S", "C", "rho"),
    [(100, 4, 0.0), (40, 24, 0.8), pytest.param(400, 4, 0.8, marks=pytest.mark.slow)],
)
def test_coverage_of_the_rules_own_limit(rule, S, C, rho):
    """Of 200 intervals of 95%, 92% to 98% hold the value that the rule has with exact moments: 184 to 196, and two
    standard errors of that count to either side."""
    betas = quantiles(8)
    limit = rule(two_draws(betas), betas).log_z
    covered, small = 0, 0
    for values in many_draws(betas, S, C, range(200), rho=rho):
        found = rule(values, betas)
        error = abs(found.log_z - limit)
        covered += error < 1.96 * found.std_error
        small += error < 1.96 * found.std_error / 2
    assert 178 <= covered <= 199
    assert small < 160


def test_stones_that_move_together_are_counted_together():
    """With common random numbers at all temperatures the errors add up instead of averaging out."""
    betas, limit = quantiles(8, alpha=0.5), path(two_draws(quantiles(8, alpha=0.5)), quantiles(8, alpha=0.5)).log_z
    mean, variance = power_posterior(betas)
    z, apart = [], []
    for seed in range(200):
        noise = torch.randn(1, 100, 4, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)
        values = log_likelihood(mean[:, None, None] + variance.sqrt()[:, None, None] * noise)
        found = path(values, betas)
        z.append((found.log_z - limit) / found.std_error)
        weights = (torch.cat([betas[1:] - betas[:-1], torch.zeros(1)]) + torch.cat([torch.zeros(1), betas.diff()])) / 2
        alone = (weights.square() * values.flatten(1).var(1) / 400).sum().sqrt()
        apart.append((found.log_z - limit) / float(alone))
    assert 0.85 < torch.tensor(z).std() < 1.2
    assert torch.tensor(apart).std() > 1.3


def test_a_chain_that_has_not_converged_shows():
    betas = quantiles(8)
    values = draws(betas, 100, 4, 0)
    assert path(values, betas).diagnostics["monotone"]
    values[5] = values[1]
    found = path(values, betas)
    assert not found.diagnostics["monotone"]
    assert f"{betas[5]:.3g}" in found.warnings[0]


def test_a_likelihood_that_is_zero_on_half_of_the_prior():
    """L = 2 on half of the prior: the mean log-likelihood is log 2 at every temperature, and Z is 1."""
    values = torch.full((5, 200, 4), math.log(2), dtype=DOUBLE)
    values[0, ::2] = -math.inf
    for rule in (path, modified_path):
        found = rule(values, quantiles(5))
        assert found.log_z == pytest.approx(0.0, abs=1e-12)
        assert found.diagnostics["prior_support"] == 0.5
        assert "zero at 50.00%" in " ".join(found.warnings)


def test_nan_is_counted_and_does_not_spread():
    values = draws(quantiles(6), 50, 4, 0)
    values[3, 0, 0] = math.nan
    found = path(values, quantiles(6))
    assert math.isfinite(found.log_z)
    assert found.diagnostics["nan"] == 1
    assert "1 of 1200 values are NaN" in " ".join(found.warnings)


@pytest.mark.parametrize("rule", [path, modified_path])
@pytest.mark.parametrize(
    ("values", "betas", "message"),
    [
        (torch.zeros(3, 4), torch.linspace(0, 1, 3), "expected"),
        (torch.zeros(3, 1, 1), torch.linspace(0, 1, 3), "two draws"),
        (torch.zeros(3, 4, 1), torch.linspace(0, 1, 4), "do not fit"),
        (torch.zeros(3, 4, 1), torch.tensor([1.0, 0.5, 0.0]), "ascend"),
        (torch.zeros(3, 4, 1), torch.tensor([0.1, 0.5, 1.0]), "ascend"),
        (torch.full((3, 4, 1), -math.inf), torch.linspace(0, 1, 3), "-inf or NaN"),
        (torch.full((3, 4, 1), math.inf), torch.linspace(0, 1, 3), r"\+inf"),
    ],
)
def test_bad_input(rule, values, betas, message):
    with pytest.raises(ValueError, match=message):
        rule(values, betas)
