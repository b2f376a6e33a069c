r"""Distributions of independent discrete factors, and drawing from them without replacement.

Three exact ways, chosen by the probabilities alone. Few values are listed, and the largest Gumbel keys found. Where no
value is probable, independent draws are almost always different: a repeated one is drawn again. Else each value is
drawn from what the ones before it left. In the last two the keys follow from the order.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.distributions import Bernoulli, Categorical, Distribution, OneHotCategorical
from torch.nn.functional import softplus

from jensen.distributions.finite import Finite
from jensen.distributions.independent_bernoulli import IndependentBernoulli
from jensen.gradients._parts import base_of
from jensen.gradients.beam import gumbel_like, log_waits
from jensen.gradients.prefixes import one_by_one

__all__ = [
    "Factors",
    "InverseCdf",
    "Picked",
    "digits",
    "factors",
    "first_different",
    "pick",
    "race",
    "table",
    "table_size",
]

TABLE = 4096
"""Products of at most so many values are listed."""


class Factors(NamedTuple):
    """A product of `T` factors with `V` values each.

    Attributes:
        log_prob: of each value of each factor, `(*batch, T, V)`, differentiable.
        decode: maps the values' numbers `(K, *batch, T)` to samples `(K, *batch, *event)`.
    """

    log_prob: Tensor
    decode: Callable[[Tensor], Tensor]


class Picked(NamedTuple):
    """Distinct values by their numbers, for `B` products.

    Attributes:
        numbers: `(B, k, T)`.
        perturbed: Gumbel keys in descending order, `(B, k)`.
        log_complement: log-probability of all other values, `(B,)`.
    """

    numbers: Tensor
    perturbed: Tensor
    log_complement: Tensor


def factors(q: Distribution) -> Factors | None:
    """The factors of `q`, or None if it is no product of discrete factors that is known here.

    Args:
        q: Bernoulli, Categorical, OneHotCategorical, Finite, IndependentBernoulli, or Independent of one.

    Example:
        >>> from torch.distributions import Categorical, Independent
        >>> factors(Independent(Categorical(torch.ones(5, 3, 4)), 1)).log_prob.shape
        torch.Size([5, 3, 4])
    """
    base = base_of(q)
    found = _single(base)
    if found is None:
        return None
    table, decode = found
    own, V = table.shape[:-1], table.shape[-1]
    return Factors(
        table.reshape(*q.batch_shape, -1, V), lambda index: decode(index.reshape(len(index), *own))
    )  # own is (*batch, *reinterpreted, *factors)


def _single(q: Distribution) -> tuple[Tensor, Callable[[Tensor], Tensor]] | None:
    """Log-probabilities `(*own, V)`, and the map from numbers `(K, *own)` to samples."""
    if isinstance(q, Bernoulli | IndependentBernoulli):
        logits = q.logits
        return torch.stack((-softplus(logits), -softplus(-logits)), -1), lambda index: index.to(logits.dtype)
    if isinstance(q, Categorical):
        return q.logits, lambda index: index
    if isinstance(q, OneHotCategorical):
        return q.logits, lambda index: _one_hot(index, q.logits)
    if isinstance(q, Finite):
        return q.logits, q.at
    return None


def _one_hot(index: Tensor, like: Tensor) -> Tensor:
    return like.new_zeros(*index.shape, like.shape[-1]).scatter_(-1, index.unsqueeze(-1), 1.0)


def table_size(log_p: Tensor) -> int:
    """How many values a product `(*batch, T, V)` has."""
    T, V = log_p.shape[-2:]
    return int(V**T)


def table(log_p: Tensor) -> Tensor:
    """The log-probabilities of all values of products `(B, T, V)`, `(B, V^T)`; the first factor changes slowest."""
    merged: Tensor = log_p[:, 0]
    for step in log_p[:, 1:].unbind(1):
        merged = (merged.unsqueeze(-1) + step.unsqueeze(-2)).flatten(-2)
    return merged


def digits(index: Tensor, size: tuple[int, int]) -> Tensor:
    """Places in the table `(B, k)` as the factors' numbers, `(B, k, T)`, with `size` (T, V)."""
    T, V = size
    return index.unsqueeze(-1) // V ** torch.arange(T - 1, -1, -1, device=index.device) % V


@torch.no_grad()
def pick(log_p: Tensor, k: int, *, generator: Generator | None = None) -> Picked:
    """Draw `k` values of each of `B` products without replacement, all values where there are fewer.

    Args:
        log_p: the factors' log-probabilities, `(B, T, V)`.
        k: how many values to draw.
        generator: for the draws.

    Returns:
        The values, in the order drawn.
    """
    if log_p.shape[1] == 1 or table_size(log_p) <= TABLE:
        return _by_table(log_p, k, generator)
    most_probable = log_p.amax(-1).sum(-1)  # (B,)
    diffuse = bool((most_probable + 2 * math.log(k) <= 0).all())
    return (_by_rejection if diffuse else _by_prefixes)(log_p, k, generator)


def _by_table(log_p: Tensor, k: int, generator: Generator | None) -> Picked:
    T, V = log_p.shape[1:]
    all_ = table(log_p)  # (B, V^T)
    perturbed, index = (all_ + gumbel_like(all_, generator)).topk(min(k, all_.shape[1]), 1)  # (B, k)
    log_complement = all_.scatter(1, index, -torch.inf).logsumexp(1)
    return Picked(digits(index, (T, V)), perturbed, log_complement)


def _by_prefixes(log_p: Tensor, k: int, generator: Generator | None) -> Picked:
    T = log_p.shape[1]
    lowest = torch.finfo(log_p.dtype).min / (8 * (T + 1))
    free = InverseCdf(log_p)(min(k, table_size(log_p)), generator).transpose(1, 2)  # (B, k, T)
    numbers, left = one_by_one(log_p.clamp_min(lowest), free, generator=generator)
    left = left.masked_fill(left < lowest / 2, -torch.inf)  # (B, k + 1)
    waits = log_waits(left[:, :-1], generator=generator) - left[:, :-1]
    return Picked(numbers, waits.logcumsumexp(1).neg(), left[:, -1])


def _by_rejection(log_p: Tensor, k: int, generator: Generator | None) -> Picked:
    inverse = InverseCdf(log_p)
    index = first_different(lambda: inverse(k, generator).movedim(-1, 0), k).transpose(0, 1)  # (B, k, T)
    log_prob = log_p.gather(2, index.transpose(1, 2)).sum(1)  # (B, k)
    perturbed, log_complement = race(log_prob.T, generator)
    return Picked(index, perturbed.T, log_complement)


class InverseCdf:
    """Draws from each factor of products `(B, T, V)`; a value of probability zero is never drawn."""

    def __init__(self, log_p: Tensor) -> None:
        cumulative = log_p.detach().exp().cumsum(-1)
        self.cumulative = cumulative / cumulative[..., -1:]

    def __call__(self, n: int, generator: Generator | None = None) -> Tensor:
        """`n` draws, `(B, T, n)`."""
        F = self.cumulative
        uniform = torch.rand((*F.shape[:2], n), dtype=F.dtype, device=F.device, generator=generator)
        return torch.searchsorted(F, uniform, right=True)


def first_different(sample: Callable[[], Tensor], k: int, *, rounds: int = 200) -> Tensor:
    """The first `k` different values in a stream of independent draws: a sample without replacement.

    Args:
        sample: draws `(n, *batch, E)`, independent at each call.
        k: how many values to find.
        rounds: how often to call `sample` before giving up.

    Returns:
        The values in the order drawn, `(k, *batch, E)`.

    Raises:
        ValueError: if they were not found.
    """
    rows = sample()
    for _ in range(rounds):
        repeated = _repeated(rows)  # (n, *batch)
        if not repeated[:k].any():
            return rows[:k]
        order = repeated.long().argsort(dim=0, stable=True)[:k]  # the first occurrences, in their order
        rows = rows.gather(0, order.unsqueeze(-1).expand(*order.shape, rows.shape[-1]))
        if not repeated.gather(0, order).any():
            return rows
        rows = torch.cat((rows, sample()))
    raise ValueError(
        f"found fewer than {k} different values in {rounds} rounds of draws; q has fewer, or almost all its "
        "probability on a few: give its class enumerate_support or a method distinct(k, generator=...)"
    )


def _repeated(rows: Tensor) -> Tensor:
    """Which of the rows `(n, *batch, E)` equal an earlier one, `(n, *batch)`."""
    n = len(rows)
    same = (rows.unsqueeze(0) == rows.unsqueeze(1)).all(-1)  # (n, n, *batch)
    earlier = torch.ones(n, n, dtype=torch.bool, device=rows.device).triu(1)
    return (same & earlier.reshape(n, n, *[1] * (same.ndim - 2))).any(0)


def race(log_prob: Tensor, generator: Generator | None = None) -> tuple[Tensor, Tensor]:
    """Gumbel keys for values that were drawn without replacement, and the log-probability of the other values.

    The keys are those of an exponential race in which the values arrive in the order given: each waits, after the one
    before, for a time whose rate is the probability that was left.

    Args:
        log_prob: of the values in the order drawn, `(k, *batch)`.
        generator: for the keys.

    Returns:
        The keys in descending order `(k, *batch)`, and the log-probability of the rest `(*batch)`.
    """
    p = log_prob.exp()
    taken = p.cumsum(0)
    left = (1 - (taken - p)).clamp_min(torch.finfo(p.dtype).eps)
    waits = torch.empty(p.shape, dtype=p.dtype, device=p.device).exponential_(generator=generator) / left
    return waits.cumsum(0).log().neg(), torch.log1p(-taken[-1].clamp_max(1.0))
