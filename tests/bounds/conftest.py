r"""Models whose log p(x) is known, and sums over all noise in place of draws."""

import math
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch.distributions import Binomial, MultivariateNormal

from jensen._contracts import LogWeights

DOUBLE = torch.float64


class Gaussian(NamedTuple):
    """q(z | x) by its parameters, so that gradients can be asked for in them."""

    loc: torch.Tensor
    scale_tril: torch.Tensor

    @property
    def distribution(self):
        return MultivariateNormal(self.loc, scale_tril=self.scale_tril.tril())

    def detached(self):
        return Gaussian(self.loc.detach(), self.scale_tril.detach())


class ConjugateGaussian:
    """z ~ N(0, I), x | z ~ N(Wz + b, s^2 I), and q(z | x) = N(m, L L^T) for one datum x, in closed form."""

    def __init__(self, latent):
        draw = torch.Generator().manual_seed(1)
        self.W = torch.randn(3, latent, generator=draw, dtype=DOUBLE) * 0.5
        self.b = torch.tensor([0.2, -0.1, 0.4], dtype=DOUBLE)
        self.s = 0.8
        self.x = torch.tensor([0.9, -0.5, 1.1], dtype=DOUBLE)
        self.eye = torch.eye(latent, dtype=DOUBLE)

    @property
    def prior(self):
        return MultivariateNormal(torch.zeros_like(self.eye[0]), self.eye)

    @property
    def log_evidence(self):
        covariance = self.W @ self.W.T + self.s**2 * torch.eye(3, dtype=DOUBLE)
        return MultivariateNormal(self.b, covariance).log_prob(self.x)

    @property
    def posterior(self):
        precision = self.eye + self.W.T @ self.W / self.s**2
        mean = torch.linalg.solve(precision, self.W.T @ (self.x - self.b) / self.s**2)
        return MultivariateNormal(mean, precision_matrix=precision)

    def approximation(self, *, shift=0.25, stretch=1.15):
        """A Gaussian q that is off the posterior in mean and width."""
        loc, scale_tril = self.posterior.loc + shift, self.posterior.scale_tril * stretch
        return Gaussian(loc.requires_grad_(), scale_tril.requires_grad_())

    def log_weights(self, q, noise, *, path_derivative=False):
        """Three terms `(K, B)` from noise `(K, B, D)`."""
        z = q.loc + noise @ q.scale_tril.tril().mT
        density = q.detached().distribution if path_derivative else q.distribution
        residual = (self.x - self.b - z @ self.W.T) / self.s
        return LogWeights(
            log_likelihood=-0.5 * (residual**2).sum(-1) - 3 * (math.log(self.s) + 0.5 * math.log(2 * math.pi)),
            log_prior=self.prior.log_prob(z),
            log_posterior=density.log_prob(z),
            path=(z,) if path_derivative else (),
        )


class Quadrature:
    """Gauss-Hermite sums over standard normal noise: exact to rounding for smooth functions."""

    def grid(self, samples, latent=1, *, points=40):
        """All combinations of nodes, `(samples, B, latent)`, and their weights `(B,)`."""
        axes = samples * latent
        nodes, weights = (torch.from_numpy(each) for each in np.polynomial.hermite_e.hermegauss(points))
        weights = weights / weights.sum()
        grid = torch.cartesian_prod(*[nodes] * axes).reshape(-1, samples, latent)
        mass = torch.cartesian_prod(*[weights] * axes).reshape(-1, axes).prod(-1)
        return grid.transpose(0, 1), mass

    def gradients(self, bound, mass, parameters):
        """Expectation of a bound's gradient in the parameters, all of them in one vector."""
        found = torch.autograd.grad((mass * bound).sum(), parameters)
        return torch.cat([gradient.reshape(-1) for gradient in found])

    def expected_iwae(self, log_w, mass, samples):
        r"""$E[\log \frac1K \sum_k w_k]$ for ANY K, from the law of one weight.

        By $\log s = \int_0^\infty (e^{-t} - e^{-ts}) dt / t$: a sum has a power of the Laplace transform of a term.
        """
        shift = torch.logsumexp(log_w + mass.log(), 0)  # so that the weights' mean is one
        u = torch.arange(-45, 60, 0.02, dtype=DOUBLE)  # t = e^u / K
        t = u.exp() / samples
        transform = (mass * torch.exp(-t[:, None] * (log_w - shift).exp())).sum(-1)
        return shift + 0.02 * (torch.exp(-u.exp()) - transform**samples).sum()


class TwoValued:
    r"""Weights that are `high` with probability p and `low` otherwise: all K-tuples, K + 1 of them up to order."""

    high, low, p = 4.0, 1.0, 0.5
    mean = p * high + (1 - p) * low

    def central_moment(self, order):
        return self.p * (self.high - self.mean) ** order + (1 - self.p) * (self.low - self.mean) ** order

    def tuples(self, K):
        """Log-weights `(K, K + 1)`, column n with n high ones, and the columns' probabilities."""
        n = torch.arange(K + 1, dtype=DOUBLE)
        high = torch.arange(K)[:, None] < n
        log_w = math.log(self.low) + high.to(DOUBLE) * math.log(self.high / self.low)
        return log_w, Binomial(K, torch.tensor(self.p, dtype=DOUBLE)).log_prob(n).exp()

    def expectation(self, bound, K):
        log_w, probability = self.tuples(K)
        return float((probability * bound(log_w)).sum())

    def bias(self, bound, K):
        return self.expectation(bound, K) - math.log(self.mean)


@pytest.fixture(scope="session")
def quadrature():
    return Quadrature()


@pytest.fixture(scope="session")
def two_valued():
    return TwoValued()


@pytest.fixture
def line():
    """One latent variable: all noise can be summed over, even that of three samples."""
    return ConjugateGaussian(1)


@pytest.fixture
def plane():
    """Two latent variables, dependent in the posterior."""
    return ConjugateGaussian(2)


@pytest.fixture(scope="session")
def stray_gaussian():
    """p(z) = N(0, 1), x | z ~ N(z, 1), x = 2, q = N(0.3, 1)."""

    def density(x, mean, variance):
        return -0.5 * (x - mean) ** 2 / variance - 0.5 * math.log(2 * math.pi * variance)

    return SimpleNamespace(
        log_likelihood=lambda noise: density(2.0, 0.3 + noise, 1.0),
        log_weight=lambda noise: (
            density(2.0, 0.3 + noise, 1.0) + density(0.3 + noise, 0.0, 1.0) - density(noise, 0.0, 1.0)
        ),
        kl=0.5 * 0.3**2,
        log_evidence=density(2.0, 0.0, 2.0),
        limit_with_kl=density(2.0, 0.3, 2.0) - 0.5 * 0.3**2,
    )
