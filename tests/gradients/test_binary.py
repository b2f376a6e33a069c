import math

import pytest
import torch
from torch.distributions import Bernoulli, Categorical, Independent, Normal, OneHotCategorical
from torch.testing import assert_close

from jensen.distributions import IndependentBernoulli
from jensen.distributions.conditional_bernoulli import ConditionalBernoulli
from jensen.gradients._parts import UnsupportedError
from jensen.gradients.binary import antithetic_pair, binary_logits, pulled, uniform_noise

DOUBLE = torch.float64
LOGITS = torch.tensor([[0.3, -0.6, 0.9], [2.0, 0.0, -1.0]], dtype=DOUBLE)


@pytest.mark.parametrize(
    "family",
    [
        lambda l: Bernoulli(logits=l),
        lambda l: Bernoulli(l.sigmoid()),
        lambda l: Independent(Bernoulli(logits=l), 1),
        lambda l: Independent(Bernoulli(l.sigmoid()), 2),
        lambda l: Independent(Independent(Bernoulli(logits=l), 1), 1),
        IndependentBernoulli,
        lambda l: Independent(IndependentBernoulli(l), 1),
    ],
)
def test_the_logits_are_found_with_their_gradient(family):
    logits = LOGITS.clone().requires_grad_()
    found = binary_logits(family(logits))
    assert_close(found, LOGITS, atol=1e-14, rtol=0)
    (gradient,) = torch.autograd.grad(found.sum(), logits)
    assert_close(gradient, torch.ones_like(LOGITS), atol=1e-14, rtol=0)


@pytest.mark.parametrize(
    "q",
    [
        Categorical(logits=LOGITS),
        OneHotCategorical(logits=LOGITS),
        Normal(LOGITS, 1.0),
        ConditionalBernoulli(LOGITS, 2),
        Independent(OneHotCategorical(logits=LOGITS), 1),
    ],
    ids=lambda q: type(q).__name__,
)
def test_what_is_not_independent_bits_is_refused(q):
    with pytest.raises(UnsupportedError, match="independent bits"):
        binary_logits(q)


def test_each_of_a_pair_is_a_draw():
    """On a grid of midpoints the share of ones is the probability, up to the spacing."""
    n = 20_000
    noise = ((torch.arange(n, dtype=DOUBLE) + 0.5) / n)[:, None].expand(n, 3)
    for draw in antithetic_pair(LOGITS[0], noise):
        assert_close(draw.mean(0), LOGITS[0].sigmoid(), atol=1.0 / n, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_logits_give_no_impossible_draw(dtype):
    logits = torch.tensor([1e4, -1e4, math.inf, -math.inf], dtype=dtype)
    noise = torch.tensor([[0.0], [0.5], [1 - torch.finfo(dtype).eps / 2]], dtype=dtype).expand(3, 4)
    pair = antithetic_pair(logits, noise)
    assert pair.dtype == dtype
    assert torch.equal(pair, torch.tensor([1.0, 0.0, 1.0, 0.0], dtype=dtype).expand_as(pair))


def test_noise_follows_the_generator_and_the_type():
    first, second = (uniform_noise(LOGITS.float(), 5, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, second)
    assert first.shape == (5, 2, 3)
    assert first.dtype == torch.float32


@pytest.mark.parametrize("event", [0, 1, 2])
def test_the_gradient_of_the_pull_is_difference_times_weight(event):
    K, logits = 4, LOGITS.clone().requires_grad_()
    difference = torch.arange(1.0, 1.0 + K * 6, dtype=DOUBLE).reshape(K, 2, 3)
    difference = difference if event == 0 else difference[..., 0] if event == 1 else difference[:, 0, 0]
    weight = torch.linspace(-1, 1, K * 6, dtype=DOUBLE).reshape(K, 2, 3)
    term = pulled(difference, weight, logits)
    assert term.shape == (2, 3)[: 2 - event]
    (gradient,) = torch.autograd.grad(term.sum(), logits)
    expected = (difference.reshape(*difference.shape, *[1] * event) * weight).mean(0)
    assert_close(gradient, expected, atol=1e-13, rtol=0)
