"""Soft matchings: Gumbel noise, then Sinkhorn's algorithm; and the hard ones that they tend to."""

import math

import torch
from torch import Generator, Size, Tensor
from torch.distributions import Distribution, constraints

from jensen.distributions.permutation_matrices import doubly_stochastic, nearest_permutation
from jensen.distributions.sinkhorn import sinkhorn

__all__ = ["GumbelSinkhorn"]


class GumbelSinkhorn(Distribution):
    r"""Doubly stochastic matrices from perturbed logits, for gradients through a choice of a permutation.

    $$S = \mathrm{Sinkhorn}\big((L + G) / \tau\big) \;\xrightarrow{\tau \to 0}\;
    \arg\max_P \langle P, L + G \rangle, \qquad g_{mn} \sim \mathrm{Gumbel}(0, 1)$$

    The draw is differentiable and cheap, but it has *no density* in closed form: the map is not invertible, and the
    probabilities of the limit are not those of any family one can write down. Where a bound needs one, take
    `StickBreakingBirkhoff` or `RoundedBirkhoff`. Iterations go on until rows and columns sum to one, the more of them
    the lower the temperature.

    Args:
        logits: $L$, `(*batch, N, N)`.
        tau: temperature, positive.
        tolerance: how far from one the sum of a row may be, as in `sinkhorn`.
        validate_args: whether to check parameters, as everywhere in `torch.distributions`.

    Raises:
        ValueError: if the logits are no square matrices of numbers, or `tau` is not positive.

    Example:
        >>> q = GumbelSinkhorn(torch.zeros(5, 3, 3), tau=0.5)
        >>> q.rsample().sum(-1)[0]
        tensor([1.0000, 1.0000, 1.0000])
        >>> q.log_prob(torch.eye(3))
        Traceback (most recent call last):
        ValueError: GumbelSinkhorn has no density; StickBreakingBirkhoff and RoundedBirkhoff have one

    References:
        | Learning Latent Permutations with Gumbel-Sinkhorn Networks (Mena, Belanger, Linderman & Snoek, 2018)
        | https://arxiv.org/abs/1802.08665v1
    """

    arg_constraints = {"logits": constraints.independent(constraints.real, 2)}  # type: ignore[no-untyped-call]
    support = doubly_stochastic
    has_rsample = True

    def __init__(
        self, logits: Tensor, *, tau: float, tolerance: float = 1e-6, validate_args: bool | None = None
    ) -> None:
        if logits.ndim < 2 or logits.shape[-1] != logits.shape[-2]:
            raise ValueError(f"logits has shape {tuple(logits.shape)}; expected square matrices (*batch, N, N)")
        if not 0 < tau < math.inf:
            raise ValueError(f"tau must be a positive number, got {tau}")
        self.logits, self.tau, self.tolerance = logits, float(tau), tolerance
        super().__init__(logits.shape[:-2], logits.shape[-2:], validate_args=validate_args)

    @property
    def likeliest_match(self) -> Tensor:
        """The permutation of the largest total logit, what is drawn where the noise is small, `(*batch, N, N)`."""
        return nearest_permutation(self.logits)

    def expand(self, batch_shape: Size | list[int] | tuple[int, ...], _instance: object = None) -> "GumbelSinkhorn":
        """The same distribution with its parameters expanded to `batch_shape`."""
        logits = self.logits.expand(*batch_shape, *self.event_shape)
        new = GumbelSinkhorn(logits, tau=self.tau, tolerance=self.tolerance, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def noise(self, sample_shape: Size | tuple[int, ...] = (), *, generator: Generator | None = None) -> Tensor:
        """Standard Gumbel numbers for `from_noise` and `matching_from_noise`, `(*sample_shape, *batch, N, N)`."""
        shape = (*sample_shape, *self.logits.shape)
        clock = torch.empty(shape, dtype=self.logits.dtype, device=self.logits.device)
        return -clock.exponential_(generator=generator).clamp_min_(torch.finfo(clock.dtype).tiny).log()

    def from_noise(self, noise: Tensor) -> Tensor:
        """The soft matching that the noise stands for, `(*sample, *batch, N, N)`, differentiable in the logits."""
        return sinkhorn(self.logits + noise, tau=self.tau, tolerance=self.tolerance)

    def matching_from_noise(self, noise: Tensor) -> Tensor:
        """The permutation that `from_noise` tends to as the temperature falls, `(*sample, *batch, N, N)`."""
        return nearest_permutation(self.logits + noise)

    def rsample(self, sample_shape: Size | list[int] | tuple[int, ...] = Size()) -> Tensor:
        """A soft matching, `(*sample_shape, *batch, N, N)`."""
        return self.from_noise(self.noise(tuple(sample_shape)))

    def sample_matching(self, sample_shape: Size | tuple[int, ...] = ()) -> Tensor:
        """A permutation, the soft matching of zero temperature, `(*sample_shape, *batch, N, N)`."""
        return self.matching_from_noise(self.noise(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """There is none.

        Raises:
            ValueError: always.
        """
        raise ValueError("GumbelSinkhorn has no density; StickBreakingBirkhoff and RoundedBirkhoff have one")
