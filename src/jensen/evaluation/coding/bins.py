r"""A Gaussian latent cut into bins of equal prior mass, so that its index can be coded.

The bins of $\mathcal{N}(m, s^2)$ are $[e_i, e_{i+1})$, $e_i = m + s \, \Phi^{-1}(i / 2^b)$. A Gaussian
$\mathcal{N}(\mu, \sigma^2)$ gives the bin $i$ the mass $\Phi((e_{i+1} - \mu) / \sigma) - \Phi((e_i - \mu) / \sigma)$,
which is coded bit by bit, the first one saying on which side of the median the bin lies: $b$ binary decisions in
place of a table of $2^b$ masses. Each is the share of the right half in the mass of a node of this tree, a quotient
that stays accurate far out in the tails.

References:
    | Practical Lossless Compression with Latent Variables using Bits Back Coding (Townsend, Bird & Barber, 2019)
    | https://arxiv.org/abs/1901.04866
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from jensen.evaluation.coding.ans import Floats, Integers, Stack

__all__ = ["GaussianBins", "Gaussians", "check_bits"]

MOST_BITS = 20


class Gaussians(NamedTuple):
    """Independent Gaussians: `mean` and `scale`, `(*batch, D)` each."""

    mean: Floats
    scale: Floats


class GaussianBins:
    r"""Bins of equal mass under $\mathcal{N}(m, s^2)$, for each of D units, or of each unit of each image.

    Args:
        bits: the logarithm $b$ of the number of bins, to base 2.
        prior: $m$ and $s$, `(D,)` or `(*batch, D)` each; 0 and 1 where None.

    Raises:
        ValueError: if `bits` is not between 1 and 20.

    Example:
        >>> bins = GaussianBins(2)
        >>> bins.centres(np.arange(4)).round(3)
        array([-1.15 , -0.319,  0.319,  1.15 ])
        >>> bins.mass(np.arange(4), Gaussians(np.zeros(4), np.ones(4))).round(3)
        array([0.25, 0.25, 0.25, 0.25])
    """

    def __init__(self, bits: int, prior: Gaussians | None = None) -> None:
        check_bits(bits)
        self.bits, self.prior = bits, prior or Gaussians(np.zeros(1), np.ones(1))
        self._edges, self._centres = _cut(bits)

    def centres(self, indices: NDArray[np.integer]) -> Floats:
        """The median of each bin, the latent that the decoder sees, `(*batch, D)`."""
        found: Floats = self.prior.mean + self.prior.scale * self._centres[indices]
        return found

    def push(self, stack: Stack, indices: NDArray[np.integer], q: Gaussians) -> None:
        """Code bins `(*batch, D)` with their masses under Gaussians."""
        bits, probability = self._path(indices.ravel(), self._standard(q))
        stack.push_bits(bits.ravel(), probability.ravel())

    def pop(self, stack: Stack, q: Gaussians) -> Integers:
        """Draw bins `(*batch, D)` from the stack, with their masses under Gaussians."""
        standard = self._standard(q)
        low = np.zeros(q.mean.size, dtype=np.int32)
        for level in range(self.bits):
            half = 1 << (self.bits - level - 1)
            low += half * stack.pop_bits(self._right_share(low, half, standard))
        return low.reshape(q.mean.shape)

    def mass(self, indices: NDArray[np.integer], q: Gaussians) -> Floats:
        """What Gaussians give to bins, the product of the decisions, `(*batch, D)`."""
        bits, probability = self._path(indices.ravel(), self._standard(q))
        found: Floats = np.where(bits == 1, probability, 1.0 - probability).prod(0)
        return found.reshape(indices.shape)

    def _standard(self, q: Gaussians) -> Gaussians:
        """The Gaussians in the units of the bins, `(n,)` each."""
        return Gaussians(((q.mean - self.prior.mean) / self.prior.scale).ravel(), (q.scale / self.prior.scale).ravel())

    def _path(self, indices: NDArray[np.integer], q: Gaussians) -> tuple[Integers, Floats]:
        """The decisions from the root to the bins and the probabilities of a one in each, `(bits, n)`."""
        shift = np.arange(self.bits - 1, -1, -1, dtype=np.int32)[:, None]
        decisions = (indices >> shift) & 1
        low = (indices >> (shift + 1)) << (shift + 1)
        return decisions.astype(np.int32), self._right_share(low, 1 << shift, q)

    def _right_share(self, low: NDArray[np.integer], half: int | NDArray[np.integer], q: Gaussians) -> Floats:
        """Of the mass between the edges `low` and `low + 2 half`, the share above the edge in the middle."""
        places = np.stack([low, low + half, low + 2 * half])
        edges = (self._edges[places] - q.mean) / q.scale
        below, above = _between(edges[:2], edges[1:])
        whole = below + above
        share: Floats = np.where(whole > 0, above / np.where(whole > 0, whole, 1.0), edges[0] < 0)
        return share


def check_bits(bits: int) -> None:
    """Refuse a number of bits that no unit is cut into.

    Raises:
        ValueError: if `bits` is not between 1 and 20.
    """
    if not 1 <= bits <= MOST_BITS:
        raise ValueError(f"latents take between 1 and {MOST_BITS} bits each, got {bits}")


@cache
def _cut(bits: int) -> tuple[Floats, Floats]:
    """Edges and medians of the bins of a standard Gaussian."""
    count = 1 << bits
    return ndtri(np.arange(count + 1) / count), ndtri((np.arange(count) + 0.5) / count)


def _between(a: Floats, b: Floats) -> Floats:
    """The standard normal mass between a and b, from the tail in which it is the difference of small numbers."""
    flip = a > 0
    found: Floats = ndtr(np.where(flip, -a, b)) - ndtr(np.where(flip, -b, a))
    return found
