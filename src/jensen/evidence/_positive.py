r"""Distributions of one positive number, fitted to a log-density's mode and curvature or to its values on a line.

With $m$ the mode of one coordinate and $f''$ the second derivative of the log-density there,

$$\text{gamma: } r = -f'' m,\; a = r m + 1; \qquad
\text{beta prime: } a = 1 - f'' m^2 (m + 1),\; b = -f'' m (m + 1) - 1; \qquad
\text{lognormal: } \sigma^2 = -\frac{1}{f'' m^2},\; \mu = \log m + \sigma^2.$$

Where the density falls from the boundary on there is no such mode, and a gamma or beta prime is fitted to log-densities
by least squares, in which both are linear: $(a - 1) \log x - r x$ and $(a - 1) \log x - (a + b) \log(1 + x)$.
"""

import math
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.distributions import Beta, Gamma, LogNormal

__all__ = [
    "BetaPrime",
    "Line",
    "Marginal",
    "beta_prime_at_mode",
    "beta_prime_on_line",
    "gamma_at_mode",
    "gamma_on_line",
    "lognormal_at_mode",
]


class Marginal(Protocol):
    """The distribution of one positive number."""

    def sample(self, shape: torch.Size, /) -> Tensor:
        """Draws of this shape."""

    def log_prob(self, x: Tensor, /) -> Tensor:
        """Log-density."""


class Line(NamedTuple):
    """Log-densities `values` `(J,)` at places `x` `(J,)` of one coordinate, all others fixed."""

    x: Tensor
    values: Tensor


class BetaPrime:
    r"""The distribution of $p / (1 - p)$ for $p \sim \mathrm{Beta}(a, b)$.

    Args:
        a: the power of $x$ at zero, plus one.
        b: the power with which the tail falls, minus one.

    Example:
        >>> BetaPrime(torch.tensor(2.0), torch.tensor(3.0)).log_prob(torch.tensor(1.0)).exp()
        tensor(0.3750)
    """

    def __init__(self, a: Tensor, b: Tensor) -> None:
        self.odds, self.a, self.b = Beta(a, b), a, b

    def sample(self, shape: torch.Size) -> Tensor:
        """Draws."""
        p = self.odds.sample(shape)
        return p / (1 - p)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density."""
        log_beta = self.a.lgamma() + self.b.lgamma() - (self.a + self.b).lgamma()
        return (self.a - 1) * x.log() - (self.a + self.b) * x.log1p() - log_beta


def gamma_at_mode(m: Tensor, bend: Tensor) -> Gamma:
    """The gamma with this mode and this second derivative, which must be negative."""
    rate = -bend * m
    return Gamma(rate * m + 1, rate)


def lognormal_at_mode(m: Tensor, bend: Tensor) -> LogNormal:
    """The lognormal with this mode and this second derivative."""
    variance = -1 / (bend * m**2)
    return LogNormal(m.log() + variance, variance.sqrt())


def beta_prime_at_mode(m: Tensor, bend: Tensor, line: Line) -> BetaPrime:
    """The beta prime with this mode and second derivative; or with this mode, and a tail that fits the line."""
    b = -bend * m * (m + 1) - 1
    if float(b) > 0:
        return BetaPrime(1 - bend * m**2 * (m + 1), b)
    tails = torch.logspace(math.log10(2), 2, 200, dtype=m.dtype, device=m.device)[:, None]
    powers = m * (tails + 1)
    model = powers * line.x.log() - (powers + 1 + tails) * line.x.log1p()
    apart = model - line.values
    best = int(apart.var(-1).argmin())
    return BetaPrime(powers[best, 0] + 1, tails[best, 0])


def gamma_on_line(line: Line) -> Gamma:
    """The gamma of least squares on log-densities; an exponential where that is none."""
    power, rate = _least_squares(line, -line.x)
    if not (power > -1 and rate > 0):
        power, rate = line.x.new_zeros(()), 1 / line.x[len(line.x) // 2]
    return Gamma(power + 1, rate)


def beta_prime_on_line(line: Line) -> Marginal:
    """The beta prime of least squares on log-densities; the gamma where that is none."""
    power, whole = _least_squares(line, -line.x.log1p())
    if not (power > -1 and whole > power + 1):
        return gamma_on_line(line)
    return BetaPrime(power + 1, whole - power - 1)


def _least_squares(line: Line, column: Tensor) -> tuple[Tensor, Tensor]:
    """Coefficients of `log x` and of `column`, beside a constant."""
    scale = column.abs().max()
    design = torch.stack([torch.ones_like(column), line.x.log() - line.x[0].log(), column / scale], -1)
    solution = torch.linalg.lstsq(design, (line.values - line.values[0])[:, None]).solution[:, 0]
    return solution[1], solution[2] / scale
