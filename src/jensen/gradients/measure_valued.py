r"""Measure-valued gradients (weak derivatives): differences of costs instead of derivatives.

Expectation: $\mathbb{E}_q[f(z)]$ for `q` a product of Gaussians or of factors with few values. The derivative of a
density is a constant times the difference of two densities,

$$\partial_\theta q_\theta = c_\theta (q^+_\theta - q^-_\theta), \qquad
\partial_\theta \mathbb{E}_q[f] = c_\theta (\mathbb{E}_{q^+}[f] - \mathbb{E}_{q^-}[f]),$$

taken one coordinate at a time while the others are drawn from `q`:

| parameter | $c$ | $q^+$ | $q^-$ |
|---|---|---|---|
| mean $\mu$ | $1 / (\sigma \sqrt{2 \pi})$ | $\mu + \sigma R$, $R$ Rayleigh | $\mu - \sigma R$ |
| scale $\sigma$ | $1 / \sigma$ | $\mu + \sigma M$, $M$ two-sided Maxwell | Gaussian: $\mu + \sigma M U$, $U$ uniform |
| logit of value $j$ | $p_j (1 - p_j)$ | the value $j$ | `q` given that the value is not $j$ |

In the last line the values $j$ are all evaluated anyway, so that the mean over $q^-$ is exact:
$p_j (f(j) - \sum_i p_i f(i))$. One such coordinate alone is `enumerate_exact`.

Assumed: nothing of $f$, jumps allowed. Bias: none, first order only; parameters inside $f$ get their own gradient from
the $K$ plain draws. Evaluations of $f$ for $D$ coordinates: $K (1 + 4 D)$ for Gaussians, $K (1 + C D)$ for $C$ values,
all but $K$ of them without a graph.

References:
    | Monte Carlo Gradient Estimation in Machine Learning (Mohamed, Rosca, Figurnov & Mnih, 2020), section 6
    | https://arxiv.org/abs/1906.10652v2
"""

import math

import torch
from torch import Generator, Tensor
from torch.distributions import Bernoulli, Distribution, Independent, Normal

from jensen._random import seeded
from jensen.distributions import DiagonalNormal, IndependentBernoulli, StandardNormal
from jensen.gradients._parts import Cost, UnsupportedError, check_samples, draw, evaluate, worth
from jensen.gradients.states import domain_size, log_prob_table

__all__ = ["discrete_kernel", "discrete_points", "gaussian_kernel", "gaussian_points", "measure_valued"]


def gaussian_kernel(cost: Tensor, cost_at: Tensor, *, loc: Tensor, scale: Tensor) -> Tensor:
    r"""The estimator on the costs of plain draws and of the four parts.

    $$\partial_\mu = \frac{f^\mu_+ - f^\mu_-}{\sigma \sqrt{2 \pi}}, \qquad
    \partial_\sigma = \frac{f^\sigma_+ - f^\sigma_-}{\sigma}$$

    Args:
        cost: of draws from `q`, `(K, *batch)`.
        cost_at: of the points of `gaussian_points`, `(4, D, K, *batch)`.
        loc: $\mu$, `(*batch, D)`.
        scale: $\sigma$, `(*batch, D)`.
    """
    up, down, out, plain = cost_at.mean(2).movedim(1, -1)  # (*batch, D) each
    toward_loc = (up - down) / (scale * math.sqrt(2 * math.pi))
    toward_scale = (out - plain) / scale
    return worth(cost.mean(0), (toward_loc.detach() * loc + toward_scale.detach() * scale).sum(-1))


def gaussian_points(z: Tensor, noise: Tensor, *, loc: Tensor, scale: Tensor) -> Tensor:
    r"""Draws with one coordinate replaced by a draw from a part of its derivative.

    Args:
        z: draws of all coordinates, `(4, D, K, *batch, D)` or what broadcasts to it.
        noise: standard draws of the parts $R$, $-R$, $M$ and $M U$, `(4, K, *batch, D)`.
        loc: $\mu$, `(*batch, D)`.
        scale: $\sigma$, `(*batch, D)`.

    Returns:
        The points, `(4, D, K, *batch, D)`.
    """
    D = loc.shape[-1]
    replaced = (loc + scale * noise).unsqueeze(1)  # (4, 1, K, *batch, D)
    return replaced.where(_one_each(D, loc, z.ndim), z)


def discrete_kernel(cost: Tensor, cost_at: Tensor, *, log_p: Tensor) -> Tensor:
    r"""The estimator on the costs of plain draws and of each value at each coordinate.

    $$\nabla \mathbb{E}_q[f] = \mathbb{E}\Big[\sum_d \sum_c f(c, z_{-d}) \nabla p_{d c}\Big]$$

    Args:
        cost: of draws from `q`, `(K, *batch)`.
        cost_at: of the points of `discrete_points`, `(C, D, K, *batch)`.
        log_p: the log-probability of each value, `(C, *batch, D)`.
    """
    p = log_p.masked_fill(log_p.exp() == 0, -math.inf).exp()  # (C, *batch, D)
    return worth(cost.mean(0), (cost_at.mean(2).movedim(1, -1).detach() * p).sum((0, -1)))


def discrete_points(z: Tensor, values: Tensor, *, log_p: Tensor) -> Tensor:
    r"""Draws with each possible value put in place of each coordinate; where one is impossible, the draw itself.

    Args:
        z: draws, `(C, D, K, *batch, D, *inner)` or what broadcasts to it, `inner` being the shape of one value.
        values: `(C, *batch, D, *inner)`.
        log_p: the log-probability of each value, `(C, *batch, D)`.

    Returns:
        The points, `(C, D, K, *batch, D, *inner)`.
    """
    C, D, inner = len(values), log_p.shape[-1], values.ndim - log_p.ndim
    possible = (log_p.exp() > 0).reshape(C, 1, 1, *log_p.shape[1:])
    chosen = possible & _one_each(D, log_p, z.ndim - inner)
    return values[:, None, None].where(chosen.reshape(*chosen.shape, *[1] * inner), z)


def measure_valued(
    f: Cost, q: Distribution, *, samples: int = 1, coupled: bool = True, generator: Generator | None = None
) -> Tensor:
    r"""Estimate $\mathbb{E}_q[f]$, its gradient by weak derivatives.

    $$\partial_\theta \mathbb{E}_q[f] = c_\theta (\mathbb{E}_{q^+}[f] - \mathbb{E}_{q^-}[f])$$

    Of low variance for any `f`, at a price that grows with the number of coordinates. First order only.

    Args:
        f: maps samples `(K, *batch, *event)` to costs `(K, *batch)`; called with `K` draws, then without a graph with
            the points of the parts, `4 D K` or `C D K` of them.
        q: `Normal`, `DiagonalNormal`, `StandardNormal`; `IndependentBernoulli`, any distribution with few values; or
            `Independent` of one of these.
        samples: $K$.
        coupled: draw both parts from the same noise, other coordinates included. That lowers the variance but in one
            case: in the mean of a Gaussian, where `f` is close to a line, it doubles it.
        generator: for the draws.

    Returns:
        The mean cost of the plain draws, `(*batch)`.

    Raises:
        UnsupportedError: if `q` is neither Gaussian with independent entries nor a product of enumerable factors.
        ValueError: for no sample, or costs of another shape.

    Example:
        >>> from torch.distributions import Normal
        >>> location = torch.tensor(0.5, requires_grad=True)
        >>> step = lambda z: (z > 0).float()
        >>> measure_valued(step, Normal(location, 1.0), samples=10_000).backward()
        >>> abs(float(location.grad) - 0.3521) < 0.02
        True

    References:
        | Monte Carlo Gradient Estimation in Machine Learning (Mohamed, Rosca, Figurnov & Mnih, 2020), section 6
        | https://arxiv.org/abs/1906.10652v2
    """
    check_samples(samples)
    leaf = _leaf(q)
    if not isinstance(leaf, Normal) and domain_size(leaf) is None:
        raise UnsupportedError(
            f"{type(leaf).__name__} has no weak derivative here, only Gaussians with independent entries and "
            "distributions with few values; use score_function"
        )
    estimate = _gaussian if isinstance(leaf, Normal) else _discrete
    return estimate(f, q, leaf, K=samples, coupled=coupled, generator=generator)


def _gaussian(
    f: Cost, q: Distribution, leaf: Distribution, *, K: int, coupled: bool, generator: Generator | None
) -> Tensor:
    shape = _one_axis(q)  # (*batch, D)
    sizes = (4, shape[-1], K)
    loc, scale = leaf.mean.reshape(shape), leaf.stddev.reshape(shape)
    with seeded(generator), torch.no_grad():
        z = draw(q, K)
        noise = _gaussian_noise(loc.expand(K, *shape), coupled=coupled)
        around = _around(q, z, sizes=sizes, coupled=coupled)
        around = around.reshape(*_lead(sizes, coupled=coupled), *shape)
        points = gaussian_points(around, noise, loc=loc, scale=scale)
    cost = evaluate(f, z, q)
    return gaussian_kernel(cost, _cost_at(f, q, points, sizes=sizes), loc=loc, scale=scale)


def _discrete(
    f: Cost, q: Distribution, leaf: Distribution, *, K: int, coupled: bool, generator: Generator | None
) -> Tensor:
    shape, inner = _one_axis(q), leaf.event_shape  # (*batch, D), that of one value
    values, log_p = log_prob_table(leaf)
    sizes = (len(values), shape[-1], K)
    values, log_p = values.reshape(len(values), *shape, *inner), log_p.reshape(len(values), *shape)
    with seeded(generator), torch.no_grad():
        z = draw(q, K)
        around = _around(q, z, sizes=sizes, coupled=coupled)
        around = around.reshape(*_lead(sizes, coupled=coupled), *shape, *inner)
        points = discrete_points(around, values, log_p=log_p)
    cost = evaluate(f, z, q)
    return discrete_kernel(cost, _cost_at(f, q, points, sizes=sizes), log_p=log_p)


def _around(q: Distribution, z: Tensor, *, sizes: tuple[int, int, int], coupled: bool) -> Tensor:
    """Where the coordinates that are not replaced come from: the plain draws for all parts, or fresh ones for each."""
    return z if coupled else draw(q, math.prod(sizes))


def _lead(sizes: tuple[int, int, int], *, coupled: bool) -> tuple[int, int, int]:
    return (1, 1, sizes[2]) if coupled else sizes


@torch.no_grad()
def _cost_at(f: Cost, q: Distribution, points: Tensor, *, sizes: tuple[int, int, int]) -> Tensor:
    """The costs of points `(*sizes, *batch, D, *inner)`, `(*sizes, *batch)`."""
    flat = points.reshape(math.prod(sizes), *q.batch_shape, *q.event_shape)
    return evaluate(f, flat, q).reshape(*sizes, *q.batch_shape)


def _gaussian_noise(like: Tensor, *, coupled: bool) -> Tensor:
    r"""Standard draws of the four parts, `(4, *like.shape)`."""
    rayleigh = (2 * torch.empty_like(like).exponential_()).sqrt()
    opposite = rayleigh if coupled else (2 * torch.empty_like(like).exponential_()).sqrt()
    side = torch.randint_like(like, 2).mul_(2).sub_(1)
    maxwell = side * torch.randn((3, *like.shape), dtype=like.dtype, device=like.device).square().sum(0).sqrt()
    normal = maxwell * torch.rand_like(like) if coupled else torch.randn_like(like)
    return torch.stack([rayleigh, -opposite, maxwell, normal])


def _leaf(q: Distribution) -> Distribution:
    """The factors of a product, as one distribution whose batch they are."""
    while isinstance(q, Independent):
        q = q.base_dist
    if isinstance(q, DiagonalNormal | StandardNormal):
        return Normal(q.mean, q.stddev, validate_args=False)
    if isinstance(q, IndependentBernoulli):
        return Bernoulli(logits=q.logits, validate_args=False)
    return q


def _one_axis(q: Distribution) -> tuple[int, ...]:
    """The shape of a batch of factors with those of one event on one axis, `(*batch, D)`."""
    return (*q.batch_shape, math.prod(_leaf(q).batch_shape[len(q.batch_shape) :]))


def _one_each(D: int, like: Tensor, ndim: int) -> Tensor:
    """Marks coordinate `d` in the `d`-th of `D` copies, `(1, D, 1, ..., D)` with `ndim` axes."""
    marks = torch.eye(D, dtype=torch.bool, device=like.device)
    return marks.reshape(1, D, *[1] * (ndim - 3), D)
