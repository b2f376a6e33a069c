r"""Stepping stones: the evidence as a product of ratios between neighbouring temperatures.

$$Z = \prod_{k=1}^{T-1} r_k, \qquad r_k = \mathbb{E}_{\beta_{k-1}}\big[L^{\beta_k - \beta_{k-1}}\big]$$

with $\mathbb{E}_\beta$ under the density proportional to $L^\beta\, \pi$. In the plain method $L$ is the likelihood and
$\pi$ the prior; in the generalised one $\pi$ is a normalised reference fitted to the posterior and $L$ the ratio of the
unnormalised posterior to it. Every factor is unbiased, so is their product for independent temperatures: no
discretisation error.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from jensen._evidence import Diagnostic, Evidence
from jensen._math import log_mean_exp
from jensen._pareto import pareto_k, reliable_k
from jensen.evidence._power import PowerPosteriors, errors_of_means, power_posteriors, relative_draws, shown
from jensen.evidence._weights import EVEN, is_heavy, kish

__all__ = ["generalized_stepping_stone", "stepping_stone"]

LEAST_OVERLAP, LEAST_DRAWS = 0.1, 50.0
"""Share of the draws that carry a stone, and how many independent ones, below which a warning is given."""


def stepping_stone(log_likelihood: Tensor, betas: Tensor) -> Evidence:
    r"""Stepping-stone estimate from draws of the power posteriors, each stone from those of its LOWER temperature.

    $$\log \hat Z = \sum_{k=1}^{T-1} \log \frac{1}{n} \sum_{i=1}^{n} L_{k-1, i}^{\beta_k - \beta_{k-1}}$$

    The standard error is that of the delta method on all stones together: of the mean of $\sum_k w_{k,i} / \bar w_k$, a
    series over draws and chains whose column $c$ holds the chain $c$ of every temperature. With 20 chains or more it
    comes from the spread of the chains' means, else from the effective sample size of that series; either way it counts
    the dependence of stones whose chains exchange states. `independent_std_error` among the diagnostics leaves that out.

    Args:
        log_likelihood: at draws of each power posterior, `(T, S, C)`. `-inf` has weight zero. Draws of the last
            temperature are not used.
        betas: ascending from 0 to 1, `(T,)`.

    Returns:
        The estimate. Diagnostics for each stone: `pareto_k`, `effective_sample_size` of its weights, `overlap` (the share
        of draws that carry it, $\bar w^2 / \overline{w^2}$), `variance_share`.

    Raises:
        ValueError: if the shapes do not fit, betas do not ascend from 0 to 1, there are fewer than two draws, a value is
            `+inf`, or all values at a temperature are `-inf` or NaN.

    Example:
        >>> likelihood = torch.tensor([[[0.5, 1.5]], [[1.0, 2.0]]]).double()
        >>> print(stepping_stone(likelihood.log(), torch.tensor([0.0, 1.0])))
        log Z = 0.0 ± 0.5 (stepping_stone)

    References:
        | Improving Marginal Likelihood Estimation for Bayesian Phylogenetic Model Selection (Xie, Lewis, Fan, Kuo & Chen, 2011)
        | https://doi.org/10.1093/sysbio/syq085
    """  # noqa: E501
    power = power_posteriors(log_likelihood, betas, name="log_likelihood")
    return _product_of_stones(power, "stepping_stone", ())


def generalized_stepping_stone(log_ratio: Tensor, betas: Tensor) -> Evidence:
    r"""Stepping stones from a reference that resembles the posterior: fewer are needed, and none from a vague prior.

    The path is $\tilde p^\beta\, r^{1 - \beta}$, from a normalised reference $r$ at 0 to the posterior at 1, and the
    reduction that of `stepping_stone` with $\log \tilde p - \log r$ for the log-likelihood. The reference has to cover
    the posterior, which Pareto's $\hat k$ of the first stone tells.

    Args:
        log_ratio: $\log \tilde p - \log r$ at draws of each density on the path, `(T, S, C)`.
        betas: ascending from 0 to 1, `(T,)`.

    Returns:
        The estimate, with the diagnostics of `stepping_stone`.

    Raises:
        ValueError: as `stepping_stone`.

    Example:
        >>> ratio = torch.full((2, 1, 2), -3.0)
        >>> print(generalized_stepping_stone(ratio, torch.tensor([0.0, 1.0])))
        log Z = -3.0000 (generalized_stepping_stone)

    References:
        | Choosing among Partition Models in Bayesian Phylogenetics (Fan, Wu, Chen, Kuo & Lewis, 2011)
        | https://doi.org/10.1093/molbev/msq224
    """
    power = power_posteriors(log_ratio, betas, name="log_ratio")
    log_w = (power.steps[0] * power.values[0]).flatten()
    first, draws = pareto_k(log_w), len(log_w)
    warnings: tuple[str, ...] = ()
    if is_heavy(first, draws=draws, share=kish(log_w) / draws):
        warnings = (f"The reference does not cover the posterior: k-hat of the first stone is {first:.2f}.",)
    return _product_of_stones(power, "generalized_stepping_stone", warnings)


def _product_of_stones(power: PowerPosteriors, method: str, warnings: tuple[str, ...]) -> Evidence:
    log_w = power.steps[:, None, None] * power.values[:-1]  # (T - 1, S, C)
    log_r = log_mean_exp(log_w.flatten(1), dim=1)
    relative = (log_w - log_r[:, None, None]).exp().permute(1, 2, 0)  # (S, C, T - 1), mean 1
    n = relative[..., 0].numel()
    squared = relative.flatten(0, 1).var(0)
    effective = relative_draws(relative)
    variances = squared / effective
    total = float(variances.sum())
    per_stone: dict[str, tuple[float, ...]] = {
        "stones": tuple(log_r.tolist()),
        "pareto_k": tuple(pareto_k(each.flatten()) for each in log_w),
        "effective_sample_size": tuple(effective.tolist()),
        "overlap": tuple((1 / (1 + squared * (n - 1) / n)).tolist()),
        "variance_share": tuple((variances / total if total else variances).tolist()),
    }
    diagnostics: dict[str, Diagnostic] = {
        **power.counts,
        "temperatures": len(power.betas),
        "betas": tuple(power.betas.tolist()),
        **per_stone,
        "independent_std_error": math.sqrt(total),
    }
    found = (*warnings, *_findings(power, per_stone), *power.warnings())
    error = float(errors_of_means(relative.sum(-1)))
    return Evidence(float(log_r.sum()), error, diagnostics, method, warnings=found)


def _findings(power: PowerPosteriors, per_stone: dict[str, tuple[float, ...]]) -> Iterator[str]:
    """Sentences on the stones that cannot be trusted."""
    limit = reliable_k(power.values[0].numel())
    lower, varies = power.betas[:-1], torch.tensor(per_stone["variance_share"]) > 0
    overlap = torch.tensor(per_stone["overlap"])
    few = varies & (torch.tensor(per_stone["effective_sample_size"]) < LEAST_DRAWS)
    bad = {
        f"k-hat is above {limit:.2f}": (torch.tensor(per_stone["pareto_k"]) > limit) & (overlap <= EVEN),
        f"neighbours overlap by less than {LEAST_OVERLAP:.0%}": overlap < LEAST_OVERLAP,
        f"fewer than {LEAST_DRAWS:.0f} draws are effective": few,
    }
    for what, where in bad.items():
        if bool(where.any()):
            yield f"In the stones above beta = {shown(lower[where])} {what}; put more temperatures or draws there."
