"""Chains of linear-Gaussian layers, h^L ~ N(0, 1), h^{l-1} | h^l ~ N(a h^l + b, s^2), their evidence and posterior."""

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal

from jensen.layers import GaussianMLP
from jensen.models import IWAE, VAE

PIXELS = 3


def tensor(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


class Chain:
    """One latent unit a layer, three pixels; `encoders` hold the true posterior, or one that is off in every way."""

    def __init__(self, layers, *, exact=False):
        slopes = [tensor(0.9, -0.6, 0.3), *(tensor(a) for a in (0.8, -0.7))][:layers]
        shifts = [tensor(0.2, 0.0, -0.1), *(tensor(b) for b in (0.3, -0.2))][:layers]
        scales = [tensor(0.7, 0.8, 0.9), *(tensor(s) for s in (0.6, 0.9))][:layers]
        self.decoders, self.encoders = [], []
        mean, variance = tensor(0.0), tensor(1.0)
        for a, b, s in reversed(list(zip(slopes, shifts, scales, strict=True))):
            precision = 1 / variance + (a**2 / s**2).sum()
            slope = a / s**2 / precision
            shift = (mean / variance - (a * b / s**2).sum()) / precision
            self.decoders.insert(0, _decoder(a, b, s))
            self.encoders.insert(0, _encoder(slope, shift, -precision.log() / 2, exact=exact))
            top = mean, variance
            mean, variance = a * mean + b, a**2 * variance + s**2
        self.mean = slopes[0] * top[0] + shifts[0]
        self.covariance = torch.outer(slopes[0], slopes[0]) * top[1] + torch.diag(scales[0] ** 2)
        self.layers = layers

    def log_evidence(self, x):
        return MultivariateNormal(self.mean, self.covariance).log_prob(x)

    def iwae(self):
        return IWAE(encoders=self.encoders, decoders=self.decoders, latents=[1] * self.layers).double()

    def vae(self):
        return VAE(encoder=self.encoders[0], decoder=self.decoders[0], latent=1).double()


def _decoder(a, b, s):
    layer = GaussianMLP(1, (), len(a), scale="learned").double()
    with torch.no_grad():
        layer.network[0].weight.copy_(a.unsqueeze(1))
        layer.network[0].bias.copy_(b)
        layer.log_scale.copy_(s.log())
    return layer


def _encoder(slope, shift, log_scale, *, exact):
    layer = GaussianMLP(len(slope), (), 1).double()
    with torch.no_grad():
        layer.network[0].weight.copy_(torch.stack([slope, 0 * slope]))
        layer.network[0].bias.copy_(torch.cat([shift, log_scale.reshape(1)]))
        if not exact:
            layer.network[0].weight += torch.stack([-0.2 * slope, 0.05 + 0 * slope])
            layer.network[0].bias += tensor(0.2, -0.15)
    return layer


@pytest.fixture
def chain():
    return Chain


@pytest.fixture
def x():
    return tensor([0.5, -1.2, 0.3], [1.5, 0.4, -0.8], [-0.6, 0.1, 0.9], [0.0, 0.0, 0.0])


@pytest.fixture
def quadrature():
    """Gauss and Hermite's rule for `d` standard normal numbers: nodes `(n^d, d)` and weights `(n^d,)`."""

    def rule(d, n):
        nodes, weights = (torch.as_tensor(a) for a in np.polynomial.hermite_e.hermegauss(n))
        grid = torch.cartesian_prod(*[nodes] * d).reshape(-1, d)
        return grid, torch.cartesian_prod(*[weights / weights.sum()] * d).reshape(-1, d).prod(-1)

    return rule


@pytest.fixture
def every_draw(quadrature):
    """Log-weights `(n^d, B)` of single draws at all nodes, and the weights of the nodes."""

    def draws(model, x, n=40, **options):
        grid, weight = quadrature(model.noise(x).shape[-1], n)
        noise = grid.unsqueeze(1).expand(-1, len(x), -1)
        return model.log_weights(x, len(grid), noise=noise, **options), weight

    return draws
