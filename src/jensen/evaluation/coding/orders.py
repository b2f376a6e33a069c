r"""The two orders in which latents and pixels go onto a stack: from the bottom up, and from the top down.

Whoever codes pops a latent when its posterior is known, and pushes it when its prior is. A posterior that goes from
the bottom up, $q(h^1 \mid x) \, q(h^2 \mid h^1) \cdots$, lets each layer be popped after the one below it was pushed
upon (Bit-Swap), so that the first image needs no more bits than its largest layer takes; but a layer is cut into bins
before its prior is known. A posterior that goes from the top down, or step by step, $q(z_1 \mid x) \, q(z_2 \mid z_1,
x) \cdots$, knows the prior of each latent when the latent is drawn, so that the bins are of equal mass under that
prior and each index costs the same; but all latents are popped before the first pixel is pushed.

References:
    | Bit-Swap: Recursive Bits-Back Coding with Hierarchical Latent Variables (Kingma, Abbeel & Ho, 2019)
    | https://arxiv.org/abs/1905.06845
"""

from collections.abc import Callable

from jensen.evaluation.coding.ans import Floats, Integers, Stack
from jensen.evaluation.coding.bins import GaussianBins, Gaussians
from jensen.evaluation.coding.chain import LatentChain, Moments
from jensen.evaluation.coding.descent import LatentDescent
from jensen.evaluation.coding.pixels import grey, pop_pixels, push_pixels

__all__ = ["BottomUp", "TopDown"]

Book = Callable[[str], None]


class BottomUp:
    """Each layer is drawn, and then the one below it, or the image, is coded with it.

    Args:
        chain: the networks.
        bits: a latent unit has two to the power of this many bins.
        moments: where the units of every layer but the topmost lie.
    """

    def __init__(self, chain: LatentChain, *, bits: int, moments: tuple[Moments, ...]) -> None:
        self._chain, self._bits = chain, bits
        self._bins = [*(GaussianBins(bits, each.as_gaussians()) for each in moments), GaussianBins(bits)]

    def push(self, stack: Stack, images: Integers, book: Book) -> None:
        """Code up to as many images as there are lanes, levels `(n, pixels)`; `book` what happened at each stage."""
        bins = self._bins
        indices = bins[0].pop(stack, self._chain.recognise(0, grey(images, self._chain.levels)))
        book("back")
        h = bins[0].centres(indices)
        push_pixels(stack, images, self._chain.likelihood(h))
        book("images")
        for l in range(1, len(bins)):
            above = bins[l].pop(stack, self._chain.recognise(l, h))
            book("back")
            h = bins[l].centres(above)
            bins[l - 1].push(stack, indices, self._chain.generate(l, h))
            indices = above
        stack.push_uniform(indices.ravel(), self._bits)
        book("latents")

    def pop(self, stack: Stack, count: int) -> Integers:
        """`push` backwards, step by step."""
        bins, units = self._bins, self._chain.widths[-1]
        indices = stack.pop_uniform(count * units, self._bits).reshape(count, units)
        h = bins[-1].centres(indices)
        for l in reversed(range(1, len(bins))):
            below = bins[l - 1].pop(stack, self._chain.generate(l, h))
            h = bins[l - 1].centres(below)
            bins[l].push(stack, indices, self._chain.recognise(l, h))
            indices = below
        images = pop_pixels(stack, count, self._chain.likelihood(h))
        bins[0].push(stack, indices, self._chain.recognise(0, grey(images, self._chain.levels)))
        return images


class TopDown:
    """All latents are drawn, each in bins of equal mass under its prior, and then the image is coded with them.

    Args:
        descent: the networks.
        bits: a latent unit has two to the power of this many bins.
    """

    def __init__(self, descent: LatentDescent, *, bits: int) -> None:
        self._descent, self._bits = descent, bits

    def push(self, stack: Stack, images: Integers, book: Book) -> None:
        """Code up to as many images as there are lanes, levels `(n, pixels)`; `book` what happened at each stage."""
        drawn: list[Integers] = []

        def draw(q: Gaussians, p: Gaussians) -> Floats:
            bins = GaussianBins(self._bits, p)
            drawn.append(bins.pop(stack, q))
            return bins.centres(drawn[-1])

        likelihood = self._descent.infer(grey(images, self._descent.levels), draw)
        book("back")
        push_pixels(stack, images, likelihood)
        book("images")
        for indices in reversed(drawn):
            stack.push_uniform(indices.ravel(), self._bits)
        book("latents")

    def pop(self, stack: Stack, count: int) -> Integers:
        """`push` backwards, step by step."""
        drawn: list[tuple[GaussianBins, Integers]] = []
        posteriors: list[Gaussians] = []

        def draw(p: Gaussians) -> Floats:
            indices = stack.pop_uniform(p.mean.size, self._bits).reshape(p.mean.shape)
            drawn.append((GaussianBins(self._bits, p), indices))
            return drawn[-1][0].centres(indices)

        def know(q: Gaussians, p: Gaussians) -> Floats:
            bins, indices = drawn[len(posteriors)]
            posteriors.append(q)
            return bins.centres(indices)

        images = pop_pixels(stack, count, self._descent.generate(count, draw))
        self._descent.infer(grey(images, self._descent.levels), know)
        for (bins, indices), q in zip(reversed(drawn), reversed(posteriors), strict=True):
            bins.push(stack, indices, q)
        return images
