import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence
from torch.testing import assert_close

from jensen import bounds
from jensen.models import VAE


@pytest.fixture
def vae(chain):
    return chain(1).vae()


def test_each_term_is_the_density_it_is_named_after(vae, x):
    noise = vae.noise(x, 5)
    found = vae.log_weights(x, 5, noise=noise)
    mean, log_scale = vae.encoder.network(x).chunk(2, -1)
    z = mean + log_scale.exp() * noise
    assert_close(found.log_posterior, Normal(mean, log_scale.exp()).log_prob(z).sum(-1))
    assert_close(found.log_prior, Normal(0.0, 1.0).log_prob(z).sum(-1))
    pixels = Normal(vae.decoder.network(z), vae.decoder.log_scale.exp())
    assert_close(found.log_likelihood, pixels.log_prob(x).sum(-1))
    assert found.path == ()


def test_the_weights_have_the_evidence_as_expectation(chain, every_draw, x):
    world = chain(1)
    log_weights, weight = every_draw(world.vae(), x)
    assert_close(weight @ log_weights.total.exp(), world.log_evidence(x).exp(), rtol=1e-10, atol=0)


def test_the_bound_falls_short_of_the_evidence_by_the_divergence_from_the_posterior(chain, every_draw, x):
    world, ideal = chain(1), chain(1, exact=True).vae()
    log_weights, weight = every_draw(world.vae(), x)
    gap = kl_divergence(world.vae().posterior(x), ideal.posterior(x))
    assert (gap > 0.01).all()
    assert_close(weight @ log_weights.total, world.log_evidence(x) - gap, rtol=1e-10, atol=0)


def test_at_the_true_posterior_every_draw_gives_the_evidence(chain, x):
    world = chain(1, exact=True)
    log_w = world.vae().log_weights(x, 7).total
    assert_close(log_w, world.log_evidence(x).expand(7, -1), rtol=1e-12, atol=0)


def test_the_divergence_is_the_expectation_of_its_definition_and_that_of_torch(vae, every_draw, x):
    log_weights, weight = every_draw(vae, x)
    assert_close(weight @ (log_weights.log_posterior - log_weights.log_prior), vae.kl(x), rtol=1e-10, atol=0)
    q = vae.posterior(x)
    theirs = kl_divergence(Independent(Normal(q.mean, q.stddev), 1), Independent(Normal(0 * q.mean, 1.0), 1))
    assert_close(vae.kl(x), theirs)


def test_the_two_estimators_agree_in_expectation_and_gradient(vae, every_draw, x):
    log_weights, weight = every_draw(vae, x)
    by_draw = [
        torch.stack([bounds.sgvb_a(draw) for draw in _single(log_weights)]),
        torch.stack([bounds.sgvb_b(draw.log_likelihood, vae.kl(x)) for draw in _single(log_weights)]),
    ]
    a, b = (weight @ values for values in by_draw)
    assert_close(a, b, rtol=1e-10, atol=0)
    gradients = [torch.autograd.grad(v.sum(), list(vae.parameters()), retain_graph=True) for v in (a, b)]
    assert_close(*gradients, rtol=1e-9, atol=1e-10)
    spread = [(weight @ (values - v) ** 2).mean() for values, v in zip(by_draw, (a, b), strict=True)]
    assert spread[0] < spread[1] / 2, "near the posterior the terms that A keeps random cancel"


def _single(log_weights):
    return [type(log_weights)(*(term[k : k + 1] for term in log_weights[:3])) for k in range(len(log_weights.total))]


def test_units_know_their_mean_and_divergence(vae, x):
    (layer,) = vae.latents(x, samples=3)
    assert_close(layer.mean, vae.posterior(x).mean)
    assert_close(layer.kl.sum(-1), vae.kl(x))


def test_an_analytic_divergence_inside_the_logarithm_is_no_bound(chain, every_draw, x):
    """The closed form may not stand in the importance-weighted bound: its limit in K lies above the evidence."""
    world = chain(1)
    vae = world.vae()
    log_weights, weight = every_draw(vae, x)
    limit = (weight @ log_weights.log_likelihood.exp()).log() - vae.kl(x)
    assert (limit > world.log_evidence(x) + 0.01).any()


def test_one_pass_tells_what_log_weights_and_kl_tell(vae, x):
    noise = vae.noise(x, 5)
    inference = vae.infer(x, 5, noise=noise)
    terms = vae.log_weights(x, 5, noise=noise)
    assert_close(tuple(inference.log_weights)[:3], tuple(terms)[:3])
    assert_close(inference.kl, vae.kl(x).expand(5, -1))
    assert_close(inference.units[0].sum(-1), inference.kl)
    assert_close(inference.likelihood.log_prob(x), terms.log_likelihood)


class Shifted(torch.nn.Module):
    """The Gaussian of torch around what an encoder says, a family without noise from outside."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, x):
        q = self.encoder(x)
        return Independent(Normal(q.mean, q.stddev), 1)


def test_any_reparameterised_posterior_will_do(vae, x):
    other = VAE(encoder=Shifted(vae.encoder), decoder=vae.decoder, latent=1).double()
    torch.manual_seed(0)
    theirs = other.log_weights(x, 20_000)
    torch.manual_seed(1)
    ours = vae.log_weights(x, 20_000)
    for a, b in zip(theirs[:3], ours[:3], strict=True):
        error = ((a.var(0) + b.var(0)) / 20_000).sqrt()
        assert ((a.mean(0) - b.mean(0)) / error).abs().max() < 4.56
    (-bounds.elbo(other.log_weights(x, 2).total).mean()).backward()
    assert all(p.grad is not None for p in other.parameters())
    with pytest.raises(ValueError, match="makes its own noise"):
        other.log_weights(x, 2, noise=torch.zeros(2, 4, 1).double())
    with pytest.raises(ValueError, match="no closed-form divergence"):
        other.kl(x)
