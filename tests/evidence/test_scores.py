import math

import pytest
import torch
from torch.distributions import Normal
from torch.testing import assert_close

from jensen.evidence.scores import (
    conditional_predictive_ordinates,
    maximum_a_posteriori,
    maximum_likelihood,
    pointwise_predictive_density,
)

DOUBLE = torch.float64
INF = math.inf
Y = torch.tensor([0.5, 1.5, 2.0, -0.3], dtype=DOUBLE)  # N(mu, 1), mu ~ N(0, 100)
SCORES = (conditional_predictive_ordinates, pointwise_predictive_density)


def number(x):
    return torch.tensor(x, dtype=DOUBLE)


def predictive(seen, y):
    """log p(y | seen) in closed form."""
    precision = 0.01 + len(seen)
    return Normal(number(float(seen.sum())) / precision, number(math.sqrt(1 + 1 / precision))).log_prob(y).item()


LPML = sum(predictive(torch.cat([Y[:m], Y[m + 1 :]]), Y[m]) for m in range(4))
LPPD = sum(predictive(Y, y) for y in Y)


def chains(seed, S=300, C=4, rho=0.0, replications=()):
    """Pointwise log-likelihoods along chains of the posterior N(3.7 / 4.01, 1 / 4.01)."""
    x = torch.randn(S, C, *replications, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))
    for t in range(1, S):
        x[t] = rho * x[t - 1] + math.sqrt(1 - rho**2) * x[t]
    mu = (Y.sum() + math.sqrt(4.01) * x) / 4.01
    return Normal(mu[..., None], number(1.0)).log_prob(Y)


@pytest.mark.parametrize(("score", "exact"), [(SCORES[0], LPML), (SCORES[1], LPPD)])
@pytest.mark.parametrize("rho", [0.0, 0.8])
def test_the_closed_form_is_covered(score, exact, rho):
    results = [score(each) for each in chains(0, S=150, rho=rho, replications=(200,)).unbind(2)]
    inside = [low <= exact <= high for low, high in (each.interval() for each in results)]
    assert 0.88 < sum(inside) / 200 < 0.99
    found = torch.tensor([each.log_z for each in results])
    assert abs(found.mean() - (LPML if exact is LPPD else LPPD)) > 10 * found.std() / math.sqrt(200)


@pytest.mark.parametrize("score", SCORES)
def test_observations_share_their_draws(score):
    pointwise = chains(0)
    once = score(pointwise)
    twice = score(torch.cat([pointwise, pointwise], -1))
    assert twice.std_error == pytest.approx(2 * once.std_error, rel=1e-9)  # and not the root of two times
    assert twice.log_z == pytest.approx(2 * once.log_z, rel=1e-12)


@pytest.mark.parametrize("score", SCORES)
def test_counts_are_repetitions(score):
    pointwise = chains(0)
    counted = score(pointwise, counts=torch.tensor([3, 1, 0, 2]))
    written = score(pointwise[..., [0, 0, 0, 1, 3, 3]])
    assert counted.log_z == pytest.approx(written.log_z, rel=1e-12)
    assert counted.std_error == pytest.approx(written.std_error, rel=1e-9)


def test_by_hand():
    pointwise = chains(0, S=50, C=2)
    p = pointwise.flatten(0, 1).exp()
    assert SCORES[0](pointwise).log_z == pytest.approx(-(1 / p).mean(0).log().sum().item(), rel=1e-12)
    assert SCORES[1](pointwise).log_z == pytest.approx(p.mean(0).log().sum().item(), rel=1e-12)
    assert SCORES[0](pointwise).log_z < SCORES[1](pointwise).log_z


def test_the_wrong_mean_is_caught():
    results = torch.tensor([conditional_predictive_ordinates(chains(seed)).log_z for seed in range(20)])
    twin = torch.tensor([chains(seed).mean((0, 1)).sum() for seed in range(20)])  # the mean of the logarithms
    assert abs(results.mean() - LPML) < 4.56 * results.std() / math.sqrt(20)
    assert abs(twin.mean() - LPML) > 10 * twin.std() / math.sqrt(20)


@pytest.mark.parametrize("score", SCORES)
def test_draws_alone_are_one_chain(score):
    pointwise = chains(0, C=1)
    assert score(pointwise[:, 0]) == score(pointwise)
    assert score(pointwise).kind == "score"
    assert str(score(pointwise)).startswith("score")


def test_heavy_tails_are_counted_and_named():
    pointwise = chains(0)
    generator = torch.Generator().manual_seed(0)
    pointwise[..., 2] = 1.5 * torch.rand(300, 4, dtype=DOUBLE, generator=generator).log()
    found = conditional_predictive_ordinates(pointwise)
    assert found.diagnostics["pareto_k_above"] == 1
    assert found.diagnostics["pareto_k"] > 1
    assert "for 1 of 4 observations, first for observation 2" in found.warnings[0]
    assert pointwise_predictive_density(pointwise).warnings == ()
    assert conditional_predictive_ordinates(chains(0)).warnings == ()


@pytest.mark.parametrize("score", SCORES)
def test_nan_is_left_out_and_counted(score):
    pointwise = chains(0)
    clean = score(pointwise)
    pointwise[7, 1, 2] = math.nan
    found = score(pointwise)
    assert found.diagnostics["nan"] == 1
    assert found.log_z == pytest.approx(clean.log_z, abs=3e-3)
    assert found.std_error == pytest.approx(clean.std_error, rel=0.05)
    assert "1 log-likelihoods are NaN" in found.warnings[-1]


def test_a_draw_without_likelihood():
    pointwise = chains(0)
    pointwise[3, 0, 1] = -INF
    found = conditional_predictive_ordinates(pointwise)
    assert found.log_z == -INF
    assert math.isnan(found.std_error)
    assert "-inf" in found.warnings[0]
    assert found.diagnostics["minus_inf"] == 1
    assert math.isfinite(pointwise_predictive_density(pointwise).log_z)
    assert math.isfinite(conditional_predictive_ordinates(pointwise, counts=torch.tensor([1, 0, 1, 1])).log_z)


def test_too_few_draws_have_a_value_and_no_error():
    found = pointwise_predictive_density(chains(0, S=3))
    assert math.isnan(found.std_error)
    assert any("Fewer than four draws" in sentence for sentence in found.warnings)


@pytest.mark.parametrize("score", SCORES)
def test_bad_input(score):
    good = chains(0, S=10)
    inf, nan = good.clone(), good.clone()
    inf[0, 0, 3], nan[..., 1] = INF, math.nan
    for bad, says in (
        (torch.zeros(10), r"\(S, C, M\)"),
        (torch.zeros(0, 4, 3), r"\(0, 4, 3\)"),
        (torch.zeros(1, 3), "one draw"),
        (inf, "observation 3 is inf"),
        (nan, "observation 1 is all NaN"),
    ):
        with pytest.raises(ValueError, match=says):
            score(bad)
    for counts in (torch.ones(3), -torch.ones(4)):
        with pytest.raises(ValueError, match="counts must be 4"):
            score(good, counts=counts)


@pytest.mark.parametrize(("peak", "name"), [(maximum_likelihood, "ml"), (maximum_a_posteriori, "map")])
def test_peaks_are_scores(peak, name):
    found = peak(-1709.2836)
    assert (found.log_z, found.std_error, found.method, found.kind) == (-1709.2836, 0.0, name, "score")
    for bad in (math.nan, INF, -INF):
        with pytest.raises(ValueError, match="must be finite"):
            peak(bad)


def test_the_closed_forms_are_what_they_should_be():
    """The leave-one-out predictive is the ratio of two evidences."""

    def log_z(y):
        covariance = torch.eye(len(y), dtype=DOUBLE) + 100
        zero = torch.zeros(len(y), dtype=DOUBLE)
        return torch.distributions.MultivariateNormal(zero, covariance).log_prob(y)

    ratios = sum(log_z(Y) - log_z(torch.cat([Y[:m], Y[m + 1 :]])) for m in range(4))
    assert_close(ratios, number(LPML), rtol=1e-10, atol=0)
