r"""Laplace's method: integrals that the neighbourhood of a maximum decides.

$$I(x) = \int_a^b f(t)\, e^{x \phi(t)}\, dt, \qquad x \to \infty$$

Three cases, with the maximum of $\phi$ at $c$:

- inside, $\phi'(c) = 0$: $I \sim \sqrt{2\pi / (-x \phi''(c))}\; f(c)\, e^{x \phi(c)}$, then powers $x^{-3/2}, \dots$
- at an end with a slope: $I \sim f(c)\, e^{x \phi(c)} / (x \lvert \phi'(c) \rvert)$, then $x^{-2}, \dots$
- at an end with no slope: half of the first, then $x^{-1}, x^{-3/2}, \dots$

References:
    | Advanced Mathematical Methods for Scientists and Engineers (Bender & Orszag, 1978), sec. 6.4
    | https://doi.org/10.1007/978-1-4757-3069-2
    | Asymptotic Expansion of Integrals of Laplace Type (Wojdylo, 2006)
    | https://doi.org/10.1016/j.cam.2005.05.021
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from jensen.asymptotics._landscape import EQUAL, Peak, peaks
from jensen.asymptotics._local import Coefficients, contribution, leading_power, one_sided, two_sided
from jensen.asymptotics.derivatives import taylor
from jensen.asymptotics.series import MOST, AsymptoticSeries, Contribution, collect

__all__ = ["laplace_integral"]

Function = Callable[[Tensor], Tensor]


def laplace_integral(
    f: Function,
    phi: Function,
    x: float,
    *,
    interval: tuple[float, float] = (-math.inf, math.inf),
    order: int | None = None,
) -> AsymptoticSeries:
    r"""Laplace's expansion of $\int_a^b f(t) e^{x \phi(t)} dt$ for large $x$.

    The maximum of $\phi$ is looked for on a grid and made exact; where several are equally high, all of them count.
    Derivatives are exact, and any number of terms follows from them.

    Args:
        f: a smooth function of torch, called with one number and never with a batch.
        phi: a smooth function of torch, called with one number and with a batch of them, elementwise.
        x: the large parameter, positive.
        interval: $(a, b)$, either of which may be infinite.
        order: how many terms to sum; the best number, before the smallest term, where it is not given.

    Returns:
        The series, with its value, truncation error and best order.

    Raises:
        ValueError: if `x` is not positive, or phi has no maximum, or is not smooth or constant there.

    Warns:
        UserWarning: if `order` goes past the smallest term.

    Example:
        >>> series = laplace_integral(lambda t: 1 / (1 + t), lambda t: -t, 10.0, interval=(0, 10))
        >>> round(float(series.value), 5), series.order, f"{series.truncation_error:.1e}"
        (0.09155, 10, '3.6e-05')
        >>> stirling = laplace_integral(lambda s: 1.0, lambda s: s.log() - s, 6.0, interval=(0, math.inf), order=2)
        >>> round(float(stirling.value) * 6**7, 2)
        719.94

    References:
        | Advanced Mathematical Methods for Scientists and Engineers (Bender & Orszag, 1978), eq. 6.4.35
        | https://doi.org/10.1007/978-1-4757-3069-2
    """
    if not 0 < x < math.inf:
        raise ValueError(f"x must be positive and finite, got {x}")
    found = peaks(phi, interval)
    top = found[0].height
    deciding = [peak for peak in found if top - peak.height <= EQUAL * (1 + abs(top))]
    parts = [_around(f, phi, peak, x, order=order) for peak in deciding]
    series = collect(parts, order=order, is_real=True)
    others = [peak.height for peak in found if peak not in deciding] + _ends(phi, interval, deciding)
    neglected = max((math.exp(x * (height - top)) for height in others), default=0.0)
    if neglected <= max(series.relative_error, 1e-15):
        return series
    sentence = (
        f"Other maxima or an end of the interval contribute about {neglected:.1e} of the integral, more than the "
        "truncation error: x is not large here."
    )
    return AsymptoticSeries(
        series.terms, series.powers, series.order, series.exponent, series.sizes, (*series.warnings, sentence)
    )


def _around(f: Function, phi: Function, peak: Peak, x: float, *, order: int | None) -> Contribution:
    """The terms that one maximum gives."""
    probe = _coefficients(phi, peak.point, 8)
    mu = _flatness(probe, peak)
    terms = (MOST if order is None else order + 2) * (2 if peak.side == 0 else 1) + 4
    f_c, phi_c = _coefficients(f, peak.point, terms), _coefficients(phi, peak.point, terms + mu)
    phi_c[1:mu] = 0
    exponent = x * float(phi_c[0].real)
    if peak.side == 0:
        return contribution(two_sided(f_c, phi_c, mu), x, mu, exponent=exponent)
    side = float(peak.side) ** torch.arange(terms + mu + 1).numpy()
    b = one_sided(f_c * side[: terms + 1], phi_c * side, mu)
    return contribution(b, x, mu, exponent=exponent)


def _flatness(phi: Coefficients, peak: Peak) -> int:
    """The first power of the distance with which phi falls; inside, an even one."""
    probe = phi.copy()
    if peak.side == 0:
        sizes = abs(phi[1:]) * peak.unit ** torch.arange(1, len(phi)).numpy()
        if sizes[0] > 1e-6 * sizes.max():
            raise ValueError(f"phi is not smooth at its maximum {peak.point:.6g}: its slope does not vanish there")
        probe[1] = 0
        mu = leading_power(probe, unit=peak.unit, tolerance=1e-4)
    else:
        mu = leading_power(probe, unit=peak.unit)
    falls = (-probe[mu] * float(peak.side or 1) ** mu).real > 0
    if not falls or (peak.side == 0 and mu % 2):
        raise ValueError(f"phi does not fall smoothly from its maximum at {peak.point:.6g}")
    return mu


def _coefficients(f: Function, point: float, order: int) -> Coefficients:
    found: Coefficients = taylor(f, point, order=order).to(torch.complex128).numpy()
    if not bool(torch.from_numpy(found).isfinite().all()):
        raise ValueError(f"the derivatives at {point:.6g} are not finite up to order {order}")
    return found


def _ends(phi: Function, interval: tuple[float, float], deciding: list[Peak]) -> list[float]:
    """The heights of the finite ends at which the interval cuts a neighbourhood short."""
    ends = [end for end in interval if math.isfinite(end) and all(abs(end - peak.point) > 1e-12 for peak in deciding)]
    with torch.no_grad():
        heights = [float(phi(torch.tensor(end, dtype=torch.float64))) for end in ends]
    return [height for height in heights if math.isfinite(height)]
