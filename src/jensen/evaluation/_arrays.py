"""What every score asks of the arrays that it is given."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["Array", "class_probabilities", "column", "columns", "real_numbers", "unit_column"]

Array = Tensor | np.ndarray[Any, Any] | Sequence[float]

_SLACK = 1e-3
_ROUNDING = 1e-6


def real_numbers(name: str, values: Array) -> Tensor:
    """The values in double precision on the CPU, without gradient.

    Raises:
        ValueError: if there are none, one is NaN, or they are no real numbers.
    """
    try:
        numbers = values.detach() if isinstance(values, Tensor) else torch.from_numpy(np.array(values))
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{name} is no tensor, array or list of numbers but {type(values).__name__}") from None
    if numbers.is_complex():
        raise ValueError(f"{name} is complex; give real numbers")
    numbers = numbers.to("cpu", torch.float64)
    if numbers.numel() == 0:
        raise ValueError(f"{name} of shape {tuple(numbers.shape)} is empty; give at least one datum")
    if numbers.isnan().any():
        raise ValueError(f"{name} holds {int(numbers.isnan().sum())} NaN among {numbers.numel()} numbers")
    return numbers


def column(name: str, values: Array) -> Tensor:
    """One real number for each datum, `(N,)`.

    Raises:
        ValueError: if the shape is another.
    """
    numbers = real_numbers(name, values)
    if numbers.ndim != 1:
        raise ValueError(f"{name} has shape {tuple(numbers.shape)}; expected one number for each datum, (N,)")
    return numbers


def columns(**named: Array) -> tuple[Tensor, ...]:
    """Several of `column`, all of one length.

    Raises:
        ValueError: naming the lengths that differ.
    """
    found = {name: column(name, values) for name, values in named.items()}
    if len({len(numbers) for numbers in found.values()}) > 1:
        lengths = ", ".join(f"{name} {len(numbers)}" for name, numbers in found.items())
        raise ValueError(f"lengths differ: {lengths}; give one number of each kind for each datum")
    return tuple(found.values())


def unit_column(name: str, values: Array) -> Tensor:
    """One number between 0 and 1 for each datum, `(N,)`; what rounding has put outside is put back.

    Raises:
        ValueError: if a number lies outside, naming the range.
    """
    numbers = column(name, values)
    if numbers.min() < -_ROUNDING or numbers.max() > 1 + _ROUNDING:
        span = f"[{numbers.min():.4g}, {numbers.max():.4g}]"
        raise ValueError(f"{name} spans {span}; expected numbers between 0 and 1")
    return numbers.clamp(0, 1)


def class_probabilities(probabilities: Array, targets: Array) -> tuple[Tensor, Tensor]:
    """Probabilities `(N, C)` and classes `(N,)`, long.

    Raises:
        ValueError: if shapes do not agree, a row does not sum to one, or a target is no class.
    """
    rows = real_numbers("probabilities", probabilities)
    if rows.ndim != 2 or rows.shape[1] < 2:
        raise ValueError(
            f"probabilities have shape {tuple(rows.shape)}; expected (N, classes) with two classes or more"
        )
    classes = column("targets", targets)
    if len(classes) != len(rows):
        raise ValueError(f"{len(rows)} rows of probabilities and {len(classes)} targets; give one target for each row")
    if rows.min() < 0 or (rows.sum(-1) - 1).abs().max() > _SLACK:
        raise ValueError(
            "each row of probabilities must be non-negative and sum to one; are they logits? take a softmax"
        )
    labels = classes.long()
    if not torch.equal(labels.to(classes), classes) or labels.min() < 0 or labels.max() >= rows.shape[1]:
        span = f"[{classes.min():.4g}, {classes.max():.4g}]"
        raise ValueError(f"targets span {span}; expected whole numbers from 0 to {rows.shape[1] - 1}")
    return rows, labels
