"""Two Gaussians around zero, one wide and one narrow: the spike-and-slab prior of Bayes by Backprop."""

import math

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints
from torch.distributions.utils import broadcast_all
from torch.nn.functional import logsigmoid

from jensen._math import HALF_LOG_TWO_PI

__all__ = ["ScaleMixtureNormal"]

_scale = constraints.greater_than(1e-18)  # type: ignore[no-untyped-call]


class ScaleMixtureNormal(Distribution):
    r"""Scale mixture of two Gaussians around zero.

    $$p(w) = \pi \, \mathcal{N}(w; 0, \sigma_1^2) + (1 - \pi) \, \mathcal{N}(w; 0, \sigma_2^2)$$

    The log-density is that of the wider Gaussian plus a softplus of the log-odds between the two: exact where both
    densities underflow, which in float32 begins 14 standard deviations from zero, and no more work for autograd than
    two squares. A Gaussian's divergence from it has no closed form.

    Args:
        mix: $\pi$, the weight of the first in $[0, 1]$.
        scale1: $\sigma_1$, a standard deviation.
        scale2: $\sigma_2$, a standard deviation. The paper's is much the smaller one.
        validate_args: whether to check parameters and values, as everywhere in `torch.distributions`.

    Raises:
        ValueError: if the shapes do not broadcast, a scale is not above `1e-18`, or `mix` is no probability.

    Example:
        >>> prior = ScaleMixtureNormal(0.5, 1.0, math.exp(-6))
        >>> prior.log_prob(torch.tensor([0.0, 1.0, 100.0]))
        tensor([ 4.3904e+00, -2.1121e+00, -5.0016e+03])
        >>> prior.variance
        tensor(0.5000)

    References:
        | Weight Uncertainty in Neural Networks (Blundell, Cornebise, Kavukcuoglu & Wierstra, 2015), eq. 7
        | https://arxiv.org/abs/1505.05424v2
    """

    arg_constraints = {
        "mix": constraints.unit_interval,
        "scale1": _scale,
        "scale2": _scale,
    }
    support = constraints.real

    def __init__(
        self,
        mix: float | Tensor,
        scale1: float | Tensor,
        scale2: float | Tensor,
        *,
        validate_args: bool | None = None,
    ) -> None:
        try:
            self.mix, self.scale1, self.scale2 = broadcast_all(mix, scale1, scale2)
        except RuntimeError as error:
            shapes = [tuple(each.shape) if isinstance(each, Tensor) else () for each in (mix, scale1, scale2)]
            raise ValueError(f"mix, scale1 and scale2 of shapes {shapes} do not broadcast") from error
        super().__init__(self.mix.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """Zeros, `(*batch)`."""
        return torch.zeros_like(self.mix)

    @property
    def mode(self) -> Tensor:
        """Zeros, `(*batch)`."""
        return torch.zeros_like(self.mix)

    @property
    def variance(self) -> Tensor:
        r"""$\pi \sigma_1^2 + (1 - \pi) \sigma_2^2$, `(*batch)`."""
        return torch.lerp(self.scale2.square(), self.scale1.square(), self.mix)

    def expand(self, batch_shape: Size | list[int] | tuple[int, ...], _instance: object = None) -> "ScaleMixtureNormal":
        """The same distribution with its parameters expanded to `batch_shape`."""
        parameters = (each.expand(batch_shape) for each in (self.mix, self.scale1, self.scale2))
        new = ScaleMixtureNormal(*parameters, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def sample(self, sample_shape: Size | list[int] | tuple[int, ...] = Size()) -> Tensor:
        """A draw without gradient, `(*sample_shape, *batch)`."""
        with torch.no_grad():
            shape = self._extended_shape(Size(sample_shape))
            first = torch.rand(shape, dtype=self.mix.dtype, device=self.mix.device) < self.mix
            noise = torch.randn(shape, dtype=self.mix.dtype, device=self.mix.device)
            return torch.where(first, self.scale1, self.scale2) * noise

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density in nats, `(*sample, *batch)`."""
        if self._validate_args:
            self._validate_sample(value)
        wide, narrow, log_wide, log_narrow = self._wide_and_narrow()
        squares = value.square()
        difference = 0.5 * (narrow.reciprocal().square() - wide.reciprocal().square())
        log_odds = log_wide - log_narrow + (narrow / wide).log() + difference * squares
        of_wide = log_wide - wide.log() - HALF_LOG_TWO_PI - 0.5 * wide.reciprocal().square() * squares
        return of_wide - logsigmoid(log_odds)

    def cdf(self, value: Tensor) -> Tensor:
        r"""$P(w \le \mathrm{value})$, `(*sample, *batch)`."""
        if self._validate_args:
            self._validate_sample(value)
        first, second = (_normal_cdf(value / scale) for scale in (self.scale1, self.scale2))
        return torch.lerp(second, first, self.mix)

    def _wide_and_narrow(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Scale and log-weight of the wide Gaussian and of the narrow one, a Gaussian without weight never first."""
        first = (self.mix == 1) | (self.mix > 0) & (self.scale1 >= self.scale2)
        log_first, log_second = self.mix.log(), torch.log1p(-self.mix)
        return (
            torch.where(first, self.scale1, self.scale2),
            torch.where(first, self.scale2, self.scale1),
            torch.where(first, log_first, log_second),
            torch.where(first, log_second, log_first),
        )


def _normal_cdf(standard: Tensor) -> Tensor:
    return 0.5 * torch.erfc(-math.sqrt(0.5) * standard)
