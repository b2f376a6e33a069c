import itertools
import math

import pytest
import torch
from torch.distributions import Distribution
from torch.testing import assert_close

from jensen.gradients import beam
from jensen.gradients.beam_search import stochastic_beam_search
from jensen.gradients.unordered_set import unordered_set

DOUBLE = torch.float64
V, T = 3, 3
Z_LIMIT = 4.56  # the suite's budget of false alarms
SEQUENCES = torch.tensor(list(itertools.product(range(V), repeat=T)))


class Bigrams(Distribution):
    """A Markov chain over tokens, autoregressive as any sequence model is; it draws without replacement by itself."""

    arg_constraints = {}

    def __init__(self, logits):
        self.logits = logits  # (*batch, V + 1, V): the last row begins
        super().__init__(logits.shape[:-2], torch.Size((T,)), validate_args=False)

    def next_log_prob(self, prefix):
        """`(n, *batch, t)` to `(n, *batch, V)`."""
        last = prefix[..., -1] if prefix.shape[-1] else torch.full(prefix.shape[:-1], V)
        table = self.logits.log_softmax(-1).expand(len(prefix), *self.logits.shape)
        return table.gather(-2, last[..., None, None].expand(*last.shape, 1, V)).squeeze(-2)

    def log_prob(self, value):
        steps = [self.next_log_prob(value[..., :t]).gather(-1, value[..., t : t + 1]) for t in range(T)]
        return torch.cat(steps, -1).sum(-1)

    def distinct(self, k, *, generator=None):
        return stochastic_beam_search(
            self.next_log_prob, k, T, batch_shape=tuple(self.batch_shape), generator=generator
        )


def bigrams(*batch):
    logits = 1.3 * torch.randn(V + 1, V, dtype=DOUBLE, generator=torch.Generator().manual_seed(3))
    return logits.expand(*batch, V + 1, V).clone().requires_grad_()


def cost(z):
    return ((z * torch.tensor([1.0, -0.7, 0.4], dtype=DOUBLE)).sum(-1) - 0.3) ** 3


def uniformity(u):
    grid = torch.arange(1, len(u) + 1) / len(u)
    return float((u.sort().values - grid).abs().max() * math.sqrt(len(u)))


def law_of_pairs(index, p):
    """How far the counts of pairs (2, n) drawn without replacement are from their law, as a z-score."""
    n, first, second = index.shape[1], p[:, None], p[None, :]
    law = (first * second / (1 - first)).fill_diagonal_(0.0)
    counts = torch.bincount(index[0] * len(p) + index[1], minlength=len(p) ** 2).reshape(len(p), -1)
    assert counts.diagonal().sum() == 0
    rare = n * law < 5
    expected = torch.cat((n * law[~rare], n * law[rare].sum()[None]))
    found = torch.cat((counts[~rare], counts[rare].sum()[None]))
    degrees = len(expected) - 1
    return float((((found - expected) ** 2 / expected).sum() - degrees) / math.sqrt(2 * degrees))


def test_law_of_the_sequences():
    n = 20_000
    q = Bigrams(bigrams(n).detach())
    drawn = q.distinct(2, generator=torch.Generator().manual_seed(0))
    p = Bigrams(bigrams()).log_prob(SEQUENCES).detach().exp()
    assert_close(p.sum().item(), 1.0)
    index = (drawn.values * torch.tensor([9, 3, 1])).sum(-1)  # (2, n)
    assert_close(drawn.log_prob.exp(), p[index])
    assert_close(drawn.log_complement.exp(), 1 - p[index].sum(0))
    assert abs(law_of_pairs(index, p)) < Z_LIMIT
    arrival = (-drawn.perturbed).exp()
    assert uniformity((-arrival[0]).exp()) < 2.2
    assert uniformity((-(arrival[1] - arrival[0]) * (1 - p[index[0]])).exp()) < 2.2


def test_keys_that_forget_their_parent_are_caught(monkeypatch):
    """The twin adds the parent's key to the children's instead of giving them it as their maximum."""
    monkeypatch.setattr(
        beam,
        "_arrivals",
        lambda log_prob, parent, generator: beam.log_waits(log_prob, generator=generator) - log_prob + parent,
    )
    q = Bigrams(bigrams(20_000).detach())
    index = (q.distinct(2, generator=torch.Generator().manual_seed(0)).values * torch.tensor([9, 3, 1])).sum(-1)
    assert law_of_pairs(index, Bigrams(bigrams()).log_prob(SEQUENCES).detach().exp()) > 5 * Z_LIMIT


def test_all_sequences_give_the_exact_expectation_and_gradient():
    logits = bigrams(2)
    value = unordered_set(cost, Bigrams(logits), samples=V**T)
    exact = (Bigrams(logits).log_prob(SEQUENCES[:, None].expand(-1, 2, -1)).exp() * cost(SEQUENCES)[:, None]).sum(0)
    assert_close(value, exact, rtol=0, atol=1e-12)
    found, expected = (torch.autograd.grad(each.sum(), logits)[0] for each in (value, exact))
    assert_close(found, expected, rtol=0, atol=1e-12)


def test_unordered_set_of_an_autoregressive_q_is_unbiased():
    n = 20_000
    logits = bigrams(n)
    value = unordered_set(cost, Bigrams(logits), samples=4, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    single = bigrams()
    exact = (Bigrams(single).log_prob(SEQUENCES).exp() * cost(SEQUENCES)).sum()
    (expected,) = torch.autograd.grad(exact, single)
    z = (gradient.mean(0) - expected) / gradient.std(0) * math.sqrt(n)
    assert z.abs().max() < 4.56
    assert abs((value.mean() - exact) / value.std() * math.sqrt(n)) < 4.56


def test_nothing_follows_the_end():
    table = torch.tensor([0.5, 0.3, 0.2], dtype=DOUBLE).log()
    drawn = stochastic_beam_search(lambda prefix: table.expand(len(prefix), 3), 7, 2, eos=0)
    found = {tuple(each): math.exp(p) for each, p in zip(drawn.values.tolist(), drawn.log_prob.tolist(), strict=True)}
    assert found[0, 0] == pytest.approx(0.5)
    assert (0, 1) not in found
    assert found[2, 1] == pytest.approx(0.06)
    assert sum(found.values()) == pytest.approx(1.0)
    assert drawn.log_complement == -math.inf


def test_ended_sequences_that_cannot_go_on_come_last():
    table = torch.tensor([0.5, 0.5], dtype=DOUBLE).log()
    drawn = stochastic_beam_search(lambda prefix: table.expand(len(prefix), 2), 4, 2, eos=0)
    assert (
        drawn.log_prob.exp().tolist() == pytest.approx([0.5, 0.25, 0.25, 0.0], abs=0) or drawn.log_prob[3] == -math.inf
    )
    assert drawn.perturbed[3] == -math.inf


def test_prefixes_have_the_shape_that_is_promised():
    seen = []

    def next_log_prob(prefix):
        seen.append(tuple(prefix.shape))
        return torch.zeros(*prefix.shape[:-1], 5).log_softmax(-1)

    drawn = stochastic_beam_search(next_log_prob, 4, 3, batch_shape=(2, 6))
    assert seen == [(1, 2, 6, 0), (4, 2, 6, 1), (4, 2, 6, 2)]
    assert drawn.values.shape == (4, 2, 6, 3)
    assert drawn.log_complement.shape == (2, 6)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"returned shape \(5,\) for prefixes \(1, 0\); expected \(1, 'V'\)"):
        stochastic_beam_search(lambda prefix: torch.zeros(5), 2, 3)
    with pytest.raises(ValueError, match="length must be at least 1"):
        stochastic_beam_search(lambda prefix: torch.zeros(1, 5), 2, 0)
    with pytest.raises(ValueError, match="samples must be at least 1"):
        stochastic_beam_search(lambda prefix: torch.zeros(1, 5), 0, 3)
