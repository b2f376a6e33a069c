r"""A world with a known answer: $\log p(x)$ in closed form, for tests and for teaching.

Whatever a bound or an estimate says about data from this world can be held against the truth.

| Probabilistic Principal Component Analysis (Tipping & Bishop, 1999), section 3
| https://doi.org/10.1111/1467-9868.00196
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, LowRankMultivariateNormal, MultivariateNormal, Normal

__all__ = ["LinearGaussianWorld", "linear_gaussian"]


@dataclass(frozen=True, eq=False, repr=False)
class LinearGaussianWorld:
    r"""Gaussian factors, mixed linearly and seen through Gaussian noise.

    $$z \sim \mathcal{N}(0, I), \quad x \mid z \sim \mathcal{N}(W z + b, \sigma^2 I)$$
    $$p(x) = \mathcal{N}(b, W W^\top + \sigma^2 I)$$
    $$p(z \mid x) = \mathcal{N}(\Sigma W^\top (x - b) / \sigma^2, \Sigma), \quad \Sigma^{-1} = I + W^\top W / \sigma^2$$

    Attributes:
        weight: the mixing matrix $W$, `(pixels, latents)`.
        bias: the mean $b$, `(pixels,)`.
        noise: the standard deviation $\sigma$ of the noise.

    Raises:
        ValueError: if `weight` and `bias` do not fit, or `noise` is not positive and finite.

    Example:
        >>> world = LinearGaussianWorld(torch.ones(1, 1), torch.zeros(1), 1.0)
        >>> world.log_prob(torch.zeros(1, 1))
        tensor([-1.2655])

    References:
        | Probabilistic Principal Component Analysis (Tipping & Bishop, 1999), eqs. 2-7
        | https://doi.org/10.1111/1467-9868.00196
    """

    weight: Tensor
    bias: Tensor
    noise: float

    def __post_init__(self) -> None:
        """Check that the pieces fit."""
        if self.weight.ndim != 2 or self.bias.shape != self.weight.shape[:1]:
            shapes = f"{tuple(self.weight.shape)} and {tuple(self.bias.shape)}"
            raise ValueError(f"weight (pixels, latents) and bias (pixels,) do not fit: got {shapes}")
        if not 0.0 < self.noise < math.inf:
            raise ValueError(f"noise must be a positive standard deviation, got {self.noise}")

    def __repr__(self) -> str:
        """The sizes, not the numbers."""
        pixels, latents = self.weight.shape
        return f"LinearGaussianWorld(pixels={pixels}, latents={latents}, noise={self.noise:g})"

    def prior(self) -> Distribution:
        """$p(z)$, a standard Gaussian with event shape `(latents,)`."""
        zero = self.weight.new_zeros(self.weight.shape[1])
        return Independent(Normal(zero, torch.ones_like(zero)), 1)

    def likelihood(self, z: Tensor) -> Distribution:
        r"""$p(x \mid z)$ of factors `(*batch, latents)`, with event shape `(pixels,)`."""
        return Independent(Normal(z @ self.weight.mT + self.bias, self.noise), 1)

    def marginal(self) -> LowRankMultivariateNormal:
        r"""$p(x)$ with the factors integrated out; its `entropy()` is the best mean of $-\log p(x)$ there is."""
        return LowRankMultivariateNormal(self.bias, self.weight, torch.full_like(self.bias, self.noise**2))

    def posterior(self, x: Tensor) -> MultivariateNormal:
        r"""$p(z \mid x)$ of data `(*batch, pixels)`, with event shape `(latents,)`."""
        precision = torch.eye(self.weight.shape[1]).to(self.weight) + self.weight.mT @ self.weight / self.noise**2
        score = (self._checked(x) - self.bias) @ self.weight / self.noise**2
        return MultivariateNormal(torch.linalg.solve(precision, score.mT).mT, precision_matrix=precision)

    def log_prob(self, x: Tensor) -> Tensor:
        r"""The exact $\log p(x)$ of data `(*batch, pixels)`, in nats, `(*batch)`."""
        marginal: Distribution = self.marginal()
        return marginal.log_prob(self._checked(x))

    def sample(self, n: int, *, seed: int) -> Tensor:
        """Data `(n, pixels)`, the same for the same seed; torch's global generator is neither read nor moved."""
        generator = torch.Generator().manual_seed(seed)
        pixels, latents = self.weight.shape
        draws = torch.randn(n, latents + pixels, generator=generator, dtype=torch.float64).to(self.weight)
        return draws[:, :latents] @ self.weight.mT + self.bias + self.noise * draws[:, latents:]

    def _checked(self, x: Tensor) -> Tensor:
        if x.ndim == 0 or x.shape[-1] != self.weight.shape[0]:
            raise ValueError(f"data must be (*batch, {self.weight.shape[0]}), got {tuple(x.shape)}")
        return x


def linear_gaussian(
    *, pixels: int, latents: int, noise: float = 0.5, seed: int = 0, dtype: torch.dtype = torch.float32
) -> LinearGaussianWorld:
    r"""A world at random: $W_{ij} \sim \mathcal{N}(0, 1/D)$ and $b_i \sim \mathcal{N}(0, 1)$ for $D$ latents.

    Before the noise a pixel has variance 1 on average over worlds.

    Args:
        pixels: how many values a datum has.
        latents: how many factors there are.
        noise: the standard deviation of the noise.
        seed: which world; torch's global generator is neither read nor moved.
        dtype: the type of its numbers and of its data.

    Raises:
        ValueError: if there is no pixel or no factor, or `noise` is not positive and finite.

    Example:
        >>> world = linear_gaussian(pixels=6, latents=2)
        >>> world
        LinearGaussianWorld(pixels=6, latents=2, noise=0.5)
        >>> world.log_prob(world.sample(3, seed=1)).shape
        torch.Size([3])

    References:
        | Probabilistic Principal Component Analysis (Tipping & Bishop, 1999), eq. 2
        | https://doi.org/10.1111/1467-9868.00196
    """
    if pixels < 1 or latents < 1:
        raise ValueError(f"a world needs at least one pixel and one factor, got pixels={pixels}, latents={latents}")
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(pixels, latents, generator=generator, dtype=torch.float64) / math.sqrt(latents)
    bias = torch.randn(pixels, generator=generator, dtype=torch.float64)
    return LinearGaussianWorld(weight.to(dtype), bias.to(dtype), noise)
