"""A Gaussian whose rate-distortion function is known, and linear autoencoders that can reach it."""

import math

import torch
from torch import nn

from jensen.evaluation.rate_distortion import gaussian_rate
from jensen.layers import GaussianMLP
from jensen.models import VAE
from jensen.training import ReconstructionError, Stepper
from jensen.training.optimizers import set_learning_rate

SPECTRUM = torch.tensor([4.0, 2.0, 1.0, 0.5, 0.25, 0.12, 0.06, 0.03], dtype=torch.float64)
SIZE = len(SPECTRUM)
HALF = 0.5**0.5
"""The scale of Gaussian pixels at which minus the log-likelihood is the squared error and a constant."""


def rotation():
    generator = torch.Generator().manual_seed(0)
    return torch.linalg.qr(torch.randn(SIZE, SIZE, generator=generator, dtype=torch.float64))[0]


def cross(size):
    """Points whose mean is zero and whose covariance is one: quadratic functions have their exact expectations."""
    axes = math.sqrt(size) * torch.eye(size, dtype=torch.float64)
    return torch.cat([axes, -axes])  # (2 size, size)


def data():
    """Of the covariance with that spectrum, exactly."""
    return cross(SIZE) * SPECTRUM.sqrt() @ rotation().T  # (16, 8)


class Expected(nn.Module):
    """A VAE that is inferred at the points of a quadrature over its noise, not at random ones."""

    def __init__(self, vae):
        super().__init__()
        self.vae = vae

    def infer(self, x, samples=1):
        points = cross(SIZE)
        return self.vae.infer(x, len(points), noise=points[:, None].expand(-1, len(x), -1))


def linear_vae(seed):
    """Linear encoder and decoder; the posterior's scale does not depend on the datum."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        encoder, decoder = GaussianMLP(SIZE, (), SIZE, scale="learned"), GaussianMLP(SIZE, (), SIZE, scale=HALF)
        return VAE(encoder=encoder, decoder=decoder, latent=SIZE).double()


@torch.no_grad()
def optimal_vae(distortion):
    r"""Of each direction $z = a u + s \epsilon$ and $\hat u = a \sigma^2 z$, $s^2 = \theta / \sigma^2$, or nothing."""
    vae, Q = linear_vae(0), rotation()
    level = gaussian_rate(SPECTRUM, distortion).level
    square = (level / SPECTRUM).clamp_max(1.0)
    slope = ((1 - square) / SPECTRUM).sqrt()
    vae.encoder.network[0].weight.copy_(slope[:, None] * Q.T)
    vae.encoder.log_scale.copy_(0.5 * square.log())
    vae.decoder.network[0].weight.copy_(Q * (slope * SPECTRUM))
    return vae


@torch.no_grad()
def point(vae):
    """Rate and distortion, exactly."""
    x, error = data(), ReconstructionError(1.0)
    inference = Expected(vae).infer(x)
    return inference.kl.mean().item(), (error(x, inference) + error.scale).mean().item()


def descend(vae, objective, *, steps, learning_rate=8e-2, **options):
    """Adam with a cosine schedule on the expected objective."""
    stepper = Stepper(Expected(vae), objective)
    x = data()
    for step in range(steps):
        set_learning_rate(stepper.optimizer, learning_rate * 0.5 * (1 + math.cos(math.pi * step / steps)))
        stepper.step(x, **options)
    return point(vae)
