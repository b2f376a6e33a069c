"""A discrete autoencoder so small that every latent is enumerated: evidence, bound, gradient."""

import math

import pytest
import torch
from torch.distributions import kl_divergence
from torch.testing import assert_close

from jensen import bounds
from jensen.evaluation import layer_activity
from jensen.gradients.enumerate_exact import enumerate_exact
from jensen.gradients.score_function import score_function
from jensen.gradients.states import states
from jensen.layers import BernoulliMLP, DiscreteMLP
from jensen.models import DiscreteVAE

PIXELS = 4
UNITS = {"categories": (2, 3), "bits": (3,)}


@pytest.fixture(params=UNITS)
def vae(request):
    torch.manual_seed(0)
    units = UNITS[request.param]
    model = DiscreteVAE(
        encoder=DiscreteMLP(PIXELS, (5,), units), decoder=BernoulliMLP(math.prod(units), (5,), PIXELS), units=units
    ).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5).add_(0.2 * torch.randn_like(parameter))
    return model


@pytest.fixture
def x():
    return torch.tensor([[0, 1, 1, 0], [1, 0, 0, 0], [1, 1, 0, 1]], dtype=torch.float64)


@pytest.fixture
def world(vae, x):
    """Every z `(S, B, *units)`, log p(x, z) and log q(z | x) written out, `(S, B)`."""
    z = states(vae.posterior(x))
    flat = z.reshape(len(z), len(x), -1)
    pixels = torch.distributions.Bernoulli(logits=vae.decoder.network(flat))
    log_joint = pixels.log_prob(x).sum(-1) - math.log(len(z))
    logits = vae.encoder.network(x)
    if len(vae.units) == 2:
        log_q = (logits.reshape(len(x), *vae.units).log_softmax(-1) * z).sum((-1, -2))
    else:
        log_q = torch.distributions.Bernoulli(logits=logits).log_prob(z).sum(-1)
    return z, log_joint, log_q


def test_the_probabilities_of_all_latents_sum_to_one(vae, x, world):
    z, _, log_q = world
    assert len(z) == round(math.exp(vae.log_states))
    assert_close(log_q.exp().sum(0), torch.ones(3, dtype=torch.float64))
    assert_close(vae.prior().log_prob(z[:, 0]).exp().sum(), torch.ones((), dtype=torch.float64))


def test_each_term_is_the_log_probability_it_is_named_after(vae, x, world):
    z, log_joint, log_q = world
    found = vae.log_weights(x, len(z), draws=z)
    assert_close(found.log_posterior, log_q)
    assert_close(found.log_prior, vae.prior().log_prob(z))
    assert_close(found.log_likelihood + found.log_prior, log_joint)


def test_the_weights_have_the_evidence_as_expectation(vae, x, world):
    z, log_joint, log_q = world
    weights = vae.log_weights(x, len(z), draws=z).total.exp()
    assert_close((log_q.exp() * weights).sum(0), log_joint.exp().sum(0), rtol=1e-12, atol=0)


def test_fresh_draws_follow_the_posterior(vae, x, world):
    torch.manual_seed(3)
    K = 20_000
    _, log_joint, _ = world
    weights = vae.log_weights(x, K).total.exp()
    z = (weights.mean(0) - log_joint.exp().sum(0)) / (weights.std(0) / math.sqrt(K))
    assert z.abs().max() < 4.56


def test_the_bound_falls_short_of_the_evidence_by_the_divergence_from_the_posterior(vae, x, world):
    _, log_joint, log_q = world
    log_posterior = log_joint.log_softmax(0)
    gap = (log_q.exp() * (log_q - log_posterior)).sum(0)
    elbo = -vae.expected_cost(x, enumerate_exact) - vae.kl(x)
    assert (gap > 0.01).all()
    assert_close(elbo, log_joint.logsumexp(0) - gap, rtol=1e-12, atol=1e-12)


def test_the_gradient_by_enumeration_is_that_of_the_sum(vae, x, world):
    _, log_joint, log_q = world
    exact = (log_q.exp() * (log_joint - log_q)).sum()
    elbo = (-vae.expected_cost(x, enumerate_exact) - vae.kl(x)).sum()
    gradients = [torch.autograd.grad(value, list(vae.parameters())) for value in (elbo, exact)]
    assert_close(*gradients, rtol=1e-10, atol=1e-12)


def test_a_gradient_through_the_draws_alone_is_caught(vae, x, world):
    """The bound of `log_weights` may be read, not ascended: its encoder would learn nothing."""
    z, log_joint, log_q = world
    exact = (log_q.exp() * (log_joint - log_q)).sum()
    naive = (log_q.detach().exp() * vae.log_weights(x, len(z), draws=z).total).sum()
    found, wanted = (torch.autograd.grad(value, list(vae.encoder.parameters())) for value in (naive, exact))
    assert max(g.abs().max() for g in wanted) > 0.1
    assert max(g.abs().max() for g in found) < 1e-12


def test_the_divergence_is_that_of_torch(vae, x):
    q, p = vae.posterior(x), vae.prior()
    assert_close(vae.kl(x), kl_divergence(q.base_dist, p.base_dist.expand(q.base_dist.batch_shape)).sum(-1))
    assert_close(vae.kl(x, posterior=q), vae.kl(x))


def test_units_know_their_mean_and_divergence(vae, x, world):
    z, _, log_q = world
    (layer,) = vae.latents(x, samples=3)
    weight = log_q.exp().reshape(*log_q.shape, *(1 for _ in vae.units))
    assert_close(layer.mean, (weight * z).sum(0))
    assert layer.kl.shape == (3, vae.units[0])
    assert_close(layer.kl.sum(-1), vae.kl(x))


def test_the_cost_is_minus_the_log_likelihood_also_of_relaxed_rows(vae, x):
    z = vae.posterior(x).sample((7,))
    assert_close(vae.cost(x)(z), -vae.likelihood(z).log_prob(x))
    soft = torch.rand_like(z).requires_grad_()
    vae.cost(x)(soft).sum().backward()
    assert soft.grad.abs().min() > 0


def test_an_estimator_gets_the_cost_and_the_posterior(vae, x):
    seen = {}

    def spy(f, q):
        seen["cost"] = f(q.sample((2,)))
        return score_function(f, q)

    assert vae.expected_cost(x, spy).shape == (3,)
    assert seen["cost"].shape == (2, 3)
    q = vae.posterior(x.flip(0))
    assert_close(vae.expected_cost(x, enumerate_exact, posterior=q), -vae_elbo_terms(vae, x, q), rtol=1e-12, atol=1e-12)


def vae_elbo_terms(vae, x, q):
    z = states(q)
    return (q.log_prob(z).exp() * vae.likelihood(z).log_prob(x)).sum(0)


def test_the_encoder_runs_once_for_each_datum(vae, x):
    rows = []
    vae.encoder.register_forward_hook(lambda module, arguments, output: rows.append(len(arguments[0])))
    vae.log_weights(x, 50)
    assert rows == [3]
    vae.log_weights(x, 5, posterior=vae.posterior(x))
    assert rows == [3, 3]


def test_pictures_are_pixel_means(vae, x):
    for pixels, n in ((vae.sample(9), 9), (vae.reconstruct(x), 3)):
        assert pixels.shape == (n, PIXELS)
        assert ((pixels >= 0) & (pixels <= 1)).all()
        assert not pixels.requires_grad
    assert set(vae.state_dict()) == {name for name, _ in vae.named_parameters()}


def test_the_bound_tightens(vae, x, world):
    torch.manual_seed(0)
    _, log_joint, _ = world
    log_w = vae.log_weights(x, 5000).total
    elbo, iwae = bounds.elbo(log_w), bounds.iwae(log_w)
    assert (elbo < log_joint.logsumexp(0) - 0.01).all()
    assert_close(iwae, log_joint.logsumexp(0), atol=0.1, rtol=0)


@pytest.mark.parametrize("samples", [0, -1])
def test_no_sample_is_refused(vae, x, samples):
    with pytest.raises(ValueError, match=f"samples is {samples}; draw at least one"):
        vae.log_weights(x, samples)


def test_draws_of_another_shape_are_refused(vae, x):
    with pytest.raises(ValueError, match=r"draws have shape .*; expected \(5, 3,"):
        vae.log_weights(x, 5, draws=vae.posterior(x).sample((4,)))


def test_an_encoder_of_other_units_is_refused(x):
    vae = DiscreteVAE(encoder=DiscreteMLP(PIXELS, (), (6,)), decoder=BernoulliMLP(6, (), PIXELS), units=(2, 3))
    with pytest.raises(ValueError, match=r"events of shape \(6,\); expected \(2, 3\)"):
        vae.posterior(x.float())


def test_units_of_no_kind_are_refused():
    with pytest.raises(ValueError, match="units must be"):
        DiscreteVAE(encoder=torch.nn.Identity(), decoder=torch.nn.Identity(), units=(2, 1))


def test_data_without_a_likelihood_are_refused_by_the_check(vae, x):
    vae.check(x)
    with pytest.raises(ValueError, match=r"expects \(B, 4\)"):
        vae.check(x[:, 1:])
    with pytest.raises(ValueError, match="nan"):
        vae.check(x * math.nan)
    with pytest.warns(UserWarning, match="grey pixels"):
        vae.check(x / 2)


def test_a_category_is_active_by_the_trace_of_its_means_covariance(vae, x):
    (activity,) = layer_activity(vae, x)
    mean = vae.posterior(x).mean.detach().reshape(3, vae.units[0], -1)
    assert_close(torch.tensor(activity.variance, dtype=torch.float64), mean.var(0, correction=0).sum(-1))
    assert activity.units == vae.units[0]
