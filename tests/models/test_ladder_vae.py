import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence
from torch.testing import assert_close

from jensen import bounds
from jensen.distributions import DiagonalNormal
from jensen.layers import BernoulliMLP, GaussianMLP, mlp
from jensen.models import VAE, LadderVAE
from jensen.models.ladder_vae import merge


class Affine(torch.nn.Module):
    """N(a d + b, s^2)."""

    def __init__(self, a, b, log_s):
        super().__init__()
        self.a, self.b, self.log_s = (torch.nn.Parameter(torch.as_tensor(v).double()) for v in (a, b, log_s))

    def forward(self, d):
        return DiagonalNormal(d @ self.a + self.b, self.log_s.expand(1), validate_args=False)


def ladder(world, *, exact=True):
    """A ladder over a chain of linear-Gaussian layers, with the true posterior or one that is off."""
    decoders, up, evidence = world.decoders, [], []
    # what x says of h^l: the likelihood of h^l, by integrating out the layers below
    a = decoders[0].network[0].weight.detach()  # (pixels, 1)
    b, covariance = decoders[0].network[0].bias.detach(), torch.diag((2 * decoders[0].log_scale.detach()).exp())
    for l in range(world.layers):
        precision = torch.linalg.inv(covariance)
        information = (a.T @ precision @ a).squeeze()
        slope = precision @ a / information  # (pixels, 1)
        if l == world.layers - 1:  # the top: with its prior
            slope, information = slope * information / (1 + information), 1 + information
        shift = -(b @ precision @ a) / information
        if not exact:
            slope, shift, information = 0.8 * slope, shift + 0.2, 1.4 * information
        evidence.append(Affine(slope, shift.reshape(1), -0.5 * information.log()))
        up.append(torch.nn.Identity())
        if l + 1 < world.layers:
            weight, bias = decoders[l + 1].network[0].weight.detach(), decoders[l + 1].network[0].bias.detach()
            covariance = covariance + a @ a.T * (2 * decoders[l + 1].log_scale.detach()).exp()
            b = b + (a @ bias.reshape(1, 1)).squeeze()
            a = a @ weight
    return LadderVAE(up=up, evidence=evidence, decoders=decoders, latents=[1] * world.layers).double()


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_at_the_true_posterior_every_draw_gives_the_evidence(chain, x, layers):
    world = chain(layers)
    model = ladder(world)
    log_w = model.log_weights(x, 7).total
    assert_close(log_w, world.log_evidence(x).expand(7, -1), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("layers", [1, 2])
def test_the_weights_have_the_evidence_as_expectation_and_the_bound_lies_below(chain, every_draw, x, layers):
    world = chain(layers)
    log_weights, weight = every_draw(ladder(world, exact=False), x)
    assert_close(weight @ log_weights.total.exp(), world.log_evidence(x).exp(), rtol=1e-7, atol=0)
    gap = world.log_evidence(x) - weight @ log_weights.total
    assert (gap > 0.005).all()


def twins(world, model, x, grid):
    """Log-weights of lower draws from what the data say alone, weighed by that, and by the product they are not of."""
    said = model.recognise(x)
    z_1, z_2 = (said[n].from_noise(grid[:, n].reshape(-1, 1, 1)) for n in (0, 1))
    p = world.decoders[1](z_2)
    joint = model.likelihood(z_1).log_prob(x) + p.log_prob(z_1) + model.prior().log_prob(z_2)
    return [joint - said[1].log_prob(z_2) - q.log_prob(z_1) for q in (said[0], merge(said[0], p))]


def test_a_posterior_without_the_prior_in_it_is_caught(chain, quadrature, x):
    world = chain(2)
    grid, weight = quadrature(2, 40)
    alone, _ = twins(world, ladder(world), x, grid)
    assert (world.log_evidence(x) - weight @ alone > 0.1).all(), "a bound, not tight as at the true posterior"
    _, product = twins(world, ladder(world, exact=False), x, grid)
    assert ((weight @ product.exp()).log() - world.log_evidence(x)).abs().min() > 0.01, "another expectation"


def test_importance_weighting_tightens_the_bound_and_never_past_the_evidence(chain, x):
    world = chain(2)
    model = ladder(world, exact=False)
    torch.manual_seed(0)
    log_w = model.log_weights(x[:1], 60_000).total.reshape(-1, 6)
    means = [bounds.iwae(log_w[:, :k].T).mean().item() for k in (1, 2, 6)]
    error = (log_w.std() / len(log_w) ** 0.5).item()
    assert means[0] < means[1] < means[2] < world.log_evidence(x[:1]).item() + 4.56 * error


def test_precisions_add_up_and_weigh_the_means():
    torch.manual_seed(0)
    q, p = (DiagonalNormal(torch.randn(3, 2).double(), torch.randn(3, 2).double()) for _ in range(2))
    both = merge(q, p)
    precision = 1 / q.variance + 1 / p.variance
    assert_close(both.variance, 1 / precision)
    assert_close(both.mean, (q.mean / q.variance + p.mean / p.variance) / precision)
    far = merge(
        DiagonalNormal(torch.ones(1), torch.tensor([-60.0])), DiagonalNormal(torch.zeros(1), torch.tensor([60.0]))
    )
    assert far.mean == 1
    assert far.log_scale == -60


def networks(layers=2):
    torch.manual_seed(0)
    sizes, hidden = [3, 2, 2][:layers], [5, 4, 3][:layers]
    below = [6, *hidden]
    return LadderVAE(
        up=[mlp([below[n], hidden[n]]) for n in range(layers)],
        evidence=[GaussianMLP(hidden[n], (), sizes[n]) for n in range(layers)],
        decoders=[
            BernoulliMLP(sizes[0], (4,), 6),
            *(GaussianMLP(sizes[n], (4,), sizes[n - 1]) for n in range(1, layers)),
        ],
        latents=sizes,
    ).double()


@pytest.fixture
def bits():
    torch.manual_seed(1)
    return torch.bernoulli(torch.full((4, 6), 0.5, dtype=torch.float64))


def test_with_one_layer_it_is_the_variational_autoencoder(bits):
    model = networks(1)
    vae = VAE(encoder=torch.nn.Sequential(model.up[0], model.evidence[0]), decoder=model.decoders[0], latent=3)
    noise = model.noise(bits, 5)
    assert_close(model.infer(bits, 5, noise=noise)[0], vae.double().infer(bits, 5, noise=noise)[0])
    assert_close(model.infer(bits, 5, noise=noise).kl, vae.infer(bits, 5, noise=noise).kl)


def test_samples_and_data_keep_to_themselves(bits):
    model = networks(3)
    noise = model.noise(bits, 5)
    everything = model.log_weights(bits, 5, noise=noise).total
    for k in range(5):
        for b in range(4):
            one = model.log_weights(bits[b : b + 1], 1, noise=noise[k : k + 1, b : b + 1]).total
            assert_close(one.squeeze(), everything[k, b])
    changed = noise.clone()
    changed[2, 1] += 1
    moved = model.log_weights(bits, 5, noise=changed).total != everything
    assert moved.nonzero().tolist() == [[2, 1]]


def test_one_pass_tells_what_log_weights_tells_and_the_divergences_of_its_layers(bits):
    model = networks(2)
    noise = model.noise(bits, 5)
    inference = model.infer(bits, 5, noise=noise)
    assert_close(tuple(inference.log_weights)[:3], tuple(model.log_weights(bits, 5, noise=noise))[:3])
    z_1, z_2 = inference.latents
    q_1 = merge(model.recognise(bits)[0], model.decoders[1](z_2))
    plain = [Independent(Normal(d.mean, d.stddev), 1) for d in (q_1, model.decoders[1](z_2))]
    assert_close(inference.units[0].sum(-1), kl_divergence(*plain))
    assert_close(inference.units[1].sum(-1)[0], kl_divergence(model.posterior(bits), model.prior()))
    assert_close(inference.kl, sum(u.sum(-1) for u in inference.units))
    assert_close(q_1.from_noise(noise[..., :3]), z_1)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_stepwise_the_same_latents_make_the_same_pass(bits, layers):
    model = networks(layers)
    noise = model.noise(bits)
    inference = model.infer(bits, noise=noise)
    epsilon, log_q, log_p, chosen = list(noise[0].split_with_sizes(model.sizes, -1)), [], [], []

    def draw(q, p):
        chosen.append(q.from_noise(epsilon.pop()))
        log_q.append(q.log_prob(chosen[-1]))
        log_p.append(p.log_prob(chosen[-1]))
        return chosen[-1]

    def again(p):
        z = chosen.pop(0)
        assert_close(p.log_prob(z), log_p.pop(0), rtol=0, atol=0)
        return z

    likelihood = model.infer_stepwise(bits, draw)
    assert_close(likelihood.mean, inference.likelihood.mean[0])
    assert_close(sum(log_q), inference.log_weights.log_posterior[0])
    assert_close(sum(log_p), inference.log_weights.log_prior[0])
    assert len(log_p) == layers
    assert_close(model.generate_stepwise(again).mean, likelihood.mean, rtol=0, atol=0)


def test_the_divergence_is_the_expectation_of_log_ratios(chain, every_draw, x):
    model = ladder(chain(2), exact=False)
    log_weights, weight = every_draw(model, x)
    exact = weight @ (log_weights.log_posterior - log_weights.log_prior)
    torch.manual_seed(0)
    kl = model.infer(x, 20_000).kl
    z = (kl.mean(0) - exact) / (kl.std(0) / 20_000**0.5)
    assert z.abs().max() < 4.56


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_at_the_true_posterior_the_path_is_without_noise(chain, x, layers):
    model = ladder(chain(layers))
    value = bounds.stl(model.log_weights(x, 1, path_derivative=True)).sum()
    found = torch.autograd.grad(value, list(model.evidence.parameters()))
    assert max(g.abs().max() for g in found) < 1e-10
    plain = bounds.iwae(model.log_weights(x, 1).total).sum()
    assert max(g.abs().max() for g in torch.autograd.grad(plain, list(model.evidence.parameters()))) > 1e-3


@pytest.mark.parametrize(
    ("bound", "samples", "nodes"), [(bounds.stl, 1, 30), (bounds.dreg, 1, 30), (bounds.dreg, 2, 14)]
)
def test_path_derivatives_have_the_expectation_of_the_plain_gradient(chain, quadrature, x, bound, samples, nodes):
    """Decoders too, which are part of the posterior."""
    model = ladder(chain(2), exact=False)
    grid, weight = quadrature(2 * samples, nodes)
    noise = grid.unflatten(-1, (samples, 2)).transpose(0, 1)
    data = x[:1].expand(len(grid), -1)

    def gradient(bound, *, path_derivative):
        log_weights = model.log_weights(data, samples, noise=noise, path_derivative=path_derivative)
        found = torch.autograd.grad(weight @ bound(log_weights), list(model.parameters()))
        return torch.cat([g.flatten() for g in found])

    plain = gradient(lambda w: bounds.iwae(w.total), path_derivative=False)
    assert_close(gradient(bound, path_derivative=True), plain, atol=1e-6, rtol=1e-6)
    assert plain.abs().min() > 1e-5
    once = gradient(
        lambda w: bounds.iwae(w.total), path_derivative=True
    )  # the control: what passes is not weighed twice
    assert samples == 1 or (once - plain).abs().max() > 1e-3


def test_every_parameter_learns_and_pictures_have_their_shapes(bits):
    model = networks(3)
    bounds.iwae(model.log_weights(bits, 3).total).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    assert (model.sample(2).shape, model.reconstruct(bits).shape) == ((2, 6), (4, 6))
    assert [tuple(layer.mean.shape) for layer in model.latents(bits, 9)] == [(4, 3), (4, 2), (4, 2)]
    assert model.generate(model.noise(bits, 2)).batch_shape == (2, 4)


def test_bad_sizes_and_data_are_refused(bits):
    model = networks(2)
    with pytest.raises(ValueError, match="one of each"):
        LadderVAE(up=model.up, evidence=model.evidence, decoders=model.decoders[:1], latents=[3, 2])
    with pytest.raises(ValueError, match="noise has shape"):
        model.log_weights(bits, 2, noise=torch.zeros(2, 4, 4).double())
    with pytest.raises(ValueError, match="samples is 0"):
        model.infer(bits, 0)
    with pytest.raises(ValueError, match="expects"):
        model.check(bits[:, :5])
    model.decoders[1] = GaussianMLP(2, (), 4).double()
    with pytest.raises(ValueError, match=r"decoders\[1\] returns events"):
        model.check(bits)


@pytest.mark.parametrize(("layer", "size"), [(0, 3), (1, 2)])
def test_evidence_of_another_width_is_refused_even_if_it_would_broadcast(bits, layer, size):
    model = networks(2)
    model.evidence[layer] = GaussianMLP([5, 4][layer], (), 1).double()
    for use in (model.log_weights, model.infer, model.latents, model.reconstruct):
        with pytest.raises(ValueError, match=rf"evidence\[{layer}\] returns .* \(1,\); expected \({size},\)"):
            use(bits)
