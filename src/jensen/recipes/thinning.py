"""A few data in place of all of them."""

from typing import TypeVar

import torch
from torch import Tensor

from jensen._contracts import Pairs

__all__ = ["thinned"]

Data = TypeVar("Data", Tensor, Pairs)


def thinned(data: Data, count: int | None) -> Data:
    """So many of the data, evenly spaced from the first on: files that are sorted by class give every class.

    Args:
        data: a tensor or pairs.
        count: how many; all of them where None.

    Example:
        >>> thinned(torch.arange(10), 3)
        tensor([0, 3, 6])
        >>> thinned(torch.arange(10), 6)
        tensor([0, 1, 3, 5, 6, 8])
    """
    if count is None or count >= len(data):
        return data
    return data[torch.arange(count) * len(data) // count]
