r"""Gaussian matrices pulled towards their nearest permutation, with the piecewise density of what comes out.

$$\Psi = \mathrm{Sinkhorn}(e^L) + V \odot \epsilon, \qquad X = \tau \Psi + (1 - \tau)\, \mathrm{round}(\Psi)$$

$X$ lies in the cell of the same permutation as $\Psi$, because the cell is convex and contains both; so
$\mathrm{round}(X) = \mathrm{round}(\Psi)$ and the way back is linear. Not every matrix is reached: there is a hole
between the cells, where the density is zero.
"""

import math

import torch
from torch import Generator, Size, Tensor
from torch.distributions import Distribution, constraints, register_kl

from jensen._math import HALF_LOG_TWO_PI
from jensen.distributions._checks import check_same_event
from jensen.distributions.diagonal_normal import DiagonalNormal
from jensen.distributions.permutation_matrices import nearest_permutation
from jensen.distributions.sinkhorn import sinkhorn_iterations

__all__ = ["RoundedBirkhoff"]


class _RealOrImpossible(constraints.Constraint):
    """Numbers and `-inf`."""

    def check(self, value: Tensor) -> Tensor:
        """Whether each entry is a number below infinity."""
        return value < math.inf


class RoundedBirkhoff(Distribution):
    r"""Matrices near permutations: a Gaussian matrix around a doubly stochastic one, rounded in part.

    $$q(X) = \prod_{m, n} \frac{1}{\tau \nu_{mn}} \mathcal{N}(z_{mn}; 0, 1)
    \;\mathbb{1}[\mathrm{round}(\Psi) = \mathrm{round}(X)], \qquad
    \Psi = \frac{X - (1 - \tau)\, \mathrm{round}(X)}{\tau}, \quad
    z_{mn} = \frac{\psi_{mn} - \tilde m_{mn}}{\nu_{mn}}$$

    Gradients pass through $\Psi$; the nearest permutation counts as a constant. Logits `-inf` forbid a match: there the
    mean is zero, there is no noise, the permutation avoids them, and the density is over the other entries.
    The divergence of two of one temperature that forbid the same matches is that of their Gaussian matrices.

    Args:
        logits: $L$, logarithms of the matrix that becomes the mean $\tilde M$, `(*batch, N, N)`.
        scale: $\nu$, positive, of a shape that broadcasts with `logits`.
        tau: temperature in (0, 1], a number.
        iterations: of Sinkhorn's algorithm; ten in the paper.
        validate_args: whether to check parameters and values, as everywhere in `torch.distributions`.

    Raises:
        ValueError: if the shapes do not fit, a parameter is out of its range, or the logits allow no permutation.

    Example:
        >>> q = RoundedBirkhoff(torch.zeros(5, 3, 3), torch.full((), 0.4), tau=0.5)
        >>> q.batch_shape, q.event_shape
        (torch.Size([5]), torch.Size([3, 3]))
        >>> q.log_prob(torch.full((3, 3), 1 / 3))
        tensor([-inf, -inf, -inf, -inf, -inf])

    References:
        | Reparameterizing the Birkhoff Polytope for Variational Permutation Inference (Linderman et al., 2018)
        | https://arxiv.org/abs/1710.09508v1
    """

    arg_constraints = {
        "logits": constraints.independent(_RealOrImpossible(), 2),  # type: ignore[no-untyped-call]
        "scale": constraints.independent(constraints.positive, 2),  # type: ignore[no-untyped-call]
    }
    support = constraints.independent(constraints.real, 2)  # type: ignore[no-untyped-call]
    has_rsample = True

    def __init__(
        self,
        logits: Tensor,
        scale: Tensor,
        *,
        tau: float,
        iterations: int = 10,
        validate_args: bool | None = None,
    ) -> None:
        if logits.ndim < 2 or logits.shape[-1] != logits.shape[-2]:
            raise ValueError(f"logits has shape {tuple(logits.shape)}; expected square matrices (*batch, N, N)")
        if not 0 < tau <= 1:
            raise ValueError(f"tau must be in (0, 1], got {tau}")
        try:
            shape = torch.broadcast_shapes(logits.shape, scale.shape)  # type: ignore[no-untyped-call]
            self.scale, self.logits = scale.expand(shape), logits.expand(shape)
        except RuntimeError as error:
            shapes = f"{tuple(logits.shape)} and {tuple(scale.shape)}"
            raise ValueError(f"logits and scale of shapes {shapes} do not broadcast") from error
        if self.logits.shape[-2:] != logits.shape[-2:]:
            shapes = f"{tuple(logits.shape)} and {tuple(scale.shape)}"
            raise ValueError(f"logits and scale of shapes {shapes} do not broadcast to matrices of the size of logits")
        self.tau, self.iterations = float(tau), iterations
        self.centre = sinkhorn_iterations(logits, iterations).expand(self.scale.shape)
        self.allowed = self.logits.detach() > -math.inf
        super().__init__(self.scale.shape[:-2], self.scale.shape[-2:], validate_args=validate_args)

    def expand(self, batch_shape: Size | list[int] | tuple[int, ...], _instance: object = None) -> "RoundedBirkhoff":
        """The same distribution with its parameters expanded to `batch_shape`."""
        shape = (*batch_shape, *self.event_shape)
        new = RoundedBirkhoff.__new__(RoundedBirkhoff)
        for name in ("logits", "scale", "centre", "allowed"):
            setattr(new, name, getattr(self, name).expand(shape))
        new.tau, new.iterations = self.tau, self.iterations
        Distribution.__init__(new, Size(batch_shape), self.event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def noise(self, sample_shape: Size | tuple[int, ...] = (), *, generator: Generator | None = None) -> Tensor:
        r"""Standard normal $\epsilon$ for `from_noise`, `(*sample_shape, *batch, N, N)`."""
        shape = (*sample_shape, *self.scale.shape)
        return torch.randn(shape, dtype=self.scale.dtype, device=self.scale.device, generator=generator)

    def from_noise(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        r"""The draw that the noise stands for, and its log-density, with one rounding.

        Returns:
            Matrices `(*sample, *batch, N, N)` and log-densities in nats `(*sample, *batch)`.

        Raises:
            ValueError: if the noise is of another shape than the parameters.
        """
        if noise.shape[-2:] != self.event_shape:
            raise ValueError(f"noise has shape {tuple(noise.shape)}; expected (*sample, {self.event_shape[0]}, ...)")
        psi = self.centre + torch.where(self.allowed, self.scale * noise, 0.0)
        x = self.tau * psi + (1 - self.tau) * self._round(psi)
        return x, self._density(noise)

    def rsample(self, sample_shape: Size | list[int] | tuple[int, ...] = Size()) -> Tensor:
        """A reparameterised draw, `(*sample_shape, *batch, N, N)`."""
        return self.from_noise(self.noise(tuple(sample_shape)))[0]

    def inverse(self, value: Tensor) -> Tensor:
        r"""$\Psi$ of a matrix `(*sample, *batch, N, N)`, if it can be reached; of the same shape."""
        return (value - (1 - self.tau) * self._round(value)) / self.tau

    def reachable(self, value: Tensor) -> Tensor:
        """Whether the rounding leads to a matrix `(*sample, *batch, N, N)` from anywhere, `(*sample, *batch)`."""
        nearest = self._round(value)
        psi = ((value - (1 - self.tau) * nearest) / self.tau).detach()
        own, best = ((psi * each).sum((-2, -1)) for each in (nearest, self._round(psi)))
        slack = 16 * torch.finfo(psi.dtype).eps * self.event_shape[0] / self.tau
        clean = torch.where(self.allowed, 0.0, value).abs().amax((-2, -1)) == 0
        return clean & (own >= best - slack * (1 + psi.abs().amax((-2, -1))))

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density in nats, `(*sample, *batch)`; `-inf` for matrices in the hole, or with a forbidden match."""
        if self._validate_args:
            self._validate_sample(value)
        density = self._density((self.inverse(value) - self.centre) / self.scale)
        return torch.where(self.reachable(value), density, -math.inf)

    def _density(self, noise: Tensor) -> Tensor:
        each = -0.5 * noise.square() - HALF_LOG_TWO_PI - (self.tau * self.scale).log()
        return torch.where(self.allowed, each, 0.0).sum((-2, -1))

    def _round(self, value: Tensor) -> Tensor:
        return nearest_permutation(torch.where(self.allowed, value.detach(), -math.inf))


@register_kl(RoundedBirkhoff, RoundedBirkhoff)  # type: ignore[no-untyped-call, untyped-decorator]
def _kl(q: RoundedBirkhoff, p: RoundedBirkhoff) -> Tensor:
    check_same_event(q.event_shape, p.event_shape)
    if q.tau != p.tau or not (q.allowed == p.allowed).all():
        raise ValueError("the temperatures or the forbidden matches differ; a divergence needs the same for both")
    mine, others = (DiagonalNormal(each.centre, each.scale.log(), validate_args=False) for each in (q, p))
    return torch.where(q.allowed, mine.kl_per_unit(others), 0.0).sum((-2, -1))
