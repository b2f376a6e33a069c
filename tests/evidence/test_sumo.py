"""Debiasing by random truncation: expectations enumerated over draws and truncations, errors by coverage."""

import itertools
import math
from fractions import Fraction

import pytest
import torch
from torch.testing import assert_close

from jensen.bounds import iwae
from jensen.evidence.sumo import multilevel, roulette, sumo, survival, truncations

DOUBLE = torch.float64
LOW, HIGH, P = 0.5, 3.0, 0.4
LOG_Z = math.log(P * HIGH + (1 - P) * LOW)


def sequences(K):
    """All sequences of K two-valued weights `(K, 2^K)`, in logarithms, and their probabilities."""
    high = torch.cartesian_prod(*[torch.tensor([False, True])] * K).reshape(-1, K).T
    log_w = math.log(LOW) + high.double() * math.log(HIGH / LOW)
    return log_w, (P * high.double() + (1 - P) * (~high).double()).prod(0)


def expectation_of_iwae(K):
    log_w, probability = sequences(K)
    return float((probability * iwae(log_w)).sum())


def expectation(estimate, *, longest, minimum):
    """Over all weights and all truncations, those above `longest` taken for it."""
    log_w, probability = sequences(longest + minimum)
    k = torch.arange(1, longest + 2)
    mass = survival(k[:-1]) - survival(k[1:])
    mass[-1] += survival(k[-1:])[0]
    total = 0.0
    for cut, share in zip(k[:-1].tolist(), mass.tolist(), strict=True):
        total += share * float((probability * estimate(log_w, torch.full((log_w.shape[1],), cut))).sum())
    return total


@pytest.mark.parametrize("minimum", [1, 2, 4])
@pytest.mark.parametrize("longest", [1, 3, 8])
def test_series_of_any_length_have_the_expectation_of_their_last_bound(longest, minimum):
    found = expectation(lambda log_w, cut: roulette(log_w, cut, minimum=minimum), longest=longest, minimum=minimum)
    assert found == pytest.approx(expectation_of_iwae(longest + minimum), abs=1e-13)


def test_the_last_bound_tends_to_the_evidence():
    gaps = [LOG_Z - expectation_of_iwae(K) for K in (4, 8, 16)]
    assert gaps[0] > gaps[1] > gaps[2] > 0
    assert 2 * gaps[2] < 1.1 * gaps[1]


def unweighted(log_w, cut):
    """The plausible bug: terms that are not divided by their probability."""
    last = torch.gather(log_w.logcumsumexp(0), 0, cut[None])[0]
    return last - (cut + 1).double().log()


def one_off(log_w, cut):
    """The other: every term divided by the probability of the one after it."""
    bounds = log_w.logcumsumexp(0) - torch.arange(1, len(log_w) + 1)[:, None].double().log()
    k = torch.arange(1, len(log_w))[:, None]
    return bounds[0] + torch.where(k <= cut, bounds.diff(dim=0) / survival(k + 1), 0.0).sum(0)


@pytest.mark.parametrize("twin", [unweighted, one_off])
def test_terms_with_other_weights_are_biased(twin):
    assert abs(expectation(twin, longest=8, minimum=1) - expectation_of_iwae(9)) > 0.05


def test_the_survival_function_is_the_papers():
    k = torch.tensor([1, 2, 79, 80, 81, 90])
    expected = [1, 1 / 2, 1 / 79, 1 / 80, 0.9 / 80, 0.9**10 / 80]
    assert_close(survival(k), torch.tensor(expected, dtype=DOUBLE))
    assert bool((survival(torch.arange(1, 300)).diff() < 0).all())
    assert float(survival(torch.arange(1, 1000)).sum()) == pytest.approx(
        float(sum(Fraction(1, k) for k in range(1, 80))) + 10 / 80
    )


def test_truncations_follow_it():
    cut = truncations(200_000, generator=torch.Generator().manual_seed(0))
    assert cut.min() == 1
    for k in (2, 3, 10, 79, 80, 81, 100):
        share, p = (cut >= k).double().mean().item(), survival(torch.tensor(k)).item()
        assert abs(share - p) < 4.56 * math.sqrt(p * (1 - p) / len(cut))


def test_multilevel_differences_telescope():
    """Exact: the expectation of the difference of a level is that of two bounds, by enumeration of all weights."""
    from jensen.evidence.sumo import _LEVEL_RATE, _one_level

    for minimum, level in ((1, 0), (1, 1), (2, 0), (1, 2), (2, 1)):
        log_w, probability = sequences(minimum * (1 + 2 ** (level + 1)))
        found = float((probability * _one_level(log_w, minimum, level)).sum())
        larger, smaller = (expectation_of_iwae(minimum * 2**n) for n in (level + 1, level))
        share = (1 - _LEVEL_RATE) * _LEVEL_RATE**level
        assert found == pytest.approx(expectation_of_iwae(minimum) + (larger - smaller) / share, abs=1e-12)


def test_levels_follow_their_law():
    from jensen.evidence.sumo import _LEVEL_RATE, _levels

    level = _levels(100_000, torch.Generator().manual_seed(0))
    assert level.min() == 0
    for each in range(6):
        share, p = (level >= each).double().mean().item(), _LEVEL_RATE**each
        assert abs(share - p) <= 4.56 * math.sqrt(p * (1 - p) / len(level))


def second_moment(level):
    """Of the difference of a level, for lognormal weights."""
    log_w = torch.randn(2 ** (level + 1), 20_000, generator=torch.Generator().manual_seed(level), dtype=DOUBLE) / 2
    halves = log_w.reshape(2, -1, 20_000)
    return float((iwae(log_w) - iwae(halves, dim=1).mean(0)).square().mean())


def test_why_one_variance_is_finite_and_the_other_is_not():
    ratios = [second_moment(level) / second_moment(level + 1) for level in (3, 4, 5)]
    assert all(ratio > 2**1.5 * 1.2 for ratio in ratios)
    log_w = torch.randn(200, 20_000, generator=torch.Generator().manual_seed(0), dtype=DOUBLE) / 2
    bounds = log_w.logcumsumexp(0) - torch.arange(1, 201)[:, None].double().log()
    step = bounds.diff(dim=0).square().mean(1)
    assert step[49] / step[99] == pytest.approx(4, rel=0.1)
    assert step[159] / survival(torch.tensor(160)) > 100 * step[79] / survival(torch.tensor(80))


def lognormal(n):
    return 0.5 * torch.randn(n, dtype=DOUBLE) - 0.125 - 40.0


@pytest.mark.parametrize(("estimate", "minimum"), [(sumo, 1), (multilevel, 1), (multilevel, 8)])
def test_the_interval_covers(estimate, minimum):
    found = [estimate(lognormal, replicates=400, minimum=minimum, seed=seed) for seed in range(200)]
    scores = torch.tensor([(each.log_z + 40) / each.std_error for each in found])
    assert int((scores.abs() < 1.96).sum()) >= 176
    spread = torch.tensor([each.std_error for each in found])
    assert (float(spread.max() / spread.median()) > 3) is (estimate is sumo)


def test_the_bound_with_as_many_weights_would_not():
    found = [multilevel(lognormal, replicates=400, minimum=1, seed=seed) for seed in range(50)]
    error = torch.tensor([each.std_error for each in found]).median()
    torch.manual_seed(0)
    bound = iwae(lognormal(3 * 100_000).reshape(3, -1)).mean()
    assert bound + 40 < -1.2 * error


@pytest.mark.parametrize("estimate", [sumo, multilevel])
@pytest.mark.parametrize("level", [0.0, -900.0])
def test_constant_weights_are_the_evidence(estimate, level):
    found = estimate(lambda n: torch.full((n,), level, dtype=DOUBLE), replicates=300)
    assert found.log_z == pytest.approx(level, abs=1e-9)
    assert found.std_error < 1e-9
    assert found.warnings == ()


@pytest.mark.parametrize("estimate", [sumo, multilevel])
def test_the_same_seed_gives_the_same_and_leaves_the_global_generator_alone(estimate):
    before = torch.get_rng_state()
    first, again, other = (estimate(lognormal, replicates=50, seed=seed).log_z for seed in (3, 3, 4))
    assert first == again != other
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("estimate", [sumo, multilevel])
def test_every_weight_is_used_once(estimate):
    asked = []

    def sample(n):
        asked.append(n)
        return lognormal(n)

    found = estimate(sample, replicates=2000, minimum=2)
    assert asked == [found.diagnostics["draws"]]
    expected = 2000 * (2 + 5.08 if estimate is sumo else 2 * 5.4)
    assert asked[0] == pytest.approx(expected, rel=0.1)


def test_infinite_variance_is_said():
    assert "variance of this estimator is infinite" in sumo(lognormal).warnings[0]
    assert multilevel(lognormal).warnings == ()


def test_a_tail_among_the_replicates_is_said():
    found = multilevel(lambda n: 5 * torch.randn(n, dtype=DOUBLE), replicates=2000)
    assert found.diagnostics["pareto_k"] > 0.5
    assert "no error can be trusted" in found.warnings[0]


@pytest.mark.parametrize("estimate", [sumo, multilevel])
def test_nan_is_a_weight_of_zero_and_counted(estimate):
    def sample(n, value):
        log_w = lognormal(n)
        log_w[10::50] = value
        return log_w

    zero = estimate(lambda n: sample(n, -math.inf), replicates=100, minimum=4)
    found = estimate(lambda n: sample(n, math.nan), replicates=100, minimum=4)
    assert found.log_z == zero.log_z
    assert zero.diagnostics["minus_inf"] == found.diagnostics["nan"] > 0
    assert "log-weights are NaN" in found.warnings[-1]


@pytest.mark.parametrize("estimate", [sumo, multilevel])
@pytest.mark.parametrize(
    ("sample", "settings", "message"),
    [
        (lognormal, {"replicates": 1}, "two replicates"),
        (lognormal, {"minimum": 0}, "minimum"),
        (lognormal, {"seed": -1}, "seed"),
        (lambda n: torch.zeros(n, 2), {}, "expected log-weights"),
        (lambda n: torch.zeros(n - 1), {}, "expected log-weights"),
        (lambda n: None, {}, "returned NoneType"),
        (lambda n: torch.full((n,), math.inf), {}, "log-weight of inf at"),
        (lambda n: torch.full((n,), -math.inf), {}, "1000 of 1000 replicates have a bound without a positive weight"),
    ],
)
def test_bad_input_is_refused(estimate, sample, settings, message):
    with pytest.raises(ValueError, match=message):
        estimate(sample, **settings)


@pytest.mark.parametrize(
    ("log_w", "cut", "minimum"),
    [
        (torch.zeros(3, 2), torch.tensor([2, 3]), 1),
        (torch.zeros(3, 2), torch.tensor([2]), 1),
        (torch.zeros(3), torch.tensor([1]), 1),
        (torch.zeros(3, 2), torch.tensor([-1, 1]), 1),
        (torch.zeros(3, 2), torch.tensor([1, 1]), 0),
        (torch.zeros(3, 0), torch.zeros(0).long(), 1),
    ],
)
def test_shapes_that_do_not_fit_are_refused(log_w, cut, minimum):
    with pytest.raises(ValueError, match="minimum"):
        roulette(log_w, cut, minimum=minimum)


def test_what_lies_beyond_the_truncation_is_not_used():
    log_w = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    cut = torch.tensor([0, 1, 3, 5])
    other = log_w.clone()
    for column, k in itertools.product(range(4), range(6)):
        if k > cut[column]:
            other[k, column] = -math.inf
    assert_close(roulette(other, cut), roulette(log_w, cut))
    assert_close(roulette(log_w, cut)[0], log_w[0, 0])


@pytest.mark.parametrize("estimate", [multilevel, sumo])
def test_a_sample_that_raises_is_named(estimate):
    def sample(count):
        raise KeyError("mean")

    with pytest.raises(ValueError, match=r"sample\(\d+\) raised KeyError: 'mean'") as caught:
        estimate(sample, replicates=10)
    assert isinstance(caught.value.__cause__, KeyError)
