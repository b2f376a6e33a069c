"""Exchanges between neighbours on a line of densities, and a line with the posterior in its middle."""

import itertools
import math

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal
from torch.testing import assert_close

from jensen._targets import Target
from jensen.evidence.stepping_stone import generalized_stepping_stone, stepping_stone
from jensen.samplers import ensemble as module
from jensen.samplers.annealing import Reference
from jensen.samplers.ensemble import exchange_log_odds, swap
from jensen.samplers.tempered import temper, temper_both

DOUBLE = torch.float64

# log-likelihood, log-prior and log-reference of four states: one without a likelihood, one without a reference
TABLE = torch.tensor([[-1.0, -math.inf, -0.2, -3.0], [-2.0, -0.5, -1.5, -1.0], [-0.7, -1.1, -math.inf, -2.0]]).double()
LINE = torch.tensor([[0.0, 0.4, 1.0, 0.5, 0.0], [1.0, 1.0, 1.0, 0.5, 0.0], [0.0, 0.0, 0.0, 0.5, 1.0]]).double()


def chance_of(density, state):
    """Of a state of the table under a density of the line; a weight of zero hides what is infinite."""
    weights, terms = LINE[:, density], TABLE[:, state]
    return math.exp(sum(float(w * t) for w, t in zip(weights, terms, strict=True) if w))


def imbalance(log_odds):
    """The largest breach of detailed balance, over all pairs of neighbours and all pairs of possible states."""
    worst = 0.0
    for g, x, y in itertools.product(range(4), range(4), range(4)):
        if chance_of(g, x) * chance_of(g + 1, y) == 0:
            continue
        there = log_odds(TABLE[:, [x, y]].unsqueeze(-1), LINE[:, g : g + 2])
        back = log_odds(TABLE[:, [y, x]].unsqueeze(-1), LINE[:, g : g + 2])
        assert not bool(there.isnan().any())
        forth = chance_of(g, x) * chance_of(g + 1, y) * min(1.0, math.exp(min(float(there), 0.0)))
        possible = chance_of(g, y) * chance_of(g + 1, x)
        home = possible * min(1.0, math.exp(min(float(back), 0.0))) if possible else 0.0
        worst = max(worst, abs(forth - home))
    return worst


def test_exchanges_are_in_detailed_balance():
    assert imbalance(exchange_log_odds) < 1e-15


@pytest.mark.parametrize(
    "twin",
    [
        lambda terms, weights: -exchange_log_odds(terms, weights),
        lambda terms, weights: exchange_log_odds(terms[:2], weights[:2]),
        lambda terms, weights: exchange_log_odds(terms, weights) / 2,
        lambda terms, weights: torch.zeros(1, 1),
    ],
    ids=["sign", "without the reference", "half", "always"],
)
def test_twins_are_not(twin):
    def finite(terms, weights):
        return twin(terms, weights).nan_to_num(0.0)

    assert imbalance(finite) > 1e-3


def test_states_that_lie_outside_of_both_densities_stay():
    terms = torch.full((3, 2, 50), -math.inf)
    source, exchanged = swap(terms, LINE[:, 2:4].float(), parity=0, generator=torch.Generator().manual_seed(0))
    assert not bool(exchanged.any())
    assert torch.equal(source[:, 0], torch.arange(2))


def power_posteriors(C, seed):
    """States of a normal mean under three power posteriors: prior N(0, 4), L = N(3 | mu, 1) without constants."""
    betas = torch.tensor([0.0, 0.3, 1.0], dtype=DOUBLE)
    precision = betas + 0.25
    noise = torch.randn(3, C, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)
    mu = (3 * betas / precision).unsqueeze(1) + noise / precision.sqrt().unsqueeze(1)
    return betas, mu, -0.5 * (mu - 3).square()


@pytest.mark.parametrize("parity", [0, 1])
def test_exchanges_leave_every_temperature_as_it_is(parity):
    C = 200_000
    betas, mu, log_ratio = power_posteriors(C, 0)
    source, exchanged = swap(
        log_ratio.unsqueeze(0), betas.unsqueeze(0), parity=parity, generator=torch.Generator().manual_seed(1)
    )
    assert not bool(exchanged[1 - parity].any())
    precision = betas + 0.25

    def z_scores(states):
        mean = (states.mean(1) - 3 * betas / precision) * precision.sqrt() * math.sqrt(C)
        variance = (states.var(1) * precision - 1) * math.sqrt(C / 2)
        return torch.stack([mean, variance]).abs()

    assert z_scores(mu.gather(0, source)).max() < 4.56
    always = mu[[1, 0, 2] if parity == 0 else [0, 2, 1]]
    assert z_scores(always).max() > 20


def regression(d=3, n=15):
    """y = X theta + noise, theta ~ N(0, 4 I), noise of variance 1; the evidence is a normal density."""
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(n, d, generator=generator, dtype=DOUBLE)
    y = X @ torch.arange(1.0, d + 1, dtype=DOUBLE) / 2 + torch.randn(n, generator=generator, dtype=DOUBLE)
    exact = MultivariateNormal(torch.zeros(n, dtype=DOUBLE), torch.eye(n, dtype=DOUBLE) + 4 * X @ X.T).log_prob(y)
    prior = Normal(torch.zeros(d, dtype=DOUBLE), 2.0)
    return Target(lambda theta: Normal(theta @ X.T, 1.0).log_prob(y).sum(-1), prior, exact=float(exact))


SMALL = {"temperatures": 10, "reference_temperatures": 4, "chains": 32, "draws": 60, "warmup": 40}
FEW = {"temperatures": 4, "reference_temperatures": 6, "chains": 48, "draws": 100, "warmup": 30}
WIDE = Reference(torch.full((3,), 0.3, dtype=DOUBLE), torch.eye(3, dtype=DOUBLE))


def evidences(both):
    return (
        stepping_stone(both.prior.log_ratio, both.prior.betas),
        generalized_stepping_stone(both.reference.log_ratio, both.reference.betas),
    )


def z_scores(both, exact):
    return [abs(found.log_z - exact) / found.std_error for found in evidences(both)]


@pytest.fixture(scope="module")
def both():
    return temper_both(regression(), **SMALL, seed=1)


def test_both_arms_have_the_evidence(both):
    assert max(z_scores(both, regression().exact)) < 4.56
    plain, general = evidences(both)
    assert general.std_error < 0.2 * plain.std_error < 0.02


def test_a_reference_of_ones_own_is_taken():
    run = temper_both(regression(), **{**FEW, "draws": 2}, reference=WIDE)
    assert run.gaussian is WIDE
    points = run.reference.draws.points.flatten(0, 1)
    ratio = regression().log_joint(points) - WIDE.log_prob(points)
    assert_close(run.reference.log_ratio[-1].flatten(), ratio)


def along_without_turning(arms):
    return torch.cat([arms[0], *(each[:-1] for each in arms[1:])])


@pytest.mark.parametrize(
    ("name", "twin"),
    [
        ("exchange_log_odds", lambda terms, weights: -exchange_log_odds(terms, weights)),
        ("exchange_log_odds", lambda terms, weights: torch.zeros_like(exchange_log_odds(terms, weights))),
        ("_along", along_without_turning),
    ],
    ids=["sign", "always", "an arm the wrong way round"],
)
def test_a_line_of_another_rule_is_caught(monkeypatch, name, twin):
    right = temper_both(regression(), **FEW, reference=WIDE, seed=2)
    assert max(z_scores(right, regression().exact)) < 4.56
    monkeypatch.setattr(module, name, twin)
    wrong = temper_both(regression(), **FEW, reference=WIDE, seed=2)
    assert max(z_scores(wrong, regression().exact)) > 10


def test_the_record_of_both_arms(both):
    target = regression()
    assert both.prior.log_ratio.shape == (10, 60, 32)
    assert both.reference.log_ratio.shape == (4, 60, 32)
    for run in both[:2]:
        assert (run.betas[0], run.betas[-1]) == (0, 1)
        assert bool((run.betas.diff() > 0).all())
        assert run.swap_rates.shape == run.step_size.shape == (len(run.betas) - 1,)
        assert bool(((run.swap_rates > 0.3) & (run.swap_rates <= 1)).all())
        assert run.acceptance[0] == 1
        assert bool((run.acceptance > 0.5).all())
        assert bool((run.step_size > 0).all())
        assert run.r_hat.shape == run.betas.shape
        assert run.divergences == run.not_finite == 0
        assert run.problems() == ()
    shared, points = both.prior.draws, both.reference.draws.points
    assert torch.equal(shared.points, points)
    flat = points.flatten(0, 1)
    assert_close(target.log_joint(flat), shared.log_joint.flatten())
    assert torch.equal(both.prior.log_ratio[-1], shared.log_likelihood)
    assert_close(both.reference.log_ratio[-1].flatten(), target.log_joint(flat) - both.gaussian.log_prob(flat))


def test_one_arm_of_a_line_is_the_line_of_one_arm():
    """Without the second arm the densities are those of `temper`, in another order of random numbers."""
    alone = temper(regression(), temperatures=10, chains=32, draws=60, warmup=40, seed=1)
    together = temper_both(regression(), **SMALL, seed=1).prior
    assert torch.equal(alone.betas, together.betas)
    gap = alone.log_ratio.mean((1, 2)) - together.log_ratio.mean((1, 2))
    error = (alone.log_ratio.mean(1).var(1) + together.log_ratio.mean(1).var(1)).div(32).sqrt()
    assert (gap / error).abs().max() < 4.56


def test_evaluations_are_counted():
    target, seen = regression(), [0]

    def counted(theta):
        seen[0] += len(theta)
        return target.log_terms(theta)[0]

    watched = Target(counted, target.prior)
    seen[0] = 0
    run = temper_both(watched, temperatures=4, reference_temperatures=3, chains=5, draws=3, warmup=3)
    assert run.evaluations == seen[0]
    assert max(run.prior.evaluations, run.reference.evaluations) < run.evaluations
    assert run.prior.evaluations + run.reference.evaluations > run.evaluations


def test_what_is_wrong_with_one_arm_is_said_of_that_arm():
    """A likelihood that is NaN far from the posterior: draws of the prior meet it, those of the reference do not."""
    target = Target(
        lambda x: torch.where(x > 3, math.nan, -((x + 1) ** 2) / 0.02).sum(-1), Normal(torch.zeros(1).double(), 2.0)
    )
    run = temper_both(target, temperatures=8, reference_temperatures=3, chains=20, draws=30, warmup=30)
    assert run.prior.not_finite > 10
    assert run.reference.not_finite == 0
    assert bool(((run.reference.log_ratio > -math.inf) & (run.reference.log_ratio < math.inf)).all())


def test_a_likelihood_that_is_zero_on_a_part_of_either_end():
    """The integral of a normal density above 1, most of the prior and some of the reference lying below."""
    target = Target(lambda x: torch.where(x[:, 0] > 1, -x[:, 0], -math.inf), Normal(torch.zeros(1, dtype=DOUBLE), 1.0))
    exact = 0.5 + math.log(float(torch.special.ndtr(torch.tensor(-2.0, dtype=DOUBLE))))
    run = temper_both(target, temperatures=6, reference_temperatures=5, chains=32, draws=60, warmup=30)
    for arm in run[:2]:
        assert not bool(arm.log_ratio.isnan().any())
        assert bool((arm.log_ratio[0] == -math.inf).any())
        assert arm.log_ratio[1:].min() > -math.inf
    assert max(z_scores(run, exact)) < 4.56


def test_a_constant_likelihood():
    flat = Target(lambda x: 0 * x.sum(-1), Normal(torch.zeros(2, dtype=DOUBLE), 1.0))
    run = temper_both(flat, temperatures=4, reference_temperatures=3, chains=24, draws=20, warmup=10)
    plain, general = evidences(run)
    assert abs(plain.log_z) < 1e-12
    assert abs(general.log_z) < 4.56 * general.std_error < 0.1


def test_a_dense_and_a_diagonal_metric_are_made_alike():
    spread, factor = torch.rand(2, 3), torch.eye(3).expand(2, 3, 3)
    made = module._alike([spread, factor])
    assert torch.equal(made[0], spread.diag_embed())
    assert torch.equal(made[1], factor)
    assert torch.equal(module._alike([spread])[0], spread)


def test_the_same_seed_gives_the_same_run():
    few = {"temperatures": 3, "reference_temperatures": 3, "chains": 4, "draws": 3, "warmup": 3}
    runs = [temper_both(regression(), **few, seed=seed) for seed in (5, 5, 6)]
    for arm in (0, 1):
        assert torch.equal(runs[0][arm].log_ratio, runs[1][arm].log_ratio)
        assert not torch.equal(runs[0][arm].log_ratio, runs[2][arm].log_ratio)


def test_progress_is_told():
    said = []
    few = {"temperatures": 3, "reference_temperatures": 2, "chains": 4, "draws": 3, "warmup": 2}
    temper_both(regression(), **few, progress=lambda *each: said.append(each))
    assert said == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperatures": 1}, "two temperatures"),
        ({"reference_temperatures": 1}, "two reference_temperatures at least, got 1"),
        ({"reference_temperatures": 2.5}, "reference_temperatures must be a whole number"),
        ({"chains": 0}, "two temperatures"),
        ({"reference": Reference(torch.zeros(2), torch.eye(2))}, "dimension 3"),
        ({"seed": -1}, "seed"),
    ],
)
def test_bad_input(settings, message):
    with pytest.raises(ValueError, match=message):
        temper_both(regression(), **settings)
