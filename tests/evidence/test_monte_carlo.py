import math

import pytest
import torch
from torch.distributions import Binomial, Normal

from jensen.evidence.importance import importance
from jensen.evidence.monte_carlo import naive

DOUBLE = torch.float64
INF = math.inf
EXACT = -math.log(11)  # two of ten, rate uniform
Y = torch.tensor([0.5, 1.5, 2.0, -0.3], dtype=DOUBLE)
NORMAL = -8.2607523023  # of Y ~ N(mu, 1), mu ~ N(0, 100)


def binomial(rate):
    return Binomial(10, rate).log_prob(torch.tensor(2.0, dtype=DOUBLE))


def uniform(shape, seed):
    return torch.rand(shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))


def normal_joint(mu):
    likelihood = Normal(mu, 1.0).log_prob(Y[:, None]).sum(0)
    return likelihood + Normal(torch.zeros_like(mu), 10.0).log_prob(mu)


def normal_weights(seed, N, scale):
    """Draws around the posterior N(3.7 / 4.01, 1 / 4.01), `scale` times as wide, with their log-weights."""
    centre, width = 3.7 / 4.01, scale / math.sqrt(4.01)
    noise = torch.randn(N, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))
    mu = centre + width * noise
    return normal_joint(mu) - Normal(torch.full_like(mu, centre), width).log_prob(mu)


def coverage(results, exact):
    inside = [low <= exact <= high for low, high in (each.interval() for each in results)]
    return sum(inside) / len(inside)


def test_the_mean_likelihood_over_an_even_grid():
    rate = (torch.arange(100_000, dtype=DOUBLE) + 0.5) / 100_000
    assert naive(binomial(rate)).log_z == pytest.approx(EXACT, abs=1e-9)


def test_naive_is_covered_by_its_error():
    results = [naive(binomial(uniform(500, seed))) for seed in range(300)]
    assert 0.90 < coverage(results, EXACT) < 0.99
    z = torch.tensor([(math.exp(each.log_z - EXACT) - 1) for each in results], dtype=DOUBLE)
    assert abs(z.mean()) < 4.56 * z.std() / math.sqrt(300)  # unbiased for Z
    assert all(each.warnings == () for each in results)

    def of_the_draws_alone(each):
        return type(each)(each.log_z, each.std_error / math.sqrt(10))

    assert coverage([of_the_draws_alone(each) for each in results], EXACT) < 0.6


def test_the_mean_of_logarithms_is_caught():
    twin = [binomial(uniform(500, seed)).mean().item() for seed in range(5)]
    assert all(abs(each - EXACT) > 1 for each in twin)


@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize("scale", [1.5, 0.9])
def test_importance_is_covered_by_its_error(scale, smooth):
    results = [importance(normal_weights(seed, 1000, scale), smooth=smooth) for seed in range(300)]
    assert 0.89 < coverage(results, NORMAL) < 0.99


def test_the_posterior_itself_gives_the_evidence_exactly():
    found = importance(normal_weights(0, 50, 1.0))
    assert found.log_z == pytest.approx(NORMAL, abs=1e-9)
    assert found.std_error < 1e-9


def test_a_density_that_is_too_narrow_is_named():
    found = importance(normal_weights(0, 10_000, 0.25))
    assert found.diagnostics["pareto_k"] > 0.7
    assert "heavy" in found.warnings[0]
    wide = importance(normal_weights(0, 10_000, 1.5))
    assert wide.warnings == ()
    assert wide.diagnostics["pareto_k"] < 0.5


def test_no_error_without_a_mean():
    k = 1.5
    log_w = -k * uniform(5000, 0).log()
    found = importance(log_w)
    assert found.diagnostics["pareto_k"] > 1
    assert math.isnan(found.std_error)
    assert "no number of draws" in found.warnings[0]


def skewed_weights(seed, share):
    """1 + share * x with lognormal x of mean one and sigma 3: their tail has one shape whatever the share."""
    x = torch.randn(10_000, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed)).mul(3).sub(4.5).exp()
    return torch.log1p(share * x)


@pytest.mark.parametrize("smooth", [False, True])
def test_only_a_heavy_tail_that_matters_is_warned_of(smooth):
    even = [importance(skewed_weights(seed, 1e-4), smooth=smooth) for seed in range(100)]
    assert all(each.diagnostics["pareto_k"] > 0.7 and each.warnings == () for each in even)
    assert all(abs(each.log_z - math.log1p(1e-4)) < 1e-3 for each in even)
    z = torch.tensor([(each.log_z - math.log1p(1e-4)) / each.std_error for each in even])
    assert z.abs().median() < 1.5
    hurt = [importance(skewed_weights(seed, 1.0), smooth=smooth) for seed in range(100)]
    assert all(each.diagnostics["pareto_k"] > 0.7 and "heavy" in each.warnings[0] for each in hurt)
    assert max(abs(each.log_z - math.log(2)) for each in hurt) > 0.1


def test_both_values_are_kept():
    log_w = normal_weights(0, 1000, 0.7)
    raw, smooth = importance(log_w), importance(log_w, smooth=True)
    assert raw.diagnostics == smooth.diagnostics
    assert raw.log_z == raw.diagnostics["raw_log_z"] == pytest.approx(log_w.exp().mean().log().item(), abs=1e-10)
    assert smooth.log_z == raw.diagnostics["smoothed_log_z"] != raw.log_z
    assert raw.diagnostics["draws"] == 1000


def test_smoothing_helps_where_the_tail_is_heavy():
    raw, smooth = (
        torch.tensor([importance(normal_weights(seed, 500, 0.6), smooth=each).log_z for seed in range(200)]) - NORMAL
        for each in (False, True)
    )
    assert smooth.square().mean() < 0.9 * raw.square().mean()


def test_autocorrelated_draws_of_the_prior_are_chains():
    x = torch.randn(200, 400, 4, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    for t in range(1, 400):
        x[:, t] = 0.9 * x[:, t - 1] + math.sqrt(1 - 0.81) * x[:, t]
    chains = binomial(torch.special.ndtr(x))
    assert 0.88 < coverage([naive(each) for each in chains], EXACT) < 0.99
    assert coverage([naive(each.flatten()) for each in chains], EXACT) < 0.75


def test_a_constant_likelihood_has_evidence_zero():
    found = naive(torch.zeros(100))
    assert (found.log_z, found.std_error, found.warnings) == (0.0, 0.0, ())
    assert found.method == "naive"
    assert importance(torch.zeros(50, 4), method="variational_importance").method == "variational_importance"


def test_a_constant_factor_is_a_shift():
    log_likelihood = binomial(uniform(500, 0))
    base, far = naive(log_likelihood), naive(log_likelihood - 1e5)
    assert far.log_z == pytest.approx(base.log_z - 1e5, abs=1e-9)
    assert far.std_error == pytest.approx(base.std_error, rel=1e-9)


def test_likelihoods_of_zero_count_as_draws():
    rate = uniform(2000, 0)
    log_likelihood = torch.where(rate < 0.5, torch.tensor(0.0, dtype=DOUBLE), -INF)
    found = naive(log_likelihood)
    assert found.diagnostics["minus_inf"] == (rate >= 0.5).sum()
    assert abs(math.exp(found.log_z) - 0.5) < 4.56 * 0.5 / math.sqrt(2000)
    assert found.std_error == pytest.approx(1 / math.sqrt(2000), rel=0.1)


def test_nan_is_counted_and_not_spread():
    log_likelihood = binomial(uniform(500, 0))
    log_likelihood[3] = math.nan
    found = naive(log_likelihood)
    assert found.diagnostics["nan"] == 1
    assert "1 of 500" in found.warnings[-1]
    log_likelihood[3] = -INF
    assert found.log_z == naive(log_likelihood).log_z


def test_a_prior_that_never_meets_the_posterior_is_named():
    rate = uniform(1000, 0)
    found = naive(100_000 * binomial(rate))
    assert found.warnings
    assert found.diagnostics["effective_sample_size"] < 10


@pytest.mark.parametrize("function", [naive, importance])
def test_bad_input(function):
    for bad, says in (
        (torch.zeros(1), "fewer than two"),
        (torch.zeros(0), "fewer than two"),
        (torch.full((9,), -INF), "nothing has any weight"),
        (torch.tensor([0.0, INF]), "inf at draw 1"),
        (torch.zeros(3, 4, 5), r"\(S, C\), got \(3, 4, 5\)"),
    ):
        with pytest.raises(ValueError, match=says):
            function(bad)
