r"""Path sampling: the log-evidence as an integral over temperatures (thermodynamic integration).

$$\log Z = \int_0^1 \mathbb{E}_\beta[\log L]\, d\beta$$

with $\mathbb{E}_\beta$ under the power posterior proportional to $L^\beta\, \pi$. The integrand never falls, its slope
being $\operatorname{Var}_\beta[\log L]$; where the measured one does, a chain has not reached its distribution.

Where the likelihood is zero on a part of the prior, the integral runs over what is left, and the logarithm of its prior
probability is added.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from jensen._evidence import Diagnostic, Evidence
from jensen._pareto import pareto_k, reliable_k
from jensen.evidence._power import PowerPosteriors, errors_of_means, power_posteriors, relative_draws, shown

__all__ = ["modified_path", "path"]


def path(log_likelihood: Tensor, betas: Tensor) -> Evidence:
    r"""Path sampling by the trapezoidal rule.

    $$\log \hat Z = \sum_k \frac{\beta_{k+1} - \beta_k}{2} \big(\bar\ell_k + \bar\ell_{k+1}\big), \qquad \bar\ell_k \approx \mathbb{E}_{\beta_k}[\log L]$$

    The standard error is the Monte Carlo part alone, of all temperatures together: of the mean of $\sum_k a_k
    \ell_{k,i}$, with $a_k$ the weights of the rule. The error of the rule comes on top and does not fall with more draws:
    `half_gap`, half the distance between the upper and the lower rectangles, bounds it, and `discretization`, what
    `modified_path` would add, estimates it. A warning is given where that is the larger of the two errors.

    Args:
        log_likelihood: at draws of each power posterior, `(T, S, C)`.
        betas: ascending from 0 to 1, `(T,)`.

    Returns:
        The estimate. Diagnostics: `means` and `variances` of the log-likelihood and their `effective_sample_size` at each
        temperature, `monotone`, `half_gap`, `discretization`.

    Raises:
        ValueError: if the shapes do not fit, betas do not ascend from 0 to 1, there are fewer than two draws, a value is
            `+inf`, or all values at a temperature are `-inf` or NaN.

    Example:
        >>> log_likelihood = torch.tensor([[[-4.0, -2.0]], [[-2.0, -1.0]]]).double()
        >>> evidence = path(log_likelihood, torch.tensor([0.0, 1.0]))
        >>> evidence.log_z, evidence.diagnostics["half_gap"], evidence.diagnostics["discretization"]
        (-2.25, 0.75, 0.125)

    References:
        | Simulating Normalizing Constants: From Importance Sampling to Bridge Sampling to Path Sampling (Gelman & Meng, 1998)
        | https://doi.org/10.1214/ss/1028905934
        | Marginal Likelihood Estimation via Power Posteriors (Friel & Pettitt, 2008)
        | https://doi.org/10.1111/j.1467-9868.2007.00650.x
    """  # noqa: E501
    power = power_posteriors(log_likelihood, betas, name="log_likelihood")
    rule = _trapezoid(power.steps)
    moments = _Moments(power)
    value = float(rule @ moments.means) + moments.log_support
    error = moments.error(rule, torch.zeros_like(rule))
    correction = float(_correction(power.steps) @ moments.variances)
    warnings = [*moments.findings()]
    if abs(correction) > error:
        warnings.append(
            f"The trapezoidal rule is off by about {-correction:.2g} nats, more than the Monte Carlo error of "
            f"{error:.2g}: take modified_path, or more temperatures."
        )
    diagnostics = {**moments.diagnostics(), "discretization": correction}
    return Evidence(value, error, diagnostics, "path", warnings=tuple(warnings))


def modified_path(log_likelihood: Tensor, betas: Tensor) -> Evidence:
    r"""Path sampling by the trapezoidal rule corrected with the integrand's slope, which is a variance.

    $$\log \hat Z = \sum_k \frac{\Delta_k}{2} \big(\bar\ell_k + \bar\ell_{k+1}\big) - \frac{\Delta_k^2}{12} \big(V_{k+1} - V_k\big), \qquad V_k \approx \operatorname{Var}_{\beta_k}[\log L]$$

    with $\Delta_k = \beta_{k+1} - \beta_k$. The rule's error falls with the fourth power of the step instead of the second.
    The standard error counts means and variances together; that of a variance is itself known well only from many draws.
    `discretization` among the diagnostics is a fifteenth of what
    halving the number of temperatures changes; a warning is given where it exceeds the standard error.

    Args:
        log_likelihood: at draws of each power posterior, `(T, S, C)`.
        betas: ascending from 0 to 1, `(T,)`.

    Returns:
        The estimate, with the diagnostics of `path`.

    Raises:
        ValueError: as `path`.

    Example:
        >>> log_likelihood = torch.tensor([[[-4.0, -2.0]], [[-2.0, -1.0]]]).double()
        >>> modified_path(log_likelihood, torch.tensor([0.0, 1.0])).log_z
        -2.125

    References:
        | Improving Power Posterior Estimation of Statistical Evidence (Friel, Hurn & Wyse, 2014)
        | https://arxiv.org/abs/1209.3198
    """  # noqa: E501
    power = power_posteriors(log_likelihood, betas, name="log_likelihood")
    moments = _Moments(power)
    rule, slopes = _trapezoid(power.steps), _correction(power.steps)
    value = float(rule @ moments.means + slopes @ moments.variances)
    error = moments.error(rule, slopes)
    rest = _richardson(power.betas, moments, value)
    warnings = [*moments.findings()]
    if abs(rest) > error:
        warnings.append(
            f"Half the temperatures would change log Z by {15 * abs(rest):.2g} nats, so the rule's own error is not "
            f"small beside the Monte Carlo error of {error:.2g}: take more temperatures."
        )
    diagnostics = {**moments.diagnostics(), "discretization": rest}
    return Evidence(value + moments.log_support, error, diagnostics, "modified_path", warnings=tuple(warnings))


class _Moments:
    """Mean and variance of the log-likelihood at each temperature, over the draws where it is finite."""

    def __init__(self, power: PowerPosteriors) -> None:
        self.power = power
        self.finite = power.values > -math.inf  # (T, S, C)
        self.count = self.finite.flatten(1).sum(1).double()
        total = torch.where(self.finite, power.values, 0.0).flatten(1).sum(1)
        self.means = total / self.count
        self.centred = torch.where(self.finite, power.values - self.means[:, None, None], 0.0)
        self.variances = self.centred.square().flatten(1).sum(1) / (self.count - 1).clamp_min(1)
        self.errors = errors_of_means(self.centred.permute(1, 2, 0))  # (T,)
        self.fraction = float(self.count[0]) / power.values[0].numel()
        self.log_support = math.log(self.fraction)

    def error(self, rule: Tensor, slopes: Tensor) -> float:
        r"""Standard error of $\sum_k a_k \bar\ell_k + c_k V_k$ and of the support's logarithm, together."""
        share = self.finite.flatten(1).double().mean(1)[:, None, None]
        a, c = rule[:, None, None] / share, slopes[:, None, None] / share
        squares = torch.where(self.finite, self.centred.square() - self.variances[:, None, None], 0.0)
        series = (a * self.centred + c * squares).sum(0) + self.finite[0] / self.fraction
        return float(errors_of_means(series))

    def diagnostics(self) -> dict[str, Diagnostic]:
        """What is told of every temperature."""
        return {
            **self.power.counts,
            "temperatures": len(self.power.betas),
            "betas": tuple(self.power.betas.tolist()),
            "means": tuple(self.means.tolist()),
            "variances": tuple(self.variances.tolist()),
            "effective_sample_size": tuple(relative_draws(self.centred.permute(1, 2, 0)).tolist()),
            "monotone": not bool(self._falls().any()),
            "half_gap": float(self.power.steps @ self.means.diff()) / 2,
            "prior_support": self.fraction,
        }

    def findings(self) -> Iterator[str]:
        """Sentences on values and on temperatures that cannot be right."""
        falls = self._falls()
        if bool(falls.any()):
            where = shown(self.power.betas[1:][falls])
            yield f"The mean log-likelihood falls at beta = {where}, where it can only rise: chains have not converged."
        depths = self._depths()
        k = pareto_k(depths) if len(depths) else 0.0
        if k > reliable_k(max(len(depths), 10)):
            yield (
                f"The log-likelihoods of the prior's draws have a lower tail of index {k:.2f}: their mean at beta = 0 "
                "rests on few of them and may be infinite; take stepping_stone."
            )
        if self.fraction < 1:
            yield (
                f"The likelihood is zero at {1 - self.fraction:.2%} of the prior's draws: the integral is over the "
                "others, and the logarithm of their share is added."
            )
        if not bool(self.finite[1:].all()):
            left_out = int((~self.finite[1:]).sum())
            yield f"{left_out} draws above beta = 0 have no finite log-likelihood and were left out."
        yield from self.power.warnings()

    def _depths(self) -> Tensor:
        """Logarithms of how far the log-likelihoods at beta = 0 lie below the highest of them, `(N,)`."""
        prior = self.power.values[0][self.finite[0]]
        return (prior.max() - prior)[prior < prior.max()].log()

    def _falls(self) -> Tensor:
        """Where the mean falls by more than three standard errors, `(T - 1,)`."""
        errors = self.errors
        return (
            self.means.diff() < -3 * (errors[1:].square() + errors[:-1].square()).sqrt() - 1e-9 * self.means[1:].abs()
        )


def _trapezoid(steps: Tensor) -> Tensor:
    r"""Weights $a_k$ of the means, `(T,)`."""
    zero = steps.new_zeros(1)
    return (torch.cat([zero, steps]) + torch.cat([steps, zero])) / 2


def _correction(steps: Tensor) -> Tensor:
    r"""Weights $c_k$ of the variances in $-\sum_k \Delta_k^2 (V_{k+1} - V_k) / 12$, `(T,)`."""
    zero, squares = steps.new_zeros(1), steps.square()
    return (torch.cat([squares, zero]) - torch.cat([zero, squares])) / 12


def _richardson(betas: Tensor, moments: _Moments, fine: float) -> float:
    """A fifteenth of what leaving out every second temperature changes; infinite for fewer than three."""
    T = len(betas)
    if T < 3:
        return math.inf
    kept = torch.tensor(sorted({*range(0, T, 2), T - 1}))
    steps = betas[kept].diff()
    coarse = _trapezoid(steps) @ moments.means[kept] + _correction(steps) @ moments.variances[kept]
    return (fine - float(coarse)) / 15
