"""What the samplers ask of their settings, and a count of the points at which a density is no number."""

import math
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from jensen._targets import Target

__all__ = ["CountedTerms", "check_target", "whole"]


class CountedTerms:
    """Terms of log-densities, `(B, d)` to `(J, B)`, that count the points where one of them is NaN or `+inf`.

    Args:
        terms: what is counted.
        groups: each batch is so many groups of equal size, one after the other, that are counted apart.
    """

    def __init__(self, terms: Callable[[Tensor], Tensor], *, groups: int = 1) -> None:
        self._terms, self._groups = terms, groups
        self._found = torch.zeros(groups, dtype=torch.long)

    def __call__(self, points: Tensor) -> Tensor:
        """The terms as they are."""
        values = self._terms(points)
        seen = values.detach()
        self._found = self._found.to(seen.device) + (seen.isnan() | (seen == math.inf)).any(0).view(
            self._groups, -1
        ).sum(1)
        return values

    @property
    def not_finite(self) -> int:
        """How many points so far."""
        return int(self._found.sum())

    @property
    def by_group(self) -> Tensor:
        """How many points of each group so far, `(groups,)`."""
        return self._found


def check_target(target: object) -> None:
    """Refuse anything but a `Target`.

    Raises:
        ValueError: naming what came instead.
    """
    if not isinstance(target, Target):
        raise ValueError(f"target must be a Target(log_likelihood, prior), got {type(target).__name__}")


def whole(**settings: Any) -> tuple[int, ...]:
    """The settings as integers, those of numpy and torch included.

    Raises:
        ValueError: naming the first that is no whole number.

    Example:
        >>> whole(chains=torch.tensor(4), draws=10)
        (4, 10)
    """
    return tuple(_index(name, value) for name, value in settings.items())


def _index(name: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError as error:
        raise ValueError(f"{name} must be a whole number, got {value!r}") from error
