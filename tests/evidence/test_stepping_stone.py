"""Stepping stones on power posteriors of a normal mean, which are normal themselves."""

import math

import numpy as np
import pytest
import torch

from jensen.evidence.stepping_stone import generalized_stepping_stone, stepping_stone

DOUBLE = torch.float64
Y = torch.tensor([0.5, 1.5, 2.0, -0.3], dtype=DOUBLE)
EXACT = -8.2607523023  # prior N(0, 100), unit noise
CONSTANT = float(-len(Y) / 2 * math.log(2 * math.pi) - (Y - Y.mean()).square().sum() / 2)


def quantiles(T, alpha=0.3):
    return torch.linspace(0, 1, T, dtype=DOUBLE) ** (1 / alpha)


def values_at(betas, noise):
    """Log-likelihoods at power posteriors made of standard normal noise `(T, S, C)`."""
    variance = 1 / (betas * len(Y) + 0.01)
    mu = (variance * betas * Y.sum())[:, None, None] + variance.sqrt()[:, None, None] * noise
    return CONSTANT - len(Y) / 2 * (mu - Y.mean()).square()


def chains(T, S, C, seed):
    return torch.randn(T, S, C, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


def many_chains(T, S, C, seeds, rho):
    """Autoregressive noise `(T, S, C)` for each of several seeds, moved together."""
    noise = torch.stack([chains(S, T, C, seed) for seed in seeds], 1)
    for t in range(1, S):
        noise[t] = rho * noise[t - 1] + math.sqrt(1 - rho**2) * noise[t]
    return noise.permute(1, 2, 0, 3)


def midpoints(n):
    """The normal distribution in n equal parts, `(1, n, 1)`."""
    return torch.special.ndtri((torch.arange(n, dtype=DOUBLE) + 0.5) / n).reshape(1, n, 1)


def log_z_at(betas):
    grown = 1 + betas * len(Y) * 100
    return betas * CONSTANT - grown.log() / 2 - betas * len(Y) * Y.mean() ** 2 / 2 / grown


def test_every_stone_by_quadrature():
    betas = quantiles(12)
    found = stepping_stone(values_at(betas, midpoints(200_000)), betas)
    assert torch.tensor(found.diagnostics["stones"], dtype=DOUBLE).sub(log_z_at(betas).diff()).abs().max() < 2e-5
    assert found.log_z == pytest.approx(EXACT, abs=1e-4)


def test_draws_of_the_upper_temperature_in_the_place_of_the_lower_are_caught():
    betas = quantiles(12)
    values = values_at(betas, midpoints(200_000))
    wrong = stepping_stone(torch.cat([values[1:], values[-1:]]), betas)
    assert wrong.log_z > EXACT + 0.3


@pytest.mark.parametrize("method", [stepping_stone, generalized_stepping_stone])
def test_a_constant_ratio(method):
    flat = torch.zeros(6, 10, 4, dtype=DOUBLE)
    found = method(flat, quantiles(6))
    assert abs(found.log_z) < 1e-12
    assert found.std_error < 1e-12
    assert found.warnings == ()
    assert method(flat - 700.0, quantiles(6)).log_z == pytest.approx(-700.0, abs=1e-9)


def test_the_delta_method_by_hand():
    """Independent draws in a single row: per stone the squared coefficient of variation over n."""
    betas = quantiles(5)
    values = values_at(betas, torch.randn(5, 3, 19, generator=torch.Generator().manual_seed(0), dtype=DOUBLE))
    w = (betas.diff()[:, None, None] * values[:-1]).exp().flatten(1)
    by_hand = float((w.var(1) / w.mean(1).square() / w.shape[1]).sum().sqrt())
    assert stepping_stone(values, betas).diagnostics["independent_std_error"] == pytest.approx(by_hand, rel=1e-10)


@pytest.mark.parametrize(
    ("S", "C", "rho"),
    [
        (100, 4, 0.0),
        (40, 24, 0.8),
        pytest.param(400, 4, 0.8, marks=pytest.mark.slow),
        pytest.param(50, 64, 0.5, marks=pytest.mark.slow),
    ],
)
def test_coverage(S, C, rho):
    """Of 200 intervals of 95%, those that hold the exact value are 92% to 98%, give or take two standard errors."""
    betas, covered, naive = quantiles(8), 0, 0
    for noise in many_chains(8, S, C, range(200), rho):
        values = values_at(betas, noise)
        found = stepping_stone(values, betas)
        covered += abs(found.log_z - EXACT) < 1.96 * found.std_error
        w = (betas.diff()[:, None, None] * values[:-1]).exp().flatten(1)
        raw = float((w.var(1) / w.mean(1).square() / w.shape[1]).sum().sqrt())
        naive += abs(found.log_z - EXACT) < 1.96 * raw
    assert 178 <= covered <= 199
    if rho == 0.8:
        assert naive < 150


@pytest.mark.parametrize("C", [4, 30])
def test_dependent_stones_are_counted_together(C):
    """The same noise at every temperature: the error that takes stones for independent is too small."""
    betas, covered, alone = quantiles(6), 0, 0
    for seed in range(200):
        noise = torch.randn(1, 200 // C, C, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)
        found = stepping_stone(values_at(betas, noise), betas)
        covered += abs(found.log_z - EXACT) < 1.96 * found.std_error
        alone += abs(found.log_z - EXACT) < 1.96 * found.diagnostics["independent_std_error"]
    assert 178 <= covered <= 199
    assert alone < 165


def test_generalized_stones_from_a_reference():
    """Posterior N(m, v) and reference N(m', v'): the ratio is normal quadratic, the path again normal."""
    variance = 1 / (4 + 0.01)
    m, v = variance * float(Y.sum()), variance
    reference_mean, reference_variance = m + 0.1, 1.3 * v
    betas = torch.linspace(0, 1, 5, dtype=DOUBLE)
    precision = betas / v + (1 - betas) / reference_variance
    centre = (betas * m / v + (1 - betas) * reference_mean / reference_variance) / precision
    noise = torch.randn(5, 100, 30, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    mu = centre[:, None, None] + noise / precision.sqrt()[:, None, None]
    log_posterior = torch.distributions.Normal(m, math.sqrt(v)).log_prob(mu) + EXACT
    log_ratio = log_posterior - torch.distributions.Normal(reference_mean, math.sqrt(reference_variance)).log_prob(mu)
    found = generalized_stepping_stone(log_ratio, betas)
    assert abs(found.log_z - EXACT) < 4 * found.std_error
    assert found.std_error < 0.01
    assert found.warnings == ()


def test_a_reference_that_does_not_cover_is_named():
    """Reference of a tenth of the width: weights of infinite variance at the first stone."""
    noise = torch.randn(2, 500, 8, generator=torch.Generator().manual_seed(0), dtype=DOUBLE) / 10
    wide, narrow = torch.distributions.Normal(0.0, 1.0), torch.distributions.Normal(0.0, 0.1)
    found = generalized_stepping_stone(wide.log_prob(noise) - narrow.log_prob(noise), torch.tensor([0.0, 1.0]))
    assert "does not cover" in found.warnings[0]


def test_a_tail_too_small_to_matter_is_not_named():
    """Weights of one skewed shape, which make up a hundred-thousandth of their mean, and most of it."""
    normal = torch.randn(2, 500, 8, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    skewed, betas = (3 * normal).exp(), torch.tensor([0.0, 1.0])
    small, large = (generalized_stepping_stone((scale * skewed).log1p(), betas) for scale in (1e-5, 1.0))
    assert min(small.diagnostics["pareto_k"]) > 0.7
    assert small.warnings == ()
    assert "does not cover" in large.warnings[0]
    assert "k-hat is above" in large.warnings[1]


def test_too_few_temperatures_are_named():
    betas = torch.tensor([0.0, 1.0], dtype=DOUBLE)
    found = stepping_stone(values_at(betas, chains(2, 500, 4, 0)), betas)
    assert any("overlap" in each for each in found.warnings)
    fine = stepping_stone(values_at(quantiles(20), chains(20, 500, 4, 0)), quantiles(20))
    assert fine.warnings == ()


def test_zero_likelihoods_have_weight_zero():
    values = torch.full((4, 100, 4), math.log(2), dtype=DOUBLE)
    values[0, ::2] = -math.inf
    found = stepping_stone(values, quantiles(4))
    assert found.log_z == pytest.approx(0.0, abs=1e-12)
    assert found.diagnostics["minus_inf"] == 200


def test_nan_is_counted_and_does_not_spread():
    values = values_at(quantiles(6), chains(6, 50, 4, 0))
    values[2, 0, 0] = math.nan
    found = stepping_stone(values, quantiles(6))
    assert math.isfinite(found.log_z)
    assert found.diagnostics["nan"] == 1
    assert any("NaN" in each for each in found.warnings)


@pytest.mark.parametrize("method", [stepping_stone, generalized_stepping_stone])
@pytest.mark.parametrize(
    ("values", "betas", "message"),
    [
        (torch.zeros(3, 4), torch.linspace(0, 1, 3), "expected"),
        (torch.zeros(3, 1, 1), torch.linspace(0, 1, 3), "two draws"),
        (torch.zeros(3, 4, 1), torch.linspace(0, 1, 4), "do not fit"),
        (torch.zeros(3, 4, 1), torch.tensor([1.0, 0.5, 0.0]), "ascend"),
        (torch.full((3, 4, 1), -math.inf), torch.linspace(0, 1, 3), "-inf or NaN"),
        (torch.full((3, 4, 1), math.inf), torch.linspace(0, 1, 3), r"\+inf"),
    ],
)
def test_bad_input(method, values, betas, message):
    with pytest.raises(ValueError, match=message):
        method(values, betas)


@pytest.mark.parametrize("estimate", [generalized_stepping_stone, stepping_stone])
def test_lists_and_arrays_count_as_tensors(estimate):
    values, betas = [[[-0.7, 0.4]], [[0.1, 0.7]]], [0.0, 1.0]
    expected = estimate(torch.tensor(values, dtype=DOUBLE), torch.tensor(betas)).log_z
    assert estimate(values, betas).log_z == estimate(np.array(values), np.array(betas)).log_z == expected
    for bad in ([], "a", [[1.0], [1.0, 2.0]]):
        with pytest.raises(ValueError, match=r"expected \(temperatures|must be a tensor or an array"):
            estimate(bad, betas)
    with pytest.raises(ValueError, match="betas must be a tensor or an array"):
        estimate(values, "a")
