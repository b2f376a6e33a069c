"""Orders of items as drawing without replacement gives them."""

import itertools
import math

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints

from jensen.distributions._discrete import broadcast, check_size, gumbel_like, impossible, log_zero, possible, repeat

__all__ = ["PlackettLuce"]


class PlackettLuce(Distribution):
    r"""Orders of $n$ items, or of the first $k$ of them, drawn one after the other without replacement.

    $$p(\pi) = \prod_{i=1}^{k} \frac{e^{l_{\pi_i}}}{\sum_{j \notin \{\pi_1, \dots, \pi_{i-1}\}} e^{l_j}}$$

    A value lists the items, first drawn first. The top $k$ of a full order have the distribution with that `k`; with
    the order forgotten they are those of `UnorderedPlackettLuce`. Neither the entropy nor a divergence has a closed
    form; `enumerate_support` lists all orders.

    Args:
        logits: log-weights $l$ of the items, `(*batch, n)`; `-inf` for an item that is never drawn, which needs
            `k` small enough to leave it out.
        k: how many items are drawn, all $n$ if not given.
        validate_args: whether to check parameters and values, as everywhere in `torch.distributions`.

    Raises:
        ValueError: if `logits` is a scalar or not floating point, `k` is no int between 1 and $n$, or (validating)
            fewer than `k` items have a probability.

    Example:
        >>> PlackettLuce(torch.tensor([2.0, 1.0, 1.0]).log()).log_prob(torch.tensor([0, 2, 1])).exp()
        tensor(0.2500)

    References:
        | The Analysis of Permutations (Plackett, 1975)
        | https://doi.org/10.2307/2346567
    """

    arg_constraints = {"logits": constraints.real_vector}
    has_enumerate_support = True

    def __init__(self, logits: Tensor, *, k: int | None = None, validate_args: bool | None = None) -> None:
        n = logits.shape[-1] if logits.ndim else 0
        self.k = n if k is None else k
        check_size(logits, self.k, validate=validate_args)
        self.logits = logits
        super().__init__(logits.shape[:-1], torch.Size((self.k,)), validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> constraints.Constraint:
        """Lists of `k` different items."""
        return _Different(self.logits.shape[-1])

    @property
    def mode(self) -> Tensor:
        """The items from the largest weight down, `(*batch, k)`."""
        return self.logits.topk(self.k).indices

    @property
    def support_size(self) -> int:
        """The number of orders, $n! / (n - k)!$."""
        return math.perm(self.logits.shape[-1], self.k)

    def expand(self, batch_shape: Size | list[int] | tuple[int, ...], _instance: object = None) -> "PlackettLuce":
        """The same distribution with its parameters expanded to `batch_shape`."""
        new = PlackettLuce(self.logits.expand(*batch_shape, -1), k=self.k, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def sample(self, sample_shape: Size | list[int] | tuple[int, ...] = Size()) -> Tensor:
        """Items in the order drawn, long, `(*sample_shape, *batch, k)`: those of the largest Gumbel keys."""
        with torch.no_grad():
            log_p = self._log_p().expand(*sample_shape, *self.logits.shape)
            return (log_p + gumbel_like(log_p)).topk(self.k).indices

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-probability in nats, `(*sample, *batch)`."""
        if self._validate_args:
            self._validate_sample(value)
        log_p, value = broadcast(self._log_p(), value)
        drawn = log_p.gather(-1, value)  # (*batch, k)
        rest = log_p.scatter(-1, value, log_zero(log_p, self.k)).logsumexp(-1, keepdim=True)
        left = torch.cat([rest, drawn.flip(-1)], -1).logcumsumexp(-1)[..., 1:]  # (*batch, k), the last draw first
        return impossible((drawn.flip(-1) - left).sum(-1), self.k)

    def enumerate_support(self, *, expand: bool = True) -> Tensor:  # type: ignore[override]
        """Every order, in lexicographic order, `(S, *batch, k)`."""
        orders = list(itertools.permutations(range(self.logits.shape[-1]), self.k))
        return repeat(torch.tensor(orders, device=self.logits.device), self.batch_shape, expand=expand)

    def _log_p(self) -> Tensor:
        return possible(self.logits.log_softmax(-1), self.k)


class _Different(constraints.Constraint):
    """Lists of different integers from 0 to n - 1."""

    is_discrete = True
    event_dim = 1

    def __init__(self, n: int) -> None:
        self.n = n
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        """Whether each list is one, `(*batch)`."""
        if value.is_floating_point():
            return torch.zeros(value.shape[:-1], dtype=torch.bool, device=value.device)
        ascending = value.sort(-1).values
        in_range = (ascending[..., 0] >= 0) & (ascending[..., -1] < self.n)
        return in_range & (ascending.diff(dim=-1) > 0).all(-1)
