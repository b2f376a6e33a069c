r"""Harmonic means of the posterior's likelihoods: asked for because they are easy, warned of because they are wrong.

$$\frac{1}{Z} = \mathbb{E}_{p(\theta \mid y)} \left[\frac{1}{p(y \mid \theta)}\right]$$

is true, but wherever the posterior is much narrower than the prior the mean is made by draws of tiny likelihood that no
posterior run contains: the variance is infinite, estimates are too high, and their spread shows neither. Both take
nothing but the log-likelihoods of posterior draws. `thames` takes the same draws and has a finite variance.

References:
    | Approximate Bayesian Inference with the Weighted Likelihood Bootstrap (Newton & Raftery, 1994), section 7
    | https://doi.org/10.1111/j.2517-6161.1994.tb01956.x
    | The Harmonic Mean of the Likelihood: Worst Monte Carlo Method Ever (Neal, 2008)
    | https://radfordneal.wordpress.com/2008/08/17/the-harmonic-mean-of-the-likelihood-worst-monte-carlo-method-ever/
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from jensen._evidence import Evidence
from jensen._math import log_mean_exp
from jensen._pareto import pareto_k, reliable_k
from jensen.evidence._weights import as_values

__all__ = ["harmonic", "stabilized_harmonic"]

_INFINITE = (
    "The inverse likelihood of posterior draws usually has infinite variance, so that no standard error is given: "
    "the estimate is too high by an amount that the draws do not show; use bridge or thames."
)
_SHARE = (
    "The imaginary prior draws all have the mean likelihood, which prior draws have not: the value is near the "
    "likelihood below which a share of {share:g} of the posterior draws lies, and more draws do not bring it to log Z."
)


def harmonic(log_likelihood: Tensor) -> Evidence:
    r"""Harmonic mean of the likelihoods of posterior draws.

    $$\log \hat Z = -\log \frac{1}{N} \sum_i \frac{1}{p(y \mid \theta_i)}, \qquad \theta_i \sim p(\theta \mid y)$$

    It is 0 exactly for a constant likelihood of one. There is no honest error: `std_error` is NaN, and `pareto_k` in
    the diagnostics is the tail index of the inverse likelihoods, above 0.5 where their variance is infinite.

    Args:
        log_likelihood: of posterior draws, `(S, C)` or `(N,)`. Posterior draws cannot have a likelihood of zero; `-inf`
            and NaN are counted and left out.

    Returns:
        An estimate.

    Raises:
        ValueError: if fewer than two draws are finite, one is `+inf`, or the shape is another.

    Example:
        >>> print(harmonic(torch.tensor([-2.0, -2.0, -2.0])))
        log Z = -2.0000 (harmonic)

    References:
        | Approximate Bayesian Inference with the Weighted Likelihood Bootstrap (Newton & Raftery, 1994), section 7
        | https://doi.org/10.1111/j.2517-6161.1994.tb01956.x
    """
    draws = _likelihoods(log_likelihood)
    return Evidence(
        _harmonic_mean(draws.values), math.nan, _diagnostics(draws), method="harmonic", warnings=_warnings(draws)
    )


def stabilized_harmonic(
    log_likelihood: Tensor, *, share: float = 0.01, tolerance: float = 1e-7, iterations: int = 10_000
) -> Evidence:
    r"""Harmonic mean of posterior draws among which a share $\delta$ of prior draws is imagined, their $\hat p_4$.

    $$\hat Z = \frac{\frac{\delta m}{1 - \delta} + \sum_i \frac{L_i}{\delta \hat Z + (1 - \delta) L_i}}
    {\frac{\delta m}{(1 - \delta) \hat Z} + \sum_i \frac{1}{\delta \hat Z + (1 - \delta) L_i}}$$

    is importance sampling from the mixture of prior and posterior, with $\delta m / (1 - \delta)$ prior draws whose
    likelihood is taken to be $\hat Z$. At the fixed point those cancel, and what is left,

    $$\sum_i \frac{L_i - \hat Z}{\delta \hat Z + (1 - \delta) L_i} = 0,$$

    has one root, between the smallest and the largest likelihood. Real prior draws would contribute a negative sum, so
    that the root lies above $Z$ however many draws there are: it is an *approximation*, about the $\delta$-quantile of
    the posterior's likelihoods where these are spread widely.

    Args:
        log_likelihood: of posterior draws, `(S, C)` or `(N,)`; `-inf` and NaN are counted and left out.
        share: the share $\delta$ of imaginary prior draws.
        tolerance: the iteration, which starts at the harmonic mean, ends where the distance to the fixed point, as
            judged from its last two steps, is below this, in nats.
        iterations: it ends after so many in any case, with a warning.

    Returns:
        An approximation.

    Raises:
        ValueError: if fewer than two draws are finite, one is `+inf`, the shape is another, `share` is not between 0
            and 1, or `tolerance` or `iterations` is not positive.

    Example:
        >>> print(stabilized_harmonic(torch.tensor([-2.0, -2.0, -2.0])))
        log Z ≈ -2.0000 (stabilized_harmonic)

    References:
        | Approximate Bayesian Inference with the Weighted Likelihood Bootstrap (Newton & Raftery, 1994), section 7
        | https://doi.org/10.1111/j.2517-6161.1994.tb01956.x
    """
    if not 0 < share < 1 or tolerance <= 0 or iterations < 1:
        raise ValueError(
            "share lies between 0 and 1, and tolerance and iterations are positive; "
            f"got share={share}, tolerance={tolerance}, iterations={iterations}"
        )
    draws = _likelihoods(log_likelihood)
    log_z, steps, distance = _fixed_point(draws.values, share, tolerance=tolerance, iterations=iterations)
    warnings = (_SHARE.format(share=share), *_warnings(draws))
    if distance >= tolerance:
        warnings = (f"The fixed point is still {distance:.2g} nats away after {steps} iterations.", *warnings)
    return Evidence(
        log_z,
        math.nan,
        {**_diagnostics(draws), "iterations": steps, "converged": distance < tolerance},
        method="stabilized_harmonic",
        kind="approximation",
        warnings=warnings,
    )


class _Likelihoods(NamedTuple):
    """Finite log-likelihoods in double precision, `(N,)`, and the number of those that were not."""

    values: Tensor
    nan: int
    minus_inf: int


def _likelihoods(log_likelihood: Tensor) -> _Likelihoods:
    log_likelihood = as_values(log_likelihood, "log_likelihood")
    if log_likelihood.ndim not in (1, 2) or not log_likelihood.is_floating_point():
        raise ValueError(f"log_likelihood must be (S, C) or (N,) real numbers, got {tuple(log_likelihood.shape)}")
    flat = log_likelihood.detach().cpu().double().flatten()
    finite = flat[flat.isfinite()]
    if bool((flat == math.inf).any()):
        raise ValueError(f"log_likelihood is +inf at {int((flat == math.inf).sum())} of {len(flat)} draws")
    if len(finite) < 2:
        raise ValueError(
            f"{len(finite)} of {len(flat)} posterior draws have a finite log-likelihood; give at least two"
        )
    return _Likelihoods(finite, int(flat.isnan().sum()), int((flat == -math.inf).sum()))


def _harmonic_mean(values: Tensor) -> float:
    return -float(log_mean_exp(-values))


def _fixed_point(values: Tensor, share: float, *, tolerance: float, iterations: int) -> tuple[float, int, float]:
    """Log of the fixed point, the number of iterations and the distance that is left."""
    imagined = share * len(values) / (1 - share)
    log_z, before, steps, distance = _harmonic_mean(values), math.inf, 0, math.inf
    while steps < iterations and distance >= tolerance:
        steps += 1
        mixture = torch.logaddexp(values + math.log1p(-share), torch.full_like(values, log_z + math.log(share)))
        above = imagined + float((values - mixture).exp().sum())
        below = imagined + float((log_z - mixture).exp().sum())  # times z
        step = math.log(above / below)
        log_z += step
        distance = _distance(abs(step), before)
        before = abs(step)
    return log_z, steps, distance


def _distance(step: float, before: float) -> float:
    """How far the limit of a geometric sequence is after steps of these lengths."""
    return step * step / (before - step) if step < before < math.inf else step


def _diagnostics(draws: _Likelihoods) -> dict[str, float | int]:
    kept = len(draws.values)
    return {
        "pareto_k": pareto_k(-draws.values),
        "draws": kept + draws.nan + draws.minus_inf,
        "nan": draws.nan,
        "minus_inf": draws.minus_inf,
    }


def _warnings(draws: _Likelihoods) -> tuple[str, ...]:
    total = len(draws.values) + draws.nan + draws.minus_inf
    k = pareto_k(-draws.values)
    found = [_INFINITE]
    if k > reliable_k(len(draws.values)):
        found.append(f"The inverse likelihoods have a Pareto tail index of {k:.2f}: the estimate has not converged.")
    if draws.nan:
        found.append(f"{draws.nan} of {total} log-likelihoods are NaN and were left out.")
    if draws.minus_inf:
        found.append(f"{draws.minus_inf} of {total} log-likelihoods are -inf, which no posterior draw has; left out.")
    return tuple(found)
