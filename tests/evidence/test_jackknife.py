"""The jackknife as an estimate: z ~ N(0, 1), x | z ~ N(z, 1), x = 1.5, and an imperfect Gaussian q(z | x)."""

import functools
import itertools
import math

import numpy as np
import pytest
import torch
from torch.distributions import Normal
from torch.testing import assert_close

from jensen import bounds
from jensen.bounds.expansions import jackknife_bias
from jensen.datasets.synthetic import LinearGaussianWorld
from jensen.evidence.jackknife import jackknife

DOUBLE = torch.float64
LOG_P = -(1.5**2) / 4 - math.log(4 * math.pi) / 2
Q = Normal(torch.tensor(0.0, dtype=DOUBLE), 1.0)
STANDARD = Normal(torch.tensor(0.0, dtype=DOUBLE), 1.0)


def log_weight(z):
    return STANDARD.log_prob(z) + STANDARD.log_prob(1.5 - z) - Q.log_prob(z)


def drawn(K, R, *, seed=0):
    noise = torch.randn(K, R, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)
    return log_weight(Q.mean + Q.stddev * noise)


def nodes():
    """Log-weights at the nodes of a quadrature over q, and their mass."""
    points, mass = (torch.from_numpy(each) for each in np.polynomial.hermite_e.hermegauss(120))
    return log_weight(Q.mean + Q.stddev * points), mass / mass.sum()


@functools.cache
def bias_of_iwae(K):
    r"""Exact for any K: $\log s = \int_0^\infty (e^{-t} - e^{-ts}) dt / t$, and a sum has a power of one transform."""
    log_w, mass = nodes()
    u = torch.arange(-60, 40, 0.01, dtype=DOUBLE)
    t = u.exp() / K
    transform = (mass * torch.exp(-t[:, None] * (log_w - LOG_P).exp())).sum(-1)
    return 0.01 * float((torch.exp(-u.exp()) - transform**K).sum())


def bias_of_jackknife(K, order):
    shares = [(-1) ** j * (K - j) ** order / (math.factorial(j) * math.factorial(order - j)) for j in range(order + 1)]
    return math.fsum(share * bias_of_iwae(K - j) for j, share in enumerate(shares))


def moments(highest):
    log_w, mass = nodes()
    return torch.stack([(mass * ((log_w - LOG_P).exp() - 1) ** n).sum() for n in range(2, highest + 1)])


def score(found, bias):
    return (found.log_z - LOG_P - bias) / found.std_error


def test_the_world_and_the_quadrature_agree():
    world = LinearGaussianWorld(torch.ones(1, 1, dtype=DOUBLE), torch.zeros(1, dtype=DOUBLE), 1.0)
    assert pytest.approx(-1.8280121235, abs=1e-10) == LOG_P
    assert world.log_prob(torch.tensor([[1.5]], dtype=DOUBLE)).item() == pytest.approx(LOG_P, abs=1e-10)
    log_w, mass = nodes()
    assert torch.logsumexp(log_w + mass.log(), 0).item() == pytest.approx(LOG_P, abs=1e-10)
    assert bias_of_iwae(1) == pytest.approx(float((mass * log_w).sum()) - LOG_P, abs=1e-9)


@pytest.mark.parametrize("order", range(4))
def test_the_bias_is_of_order_m_plus_one(order):
    """The power of 1/K that it falls with from 32 to 64 samples; order 4 is below the quadrature's rounding there."""
    found = math.log2(bias_of_jackknife(32, order) / bias_of_jackknife(64, order))
    assert found == pytest.approx(order + 1, abs=0.25)


@pytest.mark.parametrize(("K", "factor"), [(16, 3), (32, 10)])
def test_each_order_lessens_the_bias(K, factor):
    biases = [abs(bias_of_jackknife(K, order)) for order in range(5)]
    assert all(later < earlier / factor for earlier, later in itertools.pairwise(biases))


@pytest.mark.parametrize(("order", "K"), [(0, 8), (0, 64), (1, 16), (1, 64), (2, 16), (2, 64), (3, 32), (3, 64)])
def test_the_bias_is_the_predicted_one(order, K):
    predicted = jackknife_bias(moments(9), K, order=order, terms=4).item()
    assert bias_of_jackknife(K, order) == pytest.approx(predicted, rel=0.05)


SETTINGS = [(K, order) for K in (6, 8, 16, 32) for order in range(5) if math.comb(K, order) < 5000]


@pytest.mark.parametrize(("K", "order"), SETTINGS)
def test_the_measured_bias_is_the_exact_one(K, order):
    R = min(20_000, 1_500_000 // (K * math.comb(K, max(order - 1, 0))))
    assert abs(score(jackknife(drawn(K, R, seed=K), order=order), bias_of_jackknife(K, order))) < 4.56


@pytest.mark.parametrize(("K", "order"), [(6, 0), (6, 1), (16, 0), (32, 0)])
def test_the_bias_of_another_order_is_told_from_it(K, order):
    found = jackknife(drawn(K, 40_000, seed=K), order=order)
    assert abs(score(found, bias_of_jackknife(K, order + 1))) > 4.56


def test_the_interval_covers_what_the_estimate_tends_to():
    found = [jackknife(drawn(8, 100, seed=seed)) for seed in range(200)]
    scores = torch.tensor([score(each, bias_of_jackknife(8, 1)) for each in found])
    assert int((scores.abs() < 1.96).sum()) >= 176
    as_of_one_draw = scores * math.sqrt(100 / 800)
    assert float(as_of_one_draw.std()) < 0.5


def test_it_is_the_mean_of_the_bound_over_replicates():
    log_w = drawn(12, 7)
    for order in range(4):
        estimates = bounds.jackknife(log_w, order=order)
        found = jackknife(log_w, order=order)
        assert found.log_z == pytest.approx(estimates.mean().item(), abs=1e-14)
        assert found.std_error == pytest.approx(estimates.std().item() / math.sqrt(7), abs=1e-14)
        assert found.diagnostics["iwae"] == pytest.approx(bounds.iwae(log_w).mean().item(), abs=1e-14)


@pytest.mark.parametrize("level", [0.0, -750.25])
def test_constant_weights_are_the_evidence(level):
    found = jackknife(torch.full((6, 5), level, dtype=DOUBLE), order=2)
    assert found.log_z == pytest.approx(level, abs=1e-11)
    assert found.std_error == pytest.approx(0.0, abs=1e-11)


def test_it_says_that_it_is_no_bound():
    found = jackknife(drawn(20, 50), order=2)
    assert found.kind == "estimate"
    assert found.diagnostics["bias"] == "O(K^-3), of either sign: no bound"
    assert found.warnings == ()
    assert "below zero: a bound" in jackknife(drawn(20, 50), order=0).diagnostics["bias"]


def test_a_single_replicate_has_no_error():
    found = jackknife(drawn(50, 1)[:, 0])
    assert math.isnan(found.std_error)
    assert "no spread" in found.warnings[0]
    assert found.log_z == bounds.jackknife(drawn(50, 1)[:, 0]).item()


def test_heavy_tails_are_warned_of():
    heavy = 4 * torch.randn(20, 200, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    assert "Pareto tail index" in jackknife(heavy).warnings[0]


def test_nan_is_a_weight_of_zero_and_counted():
    log_w = drawn(20, 50)
    log_w[0, :3] = -math.inf
    zero = jackknife(log_w)
    log_w[0, 0] = math.nan
    found = jackknife(log_w)
    assert_close(found.log_z, zero.log_z)
    assert (found.diagnostics["nan"], found.diagnostics["minus_inf"]) == (1, 2)
    assert "1 of 1000 log-weights are NaN" in found.warnings[-1]


INF = math.inf


@pytest.mark.parametrize(
    ("log_w", "order", "message"),
    [
        (torch.tensor([1.0]), 0, r"two draws at least, got \(1,\)"),
        (torch.zeros(3, 2, 2), 1, r"got \(3, 2, 2\)"),
        (torch.zeros(3, 2, dtype=torch.long), 1, "two draws at least"),
        (torch.tensor([[0.0, INF], [0.0, 0.0]]), 1, r"\+inf at 1 of 4"),
        (torch.full((4, 3), -INF), 1, "3 of 3 replicates have no more than 1 positive weights"),
        (torch.tensor([[0.0, 0.0], [0.0, -INF], [0.0, -INF]]), 1, "1 of 2 replicates"),
        (torch.zeros(3, 2), 3, "order 3 needs"),
        (torch.zeros(3, 2), -1, "order -1 needs"),
    ],
)
def test_bad_input_is_refused(log_w, order, message):
    with pytest.raises(ValueError, match=message):
        jackknife(log_w, order=order)
