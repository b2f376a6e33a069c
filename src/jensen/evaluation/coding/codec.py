r"""Bits back: images as long as the negative evidence lower bound says, by asymmetric numeral systems.

Expectation: $\mathbb{E}_{q(z \mid x)}[ \log q(z \mid x) - \log p(z) - \log p(x \mid z) ]$, the length of a code.

To code an image, *pop* a latent from the stack with $q(z \mid x)$: that draws it, and takes $-\log q(z \mid x)$ from
the stack. Then *push* the image with $p(x \mid z)$ and the latent with $p(z)$. The decoder, who finds latent and
image, pushes $z$ with $q(z \mid x)$ and has the stack as it was before: the bits come back. What one image leaves is
what the next draws its latent from; only for the first the stack must hold bits that nobody needs.

With several stochastic layers there are two orders, `BottomUp` and `TopDown`, as the posterior of the model wants it.

References:
    | Practical Lossless Compression with Latent Variables using Bits Back Coding (Townsend, Bird & Barber, 2019)
    | https://arxiv.org/abs/1901.04866
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from jensen.evaluation.coding.ans import WORD, Integers, Stack, Words, random_words
from jensen.evaluation.coding.bins import check_bits
from jensen.evaluation.coding.chain import LatentChain, Moments
from jensen.evaluation.coding.descent import LatentDescent
from jensen.evaluation.coding.orders import BottomUp, TopDown
from jensen.evaluation.coding.pixels import grey

__all__ = ["BitsBack", "Coded"]

Progress = Callable[[int], None]


@dataclass(frozen=True, eq=False)
class Coded:
    r"""Images on a stack, and what they cost.

    Attributes:
        words: the stack, `(n,)`, 32 bits each.
        initial: the number of words that lay on it before the first image.
        moments: where the units lie of every layer whose bins are fitted to the images.
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
            `layers.BernoulliMLP`, `models.IWAE` and `models.LadderVAE` with any number of layers, or `models.DRAW`.
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
        check_bits(bits)
        networks = LatentDescent if hasattr(model, "infer_stepwise") else LatentChain
        self._networks: LatentDescent | LatentChain = networks(model, pixels=pixels, lanes=lanes)
        self._pixels, self._bits, self._lanes = pixels, bits, lanes
        self.levels = self._networks.levels

    def encode(self, images: NDArray[Any], *, progress: Progress | None = None) -> Coded:
        """Code images, the first one last, so that it comes out first.

        Args:
            images: levels from 0 to `levels` - 1, `(N, pixels)`.
            progress: called with the number of images that were coded since its last call; a negative one where coding
                starts anew, with more bits to begin with.

        Raises:
            ValueError: if there are no images, or they have another shape or other values.
        """
        x = self._checked(images)
        moments = tuple(self._networks.moments(grey(x, self.levels)))
        order = self._order(moments)
        groups = [x[i : i + self._lanes] for i in range(0, len(x), self._lanes)]
        initial = self._needed(groups[-1], order)
        while (account := self._attempt(groups, order, initial, progress)).lowest < WORD:
            initial += 1 + initial // 8
        return Coded(account.stack.words, initial, moments, account.images, account.latents, -account.back)

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
            moments: `Coded.moments`.

        Raises:
            ValueError: after the last image, if the stack is not what it was before the first.
        """
        stack, order = Stack(words), self._order(moments)
        for first in range(0, count, self._lanes):
            yield order.pop(stack, min(self._lanes, count - first))
        if not np.array_equal(stack.words, random_words(initial)):
            raise ValueError("the stack is not what it was before the first image was coded")

    def _attempt(
        self, groups: list[Integers], order: BottomUp | TopDown, initial: int, progress: Progress | None
    ) -> "_Account":
        """Code the groups, the first one last, until one finds too little on the stack to draw its latents from."""
        account, done = _Account(Stack(random_words(initial))), 0
        for group in reversed(groups):
            order.push(account.stack, group, account.book)
            short = account.lowest < WORD
            if progress is not None:
                progress(-done if short else len(group))
            if short:
                break
            done += len(group)
        return account

    def _needed(self, images: Integers, order: BottomUp | TopDown) -> int:
        """How many words the first group has to find on the stack, so that its latents are drawn and not made up."""
        plenty = 2 + 2 * self._lanes * sum(self._networks.widths) * self._bits // WORD
        account = _Account(Stack(random_words(plenty)))
        order.push(account.stack, images, account.book)
        return -(-(account.start - account.lowest) // WORD) + 1

    def _order(self, moments: tuple[Moments, ...]) -> BottomUp | TopDown:
        """In which latents and pixels are coded, as the model's posterior wants it."""
        networks = self._networks
        if len(moments) != networks.fitted:
            layers = f"{len(moments)} layers of latents with bins fitted to them, the model has {networks.fitted}"
            raise ValueError(f"the images were coded with {layers}")
        if isinstance(networks, LatentDescent):
            return TopDown(networks, bits=self._bits)
        return BottomUp(networks, bits=self._bits, moments=moments)

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
