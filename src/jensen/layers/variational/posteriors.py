r"""Posteriors of a layer's weights: independent Gaussians, or one Gaussian with a full covariance.

A *family* is a small value (`MeanField()`, `FullGaussian()`) that makes the module of a posterior's scales. The means
are not in it: they are the layer's own parameters.
"""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from jensen._math import HALF_LOG_TWO_PI
from jensen.layers.variational import closed_forms, densities
from jensen.layers.variational.parameterizations import PARAMETERIZATIONS
from jensen.layers.variational.priors import NormalPrior, Prior, check_scale

__all__ = ["INDEPENDENT", "FullGaussian", "FullScale", "MeanField", "MeanFieldScales", "Posterior", "Scales"]

Weights = Mapping[str, Tensor]


class Scales(Protocol):
    """What a posterior is beside its means."""

    def scales(self) -> dict[str, Tensor]:
        """The standard deviation of each weight."""
        ...

    def draw(self, means: Weights, samples: int) -> dict[str, Tensor]:
        """K draws, `(K, *shape)` each."""
        ...

    def log_prob(self, means: Weights, draws: Weights) -> Tensor:
        """Their log-densities in nats, `(K,)`."""
        ...

    def kl(self, means: Weights, prior: Prior) -> Tensor:
        """The divergence from the prior in nats, `()`."""
        ...


class Posterior(Protocol):
    """A family of posteriors."""

    def start(self, means: Weights) -> nn.Module:
        """The module of the scales of a posterior around these means: it answers what `Scales` names."""
        ...


@dataclass(frozen=True)
class MeanField:
    r"""Independent Gaussians, $q(w) = \prod_i \mathcal{N}(w_i; \mu_i, \sigma_i^2)$.

    Attributes:
        initial_scale: $\sigma_i$ at the start.
        parameterization: `"log"`, a free $\log \sigma$, the faster one; or `"softplus"`, a free $\rho$ with
            $\sigma = \log(1 + e^\rho)$ as in the paper.

    Raises:
        ValueError: if `initial_scale` is not positive, or there is no such parameterization.

    Example:
        >>> MeanField(initial_scale=0.05, parameterization="softplus")
        MeanField(initial_scale=0.05, parameterization='softplus')

    References:
        | Weight Uncertainty in Neural Networks (Blundell, Cornebise, Kavukcuoglu & Wierstra, 2015), section 3.2
        | https://arxiv.org/abs/1505.05424v2
    """

    initial_scale: float = 0.02
    parameterization: str = "log"

    def __post_init__(self) -> None:
        check_scale("initial_scale", self.initial_scale)
        if self.parameterization not in PARAMETERIZATIONS:
            raise ValueError(f"parameterization is {self.parameterization!r}; give 'log' or 'softplus'")

    def start(self, means: Weights) -> "MeanFieldScales":
        """Every scale at `initial_scale`."""
        return MeanFieldScales(means, self.initial_scale, parameterization=self.parameterization)


class MeanFieldScales(nn.Module):
    r"""The scales of independent Gaussians, kept as free numbers $\log \sigma$ or $\rho$.

    Args:
        means: the weights, by name.
        initial_scale: where each scale starts.
        parameterization: `"log"` or `"softplus"`.
    """

    def __init__(self, means: Weights, initial_scale: float, *, parameterization: str) -> None:
        super().__init__()
        self.kind = PARAMETERIZATIONS[parameterization]
        self.keys = {name: f"{self.kind.symbol}_{name.replace('.', '_')}" for name in means}
        value = self.kind.free(initial_scale)
        for name, mean in means.items():
            self.register_parameter(self.keys[name], nn.Parameter(torch.full_like(mean, value, requires_grad=True)))

    def free(self, name: str) -> Tensor:
        r"""The free numbers of one parameter: $\log \sigma$ or $\rho$."""
        free = self._parameters[self.keys[name]]
        if free is None:
            raise ValueError(f"the scales of {name!r} were set to None")
        return free

    def scales(self) -> dict[str, Tensor]:
        """The standard deviation of each weight."""
        return {name: self.kind.scale(self.free(name)) for name in self.keys}

    def variance(self, name: str) -> Tensor:
        """The variances of one parameter."""
        return closed_forms.variance(self.free(name), kind=self.kind)

    def offset(self, name: str, noise: Tensor) -> Tensor:
        """What noise adds to the mean of one parameter."""
        return closed_forms.offset(self.free(name), noise, kind=self.kind)

    def draw(self, means: Weights, samples: int) -> dict[str, Tensor]:
        """K draws, `(K, *shape)` each."""
        return {name: mean + self.offset(name, _noise(mean, samples)) for name, mean in means.items()}

    def log_prob(self, means: Weights, draws: Weights) -> Tensor:
        """Their log-densities in nats, `(K,)`."""
        terms = [
            densities.normal_log_prob(mean, self.free(name), draws[name], kind=self.kind)
            for name, mean in means.items()
        ]
        return _total(terms)

    def kl(self, means: Weights, prior: Prior) -> Tensor:
        """The divergence from the prior in nats, `()`."""
        if type(prior) is NormalPrior:
            free = [self.free(name) for name in means]
            return closed_forms.normal_kl(list(means.values()), free, kind=self.kind, prior_scale=prior.scale)
        log_scales = {name: self.kind.log_scale(self.free(name)) for name in means}
        return _total([prior.kl(mean, log_scales[name]).sum() for name, mean in means.items()])


def _noise(mean: Tensor, samples: int) -> Tensor:
    return torch.randn(samples, *mean.shape, dtype=mean.dtype, device=mean.device)


def _total(terms: list[Tensor]) -> Tensor:
    return functools.reduce(torch.add, terms)


INDEPENDENT = MeanField()


@dataclass(frozen=True)
class FullGaussian:
    r"""One Gaussian over all of a layer's random weights, $q(w) = \mathcal{N}(\mu, L L^\top)$.

    It holds $n^2$ numbers for $n$ weights, and is the exact posterior of Bayesian linear regression.

    Attributes:
        initial_scale: the standard deviation of each weight at the start, where none are correlated.

    Raises:
        ValueError: if `initial_scale` is not positive.
    """

    initial_scale: float = 0.02

    def __post_init__(self) -> None:
        check_scale("initial_scale", self.initial_scale)

    def start(self, means: Weights) -> "FullScale":
        """A multiple of the identity."""
        return FullScale(means, math.log(self.initial_scale))


class FullScale(nn.Module):
    r"""The factor $L$ of a full covariance $L L^\top$, lower triangular with diagonal $e^{d}$.

    Args:
        means: the weights, by name; the order in which their entries are counted.
        value: where each entry of $d$ starts.
    """

    def __init__(self, means: Weights, value: float) -> None:
        super().__init__()
        first = next(iter(means.values()))
        self.shapes = {name: mean.shape for name, mean in means.items()}
        size = sum(shape.numel() for shape in self.shapes.values())
        self.log_diagonal = nn.Parameter(first.new_full((size,), value))
        self.lower = nn.Parameter(first.new_zeros(size, size))

    def factor(self) -> Tensor:
        """$L$, `(n, n)`."""
        return self.lower.tril(-1) + self.log_diagonal.exp().diag()

    def scales(self) -> dict[str, Tensor]:
        """The standard deviation of each weight."""
        return self._split(self.factor().square().sum(1).sqrt())

    def draw(self, means: Weights, samples: int) -> dict[str, Tensor]:
        """K draws, `(K, *shape)` each."""
        noise = _noise(self.log_diagonal, samples)
        offsets = self._split(noise @ self.factor().T)
        return {name: mean + offsets[name] for name, mean in means.items()}

    def log_prob(self, means: Weights, draws: Weights) -> Tensor:
        """Their log-densities in nats, `(K,)`."""
        offsets = torch.cat([(draws[name] - mean).flatten(1) for name, mean in means.items()], 1)  # (K, n)
        standard = torch.linalg.solve_triangular(self.factor(), offsets.T, upper=False)  # (n, K)
        log_prob: Tensor = (-0.5 * standard.square() - HALF_LOG_TWO_PI).sum(0) - self.log_diagonal.sum()
        return log_prob

    def kl(self, means: Weights, prior: Prior) -> Tensor:
        r"""$\sum_i \mathrm{KL}(q(w_i) \,\|\, p(w_i))$ and the total correlation $\sum_i H[w_i] - H[w]$."""
        log_scales = {name: scale.log() for name, scale in self.scales().items()}
        marginal = _total([prior.kl(mean, log_scales[name]).sum() for name, mean in means.items()])
        correlation = _total([each.sum() for each in log_scales.values()]) - self.log_diagonal.sum()
        return marginal + correlation

    def _split(self, flat: Tensor) -> dict[str, Tensor]:
        pieces = torch.split(flat, [shape.numel() for shape in self.shapes.values()], -1)
        named = zip(self.shapes.items(), pieces, strict=True)
        return {name: piece.reshape(*flat.shape[:-1], *shape) for (name, shape), piece in named}
