"""A Gaussian vector carried through a bijection, with the density of a draw from the noise that made it."""

from typing import Any

from torch import Generator, Size, Tensor
from torch.distributions import Distribution, constraints

from jensen.distributions.diagonal_normal import DiagonalNormal

__all__ = ["Pushforward"]


class Pushforward(Distribution):
    r"""The distribution of $z = f(z_0)$ where $z_0$ is Gaussian and $f$ a bijection.

    $$\log q(z) = \log \mathcal{N}(z_0; \mu, \mathrm{diag}(\sigma^2)) - \log \left| \det \frac{\partial f}{\partial z_0} \right|$$

    The bijection is run from noise to draw, so a draw and its density take one pass of an autoregressive $f$; the
    density elsewhere, `log_prob`, takes its inverse, which is as many passes as there are entries.

    Args:
        base: of $z_0$, batch `(*batch,)`, event `(D,)`.
        transform: $f$, with `call_and_ladj(z_0) -> (z, log-determinant)` and an `inv` that has the same, as the
            transforms of `zuko` have; torch's transforms do too, in two calls (`__call__`, `log_abs_det_jacobian`).
        validate_args: kept for the interface; nothing is checked.

    Example:
        >>> from torch.distributions import ExpTransform
        >>> q = Pushforward(DiagonalNormal(torch.zeros(2), torch.zeros(2)), ExpTransform())
        >>> z, log_q = q.from_noise(torch.zeros(3, 2))
        >>> z.shape, log_q
        (torch.Size([3, 2]), tensor([-1.8379, -1.8379, -1.8379]))
        >>> q.log_prob(z)
        tensor([-1.8379, -1.8379, -1.8379])

    References:
        | Variational Inference with Normalizing Flows (Rezende & Mohamed, 2015)
        | https://arxiv.org/abs/1505.05770
    """  # noqa: E501

    arg_constraints: dict[str, constraints.Constraint] = {}
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, base: DiagonalNormal, transform: Any, *, validate_args: bool | None = None) -> None:
        self.base, self.transform = base, transform
        super().__init__(base.batch_shape, base.event_shape, validate_args=validate_args)

    def noise(self, sample_shape: Size | tuple[int, ...] = (), *, generator: Generator | None = None) -> Tensor:
        """Standard normal noise for `from_noise`, `(*sample_shape, *batch, D)`."""
        return self.base.noise(sample_shape, generator=generator)

    def from_noise(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """The draw that the noise stands for, `(*sample, *batch, D)`, and its log-density in nats, `(*sample, *batch)`.

        Raises:
            ValueError: if the noise is of another width than the distribution.
        """
        z, log_determinant = _call(self.transform, self.base.from_noise(noise))
        return z, self.base.log_prob_from_noise(noise) - log_determinant

    def rsample(self, sample_shape: Size | list[int] | tuple[int, ...] = Size()) -> Tensor:
        """A reparameterised draw, `(*sample_shape, *batch, D)`."""
        return self.from_noise(self.noise(tuple(sample_shape)))[0]

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density in nats, `(*sample, *batch)`, by the inverse of the bijection."""
        z, log_determinant = _call(self.transform.inv, value)
        return self.base.log_prob(z) + log_determinant


def _call(transform: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """What the bijection makes of x, and the log-determinant of its Jacobian there, entries summed."""
    if hasattr(transform, "call_and_ladj"):
        y, ladj = transform.call_and_ladj(x)
    else:
        y = transform(x)
        ladj = transform.log_abs_det_jacobian(x, y)
    return y, ladj.sum(-1) if ladj.ndim == x.ndim else ladj
