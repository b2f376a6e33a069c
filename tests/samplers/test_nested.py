"""Nested sampling of targets whose evidence is known; the moves against exact draws."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from torch.distributions import Normal, Uniform

from jensen._random import seeded_generator
from jensen._targets import Target
from jensen.evidence.nested import nested, nested_log_weights
from jensen.samplers.constrained import Walkers, learn_directions, move
from jensen.samplers.nested import nested_sampling

PI = math.pi


def box(low, high, dim):
    return Uniform(torch.full((dim,), low).double(), torch.full((dim,), high).double())


def gaussian(dim, scale=0.1):
    """Normal(0, scale) likelihood of zero under a standard normal prior."""
    exact = -dim / 2 * math.log(2 * PI * (1 + scale**2))
    return Target(lambda x: Normal(0.0, scale).log_prob(x).sum(-1), Normal(torch.zeros(dim).double(), 1.0), exact=exact)


def shells(dim, exact):
    """Two thin shells of radius 2 and width 0.1."""
    centre = torch.zeros(dim).double()
    centre[0] = 3.5

    def log_likelihood(x):
        radius = torch.stack([(x - centre).norm(dim=-1), (x + centre).norm(dim=-1)])
        return Normal(2.0, 0.1).log_prob(radius).logsumexp(0)

    return Target(log_likelihood, box(-6.0, 6.0, dim), exact=exact)


def eggbox():
    return Target(lambda x: (2 + (x / 2).cos().prod(-1)) ** 5, box(0.0, 10 * PI, 2), exact=235.8559403323)


def rosenbrock():
    prior = Uniform(torch.tensor([-10.0, -5.0]).double(), torch.tensor([10.0, 15.0]).double())
    return Target(lambda x: -((1 - x[:, 0]) ** 2) - 100 * (x[:, 1] - x[:, 0] ** 2) ** 2, prior, exact=-7.1493440)


TARGETS = {
    "gaussian in 2": gaussian(2),
    "gaussian in 5": gaussian(5),
    "shells in 2": shells(2, -1.745642),
    "shells in 5": shells(5, -5.673601),
    "eggbox": eggbox(),
    "rosenbrock": rosenbrock(),
}
SLOW = {
    "shells in 10": shells(10, -14.590491),
    "shells in 20": shells(20, -36.086548),
    "gaussian in 200": Target(
        lambda x: Normal(0.0, 1.0).log_prob(x).sum(-1), Normal(torch.zeros(200).double(), 1.0), exact=-253.1024247
    ),
}


def estimate(target, **options):
    run = nested_sampling(target, **options)
    return nested(run.log_likelihood, run.live_counts, ranks=run.insertion_ranks)


@pytest.mark.parametrize("name", TARGETS)
def test_known_evidence(name):
    found = estimate(TARGETS[name], live=100, seed=1)
    assert abs(found.log_z - TARGETS[name].exact) < 4 * found.std_error
    assert found.std_error < 0.5
    assert found.warnings == ()


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_known_evidence_in_many_dimensions(name):
    found = estimate(SLOW[name], live=400, seed=1)
    assert abs(found.log_z - SLOW[name].exact) < 4 * found.std_error
    assert found.std_error < 0.6


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gaussian in 5", "shells in 2", "shells in 5"])
def test_errors_are_those_of_repeated_runs(name):
    found = [estimate(TARGETS[name], live=100, seed=seed) for seed in range(40)]
    z = torch.tensor([(each.log_z - TARGETS[name].exact) / each.std_error for each in found])
    assert abs(z.mean()) < 4.56 / math.sqrt(40)
    assert 0.6 < z.std() < 1.5


def test_the_posterior():
    run = nested_sampling(gaussian(2, 0.5), live=200)
    p = nested_log_weights(run.log_likelihood, run.live_counts).exp()
    assert float((p[:, None] * run.points**2).sum(0).mean()) == pytest.approx(0.2, rel=0.2)


@pytest.mark.parametrize("batch", [1, 7, 48])
def test_bookkeeping(batch):
    run = nested_sampling(gaussian(1, 0.3), live=50, batch=batch, tolerance=0.1)
    counts, N = run.live_counts, len(run.live_counts)
    cycle = torch.arange(50, 50 - batch, -1)
    assert torch.equal(counts[: N - 50], cycle.repeat((N - 50) // batch))
    assert torch.equal(counts[N - 50 :], torch.arange(50, 0, -1))
    assert run.points.shape == (N, 1)
    assert bool((run.log_likelihood.diff() >= 0).all())
    assert len(run.insertion_ranks) == N - 50
    assert run.remaining < 0.1
    assert torch.equal(gaussian(1, 0.3).log_terms(run.points), torch.stack([run.log_likelihood, run.log_prior]))


def test_same_seed_same_run():
    first, again, other = (nested_sampling(gaussian(1), live=20, tolerance=0.5, seed=seed) for seed in (5, 5, 6))
    assert torch.equal(first.points, again.points)
    assert not torch.equal(first.points[:10], other.points[:10])


def test_global_randomness_is_left_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    nested_sampling(gaussian(1), live=10)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_constant_likelihood():
    run = nested_sampling(Target(lambda x: 0 * x.sum(-1), Normal(torch.zeros(3).double(), 1.0)), live=50)
    found = nested(run.log_likelihood, run.live_counts)
    assert found.log_z == pytest.approx(0, abs=1e-12)
    assert found.std_error < 1e-12
    assert run.evaluations == 50


def test_plateaus_go_as_one():
    """L = 1 on [0, 0.7], e^3 on the rest, of which nothing is told apart."""
    target = Target(lambda x: 3.0 * (x[:, 0] > 0.7), box(0.0, 1.0, 1), exact=math.log(0.7 + 0.3 * math.exp(3)))
    found = estimate(target, live=500)
    assert abs(found.log_z - target.exact) < 4 * found.std_error
    assert found.diagnostics["plateaus"] == found.diagnostics["draws"]


def test_a_terraced_likelihood():
    """Ten levels: floor(10 x) for a uniform x."""
    target = Target(
        lambda x: (10 * x[:, 0]).floor(), box(0.0, 1.0, 1), exact=math.log(math.expm1(10) / math.expm1(1) / 10)
    )
    found = estimate(target, live=300)
    assert abs(found.log_z - target.exact) < 4 * found.std_error


@pytest.mark.parametrize("nothing", [-math.inf, math.nan, math.inf])
def test_regions_without_likelihood(nothing):
    """A Gaussian that is cut to a quarter of the prior's plane."""

    def log_likelihood(x):
        return torch.where((x > 0).all(-1), -8 * x.square().sum(-1), nothing)

    target = Target(log_likelihood, Normal(torch.zeros(2).double(), 1.0))
    run = nested_sampling(target, live=200)
    found = nested(run.log_likelihood, run.live_counts)
    assert abs(found.log_z - math.log(0.25 / 17)) < 4 * found.std_error
    assert found.diagnostics["minus_inf"] > 100
    assert (run.not_finite > 0) == (nothing != -math.inf)


def test_a_likelihood_that_is_nowhere():
    seen = []

    def log_likelihood(x):
        seen.append(len(x))
        return torch.full((len(x),), -math.inf).double()

    target = Target(log_likelihood, Normal(torch.zeros(2).double(), 1.0))
    with pytest.raises(ValueError, match="there is nothing to start from"):
        nested_sampling(target, live=10)


def test_a_budget_is_kept_and_told_of():
    run = nested_sampling(gaussian(5), live=100, most_evaluations=2000)
    assert run.evaluations < 2000 + 100 * 100
    assert "most_evaluations" in run.warnings[0]
    assert run.remaining > 0.01
    found = nested(run.log_likelihood, run.live_counts)
    assert found.warnings


def test_progress():
    seen = []
    run = nested_sampling(gaussian(1), live=20, progress=lambda done, total: seen.append((done, total)))
    done = [each for each, _ in seen]
    assert done == sorted(done)
    assert all(each < total for each, total in seen)
    assert done[-1] == len(run.points) - 20


def disc(count, generator, radius=1.2):
    """Standard normal draws within a disc."""
    points = torch.randn(20 * count, 2, generator=generator, dtype=torch.float64)
    return points[points.norm(dim=-1) < radius][:count]


def radii_after_moves(terms, moves=3, radius=1.2):
    generator = seeded_generator(0)
    start = disc(5000, generator, radius)
    walkers = Walkers(start, *terms(start))
    directions = learn_directions(disc(50, generator), generator=generator)
    moved = move(terms, walkers, above=-(radius**2), directions=directions, moves=moves, generator=generator)
    assert moved.evaluations >= 5000 * moves
    assert bool((moved.walkers.log_likelihood > -(radius**2)).all())
    assert bool((moved.walkers.points != start).any(-1).all())
    return moved.walkers.points.norm(dim=-1)


def exact_cdf(radius):
    return np.expm1(-(radius**2) / 2) / math.expm1(-(1.2**2) / 2)


def test_moves_leave_the_prior_above_a_likelihood_alone():
    radii = radii_after_moves(lambda x: torch.stack([-x.square().sum(-1), Normal(0.0, 1.0).log_prob(x).sum(-1)]))
    assert kstest(radii.numpy(), exact_cdf).pvalue > 1e-3


def test_moves_without_the_prior_are_caught():
    radii = radii_after_moves(lambda x: torch.stack([-x.square().sum(-1), 0 * x.sum(-1)]))
    assert kstest(radii.numpy(), exact_cdf).pvalue < 1e-6


def test_too_few_moves_are_caught():
    """One slice for each new point in 80 dimensions: they are copies of their parents, and log Z is high."""
    target = gaussian(80, 0.3)
    few = estimate(target, live=100, moves=1, tolerance=0.1)
    assert few.log_z > target.exact + 4 * few.std_error
    assert few.diagnostics["insertion_p_value"] < 0.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"live": 3}, "live must be at least 4"),
        ({"live": 10, "batch": 9}, "batch must lie between 1 and live - 2 = 8, got 9"),
        ({"live": 10, "batch": 0}, "batch must lie"),
        ({"moves": 0}, "moves must be at least 1"),
        ({"tolerance": 0.0}, "tolerance must be positive"),
        ({"seed": -1}, "seed"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        nested_sampling(gaussian(1), **options)


def test_bad_moves():
    with pytest.raises(ValueError, match="at least 2 points"):
        learn_directions(torch.zeros(1, 2), generator=seeded_generator(0))
    points = torch.zeros(3, 2).double()
    walkers = Walkers(points, points[:, 0], points[:, 0])
    directions = learn_directions(torch.eye(2).double(), generator=seeded_generator(0))
    with pytest.raises(ValueError, match="at least 1 move"):
        move(lambda x: x.mT, walkers, above=-1.0, directions=directions, moves=0, generator=seeded_generator(0))


def test_points_without_a_likelihood_are_counted():
    seen = [0]

    def log_likelihood(x):
        value = torch.where(x > 0.5, math.nan, -(x**2) / 2).sum(-1)
        seen[0] += int(value.isnan().sum())
        return value

    target = Target(log_likelihood, Normal(torch.zeros(1).double(), 1.0))
    seen[0] = 0
    assert nested_sampling(target, live=np.int64(50)).not_finite == seen[0] > 0


@pytest.mark.parametrize("setting", ["live", "batch", "moves"])
def test_settings_are_whole_and_the_target_is_one(setting):
    target = Target(lambda x: -(x**2).sum(-1) / 2, Normal(torch.zeros(1).double(), 3.0))
    for bad in (2.5, "a"):
        with pytest.raises(ValueError, match=f"{setting} must be a whole number, got {bad!r}"):
            nested_sampling(target, **{setting: bad})
    with pytest.raises(ValueError, match=r"target must be a Target.*got function"):
        nested_sampling(lambda x: x)


def test_a_run_that_stops_at_its_start_says_so_in_words():
    target = Target(lambda x: -(x**2).sum(-1) / 2, Normal(torch.zeros(1).double(), 3.0))
    run = nested_sampling(target, live=20, most_evaluations=20)
    found = nested(run.log_likelihood, run.live_counts)
    assert any("no point of positive likelihood was deleted" in sentence for sentence in run.warnings)
    assert not any("inf nats" in sentence for sentence in (*run.warnings, *found.warnings))
