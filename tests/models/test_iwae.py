import pytest
import torch
from torch.distributions import Normal
from torch.testing import assert_close

from jensen import bounds


def written_out(model, x, noise):
    """The three terms of the log-weight, layer by layer."""
    below, log_posterior, h = x, 0.0, []
    for encoder, epsilon in zip(model.encoders, noise.unbind(-1), strict=True):
        mean, log_scale = encoder.network(below).chunk(2, -1)
        h.append(mean + log_scale.exp() * epsilon.unsqueeze(-1))
        log_posterior = log_posterior + Normal(mean, log_scale.exp()).log_prob(h[-1]).sum(-1)
        below = h[-1]
    log_prior = Normal(0.0, 1.0).log_prob(h[-1]).sum(-1)
    values = [x, *h]
    given = [
        Normal(decoder.network(above), decoder.log_scale.exp()).log_prob(value).sum(-1)
        for decoder, above, value in zip(model.decoders, h, values, strict=False)
    ]
    return given[0], sum(given[1:], log_prior), log_posterior


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("path_derivative", [False, True])
def test_each_term_is_the_density_it_is_named_after(chain, x, layers, path_derivative):
    model = chain(layers).iwae()
    noise = model.noise(x, 5)
    assert noise.shape == (5, 4, layers)
    found = model.log_weights(x, 5, noise=noise, path_derivative=path_derivative)
    for term, expected in zip(found[:3], written_out(model, x, noise), strict=True):
        assert_close(term, expected, rtol=1e-12, atol=1e-12)
    assert len(found.path) == (layers if path_derivative else 0)


@pytest.mark.parametrize(("layers", "nodes"), [(1, 40), (2, 40), (3, 24)])
def test_the_weights_have_the_evidence_as_expectation(chain, every_draw, x, layers, nodes):
    world = chain(layers)
    log_weights, weight = every_draw(world.iwae(), x, nodes)
    assert_close(weight @ log_weights.total.exp(), world.log_evidence(x).exp(), rtol=1e-8, atol=0)


@pytest.mark.parametrize(("layers", "nodes"), [(1, 40), (2, 40), (3, 24)])
def test_over_all_noise_the_generated_likelihood_has_the_evidence_as_mean(chain, quadrature, x, layers, nodes):
    world = chain(layers)
    noise, weight = quadrature(layers, nodes)
    model, noise = world.iwae(), noise.unsqueeze(1)
    assert_close(weight @ model.generate(noise).log_prob(x).exp(), world.log_evidence(x).exp(), rtol=1e-6, atol=0)
    if layers > 1:
        shared = model.generate(noise[..., :1].expand_as(noise)).log_prob(x).exp()
        assert not torch.allclose(weight @ shared, world.log_evidence(x).exp(), rtol=1e-2)


def test_a_prior_without_the_link_between_layers_is_caught(chain, every_draw, x):
    world = chain(2)
    log_weights, weight = every_draw(world.iwae(), x, path_derivative=True)
    log_prior = sum(Normal(0.0, 1.0).log_prob(h).sum(-1) for h in log_weights.path)
    log_w = log_weights._replace(log_prior=log_prior).total
    assert not torch.allclose(weight @ log_w.exp(), world.log_evidence(x).exp(), rtol=1e-2)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_at_the_true_posterior_every_bound_is_the_evidence_at_every_draw(chain, x, layers):
    world = chain(layers, exact=True)
    log_w = world.iwae().log_weights(x, 6).total
    evidence = world.log_evidence(x)
    assert_close(log_w, evidence.expand(6, -1), rtol=1e-12, atol=0)
    for bound in (bounds.elbo, bounds.iwae, bounds.jackknife):
        assert_close(bound(log_w), evidence, rtol=1e-12, atol=0)


def test_two_samples_bound_the_evidence_more_tightly_than_one(chain, quadrature, x):
    world = chain(2)
    grid, weight = quadrature(4, 12)
    x = x[:1].expand(len(grid), -1)
    log_w = world.iwae().log_weights(x, 2, noise=grid.unflatten(-1, (2, 2)).transpose(0, 1)).total
    one, two, evidence = weight @ log_w[0], weight @ bounds.iwae(log_w), world.log_evidence(x[0])
    assert one + 1e-3 < two < evidence - 1e-3


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_divergences_of_the_layers_add_up(chain, every_draw, quadrature, x, layers, monkeypatch):
    """Summed over layers and averaged over the noise: E[log q(h | x) - log p(h)]."""
    model = chain(layers).iwae()
    log_weights, weight = every_draw(model, x, 16)
    expected = weight @ (log_weights.log_posterior - log_weights.log_prior)
    for datum, exact in zip(x, expected, strict=True):
        grid, _ = quadrature(layers, 16)
        monkeypatch.setattr(model, "noise", lambda x, samples, grid=grid: grid.unsqueeze(0))
        found = model.latents(datum.expand(len(grid), -1))
        assert [layer.kl.shape for layer in found] == [(len(grid), 1)] * layers
        total = sum(layer.kl.squeeze(-1) for layer in found)
        assert_close(weight @ total, exact, rtol=1e-9, atol=0)


def test_the_lowest_mean_is_exact_and_the_others_are_averages(chain, x):
    torch.manual_seed(0)
    world = chain(2, exact=True)
    model = world.iwae()
    lowest, top = model.latents(x, samples=20_000)
    assert_close(lowest.mean, model.posterior(x).mean)
    slope, shift = model.encoders[1].network[0].weight[0], model.encoders[1].network[0].bias[0]
    deviation = abs(slope.item()) * model.posterior(x).stddev / 20_000**0.5
    assert ((top.mean - (slope * lowest.mean + shift)).abs() < 4.56 * deviation).all()


def test_one_layer_is_the_variational_autoencoder(chain, x):
    world = chain(1)
    one, vae = world.iwae(), world.vae()
    noise = vae.noise(x, 3)
    assert_close(one.log_weights(x, 3, noise=noise), vae.log_weights(x, 3, noise=noise))
    assert_close(one.latents(x)[0], vae.latents(x)[0])


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_one_pass_tells_what_log_weights_tells_and_the_divergence_of_each_draw(chain, every_draw, x, layers):
    model = chain(layers).iwae()
    noise = model.noise(x, 5)
    inference = model.infer(x, 5, noise=noise)
    terms = model.log_weights(x, 5, noise=noise)
    assert_close(tuple(inference.log_weights)[:3], tuple(terms)[:3])
    assert_close(inference.kl, sum(u.sum(-1) for u in inference.units))
    assert_close(inference.likelihood.log_prob(x), terms.log_likelihood)
    if layers < 3:
        log_weights, weight = every_draw(model, x)
        exact = weight @ (log_weights.log_posterior - log_weights.log_prior)
        torch.manual_seed(0)
        kl = model.infer(x, 20_000).kl
        z = (kl.mean(0) - exact) / (kl.std(0) / 20_000**0.5).clamp_min(1e-12)
        assert z.abs().max() < 4.56
