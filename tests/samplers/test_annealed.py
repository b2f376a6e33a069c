"""Annealed importance sampling of conjugate models, whose evidences, tempered posteriors and biases are known.

Statistical checks: |z| < 4.56; all seeds are fixed.
"""

import math
import sys
from functools import cache
from itertools import pairwise

import pytest
import torch
from torch.distributions import Normal

from jensen.samplers import annealed
from jensen.samplers.annealed import Transitions, annealed_importance, learn_transitions, sigmoid_betas
from jensen.samplers.annealing import AnnealingPath
from jensen.samplers.kernel import Ensemble, Moves
from jensen.samplers.kernel import hmc as hmc_kernel

DOUBLE = torch.float64
X = torch.tensor([[1.5], [-0.4], [2.5]], dtype=DOUBLE)
NOISE = 0.5


def path_of(x):
    """z ~ N(0, 1), x | z ~ N(z, 0.25): one group of chains for each x, `(G, 1)`."""

    def terms(points):
        log_likelihood = Normal(points.view(len(x), -1), NOISE).log_prob(x)
        return torch.stack([log_likelihood.flatten(), Normal(0.0, 1.0).log_prob(points).sum(-1)])

    slopes, offsets = torch.eye(2, dtype=DOUBLE)
    return AnnealingPath(terms, slopes, offsets, lambda n, draw: torch.randn(n, 1, generator=draw, dtype=DOUBLE))


def tempered(x, beta):
    """Mean and variance of p(z) p(x | z)^beta."""
    precision = 1 + beta / NOISE**2
    return beta * x / NOISE**2 / precision, 1 / precision


def log_evidence(x):
    return Normal(torch.zeros_like(x), math.sqrt(1 + NOISE**2)).log_prob(x)


def expected_log_likelihood(x, beta):
    mean, variance = tempered(x, beta)
    return Normal(mean, NOISE).log_prob(x) - variance / NOISE**2 / 2


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def prior(chains, draw, groups=3):
    return torch.randn(groups, chains, 1, generator=draw, dtype=DOUBLE)


def posterior(x, chains, draw):
    mean, variance = tempered(x, 1.0)
    return mean.unsqueeze(1) + math.sqrt(variance) * prior(chains, draw, len(x))


@cache
def fixed(steps=3):
    draw = generator(9)
    return learn_transitions(path_of(X), prior(64, draw), sigmoid_betas(20), steps=steps, generator=draw)


def z_scores(run, truth):
    """Of the mean weight against exp(truth), one for each group."""
    ratio = (run.log_weights - truth).exp()
    return (ratio.mean(1) - 1) / (ratio.std(1) / math.sqrt(ratio.shape[1]))


def up(chains=20_000, betas=None, transitions=None, seed=1):
    draw = generator(seed)
    return annealed_importance(
        path_of(X), prior(chains, draw), betas or sigmoid_betas(6), transitions=transitions or fixed(), generator=draw
    )


def test_the_mean_weight_is_the_evidence_even_with_few_temperatures():
    run = up()
    assert z_scores(run, log_evidence(X)).abs().max() < 4.56
    assert run.log_weights.std() > 0.3, "the weights vary enough for a wrong one to be seen"


@pytest.mark.parametrize(("spread", "is_right"), [(1.0, True), (0.5, False)])
def test_from_draws_of_the_posterior_down_it_is_one_over_the_evidence(monkeypatch, spread, is_right):
    """At a wider likelihood: the narrower it is, the heavier is the tail of 1 / w."""
    transitions = fixed()
    monkeypatch.setattr(sys.modules[__name__], "NOISE", 1.2)
    draw, mean = generator(2), tempered(X, 1.0)[0].unsqueeze(1)
    starts = mean + spread * (posterior(X, 20_000, draw) - mean)
    run = annealed_importance(path_of(X), starts, sigmoid_betas(12)[::-1], transitions=transitions, generator=draw)
    assert (z_scores(run, -log_evidence(X)).abs().max() < 4.56) == is_right


@pytest.mark.parametrize("direction", [1, -1])
def test_with_perfect_transitions_the_bias_is_a_sum_of_divergences(monkeypatch, direction):
    draws = generator(3)
    monkeypatch.setattr(annealed, "hmc", lambda *a, **k: perfect_from(draws, *a))
    betas = sigmoid_betas(5)[::direction]
    starts = prior(40_000, draws) if direction == 1 else posterior(X, 40_000, draws)
    run = annealed_importance(path_of(X), starts, betas, transitions=fixed(), generator=draws)
    right = sum((b - a) * expected_log_likelihood(X, a) for a, b in pairwise(betas))
    wrong = sum((b - a) * expected_log_likelihood(X, b) for a, b in pairwise(betas))
    error = run.log_weights.std(1, keepdim=True) / math.sqrt(40_000)
    found = run.log_weights.mean(1, keepdim=True)
    assert ((found - right) / error).abs().max() < 4.56
    assert ((found - wrong) / error).abs().min() > 20, "weights taken after the move, not before"
    divergences = sum(divergence(a, b) for a, b in pairwise(betas))
    assert torch.allclose(right, direction * log_evidence(X) - divergences)


def divergence(a, b):
    """KL from the posterior tempered by a to that tempered by b."""
    (m, v), (n, w) = tempered(X, a), tempered(X, b)
    return (v / w - 1 + (m - n) ** 2 / w + math.log(w / v)) / 2


def perfect_from(draws, ensemble, terms, weights):
    mean, variance = tempered(X, float(weights[0, 0]))
    points = mean.unsqueeze(1) + math.sqrt(variance) * prior(ensemble.points.shape[1], draws)
    G, C, _ = points.shape
    no = torch.zeros(G, C, dtype=torch.bool)
    moves = Moves(torch.ones(G, C, dtype=DOUBLE), no, points, points, ~no, no, no)
    return Ensemble(points, terms(points.flatten(0, 1)).view(2, G, C), torch.zeros_like(points)), moves


def test_transitions_that_accept_everything_are_caught(monkeypatch):
    coarse = Transitions((0.0, 1.0), torch.full((2, 3), math.log(0.7)).double(), torch.zeros(2, 3, 1).double(), 3)
    betas = sigmoid_betas(12)
    assert z_scores(up(betas=betas, transitions=coarse), log_evidence(X)).abs().max() < 4.56

    def careless(*arguments, **options):
        chains, moves = hmc_kernel(*arguments, **options)
        G, C, _ = chains.points.shape
        values = arguments[1](moves.proposal.flatten(0, 1)).view(2, G, C)
        return Ensemble(moves.proposal, values, chains.gradient), moves

    monkeypatch.setattr(annealed, "hmc", careless)
    assert z_scores(up(betas=betas, transitions=coarse), log_evidence(X)).abs().max() > 10


class OwnState:
    """A step size that each chain chooses by where it is: what adapting inside of weighted chains comes down to."""

    steps = 2

    def __init__(self, path):
        self.terms, self.points = path.terms, None

    def spy(self, points):
        self.points = points.detach()
        return self.terms(points)

    def at(self, beta):
        near = self.points[:, 0] < 0.8
        return torch.where(near, 0.6, 0.02).double(), torch.ones(len(near), 1, dtype=DOUBLE)


def test_a_step_size_that_looks_at_its_own_chain_is_caught():
    G, draw, betas = 20_000, generator(4), sigmoid_betas(12)
    x = X[:1].expand(G, 1)
    path, truth = path_of(x), log_evidence(X[:1])

    def mean_weight(path, transitions):
        run = annealed_importance(path, prior(1, draw, G), betas, transitions=transitions, generator=draw)
        return z_scores(run._replace(log_weights=run.log_weights.T), truth).abs().item()

    step, scale = torch.full((2, G), math.log(0.6)).double(), torch.zeros(2, G, 1).double()
    assert mean_weight(path, Transitions((0.0, 1.0), step, scale, steps=2)) < 4.56
    own = OwnState(path)
    assert mean_weight(path._replace(terms=own.spy), own) > 4.56


def sandwich(temperatures):
    draw, transitions = generator(5), fixed(steps=2)
    betas, path = sigmoid_betas(temperatures), path_of(X)
    rise = annealed_importance(path, prior(2000, draw), betas, transitions=transitions, generator=draw)
    fall = annealed_importance(path, posterior(X, 2000, draw), betas[::-1], transitions=transitions, generator=draw)
    return rise.log_weights.mean(1), -fall.log_weights.mean(1)


def test_single_chains_sandwich_the_evidence_and_close_in_with_the_temperatures():
    truth = log_evidence(X).squeeze(1)
    gaps = []
    for temperatures in (5, 15, 45):
        lower, upper = sandwich(temperatures)
        assert bool((lower < truth).all())
        assert bool((upper > truth).all())
        gaps.append(upper - lower)
    assert bool((gaps[1] < gaps[0]).all())
    assert bool((gaps[2] < gaps[0] / 4).all())


def test_transitions_are_learned_to_the_acceptance_that_is_asked_for():
    betas = sigmoid_betas(100)
    for target in (0.65, 0.9):
        draw = generator(6)
        learned = learn_transitions(
            path_of(X), prior(64, draw), sigmoid_betas(60), steps=2, acceptance=target, generator=draw
        )
        found = up(chains=200, betas=betas, transitions=learned)
        assert found.acceptance.shape == (98, 3)
        assert (found.acceptance.mean(0) - target).abs().max() < 0.12
    mean_scale = learned.at(1.0)[1].mean().item()
    assert mean_scale == pytest.approx(math.sqrt(tempered(X, 1.0)[1]), rel=0.25)


def test_groups_have_steps_of_their_own():
    def terms(points):
        widths = torch.tensor([[1.0], [0.05]], dtype=DOUBLE)
        return torch.stack(
            [Normal(0.0, widths).log_prob(points.view(2, -1)).flatten(), Normal(0.0, 1.0).log_prob(points).sum(-1)]
        )

    path, draw = path_of(X[:2])._replace(terms=terms), generator(7)
    learned = learn_transitions(path, prior(1, draw, 2), sigmoid_betas(200), steps=2, generator=draw)
    wide, narrow = learned.at(1.0)[0].tolist()
    assert wide > 4 * narrow
    assert bool((learned.log_scale == 0).all()), "one chain tells no metric"


def test_between_its_temperatures_a_setting_is_interpolated():
    learned = Transitions(
        (0.2, 0.6, 1.0), torch.tensor([[0.0], [-1.0], [-3.0]]), torch.tensor([[[0.0]], [[1.0]], [[2.0]]]), 5
    )
    for beta, step, scale in ((0.0, 0, 0), (0.2, 0, 0), (0.4, -0.5, 0.5), (0.6, -1, 1), (0.8, -2, 1.5), (1.0, -3, 2)):
        found = learned.at(beta)
        assert found[0].log().item() == pytest.approx(step, abs=1e-6)
        assert found[1].log().item() == pytest.approx(scale, abs=1e-6)
    alone = Transitions((1.0,), torch.tensor([[-1.0]]), torch.zeros(1, 1, 1), 5)
    assert alone.at(0.3)[0].log().item() == pytest.approx(-1)


def test_two_temperatures_are_plain_importance_sampling_from_the_prior():
    draw = generator(8)
    points = prior(50, draw)
    run = annealed_importance(path_of(X), points, (0.0, 1.0), transitions=fixed(), generator=draw)
    assert torch.allclose(run.log_weights, Normal(points.squeeze(-1), NOISE).log_prob(X))
    assert torch.equal(run.points, points)
    assert run.acceptance.shape == (0, 3)


def test_the_count_of_evaluations_and_the_progress():
    seen, calls, path, draw = [], [], path_of(X), generator()

    def terms(points):
        seen.append(len(points))
        return path.terms(points)

    counted = path._replace(terms=terms)
    learned = learn_transitions(
        counted, prior(4, draw), sigmoid_betas(7), steps=3, generator=draw, progress=lambda *t: calls.append(t)
    )
    assert learned.evaluations == sum(seen)
    assert calls == [(t, 6) for t in range(1, 7)]
    seen.clear()
    run = annealed_importance(counted, prior(4, draw), sigmoid_betas(9), transitions=learned, generator=draw)
    assert run.evaluations == sum(seen) == 12 * (8 + 7 * 3)


def test_single_precision_sums_in_double():
    draw, path = generator(), path_of(X.float())
    single = path._replace(slopes=path.slopes.float(), offsets=path.offsets.float())
    points = prior(8, draw).float()
    learned = learn_transitions(single, points, sigmoid_betas(20), generator=draw)
    run = annealed_importance(single, points, sigmoid_betas(20), transitions=learned, generator=draw)
    assert (run.points.dtype, run.log_weights.dtype) == (torch.float32, torch.float64)


def test_a_likelihood_of_zero_weighs_nothing():
    path, draw = path_of(X), generator()
    nothing = path._replace(terms=lambda z: torch.stack([torch.full_like(z[:, 0], -math.inf), -z.square().sum(-1)]))
    run = annealed_importance(nothing, prior(4, draw), sigmoid_betas(5), transitions=fixed(), generator=draw)
    assert bool((run.log_weights == -math.inf).all())


def test_same_generator_same_weights_and_the_global_one_is_left_alone():
    state = torch.get_rng_state()
    first, second = up(chains=5), up(chains=5)
    assert torch.equal(first.log_weights, second.log_weights)
    assert torch.equal(state, torch.get_rng_state())


def test_what_makes_no_sense_is_refused():
    draw, path = generator(), path_of(X)
    points, learned = prior(2, draw), fixed()
    for betas in ((0.0,), (0.0, 0.5, 0.4, 1.0), (0.0, 0.5, 0.5, 1.0), (0.0, math.nan, 1.0), (math.nan, math.nan)):
        with pytest.raises(ValueError, match="betas must ascend or descend"):
            annealed_importance(path, points, betas, transitions=learned, generator=draw)
    with pytest.raises(ValueError, match=r"shape \(2, 1\); expected \(groups, chains, dimension\)"):
        annealed_importance(path, points[0], (0.0, 1.0), transitions=learned, generator=draw)
    with pytest.raises(ValueError, match="ascending betas"):
        learn_transitions(path, points, (1.0, 0.0), generator=draw)
    with pytest.raises(ValueError, match="0 steps"):
        learn_transitions(path, points, (0.0, 1.0), steps=0, generator=draw)
    with pytest.raises(ValueError, match="acceptance below 1"):
        learn_transitions(path, points, (0.0, 1.0), acceptance=1.5, generator=draw)
    for temperatures, sharpness in ((1, 4.0), (5, 0.0), (5, math.inf)):
        with pytest.raises(ValueError, match="two temperatures at least"):
            sigmoid_betas(temperatures, sharpness=sharpness)


def test_the_schedule_is_symmetric_and_ends_exactly():
    betas = sigmoid_betas(1001)
    assert (betas[0], betas[500], betas[-1]) == (0.0, pytest.approx(0.5), 1.0)
    assert all(a + b == pytest.approx(1.0) for a, b in zip(betas, reversed(betas), strict=True))
    assert betas[1] < 1e-3 < betas[501] - betas[500]
