r"""Sum over the most probable values, sample from the rest.

With $C$ the $k$ most probable values, $m = \sum_{z \in C} q(z)$ and $r$ the distribution of the others,

$$\mathbb{E}_q[f] = \sum_{z \in C} q(z) f(z) + (1 - m) \, \mathbb{E}_{r}[f].$$

The first term is exact, and any estimator does for the second. Of $q$: values that can be listed, or a product of
discrete factors, of any size. Of $f$: what the inner estimator asks for. Unbiased if that is; of the order that it is,
first order only by default. `samples` evaluations of $f$ for each batch element in all, in two calls.

References:
    | Rao-Blackwellized Stochastic Gradients for Discrete Distributions (Liu et al., 2019)
    | https://arxiv.org/abs/1810.04777v3
"""

from typing import Literal, NamedTuple, Protocol

import torch
from torch import Generator, Tensor
from torch.distributions import Categorical, Distribution, OneHotCategorical

from jensen.distributions.finite import Finite
from jensen.gradients._parts import Cost, UnsupportedError, check_samples, evaluate
from jensen.gradients.products import TABLE, Factors, factors, table_size
from jensen.gradients.remainder import Remainder, most_probable, take
from jensen.gradients.score_function import score_function
from jensen.gradients.states import domain_size, log_prob_table

__all__ = ["Inner", "kernel", "optimal_categories", "rao_blackwell"]


class Inner(Protocol):
    """An estimator for the rest."""

    def __call__(self, f: Cost, q: Distribution, /, *, samples: int, generator: Generator | None) -> Tensor:
        """An estimate of $E_q[f]$, `(*batch)`."""
        ...


class _Parts(NamedTuple):
    """The most probable values `(k, *batch, *event)`, their log-probabilities, the rest, if any, and its own."""

    values: Tensor
    log_prob: Tensor
    rest: Distribution | None
    log_rest: Tensor


def kernel(cost: Tensor, log_q: Tensor, rest: Tensor, *, log_rest: Tensor) -> Tensor:
    r"""The exact part and the estimated one; their gradients are those of the sums, of $1 - m$ too.

    Args:
        cost: of the most probable values, `(k, *batch)`.
        log_q: their log-probabilities, `(k, *batch)`.
        rest: estimate of $\mathbb{E}_r[f]$ with the gradient of its estimator, `(*batch)`.
        log_rest: $\log(1 - m)$, `(*batch)`.

    Returns:
        The value `(*batch)`, with the estimated gradient.
    """
    nothing = log_rest == -torch.inf
    exact = (log_q.exp() * cost.masked_fill(log_q == -torch.inf, 0.0)).sum(0)
    return exact + (log_rest.masked_fill(nothing, 0.0).exp() * rest).masked_fill(nothing, 0.0)


def rao_blackwell(
    f: Cost,
    q: Distribution,
    *,
    categories: int | Literal["optimal"] = "optimal",
    samples: int = 1,
    inner: Inner = score_function,
    generator: Generator | None = None,
) -> Tensor:
    r"""Estimate $\mathbb{E}_q[f]$ and its gradient from the most probable values and a sample of the rest.

    Args:
        f: maps values `(K, *batch, *event)` to costs `(K, *batch)`.
        q: a discrete distribution.
        categories: how many values are summed, or `"optimal"`: `optimal_categories`, of the mean over the batch.
        samples: evaluations of `f` in all; those that `categories` leaves are the samples of the inner estimator.
        inner: the estimator for the rest, `inner(f, rest, samples=..., generator=...)`. Of a `Categorical` or
            `OneHotCategorical` the rest is of the same kind, so that any estimator of `q` may be the inner one; of
            others it has `sample`, `log_prob` and, if it is a list, `enumerate_support`.
        generator: for the draws.

    Returns:
        The estimate, `(*batch)`; exact where `categories` or `samples` covers all values.

    Raises:
        UnsupportedError: if `q` is neither enumerable nor a product of discrete factors.
        ValueError: if no evaluation is left for the rest, or `f` returns another shape.

    Example:
        >>> logits = torch.tensor([0.5, -1.0, 0.0], requires_grad=True)
        >>> q = torch.distributions.Categorical(logits=logits)
        >>> rao_blackwell(lambda z: (z - 1.0) ** 2, q, categories=2, samples=3).shape
        torch.Size([])

    References:
        | Rao-Blackwellized Stochastic Gradients for Discrete Distributions (Liu et al., 2019)
        | https://arxiv.org/abs/1810.04777v3
    """
    check_samples(samples)
    if categories != "optimal" and (not hasattr(categories, "__index__") or categories < 0):
        raise ValueError(f"categories must be at least 0 or 'optimal', got {categories!r}")
    parts = _divide(q, categories, samples)
    if parts is None:
        return inner(f, q, samples=samples, generator=generator)
    k = len(parts.values)
    if parts.rest is None:
        cost = evaluate(f, parts.values, q)
        return kernel(cost, parts.log_prob, torch.zeros_like(parts.log_rest), log_rest=parts.log_rest)
    if samples <= k:
        raise ValueError(
            f"samples counts all evaluations of f; give more than categories={k}, the others are draws from the rest, "
            f"got {samples}"
        )
    cost = evaluate(f, parts.values, q)
    try:
        rest = inner(f, parts.rest, samples=samples - k, generator=generator)
    except ValueError as error:
        raise type(error)(f"the inner estimator, given {samples - k} of {samples} evaluations: {error}") from error
    return kernel(cost, parts.log_prob, rest, log_rest=parts.log_rest)


def optimal_categories(log_prob: Tensor, evaluations: int) -> Tensor:
    r"""How many of the most probable values to sum, given how often `f` may be evaluated.

    $$\hat k = \operatorname*{argmin}_{0 \le k < N} \frac{1 - m_k}{N - k}$$

    Args:
        log_prob: log-probabilities of the values in any order, `(S, *batch)`; the `evaluations + 1` largest suffice.
        evaluations: the number $N$ of evaluations of `f` in all; from $S$ on, all values are summed.

    Returns:
        $\hat k$, `(*batch)`.

    Example:
        >>> optimal_categories(torch.tensor([0.9, 0.06, 0.04]).log(), 2)
        tensor(1)

    References:
        | Rao-Blackwellized Stochastic Gradients for Discrete Distributions (Liu et al., 2019)
        | https://arxiv.org/abs/1810.04777v3
    """
    check_samples(evaluations)
    return _share(log_prob, evaluations).argmin(0)


def _share(log_prob: Tensor, N: int) -> Tensor:
    """What is left for each of the draws when 0, 1, ... values are summed, `(min(N, S + 1), *batch)`."""
    log_prob = log_prob.detach()
    top = log_prob.topk(min(N, len(log_prob)), 0).values
    mass = torch.cat((torch.zeros_like(top[:1]), top.exp().cumsum(0)))
    left = (1 - mass).clamp_min(0.0)[: N + (len(log_prob) <= N)]
    if len(log_prob) <= N:
        left[-1] = -1.0
    draws = (N - torch.arange(len(left), device=left.device)).clamp_min(1)
    return left / draws.reshape(-1, *[1] * (left.ndim - 1))


def _divide(q: Distribution, categories: int | Literal["optimal"], samples: int) -> _Parts | None:
    """The parts, or None if the first is empty."""
    product = factors(q)
    size = domain_size(q) if product is None else table_size(product.log_prob)
    if size is not None and size <= TABLE:
        return _tabulated(q, categories, samples)
    if product is None:
        raise UnsupportedError(
            f"{type(q).__name__} has no list of at most {TABLE} values and no factors that are known, so that its most "
            "probable values cannot be found; use unordered_set, or score_function"
        )
    return _factored(q, product, categories, samples)


def _number(log_prob: Tensor, categories: int | Literal["optimal"], samples: int) -> int:
    if categories != "optimal":
        return min(categories, len(log_prob))
    return int(_share(log_prob.reshape(len(log_prob), -1), samples).mean(1).argmin())


def _tabulated(q: Distribution, categories: int | Literal["optimal"], samples: int) -> _Parts | None:
    values, log_p = log_prob_table(q)
    k = _number(log_p, categories, samples)
    if k == 0:
        return None
    index = log_p.detach().topk(k, 0).indices  # (k, *batch)
    others = log_p.scatter(0, index, -torch.inf)
    empty = (others == -torch.inf).all(0)
    others = others.masked_fill(empty, 0.0)
    rest = _rest(q, values, others.movedim(0, -1)) if k < len(log_p) else None
    top = Finite(values, log_p.detach().movedim(0, -1), validate_args=False).at(index)
    return _Parts(top, log_p.gather(0, index), rest, others.logsumexp(0).masked_fill(empty, -torch.inf))


def _rest(q: Distribution, values: Tensor, logits: Tensor) -> Distribution:
    """The values that are left: of a single category a distribution like `q`, which every estimator of `q` takes."""
    if isinstance(q, Categorical | OneHotCategorical):
        return type(q)(logits=logits, validate_args=False)
    return Finite(values, logits, validate_args=False)


def _factored(q: Distribution, product: Factors, categories: int | Literal["optimal"], samples: int) -> _Parts | None:
    *batch, T, V = product.log_prob.shape
    log_p = product.log_prob.reshape(-1, T, V)
    if categories == 0 or (categories == "optimal" and _largest(log_p).mean() <= 1 / samples):  # then k = 0 is optimal
        return None
    most = samples + 1 if categories == "optimal" else categories
    numbers, score = most_probable(log_p, min(most, table_size(log_p)))
    k = _number(score.T, categories, samples)
    if k == 0:
        return None
    taken = take(log_p, numbers[:, :k])
    empty = (taken.log_mass == -torch.inf).flatten(1).all(1)
    taken = taken._replace(log_mass=taken.log_mass.masked_fill(empty.reshape(-1, 1, 1, 1), 0.0))
    log_rest = taken.log_mass.flatten(1).logsumexp(1).masked_fill(empty, -torch.inf)
    log_prob = taken.log_prob.masked_fill(score[:, :k] == -torch.inf, -torch.inf)
    values = product.decode(taken.numbers.transpose(0, 1).reshape(k, *batch, T))
    return _Parts(values, log_prob.T.reshape(k, *batch), Remainder(q, product, taken), log_rest.reshape(batch))


def _largest(log_p: Tensor) -> Tensor:
    """The probability of the most probable value of products `(B, T, V)`, `(B,)`."""
    return log_p.detach().amax(-1).sum(-1).exp()
