r"""How much a set of Markov chains is worth: effective sample size, $\hat R$ and the Monte Carlo error of a mean.

Draws come first and chains second, `(S, C, *batch)`. Each chain is cut into two halves, so that one chain that drifts is
told from one that does not. Nothing is assumed of their number: four chains of thousands of draws and thousands of
chains of a few dozen are both at home.

References:
    | Rank-Normalization, Folding, and Localization: An Improved R-hat (Vehtari, Gelman, Simpson, Carpenter & Bürkner, 2021)
    | https://arxiv.org/abs/1903.08008
"""  # noqa: E501

import math
from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["effective_sample_size", "mcse", "split_r_hat"]

_CHUNK_ELEMENTS = 2**22
_FEWEST_DRAWS = 4
_FEWEST_LAGS = 5
_LONG = 250


def effective_sample_size(x: Tensor, *, rank_normalized: bool = False) -> Tensor:
    r"""How many independent draws would give the mean of `x` the same variance.

    $$S_{\mathrm{eff}} = \frac{N}{\hat\tau}, \qquad \hat\tau = -1 + 2 \sum_t \hat P_t, \qquad
    \hat\rho_t = 1 - \frac{W - \frac{1}{M} \sum_m \hat\gamma_{t, m}}{\widehat{\mathrm{var}}^+}$$

    with $\hat P_t = \hat\rho_{2t} + \hat\rho_{2t+1}$ summed while positive and made to fall (Geyer's initial monotone
    sequence), $\hat\gamma_{t,m}$ the autocovariance of half-chain $m$ at lag $t$, $W$ the variance within chains and
    $\widehat{\mathrm{var}}^+$ the one that counts the chains' disagreement as well. It is at most $N \log_{10} N$.

    Autocovariances around a chain's own mean are too small by a share of $1/S$, which thousands of chains do not average
    out. Below 500 draws per chain they are therefore taken from squared differences, $W - \hat\gamma_t = \frac{1}{2}
    \overline{(x_{s+t} - x_s)^2}$; below ten, all lags are summed.

    Args:
        x: draws of a scalar, `(S, C, *batch)`.
        rank_normalized: of the normal scores of the ranks (the bulk's effective sample size, which exists without any
            moment) instead of `x` itself.

    Returns:
        `(*batch)` in double precision. NaN for fewer than four draws per chain and where `x` is not finite; $N$ where
        `x` is constant, whose mean has no error.

    Raises:
        ValueError: if `x` is not a floating-point tensor of draws and chains.

    Example:
        >>> chains = torch.randn(1000, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> round(effective_sample_size(chains).item())
        3756
        >>> round(effective_sample_size(chains.cumsum(0)).item())
        7

    References:
        | Rank-Normalization, Folding, and Localization: An Improved R-hat (Vehtari, Gelman, Simpson, Carpenter & Bürkner, 2021)
        | https://arxiv.org/abs/1903.08008
    """  # noqa: E501
    return _by_chunk(x, lambda part: _effective_sample_size(_scores(part) if rank_normalized else part))


def split_r_hat(x: Tensor, *, rank_normalized: bool = True) -> Tensor:
    r"""Potential scale reduction $\hat R$ of the half-chains: near 1 (below 1.01) where they agree.

    $$\hat R = \sqrt{\frac{\widehat{\mathrm{var}}^+}{W}}$$

    Args:
        x: draws of a scalar, `(S, C, *batch)`.
        rank_normalized: the larger of the $\hat R$ of the normal scores of the ranks and of those of the distances from
            the median, which sees chains that differ in location or in scale without any moment; `False` for the $\hat
            R$ of `x` itself.

    Returns:
        `(*batch)` in double precision. NaN for fewer than four draws per chain, where `x` is not finite and where it is
        constant; infinite for chains that stand still in different places.

    Raises:
        ValueError: if `x` is not a floating-point tensor of draws and chains.

    Example:
        >>> chains = torch.randn(1000, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> round(split_r_hat(chains).item(), 2)
        1.0
        >>> round(split_r_hat(chains + torch.tensor([0.0, 0.0, 0.0, 2.0])).item(), 2)
        1.32

    References:
        | Rank-Normalization, Folding, and Localization: An Improved R-hat (Vehtari, Gelman, Simpson, Carpenter & Bürkner, 2021)
        | https://arxiv.org/abs/1903.08008
    """  # noqa: E501
    return _by_chunk(x, _rank_r_hat if rank_normalized else _r_hat)


def mcse(x: Tensor) -> Tensor:
    r"""Monte Carlo standard error $\mathrm{sd}(x) / \sqrt{S_{\mathrm{eff}}}$ of the mean of `x` over draws and chains.

    Args:
        x: draws of a scalar, `(S, C, *batch)`.

    Returns:
        `(*batch)` in double precision, NaN where `effective_sample_size` is.

    Raises:
        ValueError: if `x` is not a floating-point tensor of draws and chains.

    Example:
        >>> chains = torch.randn(1000, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> round(mcse(chains).item(), 4)
        0.0162
    """
    return _by_chunk(x, lambda part: part.flatten(0, 1).std(0) / _effective_sample_size(part).sqrt())


def _by_chunk(x: Tensor, reduce: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply `reduce`, `(S, C, B)` to `(B,)`, to a few columns of the batch at a time."""
    if x.ndim < 2 or not x.is_floating_point() or 0 in x.shape[:2]:
        raise ValueError(f"chains are real draws of shape (draws, chains, *batch), got {tuple(x.shape)} of {x.dtype}")
    S, C, *batch = x.shape
    wide = torch.float32 if x.device.type == "mps" else torch.float64
    columns = x.detach().reshape(S, C, -1)
    if S < _FEWEST_DRAWS or not columns.shape[2]:
        return torch.full(batch, math.nan, dtype=wide, device=x.device)
    width = max(1, _CHUNK_ELEMENTS // (S * C))
    parts = [_where_finite(part.to(wide), reduce) for part in torch.split(columns, width, dim=2)]
    return (torch.cat(parts) if len(parts) > 1 else parts[0]).reshape(batch)


def _where_finite(x: Tensor, reduce: Callable[[Tensor], Tensor]) -> Tensor:
    if math.isfinite(x.sum().item()):
        return reduce(x)
    finite = x.isfinite().all(0).all(0)
    return torch.where(finite, reduce(x.nan_to_num(0.0, 0.0, 0.0)), math.nan)


def _halves(x: Tensor) -> Tensor:
    """Cut each chain in two, `(S, C, B)` to `(S // 2, 2 C, B)`; the middle one of an odd number of draws goes."""
    half = x.shape[0] // 2
    return torch.cat([x[:half], x[-half:]], 1)


def _variances(x: Tensor) -> tuple[Tensor, Tensor]:
    r"""$W$ and $\widehat{\mathrm{var}}^+$ of chains `(n, M, B)`, each `(B,)`."""
    n = x.shape[0]
    variance, mean = torch.var_mean(x, 0)
    within = variance.mean(0)
    return within, within * (n - 1) / n + mean.var(0)


def _r_hat(x: Tensor) -> Tensor:
    within, total = _variances(_halves(x))
    return (total / within).sqrt()


def _rank_r_hat(x: Tensor) -> Tensor:
    ordered = _halves(x).flatten(0, 1).sort(0).values
    N = len(ordered)
    distance = (x - (ordered[(N - 1) // 2] + ordered[N // 2]) / 2).abs()
    return torch.maximum(_r_hat(_scores(x)), _r_hat(_scores(distance)))


def _scores(x: Tensor) -> Tensor:
    r"""Normal scores $\Phi^{-1}((r - 3/8) / (N + 1/4))$ of the ranks among the halves, ties sharing the mean rank."""
    kept = _halves(x)
    rows = kept.flatten(0, 1).T.contiguous()  # (B, N)
    scores = torch.special.ndtri((_ranks(rows) - 0.375) / (rows.shape[1] + 0.25))
    first, second = scores.T.reshape(kept.shape).chunk(2, dim=1)
    return torch.cat([first, second])  # halves one after the other again, so that cutting them gives the same


def _ranks(rows: Tensor) -> Tensor:
    """Ranks from 1 to N within each row of `(B, N)`, the mean rank for equals."""
    ordered, index = rows.sort(1)
    group = torch.zeros_like(index)
    group[:, 1:] = (ordered[:, 1:] != ordered[:, :-1]).cumsum(1)
    size = torch.zeros_like(rows).scatter_add_(1, group, torch.ones_like(rows))
    mean = size.cumsum(1) - (size - 1) / 2
    return torch.empty_like(rows).scatter_(1, index, mean.gather(1, group))


def _effective_sample_size(x: Tensor) -> Tensor:
    """Of `(S, C, B)`, `(B,)`."""
    halves = _halves(x)
    n, M, _ = halves.shape
    rho = _autocorrelation(halves)
    tau = _integrated_time(rho) if n >= _FEWEST_LAGS else 2 * rho.sum(0) - 1
    constant = halves.amax((0, 1)) == halves.amin((0, 1))
    return torch.where(constant, float(x.shape[0] * x.shape[1]), n * M / tau.clamp_min(1 / math.log10(n * M)))


def _autocorrelation(x: Tensor) -> Tensor:
    r"""$\hat\rho_t$ at lags $0, \dots, n - 1$ of chains `(n, M, B)`, `(n, B)`."""
    n, M, _ = x.shape
    within, total = _variances(x)
    if n < _LONG:
        return 1 - _variogram(x) / total
    rho = 1 - (within - _products(x - x.mean(0)) / (n * M)) / total
    rho[0] = 1
    return rho


def _integrated_time(rho: Tensor) -> Tensor:
    r"""$-1 + 2 \sum_{t<T} \hat P_t + \hat\rho_{2T}^{+}$ of `(n, B)`, $T$ the first pair that is not positive."""
    pairs = (len(rho) - 1) // 2
    even, odd = rho[0 : 2 * pairs : 2], rho[1 : 2 * pairs : 2]  # (pairs, B)
    sums = even + odd
    ended = sums <= 0
    ended[-1] = True
    first = ended.int().argmax(0)
    most = int(first.max())
    falling = sums[:most].cummin(0).values if most else sums[:0]
    before = torch.arange(most, device=rho.device)[:, None] < first
    return 2 * torch.where(before, falling, 0.0).sum(0) - 1 + even.gather(0, first[None])[0].clamp_min(0)


def _variogram(x: Tensor) -> Tensor:
    """Half the mean squared difference between draws at each lag, which needs no chain's mean, `(n, B)`."""
    n, M, _ = x.shape
    centred = x - x.mean((0, 1))
    squares = centred.square().sum(1)  # (n, B)
    early = squares.cumsum(0).flip(0)  # without the last t
    late = squares.flip(0).cumsum(0).flip(0)  # without the first t
    pairs = M * torch.arange(n, 0, -1, dtype=x.dtype, device=x.device)[:, None]
    return ((early + late) / 2 - _products(centred)) / pairs


def _products(x: Tensor) -> Tensor:
    """Sums of products of draws at each lag, over all chains, `(n, M, B)` to `(n, B)`."""
    n, _, B = x.shape
    parts = torch.split(x, max(1, _CHUNK_ELEMENTS // (n * B)), dim=1)
    power = torch.stack([_power(part) for part in parts]).sum(0) if len(parts) > 1 else _power(x)
    products: Tensor = torch.fft.irfft(power, n=_padded(n))
    return products[:, :n].T


def _power(x: Tensor) -> Tensor:
    """Squared moduli of the Fourier transforms of chains, summed over the chains, `(B, frequencies)`."""
    transform: Tensor = torch.fft.rfft(x.permute(2, 1, 0), n=_padded(len(x)))
    return (transform.real.square() + transform.imag.square()).sum(1)


def _padded(n: int) -> int:
    """Room for all lags of `n` draws: 4 to 8 times a power of two, a length of which Fourier transforms are quick."""
    power = max(0, (2 * n - 1).bit_length() - 3)
    return -(-(2 * n - 1) >> power) << power
