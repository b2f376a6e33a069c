"""What the families ask of their parameters where torch's own constraints ask less."""

import math

import torch
from torch import Tensor
from torch.distributions import constraints

__all__ = ["check_floating", "check_positive", "check_same_event", "finite", "finite_vector"]


class _FiniteNumber(constraints.Constraint):
    """Numbers; neither NaN nor infinite, which `constraints.real` lets pass."""

    def check(self, value: Tensor) -> Tensor:
        """Whether each entry is one."""
        return value.isfinite()


finite = _FiniteNumber()
finite_vector = constraints.independent(finite, 1)  # type: ignore[no-untyped-call]


def check_floating(logits: Tensor) -> None:
    """Refuse logits that are integers, booleans or complex.

    Raises:
        ValueError: naming shape and type.
    """
    if not logits.is_floating_point():
        raise ValueError(
            f"logits {tuple(logits.shape)} are {logits.dtype}; give floating-point ones, as logits.float()"
        )


def check_same_event(q_shape: torch.Size, p_shape: torch.Size) -> None:
    """Refuse a divergence between distributions over vectors of different sizes.

    Raises:
        ValueError: naming both shapes.
    """
    if q_shape != p_shape:
        raise ValueError(f"events have shapes {tuple(q_shape)} and {tuple(p_shape)}; a divergence needs the same")


def check_positive(**numbers: float | Tensor) -> None:
    """Refuse numbers that are not positive and finite; a tensor is let pass, since to look at it is to wait for it.

    Raises:
        ValueError: naming the number.
    """
    for name, number in numbers.items():
        if not isinstance(number, Tensor) and not (math.isfinite(number) and number > 0):
            raise ValueError(f"{name} is {number}; it must be positive and finite")
