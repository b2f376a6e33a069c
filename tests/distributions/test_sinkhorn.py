import math

import pytest
import torch
from torch.testing import assert_close

from jensen.distributions.permutation_matrices import nearest_permutation
from jensen.distributions.sinkhorn import sinkhorn, sinkhorn_iterations, stochastic_error

TEMPERATURES = [1.0, 0.1, 0.02, 0.005]


@pytest.fixture
def log_x(draw):
    return draw(6, 6, 6)


@pytest.mark.parametrize("tau", TEMPERATURES)
def test_rows_and_columns_sum_to_one_at_any_temperature(log_x, tau):
    assert stochastic_error(sinkhorn(log_x, tau=tau)).max() < 1e-6


@pytest.mark.parametrize("tau", TEMPERATURES[1:])
def test_twenty_iterations_are_too_few(log_x, tau):
    assert stochastic_error(sinkhorn_iterations(log_x / tau, 20)).max() > 0.03


def test_it_ends_at_the_nearest_permutation(log_x):
    nearest = nearest_permutation(log_x)
    far = [(sinkhorn(log_x, tau=tau) - nearest).abs().max() for tau in (0.1, 0.02, 0.005)]
    assert far[0] > far[1] > far[2]
    assert (sinkhorn(log_x, tau=0.002) - nearest).abs().max() < 0.05


@pytest.mark.parametrize("tau", [2.0, 0.5, 0.05, 1e-3])
def test_two_things_in_closed_form(draw, tau):
    log_x = draw(7, 2, 2).requires_grad_()
    advantage = (log_x[:, 0, 0] + log_x[:, 1, 1] - log_x[:, 0, 1] - log_x[:, 1, 0]) / (2 * tau)
    stay = advantage.sigmoid()
    exact = torch.stack([stay, 1 - stay, 1 - stay, stay], -1).unflatten(-1, (2, 2))
    found = sinkhorn(log_x, tau=tau, tolerance=1e-13)
    assert_close(found, exact, atol=1e-11, rtol=0)
    weight = draw(7, 2, 2)
    gradients = [torch.autograd.grad((weight * each).sum(), log_x)[0] for each in (found, exact)]
    assert_close(*gradients, atol=1e-9 / tau, rtol=0)


def test_the_limit_is_the_one_of_largest_score_and_entropy(log_x):
    """At the optimum log P - L / tau is a sum of a number of the row and one of the column."""
    rest = sinkhorn(log_x, tau=0.3).log() - log_x / 0.3
    assert_close(rest - rest[:, :1], (rest - rest[:, :1])[..., :1].expand_as(rest), atol=1e-10, rtol=0)


def test_factors_of_rows_and_columns_change_nothing(draw, log_x):
    moved = log_x + draw(6, 6, 1) + draw(6, 1, 6)
    assert_close(sinkhorn(moved, tau=0.2, tolerance=1e-12), sinkhorn(log_x, tau=0.2, tolerance=1e-12))


@pytest.mark.parametrize("tau", [2.0, 1.0])
def test_the_gradient_is_that_of_the_limit(draw, tau):
    log_x = draw(2, 4, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: sinkhorn(x, tau=tau / 5, tolerance=1e-13), log_x, atol=1e-5)
    weight = draw(2, 4, 4)
    unrolled = sinkhorn_iterations(log_x / tau, 300)
    both = sinkhorn(log_x, tau=tau, tolerance=1e-13), unrolled
    gradients = [torch.autograd.grad((weight * each).sum(), log_x)[0] for each in both]
    assert_close(*gradients, atol=1e-8, rtol=1e-6)


def test_factors_that_are_held_constant_give_a_wrong_gradient(draw):
    log_x, weight = draw(4, 4).requires_grad_(), draw(4, 4)
    plan = sinkhorn(log_x, tolerance=1e-13)
    (right,) = torch.autograd.grad((weight * plan).sum(), log_x)
    wrong = (weight * plan).detach()
    assert (wrong - right).abs().max() > 0.1
    assert_close(right.sum(-1), torch.zeros(4, dtype=torch.float64), atol=1e-12, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1e-4, 1.0, 1e4])
def test_extreme_logits(draw, dtype, size):
    log_x = (size * draw(3, 5, 5)).to(dtype).requires_grad_()
    plan = sinkhorn(log_x)
    assert stochastic_error(plan).max() < 1e-5
    (gradient,) = torch.autograd.grad(plan[..., 0, 0].sum(), log_x)
    assert gradient.isfinite().all()


def test_forbidden_entries_stay_zero_and_get_no_gradient(draw):
    log_x = draw(3, 3)
    log_x[0, 1] = -math.inf
    log_x.requires_grad_()
    plan = sinkhorn(log_x)
    assert plan[0, 1] == 0
    assert stochastic_error(plan) < 1e-6
    (gradient,) = torch.autograd.grad((plan * draw(3, 3)).sum(), log_x)
    assert gradient.isfinite().all()
    assert gradient[0, 1] == 0


def test_allowed_entries_that_no_permutation_uses_tend_to_zero(draw):
    log_x = draw(4, 4)
    log_x[0, 1:] = -math.inf
    plan = sinkhorn(log_x, tolerance=1e-5)
    assert plan[1:, 0].max() < 1e-4
    assert_close(plan[1:, 1:], sinkhorn(log_x[1:, 1:]), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("size", "tau"), [(60, 0.1), (60, 1e-3)])
def test_many_things(draw, size, tau):
    log_x = draw(size, size).requires_grad_()
    plan = sinkhorn(log_x, tau=tau)
    assert stochastic_error(plan) < 1e-6
    (gradient,) = torch.autograd.grad((plan * draw(size, size)).sum(), log_x)
    assert_close(gradient.sum(-1), torch.zeros(size, dtype=torch.float64), atol=1e-7, rtol=0)


def test_fixed_iterations_by_hand(log_x):
    x = log_x.exp()
    for _ in range(3):
        x = x / x.sum(-1, keepdim=True)
        x = x / x.sum(-2, keepdim=True)
    assert_close(sinkhorn_iterations(log_x, 3), x)


def test_it_stops_when_told_to(log_x):
    error = stochastic_error(sinkhorn(log_x, tau=0.01, max_iterations=1)).max()
    assert error > 1e-3


@pytest.mark.parametrize(
    ("log_x", "options", "message"),
    [
        (torch.zeros(2, 3), {}, r"shape \(2, 3\); expected square matrices"),
        (torch.zeros(3), {}, "expected square matrices"),
        (torch.full((2, 2), math.nan), {}, "NaN"),
        (torch.tensor([[0.0, math.inf], [0.0, 0.0]]), {}, "inf"),
        (torch.tensor([[-math.inf, -math.inf], [0.0, 0.0]]), {}, "all -inf"),
        (torch.tensor([[0.0, 0.0, 0.0], [0.0, -math.inf, -math.inf], [0.0, -math.inf, -math.inf]]), {}, "infeasible"),
        (torch.zeros(2, 2), {"tau": 0.0}, "tau must be positive, got 0.0"),
        (torch.zeros(2, 2), {"tau": math.nan}, "tau must be positive"),
        (torch.zeros(2, 2), {"max_iterations": 0}, "at least one iteration, got 0"),
    ],
)
def test_bad_input(log_x, options, message):
    with pytest.raises(ValueError, match=message):
        sinkhorn(log_x, **options)
