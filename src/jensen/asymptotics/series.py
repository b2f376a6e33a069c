r"""An asymptotic series at one value of its large parameter: where to stop, and what stopping there costs.

$$I(x) \sim e^{E} \sum_n a_n x^{-p_n}, \qquad p_0 < p_1 < \dots$$

Such a series diverges as a rule. Its terms fall up to a smallest one and rise after it; the sum is best stopped just
before the smallest term, and its error is about as large as the first term left out.

References:
    | Advanced Mathematical Methods for Scientists and Engineers (Bender & Orszag, 1978), ch. 3 and 6
    | https://doi.org/10.1007/978-1-4757-3069-2
"""

import cmath
import warnings as python_warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["AsymptoticSeries", "Contribution", "collect"]

MOST = 32
"""Terms that are looked at where nobody says how many to sum."""


@dataclass(frozen=True)
class AsymptoticSeries:
    r"""Terms of an asymptotic series and their sum up to a chosen or the best order.

    Attributes:
        terms: $a_n x^{-p_n}$, `(N,)`, real or complex, those that vanish left out; the last one is not summed.
        powers: $p_n$, how fast each term falls with $x$.
        order: how many terms `value` sums.
        exponent: $E$, a factor $e^E$ common to all terms.
        sizes: magnitudes of the terms, `(N,)`; larger than $\lvert a_n x^{-p_n} \rvert$ where parts of one cancel.
        warnings: sentences for a reader; empty where nothing is known to be wrong.

    Raises:
        ValueError: if there are no terms, `order` is not between 1 and `N`, or lengths differ.

    Example:
        >>> terms = torch.tensor([1.0, -0.5, 0.5, -0.75]).double()
        >>> series = AsymptoticSeries(terms, (1.0, 2.0, 3.0, 4.0), 2)
        >>> series.value, series.truncation_error, series.optimal_order
        (tensor(0.5000, dtype=torch.float64), 0.5, 2)
    """

    terms: Tensor
    powers: tuple[float, ...]
    order: int
    exponent: complex = 0.0
    sizes: Tensor | None = None
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what is no series."""
        if self.terms.ndim != 1 or not len(self.terms) or len(self.powers) != len(self.terms):
            raise ValueError(f"terms {tuple(self.terms.shape)} need one power each, got {len(self.powers)}")
        if not 1 <= self.order <= len(self.terms):
            raise ValueError(f"order must lie between 1 and {len(self.terms)}, got {self.order}")

    @property
    def partial_sums(self) -> Tensor:
        r"""The sums of the first 1, 2, ... terms without the factor $e^E$, `(N,)`."""
        return self.terms.cumsum(0)

    @property
    def optimal_order(self) -> int:
        """How many terms to sum: those before the smallest one, the last of equals."""
        return _before_the_smallest(self._sizes)

    @property
    def value(self) -> Tensor:
        """The sum of `order` terms; `inf` where it is too large for a number, which `log_value` never is."""
        total = self.terms[: self.order].sum()
        factor = torch.tensor(self.exponent, dtype=torch.complex128).exp()
        return total * (factor if total.is_complex() else factor.real)

    @property
    def log_value(self) -> Tensor:
        """Natural logarithm of the value: NaN where that is a negative number."""
        total = self.terms[: self.order].sum().log() + self.exponent
        return total if self.terms.is_complex() else total.real

    @property
    def truncation_error(self) -> float:
        """The size of the first term left out; 0 where there is none."""
        return self.relative_error * float(self.value.abs())

    @property
    def relative_error(self) -> float:
        """`truncation_error` over the value."""
        if self.order == len(self.terms):
            return 0.0
        total = float(self.terms[: self.order].sum().abs())
        return float(self._sizes[self.order]) / total if total else float("inf")

    @property
    def next_power(self) -> float:
        r"""The power $p$ with which the error falls: it is $O(x^{-p})$, not counting $e^E$."""
        return self.powers[self.order] if self.order < len(self.powers) else float("inf")

    @property
    def _sizes(self) -> Tensor:
        return self.terms.abs() if self.sizes is None else self.sizes


class Contribution(NamedTuple):
    r"""What one point gives to an integral: $e^{E} \sum_n a_n x^{-p_n}$, terms `(N,)` complex, with their powers."""

    exponent: complex
    terms: Tensor
    powers: tuple[float, ...]


def collect(
    contributions: Sequence[Contribution], *, order: int | None, is_real: bool, warnings: Sequence[str] = ()
) -> AsymptoticSeries:
    """Join the contributions of several points, power by power, and stop at `order` or at the best one.

    Raises:
        ValueError: if there are no contributions or `order` is below 1.

    Warns:
        UserWarning: if `order` is beyond the smallest term.
    """
    if not contributions:
        raise ValueError("no point contributes to the integral")
    if order is not None and order < 1:
        raise ValueError(f"order must be at least 1, got {order}")
    exponent = max((each.exponent for each in contributions), key=lambda each: each.real)
    exponent = complex(exponent.real, 0.0 if len(contributions) > 1 else exponent.imag)
    sums: dict[float, complex] = {}
    sizes: dict[float, float] = {}
    for each in contributions:
        factor = cmath.exp(each.exponent - exponent)
        for power, term in zip(each.powers, each.terms.tolist(), strict=True):
            key = round(power, 9)
            sums[key] = sums.get(key, 0.0) + factor * term
            sizes[key] = sizes.get(key, 0.0) + abs(factor * term)
    powers = _shared_reach(contributions, sorted(sums))
    terms = torch.tensor([sums[power] for power in powers], dtype=torch.complex128)
    size = torch.tensor([sizes[power] for power in powers], dtype=torch.float64)
    best = _before_the_smallest(size)
    sentences = list(warnings)
    if order is not None and best < min(order, len(powers)) and float(size[best]) > 0:
        sentences.insert(0, _past_the_smallest(size, order, best))
        python_warnings.warn(sentences[0], UserWarning, stacklevel=3)
    return AsymptoticSeries(
        terms.real if is_real else terms,
        tuple(powers),
        best if order is None else min(order, len(powers)),
        exponent.real if is_real else exponent,
        size,
        tuple(sentences),
    )


def _shared_reach(contributions: Sequence[Contribution], powers: list[float]) -> list[float]:
    """The powers up to which every contribution is known."""
    reach = min(each.powers[-1] for each in contributions)
    return [power for power in powers if power <= reach + 1e-9]


def _before_the_smallest(sizes: Tensor) -> int:
    smallest = float(sizes.min())
    last = int((sizes <= smallest * (1 + 1e-9)).nonzero()[-1])
    return max(last, 1)


def _past_the_smallest(sizes: Tensor, order: int, best: int) -> str:
    return (
        f"{order} terms go past the smallest one (number {best + 1}, {float(sizes[best]):.2g}): the series diverges "
        f"from there on; {best} terms are the best at this x."
    )
