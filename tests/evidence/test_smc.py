"""The reduction of independent runs to one evidence."""

import math

import pytest
import torch

from jensen.evidence.smc import genealogy_variance, smc

DOUBLE = torch.float64


def test_the_mean_is_taken_of_z_and_not_of_its_logarithm():
    found = smc(torch.tensor([[0.0, math.log(3.0)], [1.0, 1.0]], dtype=DOUBLE))
    assert found.log_z == pytest.approx(1.0 + math.log(2.0), abs=1e-12)


def test_identical_runs():
    found = smc(torch.zeros(3, 4, dtype=DOUBLE))
    assert (found.log_z, found.std_error) == (0.0, 0.0)


@pytest.mark.parametrize("R", [4, 8, 40])
def test_coverage_over_few_runs(R):
    """Lognormal Z of mean 1: of 2000 intervals of 95%, 93% to 97% hold it; without Student's factor fewer do."""
    generator = torch.Generator().manual_seed(R)
    each = 0.1 * torch.randn(2000, R, generator=generator, dtype=DOUBLE) - 0.005
    found = [smc(row.unsqueeze(0)) for row in each]
    covered = sum(abs(one.log_z) < 1.96 * one.std_error for one in found) / 2000
    assert 0.93 < covered < 0.97
    if R < 10:
        plain = each.exp().std(1) / each.exp().mean(1) / math.sqrt(R)
        assert float((each.exp().mean(1).log().abs() < 1.96 * plain).double().mean()) < 0.92


def test_the_genealogy_of_independent_weights():
    """One stage: N_b is N W_b rounded, and the relative variance of the mean weight is var(w) / (N mean(w)^2)."""
    generator = torch.Generator().manual_seed(0)
    w = (2 * torch.rand(100_000, generator=generator, dtype=DOUBLE)).exp()
    places = (torch.arange(100_000) + torch.rand(1, generator=generator)) / 100_000
    chosen = torch.searchsorted((w / w.sum()).cumsum(0), places.double()).clamp_max(99_999)
    found = float(genealogy_variance(chosen)) * 100_000
    exact = float(w.var() / w.mean().square())
    assert exact < found < exact + 0.25
    assert float(genealogy_variance(torch.arange(1000))) == pytest.approx(0.0, abs=1e-15)


def test_diagnostics_and_warnings():
    increments = torch.tensor([[-1.0, -1.1, -0.9, -1.0], [-2.0, 0.0, -2.1, -1.9]], dtype=DOUBLE)
    found = smc(
        increments,
        ancestors=torch.zeros(50, 4, dtype=torch.long),
        betas=torch.tensor([[0.0] * 4, [0.5] * 4, [1.0] * 4]),
        effective_sample_size=torch.tensor([[25.0] * 4, [5.0, 0.0, 30.0, 30.0]]),
        acceptance=torch.tensor([[0.8] * 4, [0.1, math.nan, 0.1, 0.1]]),
    )
    assert found.diagnostics["stages"] == 2
    assert found.diagnostics["effective_sample_size"] == (25.0, 5.0)
    assert found.diagnostics["families"] == 1
    words = " ".join(found.warnings)
    assert "5.0 effective" in words
    assert "0.10 only" in words
    assert "1 first ones" in words


def test_a_run_that_is_nan_has_weight_zero():
    found = smc(torch.tensor([[0.0, 0.0, 0.0, math.nan]], dtype=DOUBLE))
    assert found.log_z == pytest.approx(math.log(0.75))
    assert found.diagnostics["nan"] == 1
    assert "NaN" in found.warnings[0]


@pytest.mark.parametrize(
    ("increments", "message"),
    [
        (torch.zeros(3), "expected"),
        (torch.zeros(3, 1), "two runs"),
        (torch.full((2, 3), -math.inf), "at least one must be finite"),
        (torch.full((2, 3), math.inf), "at least one must be finite"),
    ],
)
def test_bad_input(increments, message):
    with pytest.raises(ValueError, match=message):
        smc(increments)


def test_ancestors_of_another_number_of_runs():
    with pytest.raises(ValueError, match="do not fit"):
        smc(torch.zeros(2, 4), ancestors=torch.zeros(10, 3, dtype=torch.long))
