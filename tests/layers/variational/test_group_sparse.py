"""Groups of weights under a shared scale: divergence, moments, groups cut out, and what is refused."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence
from torch.testing import assert_close

from jensen.layers.variational import (
    GroupSparse,
    at_means,
    compressible,
    draw_weights,
    forward_samples,
    forward_with,
    random_layers,
    sparsify,
    total_kl,
)
from jensen.layers.variational.kernels import apply_linearly

DOUBLE = torch.float64
PRIORS = ("normal_jeffreys", "horseshoe")
LAYERS = {
    "linear": (lambda: nn.Linear(3, 2), (4, 3)),
    "linear of sequences": (lambda: nn.Linear(3, 2), (4, 5, 3)),
    "linear without batch": (lambda: nn.Linear(3, 2), (3,)),
    "no bias": (lambda: nn.Linear(3, 2, bias=False), (4, 3)),
    "conv1d": (lambda: nn.Conv1d(2, 2, 2, stride=2, padding=1), (3, 2, 5)),
    "conv1d in groups": (lambda: nn.Conv1d(2, 4, 2, groups=2, dilation=2, bias=False), (3, 2, 6)),
    "conv2d": (lambda: nn.Conv2d(1, 2, 2, stride=2, padding=1), (3, 1, 4, 4)),
    "conv3d": (lambda: nn.Conv3d(1, 1, 2, padding=(1, 0, 0)), (2, 1, 3, 3, 3)),
    "conv without batch": (lambda: nn.Conv1d(2, 2, 2), (2, 5)),
}


def grouped(make, *, prior="normal_jeffreys", seed=0, **options):
    torch.manual_seed(seed)
    layer = GroupSparse(make().to(DOUBLE), prior=prior, **options)
    with torch.no_grad():
        layer.log_sigma2.copy_(torch.randn_like(layer.log_sigma2))
        layer.scales.mean.add_(0.5 * torch.randn_like(layer.scales.mean))
        layer.scales.log_variance.copy_(torch.randn_like(layer.scales.log_variance) - 2)
    return layer


def over_groups(layer, z):
    """One scale for each group, with axes to multiply the weight."""
    return z.view(1, -1) if isinstance(layer.layer, nn.Linear) else z.view(-1, *[1] * (layer.layer.weight.ndim - 1))


def moments_over_every_sign(layer, x, z):
    """Mean and variance of one example's output over w = z (mu +- sigma), every sign with the same probability."""
    mu, sigma = layer.layer.weight, (0.5 * layer.log_sigma2).exp()
    signs = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=mu.numel())), dtype=DOUBLE)
    weights = over_groups(layer, z) * (mu + sigma * signs.view(-1, *mu.shape))
    outputs = torch.func.vmap(lambda weight: apply_linearly(layer.layer, x, weight, layer.layer.bias))(weights)
    return outputs.mean(0), outputs.var(0, correction=0)


@pytest.mark.parametrize("name", LAYERS)
def test_moments_given_the_scales_are_those_of_random_weights(name):
    make, shape = LAYERS[name]
    layer, x = grouped(make), torch.randn(shape, dtype=DOUBLE)
    groups = len(layer.group_log_alpha())
    batch = () if "without batch" in name else shape[:1]
    z = torch.randn((*batch, groups), dtype=DOUBLE)
    found = layer.output_moments(x, z)
    if batch:
        pairs = [moments_over_every_sign(layer, one.unsqueeze(0), scale) for one, scale in zip(x, z, strict=True)]
        expected = tuple(torch.cat(each) for each in zip(*pairs, strict=True))
    else:
        expected = moments_over_every_sign(layer, x, z)
    assert_close(found, expected, atol=1e-12, rtol=0)


def test_scales_of_the_wrong_side_and_a_bias_inside_the_variance_are_caught():
    layer = grouped(lambda: nn.Linear(2, 2))
    x, z = torch.randn(1, 2, dtype=DOUBLE), torch.tensor([0.3, 2.0], dtype=DOUBLE)
    mean, variance = moments_over_every_sign(layer, x, z)
    bias, sigma2 = layer.layer.bias, layer.log_sigma2.exp()
    assert ((x @ layer.layer.weight.T) * z + bias - mean).abs().max() > 0.1
    assert ((x * z).square() @ sigma2.T + bias - variance).abs().max() > 0.1
    assert ((x * z) @ sigma2.T - variance).abs().max() > 0.1


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("make", [lambda: nn.Linear(1, 1), lambda: nn.Conv1d(1, 1, 1)])
def test_moments_over_the_scales_too(prior, make):
    """One weight: quadrature over the noise of its scale, of the moments given the scale."""
    layer, x = grouped(make, prior=prior), torch.tensor([[0.7]], dtype=DOUBLE)
    nodes, mass = np.polynomial.hermite_e.hermegauss(60)
    nodes, mass = torch.from_numpy(nodes), torch.from_numpy(mass / mass.sum())
    noise = torch.cartesian_prod(*[nodes] * layer.scales.noise_size).view(-1, layer.scales.noise_size)
    weight = torch.cartesian_prod(*[mass] * layer.scales.noise_size).view(len(noise), -1).prod(-1)
    inputs = x.expand(len(noise), 1) if isinstance(layer.layer, nn.Linear) else x.expand(len(noise), 1, 1)
    mean, variance = (each.flatten() for each in layer.output_moments(inputs, layer.scales.from_noise(noise)))
    expected_mean, expected_variance = (each.flatten() for each in layer.posterior_moments())
    assert_close(weight @ mean, (0.7 * expected_mean + layer.layer.bias).squeeze())
    marginal = weight @ (variance + mean.square()) - (weight @ mean).square()
    assert_close(marginal, 0.49 * expected_variance.squeeze())


@pytest.mark.parametrize("prior", PRIORS)
def test_a_draw_is_the_mean_plus_noise_of_that_variance(prior):
    layer, x = grouped(lambda: nn.Conv2d(1, 2, 2), prior=prior), torch.randn(3, 1, 4, 4, dtype=DOUBLE)
    torch.manual_seed(3)
    output = layer(x)
    torch.manual_seed(3)
    z = layer.scales.from_noise(torch.randn(3, layer.scales.noise_size, dtype=DOUBLE))
    mean, variance = layer.output_moments(x, z)
    assert_close(output, mean + variance.sqrt() * torch.randn_like(mean))


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("make", [lambda: nn.Linear(3, 2), lambda: nn.Conv2d(2, 3, 2)])
def test_the_divergence_of_weights_given_their_scale_is_the_same_for_every_scale(prior, make):
    layer = grouped(make, prior=prior)
    mu, sigma = layer.layer.weight, (0.5 * layer.log_sigma2).exp()
    of_weights = layer.kl() - layer.scales.kl()
    for z in (0.01, 1.0, 30.0):
        given = kl_divergence(Normal(z * mu, z * sigma), Normal(torch.zeros_like(mu), z)).sum()
        assert_close(of_weights, given)


def test_other_divergences_of_the_weights_are_caught():
    layer = grouped(lambda: nn.Conv2d(2, 3, 2))
    mu, log_sigma2 = layer.layer.weight, layer.log_sigma2
    of_weights = layer.kl() - layer.scales.kl()
    of_standard_deviation_sigma2 = (0.5 * (log_sigma2.exp().square() + mu.square()) - log_sigma2 - 0.5).sum()
    averaged = 0.5 * (log_sigma2.exp() + mu.square() - 1 - log_sigma2).mean()
    assert abs(of_weights - of_standard_deviation_sigma2) > 1
    assert abs(of_weights - averaged) > 1


@pytest.mark.parametrize("prior", PRIORS)
def test_gradients(prior):
    layer = grouped(lambda: nn.Linear(3, 2), prior=prior)
    parameters = [parameter.detach().clone().requires_grad_() for parameter in layer.parameters()]
    names = [name for name, _ in layer.named_parameters()]

    def kl(*values):
        return torch.func.functional_call(
            _Divergence(layer), {f"of.{name}": value for name, value in zip(names, values, strict=True)}
        )

    assert torch.autograd.gradcheck(kl, parameters)


class _Divergence(nn.Module):
    def __init__(self, of):
        super().__init__()
        self.of = of

    def forward(self):
        return self.of.kl()


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("make", [lambda: nn.Linear(3, 2), lambda: nn.Conv1d(2, 3, 2)])
def test_draws_have_the_marginal_moments(prior, make):
    layer = grouped(make, prior=prior)
    torch.manual_seed(4)
    with torch.no_grad():
        w = layer.draw(200_000)["weight"]
        mean, variance = layer.posterior_moments()
    assert ((w.mean(0) - mean) / (variance / len(w)).sqrt()).abs().max() < 4.56
    squares = (w - mean).square()
    assert ((squares.mean(0) - variance) / (squares.std(0) / math.sqrt(len(w)))).abs().max() < 4.56
    for density in (layer.log_prior, layer.log_posterior):
        with pytest.raises(ValueError, match="no log-density in closed form"):
            density({"weight": w[:2]})
    with pytest.raises(ValueError, match="samples is 0"):
        layer.draw(0)


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize(
    ("make", "shape"), [(lambda: nn.Linear(3, 2), (4, 3)), (lambda: nn.Conv1d(2, 3, 2), (4, 2, 5))]
)
def test_masked_layers_and_layers_at_their_means(prior, make, shape):
    layer, x = grouped(make, prior=prior), torch.randn(shape, dtype=DOUBLE)
    mean, _ = layer.posterior_moments()
    with at_means(layer):
        assert_close(layer(x), apply_linearly(layer.layer, x, mean, layer.layer.bias))
    threshold = layer.group_log_alpha().sort().values[1:].mean().item()
    kept = layer.group_mask(threshold=threshold)
    assert_close(kept, layer.group_log_alpha() < threshold)
    assert 0 < kept.sum() < 3
    assert_close(layer.mask(threshold=threshold), (over_groups(layer, kept) * torch.ones_like(mean)).bool())
    plain = layer.masked(threshold=threshold)
    assert type(plain) is type(layer.layer)
    assert_close(plain.weight.detach(), (mean * over_groups(layer, kept)).detach())
    assert_close(plain.bias, layer.layer.bias)


def test_a_limit_of_the_variance_holds_and_can_be_left():
    layer = grouped(lambda: nn.Linear(3, 2), maximum_variance=0.04)
    with torch.no_grad():
        layer.log_sigma2.copy_(torch.tensor([[0.0, 0.0, -9.0], [0.0, -9.0, -9.0]]))
    _, variance = layer.output_moments(torch.ones(3, dtype=DOUBLE), torch.ones(3, dtype=DOUBLE))
    assert_close(variance, torch.tensor([0.08 + math.exp(-9), 0.04 + 2 * math.exp(-9)], dtype=DOUBLE))
    outward = torch.autograd.grad(layer.kl(), layer.log_sigma2)[0]
    assert_close(outward, 0.5 * (layer.log_sigma2.exp() - 1) * (layer.log_sigma2 < -8))
    inward = torch.autograd.grad(variance.sum(), layer.log_sigma2)[0]
    assert_close(inward, layer.log_sigma2.exp().clamp_max(0.04))
    free = GroupSparse(layer.layer)
    free.load_state_dict(layer.state_dict())
    assert free.posterior_moments()[1].max() > 0.5


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("relevant", [4, 10])
def test_exactly_the_irrelevant_inputs_of_a_regression_are_pruned(prior, relevant):
    """y = x W + noise for three outputs; the bound's expectation through the moments of the weights."""
    torch.manual_seed(5)
    x, W = torch.randn(200, 10, dtype=DOUBLE), torch.zeros(10, 3, dtype=DOUBLE)
    W[:relevant] = (torch.rand(relevant, 3, dtype=DOUBLE) + 0.5) * torch.randn(relevant, 3, dtype=DOUBLE).sign()
    y = x @ W + 0.5 * torch.randn(200, 3, dtype=DOUBLE)
    layer = GroupSparse(nn.Linear(10, 3, bias=False).to(DOUBLE), prior=prior)
    lbfgs = torch.optim.LBFGS(layer.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def free_energy():
        lbfgs.zero_grad()
        mean, variance = layer.posterior_moments()
        misfit = (y - x @ mean.T).square().sum() + (x.square() @ variance.T).sum()
        value = misfit / (2 * 0.25) + layer.kl()
        value.backward()
        return value

    lbfgs.step(free_energy)
    assert layer.group_mask().tolist() == [i < relevant for i in range(10)]
    log_alpha = layer.group_log_alpha()
    assert log_alpha[:relevant].max() < -5
    assert (log_alpha[relevant:] > -2).all()
    assert_close(layer.masked().weight.detach().T[:relevant], W[:relevant], atol=0.15, rtol=0)


@pytest.mark.parametrize("prior", PRIORS)
def test_a_network_answers_as_every_random_network(prior):
    torch.manual_seed(6)
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(18, 3))
    net = compressible(module, prior=prior, initial_log_variance=-2.0, maximum_first_variance=0.04)
    assert (net[0].maximum_variance, net[2].maximum_variance) == (0.04, None)
    x = torch.randn(4, 1, 5, 5)
    outputs = forward_samples(net, x, 3)
    assert outputs.shape == (3, 4, 3)
    assert (outputs[0] != outputs[1]).all()
    assert_close(total_kl(net), net[0].kl() + net[2].kl())
    weights = draw_weights(net, 2)
    assert forward_with(net, x, weights).shape == (2, 4, 3)
    total_kl(net).backward()
    assert all(parameter.grad.isfinite().all() for name, parameter in net.named_parameters() if "bias" not in name)


def test_conversion_mixes_with_other_random_layers():
    net = sparsify(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)), include="0.*")
    net = compressible(net, prior="horseshoe", global_scale=0.1, threshold=0.0)
    assert [type(layer).__name__ for layer in random_layers(net).values()] == ["SparseDropout", "GroupSparse"]
    assert (net[2].prior, net[2].threshold) == ("horseshoe", 0.0)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="prior is 'laplace'; give 'normal_jeffreys' or 'horseshoe'"):
        compressible(nn.Linear(2, 2), prior="laplace")
    with pytest.raises(ValueError, match="global_scale is 0"):
        compressible(nn.Linear(2, 2), prior="horseshoe", global_scale=0.0)
    with pytest.raises(ValueError, match="maximum_variance is -1"):
        GroupSparse(nn.Linear(2, 2), maximum_variance=-1.0)
    with pytest.raises(ValueError, match="must be finite"):
        GroupSparse(nn.Linear(2, 2), threshold=math.inf)
    with pytest.raises(ValueError, match="got Embedding"):
        GroupSparse(nn.Embedding(2, 2))
    with pytest.raises(ValueError, match="no weight matches"):
        compressible(nn.Sequential(nn.ReLU()))
    layer = GroupSparse(nn.Linear(3, 2))
    with pytest.raises(ValueError, match=r"the input has shape \(4, 2\); this layer expects \(\*batch, 3\)"):
        layer(torch.zeros(4, 2))
    with pytest.raises(ValueError, match=r"the scales have shape \(2,\); expected \(B, 3\) or \(3,\)"):
        layer.output_moments(torch.zeros(4, 3), torch.ones(2))
