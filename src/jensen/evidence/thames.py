r"""The harmonic mean made safe: only draws in an ellipsoid of high density count.

For any set $A$ in the support, of volume $V$,

$$\frac{1}{Z} = \frac{1}{V}\, \mathbb{E}_{p(\theta \mid y)} \left[\frac{1_A(\theta)}{\tilde p(\theta)}\right],$$

and where $\tilde p$ is bounded from below on $A$ the terms are bounded, with all their moments. It takes posterior draws
and their densities, nothing else. Assumed: one mode that an ellipsoid can describe. An ellipsoid that reaches over an
empty region between two modes has large terms that are seldom drawn; they are held against those of a Gaussian, whose
largest is known.

References:
    | Easily Computed Marginal Likelihoods from Posterior Simulation Using the THAMES Estimator (Metodiev, Perrot-Dockès, Ouadah, Irons, Latouche & Raftery, 2024)
    | https://arxiv.org/abs/2305.08952
    | Computational Methods for Bayesian Model Choice (Robert & Wraith, 2009)
    | https://arxiv.org/abs/0907.5123
"""  # noqa: E501

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from jensen._evidence import Diagnostic, Evidence
from jensen._pareto import pareto_k
from jensen._targets import Draws
from jensen.evidence._power import errors_of_means
from jensen.evidence._weights import as_values

__all__ = ["thames"]

_FEW_EFFECTIVE, _FEW_PER_DIMENSION = 100, 10
_HEAVY, _DEEP = 0.5, 10.0


def thames(draws: Draws, *, radius: float | None = None) -> Evidence:
    r"""Truncated harmonic mean estimate of the evidence, in the unconstrained space.

    $$\log \hat Z = \log V - \log \frac{1}{N} \sum_i \frac{1_A(\theta_i)}{\tilde p(\theta_i)}, \qquad
    A = \{\theta: (\theta - \hat\mu)^\top \hat\Sigma^{-1} (\theta - \hat\mu) \le c^2\}, \quad
    V = \frac{\pi^{d/2} c^d \lvert \hat\Sigma \rvert^{1/2}}{\Gamma(d/2 + 1)}$$

    The first half of every chain gives $\hat\mu$ and $\hat\Sigma$, the second half the terms; $1 / \hat Z$ is unbiased.
    The error is that of the mean of the terms, autocorrelation included, brought to the scale of $\log Z$ by a
    lognormal of the same relative variance.

    Diagnostics: `inside`, the share of draws in $A$; `kurtosis` and `pareto_k` of the terms; `peak`, the largest term
    over the mean, in units of the same for a Gaussian, $2^{d/2}\, \Gamma(d/2 + 1)\, e^{c^2/2} / c^d$. Where the posterior
    has several modes or long flanks, `pareto_k` is above 0.5 or `peak` above 10, and the result warns.

    Args:
        draws: of the posterior.
        radius: $c$ in posterior standard deviations; $\sqrt{d + 1}$ where None, optimal for a Gaussian in many
            dimensions.

    Returns:
        An estimate.

    Raises:
        ValueError: if the shapes do not fit, a chain has fewer than two draws, the first half has not more draws of
            finite density than dimensions or they lie in a plane, no draw of the second half is in $A$, or `radius` is
            not positive.

    Example:
        >>> points = torch.randn(4000, 1, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> log_density = -points.square().sum(-1) / 2
        >>> print(thames(Draws(points, log_density, torch.zeros(4000, 1))))  # log 2 pi = 1.838
        log Z = 1.85 ± 0.02 (thames)

    References:
        | Easily Computed Marginal Likelihoods from Posterior Simulation Using the THAMES Estimator (Metodiev, Perrot-Dockès, Ouadah, Irons, Latouche & Raftery, 2024)
        | https://arxiv.org/abs/2305.08952
    """  # noqa: E501
    fitted, counted = _halves(draws)
    d = fitted.points.shape[-1]
    c = math.sqrt(d + 1) if radius is None else radius
    if not 0 < c < math.inf:
        raise ValueError(f"radius must be a positive number of standard deviations, got {radius}")
    ellipsoid = _fit(fitted, c)
    x = ellipsoid.coordinates(counted.points)  # (S, C, d): A is the unit ball
    inside = (x.square().sum(-1) <= 1) & counted.finite
    if not bool(inside.any()):
        raise ValueError(f"none of {inside.numel()} draws lies in the ellipsoid of the others: the halves do not agree")
    log_terms = torch.where(inside, -counted.log_joint, -math.inf)
    highest = log_terms.max()
    terms = (log_terms - highest).exp()
    mean = float(terms.sum() / counted.finite.sum())
    relative = float(errors_of_means(terms)) / mean
    diagnostics = _of_terms(terms, error=relative * mean) | {
        "inside": int(inside.sum()) / int(counted.finite.sum()),
        "pareto_k": pareto_k(log_terms),
        "peak": math.exp(-ellipsoid.log_gaussian_peak) / mean,
        "radius": c,
        "draws": fitted.log_joint.numel() + counted.log_joint.numel(),
        "nan": fitted.nan + counted.nan,
        "minus_inf": fitted.minus_inf + counted.minus_inf,
    }
    return Evidence(
        ellipsoid.log_volume - float(highest) - math.log(mean),
        math.sqrt(math.log1p(relative**2)),
        diagnostics,
        method="thames",
        warnings=tuple(_warnings(diagnostics, fitted=int(fitted.finite.sum()), d=d)),
    )


class _Half(NamedTuple):
    """Points `(S, C, d)`, their log-densities `(S, C)` in double precision, and where these are finite."""

    points: Tensor
    log_joint: Tensor

    @property
    def finite(self) -> Tensor:
        return self.log_joint.isfinite() & self.points.isfinite().all(-1)

    @property
    def nan(self) -> int:
        return int(self.log_joint.isnan().sum())

    @property
    def minus_inf(self) -> int:
        return int((self.log_joint == -math.inf).sum())


class _Ellipsoid(NamedTuple):
    """Centre `(d,)`, Cholesky factor `(d, d)` of the covariance, and radius."""

    centre: Tensor
    factor: Tensor
    radius: float

    @property
    def log_volume(self) -> float:
        d = len(self.centre)
        ball = d / 2 * math.log(math.pi) - math.lgamma(d / 2 + 1)
        return ball + d * math.log(self.radius) + float(self.factor.diagonal().log().sum())

    @property
    def log_gaussian_peak(self) -> float:
        """Log of the largest term over the mean one, for a Gaussian of this covariance."""
        d, c = len(self.centre), self.radius
        return d / 2 * math.log(2) + math.lgamma(d / 2 + 1) + c * c / 2 - d * math.log(c)

    def coordinates(self, points: Tensor) -> Tensor:
        """Of points `(*, d)`, in which the ellipsoid is the unit ball."""
        away = (points - self.centre).flatten(0, -2)
        x: Tensor = torch.linalg.solve_triangular(self.factor, away.mT, upper=False)
        return (x.mT / self.radius).reshape(points.shape)


def _halves(draws: object) -> tuple[_Half, _Half]:
    if not isinstance(draws, Draws):
        kind = type(draws).__name__
        raise ValueError(f"draws must be Draws(points (S, C, d), log_likelihood (S, C), log_prior (S, C)), got {kind}")
    points, *densities = (as_values(each, name) for name, each in draws._asdict().items())
    draws = Draws(points, *densities)
    shape = draws.log_joint.shape
    if points.ndim != 3 or points.shape[:2] != shape or points.shape[0] < 2:
        raise ValueError(
            f"draws must be points (S, C, d) and log-densities (S, C) with two draws at least in each chain, "
            f"got {tuple(points.shape)} and {tuple(shape)}"
        )
    points, log_joint = points.detach().cpu().double(), draws.log_joint.detach().cpu().double()
    if bool((log_joint == math.inf).any()):
        raise ValueError(
            f"the log-density is +inf at {int((log_joint == math.inf).sum())} of {log_joint.numel()} draws"
        )
    middle = len(points) // 2
    return _Half(points[:middle], log_joint[:middle]), _Half(points[middle:], log_joint[middle:])


def _fit(half: _Half, radius: float) -> _Ellipsoid:
    points = half.points[half.finite]
    n, d = points.shape
    if n <= d:
        raise ValueError(f"{n} draws of finite density in the first half do not span {d} dimensions; give 20 d or more")
    factor, failed = torch.linalg.cholesky_ex(torch.cov(points.T).reshape(d, d))
    if bool(failed):
        raise ValueError(f"the covariance of {n} draws in {d} dimensions is singular: some directions do not vary")
    return _Ellipsoid(points.mean(0), factor, radius)


def _of_terms(terms: Tensor, *, error: float) -> dict[str, Diagnostic]:
    deviation = terms.flatten() - terms.mean()
    variance = float(deviation.square().mean())
    return {
        "effective_sample_size": variance / error**2 if error > 0 else float(terms.numel()),
        "kurtosis": float(deviation.pow(4).mean()) / variance**2 if variance > 0 else math.nan,
    }


def _warnings(diagnostics: dict[str, Diagnostic], *, fitted: int, d: int) -> Iterator[str]:
    """What is wrong, the gravest first."""
    known = {name: float(value) for name, value in diagnostics.items() if isinstance(value, int | float)}
    if known["pareto_k"] > _HEAVY or known["peak"] > _DEEP:
        yield (
            f"The ellipsoid reaches into regions of low density (Pareto tail index {known['pareto_k']:.2f}, largest "
            f"term {known['peak']:.1f} times a Gaussian's): the posterior has several modes or long flanks, the "
            "estimate tends to be too high and its error is too small; use another method."
        )
    if known["effective_sample_size"] < _FEW_EFFECTIVE:
        yield f"The terms are worth {known['effective_sample_size']:.0f} independent draws; give more."
    if fitted < _FEW_PER_DIMENSION * d:
        yield f"The ellipsoid in {d} dimensions was fitted to {fitted} draws; give {_FEW_PER_DIMENSION} d or more."
    if bad := int(known["nan"] + known["minus_inf"]):
        yield f"{bad} of {known['draws']:.0f} log-densities are NaN or -inf and were left out."
