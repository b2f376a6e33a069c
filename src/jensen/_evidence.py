"""The logarithm of a normalising constant, and how sure we are of it: what every method of `evidence` returns."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import NormalDist
from types import MappingProxyType
from typing import Literal, get_args

__all__ = ["Diagnostic", "Evidence", "Kind"]

Kind = Literal["estimate", "approximation", "bound", "score"]
"""What a number claims to be: an estimate of log Z that becomes exact with more draws; an approximation that does not;
a lower bound in expectation; or a score that is used in the place of log Z and does not estimate it."""

Diagnostic = float | int | bool | str | tuple[float, ...]
"""A number, a word, or one number for each of several parts."""


@dataclass(frozen=True)
class Evidence:
    r"""A log-evidence with its standard error, both in nats.

    $$\log Z = \log \int p(y \mid \theta)\, p(\theta)\, d\theta$$

    Attributes:
        log_z: the value.
        std_error: the standard error of `log_z`; NaN where no honest one exists, and then `warnings` says why; 0 where
            the value comes without randomness.
        diagnostics: what the method knows of its own reliability, by name.
        method: what made it.
        kind: `estimate`, `approximation`, `bound` or `score`.
        warnings: sentences for a reader, the gravest first; empty where nothing is known to be wrong.

    Raises:
        ValueError: if `std_error` is negative, `log_z` is NaN or `kind` is unknown.

    Example:
        >>> evidence = Evidence(-257.2326, 0.0007, {"iterations": 3}, method="bridge")
        >>> print(evidence)
        log Z = -257.2326 ± 0.0007 (bridge)
        >>> low, high = evidence.interval()
        >>> round(low, 4), round(high, 4)
        (-257.234, -257.2312)
    """

    log_z: float
    std_error: float
    diagnostics: Mapping[str, Diagnostic] = field(default_factory=dict)
    method: str = ""
    kind: Kind = "estimate"
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what nobody could read, and keep a diagnosis that nobody can change."""
        if math.isnan(self.log_z):
            raise ValueError(f"{self.method or 'the method'}: log Z is NaN")
        if self.std_error < 0:
            raise ValueError(f"a standard error cannot be negative, got {self.std_error}")
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind must be one of {', '.join(get_args(Kind))}, got {self.kind!r}")
        object.__setattr__(self, "diagnostics", MappingProxyType(dict(self.diagnostics)))

    def __str__(self) -> str:
        """The value with as many digits as its error allows."""
        name = {"estimate": "log Z =", "approximation": "log Z ≈", "bound": "log Z ≥", "score": "score"}[self.kind]
        has_error = 0 < self.std_error < math.inf
        digits = min(max(-math.floor(math.log10(self.std_error)), 1), 10) if has_error else 4
        error = f" ± {self.std_error:.{digits}f}" if has_error else ""
        return f"{name} {self.log_z:.{digits}f}{error}{f' ({self.method})' if self.method else ''}"

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        r"""The central interval $\log Z \pm z\, \mathrm{se}$ of a normal approximation on the log scale.

        Raises:
            ValueError: if `level` is not between 0 and 1.
        """
        if not 0 < level < 1:
            raise ValueError(f"level must lie between 0 and 1, got {level}")
        half = NormalDist().inv_cdf((1 + level) / 2) * self.std_error
        return self.log_z - half, self.log_z + half
