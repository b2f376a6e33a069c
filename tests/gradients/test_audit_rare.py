"""The audit keeps its promise where rare values decide: no false alarm, and it says what it could not see."""

import math

import pytest
import torch
from torch.distributions import Independent, OneHotCategorical

from jensen.gradients.audit import audit
from jensen.gradients.audit.rare import spread

DOUBLE = torch.float64
R = 20_000
UNBIASED = ["score_function", "leave_one_out", "measure_valued", "unordered_set", "muprop", "rebar"]
PEAKED = {
    "rare": (0.9, 0.0999, 1e-4, 1e-9),
    "one seen": (1 - 1e-3 - 1e-6 - 1e-9, 1e-3, 1e-6, 1e-9),
    "unseen": (1 - 1.2e-4, 1e-4, 1e-5, 1e-5),
}


def own_cost_in_the_baseline(f, q, *, samples):
    z = q.sample((samples,))
    cost = f(z)
    score = ((cost - cost.mean(0)) * q.log_prob(z)).mean(0)
    return cost.mean(0) + score - score.detach()


def alarms(problem, seeds, **options):
    found = [audit(*problem(seed), methods=UNBIASED, seed=seed, **options) for seed in range(seeds)]
    return sum(not all(row.passed for row in each.rows) for each in found)


def peaked(case, name):
    return lambda seed: (case.f, case.q(torch.tensor(PEAKED[name], dtype=DOUBLE).log().requires_grad_()))


def eight_of_five(seed):
    g = torch.Generator().manual_seed(seed)
    logits = (6 * torch.randn(8, 5, dtype=DOUBLE, generator=g)).requires_grad_()
    A, b = torch.randn(40, 40, dtype=DOUBLE, generator=g), 3 * torch.randn(40, dtype=DOUBLE, generator=g)
    return lambda z: ((z.flatten(-2) @ A + b) * z.flatten(-2)).sum(-1), Independent(OneHotCategorical(logits=logits), 1)


@pytest.fixture
def plain_z_scores(monkeypatch):
    """The twin of the audit that trusts the sample variance."""
    monkeypatch.setitem(spread.__globals__, "RARE", 0.0)


@pytest.mark.parametrize("name", PEAKED)
def test_rare_values_raise_no_false_alarm(four, name):
    assert alarms(peaked(four, name), 5, samples=2, replicates=200) == 0


def test_rare_values_of_many_variables_raise_no_false_alarm():
    assert alarms(eight_of_five, 5, replicates=200) == 0


@pytest.mark.usefixtures("plain_z_scores")
def test_plain_z_scores_raise_false_alarms(four):
    assert alarms(peaked(four, "unseen"), 3, samples=2, replicates=200) == 3
    assert alarms(eight_of_five, 3, replicates=200) == 3


def test_a_bias_among_rare_values_is_seen_with_enough_replicates(four):
    f, q = peaked(four, "rare")(0)
    few, many = (audit(f, q, methods={"half": own_cost_in_the_baseline}, samples=2, replicates=n) for n in (50, R))
    assert few.rows[0].passed
    assert few.rows[0].unjudged_share > 0.99
    assert few.notes[-1].endswith("itself: half (4 coordinates, 100 % of the gradient's norm)")
    assert not many.rows[0].passed
    assert many.rows[0].unjudged == 2  # the two rare ones, for ever
    assert many.rows[0].unjudged_share < 0.01
    assert not many.notes


@pytest.mark.parametrize("threshold", [3.5, 4.5, 5.5])
def test_events_too_rare_pass_the_threshold_less_often_than_a_gaussian(threshold):
    rates = torch.cat([torch.linspace(0.5, 60, 400, dtype=DOUBLE), torch.linspace(60, 2000, 100, dtype=DOUBLE)])
    k = torch.arange(2000, dtype=DOUBLE)
    below = rates.unsqueeze(-1) - k
    z = below / spread(below, k, torch.ones((), dtype=DOUBLE))
    log_prob = torch.distributions.Poisson(rates.unsqueeze(-1)).log_prob(k)
    chance = log_prob.exp().where(z > threshold, 0.0).sum(-1).max()
    assert 0.5 < chance / math.erfc(threshold / math.sqrt(2)) < 1
    z = below / (k + 0.5 * below.abs()).sqrt()
    assert log_prob.exp().where(z > threshold, 0.0).sum(-1).max() > 4 * math.erfc(threshold / math.sqrt(2))
