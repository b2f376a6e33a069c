r"""The tail of importance weights: its generalised-Pareto shape $\hat k$, and weights smoothed by it.

A mean of weights has a finite variance only where the tail's shape is below 1/2, and weights have a mean at all only
where it is below 1; $\hat k$ estimates it from the largest weights that were drawn.

References:
    | Pareto Smoothed Importance Sampling (Vehtari, Simpson, Gelman, Yao & Gabry, 2024)
    | https://jmlr.org/papers/v25/19-556.html
    | A New and Efficient Estimation Method for the Generalized Pareto Distribution (Zhang & Stephens, 2009)
    | https://doi.org/10.1198/tech.2009.08017
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["pareto_k", "pareto_smooth", "reliable_k"]

_FEWEST_IN_TAIL = 5
_PRIOR_SHAPE, _PRIOR_DRAWS = 0.5, 10


def pareto_k(log_ratios: Tensor) -> float:
    r"""Shape $\hat k$ of the generalised Pareto tail of the weights $e^{x_n}$.

    The tail is the $\min(N/5, 3\sqrt N)$ largest weights, as far as they are above zero, fitted by the profile
    posterior mean of Zhang and Stephens and drawn towards 1/2 with the weight of ten draws.

    Args:
        log_ratios: log-weights up to a constant, `(N,)` or any shape; `-inf` is a weight of zero.

    Returns:
        The shape; `-inf` where the largest weights are all equal, so that there is no tail; `inf` where fewer than five
        weights are above zero beside the largest; NaN below 25 draws, which are too few to have a tail of five.

    Raises:
        ValueError: if a log-ratio is NaN or `inf`, or all are `-inf`.

    Example:
        >>> log_ratios = 0.3 * torch.linspace(0.0005, 0.9995, 1000, dtype=torch.float64).neg().log1p().neg()
        >>> round(pareto_k(log_ratios), 2)
        0.32
        >>> pareto_k(torch.zeros(1000))
        -inf

    References:
        | Pareto Smoothed Importance Sampling (Vehtari, Simpson, Gelman, Yao & Gabry, 2024)
        | https://jmlr.org/papers/v25/19-556.html
    """
    tail = _tail(log_ratios)
    return tail if isinstance(tail, float) else tail.k


def pareto_smooth(log_ratios: Tensor) -> tuple[Tensor, float]:
    r"""Weights whose largest are replaced by the expected order statistics of the fitted tail.

    $$w_{(N - M + z)} \to \min\Big(F^{-1}\Big(\frac{z - 1/2}{M}\Big), \max_n w_n\Big), \qquad z = 1, \dots, M$$

    Args:
        log_ratios: log-weights up to a constant, `(N,)` or any shape; `-inf` is a weight of zero.

    Returns:
        The smoothed log-weights on the scale of the given ones, *not* normalised, of the same shape; and $\hat k$.
        Where that is NaN or infinite, there was no tail to fit and the log-weights come back as they are.

    Raises:
        ValueError: if a log-ratio is NaN or `inf`, or all are `-inf`.

    Example:
        >>> log_ratios = 0.3 * torch.linspace(0.0005, 0.9995, 1000, dtype=torch.float64).neg().log1p().neg()
        >>> smooth, k = pareto_smooth(log_ratios)
        >>> round(log_ratios.exp().mean().item(), 3), round(smooth.exp().mean().item(), 3)
        (1.427, 1.428)

    References:
        | Pareto Smoothed Importance Sampling (Vehtari, Simpson, Gelman, Yao & Gabry, 2024)
        | https://jmlr.org/papers/v25/19-556.html
    """
    tail = _tail(log_ratios)
    if isinstance(tail, float):
        return log_ratios.clone(), tail
    M = len(tail.places)
    middle = (torch.arange(M, dtype=tail.relative.dtype, device=tail.relative.device) + 0.5) / M
    smooth = (tail.cutoff + _quantile(middle, tail.k, tail.sigma)).log().clamp_max(0.0)
    relative = tail.relative.clone()
    relative[tail.places] = smooth
    return (relative + tail.peak).to(log_ratios.dtype).reshape(log_ratios.shape), tail.k


def reliable_k(n: int) -> float:
    r"""The largest $\hat k$ at which `n` draws still give a mean that can be relied on: $\min(1 - 1/\log_{10} n, 0.7)$.

    Example:
        >>> reliable_k(10_000)
        0.7
        >>> round(reliable_k(100), 3)
        0.5

    References:
        | Pareto Smoothed Importance Sampling (Vehtari, Simpson, Gelman, Yao & Gabry, 2024)
        | https://jmlr.org/papers/v25/19-556.html
    """
    return min(1 - 1 / math.log10(n), 0.7) if n > 1 else -math.inf


class _Tail(NamedTuple):
    """The largest weights, relative to the very largest, with the generalised Pareto distribution fitted to them."""

    relative: Tensor  # log-weights, (N,)
    places: Tensor  # of those in the tail, ascending, (M,)
    cutoff: Tensor
    k: float
    sigma: float
    peak: float


def _tail(log_ratios: Tensor) -> _Tail | float:
    r"""The tail, or $\hat k$ where it cannot be fitted."""
    peak = _peak(log_ratios)
    wide = torch.float32 if log_ratios.device.type == "mps" else torch.float64
    relative = (log_ratios.detach().to(wide) - peak).flatten()
    M = _tail_size(len(relative))
    if M < _FEWEST_IN_TAIL:
        return math.nan
    largest, index = relative.topk(M + 1)
    weights = largest.exp()
    M = min(M, int((weights > 0).sum()))
    if M < _FEWEST_IN_TAIL:
        return math.inf
    if weights[0] == weights[M - 1]:
        return -math.inf
    k, sigma = _fit((weights[:M] - weights[M]).flip(0))
    return _Tail(relative, index[:M].flip(0), weights[M], k, sigma, peak)


def _peak(log_ratios: Tensor) -> float:
    if not log_ratios.numel():
        raise ValueError("there are no log-ratios")
    peak = float(log_ratios.max())
    if not math.isfinite(peak):
        what = "all -inf" if peak == -math.inf else f"{peak} somewhere"
        raise ValueError(
            f"log-ratios {tuple(log_ratios.shape)} are {what}; a tail needs finite ones, -inf standing for 0"
        )
    return peak


def _tail_size(N: int) -> int:
    return math.floor(3 * math.sqrt(N)) if N > 225 else N // 5


def _fit(excess: Tensor) -> tuple[float, float]:
    r"""Shape and scale of a generalised Pareto distribution of ascending `excess` $\ge 0$, `(M,)`."""
    M = len(excess)
    points = 30 + math.isqrt(M)
    grid = 1 - (points / (torch.arange(points, dtype=excess.dtype, device=excess.device) + 0.5)).sqrt()
    quartile = max(int(M / 4 + 0.5) - 1, int((excess == 0).sum()))
    theta = grid / (3 * excess[quartile]) + 1 / excess[-1]  # (points,)
    shape = torch.outer(-theta, excess).log1p_().mean(1)
    log_profile = M * ((-theta / shape).log() - shape - 1)
    posterior = log_profile.softmax(0)
    mean = (posterior * theta).sum()
    k = torch.log1p(-mean * excess).mean()
    sigma = -k / mean
    return float((M * k + _PRIOR_DRAWS * _PRIOR_SHAPE) / (M + _PRIOR_DRAWS)), float(sigma)


def _quantile(p: Tensor, k: float, sigma: float) -> Tensor:
    r"""$F^{-1}(p) = \sigma ((1 - p)^{-k} - 1) / k$ of the generalised Pareto distribution."""
    return -sigma * torch.log1p(-p) if k == 0 else sigma * torch.expm1(-k * torch.log1p(-p)) / k
