"""Perfect nested runs of a likelihood whose volume is known, and what an error must do to be caught."""

import math

import pytest
import torch
from scipy.special import gammainc

from jensen._random import seeded_generator
from jensen.evidence.nested import nested, nested_log_weights

DIM, WIDTH = 4, 0.3


def log_l(log_x):
    """L(X) = exp(-X^(2/d) / 2 s^2): a Gaussian seen from a ball of volume 1."""
    return -(2 * log_x / DIM).exp() / (2 * WIDTH**2)


EXACT = math.log(DIM / 2 * (2 * WIDTH**2) ** (DIM / 2) * math.gamma(DIM / 2) * gammainc(DIM / 2, 1 / (2 * WIDTH**2)))


def schedule(live, batch, batches):
    """Live counts of a run that replaces `batch` points at a time, the last live points at its end."""
    cycle = torch.arange(live, live - batch, -1)
    return torch.cat([cycle.repeat(batches), torch.arange(live, 0, -1)])


def perfect(counts, runs, seed=0):
    """Log-likelihoods `(runs, N)` of runs whose new points are exact: X_i = X_{i-1} t_i, t_i ~ Beta(n_i, 1)."""
    draws = torch.empty(runs, len(counts)).double().exponential_(generator=seeded_generator(seed))
    return log_l(-(draws / counts).cumsum(-1))


@pytest.mark.parametrize(("live", "batch", "batches"), [(50, 1, 350), (100, 50, 11), (60, 15, 25)])
def test_coverage_of_perfect_runs(live, batch, batches):
    counts = schedule(live, batch, batches)
    found = [nested(run, counts, simulations=100, seed=i) for i, run in enumerate(perfect(counts, 200))]
    log_z = torch.tensor([each.log_z for each in found])
    inside = sum(abs(each.log_z - EXACT) < 1.96 * each.std_error for each in found)
    assert 178 <= inside <= 199  # 95% of 200, within 4 standard deviations
    assert abs(log_z.mean() - EXACT) < 4.56 * log_z.std() / math.sqrt(200) + 1 / live
    assert torch.tensor([each.std_error for each in found]).mean() == pytest.approx(float(log_z.std()), rel=0.2)


def log_shells(counts, log_t):
    """log(X_{i-1} - X_i) for shrinkages t_i."""
    log_x = torch.cat([torch.zeros(1), log_t.cumsum(0)])
    return (log_x[:-1].exp() - log_x[1:].exp()).log()


def reduction(log_likelihood, counts, *, last):
    """Mean-volume log Z by the formula alone, with or without the K last live points."""
    live, dead = int(counts.max()), len(counts) - int(counts.max())
    log_t = -1 / counts[:dead].double()
    log_w = log_shells(counts, log_t) + log_likelihood[:dead]
    at_stop = log_t.sum() - math.log(live) + log_likelihood[dead:]
    return float((torch.cat([log_w, at_stop]) if last else log_w).logsumexp(0))


def test_the_formula():
    counts = schedule(20, 1, 60)
    run = perfect(counts, 1)[0]
    assert nested(run, counts).log_z == pytest.approx(reduction(run, counts, last=True), abs=1e-12)


@pytest.mark.parametrize("first", [0, 1])
def test_where_a_shell_begins(first):
    """With t = 1 - 1/n the estimate of Z itself has no bias; anchored one shell later it is low by that factor."""
    live = 8
    counts = torch.full((1001,), live)
    log_shell = log_shells(counts, (-1 / counts.double()).log1p())
    z = (perfect(counts, 4000)[:, :1000] + log_shell[first : 1000 + first]).logsumexp(-1).exp() / math.exp(EXACT)
    error = float(z.std()) / math.sqrt(4000)
    assert abs(z.mean() - (1 - first / live)) < 4.56 * error
    assert (abs(z.mean() - 1) < 4.56 * error) == (first == 0)


def test_the_library_begins_where_it_should():
    counts = torch.full((200,), 8)
    run = perfect(counts, 1)[0]
    shells = log_shells(counts, -1 / counts.double())
    right, twin = (run + shells).logsumexp(0), (run[:-1] + shells[1:]).logsumexp(0)
    assert nested(run, counts).log_z == pytest.approx(float(right), abs=1e-12)
    assert float(twin) == pytest.approx(float(right) - 1 / 8, abs=1e-9)


def test_live_points_at_the_wrong_volume_are_caught():
    counts = schedule(50, 1, 100)  # an early stop: most of Z is in the live points
    runs = perfect(counts, 200)
    found = [nested(run, counts, simulations=100) for run in runs]
    covered = sum(abs(each.log_z - EXACT) < 4 * each.std_error for each in found)
    without = sum(
        abs(reduction(run, counts, last=False) - EXACT) < 4 * each.std_error
        for run, each in zip(runs, found, strict=True)
    )
    assert covered >= 198
    assert without < 20
    assert any("stopped early" in warning for warning in found[0].warnings)
    assert found[0].diagnostics["remaining"] > 0.5


@pytest.mark.parametrize("value", [0.0, -1234.5])
def test_a_constant_likelihood_is_its_own_evidence(value):
    for counts in (torch.arange(30, 0, -1), schedule(30, 10, 4)):
        found = nested(torch.full((len(counts),), value).double(), counts)
        assert found.log_z == pytest.approx(value, abs=1e-12)
        assert found.std_error < 1e-12
        assert found.diagnostics["plateaus"] == len(counts)
        assert "plateau" in found.warnings[0]


def plateau_run(live, seed, *, together):
    """L = 1 on 70% of the prior and e^3 on the rest: what a sampler that deletes ties together, or one by one, sees."""
    x = torch.rand(live, generator=seeded_generator(seed)).double()
    low = int((x > 0.3).sum())
    if together:
        counts = torch.cat([torch.arange(live, live - low, -1), torch.arange(live, 0, -1)])
    else:
        counts = torch.cat([torch.full((low,), live), torch.arange(live, 0, -1)])
    return torch.cat([torch.zeros(low), torch.full((live,), 3.0)]).double(), counts


def test_a_plateau_deleted_as_one():
    exact = math.log(0.7 + 0.3 * math.exp(3))
    for together, expected in ((True, True), (False, False)):
        found = [nested(*plateau_run(400, seed, together=together), simulations=100) for seed in range(100)]
        z = torch.tensor([(each.log_z - exact) / each.std_error for each in found])
        assert bool(abs(z.mean()) < 0.456) is expected
        if expected:
            assert z.std() == pytest.approx(1, abs=0.3)


def test_minus_inf_and_nan_weigh_nothing():
    run, counts = plateau_run(100, 0, together=True)
    low = int((run == 0).sum())
    part = run.clone()
    part[:low] = -math.inf
    part[3] = math.nan
    found = nested(part, counts)
    assert found.log_z == pytest.approx(3 - sum(1 / n for n in range(100, 100 - low, -1)), abs=1e-12)
    assert (found.diagnostics["minus_inf"], found.diagnostics["nan"]) == (low - 1, 1)
    assert any("NaN" in warning for warning in found.warnings)


def test_information_and_floor():
    counts = schedule(400, 1, 2400)
    found = nested(perfect(counts, 1)[0], counts)
    h = torch.linspace(-30, 0, 200_001).double()
    weight = (h + log_l(h)).softmax(0)
    information = float((weight * (log_l(h) - EXACT)).sum())
    assert found.diagnostics["information"] == pytest.approx(information, rel=0.1)
    assert found.diagnostics["floor"] == pytest.approx(math.sqrt(found.diagnostics["information"] / 400), rel=1e-6)
    assert found.std_error == pytest.approx(found.diagnostics["floor"], rel=0.25)
    assert found.diagnostics["simulated_log_z"] == pytest.approx(found.log_z, abs=0.02)


def test_weights_are_the_posterior():
    counts = schedule(400, 1, 2400)
    run = perfect(counts, 1)[0]
    log_w = nested_log_weights(run, counts)
    assert float(log_w.logsumexp(0)) == pytest.approx(0, abs=1e-12)
    radius = (-2 * WIDTH**2 * run).sqrt()  # of a Gaussian in 4 dimensions, cut at radius 1
    half = DIM / 2
    exact = WIDTH * math.sqrt(2) * math.gamma(half + 0.5) / math.gamma(half)
    exact *= gammainc(half + 0.5, 1 / (2 * WIDTH**2)) / gammainc(half, 1 / (2 * WIDTH**2))
    assert float((log_w.exp() * radius).sum()) == pytest.approx(exact, rel=0.03)


def test_insertion_ranks():
    counts = schedule(50, 1, 500)
    run = perfect(counts, 1)[0]
    uniform = torch.rand(2000, generator=seeded_generator(0))
    assert nested(run, counts, ranks=uniform).diagnostics["insertion_p_value"] > 1e-3
    bad = nested(run, counts, ranks=uniform.square())
    assert bad.diagnostics["insertion_p_value"] < 1e-3
    assert "insertion ranks" in bad.warnings[0]
    assert "insertion_p_value" not in nested(run, counts).diagnostics


def test_same_seed_same_error():
    counts = schedule(20, 1, 200)
    run = perfect(counts, 1)[0]
    assert nested(run, counts, seed=3).std_error == nested(run, counts, seed=3).std_error
    assert nested(run, counts, seed=3).std_error != nested(run, counts, seed=4).std_error


@pytest.mark.parametrize(
    ("log_likelihood", "counts", "message"),
    [
        ([0.0, 1.0], [2, 2, 1], "one count for each point"),
        ([1.0], [1], "at least 2 points"),
        ([1.0, 0.0], [2, 1], "falls from 1.0 to 0.0 after point 0"),
        ([0.0, math.inf], [2, 1], "inf at point 1"),
        ([-math.inf, math.nan], [2, 1], "none of the 2 points"),
        ([0.0, 1.0], [2, 0], "at least 1"),
    ],
)
def test_bad_input(log_likelihood, counts, message):
    with pytest.raises(ValueError, match=message):
        nested(torch.tensor(log_likelihood), torch.tensor(counts))


def test_bad_options():
    run, counts = torch.tensor([0.0, 1.0]), torch.tensor([2, 1])
    with pytest.raises(ValueError, match="at least 2 simulations"):
        nested(run, counts, simulations=1)
    with pytest.raises(ValueError, match="ranks must be"):
        nested(run, counts, ranks=torch.tensor([1.5]))


def test_what_the_last_live_points_hold_is_said_in_words_where_no_number_is_known():
    counts = torch.arange(4, 0, -1)
    level = nested(torch.tensor([-math.inf, -math.inf, 0.0, 0.0]).double(), counts)
    assert level.diagnostics["remaining"] == 0
    assert level.log_z == pytest.approx(math.log(0.5))
    assert not any("stopped early" in sentence for sentence in level.warnings)
    early = nested([-3.0, -2.0, -1.0, 0.0], counts)
    assert any("deleted no point of positive likelihood" in sentence for sentence in early.warnings)
    assert not any("inf nats" in sentence for sentence in (*level.warnings, *early.warnings))
