"""Bias reduction by leaving samples out."""

import itertools
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from jensen._contracts import check_log_weights
from jensen._math import log_mean_exp

__all__ = ["jackknife"]

_CHUNK_ELEMENTS = 2**24


def jackknife(log_w: Tensor, *, order: int = 1, dim: int = 0) -> Tensor:
    r"""Jackknife estimate of the log-evidence: `iwae` without the first `order` terms of its bias, in nats.

    $$\hat{\mathcal{L}}_K^{J, m} = \sum_{j=0}^{m} c(K, m, j) \bar{\mathcal{L}}_{K-j}, \qquad
    c(K, m, j) = (-1)^j \frac{(K - j)^m}{(m - j)! \, j!}$$

    where $\bar{\mathcal{L}}_{K-j}$ is the mean of `iwae` over all subsets of $K - j$ samples. The bias falls from
    $O(1/K)$ to $O(1/K^{m+1})$ and the variance grows with $m$. *It is an estimate, not a bound*, except at order 0, which
    is `iwae`.

    The sums over the samples that stay are built up, never obtained by taking a weight away from the total, so that one
    dominating weight does no harm. Order $m$ costs $O(K^m)$: order 1 is one pass over the samples.

    Args:
        log_w: log-weights $\log p(x, z) - \log q(z \mid x)$, `(K, *batch)`. Where at most `order` of them are above
            `-inf`, the estimate does not exist and is `inf` (`-inf` if all are `-inf`).
        order: the number $m$ of bias terms to remove, below $K$.
        dim: the axis of the $K$ samples.

    Returns:
        The estimate, `(*batch)`.

    Raises:
        ValueError: if `order` is negative or not below $K$, or `log_w` is not floating point or holds no sample.

    Example:
        >>> jackknife(torch.tensor([0.0, math.log(3.0)]))
        tensor(0.8370)

    References:
        | Debiasing Evidence Approximations: On Importance-weighted Autoencoders and Jackknife Variational Inference (Nowozin, 2018), eq. 14
        | https://openreview.net/forum?id=HyZoi-WRb
    """  # noqa: E501
    check_log_weights(log_w, dim)
    K = log_w.shape[dim]
    if not 0 <= order < K:
        raise ValueError(f"a jackknife of order {order} needs order >= 0 and more than {order} samples, got {K}")
    log_w = log_w.movedim(dim, 0)
    if order == 0:
        return log_mean_exp(log_w)
    alive = (log_w != -math.inf).sum(0)
    wide = _widened(log_w)
    peak = wide.amax(0)
    means = [_iwae_without(wide - peak, j) for j in range(order + 1)]
    terms = torch.stack([_sharot(K, order, j) * mean for j, mean in enumerate(means)])
    estimate = (terms.sum(0) + peak).to(log_w.dtype)
    exists = (alive > order) | log_w.isnan().any(0)
    return torch.where(exists, estimate, torch.where(alive == 0, -math.inf, math.inf).to(estimate.dtype))


def _widened(log_w: Tensor) -> Tensor:
    """In float64 where the device has it, coefficients being as large as $K^m$; `-inf` made finite for the gradient."""
    wide = log_w if log_w.device.type == "mps" else log_w.double()
    return wide.clamp_min(torch.finfo(wide.dtype).min / 4)


def _sharot(K: int, order: int, j: int) -> float:
    r"""Sharot's coefficient $c(K, m, j) = (-1)^j (K - j)^m / ((m - j)! \, j!)$; over $j$ they sum to one."""
    sign = -1 if j % 2 else 1
    return sign * math.pow(K - j, order) / (math.factorial(order - j) * math.factorial(j))


def _iwae_without(log_w: Tensor, j: int) -> Tensor:
    r"""Mean of `iwae` over all subsets that leave out $j$ of the $K$ samples, `(K, *batch)` to `(*batch)`."""
    K = log_w.shape[0]
    if j == 0:
        return log_mean_exp(log_w)
    total = torch.stack([_leave_one_out(kept).sum((0, 1)) for kept in _without(log_w, j - 1)]).sum(0)
    return total / (math.comb(K, j - 1) * (K - j + 1)) - math.log(K - j)


def _leave_one_out(log_w: Tensor) -> Tensor:
    r"""$\log \sum_{j \ne k} w_j$ for each $k$ along axis 1: the ones before it and the ones after, no difference."""
    nothing = torch.full_like(log_w[:, :1], -math.inf)
    before = torch.cat([nothing, log_w[:, :-1].logcumsumexp(1)], 1)
    after = torch.cat([log_w[:, 1:].flip(1).logcumsumexp(1).flip(1), nothing], 1)
    return torch.logsumexp(torch.stack([before, after]), 0)


def _without(log_w: Tensor, j: int) -> Iterator[Tensor]:
    """All ways to leave out `j` samples, `(subsets, K - j, *batch)`, a chunk of subsets at a time."""
    K = log_w.shape[0]
    subsets = itertools.combinations(range(K), K - j)
    size = max(1, _CHUNK_ELEMENTS // log_w.numel())
    while chunk := list(itertools.islice(subsets, size)):
        yield log_w[torch.tensor(chunk, device=log_w.device)]
