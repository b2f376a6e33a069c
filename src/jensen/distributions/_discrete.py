"""What the families over subsets, orders and trees share: numbers for log zero, noise, the list of subsets."""

import itertools

import torch
from torch import Tensor
from torch.distributions import constraints

from jensen.distributions._checks import check_floating

__all__ = [
    "KHot",
    "broadcast",
    "check_int",
    "check_size",
    "divergence",
    "expected",
    "gumbel_like",
    "impossible",
    "k_hot",
    "log_add",
    "log_zero",
    "possible",
    "repeat",
]


class KHot(constraints.Constraint):
    """Vectors of zeros and exactly `k` ones."""

    is_discrete = True
    event_dim = 1

    def __init__(self, k: int) -> None:
        self.k = k
        super().__init__()

    def __repr__(self) -> str:
        return f"KHot({self.k})"

    def check(self, value: Tensor) -> Tensor:
        """Whether each vector is one, `(*batch)`."""
        return ((value == 0) | (value == 1)).all(-1) & (value.sum(-1) == self.k)


def log_zero(x: Tensor, terms: int) -> float:
    """A finite stand-in for log 0, so large that it decides, so small that `terms` of it do not overflow."""
    return torch.finfo(x.dtype).min / (8 * (terms + 1))


def possible(logits: Tensor, terms: int) -> Tensor:
    """The logits with `-inf` replaced by `log_zero`, where no gradient flows."""
    return logits.clamp_min(log_zero(logits, terms))


def impossible(log_p: Tensor, terms: int) -> Tensor:
    """The log-probabilities with `-inf` where they were built from `log_zero`."""
    return log_p.masked_fill(log_p < log_zero(log_p, terms) / 2, -torch.inf)


def log_add(x: Tensor, y: Tensor) -> Tensor:
    """Logarithm of the sum of two exponentials, whose second derivatives are finite, too, where one is `log_zero`."""
    return torch.stack(torch.broadcast_tensors(x, y)).logsumexp(0)  # type: ignore[no-untyped-call]


def expected(mean: Tensor, log_weights: Tensor, terms: int) -> Tensor:
    """The mean log-weight, `-inf` where something that happens has none."""
    barred = (mean > 0) & (log_weights <= log_zero(log_weights, terms))
    return (mean * log_weights).sum(-1).masked_fill(barred.any(-1), -torch.inf)


def divergence(log_q: Tensor, log_p: Tensor, *, dim: int) -> Tensor:
    """Mean of `log_q - log_p` over the outcomes along `dim`; infinite where q allows one that p rules out."""
    never = log_q == -torch.inf
    each = log_q.exp() * (log_q.masked_fill(never, 0.0) - log_p.masked_fill(never, 0.0))
    return each.masked_fill((log_p == -torch.inf) & ~never, torch.inf).sum(dim)


def gumbel_like(x: Tensor) -> Tensor:
    """Standard Gumbel noise of the shape of `x`."""
    return torch.empty_like(x, memory_format=torch.contiguous_format).exponential_().log().neg()


def broadcast(logits: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Both, with the batch axes of both; the last axis is left as it is."""
    batch = torch.broadcast_shapes(logits.shape[:-1], value.shape[:-1])  # type: ignore[no-untyped-call]
    return logits.expand(*batch, logits.shape[-1]), value.expand(*batch, value.shape[-1])


def repeat(states: Tensor, batch_shape: torch.Size, *, expand: bool) -> Tensor:
    """States `(S, *event)` as `enumerate_support` gives them: `(S, *batch, *event)`, or with ones for the batch."""
    states = states.reshape(len(states), *[1] * len(batch_shape), -1)
    return states.expand(-1, *batch_shape, -1) if expand else states


def k_hot(k: int, like: Tensor) -> Tensor:
    """Every vector with `k` ones, in lexicographic order of the places of the ones, `(S, n)`."""
    n = like.shape[-1]
    places = torch.tensor(list(itertools.combinations(range(n), k)), device=like.device)
    return like.new_zeros(len(places), n).scatter_(-1, places, 1.0)


def check_int(name: str, number: object) -> None:
    """Refuse a count that is not an integer.

    Raises:
        ValueError: naming the number and its type.
    """
    if not isinstance(number, int) or isinstance(number, bool):
        raise ValueError(f"{name} must be an int, got {number} of type {type(number).__name__}")


def check_size(logits: Tensor, k: int, *, validate: bool | None) -> None:
    """Refuse logits without an axis or of integers, a `k` that is not from 1 to n, `+inf`, too few items to take.

    Raises:
        ValueError: naming the shape and `k`; the last two only where `validate` is not False.
    """
    if logits.ndim == 0:
        raise ValueError("logits is a scalar; give at least one axis, (*batch, n)")
    check_floating(logits)
    check_int("k", k)
    if not 1 <= k <= logits.shape[-1]:
        raise ValueError(
            f"k must be between 1 and {logits.shape[-1]}, the size of logits {tuple(logits.shape)}, got {k}"
        )
    if validate is not False and bool(((logits == -torch.inf).sum(-1) > logits.shape[-1] - k).any()):
        raise ValueError(f"logits of shape {tuple(logits.shape)} leave fewer than k = {k} items with a probability")
    if validate is not False and bool((logits == torch.inf).any()):
        raise ValueError(f"logits of shape {tuple(logits.shape)} hold +inf; give finite ones, or -inf for the others")
