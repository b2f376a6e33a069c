import math

import pytest
import scipy.stats
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.distributions import kl_divergence
from torch.testing import assert_close

from jensen.distributions import IndependentBernoulli
from jensen.distributions.conditional_bernoulli import ConditionalBernoulli

DOUBLE = torch.float64
FALSE_ALARM = 2 * scipy.stats.norm.sf(4.56)
SIZES = [(1, 1), (4, 1), (5, 2), (6, 3), (4, 4)]


@pytest.mark.parametrize(("n", "k"), SIZES)
def test_everything_is_as_enumeration_says(draw, n, k):
    q = ConditionalBernoulli(2 * draw(3, n) + 5, k)
    every = q.enumerate_support()
    assert every.shape == (math.comb(n, k), 3, n)
    assert len(every) == q.support_size
    assert q.support.check(every).all()
    total = (every * q.logits).sum(-1).logsumexp(0)
    log_p = (every * q.logits).sum(-1) - total
    p = log_p.exp()
    assert_close(q.log_normalizer, total, atol=1e-12, rtol=0)
    assert_close(q.log_prob(every), log_p, atol=1e-12, rtol=0)
    mean = (p.unsqueeze(-1) * every).sum(0)
    assert_close(q.mean, mean, atol=1e-12, rtol=0)
    assert_close(q.mean.sum(-1), torch.full((3,), float(k), dtype=DOUBLE), atol=1e-12, rtol=0)
    assert_close(q.variance, mean * (1 - mean), atol=1e-12, rtol=0)
    assert_close(q.entropy(), -(p * log_p).sum(0), atol=1e-12, rtol=0)
    assert torch.equal(q.mode, every.gather(0, p.argmax(0).expand(1, n, 3).mT).squeeze(0))


def test_it_is_the_independent_bits_given_their_sum(draw):
    q = ConditionalBernoulli(draw(5), 2)
    every = q.enumerate_support()
    bits = IndependentBernoulli(q.logits).log_prob(every)
    assert_close(q.log_prob(every), bits - bits.logsumexp(0), atol=1e-13, rtol=0)


def test_a_tabulated_case():
    q = ConditionalBernoulli(torch.tensor([0.6, -0.4, 0.1, -0.9, 1.2], dtype=DOUBLE), 2)
    assert_close(q.log_normalizer.item(), 2.9302864894, atol=5e-11, rtol=0)
    marginals = [0.53518513, 0.23809825, 0.36690321, 0.15013817, 0.70967524]
    assert_close(q.mean, torch.tensor(marginals, dtype=DOUBLE), atol=5e-9, rtol=0)


def test_marginals_by_scaled_probabilities_are_caught():
    """k p_i of the softmax is not the marginal."""
    q = ConditionalBernoulli(torch.tensor([0.6, -0.4, 0.1, -0.9, 1.2], dtype=DOUBLE), 2)
    assert (2 * q.logits.softmax(-1) - q.mean).abs().max() > 0.1


def test_divergence_is_that_of_enumeration(draw):
    q, p = ConditionalBernoulli(draw(3, 5), 2), ConditionalBernoulli(draw(5), 2)
    every = q.enumerate_support()
    exact = (q.log_prob(every).exp() * (q.log_prob(every) - p.log_prob(every))).sum(0)
    assert_close(kl_divergence(q, p), exact, atol=1e-12, rtol=0)
    assert_close(kl_divergence(q, q), torch.zeros(3, dtype=DOUBLE), atol=1e-12, rtol=0)
    narrow = ConditionalBernoulli(torch.tensor([0.0, 0.0, -math.inf, 0.0, 0.0], dtype=DOUBLE), 2)
    assert kl_divergence(p, narrow) == math.inf
    assert kl_divergence(narrow, p).isfinite()
    assert_close(kl_divergence(narrow, narrow).item(), 0.0, atol=1e-12, rtol=0)
    with pytest.raises(ValueError, match="2 of 5 and 3 of 5"):
        kl_divergence(p, ConditionalBernoulli(draw(5), 3))


def test_a_constant_added_to_the_logits_changes_nothing(draw):
    logits = draw(5)
    q, p = ConditionalBernoulli(logits, 2), ConditionalBernoulli(logits + 300, 2)
    assert_close(q.log_prob(q.enumerate_support()), p.log_prob(q.enumerate_support()), atol=1e-11, rtol=0)
    assert_close(p.log_normalizer - q.log_normalizer, torch.tensor(600.0, dtype=DOUBLE), atol=1e-11, rtol=0)


def test_derivatives_of_both_orders(draw):
    logits = draw(2, 4).requires_grad_()
    every = ConditionalBernoulli(logits, 2).enumerate_support()
    for function in (
        lambda l: ConditionalBernoulli(l, 2).log_prob(every),
        lambda l: ConditionalBernoulli(l, 2).mean,
        lambda l: ConditionalBernoulli(l, 2).entropy(),
        lambda l: ConditionalBernoulli(l, 2).log_normalizer,
    ):
        assert gradcheck(function, logits)
        assert gradgradcheck(function, logits)


def test_marginals_are_the_derivative_of_the_normalizer(draw):
    logits = draw(3, 5).requires_grad_()
    q = ConditionalBernoulli(logits, 2)
    assert_close(torch.autograd.grad(q.log_normalizer.sum(), logits)[0], q.mean, atol=1e-13, rtol=0)


@pytest.mark.parametrize("size", [60.0, 1e4])
def test_extreme_logits_in_single_precision(size):
    logits = torch.tensor([size, -size, 0.0, -size, -size]).requires_grad_()
    q = ConditionalBernoulli(logits, 3)
    log_p = q.log_prob(torch.tensor([[1.0, 1, 1, 0, 0], [1, 0, 1, 1, 0], [0, 1, 0, 1, 1]]))
    assert_close(log_p[:2], torch.full((2,), -math.log(3)), atol=1e-5 + size * 1e-6, rtol=0)
    assert log_p[2] < -2.9 * size
    (gradient,) = torch.autograd.grad(log_p.sum(), logits)
    assert gradient.isfinite().all()
    third = 1 / 3
    assert_close(q.mean.detach(), torch.tensor([1.0, third, 1.0, third, third]), atol=1e-5 + size * 1e-6, rtol=0)
    x = q.sample((500,))
    assert q.support.check(x).all()
    assert (x[:, [0, 2]] == 1).all()


def test_an_entry_that_cannot_be_one():
    logits = torch.tensor([0.5, -math.inf, 0.1, 0.3], dtype=DOUBLE, requires_grad=True)
    q = ConditionalBernoulli(logits, 2)
    every = q.enumerate_support()
    log_p = q.log_prob(every)
    assert ((log_p == -math.inf) == (every[:, 1] == 1)).all()
    assert_close(log_p.exp().sum().item(), 1.0, atol=1e-14, rtol=0)
    assert q.mean[1] == 0
    gradients = [torch.autograd.grad(each, logits)[0] for each in (q.entropy(), log_p[1], q.mean[0])]
    assert all(each.isfinite().all() and each[1] == 0 for each in gradients)
    assert q.sample((200,))[:, 1].sum() == 0


@pytest.mark.parametrize(("shift", "fits"), [(0.0, True), (0.05, False)])
def test_draws_fit_the_probabilities(shift, fits):
    """Pearson's statistic over the ten subsets, 9 degrees of freedom, at the tail probability of |z| = 4.56."""
    torch.manual_seed(0)
    logits, n = torch.tensor([0.6, -0.4, 0.1, -0.9, 1.2], dtype=DOUBLE), 100_000
    q = ConditionalBernoulli(logits, 2)
    every = q.enumerate_support()
    x = ConditionalBernoulli(logits + shift * torch.tensor([1.0, -1, 1, -1, 0], dtype=DOUBLE), 2).sample((n,))
    observed = (x.unsqueeze(1) == every).all(-1).double().sum(0)
    expected = n * q.log_prob(every).exp()
    statistic = ((observed - expected) ** 2 / expected).sum().item()
    assert (scipy.stats.chi2.sf(statistic, len(every) - 1) > FALSE_ALARM) == fits


def test_marginals_of_draws_with_a_batch(draw):
    torch.manual_seed(0)
    q, n = ConditionalBernoulli(1.5 * draw(2, 3, 9), 4), 20_000
    x = q.sample((n,))
    assert x.shape == (n, 2, 3, 9)
    assert q.support.check(x).all()
    z = (x.mean(0) - q.mean) / (q.variance / n).sqrt()
    assert z.abs().max() < 4.56


@pytest.mark.parametrize(("shape", "value_batch"), [((4,), ()), ((4,), (5,)), ((3, 4), ()), ((3, 1, 4), (2, 1, 5))])
def test_values_broadcast_against_the_batch(draw, shape, value_batch):
    q = ConditionalBernoulli(draw(*shape), 2)
    value = torch.zeros(*value_batch, 4, dtype=DOUBLE)
    value[..., 1:3] = 1
    log_p = q.log_prob(value)
    assert log_p.shape == torch.broadcast_shapes(q.batch_shape, value_batch)
    assert_close(log_p, q.log_prob(value.expand(*log_p.shape, 4)))


def test_expanding_and_printing(draw):
    q = ConditionalBernoulli(draw(3, 4).float(), 2, validate_args=True)
    expanded = q.expand((2, 3))
    assert expanded.batch_shape == (2, 3)
    assert expanded.sample((5,)).shape == (5, 2, 3, 4)
    assert expanded.sample().dtype == torch.float32
    assert repr(q) == "ConditionalBernoulli(logits: torch.Size([3, 4]))"
    for bad in ([1.0, 1, 1, 0], [0.5, 0.5, 1, 0], [2.0, 0, 0, 0]):
        with pytest.raises(ValueError, match="support"):
            expanded.log_prob(torch.tensor(bad))


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="scalar"):
        ConditionalBernoulli(torch.tensor(0.0), 1)
    for k in (0, 4):
        with pytest.raises(ValueError, match=f"k must be between 1 and 3.*got {k}"):
            ConditionalBernoulli(torch.zeros(3), k)
    with pytest.raises(ValueError, match="fewer than k = 2"):
        ConditionalBernoulli(torch.tensor([0.0, -math.inf, -math.inf]), 2)
    with pytest.raises(ValueError, match=r"\+inf"):
        ConditionalBernoulli(torch.tensor([0.0, math.inf, 1.0]), 2)
    for k in (2.0, True):
        with pytest.raises(ValueError, match=f"k must be an int, got {k}"):
            ConditionalBernoulli(torch.zeros(3), k)
    with pytest.raises(ValueError, match="int64; give floating-point"):
        ConditionalBernoulli(torch.tensor([0, 1, 2]), 2)


@pytest.mark.parametrize("batch", [(), (3,)])
def test_no_draw_has_no_log_probability(draw, batch):
    q = ConditionalBernoulli(draw(*batch, 4), 2)
    assert q.log_prob(q.sample((0,))).shape == (0, *batch)
