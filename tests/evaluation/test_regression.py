"""Transforms of calibrated forecasts are uniform, intervals hold what they claim, and twins fail the same checks."""

import math
from itertools import permutations

import numpy as np
import pytest
import torch
from scipy import stats

from jensen.evaluation import (
    interval_calibration,
    interval_coverage,
    interval_score,
    pit_of_draws,
    pit_of_normals,
    regression_errors,
)

DOUBLE = torch.float64


@pytest.fixture
def forecasts():
    """Means, scales and targets of a calibrated heteroscedastic forecaster."""
    generator = torch.Generator().manual_seed(2)
    mean, noise = torch.randn(2, 4000, dtype=DOUBLE, generator=generator)
    scale = 0.1 + 2 * torch.rand(4000, dtype=DOUBLE, generator=generator)
    return mean, scale, mean + scale * noise


def test_errors_by_hand():
    found = regression_errors([1.0, 2.0, 5.0], [1.0, 4.0, 4.0])
    assert found.rmse == pytest.approx(math.sqrt(5 / 3))
    assert found.mae == pytest.approx(1.0)
    assert found.mae_std_error == pytest.approx(1 / math.sqrt(3))
    assert found.rmse_std_error == pytest.approx(np.std([0, 4, 1], ddof=1) / math.sqrt(3) / 2 / math.sqrt(5 / 3))
    perfect = regression_errors([1.0, 2.0], [1.0, 2.0])
    assert (perfect.rmse, perfect.rmse_std_error) == (0.0, 0.0)


def test_the_error_of_the_root_mean_square_is_the_spread_over_test_sets():
    draws = torch.randn(2000, 200, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    found = [regression_errors(each, torch.zeros(200)) for each in draws]
    spread = np.std([each.rmse for each in found])
    assert np.mean([each.rmse_std_error for each in found]) == pytest.approx(spread, rel=0.05)


def test_the_transform_is_the_distribution_function():
    mean, scale, y = [0.0, 1.0, -2.0], [1.0, 0.5, 3.0], [0.3, 1.0, -9.0]
    found = pit_of_normals(mean, scale, y).numpy()
    np.testing.assert_allclose(found, stats.norm(mean, scale).cdf(y), rtol=1e-13)
    other = ([0.5, 0.0, -1.0], [2.0, 1.0, 1.0])
    mixture = pit_of_normals([mean, other[0]], [scale, other[1]], y)
    np.testing.assert_allclose(mixture, 0.5 * (found + stats.norm(*other).cdf(y)), rtol=1e-13)
    shared = pit_of_normals([mean, other[0]], scale, y)
    np.testing.assert_allclose(shared, 0.5 * (found + stats.norm(other[0], scale).cdf(y)), rtol=1e-13)


def test_the_rank_among_draws_is_uniform():
    """Every order of four equally likely numbers: the target's transform takes each of four values six times."""
    orders = torch.tensor(list(permutations(range(4))), dtype=DOUBLE).T  # (4, 24)
    found = pit_of_draws(orders[1:], orders[0])
    values, counts = found.unique(return_counts=True)
    assert values.tolist() == [0.125, 0.375, 0.625, 0.875]
    assert counts.tolist() == [6, 6, 6, 6]
    assert pit_of_draws([[1.0], [1.0], [1.0]], [1.0]).item() == 0.5


def test_many_draws_give_the_distribution_function(forecasts):
    mean, scale, y = (each[:50] for each in forecasts)
    draws = mean + scale * torch.randn(20_000, 50, dtype=DOUBLE, generator=torch.Generator().manual_seed(3))
    difference = pit_of_draws(draws, y) - pit_of_normals(mean, scale, y)
    assert difference.abs().max() < 4.56 * 0.5 / math.sqrt(20_000)


def test_calibrated_forecasts_pass_and_others_fail(forecasts):
    """Kolmogorov's distance at the level of 1e-5, every coverage at |z| < 4.56."""
    mean, scale, y = forecasts
    found = interval_calibration(pit_of_normals(mean, scale, y))
    assert found.p_value > 1e-5
    assert all(abs(row.z) < 4.56 for row in found.rows)
    assert [row.level for row in found.rows] == [0.5, 0.8, 0.9, 0.95]
    assert found.mean_error < 0.02
    twins = {
        "variance for scale": pit_of_normals(mean, scale**2, y),
        "half the scale": pit_of_normals(mean, scale / 2, y),
        "a shift": pit_of_normals(mean + 0.5, scale, y),
        "one scale for all": pit_of_normals(mean, torch.full_like(scale, scale.square().mean().sqrt()), y),
    }
    assert all(interval_calibration(pit).p_value < 1e-5 for pit in twins.values())
    narrow = interval_calibration(twins["half the scale"])
    assert all(row.z < -4.56 for row in narrow.rows)
    assert narrow.mean_error > 0.1


def test_coverage_of_given_intervals(forecasts):
    mean, scale, y = forecasts
    half = stats.norm.ppf(0.95)
    found = interval_coverage(mean - half * scale, mean + half * scale, y, level=0.9)
    by_transform = interval_calibration(pit_of_normals(mean, scale, y), levels=(0.9,)).rows[0]
    assert found == by_transform
    assert interval_coverage([0.0, 0.0], [1.0, 1.0], [0.0, 1.0], level=0.5).covered == 1.0


def test_the_interval_score_is_least_for_the_true_interval():
    """In expectation under a standard normal, on 20 000 quantiles: wider, narrower and shifted intervals lose."""
    y = stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)

    def expected(lower, upper):
        return interval_score(np.full_like(y, lower), np.full_like(y, upper), y, level=0.8).value

    end = stats.norm.ppf(0.9)
    best = expected(-end, end)
    closed = 2 / 0.1 * stats.norm.pdf(end)
    assert best == pytest.approx(closed, rel=1e-3)
    for lower, upper in ((-1.2 * end, 1.2 * end), (-0.8 * end, 0.8 * end), (-end + 0.3, end + 0.3)):
        assert expected(lower, upper) > best + 0.02


def test_bad_input_is_refused():
    bad = [
        (lambda: regression_errors([1.0], [1.0, 2.0]), "predictions 1, targets 2"),
        (lambda: regression_errors([[1.0]], [1.0]), r"\(1, 1\)"),
        (lambda: regression_errors([math.inf], [1.0]), "not finite"),
        (lambda: pit_of_normals([[0.0], [0.0]], [1.0, 1.0], [0.0, 0.0]), r"mean has shape \(2, 1\)"),
        (lambda: pit_of_normals([0.0, 0.0], [1.0], [0.0, 0.0]), "scale has shape"),
        (lambda: pit_of_normals(np.zeros((3, 2)), np.ones((2, 2)), [0.0, 0.0]), "3 rows and scale 2"),
        (lambda: pit_of_normals([0.0], [0.0], [0.0]), "must be positive"),
        (lambda: pit_of_draws([0.0], [0.0]), r"expected \(K, 1\)"),
        (lambda: pit_of_draws([[0.0, 1.0]], [0.0]), r"expected \(K, 1\)"),
        (lambda: interval_calibration([0.5, 1.5]), "between 0 and 1"),
        (lambda: interval_calibration([0.5], levels=()), "levels is empty"),
        (lambda: interval_calibration([0.5], levels=(1.0,)), "level is 1"),
        (lambda: interval_coverage([1.0], [0.0], [0.5], level=0.9), "swapped"),
        (lambda: interval_coverage([0.0], [1.0], [0.5], level=0.0), "level is 0"),
        (lambda: interval_score([0.0], [1.0], [0.5], level=1.0), "level is 1"),
        (lambda: interval_score([], [], [], level=0.9), "empty"),
    ]
    for call, message in bad:
        with pytest.raises(ValueError, match=message):
            call()
