"""Maximising a log-density from many starts at once: L-BFGS for all of them, then Newton for the best."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Density", "Summit", "climb", "hessian", "polish", "slope"]

Density = Callable[[Tensor], Tensor]
"""Maps points `(N, d)` to log-densities `(N,)` that torch can differentiate twice."""

ROWS = 256
"""Points that are differentiated twice at a time."""

MEMORY, HALVINGS, ARMIJO = 8, 40, 1e-4


class Summit(NamedTuple):
    """Where an ascent ended: `point` `(d,)`, its value, gradient and Hessian, and how many points it evaluated."""

    point: Tensor
    value: Tensor
    gradient: Tensor
    hessian: Tensor
    evaluations: int


def slope(density: Density, points: Tensor) -> tuple[Tensor, Tensor]:
    """Log-densities `(N,)` and gradients `(N, d)`; where either is not finite, `-inf` and zero."""
    with torch.enable_grad():
        x = points.detach().requires_grad_()
        value = density(x)
        if value.requires_grad:
            (gradient,) = torch.autograd.grad(value.sum(), x)
        else:
            gradient = torch.zeros_like(x)
    fine = value.isfinite() & gradient.isfinite().all(-1)
    return value.detach().masked_fill(~fine, -torch.inf), gradient.masked_fill(~fine.unsqueeze(-1), 0.0)


def hessian(density: Density, point: Tensor) -> Tensor:
    """Second derivatives at `(d,)`, `(d, d)`: row i is the gradient of the i-th derivative of the i-th of d copies.

    Raises:
        ValueError: if torch cannot differentiate the density twice.
    """
    rows = torch.split(torch.arange(len(point), device=point.device), ROWS)
    H = torch.cat([_rows(density, point, row) for row in rows])
    return (H + H.mT) / 2


def _rows(density: Density, point: Tensor, row: Tensor) -> Tensor:
    with torch.enable_grad():
        x = point.detach().expand(len(row), -1).clone().requires_grad_()
        try:
            (gradient,) = torch.autograd.grad(density(x).sum(), x, create_graph=True)
            if not gradient.requires_grad:
                return torch.zeros_like(x)
            (second,) = torch.autograd.grad(gradient.gather(1, row.unsqueeze(1)).sum(), x)
        except RuntimeError as error:
            raise ValueError(f"torch cannot differentiate the log-density twice: {error}") from error
    return second


def climb(density: Density, points: Tensor, *, steps: int, tolerance: float) -> tuple[Tensor, Tensor, int]:
    """L-BFGS from every row of `(N, d)`: the points it ends at, their values `(N,)`, and evaluations."""
    x, (value, gradient) = points, slope(density, points)
    pairs: list[tuple[Tensor, Tensor]] = []
    evaluations = len(x)
    for _ in range(steps):
        is_active = value.isfinite() & (gradient.norm(dim=-1) > tolerance)
        if not bool(is_active.any()):
            break
        direction = _two_loops(gradient, pairs)
        uphill = (direction * gradient).sum(-1, keepdim=True) > 0
        direction = torch.where(uphill, direction, gradient)
        size = direction.norm(dim=-1, keepdim=True)
        direction = direction * (10 / size).clamp_max(1.0) if pairs else direction / size.clamp_min(1.0)
        moved, tries = _search(density, x, value, gradient, direction * is_active.unsqueeze(-1))
        evaluations += tries
        new_value, new_gradient = slope(density, moved)
        evaluations += len(x)
        if bool((moved == x).all()):
            break
        better = (new_value >= value).unsqueeze(-1)
        moved = torch.where(better, moved, x)
        new_gradient = torch.where(better, new_gradient, gradient)
        pairs = [*pairs, (moved - x, gradient - new_gradient)][-MEMORY:]
        x, value, gradient = moved, torch.where(better.squeeze(-1), new_value, value), new_gradient
    return x, value, evaluations


def _two_loops(gradient: Tensor, pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
    """The L-BFGS direction of each row; pairs without positive curvature are left out."""
    q, kept = gradient, []
    scale = torch.ones_like(gradient[:, :1])
    for s, y in pairs:
        curvature = (s * y).sum(-1, keepdim=True)
        is_good = curvature > 1e-10 * s.norm(dim=-1, keepdim=True) * y.norm(dim=-1, keepdim=True)
        rho = torch.where(is_good, 1 / torch.where(is_good, curvature, 1.0), 0.0)
        scale = torch.where(is_good, curvature / y.square().sum(-1, keepdim=True).clamp_min(1e-300), scale)
        kept.append((s, y, rho))
    weights = []
    for s, y, rho in reversed(kept):
        weight = rho * (s * q).sum(-1, keepdim=True)
        q = q - weight * y
        weights.append(weight)
    q = scale * q
    for (s, y, rho), weight in zip(kept, reversed(weights), strict=True):
        q = q + s * (weight - rho * (y * q).sum(-1, keepdim=True))
    return q


def _search(density: Density, x: Tensor, value: Tensor, gradient: Tensor, direction: Tensor) -> tuple[Tensor, int]:
    """Halve each row's step until it rises enough; a row that never does stays where it is."""
    rise = (direction * gradient).sum(-1)
    step = torch.ones_like(value)
    waits = rise > 0
    evaluations = 0
    for _ in range(HALVINGS):
        rows = waits.nonzero().squeeze(-1)
        if not len(rows):
            break
        found = density(x[rows] + step[rows, None] * direction[rows])
        evaluations += len(rows)
        enough = found.isfinite() & (found >= value[rows] + ARMIJO * step[rows] * rise[rows])
        waits[rows[enough]] = False
        step[rows[~enough]] /= 2
    return torch.where((waits | (rise <= 0)).unsqueeze(-1), x, x + step.unsqueeze(-1) * direction), evaluations


def polish(density: Density, point: Tensor, *, steps: int, tolerance: float) -> Summit:
    """Newton from `(d,)`, each step turned uphill and shortened until the density rises or its gradient falls."""
    x = point
    (value,), (gradient,) = slope(density, x[None])
    H = hessian(density, x)
    evaluations = 1 + len(x)
    for _ in range(steps):
        if float(gradient.norm()) <= tolerance or not bool(H.isfinite().all()):
            break
        candidate, tries = _newton(density, x, (value, gradient, H))
        evaluations += tries
        if candidate is None:
            break
        x, value, gradient = candidate
        H = hessian(density, x)
        evaluations += len(x)
    return Summit(x, value, gradient, H, evaluations)


def _newton(
    density: Density, x: Tensor, here: tuple[Tensor, Tensor, Tensor]
) -> tuple[tuple[Tensor, Tensor, Tensor] | None, int]:
    value, gradient, H = here
    eigenvalues, vectors = torch.linalg.eigh(H)
    size = eigenvalues.abs().clamp_min(1e-12 * float(eigenvalues.abs().max()) + 1e-300)
    step = vectors @ ((vectors.mT @ gradient) / size)
    step = step * min(1.0, 10 / float(step.norm()))
    slack = 1e-13 * (1 + abs(float(value)))
    for halving in range(HALVINGS):
        there = x + step / 2**halving
        (new_value,), (new_gradient,) = slope(density, there[None])
        rises = float(new_value) > float(value) + slack
        levels = float(new_value) >= float(value) - slack and float(new_gradient.norm()) < 0.9 * float(gradient.norm())
        if rises or levels:
            return (there, new_value, new_gradient), halving + 1
    return None, HALVINGS
