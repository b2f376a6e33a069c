r"""The method of stationary phase: rapidly oscillating integrals.

$$I(x) = \int_a^b f(t)\, e^{i x \phi(t)}\, dt, \qquad x \to \infty$$

Oscillations cancel except where the phase stands still and at the ends:

- a stationary point $c$ inside gives $\sqrt{2\pi / (x \lvert \phi''(c) \rvert)}\; f(c)\, e^{i x \phi(c) \pm i\pi/4}$,
  with the sign of $\phi''(c)$, and then powers $x^{-3/2}, \dots$
- an end gives $\pm f e^{ix\phi} / (i x \phi')$, plus at $b$ and minus at $a$, and then powers $x^{-2}, \dots$
- an end that is stationary gives half of the first, and then $x^{-1}, \dots$; a flatter point of order $\mu$,
  $x^{-1/\mu}$.

References:
    | Advanced Mathematical Methods for Scientists and Engineers (Bender & Orszag, 1978), sec. 6.5
    | https://doi.org/10.1007/978-1-4757-3069-2
"""

import math
from collections.abc import Callable

import numpy as np
from torch import Tensor

from jensen.asymptotics._landscape import stationary_points
from jensen.asymptotics._local import Coefficients, contribution, leading_power, one_sided, two_sided
from jensen.asymptotics.derivatives import taylor
from jensen.asymptotics.series import MOST, AsymptoticSeries, Contribution, collect

__all__ = ["stationary_phase"]

Function = Callable[[Tensor], Tensor]


def stationary_phase(
    f: Function,
    phi: Function,
    x: float,
    *,
    interval: tuple[float, float] = (-math.inf, math.inf),
    order: int | None = 2,
) -> AsymptoticSeries:
    r"""The expansion of $\int_a^b f(t) e^{i x \phi(t)} dt$ for large $x$, from stationary points and ends together.

    Stationary points are looked for on a grid and made exact. Of an infinite end it is supposed that the integral
    converges there, on the real line or on a path turned into the complex plane, so that it contributes nothing.

    Args:
        f: a smooth function of torch, called with one number and never with a batch.
        phi: the real phase, a smooth function of torch, called with one number and with a batch of them, elementwise.
        x: the large parameter, positive.
        interval: $(a, b)$, either of which may be infinite.
        order: how many terms of different powers of $x$ to sum; None for the best number.

    Returns:
        The series, its terms complex.

    Raises:
        ValueError: if `x` is not positive, phi is constant, or neither a stationary point nor an end is there.

    Warns:
        UserWarning: if `order` goes past the smallest term.

    Example:
        >>> series = stationary_phase(lambda t: 1 / math.pi, lambda t: t.cos(), 50.0, interval=(0, math.pi), order=2)
        >>> round(float(series.value.real), 6)  # Bessel's J_0(50) is 0.055812
        0.055814

    References:
        | Advanced Mathematical Methods for Scientists and Engineers (Bender & Orszag, 1978), sec. 6.5
        | https://doi.org/10.1007/978-1-4757-3069-2
    """
    if not 0 < x < math.inf:
        raise ValueError(f"x must be positive and finite, got {x}")
    count = 2 * (MOST if order is None else order + 2) + 4
    parts = [
        _inside(f, phi, x, point=point, unit=unit, count=count) for point, unit in stationary_points(phi, interval)
    ]
    for end, side in zip(interval, (1, -1), strict=True):
        if math.isfinite(end):
            parts.append(_at_end(f, phi, x, end=float(end), side=side, count=count))
    if not parts:
        raise ValueError(f"phi has no stationary point on {interval}, and the interval no end: all orders vanish")
    return collect(parts, order=order, is_real=False)


def _inside(f: Function, phi: Function, x: float, *, point: float, unit: float, count: int) -> Contribution:
    probe = _coefficients(phi, point, 8)
    probe[1] = 0
    mu = leading_power(probe, unit=unit, tolerance=1e-4)
    phase = _coefficients(phi, point, count + mu)
    phase[1:mu] = 0
    b = two_sided(_coefficients(f, point, count), 1j * phase, mu)
    return contribution(b, x, mu, exponent=1j * x * phase[0].real)


def _at_end(f: Function, phi: Function, x: float, *, end: float, side: int, count: int) -> Contribution:
    mu = leading_power(_coefficients(phi, end, 8), unit=1e-2)
    phase = _coefficients(phi, end, count + mu)
    phase[1:mu] = 0
    signs = float(side) ** np.arange(count + mu + 1)
    b = one_sided(_coefficients(f, end, count) * signs[: count + 1], 1j * phase * signs, mu)
    return contribution(b, x, mu, exponent=1j * x * phase[0].real)


def _coefficients(f: Function, point: float, order: int) -> Coefficients:
    found: Coefficients = taylor(f, point, order=order).numpy().astype(np.complex128)
    if not np.isfinite(found).all():
        raise ValueError(f"the derivatives at {point:.6g} are not finite up to order {order}")
    return found
