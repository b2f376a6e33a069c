r"""Pieces of the horseshoe prior: a half-Cauchy scale as a product of two, each with a divergence in closed form.

$$z \sim \mathcal{C}^+(0, k) \iff z = \sqrt{\alpha \beta}, \qquad \alpha \sim \mathrm{Gamma}(\tfrac{1}{2}, k^2), \quad
\beta \sim \mathrm{InvGamma}(\tfrac{1}{2}, 1)$$

Both second parameters are scales. With lognormal posteriors of $\alpha$ and $\beta$ the posterior of $z$ is lognormal
too, `root_of_lognormals`, and the divergences of the pieces bound that of $z$ from above.

References:
    | Bayesian Compression for Deep Learning (Louizos, Ullrich & Welling, 2017), section 4.2
    | https://arxiv.org/abs/1705.08665v4
    | Mean Field Variational Bayes for Continuous Sparse Signal Shrinkage (Neville, Ormerod & Wand, 2014)
    | https://doi.org/10.1214/14-EJS910
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Gamma, InverseGamma

from jensen._math import HALF_LOG_TWO_PI
from jensen.distributions._checks import check_positive

__all__ = [
    "HalfCauchyPieces",
    "half_cauchy_pieces",
    "kl_lognormal_gamma",
    "kl_lognormal_inverse_gamma",
    "root_of_lognormals",
]


class HalfCauchyPieces(NamedTuple):
    r"""Two independent distributions whose product is the square of a half-Cauchy variable.

    Attributes:
        gamma: $\mathrm{Gamma}(\frac{1}{2}, k^2)$, $k^2$ a scale: torch keeps its inverse, the rate.
        inverse_gamma: $\mathrm{InvGamma}(\frac{1}{2}, 1)$.
    """

    gamma: Gamma
    inverse_gamma: InverseGamma


def half_cauchy_pieces(scale: float | Tensor) -> HalfCauchyPieces:
    r"""The gamma and the inverse gamma distribution whose product is the square of a half-Cauchy variable.

    $$\sqrt{\alpha \beta} \sim \mathcal{C}^+(0, k), \qquad p(z) = \frac{2}{\pi k (1 + z^2 / k^2)}, \quad z > 0$$

    because $\alpha / k^2$ and $1 / \beta$ are halves of squared standard normals, and the ratio of two such is the
    square of a Cauchy variable.

    Args:
        scale: $k > 0$, the median of $z$: a number or a tensor.

    Returns:
        Both, with the batch shape of `scale`.

    Raises:
        ValueError: if `scale` is not positive and finite.

    Example:
        >>> alpha, beta = half_cauchy_pieces(torch.tensor([0.5, 2.0]))
        >>> alpha.rate, beta.concentration
        (tensor([4.0000, 0.2500]), tensor([0.5000, 0.5000]))

    References:
        | Mean Field Variational Bayes for Continuous Sparse Signal Shrinkage (Neville, Ormerod & Wand, 2014)
        | https://doi.org/10.1214/14-EJS910
    """
    if isinstance(scale, Tensor) and not (scale.isfinite() & (scale > 0)).all():
        raise ValueError(f"scale of shape {tuple(scale.shape)} must be positive and finite everywhere")
    check_positive(scale=scale)
    k = torch.as_tensor(scale)
    half = torch.full_like(k, 0.5)
    return HalfCauchyPieces(Gamma(half, k.square().reciprocal()), InverseGamma(half, torch.ones_like(k)))


def kl_lognormal_gamma(mean: Tensor, variance: Tensor, *, shape: float, scale: float | Tensor) -> Tensor:
    r"""Divergence of a lognormal posterior from a gamma prior, in nats.

    $$\mathrm{KL} = e^{m + v / 2} / b - a (m - \log b) + \log \Gamma(a) - \frac{1}{2} \log 2 \pi e v$$

    for $\log x \sim \mathcal{N}(m, v)$ and $p(x) \propto x^{a - 1} e^{-x / b}$.

    Args:
        mean: $m$, the mean of $\log x$, `(*shape)`.
        variance: $v > 0$, the variance of $\log x$, of a shape that broadcasts with `mean`.
        shape: $a$.
        scale: $b$, the inverse of the rate. A number is checked; a tensor, which broadcasts, is taken as it is.

    Returns:
        One divergence for each entry.

    Raises:
        ValueError: if `shape`, or the number `scale`, is not positive and finite.

    Example:
        >>> kl_lognormal_gamma(torch.tensor(0.0), torch.tensor(1.0), shape=0.5, scale=1.0)
        tensor(0.8021)

    References:
        | Bayesian Compression for Deep Learning (Louizos, Ullrich & Welling, 2017), section 4.2
        | https://arxiv.org/abs/1705.08665v4
    """
    check_positive(shape=shape, scale=scale)
    log_scale = scale.log() if isinstance(scale, Tensor) else math.log(scale)
    return _kl(mean - log_scale, variance, shape)


def kl_lognormal_inverse_gamma(mean: Tensor, variance: Tensor, *, shape: float, scale: float | Tensor) -> Tensor:
    r"""Divergence of a lognormal posterior from an inverse gamma prior, in nats.

    $$\mathrm{KL} = b e^{-m + v / 2} + a (m - \log b) + \log \Gamma(a) - \frac{1}{2} \log 2 \pi e v$$

    for $\log x \sim \mathcal{N}(m, v)$ and $p(x) \propto x^{-a - 1} e^{-b / x}$: that of $1 / x$, which is lognormal
    with mean $-m$, from a gamma prior of scale $1 / b$.

    Args:
        mean: $m$, the mean of $\log x$, `(*shape)`.
        variance: $v > 0$, the variance of $\log x$, of a shape that broadcasts with `mean`.
        shape: $a$.
        scale: $b$. A number is checked; a tensor, which broadcasts, is taken as it is.

    Returns:
        One divergence for each entry.

    Raises:
        ValueError: if `shape`, or the number `scale`, is not positive and finite.

    Example:
        >>> kl_lognormal_inverse_gamma(torch.tensor(0.0), torch.tensor(1.0), shape=0.5, scale=1.0)
        tensor(0.8021)

    References:
        | Bayesian Compression for Deep Learning (Louizos, Ullrich & Welling, 2017), section 4.2
        | https://arxiv.org/abs/1705.08665v4
    """
    check_positive(shape=shape, scale=scale)
    log_scale = scale.log() if isinstance(scale, Tensor) else math.log(scale)
    return _kl(log_scale - mean, variance, shape)


def root_of_lognormals(means: Tensor, variances: Tensor) -> tuple[Tensor, Tensor]:
    r"""Mean and variance of $\log z$ for $z = \sqrt{\prod_i x_i}$, the $x_i$ independent and lognormal.

    $$\log z \sim \mathcal{N} \left( \tfrac{1}{2} \sum_i m_i, \tfrac{1}{4} \sum_i v_i \right)$$

    Two factors make a half-Cauchy scale, four the product of a local and a global one.

    Args:
        means: the $m_i$, the factors along the first axis, `(I, *shape)`.
        variances: the $v_i$, `(I, *shape)`.

    Returns:
        Both moments, `(*shape)` each.

    Raises:
        ValueError: if the shapes differ, or there is no factor.

    Example:
        >>> root_of_lognormals(torch.tensor([1.0, 3.0]), torch.tensor([0.5, 1.5]))
        (tensor(2.), tensor(0.5000))
    """
    if means.shape != variances.shape or means.ndim == 0 or len(means) == 0:
        shapes = f"{tuple(means.shape)} and {tuple(variances.shape)}"
        raise ValueError(f"means and variances have shapes {shapes}; give both as (factors, *shape)")
    return 0.5 * means.sum(0), 0.25 * variances.sum(0)


def _kl(u: Tensor, variance: Tensor, shape: float) -> Tensor:
    r"""The divergence from a gamma of unit scale, of a lognormal with mean $u$."""
    entropy = HALF_LOG_TWO_PI + 0.5 + 0.5 * variance.log()
    return torch.exp(u + 0.5 * variance) - shape * u + math.lgamma(shape) - entropy
