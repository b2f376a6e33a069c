"""Bayesian linear regression: posterior, evidence and best mean-field approximation are known."""

import math

import torch
from torch import nn

from jensen._contracts import LogWeights, Pairs

DOUBLE = torch.float64
NOISE, PRIOR = 0.4, 1.3
N, D = 12, 3


def data(n=N, d=D, seed=0):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=g, dtype=DOUBLE) @ torch.tensor(
        [[1.0, 0.6, 0.0], [0.0, 1.0, -0.5], [0.0, 0.0, 1.0]], dtype=DOUBLE
    )
    y = x @ torch.tensor([0.7, -1.1, 0.3], dtype=DOUBLE) + NOISE * torch.randn(n, generator=g, dtype=DOUBLE)
    return Pairs(x, y)


def posterior(pairs, *, tempering=1.0):
    """Mean and precision of p(w) p(D | w)^(1 / tempering), normalised."""
    x, y = pairs.inputs, pairs.targets
    precision = torch.eye(x.shape[1], dtype=DOUBLE) / PRIOR**2 + x.T @ x / (tempering * NOISE**2)
    return torch.linalg.solve(precision, x.T @ y / (tempering * NOISE**2)), precision


def log_evidence(pairs):
    """y ~ N(0, NOISE^2 I + PRIOR^2 X X^T)."""
    x, y = pairs.inputs, pairs.targets
    covariance = NOISE**2 * torch.eye(len(x), dtype=DOUBLE) + PRIOR**2 * x @ x.T
    return torch.distributions.MultivariateNormal(torch.zeros(len(x), dtype=DOUBLE), covariance).log_prob(y)


def mean_field_bound(pairs):
    """The best bound of a factorised Gaussian: the evidence less KL(N(m, diag(precision)^-1) || N(m, precision^-1))."""
    _, precision = posterior(pairs)
    return log_evidence(pairs) - 0.5 * (precision.diagonal().log().sum() - precision.logdet())


class LinearRegression(nn.Module):
    """y ~ N(x w, NOISE^2), w ~ N(0, PRIOR^2 I), q(w) Gaussian; `nodes` integrate a quadratic in w exactly."""

    def __init__(self, *, full, d=D):
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(d, dtype=DOUBLE))
        self.log_scale = nn.Parameter(torch.zeros(d, dtype=DOUBLE))
        self.lower = nn.Parameter(torch.zeros(d, d, dtype=DOUBLE), requires_grad=full)

    def start_at(self, mean, covariance):
        factor = torch.linalg.cholesky(covariance)
        with torch.no_grad():
            self.mean.copy_(mean)
            self.log_scale.copy_(factor.diagonal().log())
            self.lower.copy_(factor.tril(-1))
        return self

    def factor(self):
        return self.lower.tril(-1) + self.log_scale.exp().diag()

    def covariance(self):
        return self.factor() @ self.factor().T

    def nodes(self, samples):
        """Points whose mean is zero and whose second moments are one, +-sqrt(d) e_i; random ones for other numbers."""
        d = len(self.mean)
        if samples != 2 * d:
            return torch.randn(samples, d, dtype=DOUBLE)
        return math.sqrt(d) * torch.cat([torch.eye(d, dtype=DOUBLE), -torch.eye(d, dtype=DOUBLE)])

    def draw(self, samples):
        noise = self.nodes(samples)
        return noise, self.mean + noise @ self.factor().T  # (K, d)

    def log_likelihood(self, batch, samples):
        _, w = self.draw(samples)
        return self._score(batch, w)

    def _score(self, batch, w):
        return normal(batch.targets, w @ batch.inputs.T, NOISE)  # (K, B)

    def kl(self):
        d, covariance = len(self.mean), self.covariance()
        spread = (covariance.trace() + self.mean.square().sum()) / PRIOR**2 - d
        return 0.5 * spread + d * math.log(PRIOR) - self.log_scale.sum()

    def log_weights(self, batch, samples, *, data=None, path_derivative=False):
        _, w = self.draw(samples)
        mean, factor = self.mean, self.factor()
        if path_derivative:
            w = w.unsqueeze(1)
            path, w = (w,), w.squeeze(1)
            mean, factor = mean.detach(), factor.detach()
        q = torch.distributions.MultivariateNormal(mean, scale_tril=factor)
        scale = (data or len(batch)) / len(batch)
        return LogWeights(
            scale * self._score(batch, w).sum(1, keepdim=True),
            normal(w, 0.0, PRIOR).sum(1, keepdim=True),
            q.log_prob(w).unsqueeze(1),
            path=path if path_derivative else (),
        )


def normal(y, mean, scale):
    return -0.5 * ((y - mean) / scale) ** 2 - math.log(scale) - 0.5 * math.log(2 * math.pi)
