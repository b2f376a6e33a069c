r"""The log-evidence without bias: a telescoping series of importance-weighted bounds, cut off at random.

$\mathbb{E}[\mathcal{L}_k]$ rises to $\log Z$, so that $\log Z$ is the expectation of one bound and of all differences of
neighbours after it. A term that is computed with probability $P$ and divided by $P$ has the expectation of the whole
term, and the infinite series becomes a finite sum. What it costs is variance, and which terms are chosen decides whether
there is any:

- `sumo` takes the differences of $\mathcal{L}_{k+1}$ and $\mathcal{L}_k$ from nested sets of weights. Their second
  moment falls as $1/k^2$ whatever the weights are, so that a finite expected cost, $\sum_k P_k < \infty$, and a finite
  variance, $\sum_k k^{-2} / P_k < \infty$, exclude each other: *its variance is infinite for any weights but constant
  ones*, slowly enough not to be seen in a thousand replicates.
- `multilevel` takes the difference of a bound of $2^{l+1}$ weights and the mean of those of its two halves, whose second
  moment falls as $4^{-l}$ while the cost grows as $2^l$: both are finite, and the error can be trusted.

References:
    | SUMO: Unbiased Estimation of Log Marginal Probability for Latent Variable Models (Luo, Beatson, Norouzi, Zhu, Duvenaud, Adams & Chen, 2020)
    | https://arxiv.org/abs/2004.00353
    | Efficient Debiased Evidence Estimation by Multilevel Monte Carlo Sampling (Ishikawa & Goda, 2021)
    | https://arxiv.org/abs/2001.04676
"""  # noqa: E501

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from jensen._evidence import Diagnostic, Evidence
from jensen._math import log_mean_exp
from jensen._pareto import pareto_k
from jensen._random import seeded, seeded_generator

__all__ = ["multilevel", "roulette", "sumo", "survival", "truncations"]

Sample = Callable[[int], Tensor]

_BEND, _RATE = 80, 0.9
_LEVEL_RATE = 2.0**-1.5
_HEAVY = 0.5
_ROUNDING = 1e-12


def sumo(sample: Sample, *, replicates: int = 1000, minimum: int = 1, seed: int = 0) -> Evidence:
    r"""Mean of independent debiased log-evidences (stochastically unbiased marginalisation objective).

    $$\log \hat Z = \mathcal{L}_m + \sum_{k=1}^{\mathcal{K}} \frac{\mathcal{L}_{m+k} - \mathcal{L}_{m+k-1}}
    {P(\mathcal{K} \ge k)}, \qquad P(\mathcal{K} \ge k) = \begin{cases} 1/k & k < 80 \\ 0.9^{k - 80} / 80 & k \ge 80
    \end{cases}$$

    A replicate needs $m + 5.1$ weights on average. For every fixed truncation the terms have the expectation that they
    should; but the variance is infinite, and rare long series with huge terms keep the mean itself from settling. The
    standard error is that of the replicates at hand, which is too small as often as no such series is among them.

    Args:
        sample: draws so many independent log-weights $\log p(y, \theta) - \log q(\theta)$, `(N,)`. It is called once,
            with torch's global generator at a seed of its own.
        replicates: the number of independent estimates.
        minimum: the number $m$ of weights in the first bound; the larger, the smaller the variance.
        seed: of the truncations and the draws.

    Returns:
        An estimate.

    Raises:
        ValueError: if there are fewer than two replicates, `minimum` is below 1, `sample` gives another shape or `inf`,
            or the first bound of a replicate has no positive weight.

    Example:
        >>> exponential = torch.distributions.Exponential(torch.ones((), dtype=torch.float64))
        >>> print(sumo(lambda n: exponential.sample((n,)).log(), minimum=4))
        log Z = -0.11 ± 0.07 (sumo)

    References:
        | SUMO: Unbiased Estimation of Log Marginal Probability for Latent Variable Models (Luo, Beatson, Norouzi, Zhu, Duvenaud, Adams & Chen, 2020)
        | https://arxiv.org/abs/2004.00353
    """  # noqa: E501
    _check(replicates, minimum)
    generator = seeded_generator(seed)
    cut = truncations(replicates, generator=generator)
    flat, counts = _drawn(sample, int((cut + minimum).sum()), generator)
    within = torch.arange(int(cut.max()) + minimum) < (cut + minimum)[:, None]  # (R, K)
    log_w = torch.full(within.shape, -math.inf, dtype=torch.float64).masked_scatter(within, flat).T
    estimates = roulette(log_w, cut, minimum=minimum)
    return _summary(estimates, {**counts, "longest": int(cut.max())}, method="sumo", always=_INFINITE)


def multilevel(sample: Sample, *, replicates: int = 1000, minimum: int = 1, seed: int = 0) -> Evidence:
    r"""Mean of independent debiased log-evidences whose variance is finite (randomised multilevel Monte Carlo).

    $$\log \hat Z = \mathcal{L}_m + \frac{1}{P(l)} \Big(\mathcal{L}_{2^{l+1} m} - \tfrac12 \mathcal{L}'_{2^l m}
    - \tfrac12 \mathcal{L}''_{2^l m}\Big), \qquad P(l) \propto 2^{-3l/2}, \quad l = 0, 1, \ldots$$

    $\mathcal{L}'$ and $\mathcal{L}''$ are the bounds of the two halves of the weights in the large bound,
    $\mathcal{L}_m$ that of $m$ further ones. The first terms of all three errors cancel, as in a jackknife, so that
    twice the cost comes with a quarter of the second moment. A replicate needs $5.4 m$ weights on average.

    Args:
        sample: draws so many independent log-weights, `(N,)`, as for `sumo`.
        replicates: the number of independent estimates.
        minimum: the number $m$ of weights in the smallest bound.
        seed: of the levels and the draws.

    Returns:
        An estimate.

    Raises:
        ValueError: if there are fewer than two replicates, `minimum` is below 1, `sample` gives another shape or `inf`,
            or a bound has no positive weight.

    Example:
        >>> exponential = torch.distributions.Exponential(torch.ones((), dtype=torch.float64))
        >>> print(multilevel(lambda n: exponential.sample((n,)).log(), minimum=4))
        log Z = 0.02 ± 0.02 (multilevel)

    References:
        | Efficient Debiased Evidence Estimation by Multilevel Monte Carlo Sampling (Ishikawa & Goda, 2021)
        | https://arxiv.org/abs/2001.04676
    """
    _check(replicates, minimum)
    generator = seeded_generator(seed)
    level = _levels(replicates, generator)
    flat, counts = _drawn(sample, int(minimum * (1 + 2 ** (level + 1)).sum()), generator)
    estimates = torch.empty(replicates, dtype=torch.float64)
    for each in range(int(level.max()) + 1):
        chosen = level == each
        size = minimum * (1 + 2 ** (each + 1))
        mine, flat = flat[: size * int(chosen.sum())], flat[size * int(chosen.sum()) :]
        estimates[chosen] = _one_level(mine.reshape(size, int(chosen.sum())), minimum, each)
    return _summary(estimates, {**counts, "longest": int(level.max())}, method="multilevel", always="")


def survival(k: Tensor) -> Tensor:
    r"""$P(\mathcal{K} \ge k)$ of a truncation, for $k = 1, 2, \ldots$: $1/k$, and geometric from 80 on.

    Example:
        >>> survival(torch.tensor([1, 2, 80, 81])).tolist()
        [1.0, 0.5, 0.0125, 0.01125]
    """
    wide = k.double()
    return torch.where(wide < _BEND, 1 / wide, _RATE ** (wide - _BEND) / _BEND)


def truncations(count: int, *, generator: Generator | None = None) -> Tensor:
    r"""Independent truncations $\mathcal{K} \ge 1$, `(count,)`, by inversion of `survival`.

    Example:
        >>> truncations(5, generator=torch.Generator().manual_seed(0))
        tensor([33,  3,  1, 12,  2])
    """
    u = 1 - torch.rand(count, generator=generator, dtype=torch.float64)  # (0, 1]
    tail = _BEND + (_BEND * u).log() / math.log(_RATE)
    return torch.where(u > 1 / _BEND, 1 / u, tail).long()


def roulette(log_weights: Tensor, truncated: Tensor, *, minimum: int = 1) -> Tensor:
    r"""The debiased log-evidence of each replicate, from its weights and its truncation.

    Args:
        log_weights: `(K, R)`; what lies beyond `minimum + truncated` of a column is not used.
        truncated: the number $\mathcal{K}$ of terms after the first bound, `(R,)`, from 0 on.
        minimum: the number $m$ of weights in the first bound.

    Returns:
        `(R,)`.

    Raises:
        ValueError: if the shapes do not fit, or a truncation lies beyond the weights.

    Example:
        >>> roulette(torch.tensor([[0.0], [math.log(3.0)]]), torch.tensor([1]))
        tensor([0.6931])
    """
    K, R = log_weights.shape if log_weights.ndim == 2 else (0, 0)
    if truncated.shape != (R,) or not R or minimum < 1 or bool((truncated < 0).any()) or minimum + truncated.max() > K:
        raise ValueError(
            f"log_weights must be (K, R) with K >= minimum + truncated and truncated (R,), got "
            f"{tuple(log_weights.shape)}, minimum={minimum} and {tuple(truncated.shape)}"
        )
    count = torch.arange(1, K + 1)
    bounds = log_weights.logcumsumexp(0) - count.to(log_weights).log()[:, None]  # (K, R)
    k = count[: K - minimum, None]
    terms = bounds[minimum:] - bounds[minimum - 1 : -1]
    kept = torch.where(k <= truncated, terms / survival(k).to(terms), 0.0)
    return bounds[minimum - 1] + kept.sum(0)


def _levels(count: int, generator: Generator) -> Tensor:
    u = 1 - torch.rand(count, generator=generator, dtype=torch.float64)
    return (u.log() / math.log(_LEVEL_RATE)).long()


def _one_level(log_w: Tensor, minimum: int, level: int) -> Tensor:
    """Estimates from weights `(m + 2^(l+1) m, R)`."""
    first, rest = log_w[:minimum], log_w[minimum:]
    halves = rest.reshape(2, len(rest) // 2, rest.shape[1])  # (2, 2^l m, R)
    difference = log_mean_exp(rest) - log_mean_exp(halves, dim=1).mean(0)
    return log_mean_exp(first) + difference / ((1 - _LEVEL_RATE) * _LEVEL_RATE**level)


def _drawn(sample: Sample, count: int, generator: Generator) -> tuple[Tensor, dict[str, Diagnostic]]:
    """So many log-weights in double precision, NaN made `-inf`."""
    try:
        with seeded(generator):
            found: object = sample(count)
    except Exception as error:
        raise ValueError(f"sample({count}) raised {type(error).__name__}: {error}") from error
    if not isinstance(found, Tensor) or found.shape != (count,):
        shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise ValueError(f"sample({count}) returned {shape}; expected log-weights ({count},)")
    flat = found.detach().cpu().double()
    if bool((flat == math.inf).any()):
        raise ValueError(f"sample returned a log-weight of inf at {int((flat == math.inf).sum())} of {count} draws")
    nan, minus_inf = int(flat.isnan().sum()), int((flat == -math.inf).sum())
    return flat.nan_to_num(-math.inf, neginf=-math.inf), {"draws": count, "nan": nan, "minus_inf": minus_inf}


_INFINITE = (
    "The variance of this estimator is infinite unless the weights are constant: the error is the spread of these "
    "replicates, and a rare long series may lie far outside of it; multilevel has a finite one."
)


def _summary(estimates: Tensor, counts: dict[str, Diagnostic], *, method: str, always: str) -> Evidence:
    if not bool(estimates.isfinite().all()):
        poor = int((~estimates.isfinite()).sum())
        raise ValueError(f"{poor} of {len(estimates)} replicates have a bound without a positive weight; raise minimum")
    error = float(estimates.std()) / math.sqrt(len(estimates))
    varies = error > _ROUNDING * (1 + float(estimates.abs().max()))
    k = pareto_k((estimates - estimates.median()).abs().log()) if varies else -math.inf
    warnings = [always] if always and varies else []
    if k > _HEAVY:
        warnings.append(f"The replicates have a Pareto tail index of {k:.2f}, above {_HEAVY}: no error can be trusted.")
    if nan := counts["nan"]:
        warnings.append(f"{nan} of {counts['draws']} log-weights are NaN and were given weight zero.")
    diagnostics = {"pareto_k": k, "replicates": len(estimates), **counts}
    return Evidence(float(estimates.mean()), error, diagnostics, method=method, warnings=tuple(warnings))


def _check(replicates: int, minimum: int) -> None:
    if replicates < 2 or minimum < 1:
        raise ValueError(f"give two replicates and a minimum of one at least, got {replicates} and {minimum}")
