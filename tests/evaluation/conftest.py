import math

import pytest
import torch
from torch import nn
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from jensen._contracts import LogWeights


class LinearGaussian(nn.Module):
    """z ~ N(0, I), x | z ~ N(Wz, s^2 I): log p(x) and the ELBO are known. q is off in mean, width and shape."""

    def __init__(self, pixels=3, latent=2, dtype=torch.float64, *, shift=0.3, width=1.2, offset=0.0):
        super().__init__()
        draw = torch.Generator().manual_seed(7)
        W = torch.randn(pixels, latent, generator=draw, dtype=torch.float64) * 0.6
        covariance = torch.linalg.inv(torch.eye(latent, dtype=torch.float64) + W.T @ W / 0.49)
        self.register_buffer("W", W.to(dtype))
        self.register_buffer("covariance", covariance.to(dtype))
        self.register_buffer("scale", (width * covariance.diag().sqrt()).to(dtype))
        self.dropout = nn.Dropout(0.5)
        self.shift, self.offset = shift, offset
        self.encoded, self.asked, self.stored, self.seen, self.modes = 0, [], [], [], []

    def exact_mean(self, x):
        return x @ self.W @ self.covariance / 0.49

    def posterior(self, x):
        self.encoded += 1
        self.seen.append(x)
        self.modes.append(self.training)
        return Independent(Normal(self.exact_mean(x) + self.shift, self.scale), 1)

    def log_weights(self, x, samples=1, *, posterior=None):
        q = self.posterior(x) if posterior is None else posterior
        z = q.rsample((samples,))
        mean = self.dropout(z) @ self.W.T
        log_w = LogWeights(
            log_likelihood=Normal(mean, 0.7).log_prob(x).sum(-1) + self.offset,
            log_prior=Normal(0.0, 1.0).log_prob(z).sum(-1),
            log_posterior=q.log_prob(z),
        )
        self.asked.append((samples, len(x)))
        self.stored.append(log_w.total)
        return log_w

    def log_evidence(self, x):
        covariance = self.W @ self.W.T + 0.49 * torch.eye(len(self.W), dtype=self.W.dtype)
        return MultivariateNormal(torch.zeros_like(self.W[:, 0]), covariance).log_prob(x) + self.offset

    def exact_elbo(self, x):
        q = MultivariateNormal(self.exact_mean(x) + self.shift, torch.diag(self.scale.square()))
        return self.log_evidence(x) - kl_divergence(q, MultivariateNormal(self.exact_mean(x), self.covariance))

    def kl(self, x):
        q = Independent(Normal(self.exact_mean(x) + self.shift, self.scale), 1)
        return kl_divergence(q, Independent(Normal(torch.zeros_like(q.mean), 1.0), 1))

    def table_of_draws(self, batches):
        """All log-weights as they came, (K, N); `batches` is the number of minibatches."""
        each = len(self.stored) // batches
        parts = [torch.cat(self.stored[i * each : (i + 1) * each]) for i in range(batches)]
        return torch.cat(parts, dim=1)


@pytest.fixture
def linear_gaussian():
    return LinearGaussian


@pytest.fixture
def data():
    return torch.randn(12, 3, generator=torch.Generator().manual_seed(11), dtype=torch.float64)


@pytest.fixture
def two_points():
    """Exact E[L_k] for weights that are 1 or 3 with probability 1/2 each, by summing over the binomial law."""

    def expectation(k):
        threes = torch.arange(k + 1, dtype=torch.float64)
        log_choose = math.lgamma(k + 1) - torch.lgamma(threes + 1) - torch.lgamma(k - threes + 1)
        return ((log_choose - k * math.log(2)).exp() * (1 + 2 * threes / k).log()).sum().item()

    return expectation
