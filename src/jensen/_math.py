"""Numerically safe helpers that every floor may use."""

import math

import torch
from torch import Tensor

__all__ = ["HALF_LOG_TWO_PI", "log_mean_exp", "logit"]

HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


def log_mean_exp(x: Tensor, *, dim: int = 0) -> Tensor:
    r"""Logarithm of the mean of exponentials, $\log \frac{1}{K} \sum_k e^{x_k}$, without overflow.

    The gradient is the softmax of `x`, 0 where `x` is `-inf`. Where all of it is `-inf` there is none, and it is NaN.

    Args:
        x: real numbers, `-inf` allowed.
        dim: the axis that is averaged over.

    Returns:
        A tensor without the axis `dim`.

    Example:
        >>> log_mean_exp(torch.tensor([-1000.0, -1000.0]))
        tensor(-1000.)
    """
    K = x.shape[dim]
    return torch.logsumexp(x, dim=dim) - math.log(K) if K > 1 else x.squeeze(dim)


def logit(probability: Tensor, *, clip: float = 1e-3) -> Tensor:
    r"""Log-odds $\log \frac{p}{1 - p}$, with $p$ first clipped to `[clip, 1 - clip]`.

    Example:
        >>> logit(torch.tensor([0.0, 0.5]))
        tensor([-6.9068,  0.0000])
    """
    return torch.logit(probability, eps=clip)
