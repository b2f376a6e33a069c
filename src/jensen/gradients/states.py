r"""All values of a discrete distribution, where there are finitely many.

What torch lacks is the product: `Independent(Bernoulli(...), 1)` has $2^D$ values, the first entry changing slowest. A
class of one's own takes part by torch's API, `has_enumerate_support` and `enumerate_support(expand)`; if it also has an
attribute `support_size`, its values are counted without building them, and if it has an attribute `support_log_prob`,
`(S, *batch)`, that is their log-probabilities, in their order.
"""

import math

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Binomial, Categorical, Distribution, Independent, OneHotCategorical

from jensen.gradients._parts import UnsupportedError

__all__ = ["domain_size", "log_prob_table", "states"]


def domain_size(q: Distribution) -> int | None:
    """How many values one event of `q` can take, or None where there is no end to them, or no way to list them.

    Args:
        q: any distribution.

    Returns:
        The number, not bounded by what fits in memory.

    Example:
        >>> from torch.distributions import Bernoulli, Independent, Normal
        >>> domain_size(Independent(Bernoulli(torch.full((5, 100), 0.5)), 1))
        1267650600228229401496703205376
        >>> domain_size(Normal(0.0, 1.0)) is None
        True
    """
    if isinstance(q, Independent):
        base = domain_size(q.base_dist)
        return None if base is None else base ** math.prod(_reinterpreted(q))
    if isinstance(q, Bernoulli):
        return 2
    if isinstance(q, Categorical | OneHotCategorical):
        return int(q.param_shape[-1])
    if isinstance(q, Binomial):
        most = int(q.total_count.max())
        return most + 1 if int(q.total_count.min()) == most else None
    if not getattr(q, "has_enumerate_support", False):
        return None
    size = getattr(q, "support_size", None)
    return int(q.enumerate_support(expand=False).shape[0] if size is None else size)


def states(q: Distribution, *, limit: int = 2**16) -> Tensor:
    """Every value that one event of `q` can take, those of probability zero included.

    Args:
        q: a discrete distribution; `Independent` of one, nested to any depth.
        limit: refuse to list more values than this.

    Returns:
        The values as `q` itself draws them, `(S, *batch, *event)`; a view where all batch elements have the same.

    Raises:
        UnsupportedError: if `q` cannot be enumerated, or has more than `limit` values.

    Example:
        >>> from torch.distributions import Bernoulli, Independent
        >>> states(Independent(Bernoulli(torch.tensor([0.5, 0.5])), 1))
        tensor([[0., 0.],
                [0., 1.],
                [1., 0.],
                [1., 1.]])
    """
    size = domain_size(q)
    if size is None:
        raise UnsupportedError(
            f"the values of {_name(q)} cannot be listed; use score_function, or pathwise if it has rsample"
        )
    if size > limit:
        count = str(size) if size < 10**9 else f"10^{len(str(size)) - 1}"
        raise UnsupportedError(
            f"{_name(q)} has about {count} values, more than limit={limit}; draw samples, as score_function does"
        )
    values = _unexpanded(q)
    return values.expand(len(values), *q.batch_shape, *q.event_shape)


def log_prob_table(q: Distribution, *, limit: int = 2**16) -> tuple[Tensor, Tensor]:
    """Every value of `q` with its log-probability.

    Args:
        q: a discrete distribution, as for `states`.
        limit: refuse to list more values than this.

    Returns:
        The values `(S, *batch, *event)`, and their log-probabilities `(S, *batch)`, differentiable in `q`'s parameters
        and `-inf` where a value is impossible.

    Raises:
        UnsupportedError: if `q` cannot be enumerated, or has more than `limit` values.
        ValueError: if a log-probability is not a number.

    Example:
        >>> from torch.distributions import Categorical
        >>> values, log_prob = log_prob_table(Categorical(torch.tensor([0.25, 0.75])))
        >>> values, log_prob.exp()
        (tensor([0, 1]), tensor([0.2500, 0.7500]))
    """
    values = states(q, limit=limit)
    own = getattr(q, "support_log_prob", None)
    log_prob: Tensor = q.log_prob(values) if own is None else own
    if log_prob.isnan().any():
        raise ValueError(
            f"{_name(q)} has log-probabilities that are not numbers; a Bernoulli of torch does at infinite logits"
        )
    return values, log_prob


def _unexpanded(q: Distribution) -> Tensor:
    """All values, with batch axes of size one where the batch makes no difference, `(S, *batch or 1, *event)`."""
    if not isinstance(q, Independent):
        return q.enumerate_support(expand=False)
    if q.reinterpreted_batch_ndims == 0:
        return _unexpanded(q.base_dist)
    base, sites = _unexpanded(q.base_dist), _reinterpreted(q)
    before = 1 + len(q.batch_shape)
    after = before + len(sites)
    N, S = math.prod(sites), len(base)
    each = base.expand(*base.shape[:before], *sites, *base.shape[after:])
    each = each.reshape(*base.shape[:before], N, *base.shape[after:]).movedim(before, 1)  # (S, N, *batch, *inner)
    place = S ** torch.arange(N - 1, -1, -1, device=base.device)
    digits = torch.arange(S**N, device=base.device).unsqueeze(-1) // place % S  # (S^N, N)
    product = each[digits, torch.arange(N, device=base.device)].movedim(1, before)  # (S^N, *batch, N, *inner)
    return product.reshape(S**N, *base.shape[1:before], *sites, *base.shape[after:])


def _reinterpreted(q: "Independent[Distribution]") -> tuple[int, ...]:
    """The batch axes of the base distribution that are an event's here."""
    return tuple(q.event_shape[: q.reinterpreted_batch_ndims])


def _name(q: Distribution) -> str:
    if isinstance(q, Independent):
        return f"Independent({_name(q.base_dist)}, {q.reinterpreted_batch_ndims})"
    return type(q).__name__
