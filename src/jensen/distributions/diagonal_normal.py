"""A Gaussian vector with independent entries, kept by its mean and log-scale."""

import torch
from torch import Generator, Size, Tensor
from torch.distributions import Distribution, constraints, register_kl

from jensen._math import HALF_LOG_TWO_PI

__all__ = ["DiagonalNormal"]


class DiagonalNormal(Distribution):
    r"""Gaussian over vectors, $\mathcal{N}(z; \mu, \mathrm{diag}(\sigma^2))$ with $\sigma = e^{s}$.

    $$\log p(z) = -\sum_d \left( \tfrac{1}{2} \epsilon_d^2 + s_d + \tfrac{1}{2} \log 2 \pi \right), \qquad
    \epsilon = (z - \mu) e^{-s}$$

    Unlike `Independent(Normal(mean, scale), 1)` it never takes the logarithm of an exponential, and it has the density
    of a draw from the noise that made it: `log_prob_from_noise`, with no subtraction and no division.

    Args:
        mean: $\mu$, `(*batch, D)`.
        log_scale: $s$, of a shape that broadcasts with `mean`.
        validate_args: whether to check parameters and values, as everywhere in `torch.distributions`.

    Raises:
        ValueError: if the shapes do not broadcast, or a parameter is not a real number.

    Example:
        >>> q = DiagonalNormal(torch.zeros(3, 2), torch.zeros(2))
        >>> q.batch_shape, q.event_shape
        (torch.Size([3]), torch.Size([2]))
        >>> q.log_prob(torch.zeros(3, 2))
        tensor([-1.8379, -1.8379, -1.8379])

    References:
        | Auto-Encoding Variational Bayes (Kingma & Welling, 2014), appendix C.2
        | https://arxiv.org/abs/1312.6114v11
    """

    arg_constraints = {"mean": constraints.real_vector, "log_scale": constraints.real_vector}
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, mean: Tensor, log_scale: Tensor, *, validate_args: bool | None = None) -> None:
        if mean.shape != log_scale.shape:
            try:
                mean, log_scale = torch.broadcast_tensors(mean, log_scale)  # type: ignore[no-untyped-call]
            except RuntimeError as error:
                shapes = f"{tuple(mean.shape)} and {tuple(log_scale.shape)}"
                raise ValueError(f"mean and log_scale of shapes {shapes} do not broadcast") from error
        if mean.ndim == 0:
            raise ValueError("mean and log_scale are scalars; give at least one axis, (*batch, D)")
        self.loc, self.log_scale = mean, log_scale
        super().__init__(mean.shape[:-1], mean.shape[-1:], validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        r"""$\mu$, `(*batch, D)`."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        r"""$\mu$, `(*batch, D)`."""
        return self.loc

    @property
    def stddev(self) -> Tensor:
        r"""$\sigma = e^s$, `(*batch, D)`."""
        return self.log_scale.exp()

    @property
    def variance(self) -> Tensor:
        r"""$\sigma^2 = e^{2 s}$, `(*batch, D)`."""
        return (2 * self.log_scale).exp()

    def expand(self, batch_shape: Size | list[int] | tuple[int, ...], _instance: object = None) -> "DiagonalNormal":
        """The same distribution with its parameters expanded to `batch_shape`."""
        shape = (*batch_shape, *self.event_shape)
        return self._checked_like(self.loc.expand(shape), self.log_scale.expand(shape))

    def detached(self) -> "DiagonalNormal":
        """The same distribution with its parameters held constant."""
        return self._checked_like(self.loc.detach(), self.log_scale.detach())

    def _checked_like(self, mean: Tensor, log_scale: Tensor) -> "DiagonalNormal":
        """Parameters that were checked already, with values to be checked as here."""
        new = DiagonalNormal(mean, log_scale, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def noise(self, sample_shape: Size | tuple[int, ...] = (), *, generator: Generator | None = None) -> Tensor:
        """Standard normal noise for `from_noise`, `(*sample_shape, *batch, D)`."""
        shape = (*sample_shape, *self.loc.shape)
        return torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device, generator=generator)

    def from_noise(self, noise: Tensor) -> Tensor:
        r"""The draw that the noise stands for, $z = \mu + \sigma \epsilon$.

        Raises:
            ValueError: if the noise is of another width than the distribution.
        """
        if noise.ndim == 0 or noise.shape[-1] != self.loc.shape[-1]:
            raise ValueError(f"noise has shape {tuple(noise.shape)}; expected (*sample, {self.loc.shape[-1]})")
        return torch.addcmul(self.loc, self.log_scale.exp(), noise)

    def log_prob_from_noise(self, noise: Tensor) -> Tensor:
        r"""$\log p(\mu + \sigma \epsilon)$ in nats, `(*sample, *batch)`: of `from_noise(noise)`, gradient included."""
        standard = torch.rsub((noise * noise).sum(-1), -HALF_LOG_TWO_PI * noise.shape[-1], alpha=0.5)
        return standard - self.log_scale.sum(-1)

    def rsample(self, sample_shape: Size | list[int] | tuple[int, ...] = Size()) -> Tensor:
        """A reparameterised draw, `(*sample_shape, *batch, D)`."""
        return self.from_noise(self.noise(tuple(sample_shape)))

    def log_prob_per_unit(self, value: Tensor) -> Tensor:
        """Log-density of each entry in nats, `(*sample, *batch, D)`."""
        noise = (value - self.loc) * torch.exp(-self.log_scale)
        return -0.5 * noise.square() - self.log_scale - HALF_LOG_TWO_PI

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density in nats, `(*sample, *batch)`."""
        if self._validate_args:
            self._validate_sample(value)
        noise = (value - self.loc) * torch.exp(-self.log_scale)
        return self.log_prob_from_noise(noise)

    def entropy(self) -> Tensor:
        r"""$\sum_d s_d + \frac{1}{2} \log 2 \pi e$ in nats, `(*batch)`."""
        return self.log_scale.sum(-1) + (HALF_LOG_TWO_PI + 0.5) * self.event_shape[0]

    def kl_per_unit(self, other: "DiagonalNormal") -> Tensor:
        r"""Divergence $\mathrm{KL}(p_d \,\|\, p'_d)$ of each entry from that of `other`, in nats, `(*batch, D)`."""
        ratio = self.log_scale - other.log_scale
        shift = (self.loc - other.loc) * torch.exp(-other.log_scale)
        return 0.5 * (torch.expm1(2 * ratio) + shift.square()) - ratio


@register_kl(DiagonalNormal, DiagonalNormal)  # type: ignore[no-untyped-call, untyped-decorator]
def _kl(p: DiagonalNormal, q: DiagonalNormal) -> Tensor:
    return p.kl_per_unit(q).sum(-1)
