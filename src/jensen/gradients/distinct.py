"""Sampling without replacement from any discrete distribution, with the Gumbel keys that decided.

A table of all values where there are few of them, what `products` does for products, rejection for whatever can only
be sampled. A class of one's own can bring a better way: a method `distinct(k, *, generator)` that
returns a `Distinct`.

References:
    | Stochastic Beams and Where to Find Them (Kool, van Hoof & Welling, 2019)
    | https://arxiv.org/abs/1903.06059v2
"""

from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.distributions import Distribution

from jensen.gradients._parts import UnsupportedError, check_samples, draw, is_discrete, support_of
from jensen.gradients.beam import gumbel_like
from jensen.gradients.products import TABLE, Factors, factors, first_different, pick, race
from jensen.gradients.states import domain_size, log_prob_table

__all__ = ["Distinct", "distinct", "gumbel_top_k"]


class Distinct(NamedTuple):
    r"""Different values, as drawn one after the other without replacement.

    Where a distribution has fewer than `k` values all of them are here; where it has fewer of positive probability,
    the others follow with log-probability and key `-inf`.

    Attributes:
        values: `(k, *batch, *event)`, in the order drawn.
        log_prob: their log-probabilities, `(k, *batch)`, differentiable.
        perturbed: Gumbel keys in descending order, `(k, *batch)`: the `k` largest of $\log p(s) + \mathrm{Gumbel}(0)$
            over all values $s$.
        log_complement: the log-probability of all other values, `(*batch)`, a constant.
    """

    values: Tensor
    log_prob: Tensor
    perturbed: Tensor
    log_complement: Tensor


def distinct(q: Distribution, k: int, *, generator: Generator | None = None) -> Distinct:
    r"""Draw `k` different values without replacement.

    $$P(s_1, \ldots, s_k) = \prod_{i=1}^{k} \frac{q(s_i)}{1 - \sum_{j < i} q(s_j)}$$

    Args:
        q: a discrete distribution.
        k: how many values; all of them if there are fewer.
        generator: for the draws.

    Returns:
        The values, their log-probabilities and keys.

    Raises:
        UnsupportedError: if `q` is continuous.
        ValueError: if `k` is below 1, or `q` can only be sampled and its draws are almost always the same.

    Example:
        >>> from torch.distributions import Categorical
        >>> distinct(Categorical(torch.tensor([0.5, 0.3, 0.2])), 3).values.sort().values
        tensor([0, 1, 2])

    References:
        | Stochastic Beams and Where to Find Them (Kool, van Hoof & Welling, 2019)
        | https://arxiv.org/abs/1903.06059v2
    """
    check_samples(k)
    own = getattr(q, "distinct", None)
    if own is not None:
        found: Distinct = own(k, generator=generator)
        return found
    product = factors(q)
    if product is not None:
        return _from_product(product, k, generator)
    size = domain_size(q)
    if size is not None and size <= TABLE:
        return gumbel_top_k(*log_prob_table(q, limit=TABLE), k, generator=generator)
    return _from_stream(q, k, generator)


def gumbel_top_k(values: Tensor, log_prob: Tensor, k: int, *, generator: Generator | None = None) -> Distinct:
    """Draw from a table: the `k` largest of the log-probabilities with Gumbel noise added.

    Args:
        values: all values, `(S, *batch, *event)`.
        log_prob: their log-probabilities, `(S, *batch)`.
        k: how many to draw.
        generator: for the noise.

    References:
        | Stochastic Beams and Where to Find Them (Kool, van Hoof & Welling, 2019)
        | https://arxiv.org/abs/1903.06059v2
    """
    constant = log_prob.detach()
    perturbed, index = (constant + gumbel_like(constant, generator)).topk(min(k, len(constant)), 0)  # (k, *batch)
    event = values.shape[log_prob.ndim :]
    place = index.reshape(*index.shape, *[1] * len(event)).expand(*index.shape, *event)
    log_complement = constant.scatter(0, index, -torch.inf).logsumexp(0)
    return Distinct(values.gather(0, place), log_prob.gather(0, index), perturbed, log_complement)


def _from_product(product: Factors, k: int, generator: Generator | None) -> Distinct:
    *batch, T, V = product.log_prob.shape
    log_p = product.log_prob.reshape(-1, T, V)
    numbers, perturbed, log_complement = pick(log_p, k, generator=generator)
    log_prob = log_p.gather(2, numbers.transpose(1, 2)).sum(1)  # (B, k)
    k = numbers.shape[1]
    return Distinct(
        product.decode(numbers.transpose(0, 1).reshape(k, *batch, T)),
        log_prob.T.reshape(k, *batch),
        perturbed.T.reshape(k, *batch),
        log_complement.reshape(batch),
    )


def _from_stream(q: Distribution, k: int, generator: Generator | None) -> Distinct:
    if not is_discrete(q, unsaid=True):
        raise UnsupportedError(f"{type(q).__name__} is continuous; use score_function, or pathwise if it has rsample")
    shape = (k, *q.batch_shape, *q.event_shape)
    flat = (k, *q.batch_shape, q.event_shape.numel())
    values = first_different(lambda: draw(q, k, generator).reshape(flat), k).reshape(shape)
    if support_of(q) is None and not torch.equal(values, values.round()):
        raise UnsupportedError(f"{type(q).__name__} draws fractions and has no support; a discrete one must declare it")
    log_prob = q.log_prob(values)
    return Distinct(values, log_prob, *race(log_prob.detach(), generator))
