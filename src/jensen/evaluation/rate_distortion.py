r"""The rate-distortion function of a Gaussian: the least rate at which a mean squared error can be kept.

Expectation: $\mathbb{E}\|x - \hat x\|^2 \le D$ with $x \sim \mathcal{N}(0, \Sigma)$.

A linear decoder and a Gaussian encoder of constant variance reach it, so that it is what training under a constraint on
the reconstruction error must find where everything is linear.
"""

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["GaussianRate", "gaussian_rate"]


class GaussianRate(NamedTuple):
    r"""A point of a Gaussian's rate-distortion function.

    Attributes:
        rate: $R(D)$ in nats.
        level: the water level $\theta$: the distortion of every direction whose variance exceeds it.
        multiplier: $\lambda = -\mathrm{d}R / \mathrm{d}D = 1 / (2 \theta)$, in nats for each unit of distortion.
    """

    rate: float
    level: float
    multiplier: float


def gaussian_rate(variances: Tensor, distortion: float) -> GaussianRate:
    r"""The rate of a Gaussian at a mean squared error, by reverse water-filling.

    $$D(\theta) = \sum_i \min(\theta, \sigma_i^2), \qquad
    R(\theta) = \sum_i \max\Big(0, \tfrac{1}{2} \log \frac{\sigma_i^2}{\theta}\Big)$$

    Among all sources of the same covariance the Gaussian needs the highest rate, so for any data it bounds the
    rate-distortion function from above.

    Args:
        variances: the eigenvalues $\sigma_i^2$ of the covariance, `(D,)`.
        distortion: $D$, above 0 and at most the sum of the variances.

    Returns:
        The rate, the water level and the multiplier.

    Raises:
        ValueError: if a variance is negative or infinite, or the distortion is out of range.

    Example:
        >>> point = gaussian_rate(torch.tensor([4.0, 2.0, 1.0, 0.5, 0.25, 0.12, 0.06, 0.03]), 1.0)
        >>> round(point.rate, 4), round(point.level, 4), round(point.multiplier, 4)
        (4.6129, 0.158, 3.1646)

    References:
        | Elements of Information Theory (Cover & Thomas, 2006), theorem 10.3.3
        | https://doi.org/10.1002/047174882X
    """
    if variances.ndim != 1 or not bool(((variances >= 0) & variances.isfinite()).all()):
        raise ValueError(f"variances are a vector of finite numbers that are not negative, got {variances}")
    ordered = variances.double().sort().values
    total = float(ordered.sum())
    if not 0 < distortion <= total:
        raise ValueError(f"the distortion must be above 0 and at most the sum of the variances {total:g}: {distortion}")
    below = torch.cat([ordered.new_zeros(1), ordered.cumsum(0)[:-1]])  # all that is smaller than each
    above = torch.arange(len(ordered), 0, -1, device=ordered.device)
    levels = (distortion - below) / above
    level = float(levels[levels <= ordered][0]) if bool((levels <= ordered).any()) else float(ordered[-1])
    rate = 0.5 * (ordered.clamp_min(level) / level).log().sum()
    return GaussianRate(float(rate), level, 1 / (2 * level))
