"""What a set of images weighs: coded with bits back, by its bound, and by other coders."""

import math
from dataclasses import dataclass

from jensen.evaluation.coding.codec import Coded
from jensen.evaluation.coding.peers import Peer
from jensen.evaluation.results import BoundEstimate

__all__ = ["Weighing"]


@dataclass(frozen=True, eq=False)
class Weighing:
    r"""The negative bound of images and the length of their code.

    Attributes:
        shape: `(N, height, width)` or `(N, height, width, channels)`.
        levels: how many levels a pixel has.
        latents: the number of latent units.
        bits: a latent unit has two to the power of this many bins.
        elbo: the bound of the same images, in nats for each.
        samples: how many draws for each image it was measured with.
        coded: the code.
        file_bytes: length of the file, header and checksums included.
        model_bytes: length of the model's weights, without which no file can be read.
        peers: other coders.
        seconds: what coding took.
        verified: whether the file was decoded and compared.

    Example:
        >>> import numpy as np
        >>> coded = Coded(np.zeros(4, np.uint32), 1, (), 120.0, 24.0, 46.0)
        >>> elbo = BoundEstimate("elbo", 1, -math.log(2) * 48, 0.0, 0.01)
        >>> found = Weighing((2, 4, 4), 2, 1, 12, elbo, 100, coded, 80, 400, (), 0.1, True)
        >>> found.bound, found.net, found.content, found.whole, found.ratio
        (3.0, 3.0, 3.0625, 20.0, 1.0)
    """

    shape: tuple[int, ...]
    levels: int
    latents: int
    bits: int
    elbo: BoundEstimate
    samples: int
    coded: Coded
    file_bytes: int
    model_bytes: int
    peers: tuple[Peer, ...]
    seconds: float
    verified: bool

    @property
    def dimensions(self) -> int:
        """The number of pixels of all images."""
        return math.prod(self.shape)

    @property
    def bound(self) -> float:
        """The negative bound, in bits per dimension."""
        return -self.elbo.value / math.log(2) * self.shape[0] / self.dimensions

    @property
    def bound_error(self) -> float:
        """The Monte Carlo error of `bound`."""
        return self.elbo.mc_error / math.log(2) * self.shape[0] / self.dimensions

    @property
    def spread(self) -> float:
        """How far one draw for each image strays from `bound`, in bits per dimension; the code has one draw."""
        return self.bound_error * math.sqrt(self.samples)

    @property
    def content(self) -> float:
        """The bound at the latents that were drawn and at their bins, in bits per dimension."""
        return self.coded.content / self.dimensions

    @property
    def net(self) -> float:
        """The stack without the bits that lay there before the first image, in bits per dimension."""
        return self.coded.net_bits / self.dimensions

    @property
    def gross(self) -> float:
        """The stack, in bits per dimension."""
        return self.coded.bits / self.dimensions

    @property
    def whole(self) -> float:
        """The file, in bits per dimension."""
        return 8 * self.file_bytes / self.dimensions

    @property
    def ratio(self) -> float:
        """What the code is of the negative bound, `net / bound`."""
        return self.net / self.bound
