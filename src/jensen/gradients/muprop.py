r"""MuProp: the score function of what f's expansion at the mean leaves, the rest by the chain rule.

Expectation: $\mathbb{E}_{q}[f(z)]$. Assumed: `q` has a `mean` of the shape of its samples and a `log_prob`, both
differentiable in its parameters (bits, one-hot rows, Gaussians, indicators of subsets or trees); f is defined and
differentiable at that mean, which is no value of a discrete `q`. Bias: none. Evaluations of f: $K + 1$, in two calls,
and one derivative.

References:
    | MuProp: Unbiased Backpropagation for Stochastic Neural Networks (Gu, Levine, Sutskever & Mnih, 2016)
    | https://arxiv.org/abs/1511.05176v3
"""

from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.distributions import Distribution

from jensen.gradients._parts import Cost, UnsupportedError, check_samples, draw, evaluate, worth
from jensen.gradients.score_function import _log_prob, _resolve

__all__ = ["Expansion", "kernel", "muprop"]


class Expansion(NamedTuple):
    r"""The cost to first order at the mean, all but `mean` constant.

    Attributes:
        mean: $\mu = \mathbb{E}_q[z]$, differentiable in q's parameters, `(*batch, *event)`.
        cost: $f(\mu)$, `(*batch)`.
        slope: $f'(\mu)$, `(*batch, *event)`.
    """

    mean: Tensor
    cost: Tensor
    slope: Tensor

    def at(self, z: Tensor) -> Tensor:
        r"""$f(\mu) + f'(\mu) \cdot (z - \mu)$, `(K, *batch)`, a constant."""
        shape = (*z.shape[:1], *self.cost.shape, -1)
        return self.cost + (self.slope * (z - self.mean.detach())).reshape(shape).sum(-1)


def kernel(residual: Tensor, log_q: Tensor, expansion: Expansion) -> Tensor:
    r"""A term whose gradient is the estimator's in q's parameters, `(*batch)`.

    $$\nabla \mathbb{E}_q[f] = \mathbb{E}\Big[\frac{1}{K} \sum_k r_k \nabla \log q_k\Big] + f'(\mu) \nabla \mu, \qquad
    r_k = f(z_k) - f(\mu) - f'(\mu) \cdot (z_k - \mu) - b_k$$

    Args:
        residual: $r_k$, held constant, `(K, *batch)`.
        log_q: $\log q(z_k)$, `(K, *batch)`.
        expansion: of f at the mean.
    """
    through_mean = (expansion.slope * expansion.mean).reshape(*log_q.shape[1:], -1).sum(-1)  # (*batch)
    return (residual.detach() * log_q).mean(0) + through_mean


def muprop(
    f: Cost,
    q: Distribution,
    *,
    samples: int = 1,
    baseline: Tensor | nn.Module | float | str | None = None,
    generator: Generator | None = None,
) -> Tensor:
    r"""Estimate $\mathbb{E}_q[f]$, its gradient by the score function with a Taylor expansion as control variate.

    $$\nabla \mathbb{E}_q[f] = \mathbb{E}\big[(f(z) - f(\mu) - f'(\mu) \cdot (z - \mu)) \nabla \log q(z)\big]
    + f'(\mu) \nabla \mu$$

    Better than `score_function` where f is close to linear over the draws, exact where it is linear; a curved f can
    make it worse. First order only.

    Args:
        f: maps samples `(K, *batch, *event)` to costs `(K, *batch)`; called again with the mean in place of a sample.
        q: any distribution with `sample`, `log_prob` and `mean`; OneHotCategorical rather than Categorical.
        samples: $K$.
        baseline: subtracted from what the expansion leaves, as in `score_function`; with `"leave_one_out"` the
            constant $f(\mu)$ plays no part.
        generator: for the draws.

    Returns:
        The mean cost of the draws, `(*batch)`.

    Raises:
        UnsupportedError: if `q` has no mean at which f could be taken, or f no derivative there.
        ValueError: for fewer samples than needed, or costs of another shape.

    Example:
        >>> from torch.distributions import Bernoulli
        >>> logits = torch.zeros(3, requires_grad=True)
        >>> muprop(lambda b: 2 * b, Bernoulli(logits=logits)).sum().backward()
        >>> logits.grad
        tensor([0.5000, 0.5000, 0.5000])

    References:
        | MuProp: Unbiased Backpropagation for Stochastic Neural Networks (Gu, Levine, Sutskever & Mnih, 2016)
        | https://arxiv.org/abs/1511.05176v3
    """
    check_samples(samples)
    if isinstance(baseline, str):
        check_samples(samples, 2, why="a draw needs others to be compared with")
    z = draw(q, samples, generator)
    log_q = _log_prob(q, z)
    expansion = _expand(f, q)
    cost = evaluate(f, z, q)
    left = (cost - expansion.at(z)).detach()
    surrogate = kernel(left - _resolve(baseline, left), log_q, expansion)
    if isinstance(baseline, nn.Module) and callable(update := getattr(baseline, "update", None)):
        update(left)
    return worth(cost.mean(0), surrogate)


def _expand(f: Cost, q: Distribution) -> Expansion:
    mean = _mean(q)
    with torch.enable_grad():
        here = mean.detach().requires_grad_()
        cost = evaluate(f, here.unsqueeze(0), q).squeeze(0)
        slope = torch.autograd.grad(cost.sum(), here, allow_unused=True)[0] if cost.requires_grad else None
    if slope is None:
        raise UnsupportedError(
            f"f has no derivative at the mean of {type(q).__name__}; use score_function, which needs none"
        )
    return Expansion(mean, cost.detach(), slope)


def _mean(q: Distribution) -> Tensor:
    try:
        mean: Tensor | None = getattr(q, "mean", None)
    except NotImplementedError:
        mean = None
    if mean is None or mean.shape != q.batch_shape + q.event_shape or bool(mean.isnan().all()):
        raise UnsupportedError(
            f"{type(q).__name__} has no mean at which f could be expanded; give OneHotCategorical in place of "
            "Categorical, or use score_function"
        )
    return mean
