"""Subsets of k items as drawing without replacement gives them, and their exact probabilities."""

import functools
import itertools
import math

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints

from jensen.distributions._discrete import (
    KHot,
    broadcast,
    check_size,
    gumbel_like,
    impossible,
    k_hot,
    log_add,
    log_zero,
    possible,
    repeat,
)

__all__ = ["UnorderedPlackettLuce", "log_prob_of_every_subset", "log_prob_of_subset"]

_LARGEST_K = 20


class UnorderedPlackettLuce(Distribution):
    r"""Subsets of $k$ of $n$ items, drawn one after the other without replacement, the order forgotten.

    $$P(S) = \sum_{\pi \text{ orders } S} \prod_{i=1}^{k} \frac{p_{\pi_i}}{1 - \sum_{j < i} p_{\pi_j}}, \qquad
    p = \mathrm{softmax}(l)$$

    The sum over $k!$ orders is taken exactly in $k 2^k$ steps, in log space. `ConditionalBernoulli` has the same
    support and weighs a subset by the product of its odds instead; `PlackettLuce` with `k` keeps the order.
    Neither the entropy nor a divergence has a closed form; `enumerate_support` lists all subsets.

    Args:
        logits: log-weights $l$ of the items, `(*batch, n)`; `-inf` for an item that is never taken.
        k: the size of the subsets, from 1 to $n$.
        validate_args: whether to check parameters and values, as everywhere in `torch.distributions`.

    Raises:
        ValueError: if `logits` is a scalar or not floating point, `k` is no int between 1 and $n$ or above 20, or
            (validating) fewer than `k` items have a probability.

    Example:
        >>> UnorderedPlackettLuce(torch.tensor([2.0, 1.0, 1.0]).log(), 2).log_prob(torch.tensor([1.0, 1.0, 0.0])).exp()
        tensor(0.4167)

    References:
        | Estimating Gradients for Discrete Random Variables by Sampling without Replacement (Kool et al., 2020)
        | https://arxiv.org/abs/2002.06043v1
    """

    arg_constraints = {"logits": constraints.real_vector}
    has_enumerate_support = True

    def __init__(self, logits: Tensor, k: int, *, validate_args: bool | None = None) -> None:
        check_size(logits, k, validate=validate_args)
        if k > _LARGEST_K:
            raise ValueError(f"k is {k}; subset probabilities need 2^k numbers, so k is at most {_LARGEST_K}")
        self.logits = logits
        self.k = k
        super().__init__(logits.shape[:-1], logits.shape[-1:], validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> constraints.Constraint:
        """Vectors with `k` ones."""
        return KHot(self.k)

    @property
    def mode(self) -> Tensor:
        """The `k` items of largest weight, `(*batch, n)`."""
        return torch.zeros_like(self.logits).scatter(-1, self.logits.topk(self.k).indices, 1.0)

    @property
    def support_size(self) -> int:
        r"""The number of subsets, $\binom{n}{k}$."""
        return math.comb(self.logits.shape[-1], self.k)

    def expand(
        self, batch_shape: Size | list[int] | tuple[int, ...], _instance: object = None
    ) -> "UnorderedPlackettLuce":
        """The same distribution with its parameters expanded to `batch_shape`."""
        new = UnorderedPlackettLuce(self.logits.expand(*batch_shape, -1), self.k, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def sample(self, sample_shape: Size | list[int] | tuple[int, ...] = Size()) -> Tensor:
        """Vectors with ones at the `k` items taken, `(*sample_shape, *batch, n)`."""
        with torch.no_grad():
            log_p = self._log_p().expand(*sample_shape, *self.logits.shape)
            taken = (log_p + gumbel_like(log_p)).topk(self.k).indices
            return torch.zeros_like(log_p).scatter(-1, taken, 1.0)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-probability in nats, `(*sample, *batch)`."""
        if self._validate_args:
            self._validate_sample(value)
        log_p, value = broadcast(self._log_p(), value)
        inside = log_p.gather(-1, value.topk(self.k).indices)  # (*batch, k)
        outside = log_p.masked_fill(value > 0.5, log_zero(log_p, self.k)).logsumexp(-1)
        return log_prob_of_subset(inside, outside)

    def enumerate_support(self, *, expand: bool = True) -> Tensor:  # type: ignore[override]
        """Every subset, `(S, *batch, n)`."""
        return repeat(k_hot(self.k, self.logits), self.batch_shape, expand=expand)

    def _log_p(self) -> Tensor:
        return possible(self.logits.log_softmax(-1), self.k)


def log_prob_of_subset(log_p: Tensor, log_complement: Tensor) -> Tensor:
    r"""Log-probability that the first $k$ draws without replacement are these $k$ items, in any order.

    Exact in $k 2^k$ steps, without a difference of probabilities: right however peaked they are.

    Args:
        log_p: log-probabilities of the $k$ items, `(*batch, k)`.
        log_complement: logarithm of the probability of all other items together, `(*batch)`; `-inf` if there are none.

    Returns:
        The log-probability, `(*batch)`.

    Raises:
        ValueError: if the batch shapes differ, or `k` is above 20.

    Example:
        >>> log_prob_of_subset(torch.tensor([0.5, 0.25]).log(), torch.tensor(0.25).log()).exp()
        tensor(0.4167)

    References:
        | Estimating Gradients for Discrete Random Variables by Sampling without Replacement (Kool et al., 2020)
        | https://arxiv.org/abs/2002.06043v1
    """
    return log_prob_of_every_subset(log_p, log_complement)[..., -1]


def log_prob_of_every_subset(log_p: Tensor, log_complement: Tensor) -> Tensor:
    r"""For each part $A$ of $k$ items, the log-probability that draws from $A$ and the complement take $A$ first.

    $$T(\emptyset) = 1, \qquad T(A) = \sum_{a \in A} \frac{p_a}{p(A) + p_\complement} T(A \setminus a)$$

    With $S$ all $k$ items, $T(S) = P(S)$, and $T(S \setminus s) = P^{D \setminus s}(S \setminus s)$ is the probability
    of the others once $s$ is out of the domain, so that $T(S \setminus s) / T(S)$ is the leave-one-out ratio, and
    $T(S \setminus \{s, t\}) / T(S \setminus s)$ that of second order. A common factor of `log_p` and
    `log_complement` cancels. The bits of an entry's position are the items in it: bit $i$ for item $i$.

    Args:
        log_p: log-probabilities of the $k$ items, `(*batch, k)`.
        log_complement: logarithm of the probability of all other items together, `(*batch)`; `-inf` if there are none.

    Returns:
        The log-probabilities, `(*batch, 2**k)`: entry 0 belongs to no item, entry `2**k - 1` to all.

    Raises:
        ValueError: if the batch shapes differ, or `k` is above 20.

    Example:
        >>> log_prob_of_every_subset(torch.tensor([0.5, 0.25]).log(), torch.tensor(0.25).log()).exp()
        tensor([1.0000, 0.6667, 0.5000, 0.4167])

    References:
        | Estimating Gradients for Discrete Random Variables by Sampling without Replacement (Kool et al., 2020)
        | https://arxiv.org/abs/2002.06043v1
    """
    k = log_p.shape[-1] if log_p.ndim else 0
    if log_p.shape[:-1] != log_complement.shape or not 1 <= k <= _LARGEST_K:
        shapes = f"{tuple(log_p.shape)} and {tuple(log_complement.shape)}"
        raise ValueError(f"got shapes {shapes}; expected (*batch, k) with k from 1 to {_LARGEST_K}, and (*batch)")
    log_p, log_complement = possible(log_p, k), possible(log_complement, k).unsqueeze(-1)
    layers = [torch.zeros_like(log_complement)]  # (*batch, 1): the part without an item
    layout, order = _layout(k)
    for size, (members, without) in enumerate(layout, start=1):
        each = _pick(log_p, members, size)  # (*batch, parts, size)
        mass = log_add(each.logsumexp(-1), log_complement)  # (*batch, parts)
        ways = each + _pick(layers[-1], without, size)  # the last one drawn: (*batch, parts, size)
        layers.append(ways.logsumexp(-1) - mass)
    return impossible(_pick(torch.cat(layers, -1), order, 1).squeeze(-1), k)


def _pick(x: Tensor, places: tuple[int, ...], size: int) -> Tensor:
    """The entries at `places`, in rows of `size`."""
    return x.index_select(-1, torch.tensor(places, device=x.device)).reshape(*x.shape[:-1], len(places) // size, size)


@functools.cache
def _layout(k: int) -> tuple[list[tuple[tuple[int, ...], tuple[int, ...]]], tuple[int, ...]]:
    """For each size, the items of its parts and the places of the parts without each; then the parts by their bits."""
    layers, bits = [], [0]
    place: dict[tuple[int, ...], int] = {(): 0}
    for size in range(1, k + 1):
        parts = list(itertools.combinations(range(k), size))
        members = tuple(itertools.chain.from_iterable(parts))
        without = tuple(place[part[:i] + part[i + 1 :]] for part in parts for i in range(size))
        layers.append((members, without))
        bits += [sum(1 << item for item in part) for part in parts]
        place = {part: at for at, part in enumerate(parts)}
    return layers, tuple(sorted(range(len(bits)), key=bits.__getitem__))
