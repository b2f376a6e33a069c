r"""The evidence by sequential Monte Carlo: a product of mean weights, averaged over independent runs."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from jensen._evidence import Diagnostic, Evidence
from jensen._math import log_mean_exp
from jensen.evidence._power import student_factor
from jensen.evidence._weights import as_values

__all__ = ["genealogy_variance", "smc"]


def smc(
    log_increments: Tensor,
    *,
    ancestors: Tensor | None = None,
    betas: Tensor | None = None,
    effective_sample_size: Tensor | None = None,
    acceptance: Tensor | None = None,
) -> Evidence:
    r"""Mean over runs of the products of mean weights, on the scale of $Z$.

    $$\hat Z = \frac{1}{R} \sum_{r=1}^{R} \prod_s \bar w_{s, r}$$

    The standard error comes from the spread of $\hat Z_r$ over runs, $s^2 = \operatorname{Var}(\hat Z_r) / (R
    \hat Z^2)$, as that of a lognormal, $\sqrt{\log(1 + s^2)}$, widened by Student's factor for few runs.
    `genealogy_std_error` is what the particles' descent says of it, without replicates (`genealogy_variance`).

    Temperatures and moves that a sampler chose from its own particles leave a bias of order $1/N$; no error shows it.

    Args:
        log_increments: logarithm of the mean weight in each stage of each run, `(K, R)`.
        ancestors: which first particle each last one descends from, `(N, R)`.
        betas: temperatures, `(K + 1, R)`, for the diagnosis.
        effective_sample_size: of each stage's weights, `(K, R)`; zero where a run is done.
        acceptance: of each stage's moves, `(K, R)`; NaN where a run is done.

    Raises:
        ValueError: if there are fewer than two runs, shapes do not fit, all runs have `-inf`, or a value is `+inf`.

    Example:
        >>> print(smc(torch.tensor([[-1.0, -1.2, -0.8, -1.1], [-2.0, -2.1, -1.9, -2.0]])))
        log Z = -3.0 ± 0.2 (smc)

    References:
        | Sequential Monte Carlo Samplers (Del Moral, Doucet & Jasra, 2006)
        | https://doi.org/10.1111/j.1467-9868.2006.00553.x
    """
    log_increments = as_values(log_increments, "log_increments")
    if log_increments.ndim != 2 or log_increments.shape[1] < 2 or not len(log_increments):
        raise ValueError(
            f"log_increments has shape {tuple(log_increments.shape)}; expected (stages, runs), two runs or more"
        )
    wide = log_increments.detach().cpu().double()
    nan = int(wide.isnan().any(0).sum())
    each = wide.nan_to_num(-math.inf, math.inf, -math.inf).sum(0)  # (R,)
    log_z = float(log_mean_exp(each))
    if not math.isfinite(log_z):
        raise ValueError(f"log Z of the runs is {each.tolist()}; at least one must be finite and none +inf")
    R = len(each)
    relative = float((each - log_z).exp().var()) / R
    error = math.sqrt(math.log1p(relative)) * student_factor(R)
    genealogy = _genealogy(ancestors, each - log_z)
    diagnostics: dict[str, Diagnostic] = {
        "runs": R,
        "log_z_of_runs": tuple(each.tolist()),
        "stages": int((wide != 0).sum(0).max()),
        "nan": nan,
        "minus_inf": int((each == -math.inf).sum()) - nan,
        **genealogy,
        **_of_stages(betas, effective_sample_size, acceptance),
    }
    return Evidence(log_z, error, diagnostics, "smc", warnings=tuple(_findings(diagnostics, error)))


def genealogy_variance(ancestors: Tensor) -> Tensor:
    r"""Relative variance of $\hat Z$ from one run alone, by who descends from whom.

    $$\hat V = \sum_b \frac{N_b^2}{N^2} - \frac{1}{N}$$

    with $N_b$ the descendants of first particle $b$: the estimate of Chan and Lai for resampling that keeps $N_b$ near
    its mean, such as the systematic one, with moves that forget. For multinomial resampling Lee and Whiteley's estimate
    subtracts what that adds; here it would subtract what is not there.

    Args:
        ancestors: which first particle each last one descends from, `(N, *batch)`.

    Returns:
        `(*batch)`.

    Example:
        >>> genealogy_variance(torch.tensor([0, 0, 2, 3]))
        tensor(0.1250, dtype=torch.float64)

    References:
        | A General Theory of Particle Filters in Hidden Markov Models and Some Applications (Chan & Lai, 2013)
        | https://arxiv.org/abs/1312.5114
        | Variance Estimation in the Particle Filter (Lee & Whiteley, 2018)
        | https://arxiv.org/abs/1509.00394
    """
    N = len(ancestors)
    flat = ancestors.detach().cpu().reshape(N, -1)
    one = torch.ones(flat.shape, dtype=torch.float64)
    counts = torch.zeros(flat.shape, dtype=torch.float64).scatter_add_(0, flat, one)
    return ((counts / N).square().sum(0) - 1 / N).reshape(ancestors.shape[1:])


def _genealogy(ancestors: Tensor | None, relative: Tensor) -> dict[str, Diagnostic]:
    if ancestors is None:
        return {}
    R = len(relative)
    if ancestors.ndim != 2 or ancestors.shape[1] != R:
        raise ValueError(f"ancestors {tuple(ancestors.shape)} do not fit {R} runs; expected (N, R)")
    variance = float((genealogy_variance(ancestors) * (2 * relative).exp()).sum()) / R**2
    families = min(len(set(each)) for each in ancestors.T.tolist())
    return {"particles": len(ancestors), "families": families, "genealogy_std_error": math.sqrt(math.log1p(variance))}


def _of_stages(betas: Tensor | None, effective: Tensor | None, acceptance: Tensor | None) -> dict[str, Diagnostic]:
    found: dict[str, Diagnostic] = {}
    if betas is not None:
        found["betas"] = tuple(betas.double().mean(1).tolist())
    if effective is not None:
        found["effective_sample_size"] = tuple(effective.where(effective > 0, math.inf).amin(1).tolist())
    if acceptance is not None:
        found["acceptance"] = tuple(acceptance.nanmean(1).tolist())
    return found


def _findings(diagnostics: dict[str, Diagnostic], error: float) -> Iterator[str]:
    if diagnostics["nan"]:
        yield f"{diagnostics['nan']} of {diagnostics['runs']} runs are NaN and were given weight zero."
    if error > 1:
        yield "The runs disagree by more than a nat: take more particles."
    effective, acceptance = diagnostics.get("effective_sample_size"), diagnostics.get("acceptance")
    if isinstance(effective, tuple) and min(effective) < 10:
        yield f"A stage has only {min(effective):.1f} effective particles: take more of them."
    if isinstance(acceptance, tuple) and min(acceptance) < 0.2:
        yield f"A stage's moves are accepted with probability {min(acceptance):.2f} only: particles hardly move."
    families = diagnostics.get("families")
    if isinstance(families, int) and families < 10:
        yield f"All particles of a run descend from {families} first ones: take more of them, or a reference."
