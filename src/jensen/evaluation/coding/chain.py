r"""A trained model as the chain of conditional distributions that its latents and pixels are coded with.

$$p(x, h) = p(x \mid h^1) \, p(h^1 \mid h^2) \cdots p(h^L), \qquad
q(h \mid x) = q(h^1 \mid x) \, q(h^2 \mid h^1) \cdots q(h^L \mid h^{L-1})$$

The posterior goes from the bottom up: a layer below the topmost is drawn before its prior is known.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.distributions import Distribution

from jensen.evaluation.coding.ans import Floats
from jensen.evaluation.coding.bins import Gaussians
from jensen.evaluation.coding.networks import Networks

__all__ = ["LatentChain", "Moments"]

MOMENT_STEPS = 4


class Moments(NamedTuple):
    r"""Where the units of a layer lie, by whole numbers $i, j$: mean $m = i s / 4$, scale $s = 2^{j / 4}$."""

    mean: tuple[int, ...]
    scale: tuple[int, ...]

    def as_gaussians(self) -> Gaussians:
        """Mean and scale of each unit, `(D,)` each."""
        scale = 2.0 ** (np.array(self.scale) / MOMENT_STEPS)
        return Gaussians(np.array(self.mean) * scale / MOMENT_STEPS, scale)


class LatentChain:
    """The networks of a model, from arrays to arrays.

    Args:
        model: with a standard Gaussian `prior()`, a Gaussian `posterior(x)` and a `likelihood(h)`; where it has several
            stochastic layers, `encoders` and `decoders` of which the first are those two, as `models.IWAE` has.
        pixels: the number of values in an image.
        lanes: how many images pass through the networks together.

    Attributes:
        widths: the number of units of each layer, lowest first.
        levels: how many levels a pixel has.
        fitted: how many layers have bins that are fitted to the images: all but the topmost.

    Raises:
        ValueError: if the model has no such parts, or others than Gaussian latents.
    """

    def __init__(self, model: nn.Module, *, pixels: int, lanes: int = 1) -> None:
        if missing := [name for name in ("prior", "posterior", "likelihood") if not hasattr(model, name)]:
            advice = "take a model of Gaussian latents, such as models.VAE"
            raise ValueError(f"{type(model).__name__} cannot code images: it has no {missing[0]}(); {advice}")
        encoders, decoders = (len(getattr(model, name, ())) for name in ("encoders", "decoders"))
        if encoders != decoders:
            raise ValueError(
                f"{type(model).__name__} cannot code images: {encoders} encoders, {decoders} decoders; its posterior "
                "has to go up from layer to layer, as that of models.IWAE does"
            )
        self.lanes, self.depth, self.fitted = lanes, decoders or 1, max(decoders, 1) - 1
        self._networks = Networks(model, lanes=lanes)
        self.widths = self._checked_widths(pixels)
        self.levels = self._networks.levels(self.likelihood(np.zeros((1, self.widths[0]))), pixels)

    def recognise(self, layer: int, below: Floats) -> Gaussians:
        r"""$q(h^{l+1} \mid h^l)$, where $h^0 = x$, at up to `lanes` rows `(n, D)`."""
        with torch.no_grad():
            given, model = self._networks.batch(below), self._networks.model
            q = model.encoders[layer](given) if layer else model.posterior(given)
            return self._networks.gaussians(q, len(below))

    def generate(self, layer: int, above: Floats) -> Gaussians:
        r"""$p(h^l \mid h^{l+1})$ of a latent layer, at up to `lanes` rows `(n, D)`."""
        with torch.no_grad():
            p = self._networks.model.decoders[layer](self._networks.batch(above))
            return self._networks.gaussians(p, len(above))

    def likelihood(self, h: Floats) -> Distribution:
        r"""$p(x \mid h^1)$ at up to `lanes` rows `(n, D)`; its batch is `(lanes,)`."""
        with torch.no_grad():
            p: Distribution = self._networks.model.likelihood(self._networks.batch(h))
            return p

    def moments(self, x: Floats) -> list[Moments]:
        """Where the posterior puts the units of every layer but the topmost, over the images `(N, pixels)`."""
        found, below = [], x
        for layer in range(self.depth - 1):
            parts = [self.recognise(layer, below[i : i + self.lanes]) for i in range(0, len(below), self.lanes)]
            mean, scale = (np.concatenate(each) for each in zip(*parts, strict=True))
            spread = np.sqrt(mean.var(0) + np.square(scale).mean(0))
            steps = np.rint(np.log2(spread) * MOMENT_STEPS)
            place = np.rint(mean.mean(0) / 2.0 ** (steps / MOMENT_STEPS) * MOMENT_STEPS)
            found.append(Moments(tuple(map(int, place)), tuple(map(int, steps))))
            below = mean
        return found

    def _checked_widths(self, pixels: int) -> list[int]:
        """The number of units of each layer, lowest first."""
        prior = self._networks.model.prior()
        if not ((prior.mean == 0).all() and (prior.stddev == 1).all()):
            raise ValueError(f"{self._networks.name} cannot code images: its prior is no standard Gaussian")
        widths = [pixels]
        for layer in range(self.depth):
            widths.append(self.recognise(layer, np.zeros((1, widths[-1]))).mean.shape[-1])
        return widths[1:]
