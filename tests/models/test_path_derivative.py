"""Gradients that reach the encoders through the draws alone, integrated over the noise of all layers and samples."""

import pytest
import torch
from torch.testing import assert_close

from jensen import bounds
from jensen._contracts import LogWeights

NODES = {1: 40, 2: 32, 4: 14}


@pytest.fixture
def expected_gradient(quadrature, x):
    """Gradient of the expectation of `bound` in all parameters, decoders first, for the first datum."""

    def gradient(model, bound, samples):
        size = model.noise(x).shape[-1]
        grid, weight = quadrature(samples * size, NODES[samples * size])
        noise = grid.unflatten(-1, (samples, size)).transpose(0, 1)
        value = weight @ bound(model, x[:1].expand(len(grid), -1), samples, noise)
        parameters = [*model.decoders.parameters(), *model.encoders.parameters()]
        return torch.cat([g.flatten() for g in torch.autograd.grad(value, parameters)])

    return gradient


def iwae(model, x, samples, noise):
    return bounds.iwae(model.log_weights(x, samples, noise=noise).total)


def stl(model, x, samples, noise):
    return bounds.stl(model.log_weights(x, samples, noise=noise, path_derivative=True))


def dreg(model, x, samples, noise):
    return bounds.dreg(model.log_weights(x, samples, noise=noise, path_derivative=True))


def without_second_weight(model, x, samples, noise):
    return bounds.iwae(model.log_weights(x, samples, noise=noise, path_derivative=True).total)


def hooked_on_the_chain(model, x, samples, noise):
    """A twin without branches: what flows from the second layer's draws through the first's is weighed twice."""
    q = model.posterior(x)
    h, _, _ = model._recognise(q, noise)
    terms = model.likelihood(h[0]).log_prob(x), model._log_prior(h), model._log_posterior_at(h, q)
    return bounds.dreg(LogWeights(*terms, path=tuple(h)))


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize(("bound", "samples"), [(stl, 1), (dreg, 1), (dreg, 2)])
def test_the_gradient_has_the_expectation_of_the_plain_one(chain, expected_gradient, layers, bound, samples):
    model = chain(layers).iwae()
    plain = expected_gradient(model, iwae, samples)
    assert plain.abs().min() > 1e-4
    assert_close(expected_gradient(model, bound, samples), plain, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("twin", "layers"), [(without_second_weight, 1), (without_second_weight, 2), (hooked_on_the_chain, 2)]
)
def test_a_gradient_weighed_once_or_thrice_is_caught(chain, expected_gradient, twin, layers):
    model = chain(layers).iwae()
    bias = expected_gradient(model, twin, 2) - expected_gradient(model, iwae, 2)
    of_decoders = sum(p.numel() for p in model.decoders.parameters())
    assert bias[of_decoders:].abs().max() > 1e-3
    assert bias[:of_decoders].abs().max() < 1e-6


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_at_the_true_posterior_the_path_is_without_noise(chain, x, layers):
    model = chain(layers, exact=True).iwae()
    gradients = {}
    for bound in (stl, dreg, iwae):
        samples = 1 if bound is stl else 4
        value = bound(model, x, samples, model.noise(x, samples)).sum()
        gradients[bound] = torch.cat(
            [g.flatten() for g in torch.autograd.grad(value, list(model.encoders.parameters()))]
        )
    assert gradients[stl].abs().max() < 1e-12
    assert gradients[dreg].abs().max() < 1e-12
    assert gradients[iwae].abs().max() > 1e-2


def test_the_variational_autoencoder_takes_the_same_path(chain, x):
    world = chain(1)
    models = world.iwae(), world.vae()
    noise = models[0].noise(x, 3)
    values = [dreg(model, x, 3, noise).sum() for model in models]
    assert_close(*[torch.autograd.grad(v, list(world.encoders[0].parameters())) for v in values])
