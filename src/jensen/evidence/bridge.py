r"""Bridge sampling: the evidence as a ratio of two expectations that meet half way between posterior and proposal.

For any function $h$ and a normalised proposal $g$,

$$Z = \frac{\mathbb{E}_g[h\, \tilde p]}{\mathbb{E}_{\text{posterior}}[h\, g]},
\qquad h \propto \frac{1}{s_1 \tilde p + s_2 Z g}$$

and this $h$ has the least error for independent draws. It keeps both terms bounded where either density has the heavier
tails, which importance sampling and the harmonic mean do not. Assumed: draws that have reached the posterior, and a
proposal that overlaps with it. The estimate is consistent; it costs one evaluation of the target for each proposal and
for each posterior draw whose density is not known yet, twice that with `"warp3"`.

References:
    | Simulating Ratios of Normalizing Constants via a Simple Identity: A Theoretical Exploration (Meng & Wong, 1996)
    | https://www3.stat.sinica.edu.tw/statistica/j6n4/j6n43/j6n43.htm
    | A Tutorial on Bridge Sampling (Gronau, Sarafoglou, Matzke, Ly, Boehm, Marsman, Leslie, Forster, Wagenmakers & Steingroever, 2017)
    | https://arxiv.org/abs/1703.05984
"""  # noqa: E501

import math
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor

from jensen._chains import effective_sample_size
from jensen._evidence import Diagnostic, Evidence
from jensen._math import HALF_LOG_TWO_PI
from jensen._pareto import pareto_k, reliable_k
from jensen._random import seeded_generator
from jensen._targets import Draws, Target
from jensen.evidence.bridge_kernel import bridge_error, bridge_iteration
from jensen.evidence.draws import as_draws, as_points, evaluate

__all__ = ["bridge", "bridge_from_ratios"]

Proposal = Literal["normal", "warp3"]
LogDensity = Callable[[Tensor], Tensor]

_MANY_CHAINS = 16
_FEW_EFFECTIVE = 100
_ENOUGH_OVERLAP = 0.5
_SINGULAR = 1e-12
_APART = 0x62726964  # no draws made with the same seed are the proposals' numbers


def bridge_from_ratios(log_ratio_posterior: Tensor, log_ratio_proposal: Tensor, *, method: str = "bridge") -> Evidence:
    r"""The bridge estimate for any proposal, from the log-ratios $\log \tilde p - \log g$ on both sides.

    The effective number of draws that weighs the sides is that of $l_1$; that of the error bar is the denominators'.
    A posterior draw without a density (NaN, or `-inf`) cannot have come from the target and is left out; a proposal
    without one has weight zero. Both are counted.

    Args:
        log_ratio_posterior: at draws of the posterior that had no part in the making of $g$, `(N1,)`, or `(S, C)` with
            the draws of each chain in order.
        log_ratio_proposal: at independent draws of $g$, `(N2,)`.
        method: the name that the result bears.

    Raises:
        ValueError: if one side has fewer than two draws, or none with a density.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> wide, narrow = (torch.distributions.Normal(0.0, scale) for scale in (1.5, 1.0))
        >>> x, proposed = torch.randn(2, 2000, generator=g).double() * torch.tensor([[1.0], [1.5]])
        >>> l1, l2 = (narrow.log_prob(each) + 3 - wide.log_prob(each) for each in (x, proposed))
        >>> print(bridge_from_ratios(l1, l2))
        log Z = 3.014 ± 0.008 (bridge)
    """
    if log_ratio_posterior.ndim not in (1, 2) or log_ratio_proposal.ndim != 1:
        shapes = f"{tuple(log_ratio_posterior.shape)} and {tuple(log_ratio_proposal.shape)}"
        raise ValueError(f"log-ratios have shapes {shapes}; expected (N1,) or (draws, chains), and (N2,)")
    return _evidence(_side(log_ratio_posterior), _side(log_ratio_proposal), method=method)


def bridge(
    draws: Any,
    target: Target | LogDensity,
    *,
    proposal: Proposal = "normal",
    samples: int | None = None,
    seed: int = 0,
    share: float = 0.5,
) -> Evidence:
    r"""Bridge sampling between posterior draws and a Gaussian fitted to some of them.

    One part of the draws gives the Gaussian its mean $m$ and covariance $L L^\top$, the other part is bridged to: the
    same draws for both would make $\log Z$ too small. Chains are cut in time; from sixteen chains on it is the chains
    that are dealt out, which makes the two parts independent.

    `"warp3"` moves the posterior half way to its mirror image about $m$, which removes its skewness, leaves $Z$ as it is
    and halves the error where the posterior is skewed or has modes on both sides of its mean, for twice the evaluations:

    $$\tilde p_W(z) = \frac{\lvert L \rvert}{2} \left[\tilde p(m + L z) + \tilde p(m - L z)\right], \qquad z \sim N(0, I)$$

    Args:
        draws: posterior draws, anything that `as_draws` understands; for a bare log-density `Draws` or real points
            `(S, C, d)` or `(N, d)`.
        target: a `Target`, or the unnormalised log-density of real points, `(N, d)` to `(N,)`.
        proposal: `"normal"` or `"warp3"`.
        samples: how many proposals are drawn; by default as many as there are draws to bridge to.
        seed: of the proposals.
        share: the part of the draws that the Gaussian is fitted to.

    Returns:
        The evidence by the method `bridge` or `warp_bridge`. Its diagnostics: `iterations`, `converged`, `restarted`,
        `pareto_k` (the larger of `pareto_k_numerator` and `pareto_k_denominator`) to be below `pareto_k_limit`,
        `overlap` $\int p g / (s_1 p + s_2 g)$ between 0 and 1 (from 0.5 on, with equal shares, no term is above four times
        the mean, and a large $\hat k$ is not warned of), `effective_sample_size` (of the denominators), `draws`, `proposals`, and on either
        side `nan` and `minus_inf`.

    Raises:
        ValueError: if the draws are no more than the dimensions, their covariance is singular, a point is not finite, or
            the density is zero or NaN at all the draws or at all the proposals.

    Example:
        >>> x = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> found = bridge(x, lambda x: -(x**2).sum(-1) / 2)
        >>> print(found)
        log Z = 1.8369 ± 0.0006 (bridge)
        >>> round(math.log(2 * math.pi), 4)
        1.8379

    References:
        | A Tutorial on Bridge Sampling (Gronau, Sarafoglou, Matzke, Ly, Boehm, Marsman, Leslie, Forster, Wagenmakers & Steingroever, 2017)
        | https://arxiv.org/abs/1703.05984
        | Warp Bridge Sampling (Meng & Schilling, 2002)
        | https://doi.org/10.1198/106186002457
        | Default Bayesian Model Determination Methods for Generalised Linear Mixed Models (Overstall & Forster, 2010)
        | https://doi.org/10.1016/j.csda.2010.03.008
    """  # noqa: E501
    if proposal not in get_args(Proposal):
        raise ValueError(f"proposal must be one of {', '.join(get_args(Proposal))}, got {proposal!r}")
    if not 0 < share < 1:
        raise ValueError(f"share is the part of the draws that makes the proposal, between 0 and 1, got {share}")
    if samples is not None and samples < 2:
        raise ValueError(f"samples must be at least 2, got {samples}")
    chains = _resolve(draws, target)
    fitted, bridged = _cut(chains.points, share=share)
    gaussian = _fit(chains.points[fitted].flatten(0, 1))
    x = chains.points[bridged]
    noise = _noise(samples or x.shape[0] * x.shape[1], like=x, seed=seed)
    known = None if chains.log_density is None else chains.log_density[bridged].flatten()
    log_ratios = _normal_ratios if proposal == "normal" else _warped_ratios
    at_draws = log_ratios(gaussian.around(x.flatten(0, 1)), chains.density, known)
    at_proposals = log_ratios(gaussian.from_noise(noise), chains.density, None)
    at_draws = at_draws._replace(log_ratio=at_draws.log_ratio.reshape(x.shape[:2]))
    return _evidence(at_draws, at_proposals, method="bridge" if proposal == "normal" else "warp_bridge")


class _Chains(NamedTuple):
    points: Tensor  # (S, C, d)
    log_density: Tensor | None  # (S, C), where it came with the draws
    density: LogDensity


def _resolve(draws: Any, target: Target | LogDensity) -> _Chains:
    ready = getattr(draws, "draws", draws)
    if isinstance(target, Target):
        if isinstance(ready, Draws):
            checked = as_draws(ready, target)
            return _Chains(checked.points, checked.log_joint, target.log_joint)
        return _Chains(as_points(draws, target), None, target.log_joint)
    points = ready.points if isinstance(ready, Draws) else torch.as_tensor(ready)
    points = points[:, None] if points.ndim == 2 else points
    if points.ndim != 3 or not points.is_floating_point() or 0 in points.shape:
        shape = f"{tuple(points.shape)} of {points.dtype}"
        raise ValueError(f"draws for a log-density are real points (N, d) or (draws, chains, d), got {shape}")
    return _Chains(points.detach(), None, _checked(target))


def _checked(log_density: LogDensity) -> LogDensity:
    def checked(points: Tensor) -> Tensor:
        values: Tensor = log_density(points)
        if values.shape != points.shape[:1]:
            shapes = f"{tuple(values.shape)} for points {tuple(points.shape)}; expected {tuple(points.shape[:1])}"
            raise ValueError(f"the log-density returned {shapes}")
        return values

    return checked


def _cut(points: Tensor, *, share: float) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Which draws the proposal is fitted to, and which are bridged to."""
    S, C, _ = points.shape
    whole = (slice(None),) if C >= _MANY_CHAINS else ()
    length = C if whole else S
    if length < 2:
        raise ValueError(f"one draw cannot be cut into a part to fit and a part to bridge to: got (S, C) = ({S}, {C})")
    n = min(max(round(share * length), 1), length - 1)
    return (*whole, slice(0, n)), (*whole, slice(n, None))


class _Places(NamedTuple):
    """Points, and a Gaussian's log-density there and at their mirror images about its mean."""

    x: Tensor  # (N, d)
    mean: Tensor  # (d,)
    log_g: Tensor  # (N,)


class _Gaussian(NamedTuple):
    mean: Tensor  # (d,)
    scale_tril: Tensor  # (d, d)
    log_det: Tensor  # ()

    def around(self, x: Tensor) -> _Places:
        eye = torch.eye(len(self.mean)).to(self.scale_tril)
        whitening = torch.linalg.solve_triangular(self.scale_tril, eye, upper=False)
        return self._places(x, (x - self.mean) @ whitening.T.contiguous())

    def from_noise(self, z: Tensor) -> _Places:
        return self._places(torch.addmm(self.mean, z, self.scale_tril.T), z)

    def _places(self, x: Tensor, z: Tensor) -> _Places:
        half = z.new_full((len(self.mean),), -0.5)
        return _Places(x, self.mean, z.square() @ half - (len(half) * HALF_LOG_TWO_PI + self.log_det))


def _fit(x: Tensor) -> _Gaussian:
    """Mean and covariance of `(N, d)`."""
    n, d = x.shape
    if n <= d:
        raise ValueError(f"{n} draws cannot give a Gaussian in {d} dimensions its covariance; it takes {d + 1} or more")
    mean = x.mean(0)
    if not bool(mean.isfinite().all()):
        first = int((~x.isfinite().all(-1)).int().argmax())
        raise ValueError(f"the draws are not finite; first at {x[first].tolist()}")
    centred = x - mean
    covariance = centred.T @ centred / (n - 1)
    scale = covariance.diagonal().sqrt()
    if bool((still := scale <= _SINGULAR * mean.abs()).any()):
        raise ValueError(f"the covariance of the draws is singular: coordinate {int(still.int().argmax())} never moves")
    correlation_tril, failed = torch.linalg.cholesky_ex(covariance / scale / scale[:, None])
    pivots = correlation_tril.diagonal()
    if bool(failed) or float(pivots.min()) < math.sqrt(torch.finfo(x.dtype).eps):
        at = int(failed) - 1 if bool(failed) else int(pivots.argmin())
        raise ValueError(
            f"the covariance of the draws is singular: coordinate {at} is a linear function of those before it"
        )
    return _Gaussian(mean, scale[:, None] * correlation_tril, scale.log().sum() + pivots.log().sum())


def _noise(count: int, *, like: Tensor, seed: int) -> Tensor:
    """Standard normal numbers, rounded to single precision: a fifth of the time of double."""
    generator = seeded_generator(seed, device=like.device)
    generator.manual_seed(generator.initial_seed() + _APART)
    size = (count, like.shape[-1])
    return torch.randn(size, generator=generator, dtype=torch.float32, device=like.device).to(like.dtype)


class _Side(NamedTuple):
    """Log-ratios on one side, `-inf` where there is no density, and how many densities were NaN and zero."""

    log_ratio: Tensor
    nan: int
    minus_inf: int


def _side(log_ratio: Tensor) -> _Side:
    """What is `+inf` counts as NaN: no density is infinite at a draw."""
    if math.isfinite(log_ratio.sum().item()):
        return _Side(log_ratio, 0, 0)
    broken = log_ratio.isnan() | (log_ratio == math.inf)
    cleaned = torch.where(broken, -math.inf, log_ratio)
    return _Side(cleaned, int(broken.sum()), int((log_ratio == -math.inf).sum()))


def _normal_ratios(places: _Places, density: LogDensity, known: Tensor | None) -> _Side:
    log_p = evaluate(density, places.x) if known is None else known
    return _side(log_p - places.log_g)


def _warped_ratios(places: _Places, density: LogDensity, known: Tensor | None) -> _Side:
    here = _normal_ratios(places, density, known)
    there = _side(evaluate(density, 2 * places.mean - places.x) - places.log_g)
    log_ratio = torch.logaddexp(here.log_ratio, there.log_ratio) - math.log(2)
    return _Side(log_ratio, here.nan + there.nan, here.minus_inf)


def _evidence(draws: _Side, proposals: _Side, *, method: str) -> Evidence:
    alive = draws.log_ratio > -math.inf
    l1, l2 = draws.log_ratio[alive] if draws.nan + draws.minus_inf else draws.log_ratio.flatten(), proposals.log_ratio
    if len(l1) < 2 or int((l2 > -math.inf).sum()) < 2:
        few = "posterior draws" if len(l1) < 2 else "proposals"
        raise ValueError(f"{method}: fewer than two {few} have a finite log-density, of {draws.log_ratio.numel()}")
    weight = _effective(l1, alive)
    found = bridge_iteration(l1, l2, effective=weight)
    overlap = float(found.log_numerator.exp().mean()) * (1 + len(l2) / weight)
    effective = _effective(found.log_denominator.exp(), alive)
    k_numerator, k_denominator = pareto_k(found.log_numerator), pareto_k(found.log_denominator)
    diagnostics: dict[str, Diagnostic] = {
        "iterations": found.iterations,
        "converged": found.converged,
        "restarted": found.restarted,
        "pareto_k": max(k_numerator, k_denominator),
        "pareto_k_numerator": k_numerator,
        "pareto_k_denominator": k_denominator,
        "overlap": overlap,
        "pareto_k_limit": reliable_k(min(len(l1), len(l2))),
        "effective_sample_size": effective,
        "draws": len(l1),
        "proposals": len(l2),
        "nan": draws.nan + proposals.nan,
        "nan_at_draws": draws.nan,
        "nan_at_proposals": proposals.nan,
        "minus_inf": draws.minus_inf + proposals.minus_inf,
        "minus_inf_at_draws": draws.minus_inf,
        "minus_inf_at_proposals": proposals.minus_inf,
    }
    std_error = bridge_error(found, effective=effective) if found.converged else math.nan
    return Evidence(found.log_z, std_error, diagnostics, method=method, warnings=tuple(_warnings(diagnostics)))


def _effective(x: Tensor, alive: Tensor) -> float:
    """Effective sample size of values at the draws that are alive, the others filled up with their mean."""
    n = len(x)
    full = x.reshape(alive.shape) if n == alive.numel() else x.mean().expand(alive.shape).masked_scatter(alive, x)
    full = full if full.ndim == 2 else full[:, None]
    effective = float(effective_sample_size(full)) * n / full.numel()
    if math.isnan(effective):
        means = full.mean(0)
        effective = float(len(means) * x.var() / means.var()) if len(means) > 1 else float(n)
    return effective if 0 < effective < math.inf else float(n)


def _warnings(found: dict[str, Any]) -> Iterator[str]:
    if not found["converged"]:
        yield f"The bridge iteration did not converge in {found['iterations']} steps; log Z is where it stopped."
    elif found["restarted"]:
        yield f"The bridge iteration converged after {found['iterations']} steps and a restart: too little overlap."
    for side in ("numerator", "denominator"):
        k, limit = found[f"pareto_k_{side}"], found["pareto_k_limit"]
        if k > limit and found["overlap"] < _ENOUGH_OVERLAP:
            yield (
                f"The Pareto k-hat of the {side} is {k:.2f}, above {limit:.2f}: posterior and proposal overlap too "
                "little for the standard error to be trusted."
            )
    if found["effective_sample_size"] < _FEW_EFFECTIVE:
        yield (
            f"The denominators are worth {found['effective_sample_size']:.0f} independent draws, fewer than "
            f"{_FEW_EFFECTIVE}: the standard error is itself uncertain."
        )
    if found["nan"]:
        yield (
            f"The log-density was NaN or infinite at {found['nan_at_draws']} draws, which were left out, and "
            f"{found['nan_at_proposals']} proposals, which got weight zero."
        )
    if found["minus_inf_at_draws"]:
        yield (
            f"The density is zero at {found['minus_inf_at_draws']} posterior draws, which were left out: they cannot "
            "have come from this target."
        )
