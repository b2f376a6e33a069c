r"""Bias and variance of importance-weighted bounds in powers of $1/K$, from the moments of a single weight.

With relative central moments $m_n = \mathbb{E}[(w - \mu)^n] / \mu^n$ and $\delta = \bar w / \mu - 1$ the error of the
mean of $K$ weights, the bound is $\log \mu + \log(1 + \delta)$. The cumulants of $\delta$ are those of one weight divided
by $K^{n-1}$, so that every moment of $\delta$ is a polynomial in $1/K$, and with it every term of the Taylor series of
$\log(1 + \delta)$ and of its square. The series are asymptotic: they need the moments to exist, and for a given $K$ more
terms help only while they fall.

References:
    | Debiasing Evidence Approximations: On Importance-weighted Autoencoders and Jackknife Variational Inference (Nowozin, 2018), props. 1 and 2
    | https://openreview.net/forum?id=HyZoi-WRb
    | Filtering Variational Objectives (Maddison, Lawson, Tucker, Heess, Norouzi, Mnih, Doucet & Teh, 2017)
    | https://arxiv.org/abs/1705.09279
"""  # noqa: E501

import itertools
import math
from collections.abc import Iterable

import torch
from torch import Tensor

from jensen._contracts import check_log_weights
from jensen._math import log_mean_exp

__all__ = ["iwae_bias", "iwae_variance", "jackknife_bias", "relative_moments"]


def relative_moments(log_w: Tensor, *, highest: int = 4, dim: int = 0) -> Tensor:
    r"""Central moments of weights in units of their mean, $m_n = \frac{1}{N} \sum_i (w_i / \bar w - 1)^n$.

    The plug-in for the expansions: no weight is formed, only ratios to the mean. The higher the moment, the more draws
    it takes; where the largest weight makes up most of the sum, all of them are too small.

    Args:
        log_w: log-weights, `(N, *batch)`, many more than the K of the bound.
        highest: the highest moment.
        dim: the axis of the samples.

    Returns:
        $m_2, m_3, \ldots$ up to the highest, `(highest - 1, *batch)`.

    Raises:
        ValueError: if `highest` is below 2, or `log_w` is not floating point, holds no sample, or has weights that are
            NaN, infinite or all zero, which have no moments.

    Example:
        >>> relative_moments(torch.tensor([0.0, math.log(3.0)]), highest=3)
        tensor([0.2500, 0.0000])
    """
    check_log_weights(log_w, dim)
    if highest < 2:
        raise ValueError(f"the first moment that matters is the second, got highest={highest}")
    log_mean = log_mean_exp(log_w, dim=dim)
    if not bool(log_mean.isfinite().all()):
        nan, inf = int(log_w.isnan().sum()), int((log_w == math.inf).sum())
        raise ValueError(
            f"log-weights {tuple(log_w.shape)} have no relative moments: {nan} are NaN, {inf} are inf, or all are -inf "
            f"along axis {dim}"
        )
    deviation = (log_w - log_mean.unsqueeze(dim)).exp() - 1
    return torch.stack([deviation.pow(n).mean(dim) for n in range(2, highest + 1)])


def iwae_bias(moments: Tensor, samples: int, *, order: int = 2) -> Tensor:
    r"""Expansion of $\mathbb{E}[\mathcal{L}_K] - \log \mu$, in nats: negative, and what `jackknife` takes away.

    $$-\frac{1}{K} \frac{m_2}{2} + \frac{1}{K^2} \Big(\frac{m_3}{3} - \frac{3 m_2^2}{4}\Big)
    - \frac{1}{K^3} \Big(\frac{m_4 - 3 m_2^2}{4} - 2 m_2 m_3 + \frac{5 m_2^3}{2}\Big) + \ldots$$

    Args:
        moments: $m_2, m_3, \ldots$ of a single weight as `relative_moments` gives them, `(J, *batch)`, at least the
            first `order` of them.
        samples: the number K of samples in the bound.
        order: the highest power of $1/K$ that is kept; the error is of the next one.

    Returns:
        The bias, `(*batch)`.

    Raises:
        ValueError: if `order` or `samples` is below 1, or there are too few moments.

    Example:
        >>> exponential = torch.tensor([1.0, 2.0, 9.0], dtype=torch.float64)
        >>> iwae_bias(exponential, 10)  # exactly digamma(10) - log(10) = -0.0508325
        tensor(-0.0508, dtype=torch.float64)

    References:
        | Debiasing Evidence Approximations: On Importance-weighted Autoencoders and Jackknife Variational Inference (Nowozin, 2018), prop. 1
        | https://openreview.net/forum?id=HyZoi-WRb
    """  # noqa: E501
    _check(samples, order)
    return _at(_bias_coefficients(moments, order), samples)


def iwae_variance(moments: Tensor, samples: int, *, order: int = 2) -> Tensor:
    r"""Expansion of $\mathrm{Var}[\mathcal{L}_K]$, in squared nats.

    $$\frac{1}{K} m_2 - \frac{1}{K^2} \Big(m_3 - \frac{5 m_2^2}{2}\Big) + \ldots$$

    Args:
        moments: $m_2, m_3, \ldots$ of a single weight as `relative_moments` gives them, `(J, *batch)`, at least the
            first `order` of them.
        samples: the number K of samples in the bound.
        order: the highest power of $1/K$ that is kept; the error is of the next one.

    Returns:
        The variance, `(*batch)`; below zero where K is too small for the expansion.

    Raises:
        ValueError: if `order` or `samples` is below 1, or there are too few moments.

    Example:
        >>> exponential = torch.tensor([1.0, 2.0, 9.0], dtype=torch.float64)
        >>> iwae_variance(exponential, 10)  # exactly trigamma(10) = 0.1051663
        tensor(0.1050, dtype=torch.float64)

    References:
        | Debiasing Evidence Approximations: On Importance-weighted Autoencoders and Jackknife Variational Inference (Nowozin, 2018), prop. 2
        | https://openreview.net/forum?id=HyZoi-WRb
    """  # noqa: E501
    _check(samples, order)
    powers = _powers(moments, order)
    square = _series(
        powers, {n: 2 * (-1) ** n * math.fsum(1 / i for i in range(1, n)) / n for n in range(2, len(powers))}
    )
    bias = _bias_coefficients(moments, order)
    return _at([a - b for a, b in zip(square, _product(bias, bias), strict=True)], samples)


def jackknife_bias(moments: Tensor, samples: int, *, order: int = 1, terms: int = 1) -> Tensor:
    r"""Expansion of the bias of `jackknife` of order $m$, in nats; its sign alternates with $m$ where $b_{m+1}$'s does.

    With $b_i$ the coefficient of $K^{-i}$ in `iwae_bias`, the jackknife's weights take the divided difference of
    $x^m \sum_i b_i x^{-i}$ over $x = K, K - 1, \ldots, K - m$, which is zero for $i \le m$ and leaves

    $$\frac{(-1)^m}{K (K - 1) \cdots (K - m)} \Big(b_{m+1} + b_{m+2} \sum_{j=0}^{m} \frac{1}{K - j} + \ldots\Big)
    = O(K^{-(m+1)}).$$

    Args:
        moments: $m_2, m_3, \ldots$ of a single weight as `relative_moments` gives them, `(J, *batch)`, at least the
            first `order + terms` of them.
        samples: the number K of samples in the estimate, above `order`.
        order: the number $m$ of bias terms that the jackknife removes; 0 is `iwae`.
        terms: how many of the terms in the bracket are kept.

    Returns:
        The bias, `(*batch)`.

    Raises:
        ValueError: if `order` is negative or not below `samples`, `terms` is below 1, or there are too few moments.

    Example:
        >>> exponential = torch.tensor([1.0, 2.0, 9.0], dtype=torch.float64)
        >>> jackknife_bias(exponential, 50)  # exactly 3.401e-5
        tensor(3.4014e-05, dtype=torch.float64)

    References:
        | Debiasing Evidence Approximations: On Importance-weighted Autoencoders and Jackknife Variational Inference (Nowozin, 2018)
        | https://openreview.net/forum?id=HyZoi-WRb
    """  # noqa: E501
    if not 0 <= order < samples:
        raise ValueError(f"a jackknife of order {order} needs order >= 0 and more than {order} samples, got {samples}")
    _check(samples, terms)
    left = [1 / (samples - j) for j in range(order + 1)]
    b = _bias_coefficients(moments, order + terms)
    series = [b[order + 1 + i] * _homogeneous(left, i) for i in range(terms)]
    sign = -1 if order % 2 else 1
    return sign * math.prod(left) * _total(series)


def _bias_coefficients(moments: Tensor, order: int) -> list[Tensor]:
    powers = _powers(moments, order)
    return _series(powers, {n: (-1) ** (n + 1) / n for n in range(1, len(powers))})


def _powers(moments: Tensor, order: int) -> list[list[Tensor]]:
    r"""$\mathbb{E}[\delta^n]$ for $n = 0, \ldots, 2p$, each as its coefficients of $K^0, \ldots, K^{-p}$."""
    if not torch.is_floating_point(moments) or moments.ndim < 1 or len(moments) < order:
        shape = tuple(moments.shape)
        raise ValueError(f"moments of shape {shape} are too few: {order} are needed, m_2 to m_{order + 1}")
    zero = torch.zeros_like(moments[0])
    cumulants = _recursion([zero + 1, zero, *moments[:order]])
    powers = [[zero + 1] + [zero] * order]
    for n in range(1, 2 * order + 1):
        power = [zero] * (order + 1)
        for j, p in itertools.product(range(2, min(n, order + 1) + 1), range(order + 1)):
            if p + 1 >= j:
                power[p] = power[p] + math.comb(n - 1, j - 1) * cumulants[j] * powers[n - j][p - j + 1]
        powers.append(power)
    return powers


def _recursion(moments: list[Tensor]) -> list[Tensor]:
    r"""Cumulants of a variable of mean zero: $\kappa_n = m_n - \sum_{j=2}^{n-2} \binom{n-1}{j-1} \kappa_j m_{n-j}$."""
    cumulants = moments[:2]
    for n in range(2, len(moments)):
        below = [math.comb(n - 1, j - 1) * cumulants[j] * moments[n - j] for j in range(2, n - 1)]
        cumulants.append(moments[n] - _total(below) if below else moments[n])
    return cumulants


def _series(powers: list[list[Tensor]], coefficients: dict[int, float]) -> list[Tensor]:
    r"""Coefficients in $1/K$ of $\mathbb{E}[\sum_n a_n \delta^n]$."""
    return [_total(a * powers[n][p] for n, a in coefficients.items()) for p in range(len(powers[0]))]


def _product(a: list[Tensor], b: list[Tensor]) -> list[Tensor]:
    return [_total(a[i] * b[p - i] for i in range(p + 1)) for p in range(len(a))]


def _at(coefficients: list[Tensor], samples: int) -> Tensor:
    return _total(coefficient / samples**p for p, coefficient in enumerate(coefficients))


def _homogeneous(x: list[float], degree: int) -> float:
    """The complete homogeneous symmetric polynomial: the sum of all products of so many of `x`, repeated or not."""
    return math.fsum(map(math.prod, itertools.combinations_with_replacement(x, degree)))


def _total(terms: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(terms)).sum(0)


def _check(samples: int, order: int) -> None:
    if samples < 1 or order < 1:
        raise ValueError(f"an expansion has at least one term and one sample, got {order} terms and samples={samples}")
