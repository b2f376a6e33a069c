"""Harmonic means of likelihoods: exact where posterior draws are given in proportion, and honest where they fail."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from torch.testing import assert_close

from jensen.evidence.harmonic import harmonic, stabilized_harmonic

DOUBLE = torch.float64
PRIOR = (0.5, 0.3, 0.2)
LIKELIHOOD = (1.0, 2.0, 5.0)
Z = 2.1


def proportional():
    """Log-likelihoods of 21 draws with the posterior's own frequencies, 5 : 6 : 10."""
    return torch.tensor(LIKELIHOOD, dtype=DOUBLE).repeat_interleave(torch.tensor([5, 6, 10])).log()


def score(L, z, share):
    return float(((L - z) / (share * z + (1 - share) * L)).sum())


def one_step(L, z, share):
    """The right-hand side as it is printed, imaginary draws included."""
    imagined = share * len(L) / (1 - share)
    mixture = share * z + (1 - share) * L
    return float((imagined + (L / mixture).sum()) / (imagined / z + (1 / mixture).sum()))


def test_exact_for_draws_in_proportion():
    assert harmonic(proportional()).log_z == pytest.approx(math.log(Z), abs=1e-14)


def test_the_mean_of_the_likelihoods_is_something_else():
    twin = proportional().exp().mean().log().item()
    assert abs(twin - math.log(Z)) > 0.3


@pytest.mark.parametrize("estimate", [harmonic, stabilized_harmonic])
@pytest.mark.parametrize("level", [0.0, -1234.5, 800.0])
def test_a_constant_likelihood_is_its_own_evidence(estimate, level):
    assert estimate(torch.full((50, 4), level, dtype=DOUBLE)).log_z == pytest.approx(level, abs=1e-12)


@pytest.mark.parametrize("share", [1e-3, 0.01, 0.1, 0.5, 0.9])
def test_the_fixed_point_is_the_root_of_its_equation(share):
    L = proportional().exp()
    found = stabilized_harmonic(L.log(), share=share)
    root = brentq(lambda z: score(L, z, share), 1.0, 5.0, xtol=1e-14)
    assert found.log_z == pytest.approx(math.log(root), abs=2e-7)
    assert one_step(L, root, share) == pytest.approx(root, abs=1e-12)
    assert found.diagnostics["converged"] is True


@pytest.mark.parametrize("share", [1e-3, 0.01, 0.1])
def test_a_mixture_with_its_shares_exchanged_has_another_fixed_point(share):
    L = proportional().exp()
    twin = brentq(lambda z: score(L, z, 1 - share), 1.0, 5.0)
    assert abs(stabilized_harmonic(L.log(), share=share).log_z - math.log(twin)) > 0.1


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_real_prior_draws_would_give_the_evidence_and_imaginary_ones_give_more(share):
    """In the exact mixture of prior and posterior the score vanishes at Z; without the prior's part it is positive."""
    prior, L = torch.tensor(PRIOR, dtype=DOUBLE), torch.tensor(LIKELIHOOD, dtype=DOUBLE)
    term = (L - Z) / (share * Z + (1 - share) * L)
    of_posterior, of_prior = float((prior * L / Z * term).sum()), float((prior * term).sum())
    assert (1 - share) * of_posterior + share * of_prior == pytest.approx(0.0, abs=1e-15)
    assert of_prior < 0 < of_posterior
    assert stabilized_harmonic(proportional(), share=share).log_z > math.log(Z) + 1e-4


def test_a_vanishing_share_is_the_harmonic_mean():
    assert stabilized_harmonic(proportional(), share=1e-10).log_z == pytest.approx(math.log(Z), abs=1e-8)


@pytest.mark.parametrize("spread", [3.0, 30.0])
def test_the_iteration_arrives_where_it_is_slow(spread):
    log_L = spread * torch.randn(2000, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    found = stabilized_harmonic(log_L)

    def equation(log_z):
        ratio = (log_L - log_z).exp()
        return float(torch.where(ratio < math.inf, (ratio - 1) / (0.01 + 0.99 * ratio), 1 / 0.99).sum())

    root = brentq(equation, log_L.min().item(), log_L.max().item(), xtol=1e-12)
    assert found.log_z == pytest.approx(root, abs=1e-5)
    assert spread < 10 or 0.005 < (log_L < found.log_z).double().mean().item() < 0.02


def test_an_iteration_cut_short_says_so():
    found = stabilized_harmonic(proportional(), share=0.5, iterations=1)
    assert found.diagnostics["converged"] is False
    assert "still" in found.warnings[0]
    assert "after 1 iterations" in found.warnings[0]


def narrow_posterior(draws=4000, d=10):
    """Likelihood N(theta; 0, 0.01 I) at a prior N(0, I): exact log Z, and log-likelihoods of posterior draws."""
    variance = 0.01
    posterior = variance / (1 + variance)
    theta = math.sqrt(posterior) * torch.randn(draws, d, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    log_L = -theta.square().sum(-1) / (2 * variance) - d / 2 * math.log(2 * math.pi * variance)
    return log_L, -d / 2 * math.log(2 * math.pi * (1 + variance))


@pytest.mark.parametrize("estimate", [harmonic, stabilized_harmonic])
def test_a_narrow_posterior_is_far_off_and_says_so(estimate):
    log_L, exact = narrow_posterior()
    found = estimate(log_L)
    assert found.log_z - exact > 3
    assert math.isnan(found.std_error)
    assert found.diagnostics["pareto_k"] > 0.7
    assert any("infinite variance" in warning for warning in found.warnings)
    assert any("has not converged" in warning for warning in found.warnings)


def test_what_each_number_claims_to_be():
    assert harmonic(proportional()).kind == "estimate"
    assert stabilized_harmonic(proportional()).kind == "approximation"


@pytest.mark.parametrize("estimate", [harmonic, stabilized_harmonic])
def test_draws_that_say_nothing_are_counted_and_left_out(estimate):
    values = proportional()
    mixed = torch.cat([values, torch.tensor([math.nan, -math.inf, -math.inf], dtype=DOUBLE)])
    found = estimate(mixed)
    assert found.log_z == pytest.approx(estimate(values).log_z, abs=1e-12)
    assert (found.diagnostics["nan"], found.diagnostics["minus_inf"], found.diagnostics["draws"]) == (1, 2, 24)
    assert any("1 of 24 log-likelihoods are NaN" in warning for warning in found.warnings)
    assert any("2 of 24 log-likelihoods are -inf" in warning for warning in found.warnings)


def test_chains_are_draws():
    values = proportional()
    assert_close(harmonic(values.reshape(7, 3)).log_z, harmonic(values).log_z)


@pytest.mark.parametrize("estimate", [harmonic, stabilized_harmonic])
@pytest.mark.parametrize(
    ("values", "message"),
    [
        (torch.tensor([-1.0]), "1 of 1 posterior draws"),
        (torch.zeros(0), "0 of 0"),
        (torch.full((5,), -math.inf), "0 of 5"),
        (torch.full((5, 2), math.nan), "0 of 10"),
        (torch.tensor([0.0, math.inf, 0.0]), r"\+inf at 1 of 3"),
        (torch.zeros(2, 2, 2), r"got \(2, 2, 2\)"),
        (torch.zeros(4, dtype=torch.long), "real numbers"),
    ],
)
def test_bad_input_is_refused(estimate, values, message):
    with pytest.raises(ValueError, match=message):
        estimate(values)


@pytest.mark.parametrize("setting", [{"share": 0.0}, {"share": 1.0}, {"tolerance": 0.0}, {"iterations": 0}])
def test_bad_settings_are_refused(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        stabilized_harmonic(proportional(), **setting)


@pytest.mark.parametrize("estimate", [harmonic, stabilized_harmonic])
def test_lists_and_arrays_count_as_tensors(estimate):
    values = [-3000.125, -2999.7, -3001.3]
    expected = estimate(torch.tensor(values, dtype=DOUBLE)).log_z
    assert estimate(values).log_z == estimate(np.array(values)).log_z == expected
    with pytest.raises(ValueError, match="log_likelihood must be a tensor or an array of numbers, got str"):
        estimate("a")
