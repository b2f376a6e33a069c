r"""No estimate at all: the sum over every value of a discrete distribution.

Expectation: $\mathbb{E}_q[f(z)]$. Assumed: `q` has finitely many values (see `states`); nothing of $f$. Bias and
variance: none, in derivatives of every order. Evaluations of $f$: $S$, the number of values.

References:
    | Monte Carlo Gradient Estimation in Machine Learning (Mohamed, Rosca, Figurnov & Mnih, 2020), section 2
    | https://arxiv.org/abs/1906.10652v2
"""

import torch
from torch import Generator, Tensor
from torch.distributions import Distribution

from jensen.gradients._parts import Cost, evaluate
from jensen.gradients.states import log_prob_table

__all__ = ["enumerate_exact", "kernel"]


def kernel(cost: Tensor, log_q: Tensor) -> Tensor:
    r"""The sum over all values, those of probability zero left out whatever they cost.

    $$\mathbb{E}_q[f] = \sum_s q(z_s) f(z_s)$$

    Args:
        cost: $f(z_s)$, `(S, *batch)`.
        log_q: $\log q(z_s)$, `(S, *batch)`.
    """
    probability = log_q.exp()  # (S, *batch)
    return (probability * cost.masked_fill(probability == 0, 0)).sum(0)


def enumerate_exact(
    f: Cost,
    q: Distribution,
    *,
    samples: int | None = None,
    limit: int = 2**16,
    chunk: int | None = None,
    generator: Generator | None = None,
) -> Tensor:
    r"""Compute $\mathbb{E}_q[f]$ and its derivatives of every order, with no noise.

    $$\mathbb{E}_q[f] = \sum_s q(z_s) f(z_s)$$

    The first choice for small domains; with as many values as another estimator takes samples it is never worse. A
    value of probability zero contributes nothing, and `f` does not see it: the most probable one stands in its place.

    Args:
        f: maps samples `(S, *batch, *event)` to costs `(S, *batch)`.
        q: a discrete distribution, or `Independent` of one, nested to any depth.
        samples: not used; here so that all estimators can be called alike.
        limit: refuse domains larger than this.
        chunk: give `f` at most this many values at a time; without it, all in one call.
        generator: not used; nothing is drawn.

    Returns:
        The expectation, `(*batch)`.

    Raises:
        UnsupportedError: if the values of `q` cannot be listed, or are more than `limit`.
        ValueError: for costs of another shape, or an empty chunk.

    Example:
        >>> from torch.distributions import Bernoulli, Independent
        >>> probs = torch.full((3,), 0.5, requires_grad=True)
        >>> enumerate_exact(lambda z: z.prod(-1), Independent(Bernoulli(probs), 1)).backward()
        >>> probs.grad
        tensor([0.2500, 0.2500, 0.2500])
    """
    z, log_q = log_prob_table(q, limit=limit)  # (S, *batch, *event), (S, *batch)
    possible = _only_possible(z, log_q.detach(), q)
    if chunk is None:
        return kernel(evaluate(f, possible, q), log_q)
    if chunk < 1:
        raise ValueError(f"chunk must be at least 1, got {chunk}")
    return kernel(torch.cat([evaluate(f, part, q) for part in torch.split(possible, chunk)]), log_q)


def _only_possible(z: Tensor, log_q: Tensor, q: Distribution) -> Tensor:
    """The values, with the most probable one in place of those of probability zero."""
    impossible = log_q.exp() == 0
    if not impossible.any():
        return z
    ones = (1,) * len(q.event_shape)
    likeliest = log_q.argmax(0, keepdim=True)  # (1, *batch)
    stand_in = z.gather(0, likeliest.reshape(*likeliest.shape, *ones).expand(1, *z.shape[1:]))
    return stand_in.where(impossible.reshape(*impossible.shape, *ones), z)
