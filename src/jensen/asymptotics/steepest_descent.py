r"""The method of steepest descent: integrals of analytic functions over a path that saddles decide.

$$I(x) = \int_C f(z)\, e^{x \phi(z)}\, dz \sim f(z_0)\, e^{x \phi(z_0)} \sqrt{\frac{2\pi}{-x \phi''(z_0)}}, \qquad
\phi'(z_0) = 0$$

The path is bent through the saddle $z_0$ along the direction in which $\phi - \phi(z_0)$ is real and falls fastest,
$\arg(z - z_0) = (\pi - \arg \phi''(z_0)) / 2$ or the opposite one. Which of the two, the sense of the path decides.

References:
    | Advanced Mathematical Methods for Scientists and Engineers (Bender & Orszag, 1978), sec. 6.6
    | https://doi.org/10.1007/978-1-4757-3069-2
"""

import cmath
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from jensen.asymptotics._local import Coefficients, contribution, two_sided
from jensen.asymptotics.derivatives import taylor
from jensen.asymptotics.series import MOST, AsymptoticSeries, Contribution, collect

__all__ = ["find_saddle", "steepest_descent"]

Function = Callable[[Tensor], Tensor]

STEPS = 100
"""Newton steps before a saddle counts as not found."""


def find_saddle(phi: Function, start: complex) -> complex:
    r"""A zero of $\phi'$, by Newton's method from `start`.

    Args:
        phi: an analytic function of torch, called with one complex number.
        start: a point near the saddle.

    Raises:
        ValueError: if the method does not converge.

    Example:
        >>> find_saddle(lambda z: z**3 / 3 - z, 0.6 + 0.3j)
        (1+0j)
    """
    z = complex(start)
    for _ in range(STEPS):
        _, slope, half_bend = taylor(phi, torch.tensor(z, dtype=torch.complex128), order=2).tolist()
        if slope == 0:
            return z
        step = slope / (2 * half_bend) if half_bend else complex("nan")
        if not cmath.isfinite(step):
            break
        z -= step
        if abs(step) <= 1e-14 * (1 + abs(z)):
            return z
    raise ValueError(f"Newton's method found no saddle from {start}; start nearer to one")


def steepest_descent(
    f: Function,
    phi: Function,
    x: float,
    *,
    saddle: complex | Sequence[complex],
    direction: complex | Sequence[complex] = 1.0,
    order: int | None = 2,
) -> AsymptoticSeries:
    r"""The expansion of $\int_C f(z) e^{x \phi(z)} dz$ from the saddles that the path crosses.

    Which saddles the path can be bent through is a global question that only the caller can answer; ends of the path
    are supposed to lie in valleys.

    Args:
        f: an analytic function of torch, called with one complex number.
        phi: an analytic function of torch, called with one complex number.
        x: the large parameter, positive.
        saddle: a point near the saddle, or several, one near each.
        direction: in which direction, roughly, the path crosses them: `1` for left to right, `1j` for upwards; one for
            all saddles or one for each.
        order: how many terms to sum; None for the best number.

    Returns:
        The series, its terms complex.

    Raises:
        ValueError: if `x` is not positive, a saddle is not found or degenerate, or the path runs across the valleys, at
            right angles to `direction`.

    Warns:
        UserWarning: if `order` goes past the smallest term.

    Example:
        >>> airy = steepest_descent(lambda z: 1.0, lambda z: z**3 / 3 - z, 8.0, saddle=0.9, direction=1j, order=3)
        >>> value = complex(airy.value) * 2 / (2j * math.pi)  # Airy's Ai(4) is 9.51564e-4
        >>> f"{value.real:.5e}"
        '9.51754e-04'

    References:
        | Advanced Mathematical Methods for Scientists and Engineers (Bender & Orszag, 1978), sec. 6.6
        | https://doi.org/10.1007/978-1-4757-3069-2
    """
    if not 0 < x < math.inf:
        raise ValueError(f"x must be positive and finite, got {x}")
    starts = [saddle] if isinstance(saddle, complex | float | int) else list(saddle)
    directions = [direction] * len(starts) if isinstance(direction, complex | float | int) else list(direction)
    if len(directions) != len(starts):
        raise ValueError(f"{len(starts)} saddles need one direction each, got {len(directions)}")
    count = 2 * (MOST if order is None else order + 2) + 4
    points = [find_saddle(phi, complex(start)) for start in starts]
    parts = [
        _across(f, phi, x, point=point, direction=complex(towards), count=count)
        for point, towards in zip(points, directions, strict=True)
    ]
    return collect(parts, order=order, is_real=False)


def _across(f: Function, phi: Function, x: float, *, point: complex, direction: complex, count: int) -> Contribution:
    """The terms of one saddle, crossed in the steepest direction that goes along `direction`."""
    phi_c = _coefficients(phi, point, count + 2)
    if abs(phi_c[2]) <= 1e-8 * np.abs(phi_c[3:]).max(initial=0.0):
        raise ValueError(f"the saddle {point:.6g} is degenerate: its second derivative vanishes")
    phi_c[1] = 0
    root = complex(-phi_c[2]) ** -0.5
    along = (direction.conjugate() * root).real / (abs(direction) * abs(root)) if direction else 0.0
    if abs(along) < 1e-6:
        angle = math.degrees(cmath.phase(root))
        raise ValueError(f"the steepest path through {point:.6g} has the angle {angle:.4g} degrees, across {direction}")
    b = two_sided(_coefficients(f, point, count), phi_c, 2, root=root if along > 0 else -root)
    return contribution(b, x, 2, exponent=x * complex(phi_c[0]))


def _coefficients(f: Function, point: complex, order: int) -> Coefficients:
    found: Coefficients = taylor(f, torch.tensor(point, dtype=torch.complex128), order=order).numpy()
    return found.astype(np.complex128)
