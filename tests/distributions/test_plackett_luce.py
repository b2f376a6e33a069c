import math

import pytest
import scipy.stats
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.distributions import kl_divergence
from torch.testing import assert_close

from jensen.distributions.plackett_luce import PlackettLuce

DOUBLE = torch.float64
FALSE_ALARM = 2 * scipy.stats.norm.sf(4.56)


def by_the_book(logits, order):
    """One factor after the other."""
    left, log_p = set(range(len(logits))), 0.0
    for item in order.tolist():
        log_p += logits[item] - torch.stack([logits[i] for i in sorted(left)]).logsumexp(0)
        left.remove(item)
    return log_p


@pytest.mark.parametrize(("n", "k"), [(1, None), (4, None), (4, 4), (5, 2), (5, 1), (6, 5)])
def test_probabilities_are_those_of_the_definition_and_sum_to_one(draw, n, k):
    q = PlackettLuce(2 * draw(n), k=k)
    every = q.enumerate_support()
    assert every.shape == (math.perm(n, k or n), k or n)
    assert len(every) == q.support_size
    log_p = q.log_prob(every)
    assert_close(log_p.exp().sum().item(), 1.0, atol=1e-12, rtol=0)
    assert_close(log_p, torch.stack([by_the_book(q.logits, order) for order in every]), atol=1e-12, rtol=0)
    assert q.support.check(every).all()


def test_a_product_of_probabilities_with_replacement_is_caught():
    logits = torch.tensor([0.6, -0.4, 0.1, -0.9], dtype=DOUBLE)
    every = PlackettLuce(logits).enumerate_support()
    assert logits.log_softmax(-1)[every].sum(-1).exp().sum() < 0.1


def test_the_first_of_a_full_order_have_the_shorter_distribution(draw):
    logits = draw(5)
    full, first = PlackettLuce(logits), PlackettLuce(logits, k=2)
    every = full.enumerate_support()
    p = full.log_prob(every).exp()
    for start in first.enumerate_support():
        assert_close(p[(every[:, :2] == start).all(-1)].sum(), first.log_prob(start).exp(), atol=1e-14, rtol=0)


@pytest.mark.parametrize("k", [None, 2])
def test_derivatives_of_both_orders(draw, k):
    logits = draw(2, 4).requires_grad_()
    every = PlackettLuce(logits, k=k).enumerate_support()
    assert gradcheck(lambda l: PlackettLuce(l, k=k).log_prob(every), logits)
    assert gradgradcheck(lambda l: PlackettLuce(l, k=k).log_prob(every[::3]), logits)


@pytest.mark.parametrize("size", [60.0, 1e4])
def test_extreme_logits_in_single_precision(size):
    logits = torch.tensor([size, -size, 0.0, -size]).requires_grad_()
    q = PlackettLuce(logits)
    log_p = q.log_prob(torch.tensor([[0, 2, 1, 3], [1, 3, 2, 0]]))
    assert_close(log_p[0].item(), -math.log(2), atol=1e-5 + size * 2e-7, rtol=0)
    assert log_p[1] < -3 * size
    assert torch.autograd.grad(log_p.sum(), logits)[0].isfinite().all()
    assert (q.sample((100,))[:, :2] == torch.tensor([0, 2])).all()


def test_an_item_without_probability_is_not_drawn():
    logits = torch.tensor([0.5, -math.inf, 0.1, 0.3], dtype=DOUBLE, requires_grad=True)
    q = PlackettLuce(logits, k=3)
    log_p = q.log_prob(torch.tensor([[2, 0, 3], [2, 1, 3]]))
    assert log_p[1] == -math.inf
    assert_close(log_p[0], PlackettLuce(logits[[0, 2, 3]]).log_prob(torch.tensor([1, 0, 2])), atol=1e-14, rtol=0)
    (gradient,) = torch.autograd.grad(log_p[0], logits)
    assert gradient.isfinite().all()
    assert gradient[1] == 0
    assert (q.sample((200,)) != 1).all()


@pytest.mark.parametrize("k", [None, 2])
@pytest.mark.parametrize(("shift", "fits"), [(0.0, True), (0.05, False)])
def test_draws_fit_the_probabilities(shift, fits, k):
    """Pearson's statistic over all orders, at the tail probability of |z| = 4.56."""
    torch.manual_seed(0)
    logits, n = torch.tensor([0.6, -0.4, 0.1, -0.9], dtype=DOUBLE), 100_000
    q = PlackettLuce(logits, k=k)
    every = q.enumerate_support()
    x = PlackettLuce(logits + shift * torch.tensor([1.0, -1, 1, -1], dtype=DOUBLE), k=k).sample((n,))
    observed = (x.unsqueeze(1) == every).all(-1).double().sum(0)
    expected = n * q.log_prob(every).exp()
    statistic = ((observed - expected) ** 2 / expected).sum().item()
    assert (scipy.stats.chi2.sf(statistic, len(every) - 1) > FALSE_ALARM) == fits


@pytest.mark.parametrize(("shape", "value_batch"), [((3,), ()), ((3,), (5,)), ((2, 3), ()), ((2, 1, 3), (4, 1, 5))])
def test_values_broadcast_against_the_batch(draw, shape, value_batch):
    q = PlackettLuce(draw(*shape))
    value = torch.tensor([2, 0, 1]).expand(*value_batch, 3)
    log_p = q.log_prob(value)
    assert log_p.shape == torch.broadcast_shapes(q.batch_shape, value_batch)
    assert_close(log_p, q.log_prob(value.expand(*log_p.shape, 3)))


def test_expanding_and_printing(draw):
    q = PlackettLuce(draw(3, 4), k=2, validate_args=True)
    expanded = q.expand((5, 3))
    assert (expanded.batch_shape, expanded.event_shape) == ((5, 3), (2,))
    assert expanded.sample((7,)).shape == (7, 5, 3, 2)
    assert expanded.enumerate_support(expand=False).shape == (12, 1, 1, 2)
    assert repr(q) == "PlackettLuce(logits: torch.Size([3, 4]))"
    with pytest.raises(ValueError, match="support"):
        expanded.log_prob(torch.tensor([1, 1]))


@pytest.mark.parametrize("value", [[0, 0, 1], [0, 1, 3], [-1, 0, 1], [0.0, 1.0, 2.0]])
def test_values_that_are_no_order_are_refused(value):
    with pytest.raises(ValueError, match="support"):
        PlackettLuce(torch.zeros(3), validate_args=True).log_prob(torch.tensor(value))


@pytest.mark.parametrize("batch", [(), (3,)])
def test_no_draw_has_no_log_probability(draw, batch):
    q = PlackettLuce(draw(*batch, 4), k=2)
    assert q.log_prob(q.sample((0,))).shape == (0, *batch)


def test_there_is_no_closed_divergence(draw):
    q = PlackettLuce(draw(4))
    with pytest.raises(NotImplementedError):
        kl_divergence(q, q)


def test_the_mode_is_the_likeliest(draw):
    for k in (None, 3):
        q = PlackettLuce(draw(5), k=k)
        every = q.enumerate_support()
        assert torch.equal(q.mode, every[q.log_prob(every).argmax()])


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="scalar"):
        PlackettLuce(torch.tensor(0.0))
    with pytest.raises(ValueError, match="k must be between 1 and 3"):
        PlackettLuce(torch.zeros(3), k=4)
    with pytest.raises(ValueError, match="fewer than k = 3"):
        PlackettLuce(torch.tensor([0.0, -math.inf, 1.0]))
    with pytest.raises(ValueError, match="k must be an int, got 2"):
        PlackettLuce(torch.zeros(3), k=2.0)
    with pytest.raises(ValueError, match="int64; give floating-point"):
        PlackettLuce(torch.tensor([0, 1, 2]))
