import math

import pytest
import torch
from torch.distributions import Normal

from jensen.evidence.lower_bounds import elbo

DOUBLE = torch.float64
INF = math.inf
EXACT = -1.8280121235  # log p(x) of z ~ N(0, 1), x ~ N(z, 1) at x = 1.5, whose posterior is N(0.75, 1/2)


def number(x):
    return torch.tensor(x, dtype=DOUBLE)


def log_weights(mean, scale, *, seed=0, N=1000):
    q = Normal(number(mean), number(scale))
    z = q.mean + q.stddev * torch.randn(N, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))
    zero, one = number(0.0), number(1.0)
    return Normal(z, one).log_prob(number(1.5)) + Normal(zero, one).log_prob(z) - q.log_prob(z)


def divergence(mean, scale):
    variance = 2 * scale**2
    return 0.5 * (variance + 2 * (mean - 0.75) ** 2 - 1 - math.log(variance))


def test_the_posterior_makes_the_bound_tight():
    found = elbo(log_weights(0.75, math.sqrt(0.5)))
    assert found.log_z == pytest.approx(EXACT, abs=1e-9)
    assert found.std_error < 1e-12
    assert found.diagnostics["gap"] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("mean", "scale"), [(0.4, 0.6), (1.0, 0.9), (0.0, 1.0)])
def test_the_error_is_that_of_the_bound_and_not_of_the_evidence(mean, scale):
    bound = EXACT - divergence(mean, scale)
    results = [elbo(log_weights(mean, scale, seed=seed, N=200)) for seed in range(300)]
    inside = [low <= bound <= high for low, high in (each.interval() for each in results)]
    assert 0.90 < sum(inside) / 300 < 0.99
    evidence = [low <= EXACT <= high for low, high in (each.interval() for each in results)]
    assert sum(evidence) < 100


def test_it_says_what_it_is():
    found = elbo(log_weights(0.4, 0.6))
    assert found.kind == "bound"
    assert found.method == "elbo"
    assert "none is known for its gap to log Z" in found.warnings[0]
    assert str(found).startswith("log Z ≥")


def test_the_gap_is_that_of_many_samples():
    found = elbo(log_weights(0.4, 0.6, N=100_000))
    assert found.diagnostics["gap"] == pytest.approx(divergence(0.4, 0.6), abs=0.02)
    assert found.diagnostics["iwae"] == pytest.approx(EXACT, abs=0.02)


def test_constant_weights():
    found = elbo(torch.full((10,), -3.0))
    assert (found.log_z, found.std_error) == (-3.0, 0.0)


@pytest.mark.parametrize("bad", [-INF, math.nan])
def test_one_weight_of_zero_takes_the_bound_away(bad):
    log_w = log_weights(0.4, 0.6)
    log_w[5] = bad
    found = elbo(log_w)
    assert found.log_z == -INF
    assert math.isnan(found.std_error)
    assert "-inf" in found.warnings[0]
    assert found.diagnostics["nan"] == (1 if math.isnan(bad) else 0)


def test_bad_input():
    for bad, says in (
        (torch.zeros(5, 4), r"\(N,\), got \(5, 4\)"),
        (torch.zeros(1), "fewer than two"),
        (torch.full((5,), -INF), "nothing has any weight"),
    ):
        with pytest.raises(ValueError, match=says):
            elbo(bad)
