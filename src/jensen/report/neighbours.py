"""Whether a model draws its training images: the nearest of them to each draw, and to each held-out image."""

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Neighbours", "nearest"]

CHUNK = 4096
"""Training images that are compared at once."""


class Neighbours(NamedTuple):
    """The nearest training image of each of some images.

    Attributes:
        place: its place in the training data, long `(N,)`.
        distance: Euclidean, over all pixels, `(N,)`.
    """

    place: Tensor
    distance: Tensor


def nearest(images: Tensor, train: Tensor) -> Neighbours:
    r"""For each image the training image at the least $\lVert x - x' \rVert_2$.

    Args:
        images: `(N, pixels)`.
        train: `(M, pixels)`.

    Raises:
        ValueError: if there is no training image, or its pixels are not as many.

    Example:
        >>> nearest(torch.tensor([[0.0, 0.9]]), torch.tensor([[1.0, 1.0], [0.0, 0.5]]))
        Neighbours(place=tensor([1]), distance=tensor([0.4000]))
    """
    if images.ndim != 2 or train.ndim != 2 or images.shape[1] != train.shape[1] or len(train) == 0:
        shapes = f"{tuple(images.shape)} and {tuple(train.shape)}"
        raise ValueError(f"images of shapes {shapes} have no neighbours; give (N, pixels) and (M, pixels), M >= 1")
    best = Neighbours(torch.zeros(len(images), dtype=torch.long), torch.full((len(images),), torch.inf))
    for start in range(0, len(train), CHUNK):
        distance, index = torch.cdist(images.float(), train[start : start + CHUNK].float()).min(1)
        closer = distance < best.distance
        best = Neighbours(torch.where(closer, index + start, best.place), torch.where(closer, distance, best.distance))
    exact = (images.float() - train[best.place].float()).norm(dim=1)
    return Neighbours(best.place, exact)
