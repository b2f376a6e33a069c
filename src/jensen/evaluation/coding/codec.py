r"""Bits back: images as long as the negative evidence lower bound says, by asymmetric numeral systems.

Expectation: $\mathbb{E}_{q(z \mid x)}[ \log q(z \mid x) - \log p(z) - \log p(x \mid z) ]$, the length of a code.

To code an image, *pop* a latent from the stack with $q(z \mid x)$: that draws it, and takes $-\log q(z \mid x)$ from
the stack. Then *push* the image with $p(x \mid z)$ and the latent with $p(z)$. The decoder, who finds latent and
image, pushes $z$ with $q(z \mid x)$ and has the stack as it was before: the bits come back. What one image leaves is
what the next draws its latent from; only for the first the stack must hold bits that nobody needs.

With several stochastic layers each is popped after the one below it was pushed upon (Bit-Swap), so that the first image
needs no more of those bits than the largest layer.

References:
    | Practical Lossless Compression with Latent Variables using Bits Back Coding (Townsend, Bird & Barber, 2019)
    | https://arxiv.org/abs/1901.04866
    | Bit-Swap: Recursive Bits-Back Coding with Hierarchical Latent Variables (Kingma, Abbeel & Ho, 2019)
    | https://arxiv.org/abs/1905.06845
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from jensen.evaluation.coding.ans import WORD, Floats, Integers, Stack, Words, random_words
from jensen.evaluation.coding.bins import GaussianBins
from jensen.evaluation.coding.chain import LatentChain, Moments
from jensen.evaluation.coding.pixels import levels_of, pop_pixels, push_pixels

__all__ = ["BitsBack", "Coded"]

Progress = Callable[[int], None]


@dataclass(frozen=True, eq=False)
class Coded:
    r"""Images on a stack, and what they cost.

    Attributes:
        words: the stack, `(n,)`, 32 bits each.
        initial: the number of words that lay on it before the first image.
        moments: where the units of every layer but the topmost lie.
        images: $-\sum \log_2 p(x \mid z)$ at the latents that were drawn.
        latents: $-\sum \log_2 p(z)$, of bins.
        back: $-\sum \log_2 q(z \mid x)$, of bins: the bits that came back.
    """

    words: Words
    initial: int
    moments: tuple[Moments, ...]
    images: float
    latents: float
    back: float

    @property
    def bits(self) -> int:
        """The length of the stack."""
        return WORD * len(self.words)

    @property
    def net_bits(self) -> int:
        """The length of the stack without what lay on it before the first image."""
        return self.bits - WORD * self.initial

    @property
    def content(self) -> float:
        """What the symbols were worth, `images` and `latents` less `back`: no coder that codes them can do better."""
        return self.images + self.latents - self.back


class BitsBack:
    """A coder and decoder of images by a trained model.

    Args:
        model: with Gaussian latents and pixels of finitely many levels, such as `models.VAE` with
            `layers.BernoulliMLP`, or `models.IWAE` with any number of layers.
        pixels: the number of values in an image.
        bits: a latent unit has two to the power of this many bins.
        lanes: how many images pass through the networks together. More are faster for large networks, and need so many
            times more bits to begin with.

    Attributes:
        levels: how many levels a pixel has.

    Raises:
        ValueError: if the model cannot code images, or a number is out of range.
        ModuleNotFoundError: if `constriction` is not installed.

    Example:
        >>> vae = models.VAE(encoder=GaussianMLP(16, (8,), 2), decoder=BernoulliMLP(2, (8,), 16), latent=2)
        >>> images = np.random.default_rng(0).integers(0, 2, (30, 16))
        >>> codec = BitsBack(vae, pixels=16)
        >>> coded = codec.encode(images)
        >>> bool((codec.decode(coded, 30) == images).all())
        True

    References:
        | Practical Lossless Compression with Latent Variables using Bits Back Coding (Townsend, Bird & Barber, 2019)
        | https://arxiv.org/abs/1901.04866
    """

    def __init__(self, model: nn.Module, *, pixels: int, bits: int = 12, lanes: int = 1) -> None:
        if lanes < 1:
            raise ValueError(f"lanes must be at least 1, got {lanes}")
        self._chain = LatentChain(model, pixels=pixels, lanes=lanes)
        self._top = GaussianBins(bits)
        self._pixels, self._bits, self._lanes = pixels, bits, lanes
        self.levels = levels_of(self._chain.likelihood(np.zeros((1, self._chain.widths[0]))))

    def encode(self, images: NDArray[Any], *, progress: Progress | None = None) -> Coded:
        """Code images, the first one last, so that it comes out first.

        Args:
            images: levels from 0 to `levels` - 1, `(N, pixels)`.
            progress: called with the number of images that were coded since its last call.

        Raises:
            ValueError: if there are no images, or they have another shape or other values.
        """
        x = self._checked(images)
        moments = tuple(self._chain.moments(self._grey(x)))
        bins = self._bins(moments)
        groups = [x[i : i + self._lanes] for i in range(0, len(x), self._lanes)]
        initial = self._needed(groups[-1], bins)
        stack = Stack(random_words(initial))
        account = _Account(stack)
        for group in reversed(groups):
            self._push(stack, group, bins, account)
            if progress is not None:
                progress(len(group))
        return Coded(stack.words, initial, moments, account.images, account.latents, -account.back)

    def decode(self, coded: Coded, count: int) -> Integers:
        """The `count` images that were coded, levels `(count, pixels)`; `decode_groups` tells more."""
        groups = self.decode_groups(coded.words, count, initial=coded.initial, moments=coded.moments)
        return np.concatenate(list(groups))

    def decode_groups(
        self, words: Words, count: int, *, initial: int, moments: tuple[Moments, ...] = ()
    ) -> Iterator[Integers]:
        """The images, one group of lanes after the other, levels `(n, pixels)`.

        Args:
            words: the stack.
            count: how many images lie on it.
            initial: how many words lay on it before the first image.
            moments: where the units of every layer but the topmost lie.

        Raises:
            ValueError: after the last image, if the stack is not what it was before the first.
        """
        stack, bins = Stack(words), self._bins(moments)
        for first in range(0, count, self._lanes):
            yield self._pop(stack, min(self._lanes, count - first), bins)
        if not np.array_equal(stack.words, random_words(initial)):
            raise ValueError("the stack is not what it was before the first image was coded")

    def _push(self, stack: Stack, images: Integers, bins: list[GaussianBins], account: "_Account") -> None:
        """Code a group of images."""
        indices = bins[0].pop(stack, self._chain.recognise(0, self._grey(images)))
        account.book("back")
        h = bins[0].centres(indices)
        push_pixels(stack, images, self._chain.likelihood(h))
        account.book("images")
        for l in range(1, len(bins)):
            above = bins[l].pop(stack, self._chain.recognise(l, h))
            account.book("back")
            h = bins[l].centres(above)
            bins[l - 1].push(stack, indices, self._chain.generate(l, h))
            indices = above
        stack.push_uniform(indices.ravel(), self._bits)
        account.book("latents")

    def _pop(self, stack: Stack, count: int, bins: list[GaussianBins]) -> Integers:
        """`_push` backwards, step by step."""
        units = self._chain.widths[-1]
        indices = stack.pop_uniform(count * units, self._bits).reshape(count, units)
        h = bins[-1].centres(indices)
        for l in reversed(range(1, len(bins))):
            below = bins[l - 1].pop(stack, self._chain.generate(l, h))
            h = bins[l - 1].centres(below)
            bins[l].push(stack, indices, self._chain.recognise(l, h))
            indices = below
        images = pop_pixels(stack, count, self._chain.likelihood(h))
        bins[0].push(stack, indices, self._chain.recognise(0, self._grey(images)))
        return images

    def _needed(self, images: Integers, bins: list[GaussianBins]) -> int:
        """How many words the first group has to find on the stack, so that its latents are drawn and not made up."""
        plenty = 2 + 2 * self._lanes * sum(self._chain.widths) * self._bits // WORD
        account = _Account(Stack(random_words(plenty)))
        self._push(account.stack, images, bins, account)
        return -(-(account.start - account.lowest) // WORD) + 1

    def _bins(self, moments: tuple[Moments, ...]) -> list[GaussianBins]:
        if len(moments) != len(self._chain.widths) - 1:
            layers = f"{len(moments)} layers of latents below the topmost, the model has {len(self._chain.widths) - 1}"
            raise ValueError(f"the images were coded with {layers}")
        return [*(GaussianBins(self._bits, each.as_gaussians()) for each in moments), self._top]

    def _grey(self, images: Integers) -> Floats:
        found: Floats = images / (self.levels - 1.0)
        return found

    def _checked(self, images: NDArray[Any]) -> Integers:
        if images.ndim != 2 or images.shape[1] != self._pixels or not len(images):
            raise ValueError(f"images have shape {images.shape}; this model codes (N, {self._pixels}), N at least 1")
        if images.dtype.kind not in "biu" or images.min() < 0 or images.max() >= self.levels:
            what = f"{images.dtype} values from {images.min()} to {images.max()}"
            raise ValueError(f"images hold {what}; this model codes whole numbers from 0 to {self.levels - 1}")
        return images.astype(np.int32)


class _Account:
    """Where the bits of a stack went, and how low it was."""

    def __init__(self, stack: Stack) -> None:
        self.stack, self.start, self.lowest, self._content = stack, stack.bits, stack.bits, stack.content
        self.images = self.latents = self.back = 0.0

    def book(self, name: str) -> None:
        """Put down what was pushed or popped since the last entry."""
        setattr(self, name, getattr(self, name) + self.stack.content - self._content)
        self._content, self.lowest = self.stack.content, min(self.lowest, self.stack.bits)
