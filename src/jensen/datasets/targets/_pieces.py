"""What the files of this folder share: numbers in float64, and densities with a type."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution

__all__ = ["double", "log_prob", "zeros"]


def double(values: Sequence[float] | float) -> Tensor:
    """A tensor in float64."""
    return torch.tensor(values, dtype=torch.float64)


def zeros(*shape: int) -> Tensor:
    """Zeros in float64."""
    return torch.zeros(shape, dtype=torch.float64)


def log_prob(distribution: Distribution, value: Tensor) -> Tensor:
    """The log-density, which torch leaves without a type."""
    found: Tensor = distribution.log_prob(value)
    return found
