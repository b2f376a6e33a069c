"""What chains learn from each other: acceptance near its target, lengths near the best, moments as numpy has them."""

import math

import pytest
import torch
from torch.testing import assert_close

from jensen._random import seeded_generator
from jensen.samplers import adaptation
from jensen.samplers.kernel import Moves, hmc, start

ONE = torch.ones(1, 1).double()


def normal(x):
    return -x.square().sum(-1).unsqueeze(0) / 2


def draws(groups, count, d, seed=0):
    return torch.randn(groups, count, d, generator=seeded_generator(seed)).double()


def test_step_sizes_reach_the_target_in_every_group():
    widths = torch.tensor([[0.1], [1.0], [10.0]]).double().expand(3, 5)
    weights = torch.ones(1, 3).double()
    generator = seeded_generator(0)

    def terms(x):
        return normal(x.view(3, -1, 5) / widths.unsqueeze(1)).reshape(1, -1)

    chains = start(terms, draws(3, 100, 5) * widths.unsqueeze(1), weights)
    state, seen = adaptation.begin_step_size(torch.ones(3).double()), []
    for _ in range(150):
        unit = torch.ones(3, 5).double()
        chains, moves = hmc(chains, terms, weights, step_size=state.current, steps=3, scale=unit, generator=generator)
        state = adaptation.adapt_step_size(state, moves.acceptance)
        seen.append(adaptation.common_acceptance(moves.acceptance))
    assert_close(torch.stack(seen[50:]).mean(0), torch.full((3,), 0.75).double(), atol=0.03, rtol=0)
    relative = state.average / widths[:, 0]
    assert_close(relative, relative.mean().expand(3), atol=0, rtol=0.15)


def test_one_stuck_chain_does_not_stop_the_others():
    acceptance = torch.full((1, 100), 0.9)
    acceptance[0, 0] = 0.0
    assert 0.85 < adaptation.common_acceptance(acceptance) < 0.9
    assert acceptance[0, 0] == 0


def test_those_outside_the_support_are_left_out_unless_nearly_all_are():
    acceptance, outside = (
        torch.tensor([[0.5] + [0.0] * 4, [0.5, 0.5, 0.0, 0.0, 0.0]]),
        torch.zeros(2, 5, dtype=torch.bool),
    )
    outside[0, 1:] = outside[1, 2:] = True
    assert_close(adaptation.common_acceptance(acceptance, outside), torch.tensor([5 / 22, 0.5]))


def exact_moves(length, points, momenta):
    """A trajectory of a standard normal without error."""
    there = points * math.cos(length) + momenta * math.sin(length)
    velocity = momenta * math.cos(length) - points * math.sin(length)
    yes = torch.ones(points.shape[:2], dtype=torch.bool)
    return Moves(yes.double(), ~yes, there, velocity, yes, ~yes, ~yes)


@pytest.mark.parametrize("scale", [torch.full((1, 4), 3.0).double(), 3 * torch.eye(4).double().unsqueeze(0)])
def test_the_length_climbs_to_a_quarter_of_the_period(scale):
    """Without jitter the criterion of a normal is proportional to sin(T)^2, whose maximum is at pi / 2."""
    centre = torch.full((1, 4), 5.0).double()
    for first in (0.3, 2.5):
        state = adaptation.begin_length(first)
        for n in range(150):
            points, momenta = draws(1, 300, 4, 2 * n), draws(1, 300, 4, 2 * n + 1)
            exact = exact_moves(state.current, points, momenta)
            moves = exact._replace(proposal=centre + 3 * exact.proposal, velocity=3 * exact.velocity)
            state = adaptation.adapt_length(state, centre + 3 * points, moves, centre=centre, scale=scale, part=1.0)
        assert abs(state.average - math.pi / 2) < 0.15


def test_the_gradient_is_that_of_the_criterion():
    points, momenta = draws(1, 400_000, 2), draws(1, 400_000, 2, 1)

    def criterion(length):
        there = exact_moves(length, points, momenta).proposal
        return float((there.square().sum(-1) - points.square().sum(-1)).square().mean() / 4)

    slope = (criterion(0.7001) - criterion(0.6999)) / 0.0002
    moves = exact_moves(0.7, points, momenta)
    state = adaptation.begin_length(0.7)
    where = {"centre": torch.zeros(1, 2).double(), "scale": torch.ones(1, 2).double(), "part": 1.0}
    square = adaptation.adapt_length(state, points, moves, **where).square
    assert math.sqrt(square / 0.05) == pytest.approx(0.7 * slope, rel=1e-3)
    backward = moves._replace(velocity=-moves.velocity)
    assert adaptation.adapt_length(state, points, backward, **where).current < 0.7


def test_a_length_meets_its_bound_and_nothing_infinite():
    moves = exact_moves(0.1, draws(1, 50, 2), draws(1, 50, 2, 1))
    where = {"centre": torch.zeros(1, 2).double(), "scale": torch.ones(1, 2).double(), "part": 1.0}
    state = adaptation.begin_length(4 * math.sqrt(2) - 1e-3)
    assert adaptation.adapt_length(state, draws(1, 50, 2), moves, **where).current <= 4 * math.sqrt(2) + 1e-9
    broken = moves._replace(velocity=moves.velocity * math.inf)
    assert adaptation.adapt_length(state, draws(1, 50, 2), broken, **where) == state


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 3)])
def test_moments_in_batches_are_those_of_all_draws(shape):
    points = draws(2, 90, 3) * torch.tensor([1.0, 5.0, 0.1]) + torch.tensor([100.0, 0.0, -3.0])
    moments = adaptation.begin_moments(torch.ones(shape).double())
    for batch in points.split(30, dim=1):
        moments = adaptation.add_points(moments, batch)
    assert_close(moments.mean, points.mean(1))
    covariance = torch.stack([each.T.cov(correction=0) for each in points])
    expected = covariance if len(shape) == 3 else covariance.diagonal(dim1=-2, dim2=-1)
    assert_close(moments.scatter / moments.draws, expected)


def test_a_metric_of_few_draws_is_still_a_metric():
    eye = torch.eye(6).double().unsqueeze(0)
    moments = adaptation.add_points(adaptation.begin_moments(eye), draws(1, 2, 6))
    factor = adaptation.estimate_scale(moments, eye)
    assert bool((factor.diagonal(dim1=-2, dim2=-1) > 0.1).all())
    still = adaptation.add_points(adaptation.begin_moments(eye), torch.zeros(1, 4, 6).double())
    assert_close(adaptation.estimate_scale(still, eye), eye * math.sqrt(5 / 9))


def test_a_metric_of_many_draws_is_the_covariance():
    covariance = torch.tensor([[1.0, 1.8], [1.8, 4.0]]).double()
    factor = torch.linalg.cholesky(covariance)
    points = draws(1, 200_000, 2) @ factor.mT
    found = adaptation.estimate_scale(
        adaptation.add_points(adaptation.begin_moments(factor.unsqueeze(0)), points), torch.eye(2).double().unsqueeze(0)
    )
    assert_close(found[0], factor, atol=0.02, rtol=0)


def test_jitter_fills_the_interval():
    parts = sorted(adaptation.van_der_corput(n) for n in range(1, 128))
    assert_close(torch.tensor(parts), torch.arange(1, 128) / 128)


@pytest.mark.parametrize(("length", "steps"), [(0.01, 1), (0.99, 2), (1.01, 3), (1e9, 1000)])
def test_leapfrog_steps(length, steps):
    assert adaptation.leapfrog_steps(length, torch.tensor([0.25, 1.0])) == steps
