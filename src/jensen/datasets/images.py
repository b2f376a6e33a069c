"""What every data set of images is: three splits of flat grey levels, and the shape that they had."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Images", "Labels", "in_three"]


class Labels(NamedTuple):
    """The class of every image, whole numbers from 0, one long tensor `(N,)` for each split."""

    train: Tensor
    validation: Tensor
    test: Tensor


@dataclass(frozen=True, eq=False, repr=False)
class Images:
    """Images in three splits, each a float32 tensor `(N, pixels)` of grey levels in [0, 1].

    Attributes:
        name: what the data are called, in tables and run folders.
        train: the images to fit to, `(N, pixels)`.
        validation: the images to choose by, `(N, pixels)`.
        test: the images to report on, `(N, pixels)`.
        shape: `(height, width)` or `(height, width, channels)`; `image.reshape(shape)` is the picture, row by row.
        labels: the classes, or `None` where the data have none.

    Raises:
        ValueError: if a split is no float32 matrix, is empty, disagrees with `shape`, holds a value outside [0, 1]
            (NaN included), or has not one label an image.

    Example:
        >>> split = torch.tensor([[0.0, 0.5, 1.0, 0.0]])
        >>> Images("tiny", split, split, split, (2, 2))
        Images('tiny', train=1, validation=1, test=1, shape=(2, 2), labels=False)
    """

    name: str
    train: Tensor
    validation: Tensor
    test: Tensor
    shape: tuple[int, ...]
    labels: Labels | None = None

    def __post_init__(self) -> None:
        """Check every split once, so that nobody downstream has to."""
        for split in ("train", "validation", "test"):
            images: Tensor = getattr(self, split)
            _check_split(f"{self.name}: {split}", images, self.shape)
            if self.labels is not None:
                _check_labels(f"{self.name}: {split}", getattr(self.labels, split), len(images))

    def __repr__(self) -> str:
        """The sizes, not the pixels."""
        sizes = f"train={len(self.train)}, validation={len(self.validation)}, test={len(self.test)}"
        return f"Images({self.name!r}, {sizes}, shape={self.shape}, labels={self.labels is not None})"

    @property
    def pixels(self) -> int:
        """The number of values in one image."""
        return math.prod(self.shape)


def in_three(values: Tensor, sizes: tuple[int, int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Consecutive pieces of the given sizes along the first axis.

    Raises:
        ValueError: if the sizes do not add up.

    Example:
        >>> in_three(torch.arange(4), (2, 1, 1))
        (tensor([0, 1]), tensor([2]), tensor([3]))
    """
    if sum(sizes) != len(values):
        raise ValueError(f"a tensor {tuple(values.shape)} cannot be cut in {sizes}: they add up to {sum(sizes)}")
    first, second, _ = sizes
    return values[:first], values[first : first + second], values[first + second :]


def _check_split(where: str, images: Tensor, shape: tuple[int, ...]) -> None:
    if images.dtype != torch.float32 or images.ndim != 2:
        found = f"{images.dtype} {tuple(images.shape)}"
        raise ValueError(f"{where} images must be float32 of shape (N, pixels), got {found}; flatten each image")
    if images.shape[1] != math.prod(shape):
        raise ValueError(f"{where} images {tuple(images.shape)} do not fit the image shape {shape}")
    if len(images) == 0:
        raise ValueError(f"{where} holds no image; give at least one")
    low, high = (float(value) for value in images.aminmax())
    if math.isnan(low):
        raise ValueError(f"{where} images hold NaN; clean the data first")
    if low < 0.0 or high > 1.0:
        raise ValueError(f"{where} grey levels must lie in [0, 1], got [{low:g}, {high:g}]; divide by the white level")


def _check_labels(where: str, labels: Tensor, size: int) -> None:
    if labels.dtype != torch.int64 or labels.shape != (size,):
        found = f"{labels.dtype} {tuple(labels.shape)}"
        raise ValueError(f"{where} labels must be one int64 an image, torch.int64 ({size},), got {found}")
