r"""A trained model whose latents are drawn one after another, each when its prior is known.

$$p(x, z) = p(z_1) \, p(z_2 \mid z_1) \cdots p(x \mid z_1, \ldots, z_N), \qquad
q(z \mid x) = q(z_1 \mid x) \, q(z_2 \mid z_1, x) \cdots q(z_N \mid z_{<N}, x)$$

in the order of their drawing: the layers of a ladder from the top down, the steps of DRAW.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from jensen.evaluation.coding.ans import Floats
from jensen.evaluation.coding.bins import Gaussians
from jensen.evaluation.coding.chain import Moments
from jensen.evaluation.coding.networks import Networks

__all__ = ["LatentDescent"]


class LatentDescent:
    r"""The networks of a model, from arrays to arrays.

    Args:
        model: with `generate_stepwise(choose)`, which gives $p(x \mid z)$ at the latents that `choose` returns, given
            $p(z_n \mid z_{<n})$ of one after another, and `infer_stepwise(x, choose)`, the same given
            $q(z_n \mid z_{<n}, x)$ and $p(z_n \mid z_{<n})$, as `models.LadderVAE` and `models.DRAW` have.
        pixels: the number of values in an image.
        lanes: how many images pass through the networks together.

    Attributes:
        widths: the number of units of each latent, the first that is drawn first.
        levels: how many levels a pixel has.
        fitted: how many latents have bins that are fitted to the images: none.

    Raises:
        ValueError: if latents are not Gaussian, or pixels have no probabilities.
    """

    def __init__(self, model: nn.Module, *, pixels: int, lanes: int = 1) -> None:
        self._networks = Networks(model, lanes=lanes)
        self.widths: list[int] = []
        self.fitted = 0
        self.levels = self._networks.levels(self.generate(1, self._measure), pixels)
        self.infer(np.zeros((1, pixels)), lambda q, p: np.zeros_like(p.mean))

    def generate(self, count: int, choose: Callable[[Gaussians], Floats]) -> Distribution:
        r"""$p(x \mid z)$ at `count` rows of latents, which `choose` returns, `(count, D)`, one after another.

        Its batch is `(lanes,)`; `choose` is given $p(z_n \mid z_{<n})$.
        """

        def chosen(p: Distribution) -> Tensor:
            return self._networks.batch(choose(self._networks.gaussians(p, count)))

        with torch.no_grad():
            likelihood: Distribution = self._networks.model.generate_stepwise(chosen)
            return likelihood

    def infer(self, x: Floats, choose: Callable[[Gaussians, Gaussians], Floats]) -> Distribution:
        r"""`generate` beside images, up to `lanes` rows `(n, pixels)`.

        `choose` is given $q(z_n \mid z_{<n}, x)$ and $p(z_n \mid z_{<n})$.
        """

        def chosen(q: Distribution, p: Distribution) -> Tensor:
            both = (self._networks.gaussians(each, len(x)) for each in (q, p))
            return self._networks.batch(choose(*both))

        with torch.no_grad():
            likelihood: Distribution = self._networks.model.infer_stepwise(self._networks.batch(x), chosen)
            return likelihood

    def moments(self, x: Floats) -> list[Moments]:
        """None: every latent has the bins of its prior."""
        return []

    def _measure(self, p: Gaussians) -> Floats:
        self.widths.append(p.mean.shape[-1])
        return np.zeros_like(p.mean)
