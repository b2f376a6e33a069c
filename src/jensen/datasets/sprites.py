"""Small pictures made of known factors, every combination once: a world to hold codes against the truth."""

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

__all__ = ["SHAPES", "FactorWorld", "load"]

SHAPES = ("disc", "square", "star")
"""The values of the factor `shape`, in order."""

EDGE = 0.5
"""Pixels over which the edge of a sprite fades."""


@dataclass(frozen=True, eq=False, repr=False)
class FactorWorld:
    """Images and the factors that they were made from.

    Attributes:
        images: grey levels in [0, 1], `(N, pixels)`.
        factors: the value of each factor, whole numbers from 0, long `(N, F)`.
        names: of the factors, in the order of the columns.
        shape: `(height, width)` of an image.

    Raises:
        ValueError: if images, factors and names do not fit each other.

    Example:
        >>> FactorWorld(torch.zeros(2, 4), torch.tensor([[0], [1]]), ("x",), (2, 2))
        FactorWorld(images=2, shape=(2, 2), factors=x 2)
    """

    images: Tensor
    factors: Tensor
    names: tuple[str, ...]
    shape: tuple[int, int]

    def __post_init__(self) -> None:
        """Refuse images of other factors than they are said to have."""
        expected = (len(self.factors), prod(self.shape)), (len(self.images), len(self.names))
        found = tuple(self.images.shape), tuple(self.factors.shape)
        if found != expected:
            raise ValueError(f"images and factors have shapes {found}, expected {expected}")

    def __repr__(self) -> str:
        """The sizes, not the pixels."""
        factors = ", ".join(f"{name} {size}" for name, size in zip(self.names, self.sizes, strict=True))
        return f"FactorWorld(images={len(self.images)}, shape={self.shape}, factors={factors})"

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many values each factor takes."""
        return tuple((self.factors.amax(0) + 1).tolist())


def load(*, side: int = 16, scales: int = 3, places: int = 8) -> FactorWorld:
    r"""One bright sprite on black: its shape, its size and its place, each independent of the others.

    A sprite of radius $r$ at $c$ is the set where $f((p - c) / r) \le 1$, with $f$ the Euclidean norm (disc), the
    largest coordinate (square), or $(\sqrt{|u|} + \sqrt{|v|})^2$ stretched by a quarter (star), its edge faded over
    half a pixel. Neighbouring places are one pixel apart, so that images of one shape and size are translations of each
    other.

    Args:
        side: pixels of a side.
        scales: how many radii, from two to three sixteenths of the side.
        places: values of x, and of y.

    Returns:
        All `3 * scales * places**2` images, with the factors `shape`, `scale`, `x` and `y`.

    Raises:
        ValueError: if a number is below one, or the sprites would leave the image.

    Example:
        >>> load()
        FactorWorld(images=576, shape=(16, 16), factors=shape 3, scale 3, x 8, y 8)

    References:
        | dSprites: Disentanglement testing Sprites dataset (Matthey, Higgins, Hassabis & Lerchner, 2017)
        | https://github.com/google-deepmind/dsprites-dataset
    """
    if min(side, scales, places) < 1 or places > side // 2 + 1:
        raise ValueError(
            f"sprites need 1 to {side // 2 + 1} places in {side} pixels and a scale or more, got {places} and {scales}"
        )
    factors = torch.cartesian_prod(*(torch.arange(n) for n in (len(SHAPES), scales, places, places)))
    kind, scale, x, y = factors.T
    radius = side / 8 * (1 + scale / max(scales - 1, 1) / 2)
    first = (side - places) / 2
    pixel = torch.arange(side, dtype=torch.float32)
    u = ((pixel - (first + x[:, None])) / radius[:, None]).abs()[:, None, :]  # (N, 1, side)
    v = ((pixel - (first + y[:, None])) / radius[:, None]).abs()[:, :, None]  # (N, side, 1)
    levels = torch.stack([(u.square() + v.square()).sqrt(), torch.maximum(u, v), (u.sqrt() + v.sqrt()).square() / 1.25])
    inside = levels[kind, torch.arange(len(factors))]
    images = torch.sigmoid((1 - inside) * radius[:, None, None] / EDGE).flatten(1)
    return FactorWorld(images, factors, ("shape", "scale", "x", "y"), (side, side))
