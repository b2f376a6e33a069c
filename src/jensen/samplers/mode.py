r"""The mode of a posterior density, from several starts, and its curvature there.

A mode depends on the coordinates. With $u$ the real ones and $\theta = T(u)$ the model's own,

$$\hat u = \arg\max_u \tilde p(T(u)) \Big\lvert \frac{d\theta}{du} \Big\rvert, \qquad
\hat\theta = \arg\max_\theta \tilde p(\theta),$$

and $T(\hat u) \ne \hat\theta$. Laplace's approximation is taken at the first, the Laplus approximations at the second.
Either is searched for in $u$, scaled by the prior's spread, with L-BFGS from all starts together and Newton from the
best end.

References:
    | Numerical Optimization (Nocedal & Wright, 2006), ch. 3 and 7
    | https://doi.org/10.1007/978-0-387-40065-5
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from jensen._random import seeded_generator
from jensen._targets import Target
from jensen.samplers._ascent import Density, Summit, climb, hessian, polish, slope

__all__ = ["Mode", "find_mode", "highest_likelihood"]

PROBES = 256
"""Draws of the prior among which the starts are chosen."""

FAR = 0.01
"""The Newton step, in the search's coordinates, above which an ascent that has ended has not arrived."""

REACH = 100.0
"""How far from the prior's median a coordinate that is mapped by an exponential or the like is followed."""


class Mode(NamedTuple):
    r"""Where a log-density is largest.

    Attributes:
        point: `(d,)`, in the coordinates that were asked for.
        log_density: of the unnormalised posterior there, in nats.
        hessian: its second derivatives in those coordinates, `(d, d)`.
        gradient_norm: Euclidean norm of its gradient in those coordinates; about zero at an interior mode.
        is_interior: whether the ascent came to rest; not where the density still rises towards a boundary or infinity.
        is_negative_definite: whether all eigenvalues of the Hessian are negative.
        evaluations: points at which the density was evaluated, a gradient counted as one.
        warnings: sentences for a reader; empty where nothing is known to be wrong.
    """

    point: Tensor
    log_density: float
    hessian: Tensor
    gradient_norm: float
    is_interior: bool
    is_negative_definite: bool
    evaluations: int
    warnings: tuple[str, ...] = ()


def find_mode(
    target: Target,
    *,
    space: Literal["real", "own"] = "real",
    start: Tensor | None = None,
    starts: int = 8,
    seed: int = 0,
) -> Mode:
    r"""The highest mode that several ascents find.

    Args:
        target: what has a posterior density; torch must be able to differentiate it twice.
        space: `real`, the unconstrained coordinates, the log-Jacobian included; or `own`, the model's coordinates
            flattened in the order of their names, without it, for targets of which each coordinate is mapped alone.
        start: where to begin, `(d,)` or `(N, d)` in the coordinates of `space`; the best of the prior's draws and their
            medians where none is given.
        starts: how many ascents to begin from the prior.
        seed: of the prior's draws.

    Returns:
        The best end, with `is_interior` and `is_negative_definite` saying what it is.

    Raises:
        ValueError: if no start has a finite log-density, the shape of `start` does not fit, coordinates of `own` are
            not mapped one by one, or torch cannot differentiate the likelihood.

    Example:
        >>> from torch.distributions import Gamma, Poisson
        >>> prior = Gamma(*torch.tensor([[2.0], [1.0]]).double())
        >>> y = torch.tensor([3.0, 1, 4, 1, 5])
        >>> target = Target(lambda rate: Poisson(rate).log_prob(y).sum(-1), prior)
        >>> mode = find_mode(target, space="own")
        >>> mode.point, round(mode.log_density, 4)
        (tensor([2.5000], dtype=torch.float64), -11.0129)
    """
    if space not in ("real", "own"):
        raise ValueError(f"space must be 'real' or 'own', got {space!r}")
    if starts < 1:
        raise ValueError(f"starts must be at least 1, got {starts}")
    target.require_gradient()
    draws = target.sample_prior(PROBES, generator=seeded_generator(seed, device=target.device))
    draws = draws[draws.isfinite().all(-1)]
    centre, scale = _spread(draws, target.dim)
    bounds = _bounds(target, centre) if space == "own" else (centre - torch.inf, centre + torch.inf)
    density = _density(target, space)
    begin, probes = _starts(target, density, space, start=start, draws=draws, count=starts)

    def scaled(z: Tensor) -> Tensor:
        return density((centre + scale * z).clamp(*bounds))

    with torch.no_grad():
        ends, values, climbs = climb(scaled, (begin - centre) / scale, steps=300, tolerance=1e-4)
        best = int(values.nan_to_num(-torch.inf, -torch.inf).argmax())
        summit = polish(scaled, ends[best], steps=60, tolerance=1e-10)
    point = (centre + scale * summit.point).clamp(*bounds)
    has_arrived = _has_arrived(summit) and bool(((point > bounds[0]) & (point < bounds[1])).all())
    spent = probes + climbs + summit.evaluations
    return _report(target, space, summit, point=point, has_arrived=has_arrived, spent=spent)


def highest_likelihood(target: Target, *, start: Tensor) -> float:
    r"""The highest log-likelihood that an ascent finds, without the prior, $\max_\theta \log p(y \mid \theta)$.

    It may lie at infinity; the value is that where the ascent ended.

    Args:
        target: whose prior is left aside.
        start: real coordinates to begin at, `(d,)` or `(N, d)`; the mode is a good place.

    Raises:
        ValueError: if the likelihood is not finite at any start, or the shape of `start` does not fit.

    Example:
        >>> from torch.distributions import Normal
        >>> target = Target(lambda mean: Normal(mean, 1.0).log_prob(torch.tensor(3.0)), Normal(0.0, 1.0))
        >>> round(highest_likelihood(target, start=torch.zeros(1)), 4)
        -0.9189
    """
    target.require_gradient()
    begin = start.reshape(-1, target.dim)

    def log_likelihood(u: Tensor) -> Tensor:
        return target.log_terms(u)[0]

    if not bool(log_likelihood(begin).isfinite().any()):
        raise ValueError("the log-likelihood is not finite at the start")
    with torch.no_grad():
        _, values, _ = climb(log_likelihood, begin, steps=300, tolerance=1e-6)
    return float(values.nan_to_num(-torch.inf, -torch.inf).max())


def _spread(draws: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Median and scaled median deviation of the prior's draws, coordinate by coordinate."""
    if not len(draws):
        return draws.new_zeros(dim), draws.new_ones(dim)
    centre = draws.median(0).values
    scale = 1.4826 * (draws - centre).abs().median(0).values
    return centre, torch.where((scale > 0) & scale.isfinite(), scale, 1.0)


def _density(target: Target, space: str) -> Density:
    """The log-density to maximise, as a function of real coordinates."""
    if space == "real":
        return target.log_joint
    return lambda u: target.log_joint(u) - target.log_jacobian(u)


def _starts(
    target: Target, density: Density, space: str, *, start: Tensor | None, draws: Tensor, count: int
) -> tuple[Tensor, int]:
    """Real coordinates to begin at, `(N, d)`, and how many points were looked at to choose them."""
    if start is not None:
        given = torch.as_tensor(start, dtype=target.dtype, device=target.device).detach()
        if given.ndim not in (1, 2) or given.shape[-1] != target.dim or not given.numel():
            raise ValueError(f"start has shape {tuple(given.shape)}; expected (d,) or (N, d) with d = {target.dim}")
        points = given.reshape(-1, target.dim)
        points = _unconstrain(target, points) if space == "own" else points
    else:
        points = torch.cat([draws.median(0).values[None], draws]) if len(draws) else draws
    with torch.no_grad():
        values = density(points) if len(points) else points.new_zeros(0)
    fine = values.isfinite() & points.isfinite().all(-1)
    if not bool(fine.any()):
        where = "start" if start is not None else f"any of {len(points)} points of the prior"
        raise ValueError(f"the log-density is not finite at {where}; give find_mode a start where it is")
    if start is not None:
        return points[fine], len(points)
    order = values.masked_fill(~fine, -torch.inf).argsort(descending=True)[: min(count, int(fine.sum()))]
    return points[order], len(points)


def _report(target: Target, space: str, summit: Summit, *, point: Tensor, has_arrived: bool, spent: int) -> Mode:
    """The summit in the coordinates that were asked for, and whether it is one."""
    density: Density = target.log_joint
    if space == "own":
        point = _flatten(target, target.constrain(point[None]))[0]
        density = _own_density(target)
    with torch.no_grad():
        gradient = slope(density, point[None])[1][0]
        H = hessian(density, point)
    is_definite = bool(H.isfinite().all()) and bool((torch.linalg.eigvalsh(H) < 0).all())
    warnings = []
    if not has_arrived:
        warnings.append(
            "The density still rises where the ascent ended: its maximum lies on a boundary or at infinity."
        )
    if not is_definite:
        warnings.append("The Hessian of the log-density is not negative definite: the point is no regular maximum.")
    return Mode(
        point.detach(),
        float(summit.value),
        H,
        float(gradient.norm()),
        has_arrived,
        is_definite,
        spent + 1 + target.dim,
        tuple(warnings),
    )


def _has_arrived(summit: Summit) -> bool:
    """Whether the next Newton step would be small, along every eigenvector of the Hessian."""
    H, gradient = summit.hessian, summit.gradient
    if not bool(H.isfinite().all()) or not bool(summit.value.isfinite()):
        return False
    eigenvalues, vectors = torch.linalg.eigh(H)
    along = (vectors.mT @ gradient).abs()
    return bool((along <= FAR * eigenvalues.abs()).all())


def _flatten(target: Target, parameters: Tensor | dict[str, Tensor]) -> Tensor:
    """The model's own coordinates as `(N, d)`, in the order of the names."""
    parts = [parameters] if isinstance(parameters, Tensor) else [parameters[name] for name in target.names]
    return torch.cat([part.reshape(len(part), -1) for part in parts], -1)


def _unconstrain(target: Target, points: Tensor) -> Tensor:
    sizes = [shape.numel() for shape in target.shapes.values()]
    parts = torch.split(points, sizes, -1)
    named = {name: part.reshape(-1, *target.shapes[name]) for name, part in zip(target.names, parts, strict=True)}
    return target.unconstrain(named if target.is_named else named["theta"])


def _own_density(target: Target) -> Density:
    """The log-density of the model's own coordinates `(N, d)`, as a function of them."""

    def density(points: Tensor) -> Tensor:
        u = _unconstrain(target, points)
        return target.log_joint(u) - target.log_jacobian(u)

    return density


def _bounds(target: Target, centre: Tensor) -> tuple[Tensor, Tensor]:
    """How far the search goes in coordinates that reach a boundary at infinity, so that the others can arrive."""
    here, there = _stretch(target, centre), _stretch(target, centre + 1)
    reach = torch.where((here - there).abs() > 1e-6 * here.abs(), REACH, torch.inf)
    return centre - reach, centre + reach


def _stretch(target: Target, u: Tensor) -> Tensor:
    """Derivatives of the bijection at `(d,)`, coordinate by coordinate; others are refused."""
    message = "space='own' needs parameters of which each coordinate is mapped alone, not {}; use space='real'"
    own = {name: tuple(shape) for name, shape in target.shapes.items()}
    if sum(shape.numel() for shape in target.shapes.values()) != target.dim:
        raise ValueError(message.format(f"{own} with {target.dim} real coordinates"))
    with torch.enable_grad():
        x = u.expand(target.dim, -1).detach().clone().requires_grad_()
        values = _flatten(target, target.constrain(x))
        (jacobian,) = torch.autograd.grad(values.diagonal().sum(), x)
    if bool((jacobian - jacobian.diagonal().diag_embed()).any()):
        raise ValueError(message.format(f"{own}, whose coordinates depend on each other"))
    return jacobian.diagonal()
