"""Heads that make a distribution over the pixels of an image from what a network says of each position."""

import math
from collections.abc import Callable
from math import prod

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from jensen._math import logit
from jensen.distributions import (
    DiagonalNormal,
    DiscretizedLogistic,
    DiscretizedLogisticMixture,
    IndependentBernoulli,
    IndependentContinuousBernoulli,
)
from jensen.layers.perceptrons import initial_log_scale

__all__ = ["LIKELIHOODS", "PixelHead"]

LEAST_LOG_SCALE = -7.0 - math.log(2)
"""Of a discretised logistic on the scale of $[0, 1]$; narrower than that, a bin of 256 levels holds everything."""


class PixelHead(nn.Module):
    r"""From numbers for each position of an image to a distribution over its flat, channels-last pixels.

    | likelihood | numbers for each position of C channels | pixels |
    |---|---|---|
    | `bernoulli`, `continuous_bernoulli` | C logits | 0 or 1; grey in $[0, 1]$ |
    | `gaussian` | C means, through a sigmoid; C log-scales if `conditional` | real |
    | `discretized_logistic` | C means, C log-scales | levels $k / (L - 1)$ |
    | `discretized_logistic_mixture` | M weights, M C means and log-scales, M C (C - 1) / 2 coefficients | levels |

    Locations are relative to a learned image, `start`, which begins at the logits (or levels) of the pixel means.

    Args:
        likelihood: one of these.
        shape: `(H, W)` or `(H, W, C)`.
        scale: of Gaussian pixels: `conditional`, `learned` (one for each pixel), or a fixed standard deviation.
        levels: $L$ of discretised pixels.
        mixtures: $M$ of a mixture.
        mean: the pixel means, flat; where None, a half everywhere.

    Attributes:
        features: how many numbers a position takes.

    Raises:
        ValueError: if there is no such likelihood, the numbers do not suit it, or `mean` has another shape.

    Example:
        >>> head = PixelHead("bernoulli", (8, 8))
        >>> head.features, head(torch.zeros(3, 64, 1)).event_shape
        (1, torch.Size([64]))
        >>> PixelHead("discretized_logistic_mixture", (32, 32, 3), levels=256, mixtures=10).features
        100

    References:
        | PixelCNN++: Improving the PixelCNN with Discretized Logistic Mixture Likelihood (Salimans et al., 2017)
        | https://arxiv.org/abs/1701.05517
    """

    def __init__(
        self,
        likelihood: str,
        shape: tuple[int, ...],
        *,
        scale: str | float = "learned",
        levels: int = 0,
        mixtures: int = 0,
        mean: Tensor | None = None,
    ) -> None:
        super().__init__()
        if likelihood not in LIKELIHOODS:
            raise ValueError(f"there is no likelihood {likelihood!r} of pixels; there are {', '.join(LIKELIHOODS)}")
        if len(shape) not in (2, 3) or min(shape) < 1:
            raise ValueError(f"shape is {shape}; expected (height, width) or (height, width, channels)")
        self.likelihood, self.shape = likelihood, tuple(shape)
        self.channels = shape[2] if len(shape) == 3 else 1
        self.levels, self.mixtures, self.conditional = levels, mixtures, scale == "conditional"
        self._check_numbers()
        self.features = self._count_features()
        self.start = nn.Parameter(self._start(mean))
        if likelihood == "gaussian" and not self.conditional:
            self.log_scale = nn.Parameter(initial_log_scale(scale, prod(shape)), requires_grad=scale == "learned")

    def forward(self, output: Tensor) -> Distribution:
        """The pixels given `output`, `(*batch, positions, features)` or `(*batch, positions * features)`.

        They have the precision of the head, also where autocast multiplies in a lower one.
        """
        positions = self.shape[0] * self.shape[1]
        if output.shape[-2:] != (positions, self.features):
            if output.shape[-1:] != (positions * self.features,):
                expected = f"(*batch, {positions}, {self.features})"
                raise ValueError(f"the network's output has shape {tuple(output.shape)}; expected {expected}")
            output = output.reshape(*output.shape[:-1], positions, self.features)
        return LIKELIHOODS[self.likelihood](self, output.to(self.start.dtype))

    def _count_features(self) -> int:
        C, M = self.channels, self.mixtures
        if self.likelihood == "discretized_logistic_mixture":
            return M * (1 + 2 * C + C * (C - 1) // 2)
        two = self.likelihood == "discretized_logistic" or (self.likelihood == "gaussian" and self.conditional)
        return 2 * C if two else C

    def _check_numbers(self) -> None:
        discretized, mixture = self.likelihood.startswith("discretized"), self.likelihood.endswith("mixture")
        if self.levels < 2 if discretized else self.levels != 0:
            need = "at least 2 levels, 256 of most images" if discretized else "no levels"
            raise ValueError(f"{self.likelihood} pixels have {need}, got {self.levels}")
        if self.mixtures < 1 if mixture else self.mixtures != 0:
            raise ValueError(f"{self.likelihood} pixels have {'a' if mixture else 'no'} mixture, got {self.mixtures}")

    def _start(self, mean: Tensor | None) -> Tensor:
        """The first locations, `(positions, C)`: logits, or levels on the scale of [-1, 1]."""
        if mean is None:
            return torch.zeros(self.shape[0] * self.shape[1], self.channels)
        if mean.shape != (prod(self.shape),):
            raise ValueError(f"mean has shape {tuple(mean.shape)}; expected ({prod(self.shape)},), one for each pixel")
        location = 2 * mean - 1 if self.likelihood.startswith("discretized") else logit(mean)
        return location.detach().clone().reshape(-1, self.channels)

    def extra_repr(self) -> str:
        """The likelihood and the shape."""
        return f"{self.likelihood}, {self.shape}"


def _bernoulli(head: PixelHead, output: Tensor) -> Distribution:
    return IndependentBernoulli((output + head.start).flatten(-2), validate_args=False)


def _continuous_bernoulli(head: PixelHead, output: Tensor) -> Distribution:
    return IndependentContinuousBernoulli((output + head.start).flatten(-2), validate_args=False)


def _gaussian(head: PixelHead, output: Tensor) -> Distribution:
    location, *log_scales = output.chunk(2 if head.conditional else 1, -1)
    log_scale = log_scales[0].flatten(-2) if head.conditional else head.log_scale
    return DiagonalNormal(torch.sigmoid(location + head.start).flatten(-2), log_scale, validate_args=False)


def _discretized_logistic(head: PixelHead, output: Tensor) -> Distribution:
    location, log_scale = output.chunk(2, -1)
    mean, log_scale = (each.flatten(-2) for each in _on_unit_scale(location + head.start, log_scale))
    return DiscretizedLogistic(mean, log_scale, levels=head.levels, validate_args=False)


def _discretized_logistic_mixture(head: PixelHead, output: Tensor) -> Distribution:
    M, C = head.mixtures, head.channels
    logits, *parts = output.split_with_sizes([M, M * C, M * C, M * C * (C - 1) // 2], -1)
    shapes = ((*logits.shape, width) for width in (C, C, C * (C - 1) // 2))
    location, log_scale, coefficients = (part.reshape(shape) for part, shape in zip(parts, shapes, strict=True))
    means, log_scales = _on_unit_scale(location + head.start.unsqueeze(-2), log_scale)
    return DiscretizedLogisticMixture(
        logits,
        means,
        log_scales,
        coefficients=torch.tanh(coefficients),
        levels=head.levels,
        validate_args=False,
    )


def _on_unit_scale(location: Tensor, log_scale: Tensor) -> tuple[Tensor, Tensor]:
    """From the scale of [-1, 1], on which networks work best, to that of [0, 1]."""
    return (location + 1) / 2, (log_scale - math.log(2)).clamp_min(LEAST_LOG_SCALE)


LIKELIHOODS: dict[str, Callable[[PixelHead, Tensor], Distribution]] = {
    "bernoulli": _bernoulli,
    "continuous_bernoulli": _continuous_bernoulli,
    "gaussian": _gaussian,
    "discretized_logistic": _discretized_logistic,
    "discretized_logistic_mixture": _discretized_logistic_mixture,
}
"""What makes the distribution from the numbers of each position, `(*batch, positions, features)`."""
