r"""Scores that are used in the place of the evidence: none of them estimates $\log Z$.

Two are predictive densities of the observations that were fitted, or nearly; two are the height of a peak.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from jensen._chains import mcse
from jensen._evidence import Diagnostic, Evidence
from jensen._pareto import pareto_k, reliable_k
from jensen.evidence._weights import as_values

__all__ = [
    "conditional_predictive_ordinates",
    "maximum_a_posteriori",
    "maximum_likelihood",
    "pointwise_predictive_density",
]


def conditional_predictive_ordinates(pointwise: Tensor, *, counts: Tensor | None = None) -> Evidence:
    r"""Log pseudo-marginal likelihood: each observation predicted from all others, a score and not $\log Z$.

    $$\mathrm{LPML} = \sum_m w_m \log \mathrm{CPO}_m, \qquad
    \mathrm{CPO}_m = \Big(\frac{1}{N} \sum_n \frac{1}{p(y_m \mid \theta_n)}\Big)^{-1} \approx p(y_m \mid y_{-m})$$

    The Monte Carlo error is that of the sum, by the delta method: what the observations share in the same draws is
    counted. Harmonic means have heavy tails; $\hat k$ is found for each observation.

    Args:
        pointwise: $\log p(y_m \mid \theta_n)$ at draws from the posterior, `(S, C, M)` or, as one chain, `(N, M)`. NaN
            is left out.
        counts: how often each observation occurs, $w_m$, `(M,)`; once each if not given.

    Returns:
        A result of kind `score`, in nats; `diagnostics` holds `pareto_k` (the largest), `pareto_k_above` (how many are
        above what so many draws allow), `observations`, `draws`, `nan`, `minus_inf`.

    Raises:
        ValueError: if the shapes do not fit, a value is `inf`, an observation has no value, or a count is negative.

    Example:
        >>> p = torch.tensor([[0.5, 0.2], [0.25, 0.2], [0.5, 0.2], [0.25, 0.2]], dtype=torch.float64)
        >>> round(conditional_predictive_ordinates(p.log()).log_z, 6) == round(math.log(1 / 3) + math.log(0.2), 6)
        True

    References:
        | A Predictive Approach to Model Selection (Geisser & Eddy, 1979)
        | https://doi.org/10.1080/01621459.1979.10481632
        | 19 Dubious Ways to Compute the Marginal Likelihood of a Phylogenetic Tree Topology (Fourment, Magee, Whidden, Bilge, Matsen & Minin, 2020)
        | https://arxiv.org/abs/1811.11804
    """  # noqa: E501
    return _score(pointwise, counts, sign=-1, method="cpo")


def pointwise_predictive_density(pointwise: Tensor, *, counts: Tensor | None = None) -> Evidence:
    r"""Log pointwise predictive density of the observations that were fitted, a score and not $\log Z$.

    $$\mathrm{lppd} = \sum_m w_m \log \frac{1}{N} \sum_n p(y_m \mid \theta_n)$$

    Each observation is used twice, to fit and to judge, so that it flatters models with more parameters.

    Args:
        pointwise: $\log p(y_m \mid \theta_n)$ at draws from the posterior, `(S, C, M)` or, as one chain, `(N, M)`. NaN
            is left out.
        counts: how often each observation occurs, $w_m$, `(M,)`; once each if not given.

    Returns:
        A result of kind `score`, in nats; the diagnostics are those of `conditional_predictive_ordinates`.

    Raises:
        ValueError: if the shapes do not fit, a value is `inf`, an observation has no value, or a count is negative.

    Example:
        >>> p = torch.tensor([[0.5, 0.2], [0.25, 0.2], [0.5, 0.2], [0.25, 0.2]], dtype=torch.float64)
        >>> round(pointwise_predictive_density(p.log()).log_z, 6) == round(math.log(0.375) + math.log(0.2), 6)
        True

    References:
        | Understanding Predictive Information Criteria for Bayesian Models (Gelman, Hwang & Vehtari, 2014), eq. 5
        | https://arxiv.org/abs/1307.5928
    """
    return _score(pointwise, counts, sign=1, method="ppd")


def maximum_likelihood(log_likelihood: float) -> Evidence:
    r"""The largest log-likelihood as a score: an upper bound of $\log Z$, blind to the prior and to the dimension.

    Args:
        log_likelihood: $\max_\theta \log p(y \mid \theta)$, in nats.

    Raises:
        ValueError: if it is not finite.

    Example:
        >>> print(maximum_likelihood(-1709.2836))
        score -1709.2836 (ml)
    """
    return _peak(log_likelihood, "ml", "the largest log-likelihood")


def maximum_a_posteriori(log_joint: float) -> Evidence:
    r"""The largest log joint density as a score, $\max_\theta \log p(y \mid \theta)\, p(\theta)$.

    It counts the height of the posterior and not its width, and depends on the coordinates in which it is sought.

    Args:
        log_joint: log-likelihood and log-prior at the posterior's mode, in nats.

    Raises:
        ValueError: if it is not finite.

    Example:
        >>> print(maximum_a_posteriori(-1709.2836))
        score -1709.2836 (map)
    """
    return _peak(log_joint, "map", "the largest log joint density")


class _Means(NamedTuple):
    """What a sum over observations of logarithms of means comes to."""

    value: float
    std_error: float
    k: tuple[float, ...]


def _peak(value: float, method: str, what: str) -> Evidence:
    if not math.isfinite(value):
        raise ValueError(f"{what} must be finite, got {value}")
    return Evidence(float(value), 0.0, method=method, kind="score")


def _score(pointwise: Tensor, counts: Tensor | None, *, sign: int, method: str) -> Evidence:
    values = _checked(pointwise)
    S, C, M = values.shape
    means = _log_means(sign * values, sign, _multiplicities(counts, values))
    limit = reliable_k(S * C)
    above = [m for m, k in enumerate(means.k) if not k <= limit]
    diagnostics: dict[str, Diagnostic] = {
        "pareto_k": max(means.k, key=lambda k: math.inf if math.isnan(k) else k),
        "pareto_k_above": len(above),
        "observations": M,
        "draws": S * C,
        "nan": int(values.isnan().sum()),
        "minus_inf": int((values == -math.inf).sum()),
    }
    warnings = _sentences(means, above, diagnostics, limit)
    return Evidence(means.value, means.std_error, diagnostics, method=method, kind="score", warnings=warnings)


def _log_means(log_r: Tensor, sign: int, counts: Tensor) -> _Means:
    r"""$\pm \sum_m w_m \log \bar r_m$ of `(S, C, M)` and its error, that of $\sum_m w_m r_{nm} / \bar r_m$."""
    held = ~log_r.isnan()
    log_mean = log_r.masked_fill(~held, -math.inf).logsumexp((0, 1)) - held.sum((0, 1)).to(log_r).log()
    k = tuple(_shape(column[keep]) for column, keep in zip(_columns(log_r), _columns(held), strict=True))
    value = sign * float(log_mean[counts > 0] @ counts[counts > 0])
    if not math.isfinite(value):
        return _Means(value, math.nan, k)
    counted = held & (counts > 0)
    relative = torch.where(counted, (log_r - log_mean).exp(), 1.0)  # left out: worth what the others are
    return _Means(value, float(mcse((relative - 1) @ counts)), k)


def _columns(x: Tensor) -> Tensor:
    return x.flatten(0, 1).T


def _shape(log_r: Tensor) -> float:
    return math.inf if not math.isfinite(float(log_r.max())) else pareto_k(log_r)


def _checked(pointwise: Tensor) -> Tensor:
    pointwise = as_values(pointwise, "pointwise")
    if pointwise.ndim not in (2, 3) or not pointwise.is_floating_point() or 0 in pointwise.shape:
        raise ValueError(
            f"pointwise log-likelihoods are (S, C, M) or (N, M), got {tuple(pointwise.shape)} of {pointwise.dtype}"
        )
    values = pointwise.detach().to(torch.float32 if pointwise.device.type == "mps" else torch.float64)
    values = values if values.ndim == 3 else values.unsqueeze(1)
    if values.shape[0] * values.shape[1] < 2:
        raise ValueError(f"pointwise {tuple(pointwise.shape)} holds one draw, from which no error can be told")
    for bad, what in ((values == math.inf).any(0).any(0), "inf at a draw"), (values.isnan().all(0).all(0), "all NaN"):
        if bad.any():
            raise ValueError(f"the log-likelihood of observation {int(bad.int().argmax())} is {what}")
    return values


def _multiplicities(counts: Tensor | None, values: Tensor) -> Tensor:
    M = values.shape[2]
    if counts is None:
        return values.new_ones(M)
    if tuple(counts.shape) != (M,) or not bool((counts >= 0).all()):
        raise ValueError(f"counts must be {M} numbers from 0 on, one for each observation, got {tuple(counts.shape)}")
    return counts.to(values)


def _sentences(means: _Means, above: list[int], found: dict[str, Diagnostic], limit: float) -> tuple[str, ...]:
    sentences = []
    if means.value == -math.inf:
        sentences.append(
            "An observation has no likelihood where it must have one: the score is -inf, without an error."
        )
    elif math.isnan(means.std_error):
        sentences.append("Fewer than four draws per chain tell nothing of their dependence: there is no error.")
    if above:
        sentences.append(
            f"The tail is heavy or unknown (k-hat not below {limit:.2f}) for {len(above)} of {len(means.k)} "
            f"observations, first for observation {above[0]}: value and error cannot be relied on there."
        )
    if found["nan"]:
        sentences.append(f"{found['nan']} log-likelihoods are NaN and were left out.")
    return tuple(sentences)
