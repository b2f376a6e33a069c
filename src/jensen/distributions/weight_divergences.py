r"""Divergences of a Gaussian weight from the priors of Bayesian neural networks, entry by entry.

Each takes the posterior $q(w) = \mathcal{N}(\mu, \sigma^2)$ by its mean and log-scale and gives
$\mathrm{KL}(q(w) \,\|\, p(w))$ in nats with the constants that make it a divergence: it is never negative, and zero
only where $q = p$. What a network pays is their sum over its weights, never their mean.
"""

import math

import torch
from torch import Tensor

from jensen._math import HALF_LOG_TWO_PI
from jensen.distributions._checks import check_positive

__all__ = ["kl_normal_laplace", "kl_normal_normal"]

_ROOT_HALF = math.sqrt(0.5)
_ROOT_TWO_OVER_PI = math.sqrt(2 / math.pi)
_FAR = 40.0


def kl_normal_normal(mean: Tensor, log_scale: Tensor, *, prior_scale: float | Tensor) -> Tensor:
    r"""Divergence of $\mathcal{N}(\mu, \sigma^2)$ from the Gaussian prior $\mathcal{N}(0, s^2)$, in nats.

    $$\mathrm{KL} = \frac{1}{2} \left( \frac{\sigma^2}{s^2} - 1 + \frac{\mu^2}{s^2} \right) - \log \frac{\sigma}{s}$$

    Args:
        mean: $\mu$, `(*shape)`.
        log_scale: $\log \sigma$, of a shape that broadcasts with `mean`.
        prior_scale: the standard deviation $s > 0$, no variance. A number is checked; a tensor, which broadcasts and
            may be learned, is taken as it is.

    Returns:
        One divergence for each entry.

    Raises:
        ValueError: if the number `prior_scale` is not positive and finite.

    Example:
        >>> kl_normal_normal(torch.tensor([0.0, 1.0]), torch.zeros(2), prior_scale=1.0)
        tensor([0.0000, 0.5000])
    """
    check_positive(prior_scale=prior_scale)
    ratio = log_scale - _log(prior_scale)
    return 0.5 * (torch.expm1(2 * ratio) + (mean / prior_scale).square()) - ratio


def kl_normal_laplace(mean: Tensor, log_scale: Tensor, *, prior_scale: float | Tensor) -> Tensor:
    r"""Divergence of $\mathcal{N}(\mu, \sigma^2)$ from the Laplace prior $\frac{1}{2 b} e^{-|w| / b}$, in nats.

    $$\mathrm{KL} = \frac{\mathbb{E}_q |w|}{b} + \log \frac{2 b}{\sigma} - \frac{1}{2} \log 2 \pi e, \qquad
    \mathbb{E}_q |w| = \sigma \sqrt{\frac{2}{\pi}} e^{-\mu^2 / 2 \sigma^2}
    + \mu \, \mathrm{erf} \frac{\mu}{\sigma \sqrt{2}}$$

    Beyond 40 standard deviations from zero $\mathbb{E}_q |w|$ is $|\mu|$ to the last bit, and so are its gradients.

    Args:
        mean: $\mu$, `(*shape)`.
        log_scale: $\log \sigma$, of a shape that broadcasts with `mean`.
        prior_scale: the scale $b > 0$; the prior's standard deviation is $\sqrt{2} \, b$. A number is checked; a
            tensor, which broadcasts and may be learned, is taken as it is.

    Returns:
        One divergence for each entry.

    Raises:
        ValueError: if the number `prior_scale` is not positive and finite.

    Example:
        >>> kl_normal_laplace(torch.tensor([0.0, 1.0]), torch.zeros(2), prior_scale=1.0)
        tensor([0.0721, 0.4408])
    """
    check_positive(prior_scale=prior_scale)
    entropy = log_scale + (HALF_LOG_TWO_PI + 0.5)
    return _mean_size(mean, log_scale.exp()) / prior_scale + (math.log(2) + _log(prior_scale)) - entropy


def _mean_size(mean: Tensor, scale: Tensor) -> Tensor:
    r"""$\mathbb{E} |w|$ under $\mathcal{N}(\mu, \sigma^2)$."""
    near = mean.abs() < _FAR * scale
    standard = torch.where(near, mean, 0.0) / torch.where(near, scale, 1.0)
    folded = _ROOT_TWO_OVER_PI * scale * torch.exp(-0.5 * standard.square()) + mean * torch.erf(_ROOT_HALF * standard)
    return torch.where(near, folded, mean.abs())


def _log(scale: float | Tensor) -> float | Tensor:
    return scale.log() if isinstance(scale, Tensor) else math.log(scale)
