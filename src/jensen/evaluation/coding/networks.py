"""The networks of a trained model, evaluated so that encoder and decoder find the same numbers, bit for bit.

Networks are evaluated in double precision, always on batches of one and the same size, because a product of matrices
rounds otherwise in another shape, and their outputs are rounded to a coarse grid.
"""

import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from jensen.distributions import DiagonalNormal, StandardNormal
from jensen.evaluation.coding.ans import Floats
from jensen.evaluation.coding.bins import Gaussians
from jensen.evaluation.coding.pixels import levels_of, round_to

__all__ = ["Networks"]

MEAN_STEP, LOG_SCALE_STEP = 2.0**-14, 2.0**-8
"""Latent means and log-scales are multiples of these."""


class Networks:
    """A copy of a model in double precision, and the way to it and back from arrays.

    Args:
        model: to evaluate; it is left as it is.
        lanes: how many images pass through the networks together.

    Attributes:
        model: the copy.
        name: of its class.
    """

    def __init__(self, model: nn.Module, *, lanes: int = 1) -> None:
        self.lanes, self.name = lanes, type(model).__name__
        self._device = next((p.device for p in model.parameters() if p.device.type != "mps"), torch.device("cpu"))
        self.model: Any = copy.deepcopy(model).to(device=self._device, dtype=torch.float64).eval()

    def batch(self, rows: Floats) -> Tensor:
        """Up to `lanes` rows `(n, D)` as the batch of always the same size that the networks see, `(lanes, D)`."""
        batch: NDArray[np.float64] = np.zeros((self.lanes, rows.shape[-1]))
        batch[: len(rows)] = rows
        return torch.from_numpy(batch).to(self._device)

    def gaussians(self, q: Distribution, count: int) -> Gaussians:
        """The first `count` rows of a distribution over latents, `(count, D)` each.

        Raises:
            ValueError: if it is no diagonal Gaussian.
        """
        base = q.base_dist if isinstance(q, Independent) else q
        if not isinstance(base, DiagonalNormal | StandardNormal | Normal):
            raise ValueError(f"latents of {type(base).__name__} cannot be coded; take a model of Gaussian latents")
        mean, scale = (each.expand(self.lanes, -1)[:count] for each in (base.mean, base.stddev))
        return Gaussians(round_to(mean, MEAN_STEP), np.exp(round_to(scale.log(), LOG_SCALE_STEP)))

    def levels(self, likelihood: Distribution, pixels: int) -> int:
        """How many levels a pixel has under a likelihood of images of so many values.

        Raises:
            ValueError: if it is one of images of another size, or gives pixels no probabilities.
        """
        event = tuple(likelihood.event_shape)
        if event != (pixels,):
            raise ValueError(f"the model makes images of shape {event}, not of {pixels} pixels")
        return levels_of(likelihood)
