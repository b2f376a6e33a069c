"""Where a function of one real variable on an interval, finite or not, is largest, or stationary."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from scipy.optimize import brentq
from torch import Tensor

__all__ = ["Peak", "peaks", "stationary_points"]

Function = Callable[[Tensor], Tensor]

POINTS = 4001
"""Points of the grid on a finite interval."""

EQUAL = 1e-9
"""Two maxima count as equally high if they differ by no more than this, relative to one plus their size."""


class Peak(NamedTuple):
    """A local maximum at `point` with `height`; `side` is 0 inside, 1 at the left end, -1 at the right end."""

    point: float
    height: float
    side: int
    unit: float


def peaks(phi: Function, interval: tuple[float, float]) -> list[Peak]:
    """All local maxima that a fine grid shows, the ends of the interval among them, highest first.

    Raises:
        ValueError: if phi is nowhere finite, still rises at an infinite end, or has a kink where it is largest.
    """
    grid = _grid(interval)
    value = _evaluate(phi, grid).nan_to_num(-math.inf, math.inf, -math.inf)
    if bool((value == math.inf).any()) or not bool(value.isfinite().any()):
        raise ValueError(f"phi must be finite on the interval {interval} and have a maximum there")
    found = []
    wall = torch.full((1,), -math.inf, dtype=value.dtype)
    left, right = torch.cat([wall, value[:-1]]), torch.cat([value[1:], wall])
    for i in ((value > left) & (value >= right)).nonzero().squeeze(-1).tolist():
        unit = float((grid[min(i + 1, len(grid) - 1)] - grid[max(i - 1, 0)]).abs()) / 2
        if 0 < i < len(grid) - 1:
            point = _root(phi, float(grid[i - 1]), float(grid[i + 1]), start=float(grid[i]))
            height = float(_evaluate(phi, torch.tensor([point], dtype=torch.float64)))
            found.append(Peak(point, height, 0, unit))
        else:
            found.append(Peak(float(grid[i]), float(value[i]), 1 if i == 0 else -1, unit))
    found.sort(key=lambda peak: -peak.height)
    _check_reached(found[0], interval)
    return [_at_an_end(phi, peak, interval) for peak in found]


def _check_reached(best: Peak, interval: tuple[float, float]) -> None:
    end = interval[0] if best.side == 1 else interval[1]
    if best.side and math.isinf(end):
        raise ValueError(f"phi rises, or stays level, towards the end {end} of the interval: it has no maximum there")


def _at_an_end(phi: Function, peak: Peak, interval: tuple[float, float]) -> Peak:
    """A maximum closer to an end than rounding is the end itself; an open end that phi does not reach is inside."""
    for end, side in zip(interval, (1, -1), strict=True):
        if math.isfinite(end) and not peak.side and abs(peak.point - end) <= 1e-12 * max(1.0, abs(end)):
            return Peak(end, float(_evaluate(phi, torch.tensor([end], dtype=torch.float64))), side, peak.unit)
    return peak


def stationary_points(phi: Function, interval: tuple[float, float]) -> list[tuple[float, float]]:
    """Where the derivative vanishes inside the interval, with the grid's spacing there; ends are not looked at."""
    grid = _grid(interval)
    slope = _slope(phi, grid)
    found = [(float(grid[i]), _spacing(grid, i)) for i in (slope[1:-1] == 0).nonzero().squeeze(-1).add(1).tolist()]
    turns = ((slope[:-1] * slope[1:]) < 0).nonzero().squeeze(-1).tolist()
    found += [(_root(phi, float(grid[i]), float(grid[i + 1])), _spacing(grid, i)) for i in turns]
    bend = _bend(phi, grid)
    largest = float(slope[slope.isfinite()].abs().max())
    if largest == 0:
        raise ValueError(f"phi is constant on {interval}: there is no large parameter")
    is_level = slope[:-1].abs() <= 1e-2 * largest
    for i in (((bend[:-1] * bend[1:]) <= 0) & is_level).nonzero().squeeze(-1).tolist():
        point = _root(phi, float(grid[i]), float(grid[i + 1]), order=2)
        is_flat = float(_slope(phi, torch.tensor([point], dtype=torch.float64)).abs()) <= 1e-10 * largest
        if is_flat and all(abs(point - other) > unit for other, unit in found):
            found.append((point, _spacing(grid, i)))
    ends = [end for end in interval if math.isfinite(end)]
    return sorted(each for each in found if all(abs(each[0] - end) > 1e-9 * each[1] for end in ends))


def _spacing(grid: Tensor, i: int) -> float:
    return float(grid[min(i + 1, len(grid) - 1)] - grid[max(i - 1, 0)]) / 2


def _grid(interval: tuple[float, float]) -> Tensor:
    """Points from end to end: even where both are finite, ever wider apart towards an infinite one."""
    a, b = interval
    if not a < b:
        raise ValueError(f"an interval goes from a smaller to a larger number, got {interval}")
    if math.isfinite(a) and math.isfinite(b):
        return torch.linspace(a, b, POINTS, dtype=torch.float64)
    far = torch.cat([torch.linspace(0, 20, POINTS, dtype=torch.float64), torch.logspace(-4, 6, 2001).double()])
    half: Tensor = torch.unique(far)
    if math.isfinite(a):
        return a + half
    if math.isfinite(b):
        return b - half.flip(0)
    return torch.cat([-half.flip(0)[:-1], half])


def _evaluate(phi: Function, t: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.as_tensor(phi(t), dtype=torch.float64).expand(len(t))


def _slope(phi: Function, t: Tensor) -> Tensor:
    return _derivatives(phi, t)[0]


def _bend(phi: Function, t: Tensor) -> Tensor:
    return _derivatives(phi, t)[1]


def _derivatives(phi: Function, t: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        x = t.detach().requires_grad_()
        value = torch.as_tensor(phi(x))
        if not value.requires_grad:
            raise ValueError("phi does not depend on its argument: there is no large parameter")
        (slope,) = torch.autograd.grad(value.sum(), x, create_graph=True)
        if not slope.requires_grad:
            return slope.detach(), torch.zeros_like(slope)
        (bend,) = torch.autograd.grad(slope.sum(), x)
    return slope.detach(), bend


def _root(phi: Function, low: float, high: float, *, order: int = 1, start: float | None = None) -> float:
    """The zero of the derivative of this order between two points."""

    def derivative(t: float) -> float:
        return float(_derivatives(phi, torch.tensor([t], dtype=torch.float64))[order - 1])

    if start is not None and derivative(start) == 0:
        return start
    middle = (low + high) / 2 if start is None else start
    for a, b in ((low, high), (low, middle), (middle, high)):
        x, y = derivative(a), derivative(b)
        if math.isfinite(x) and math.isfinite(y) and x * y <= 0:
            try:
                return float(brentq(derivative, a, b, xtol=1e-15, rtol=1e-15))
            except (ValueError, RuntimeError):
                break
    raise ValueError(f"phi is not smooth near {middle:.6g}: its derivative vanishes nowhere there")
