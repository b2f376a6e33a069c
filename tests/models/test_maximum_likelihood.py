"""Training reaches the maximum likelihood of principal components and of factor analysis, where that is known."""

import math

import pytest
import torch
from sklearn.decomposition import FactorAnalysis

from jensen import bounds
from jensen.layers import GaussianMLP
from jensen.models import VAE

N, D, LATENT = 300, 8, 2


@pytest.fixture
def data():
    draw = torch.Generator().manual_seed(0)
    loadings = torch.randn(LATENT, D, generator=draw, dtype=torch.float64)
    noise = torch.randn(N, D, generator=draw, dtype=torch.float64) * torch.linspace(0.3, 0.7, D)
    return 1.5 + torch.randn(N, LATENT, generator=draw, dtype=torch.float64) @ loadings + noise


def trained(scale, x):
    """The bound before and after L-BFGS, exact: the log-densities are quadratic and the noise has their moments."""
    torch.manual_seed(1)
    encoder, decoder = GaussianMLP(D, (), LATENT), GaussianMLP(LATENT, (), D, scale=scale)
    model = VAE(encoder=encoder, decoder=decoder, latent=LATENT).double()
    axes = math.sqrt(LATENT) * torch.eye(LATENT, dtype=torch.float64)
    noise = torch.cat([axes, -axes]).unsqueeze(1).expand(-1, len(x), -1)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.LBFGS(parameters, max_iter=500, line_search_fn="strong_wolfe", tolerance_change=1e-12)

    def negative_bound():
        optimizer.zero_grad()
        loss = -bounds.elbo(model.log_weights(x, 2 * LATENT, noise=noise).total).mean()
        loss.backward()
        return loss

    before = -negative_bound().item()
    optimizer.step(negative_bound)
    return before, -negative_bound().item(), model


def test_with_the_best_fixed_scale_it_is_probabilistic_principal_components(data):
    """Maximum log-likelihood -(1/2) (d log 2 pi + sum of log eigenvalues + (d - q) log s^2 + d), within 1e-4 nats."""
    eigenvalues = torch.linalg.eigvalsh(torch.cov(data.T, correction=0)).flip(0)
    variance = eigenvalues[LATENT:].mean()
    logarithms = eigenvalues[:LATENT].log().sum() + (D - LATENT) * variance.log()
    maximum = -0.5 * (D * math.log(2 * math.pi) + logarithms + D).item()
    before, bound, _ = trained(variance.sqrt().item(), data)
    assert before < maximum - 1
    assert maximum - 1e-4 < bound < maximum + 1e-9


def test_with_a_learned_scale_for_each_pixel_it_is_factor_analysis(data):
    oracle = FactorAnalysis(LATENT, tol=1e-9, max_iter=20_000, svd_method="lapack").fit(data.numpy())
    _, bound, model = trained("learned", data)
    maximum = oracle.score(data.numpy())
    assert abs(bound - maximum) < 1e-4
    variance = (2 * model.decoder.log_scale).exp().detach().numpy()
    assert variance == pytest.approx(oracle.noise_variance_, rel=1e-2)
