r"""What the neighbourhood of one point gives to an integral of $s^\alpha f(s) e^{x \phi(s)}$ over $s > 0$.

With $\phi(s) = \phi_0 - s^\mu P(s)$ and $w = s P(s)^{1/\mu}$, Lagrange's inversion gives all orders at once:

$$\int_0 s^\alpha f e^{x\phi} ds \sim e^{x \phi_0} \sum_n b_n\, \frac{\Gamma(\frac{n + 1 + \alpha}{\mu})}
{\mu\, x^{(n + 1 + \alpha)/\mu}}, \qquad b_n = [s^n]\, f(s)\, P(s)^{-(n + 1 + \alpha)/\mu}$$

It holds for complex $P$ too, where the branch of $P_0^{-1/\mu}$ is the direction in which the path leaves the point.

References:
    | Asymptotics and Special Functions (Olver, 1974), ch. 3, sec. 8
    | https://doi.org/10.1201/9781439864548
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray

from jensen.asymptotics.series import Contribution

__all__ = ["contribution", "leading_power", "one_sided", "two_sided", "without_zeros"]

Coefficients = NDArray[np.complex128]

TRAIL = 4
"""So many zeros in a row at the end mean that the series is finite."""


def leading_power(phi: Coefficients, *, unit: float, tolerance: float = 1e-8) -> int:
    """The first power of `s` with which phi departs from its value, others weighed at the distance `unit`."""
    sizes = np.abs(phi[1:9]) * unit ** np.arange(1, len(phi[1:9]) + 1)
    if not sizes.max(initial=0.0) > 0:
        raise ValueError("phi is constant near the point that decides the integral: there is no large parameter")
    return int(np.argmax(sizes > tolerance * sizes.max())) + 1


def one_sided(
    f: Coefficients, phi: Coefficients, mu: int, *, alpha: float = 0.0, root: complex | None = None
) -> Coefficients:
    r"""The coefficients $b_n$, from those of $f$ and $\phi$ in the distance $s$ from the point."""
    P = -phi[mu:]
    root = complex(P[0]) ** (-1 / mu) if root is None else root
    count = min(len(f), len(P))
    Q = P[:count] / P[0]
    b = np.empty(count, dtype=np.complex128)
    for n in range(count):
        power = _power(Q[: n + 1], -(n + 1 + alpha) / mu)
        b[n] = root ** (n + 1 + alpha) * (f[: n + 1] @ power[::-1])
    return b


def two_sided(f: Coefficients, phi: Coefficients, mu: int, *, root: complex | None = None) -> Coefficients:
    """The coefficients of both sides of an inner point; with `root`, of a saddle that is crossed in its direction."""
    right = one_sided(f, phi, mu, root=root)
    sign = (-1.0) ** np.arange(len(f))
    if root is not None:
        return right * (1 + sign[: len(right)])
    return right + one_sided(f * sign, phi * (-1.0) ** np.arange(len(phi)), mu)


def contribution(b: Coefficients, x: float, mu: int, *, exponent: complex, alpha: float = 0.0) -> Contribution:
    """The terms at one `x`, those that vanish left out."""
    powers = (np.arange(len(b)) + 1 + alpha) / mu
    kept = without_zeros(b)
    scale = [math.exp(math.lgamma(p) - p * math.log(x)) / mu for p in powers]
    terms = torch.from_numpy((b * np.array(scale))[kept])
    return Contribution(exponent, terms, tuple(powers[kept].tolist()))


def without_zeros(b: Coefficients) -> NDArray[np.intp]:
    """Where a coefficient is more than rounding, judged beside its neighbours; and the last if it has ended."""
    size = np.abs(b)
    before, after = np.roll(size, 1), np.roll(size, -1)
    before[0], after[-1] = after[0], before[-1]
    kept = np.flatnonzero((size > 0) & (size > 1e-12 * np.sqrt(before * after)))
    ends = len(b) - 1 - (kept[-1] if len(kept) else 0)
    return np.append(kept if len(kept) else [0], len(b) - 1) if ends >= TRAIL else kept


def _power(Q: Coefficients, p: float) -> Coefficients:
    """Coefficients of a series with value 1 to a real power, by Miller's recurrence."""
    y = np.zeros_like(Q)
    y[0] = 1
    for k in range(1, len(Q)):
        j = np.arange(1, k + 1)
        y[k] = ((p + 1) * j - k) * Q[1 : k + 1] @ y[:k][::-1] / k
    return y
