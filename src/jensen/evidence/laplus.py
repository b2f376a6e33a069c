r"""Laplace's approximation for positive parameters: a gamma, beta prime or lognormal for each, in place of a Gaussian.

Each parameter gets, by itself, the distribution $q_i$ whose mode and curvature there are those of the posterior density
$\tilde p$ in the model's own coordinates. With $m$ the mode,

$$\log Z \approx \log \tilde p(m) - \sum_i \log q_i(m_i).$$

Exact where the posterior is a product of such distributions. Only the diagonal of the Hessian counts, so correlation is
not seen; importance sampling with the same product of gammas removes the error and says how large it was.

Differs from the authors' program: a parameter counts as lying on the boundary where the density falls from there on,
measured in its own scale, and not where its mode is below 1e-6; there shape and rate are fitted to the density by least
squares around its bulk, which makes gammas of a shape below one exact too.

References:
    | 19 Dubious Ways to Compute the Marginal Likelihood of a Phylogenetic Tree Topology (Fourment et al., 2020)
    | https://arxiv.org/abs/1811.11804
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from jensen._evidence import Diagnostic, Evidence
from jensen._pareto import pareto_k
from jensen._random import seeded, seeded_generator
from jensen._targets import Target
from jensen.asymptotics.derivatives import gradient, hessian
from jensen.evidence._positive import (
    Line,
    Marginal,
    beta_prime_at_mode,
    beta_prime_on_line,
    gamma_at_mode,
    gamma_on_line,
    lognormal_at_mode,
)
from jensen.evidence._weights import is_heavy, kish
from jensen.evidence.importance import importance

__all__ = ["beta_prime_laplus", "gamma_laplus", "gamma_laplus_importance", "lognormal_laplus"]

CHECKS = 1000
"""Draws whose importance weights tell how well the fitted distributions cover the posterior."""

AWAY = 0.1
"""A mode missed by so many posterior standard deviations deserves a warning."""


class Survey(NamedTuple):
    """The density around its mode `(d,)`: second derivatives, which parameters are on the boundary, and lines there.

    `anchor` `(d,)` is the mode, with parameters on the boundary moved into the bulk of their mass.
    """

    mode: Tensor
    bend: Tensor
    is_on_boundary: Tensor
    lines: list[Line]
    anchor: Tensor
    away: float


Fit = Callable[[Survey, int], Marginal]


def gamma_laplus(target: Target, mode: Tensor) -> Evidence:
    r"""The gamma Laplus approximation: shape $a_i = 1 - f''_{ii} m_i^2$ and rate $r_i = -f''_{ii} m_i$.

    $$\log Z \approx \log \tilde p(m) - \sum_i \log \mathrm{Gamma}(m_i; a_i, r_i)$$

    Exact where the posterior is a product of gammas.

    Args:
        target: what has an evidence; all of its parameters must be positive numbers.
        mode: the mode in the model's own coordinates, `(d,)`, as `samplers.find_mode(target, space="own").point` gives
            it.

    Returns:
        An approximation, without a standard error. `diagnostics`: `pareto_k` of 1000 importance weights from the
        fitted product and `effective_sample_share`, how many equal ones they are worth; `on_boundary` (how many
        parameters have no mode inside); `newton_decrement` of the others (how far the point is from the mode, in
        posterior standard deviations).

    Raises:
        ValueError: if a parameter is not positive, `mode` does not fit, or the density is not finite there.

    Example:
        >>> from torch.distributions import Gamma, Poisson
        >>> y = torch.tensor([3.0, 1, 4, 1, 5])
        >>> prior = Gamma(*torch.tensor([[2.0], [1.0]]).double())
        >>> target = Target(lambda rate: Poisson(rate).log_prob(y).sum(-1), prior)
        >>> print(gamma_laplus(target, torch.tensor([2.5])))  # exact: -10.52618517
        log Z ≈ -10.5262 (gamma_laplus)

    References:
        | 19 Dubious Ways to Compute the Marginal Likelihood of a Phylogenetic Tree Topology (Fourment et al., 2020)
        | https://arxiv.org/abs/1811.11804
    """
    return _laplus(target, mode, fit=_gamma, method="gamma_laplus")


def beta_prime_laplus(target: Target, mode: Tensor) -> Evidence:
    r"""The beta-prime Laplus approximation, for posteriors with a tail that falls like a power.

    $$a_i = 1 - f''_{ii} m_i^2 (m_i + 1), \qquad b_i = -f''_{ii} m_i (m_i + 1) - 1$$

    Exact where the posterior is a product of beta-prime distributions. Where $b_i$ comes out negative, it is fitted to
    the density around the mode, between 2 and 100.

    Args:
        target: what has an evidence; all of its parameters must be positive numbers.
        mode: the mode in the model's own coordinates, `(d,)`.

    Returns:
        An approximation, as `gamma_laplus` returns it.

    Raises:
        ValueError: if a parameter is not positive, `mode` does not fit, or the density is not finite there.

    References:
        | 19 Dubious Ways to Compute the Marginal Likelihood of a Phylogenetic Tree Topology (Fourment et al., 2020)
        | https://arxiv.org/abs/1811.11804
    """
    return _laplus(target, mode, fit=_beta_prime, method="beta_prime_laplus")


def lognormal_laplus(target: Target, mode: Tensor) -> Evidence:
    r"""The lognormal Laplus approximation: $\sigma_i^2 = -1 / (f''_{ii} m_i^2)$ and $\mu_i = \log m_i + \sigma_i^2$.

    Exact where the posterior is a product of lognormals. Parameters on the boundary get a gamma.

    Args:
        target: what has an evidence; all of its parameters must be positive numbers.
        mode: the mode in the model's own coordinates, `(d,)`.

    Returns:
        An approximation, as `gamma_laplus` returns it.

    Raises:
        ValueError: if a parameter is not positive, `mode` does not fit, or the density is not finite there.

    References:
        | 19 Dubious Ways to Compute the Marginal Likelihood of a Phylogenetic Tree Topology (Fourment et al., 2020)
        | https://arxiv.org/abs/1811.11804
    """
    return _laplus(target, mode, fit=_lognormal, method="lognormal_laplus")


def gamma_laplus_importance(target: Target, mode: Tensor, *, samples: int = 10_000, seed: int = 0) -> Evidence:
    r"""Importance sampling from the gammas of `gamma_laplus`.

    $$\hat Z = \frac1N \sum_n \frac{\tilde p(\theta_n)}{\prod_i \mathrm{Gamma}(\theta_{ni}; a_i, r_i)}, \qquad
    \theta_{ni} \sim \mathrm{Gamma}(a_i, r_i)$$

    Args:
        target: what has an evidence; all of its parameters must be positive numbers.
        mode: the mode in the model's own coordinates, `(d,)`.
        samples: how many draws.
        seed: of the draws.

    Returns:
        An estimate with its standard error. To the `diagnostics` of `importance` comes `gamma_laplus`, the value that
        it checks: its `pareto_k` is the check of both.

    Raises:
        ValueError: if a parameter is not positive, `mode` does not fit, the density is not finite there, or there are
            fewer than two samples.

    References:
        | 19 Dubious Ways to Compute the Marginal Likelihood of a Phylogenetic Tree Topology (Fourment et al., 2020)
        | https://arxiv.org/abs/1811.11804
    """
    if samples < 2:
        raise ValueError(f"importance sampling needs at least two samples, got {samples}")
    survey = _survey(target, mode)
    marginals = [_gamma(survey, i) for i in range(target.dim)]
    log_w = _log_weights(target, marginals, samples=samples, seed=seed)
    evidence = importance(log_w, method="gamma_laplus_importance")
    diagnostics = {**evidence.diagnostics, "gamma_laplus": _log_ratio(target, marginals, survey.anchor)}
    return dataclasses.replace(evidence, diagnostics=diagnostics)


def _laplus(target: Target, mode: Tensor, *, fit: Fit, method: str) -> Evidence:
    survey = _survey(target, mode)
    marginals = [fit(survey, i) for i in range(target.dim)]
    log_w = _log_weights(target, marginals, samples=CHECKS, seed=0).nan_to_num(-math.inf)
    share = kish(log_w) / CHECKS
    k = pareto_k(log_w) if bool((log_w > -math.inf).any()) else math.inf
    diagnostics: dict[str, Diagnostic] = {
        "pareto_k": k,
        "effective_sample_share": share,
        "on_boundary": int(survey.is_on_boundary.sum()),
        "newton_decrement": survey.away,
    }
    warnings = ["An approximation: no standard error tells how far it is from log Z."]
    if is_heavy(k, draws=CHECKS, share=share):
        warnings.insert(
            0, f"Importance weights from the fitted distributions have k-hat {k:.2f}: they do not cover it."
        )
    if survey.away > AWAY:
        warnings.insert(
            0, f"The point is {survey.away:.2g} posterior standard deviations from the mode: find it better."
        )
    log_z = _log_ratio(target, marginals, survey.anchor)
    return Evidence(log_z, math.nan, diagnostics, method=method, kind="approximation", warnings=tuple(warnings))


def _gamma(survey: Survey, i: int) -> Marginal:
    if survey.is_on_boundary[i]:
        return gamma_on_line(survey.lines[i])
    return gamma_at_mode(survey.mode[i], survey.bend[i])


def _beta_prime(survey: Survey, i: int) -> Marginal:
    if survey.is_on_boundary[i]:
        return beta_prime_on_line(survey.lines[i])
    return beta_prime_at_mode(survey.mode[i], survey.bend[i], survey.lines[i])


def _lognormal(survey: Survey, i: int) -> Marginal:
    if survey.is_on_boundary[i]:
        return gamma_on_line(survey.lines[i])
    return lognormal_at_mode(survey.mode[i], survey.bend[i])


def _survey(target: Target, mode: Tensor) -> Survey:
    if not target.is_positive:
        raise ValueError(
            f"the Laplus approximations are for positive parameters; {', '.join(target.names)} of this target are not "
            "all positive numbers: use laplace"
        )
    m = torch.as_tensor(mode, dtype=target.dtype, device=target.device).detach()
    if m.shape != (target.dim,) or not bool(((m > 0) & m.isfinite()).all()):
        raise ValueError(
            f"mode must be (d,) = ({target.dim},) positive numbers in the model's own coordinates, got {m.tolist()}"
        )
    density = _own_density(target)
    with torch.no_grad():
        top = float(density(m[None]))
    slope, bend = gradient(density, m), hessian(density, m).diagonal().clone()
    if not math.isfinite(top):
        raise ValueError(f"the log-density is {top} at the mode {m.tolist()}")
    falls = (-slope > 0.1 * bend.abs() * m) & (_near_zero(density, m) > top - 0.01)
    is_inside = (bend < 0) & ~falls
    anchor = m.clone()
    for i in (~is_inside).nonzero().squeeze(-1).tolist():
        anchor[i] = _bulk(density, m, i)
    lines = _lines(density, m, centre=anchor)
    decrement = torch.where(is_inside, slope.square() / bend.abs(), 0.0).sum().sqrt()
    return Survey(m, bend, ~is_inside, lines, anchor, float(decrement))


def _near_zero(density: Callable[[Tensor], Tensor], m: Tensor) -> Tensor:
    """Log-densities with one parameter after the other moved to a thousandth of its mode, `(d,)`."""
    points = m.expand(len(m), -1).clone()
    points.diagonal().mul_(1e-3)
    with torch.no_grad():
        return density(points)


def _bulk(density: Callable[[Tensor], Tensor], m: Tensor, i: int) -> Tensor:
    """Where, on a line of one parameter, its density times itself is largest: the scale of its mass."""
    x = torch.logspace(-15, 9, 481, dtype=m.dtype, device=m.device)
    points = m.expand(len(x), -1).clone()
    points[:, i] = x
    with torch.no_grad():
        mass = density(points) + x.log()
    return x[mass.nan_to_num(-math.inf, -math.inf, -math.inf).argmax()]


def _lines(density: Callable[[Tensor], Tensor], m: Tensor, *, centre: Tensor) -> list[Line]:
    """Log-densities at ten places around each parameter's centre, from a thirtieth to three times of it."""
    d = len(m)
    x = centre[:, None] * torch.logspace(-1.5, 0.5, 10, dtype=m.dtype, device=m.device)  # (d, J)
    points = m.expand(d, 10, d).clone()
    points.diagonal(dim1=0, dim2=2).copy_(x.mT)
    with torch.no_grad():
        values = density(points.reshape(-1, d)).reshape(d, 10)
    return [Line(x[i][fine], values[i][fine]) for i, fine in enumerate(values.isfinite())]


def _log_ratio(target: Target, marginals: Sequence[Marginal], anchor: Tensor) -> float:
    with torch.no_grad():
        return float(_own_density(target)(anchor[None]) - _log_prob(marginals, anchor[None]))


def _log_prob(marginals: Sequence[Marginal], points: Tensor) -> Tensor:
    logs = [marginal.log_prob(points[:, i]) for i, marginal in enumerate(marginals)]
    return torch.stack(logs).sum(0)


def _log_weights(target: Target, marginals: Sequence[Marginal], *, samples: int, seed: int) -> Tensor:
    """Log-weights of draws from the product of the marginals, `(N,)`; a point that underflows has none."""
    generator = seeded_generator(seed, device=target.device)
    with seeded(generator), torch.no_grad():
        points = torch.stack([marginal.sample(torch.Size((samples,))) for marginal in marginals], -1)
        points = points.clamp_min(torch.finfo(points.dtype).tiny)
        log_w = _own_density(target)(points) - _log_prob(marginals, points)
    return log_w.masked_fill(log_w == math.inf, math.nan)


def _own_density(target: Target) -> Callable[[Tensor], Tensor]:
    """The log-density of the model's own coordinates `(N, d)`, as a function of them."""
    sizes = [shape.numel() for shape in target.shapes.values()]

    def density(points: Tensor) -> Tensor:
        parts = zip(target.names, torch.split(points, sizes, -1), strict=True)
        named = {name: part.reshape(-1, *target.shapes[name]) for name, part in parts}
        u = target.unconstrain(named if target.is_named else named["theta"])
        return target.log_joint(u) - target.log_jacobian(u)

    return density
