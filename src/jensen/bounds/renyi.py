"""One family from the smallest to the largest log-weight: Renyi's bounds and the chi upper bound."""

import math

import torch
from torch import Tensor

from jensen._contracts import check_log_weights
from jensen._math import log_mean_exp

__all__ = ["cubo", "renyi"]

_NEARLY_LINEAR = 0.1


def renyi(log_w: Tensor, *, alpha: float, dim: int = 0) -> Tensor:
    r"""Variational Renyi bound, the power mean of the weights on the log scale, in nats.

    $$\mathcal{L}_\alpha = \frac{1}{1 - \alpha} \log \frac{1}{K} \sum_{k=1}^{K} w_k^{1 - \alpha}$$

    Falls as $\alpha$ grows: the largest log-weight at $-\infty$, `cubo` of order $1 - \alpha$ below 0, `iwae` at 0,
    `elbo` at 1 (the limit), the smallest log-weight at $\infty$. For $\alpha \ge 0$ its expectation is below
    $\log p(x)$ for any $K$. For $\alpha < 0$ the quantity it estimates is above, but the estimate from few samples may
    not be.

    Args:
        log_w: log-weights $\log p(x, z) - \log q(z \mid x)$, `(K, *batch)`.
        alpha: the order, any real number or an infinity.
        dim: the axis of the $K$ samples.

    Returns:
        The bound, `(*batch)`.

    Raises:
        ValueError: if `alpha` is NaN, or `log_w` is not floating point or holds no sample.

    Example:
        >>> [round(float(renyi(torch.tensor([0.0, math.log(3.0)]), alpha=a)), 4) for a in (-math.inf, 0.0, 1.0)]
        [1.0986, 0.6931, 0.5493]

    References:
        | Renyi Divergence Variational Inference (Li & Turner, 2016), eq. 10
        | https://arxiv.org/abs/1602.02311v3
    """
    check_log_weights(log_w, dim)
    if math.isnan(alpha):
        raise ValueError("alpha is NaN; give a real number or an infinity")
    if alpha == 1:
        return log_w.mean(dim)
    if math.isinf(alpha):
        return log_w.amin(dim) if alpha > 0 else log_w.amax(dim)
    if abs(1 - alpha) < _NEARLY_LINEAR:
        return _near_the_mean(log_w, 1 - alpha, dim)
    return log_mean_exp((1 - alpha) * log_w, dim=dim) / (1 - alpha)


def cubo(log_w: Tensor, *, order: float = 2.0, dim: int = 0) -> Tensor:
    r"""Chi upper bound on the log-evidence, in nats.

    $$\mathrm{CUBO}_n = \frac{1}{n} \log \mathbb{E}_q[w^n] \ge \log p(x), \qquad n \ge 1$$

    Estimated by the mean over $K$ samples. That estimate approaches the upper bound *from below*, because the mean
    stands inside the logarithm: with few samples it may lie under $\log p(x)$. Only `exp(order * cubo(...))` is
    unbiased. Equal to `renyi` at $\alpha = 1 - n$; `iwae` at $n = 1$.

    Args:
        log_w: log-weights $\log p(x, z) - \log q(z \mid x)$, `(K, *batch)`.
        order: the power $n \ge 1$.
        dim: the axis of the $K$ samples.

    Returns:
        The estimate, `(*batch)`.

    Raises:
        ValueError: if `order` is below 1, or `log_w` is not floating point or holds no sample.

    Example:
        >>> cubo(torch.tensor([0.0, math.log(3.0)]))
        tensor(0.8047)

    References:
        | Variational Inference via chi Upper Bound Minimization (Dieng, Tran, Ranganath, Paisley & Blei, 2017), eq. 2
        | https://arxiv.org/abs/1611.00328v4
    """
    if not order >= 1:
        raise ValueError(f"the order of cubo is {order}; it is an upper bound for orders of at least 1 only")
    return renyi(log_w, alpha=1 - order, dim=dim)


def _near_the_mean(log_w: Tensor, power: float, dim: int) -> Tensor:
    r"""$\frac{1}{p} \log \frac{1}{K} \sum_k e^{p \log w_k}$ for small $p$, where the plain form would cancel."""
    extreme = (log_w.amax if power > 0 else log_w.amin)(dim, keepdim=True).detach()
    shift = torch.where(extreme.isfinite(), extreme, torch.zeros_like(extreme))
    return torch.expm1(power * (log_w - shift)).mean(dim).log1p() / power + shift.squeeze(dim)
