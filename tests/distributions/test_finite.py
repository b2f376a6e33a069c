import math

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.distributions import kl_divergence
from torch.testing import assert_close

from jensen.distributions.finite import Finite

STATES = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
LOGITS = torch.tensor([0.5, 0.3, 0.2]).log()


@pytest.fixture(params=[(), (4,), (2, 4)], ids=str)
def q(request):
    batch = request.param
    logits = torch.randn(*batch, 3, generator=torch.Generator().manual_seed(0))
    return Finite(STATES.reshape(3, *[1] * len(batch), 2), logits)


def test_probabilities_of_the_listed_values(q):
    values = q.enumerate_support()
    assert values.shape == (3, *q.batch_shape, 2)
    assert_close(q.log_prob(values), q.support_log_prob)
    assert_close(q.log_prob(values).exp().sum(0), torch.ones(q.batch_shape))
    assert q.support.check(values).all()


def test_gradient_is_that_of_the_softmax():
    logits = LOGITS.clone().requires_grad_()
    (found,) = torch.autograd.grad(Finite(STATES, logits).log_prob(STATES[1]), logits)
    assert_close(found, torch.tensor([-0.5, 0.7, -0.2]))


def test_frequencies(q):
    n = 20_000
    with torch.random.fork_rng():
        torch.manual_seed(0)
        drawn = q.sample((n,))
    assert drawn.shape == (n, *q.batch_shape, 2)
    for state, p in zip(STATES, q.probs.movedim(-1, 0), strict=True):
        found = (drawn == state).all(-1).sum(0)
        assert ((found - n * p) / (n * p * (1 - p)).sqrt()).abs().max() < 4.56


def test_each_batch_element_may_have_its_own_values():
    states = torch.tensor([[10, 20], [11, 21]])  # (S, batch)
    q = Finite(states, torch.tensor([[0.0, -math.inf], [-math.inf, 0.0]]))
    assert q.sample().tolist() == [10, 21]
    assert q.mode.tolist() == [10, 21]
    assert q.log_prob(torch.tensor([11, 21])).tolist() == [-math.inf, 0.0]


def test_a_value_that_is_not_listed():
    stranger = torch.tensor([0.0, 0.0])
    lax = Finite(STATES, LOGITS.clone().requires_grad_(), validate_args=False)
    assert lax.log_prob(stranger) == -math.inf
    with pytest.raises(ValueError, match="within the support"):
        Finite(STATES, LOGITS, validate_args=True).log_prob(stranger)


def test_expand(q):
    wide = q.expand((5, *q.batch_shape))
    values = wide.enumerate_support()
    assert values.shape == (3, 5, *q.batch_shape, 2)
    assert_close(wide.log_prob(values)[:, 2], q.log_prob(q.enumerate_support()))
    assert wide.sample((7, 2)).shape == (7, 2, 5, *q.batch_shape, 2)


def test_entropy_with_a_value_of_probability_zero():
    logits = torch.tensor([0.5, 0.5, 0.0]).log().requires_grad_()
    entropy = Finite(STATES, logits).entropy()
    assert_close(entropy, torch.tensor(math.log(2)))
    assert torch.autograd.grad(entropy, logits)[0].isfinite().all()


def test_extreme_logits():
    q = Finite(torch.arange(3), torch.tensor([1e4, 0.0, -1e4]))
    assert q.sample((100,)).unique().tolist() == [0]
    assert q.log_prob(torch.arange(3)).tolist() == [0.0, -1e4, -2e4]


@pytest.mark.parametrize(
    ("states", "logits", "message"),
    [
        (torch.zeros(3, 2), torch.zeros(4), r"states \(3, 2\) and logits \(4,\) do not fit"),
        (torch.zeros(3), torch.zeros(2, 3), r"states \(3,\) and logits \(2, 3\) do not fit"),
        (torch.zeros(3, 5), torch.zeros(2, 3), r"batch axes \(5,\); expected \(2,\) or ones"),
        (torch.zeros(0), torch.zeros(0), "do not fit"),
        (torch.zeros(()), torch.zeros(()), "do not fit"),
        (torch.zeros(2), torch.tensor([0.0, math.nan]), "logits"),
        (torch.zeros(2), torch.tensor([0, 1]), "int64; give floating-point"),
    ],
)
def test_bad_input_is_refused(states, logits, message):
    with pytest.raises(ValueError, match=message):
        Finite(states, logits, validate_args=True)


def test_divergence_is_that_of_enumeration(q):
    p = Finite(STATES, LOGITS)
    every = q.enumerate_support()
    exact = (q.log_prob(every).exp() * (q.log_prob(every) - p.log_prob(every))).sum(0)
    assert_close(kl_divergence(q, p), exact)
    assert_close(kl_divergence(q.expand((5, *q.batch_shape)), q)[2], torch.zeros(q.batch_shape))
    reverse = (p.log_prob(every).exp() * (p.log_prob(every) - q.log_prob(every))).sum(0)
    assert_close(kl_divergence(p, q), reverse)
    assert (exact - reverse).abs().max() > 1e-3


def test_divergence_where_values_have_no_probability():
    logits = torch.tensor([0.3, 0.1, -math.inf], dtype=torch.float64).requires_grad_()
    narrow, wide = Finite(STATES, logits), Finite(STATES, LOGITS.double())
    found = kl_divergence(narrow, wide)
    two = Finite(STATES[:2], logits[:2])
    assert_close(found, kl_divergence(two, Finite(STATES[:2], LOGITS[:2].double())) - math.log(0.8), check_dtype=False)
    assert torch.autograd.grad(found, logits)[0].isfinite().all()
    assert kl_divergence(wide, narrow) == math.inf
    assert kl_divergence(narrow, narrow) == 0
    remote = Finite(STATES, torch.tensor([0.0, 0.0, -1e4]))
    assert kl_divergence(remote, Finite(STATES, torch.tensor([0.0, 0.0, -math.inf]))) == math.inf


def test_derivatives_of_the_divergence():
    logits = [torch.tensor(each).double().requires_grad_() for each in ([0.3, -0.4, 1.0], [0.1, 0.2, -0.6])]

    def divergence(l, r):
        return kl_divergence(Finite(STATES, l), Finite(STATES, r))

    assert gradcheck(divergence, logits)
    assert gradgradcheck(divergence, logits)


@pytest.mark.parametrize(
    ("states", "message"),
    [
        (STATES[[1, 0, 2]], "the states differ"),
        (STATES[:2], "the states differ"),
        (STATES[:, :1], "events have shapes"),
    ],
)
def test_divergence_of_other_values_is_refused(states, message):
    with pytest.raises(ValueError, match=message):
        kl_divergence(Finite(STATES, LOGITS), Finite(states, torch.zeros(len(states)), validate_args=False))


def test_no_draw_has_no_log_probability(q):
    assert q.log_prob(q.sample((0,))).shape == (0, *q.batch_shape)
