"""A linear-Gaussian model whose evidence is known, and data that are drawn anew on every use."""

import torch
from torch import nn
from torch.distributions import Independent, MultivariateNormal, Normal

from jensen._contracts import LogWeights


class LinearGaussian(nn.Module):
    """z ~ N(0, I), x | z ~ N(W z + b, s^2 I), q(z | x) = N(A x + c, diag r^2)."""

    def __init__(self, *, pixels=3, latent=2):
        super().__init__()
        self.encoder = nn.Linear(pixels, latent)
        self.decoder = nn.Linear(latent, pixels)
        self.log_r = nn.Parameter(torch.zeros(latent))
        self.log_s = nn.Parameter(torch.zeros(()))
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def posterior(self, x):
        return gaussian(self.encoder(x), self.log_r.exp())

    def noise(self, x, samples=1):
        return torch.randn(samples, len(x), len(self.log_r), dtype=self.log_r.dtype, device=x.device)

    def log_weights(self, x, samples=1, *, noise=None, posterior=None, path_derivative=False):
        q = self.posterior(x) if posterior is None else posterior
        noise = self.noise(x, samples) if noise is None else noise
        z = q.mean + noise * q.stddev  # (K, B, D)
        if path_derivative:
            q = gaussian(q.mean.detach(), q.stddev.detach())
        likelihood = gaussian(self.decoder(z), self.log_s.exp())
        prior = gaussian(torch.zeros_like(z), torch.ones_like(z))
        return LogWeights(
            likelihood.log_prob(x), prior.log_prob(z), q.log_prob(z), path=(z,) if path_derivative else ()
        )

    def kl(self, x):
        q = self.posterior(x)
        return 0.5 * (q.mean**2 + q.stddev**2 - 1 - 2 * q.stddev.log()).sum(-1)

    def log_evidence(self, x):
        W, identity = self.decoder.weight, torch.eye(x.shape[1])
        return MultivariateNormal(self.decoder.bias, W @ W.T + (2 * self.log_s).exp() * identity).log_prob(x)

    def check(self, x):
        if x.ndim != 2 or x.shape[1] != self.encoder.in_features:
            raise ValueError(f"data have shape {tuple(x.shape)}, expected (B, {self.encoder.in_features})")
        if not torch.isfinite(x).all():
            raise ValueError("data hold NaN or infinity")


class Grey:
    """Pixels that are black or white anew on every use."""

    def __init__(self, grey):
        self.grey = grey
        self.device = grey.device

    def __len__(self):
        return len(self.grey)

    def __getitem__(self, index):
        return torch.bernoulli(self.grey[index])


def gaussian(mean, scale):
    return Independent(Normal(mean, scale, validate_args=False), 1, validate_args=False)


def linear_gaussian(seed=1, **sizes):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LinearGaussian(**sizes)
