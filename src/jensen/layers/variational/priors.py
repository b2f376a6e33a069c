r"""Priors of weights: one density for every entry, with its divergence where that has a closed form.

$$\log p(w) = \sum_i \log p(w_i), \qquad
\mathrm{KL}(q \,\|\, p) = \sum_i \mathrm{KL}\big(\mathcal{N}(\mu_i, \sigma_i^2) \,\|\, p(w_i)\big)$$
"""

import math
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor
from torch.distributions import Distribution, Normal, kl_divergence

from jensen._math import HALF_LOG_TWO_PI
from jensen.distributions import kl_normal_laplace, kl_normal_normal
from jensen.layers.variational.densities import mixture_log_prob

__all__ = [
    "STANDARD_NORMAL",
    "DistributionPrior",
    "LaplacePrior",
    "NormalPrior",
    "Prior",
    "ScaleMixturePrior",
    "as_prior",
]


class Prior(Protocol):
    """A density of one weight."""

    def log_prob(self, weights: Tensor) -> Tensor:
        """Log-density in nats of each entry, in the shape of `weights`."""
        ...

    def kl(self, mean: Tensor, log_scale: Tensor) -> Tensor:
        r"""The divergence of $\mathcal{N}(\mu, \sigma^2)$ in nats, each entry; `ValueError` without closed form."""
        ...


@dataclass(frozen=True)
class NormalPrior:
    r"""Gaussian, $p(w) = \mathcal{N}(w; 0, s^2)$.

    Attributes:
        scale: the standard deviation $s$, no variance.

    Raises:
        ValueError: if `scale` is not positive and finite.

    Example:
        >>> NormalPrior(0.1).kl(torch.zeros(1), torch.tensor([0.1]).log())
        tensor([0.])
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        check_scale("scale", self.scale)

    def log_prob(self, weights: Tensor) -> Tensor:
        """Log-density in nats of each entry."""
        return -0.5 * (weights / self.scale).square() - (math.log(self.scale) + HALF_LOG_TWO_PI)

    def kl(self, mean: Tensor, log_scale: Tensor) -> Tensor:
        """The divergence of each entry in nats."""
        return kl_normal_normal(mean, log_scale, prior_scale=self.scale)


@dataclass(frozen=True)
class LaplacePrior:
    r"""Laplace, $p(w) = \frac{1}{2 b} e^{-|w| / b}$, which prefers few large weights.

    Attributes:
        scale: $b$; the standard deviation is $\sqrt{2} \, b$.

    Raises:
        ValueError: if `scale` is not positive and finite.

    Example:
        >>> LaplacePrior(1.0).log_prob(torch.tensor([0.0, 2.0]))
        tensor([-0.6931, -2.6931])
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        check_scale("scale", self.scale)

    def log_prob(self, weights: Tensor) -> Tensor:
        """Log-density in nats of each entry."""
        return -weights.abs() / self.scale - math.log(2 * self.scale)

    def kl(self, mean: Tensor, log_scale: Tensor) -> Tensor:
        """The divergence of each entry in nats."""
        return kl_normal_laplace(mean, log_scale, prior_scale=self.scale)


@dataclass(frozen=True)
class ScaleMixturePrior:
    r"""Two Gaussians around zero, $\pi \, \mathcal{N}(w; 0, \sigma_1^2) + (1 - \pi) \, \mathcal{N}(w; 0, \sigma_2^2)$.

    No divergence from it has a closed form; $\log p(w) - \log q(w)$ at draws is an unbiased estimate.

    Attributes:
        mix: $\pi$, between 0 and 1.
        scale1: $\sigma_1$.
        scale2: $\sigma_2$, in the paper much the smaller one.

    Raises:
        ValueError: if a scale is not positive and finite, or `mix` is not between 0 and 1.

    Example:
        >>> ScaleMixturePrior(0.5, 1.0, math.exp(-6)).log_prob(torch.tensor([0.0, 1.0]))
        tensor([ 4.3904, -2.1121])

    References:
        | Weight Uncertainty in Neural Networks (Blundell, Cornebise, Kavukcuoglu & Wierstra, 2015), eq. 7
        | https://arxiv.org/abs/1505.05424v2
    """

    mix: float
    scale1: float
    scale2: float

    def __post_init__(self) -> None:
        check_scale("scale1", self.scale1)
        check_scale("scale2", self.scale2)
        if not 0 <= self.mix <= 1:
            raise ValueError(f"mix is {self.mix}; the weight of the first Gaussian lies between 0 and 1")

    def log_prob(self, weights: Tensor) -> Tensor:
        """Log-density in nats of each entry."""
        return mixture_log_prob(weights, mix=self.mix, scale1=self.scale1, scale2=self.scale2)

    def kl(self, mean: Tensor, log_scale: Tensor) -> Tensor:
        """There is none: `ValueError`."""
        raise no_closed_form(self)


@dataclass(frozen=True)
class DistributionPrior:
    """Any distribution over single numbers as a prior.

    Attributes:
        distribution: batch and event of shape `()`.

    Raises:
        ValueError: if it has another shape.
    """

    distribution: Distribution

    def __post_init__(self) -> None:
        shape = self.distribution.batch_shape + self.distribution.event_shape
        if shape:
            raise ValueError(f"the prior has shape {tuple(shape)}; give a distribution over single numbers, shape ()")

    def log_prob(self, weights: Tensor) -> Tensor:
        """Log-density in nats of each entry."""
        log_prob: Tensor = self.distribution.log_prob(weights)
        return log_prob

    def kl(self, mean: Tensor, log_scale: Tensor) -> Tensor:
        """The divergence of each entry in nats, where torch knows it."""
        try:
            return kl_divergence(Normal(mean, log_scale.exp(), validate_args=False), self.distribution)
        except NotImplementedError:
            raise no_closed_form(self.distribution) from None


def as_prior(prior: Prior | Distribution) -> Prior:
    """A prior as it is, a distribution of torch wrapped as one.

    Raises:
        ValueError: if it is neither, or a distribution over anything but single numbers.

    Example:
        >>> as_prior(torch.distributions.Cauchy(0.0, 1.0)).log_prob(torch.zeros(2))
        tensor([-1.1447, -1.1447])
    """
    if isinstance(prior, Distribution):
        return DistributionPrior(prior)
    if not hasattr(prior, "log_prob") or not hasattr(prior, "kl"):
        raise ValueError(f"prior is {prior!r}; give NormalPrior(scale), another prior, or a torch distribution")
    return prior


def check_density(prior: Prior, weights: Tensor, name: str) -> None:
    """Refuse a prior that is no density on the whole line, or has none at the initial means.

    Raises:
        ValueError: naming the prior and the parameter.
    """
    if isinstance(prior, DistributionPrior) and not _is_on_the_line(prior.distribution, weights):
        found = f"{prior.distribution} has support {prior.distribution.support}"
        raise ValueError(f"the prior {found}; a weight's is the whole line")
    log_prob = prior.log_prob(weights.detach())
    if bool((log_prob.isnan() | (log_prob == -math.inf)).any()):
        named = prior.distribution if isinstance(prior, DistributionPrior) else prior
        raise ValueError(f"the prior {named} has density 0 or NaN at {name}; its scale must be positive and not tiny")


def _is_on_the_line(distribution: Distribution, like: Tensor) -> bool:
    """Whether its support is all real numbers; a distribution that names none is taken at its word."""
    try:
        support = distribution.support
    except NotImplementedError:
        return True
    line = like.new_tensor([-1e30, -0.5, 0.25, 1e30])
    return support is not None and not support.is_discrete and bool(support.check(line).all())  # type: ignore[no-untyped-call]


def no_closed_form(prior: object) -> ValueError:
    """The error of a divergence that has to be estimated."""
    return ValueError(
        f"no closed form of the KL from {prior!r}; estimate it from draws: log_posterior(draws) - log_prior(draws)"
    )


def check_scale(name: str, scale: float) -> None:
    """Refuse a scale that is not positive and finite.

    Raises:
        ValueError: naming it.
    """
    if not 0 < scale < math.inf:
        raise ValueError(f"{name} is {scale}; a prior's scale is positive and finite")


STANDARD_NORMAL = NormalPrior(1.0)
