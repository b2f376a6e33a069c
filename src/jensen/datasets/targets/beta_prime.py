"""The beta-prime distribution: the odds of a beta variable, or a ratio of two gamma variables."""

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, Gamma, constraints

__all__ = ["BetaPrime"]


class BetaPrime(Distribution):
    r"""Beta-prime distribution on the positive numbers.

    $$p(x) = \frac{x^{a - 1} (1 + x)^{-a - b}}{B(a, b)}$$

    With both shapes 1 its density is $(1 + x)^{-2}$ and its median 1: a prior for a variance that forbids neither
    none of it nor a great deal.

    Args:
        first: $a$, positive, `(*batch)`.
        second: $b$, positive, `(*batch)`.
        validate_args: whether torch checks values, as for its own distributions.

    Example:
        >>> BetaPrime(torch.tensor(1.0), torch.tensor(1.0)).log_prob(torch.tensor(1.0)).exp()
        tensor(0.2500)
    """

    arg_constraints = {"first": constraints.positive, "second": constraints.positive}
    support = constraints.positive
    has_rsample = True

    def __init__(self, first: Tensor, second: Tensor, *, validate_args: bool | None = None) -> None:
        self.first, self.second = first.expand_as(first + second), second.expand_as(first + second)
        super().__init__(self.first.shape, validate_args=validate_args)

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        """Ratios of gamma variables, `(*sample, *batch)`."""
        return self._gamma(self.first).rsample(sample_shape) / self._gamma(self.second).rsample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density in nats, `(*sample, *batch)`."""
        if self._validate_args:
            self._validate_sample(value)
        log_beta = self.first.lgamma() + self.second.lgamma() - (self.first + self.second).lgamma()
        return torch.xlogy(self.first - 1, value) - (self.first + self.second) * value.log1p() - log_beta

    @staticmethod
    def _gamma(shape: Tensor) -> Gamma:
        return Gamma(shape, torch.ones_like(shape))
