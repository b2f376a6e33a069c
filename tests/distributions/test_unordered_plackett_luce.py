import itertools
import math
from fractions import Fraction

import pytest
import scipy.stats
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.distributions import kl_divergence
from torch.testing import assert_close

from jensen.distributions.plackett_luce import PlackettLuce
from jensen.distributions.unordered_plackett_luce import (
    UnorderedPlackettLuce,
    log_prob_of_every_subset,
    log_prob_of_subset,
)

DOUBLE = torch.float64
FALSE_ALARM = 2 * scipy.stats.norm.sf(4.56)
SIZES = [(1, 1), (4, 1), (4, 2), (5, 3), (4, 4), (7, 6)]


def by_orders(weights, members):
    """The probability of a subset as a sum over its orders, in fractions."""
    total = Fraction(0)
    for order in itertools.permutations(members):
        probability, left = Fraction(1), sum(weights)
        for item in order:
            probability *= weights[item] / left
            left -= weights[item]
        total += probability
    return total


@pytest.mark.parametrize(("n", "k"), SIZES)
def test_probabilities_sum_to_one(draw, n, k):
    q = UnorderedPlackettLuce(2 * draw(3, n), k)
    every = q.enumerate_support()
    assert every.shape == (math.comb(n, k), 3, n)
    assert len(every) == q.support_size
    assert_close(q.log_prob(every).exp().sum(0), torch.ones(3, dtype=DOUBLE), atol=1e-12, rtol=0)
    assert q.support.check(every).all()
    assert len({tuple(each.tolist()) for each in every[:, 0]}) == len(every)


def test_probabilities_are_those_of_all_orders():
    weights = [Fraction(each) for each in (5, 1, 3, 2, 7)]
    q = UnorderedPlackettLuce(torch.tensor([float(each) for each in weights], dtype=DOUBLE).log(), 3)
    every = q.enumerate_support()
    exact = [float(by_orders(weights, each.nonzero().squeeze(-1).tolist())) for each in every]
    assert_close(q.log_prob(every).exp(), torch.tensor(exact, dtype=DOUBLE), atol=1e-15, rtol=1e-14)


def test_probabilities_are_those_of_the_ordered_distribution(draw):
    logits = draw(5)
    orders = PlackettLuce(logits, k=3).enumerate_support()
    p = PlackettLuce(logits, k=3).log_prob(orders).exp()
    members = torch.zeros(len(orders), 5, dtype=DOUBLE).scatter(-1, orders, 1.0)
    q = UnorderedPlackettLuce(logits, 3)
    for subset, found in zip(q.enumerate_support(), q.log_prob(q.enumerate_support()), strict=True):
        assert_close(p[(members == subset).all(-1)].sum().log(), found, atol=1e-13, rtol=0)


def test_the_whole_domain_is_certain():
    logits = torch.tensor([3.0, -1.0, 0.5], dtype=DOUBLE, requires_grad=True)
    log_p = UnorderedPlackettLuce(logits, 3).log_prob(torch.ones(3, dtype=DOUBLE))
    assert_close(log_p.detach(), torch.zeros((), dtype=DOUBLE), atol=1e-15, rtol=0)
    assert_close(torch.autograd.grad(log_p, logits)[0], torch.zeros(3, dtype=DOUBLE), atol=1e-15, rtol=0)


def test_every_part_has_the_probability_of_its_own_domain():
    """Entry A: drawn from A and the complement alone, A comes first; also with masses that do not sum to one."""
    weights = [Fraction(each) for each in (5, 1, 3, 2)]
    outside = Fraction(4)
    log_p = torch.tensor([float(each) for each in weights], dtype=DOUBLE).log()
    table = log_prob_of_every_subset(log_p, torch.tensor(4.0, dtype=DOUBLE).log()).exp()
    assert table.shape == (16,)
    for mask in range(16):
        members = [i for i in range(4) if mask >> i & 1]
        local = [weights[i] for i in members] + [outside]
        exact = by_orders(local, range(len(members))) if members else 1
        assert_close(table[mask].item(), float(exact), atol=1e-15, rtol=1e-14)


def test_a_sum_that_forgets_what_is_left_is_caught():
    """The product of probabilities times k!, with replacement: too small, and no distribution over subsets."""
    logits = torch.tensor([0.6, -0.4, 0.1, -0.9], dtype=DOUBLE)
    q = UnorderedPlackettLuce(logits, 2)
    every = q.enumerate_support()
    twin = (every @ logits.log_softmax(-1)).exp() * 2
    assert_close(q.log_prob(every).exp().sum().item(), 1.0, atol=1e-12, rtol=0)
    assert_close(twin.sum().item(), 1 - logits.softmax(-1).square().sum().item(), atol=1e-12, rtol=0)


def test_peaked_probabilities_keep_their_digits():
    """Outside mass of 1e-30: 1 - P(S) would be nothing."""
    tiny = 1e-30
    log_p = torch.tensor([0.75, 0.25, tiny], dtype=DOUBLE).log()
    log_rest = torch.tensor(3 * tiny, dtype=DOUBLE).log()
    found = log_prob_of_subset(log_p, log_rest)
    assert_close(found.item(), math.log(1 / 4), atol=1e-14, rtol=0)
    naive = 1 - log_p.exp().sum()
    assert naive == 0


@pytest.mark.parametrize("size", [60.0, 1e4])
def test_extreme_logits_in_single_precision(size):
    logits = torch.tensor([size, -size, 0.0, -size, -size]).requires_grad_()
    q = UnorderedPlackettLuce(logits, 3)
    log_p = q.log_prob(torch.tensor([[1.0, 1, 1, 0, 0], [1, 0, 1, 1, 0], [0, 1, 0, 1, 1]]))
    assert_close(log_p[:2], torch.full((2,), -math.log(3)), atol=1e-5 + size * 2e-7, rtol=0)
    assert log_p[2] < -3 * size + 5
    (gradient,) = torch.autograd.grad(log_p.sum(), logits)
    assert gradient.isfinite().all()
    assert q.support.check(q.sample((100,))).all()


def test_an_item_without_probability_is_never_in():
    logits = torch.tensor([0.5, -math.inf, 0.1, 0.3], dtype=DOUBLE, requires_grad=True)
    q = UnorderedPlackettLuce(logits, 2)
    log_p = q.log_prob(q.enumerate_support())
    inside = q.enumerate_support()[:, 1] == 1
    assert (log_p[inside] == -math.inf).all()
    without = UnorderedPlackettLuce(logits[[0, 2, 3]], 2)
    assert_close(log_p[~inside], without.log_prob(without.enumerate_support()), atol=1e-14, rtol=0)
    (gradient,) = torch.autograd.grad(log_p[~inside][0], logits)
    assert gradient.isfinite().all()
    assert gradient[1] == 0
    assert q.sample((200,))[:, 1].sum() == 0
    full = UnorderedPlackettLuce(logits, 3)
    assert full.log_prob(torch.tensor([1.0, 0, 1, 1], dtype=DOUBLE)) == 0


def test_derivatives_of_both_orders(draw):
    logits = draw(2, 4).requires_grad_()
    every = UnorderedPlackettLuce(logits, 2).enumerate_support()
    assert gradcheck(lambda l: UnorderedPlackettLuce(l, 2).log_prob(every), logits)
    assert gradgradcheck(lambda l: UnorderedPlackettLuce(l, 2).log_prob(every), logits)


@pytest.mark.parametrize(("shift", "fits"), [(0.0, True), (0.05, False)])
def test_draws_fit_the_probabilities(shift, fits):
    """Pearson's statistic over the ten subsets, 9 degrees of freedom, at the tail probability of |z| = 4.56."""
    torch.manual_seed(0)
    logits, n = torch.tensor([0.6, -0.4, 0.1, -0.9, 1.2], dtype=DOUBLE), 100_000
    q = UnorderedPlackettLuce(logits, 2)
    every = q.enumerate_support()
    moved = UnorderedPlackettLuce(logits + shift * torch.tensor([1.0, -1, 1, -1, 0], dtype=DOUBLE), 2)
    observed = (moved.sample((n,)).unsqueeze(1) == every).all(-1).double().sum(0)
    expected = n * q.log_prob(every).exp()
    statistic = ((observed - expected) ** 2 / expected).sum().item()
    assert (scipy.stats.chi2.sf(statistic, len(every) - 1) > FALSE_ALARM) == fits


@pytest.mark.parametrize(("shape", "value_batch"), [((4,), ()), ((4,), (5,)), ((3, 4), ()), ((3, 1, 4), (2, 1, 5))])
def test_values_broadcast_against_the_batch(draw, shape, value_batch):
    q = UnorderedPlackettLuce(draw(*shape), 2)
    value = torch.zeros(*value_batch, 4, dtype=DOUBLE)
    value[..., 1:3] = 1
    log_p = q.log_prob(value)
    assert log_p.shape == torch.broadcast_shapes(q.batch_shape, value_batch)
    assert_close(log_p, q.log_prob(value.expand(*log_p.shape, 4)))


def test_expanding_and_printing(draw):
    q = UnorderedPlackettLuce(draw(3, 4), 2, validate_args=True)
    expanded = q.expand((2, 3))
    assert expanded.batch_shape == (2, 3)
    assert expanded.sample((5,)).shape == (5, 2, 3, 4)
    assert expanded.sample().dtype == DOUBLE
    with pytest.raises(ValueError, match="support"):
        expanded.log_prob(torch.ones(4, dtype=DOUBLE))
    assert repr(q) == "UnorderedPlackettLuce(logits: torch.Size([3, 4]))"
    assert repr(q.support) == "KHot(2)"


@pytest.mark.parametrize("batch", [(), (3,)])
def test_no_draw_has_no_log_probability(draw, batch):
    q = UnorderedPlackettLuce(draw(*batch, 4), 2)
    assert q.log_prob(q.sample((0,))).shape == (0, *batch)
    assert log_prob_of_every_subset(torch.zeros(0, 3), torch.zeros(0)).shape == (0, 8)


def test_there_is_no_closed_divergence(draw):
    q = UnorderedPlackettLuce(draw(4), 2)
    with pytest.raises(NotImplementedError):
        kl_divergence(q, q)


def test_the_mode_is_the_likeliest(draw):
    q = UnorderedPlackettLuce(draw(6), 3)
    every = q.enumerate_support()
    assert torch.equal(q.mode, every[q.log_prob(every).argmax()])


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="scalar"):
        UnorderedPlackettLuce(torch.tensor(0.0), 1)
    for k in (0, 4):
        with pytest.raises(ValueError, match=f"k must be between 1 and 3.*got {k}"):
            UnorderedPlackettLuce(torch.zeros(3), k)
    with pytest.raises(ValueError, match="at most 20"):
        UnorderedPlackettLuce(torch.zeros(30), 21)
    with pytest.raises(ValueError, match="fewer than k = 2"):
        UnorderedPlackettLuce(torch.tensor([0.0, -math.inf, -math.inf]), 2)
    with pytest.raises(ValueError, match="parameter logits"):
        UnorderedPlackettLuce(torch.tensor([0.0, math.nan, 1.0]), 2, validate_args=True)
    with pytest.raises(ValueError, match=r"hold \+inf"):
        UnorderedPlackettLuce(torch.tensor([0.0, math.inf, 1.0]), 2)
    for k in (2.0, True):
        with pytest.raises(ValueError, match=f"k must be an int, got {k}"):
            UnorderedPlackettLuce(torch.zeros(3), k)
    with pytest.raises(ValueError, match="int64; give floating-point"):
        UnorderedPlackettLuce(torch.tensor([0, 1, 2]), 2)
    with pytest.raises(ValueError, match=r"got shapes \(3, 2\) and \(2,\)"):
        log_prob_of_subset(torch.zeros(3, 2), torch.zeros(2))
