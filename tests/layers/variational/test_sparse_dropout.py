"""Sparse variational dropout: its divergence, its moments, what it prunes, and what it refuses."""

import itertools
import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from jensen.distributions import kl_log_uniform, kl_log_uniform_exact
from jensen.layers.variational import (
    SparseDropout,
    Variational,
    at_means,
    draw_weights,
    forward_samples,
    forward_with,
    random_layers,
    sparsify,
    total_kl,
)
from jensen.layers.variational.kernels import apply_linearly

DOUBLE = torch.float64
LAYERS = {
    "linear": (lambda: nn.Linear(3, 2), (4, 3)),
    "linear of sequences": (lambda: nn.Linear(3, 2), (4, 5, 3)),
    "no bias": (lambda: nn.Linear(3, 2, bias=False), (4, 3)),
    "conv1d": (lambda: nn.Conv1d(2, 2, 2, stride=2, padding=1), (3, 2, 5)),
    "conv1d in groups": (lambda: nn.Conv1d(2, 4, 2, groups=2, dilation=2), (3, 2, 6)),
    "conv2d": (lambda: nn.Conv2d(1, 2, 2, stride=2, padding=1), (3, 1, 4, 4)),
    "conv2d around the corner": (lambda: nn.Conv2d(1, 1, (1, 3), padding=1, padding_mode="circular"), (2, 1, 3, 4)),
    "conv3d": (lambda: nn.Conv3d(1, 1, 2, padding=(1, 0, 0)), (2, 1, 3, 3, 3)),
    "one example": (lambda: nn.Conv1d(2, 2, 2), (2, 5)),
}


def sparse(make, *, seed=0):
    torch.manual_seed(seed)
    layer = SparseDropout(make().to(DOUBLE))
    with torch.no_grad():
        layer.log_sigma2.copy_(torch.randn_like(layer.log_sigma2))
    return layer


def moments_over_every_sign(layer, x):
    """Mean and variance of the output over weights theta +- sigma, each sign with probability a half."""
    theta, variance = layer.posterior_moments()
    signs = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=theta.numel())), dtype=DOUBLE)
    weights = theta + variance.sqrt() * signs.view(-1, *theta.shape)
    outputs = torch.func.vmap(lambda weight: apply_linearly(layer.layer, x, weight, layer.layer.bias))(weights)
    return outputs.mean(0), outputs.var(0, correction=0)


@pytest.mark.parametrize("name", LAYERS)
def test_moments_of_the_output_are_those_of_random_weights(name):
    make, shape = LAYERS[name]
    layer, x = sparse(make), torch.randn(shape, dtype=DOUBLE)
    mean, variance = moments_over_every_sign(layer, x)
    found_mean, found_variance = layer.output_moments(x)
    assert_close(found_mean, mean, atol=1e-12, rtol=0)
    assert_close(found_variance, variance, atol=1e-12, rtol=0)


def test_a_bias_inside_the_variance_is_caught():
    layer, x = sparse(lambda: nn.Linear(3, 2)), torch.randn(4, 3, dtype=DOUBLE)
    _, variance = moments_over_every_sign(layer, x)
    twin = apply_linearly(layer.layer, x.square(), layer.log_sigma2.exp(), layer.layer.bias)
    assert (twin - variance).abs().max() > 0.1


def test_a_draw_is_the_mean_plus_noise_of_that_variance():
    layer, x = sparse(lambda: nn.Linear(3, 2)), torch.randn(4, 3, dtype=DOUBLE)
    mean, variance = layer.output_moments(x)
    torch.manual_seed(3)
    output = layer(x)
    torch.manual_seed(3)
    assert_close(output, mean + variance.sqrt() * torch.randn(4, 2, dtype=DOUBLE))


def test_an_input_of_zeros_has_no_noise_and_finite_gradients():
    layer = SparseDropout(nn.Conv2d(1, 2, 3))
    output = layer(torch.zeros(2, 1, 5, 5))
    assert_close(output, layer.layer.bias.view(1, 2, 1, 1).expand_as(output))
    output.square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())


def log_alphas():
    torch.manual_seed(1)
    theta = torch.randn(7, 5, dtype=DOUBLE)
    layer = SparseDropout(nn.Linear(5, 7).to(DOUBLE))
    with torch.no_grad():
        layer.layer.weight.copy_(theta)
        layer.log_sigma2.copy_(theta.square().log() + torch.linspace(-20, 20, 35, dtype=DOUBLE).view(7, 5))
    return layer


def test_the_divergence_is_the_sum_over_the_weights():
    layer = log_alphas()
    log_alpha = torch.linspace(-20, 20, 35, dtype=DOUBLE)
    assert_close(layer.kl(), kl_log_uniform(log_alpha).sum(), atol=1e-11, rtol=0)
    exact = kl_log_uniform_exact(log_alpha)
    assert ((kl_log_uniform(log_alpha) - exact).abs() < torch.minimum(torch.tensor(0.0095), 0.035 * exact)).all()
    assert abs(layer.kl() - exact.sum()) < 0.0095 * 35


@pytest.mark.parametrize(
    "twin",
    [
        lambda layer, log_alpha: layer.kl() / log_alpha.numel(),
        lambda layer, log_alpha: layer.kl() - 0.63576 * log_alpha.numel(),
        lambda layer, log_alpha: kl_log_uniform(layer.log_sigma2 - layer.layer.weight.abs().log()).sum(),
    ],
    ids=["averaged", "without its constant", "alpha of the root of theta squared"],
)
def test_another_divergence_is_caught(twin):
    layer = log_alphas()
    log_alpha = torch.linspace(-20, 20, 35, dtype=DOUBLE)
    assert abs(twin(layer, log_alpha) - kl_log_uniform_exact(log_alpha).sum()) > 0.0095 * 35


@pytest.mark.parametrize("log_alpha", [-3.0, 0.0, 3.0])
def test_the_divergence_against_draws(log_alpha):
    """KL = E[log q(w) - log p(w)] up to the constant that makes it vanish for infinite alpha."""
    layer = SparseDropout(nn.Linear(1, 1))
    with torch.no_grad():
        layer.layer.weight.fill_(0.7)
        layer.log_sigma2.fill_(log_alpha + 2 * math.log(0.7))
    torch.manual_seed(2)
    w = layer.draw(400_000)
    terms = (layer.log_posterior(w) + w["weight"].flatten().abs().log()).detach().double()
    vanishing = 0.5 * (math.log(2 * math.pi) + 1) + 0.5 * (0.5772156649015329 + math.log(2))
    error = terms.std() / math.sqrt(len(terms))
    assert abs(terms.mean() + vanishing - kl_log_uniform_exact(torch.tensor(log_alpha))) < 4.56 * error
    assert abs(terms.mean() + vanishing - layer.kl()) < 4.56 * error + 0.0095


def test_gradients_of_the_divergence():
    layer = log_alphas()

    def kl(theta, log_sigma2):
        return torch.func.functional_call(_Divergence(layer), {"of.layer.weight": theta, "of.log_sigma2": log_sigma2})

    parameters = layer.layer.weight.detach().requires_grad_(), layer.log_sigma2.detach().requires_grad_()
    assert torch.autograd.gradcheck(kl, parameters)
    plain = kl_log_uniform(parameters[1] - parameters[0].square().log()).sum()
    assert_close(torch.autograd.grad(kl(*parameters), parameters), torch.autograd.grad(plain, parameters))


class _Divergence(nn.Module):
    def __init__(self, of):
        super().__init__()
        self.of = of

    def forward(self):
        return self.of.kl()


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
@pytest.mark.parametrize("log_sigma2", [-30.0, -10.0, 20.0])
def test_weights_of_zero_have_finite_gradients(dtype, log_sigma2):
    layer = SparseDropout(nn.Linear(4, 1).to(dtype), initial_log_variance=log_sigma2)
    with torch.no_grad():
        layer.layer.weight.copy_(torch.tensor([[0.0, 1e-30, -1e-20, 1e-8]]))
    (layer.kl() + layer.log_alpha().sum() + layer(torch.ones(2, 4, dtype=dtype)).sum()).backward()
    assert layer.layer.weight.grad.isfinite().all()
    assert layer.log_sigma2.grad.isfinite().all()
    assert layer.log_alpha()[0, 0] == 8.0


def test_a_plain_logarithm_of_a_weight_of_zero_is_caught():
    theta = torch.zeros(1, requires_grad=True)
    (-10 - theta.square().log()).clamp(-8, 8).backward()
    assert theta.grad.isnan()


def minimise(free_energy, layer):
    lbfgs = torch.optim.LBFGS(layer.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure():
        lbfgs.zero_grad()
        value = free_energy(layer)
        value.backward()
        return value

    lbfgs.step(closure)
    return layer


def posterior_of_weights(estimate, *, clipped=False):
    """The optimum where the likelihood of each weight is N(estimate, 1), from a start at small variances."""
    layer = SparseDropout(nn.Linear(len(estimate), 1, bias=False).to(DOUBLE), initial_log_variance=-4.0)
    with torch.no_grad():
        layer.layer.weight.copy_(estimate)

    def free_energy(layer):
        mean, variance = layer.posterior_moments()
        kl = kl_log_uniform(layer.log_alpha()).sum() if clipped else layer.kl()
        return 0.5 * ((mean - estimate).square() + variance).sum() + kl

    return minimise(free_energy, layer)


def test_weights_within_a_standard_error_of_zero_are_pruned_and_others_keep_their_variance():
    estimate = torch.tensor([0.2, -0.8, 1.0, 1.6, -3.0, 5.0], dtype=DOUBLE)
    layer = posterior_of_weights(estimate)
    assert layer.mask().flatten().tolist() == [False, False, False, True, True, True]
    mean, variance = layer.posterior_moments()
    assert_close(mean[0, -1], estimate[-1], rtol=0.1, atol=0)
    assert_close(variance[0, -1].item(), 1.0, rtol=0.1, atol=0)


def test_the_variance_under_a_clipped_divergence_collapses():
    """The right variance is near 1, from where the clipped divergence is flat it only falls."""
    layer = posterior_of_weights(torch.tensor([50.0], dtype=DOUBLE), clipped=True)
    assert layer.log_sigma2.item() < -4


def regression(relevant, inputs=10, N=200):
    """Orthogonal inputs; estimates of irrelevant weights 0.7 standard errors from zero, of others at least 7."""
    torch.manual_seed(4)
    x = torch.linalg.qr(torch.randn(N, inputs, dtype=DOUBLE))[0] * math.sqrt(N)
    w = torch.full((inputs,), 0.7 / math.sqrt(N), dtype=DOUBLE)
    w[:relevant] = torch.linspace(0.5, 1.5, relevant, dtype=DOUBLE)
    return x, x @ w * torch.ones(1, dtype=DOUBLE)


def fit_regression(layer, x, y):
    """Maximise the evidence's bound for y ~ N(x w, 1), its expectation through two moments of the output."""

    def free_energy(layer):
        mean, variance = layer.output_moments(x)
        return 0.5 * ((mean[:, 0] - y).square() + variance[:, 0]).sum() + layer.kl()

    return minimise(free_energy, layer)


@pytest.mark.parametrize("relevant", [4, 10])
def test_exactly_the_irrelevant_inputs_of_a_regression_are_pruned(relevant):
    x, y = regression(relevant)
    layer = fit_regression(SparseDropout(nn.Linear(10, 1, bias=False).to(DOUBLE)), x, y)
    assert layer.mask().flatten().tolist() == [i < relevant for i in range(10)]
    w = layer.masked().weight.detach().flatten()
    assert_close(w[:relevant], torch.linspace(0.5, 1.5, relevant, dtype=DOUBLE), atol=0.02, rtol=0)
    assert (w[relevant:] == 0).all()


def test_a_gaussian_prior_does_not_prune_them():
    x, y = regression(4)
    estimate, error = x.T @ y / 200, 200**-0.5
    plain = Variational(nn.Linear(10, 1, bias=False).to(DOUBLE))
    with torch.no_grad():
        plain.layer.weight.copy_(
            estimate * 200 / 201
        )  # the exact posterior under N(0, 1), of standard deviation 201^-.5
    log_alpha = math.log(error**2) - plain.layer.weight.square().log()
    assert (log_alpha[0, 4:] < 1).all()


def test_masked_layers_and_layers_at_their_means():
    layer = log_alphas()
    x = torch.randn(3, 5, dtype=DOUBLE)
    kept = layer.log_alpha() < 3
    assert_close(layer.mask(), kept)
    assert_close(layer.mask(threshold=0.0), layer.log_alpha() < 0)
    plain = layer.masked()
    assert type(plain) is nn.Linear
    assert_close(plain(x), x @ (layer.layer.weight * kept).T + layer.layer.bias)
    assert_close(layer.layer.weight[~kept].detach().abs().min() > 0, torch.tensor(True))
    with at_means(layer):
        assert_close(layer(x), layer.layer(x))
    assert not layer.deterministic


def test_draws_and_their_density():
    layer = sparse(lambda: nn.Conv1d(2, 3, 2))
    torch.manual_seed(6)
    draws = layer.draw(100_000)
    mean, variance = layer.posterior_moments()
    z = (draws["weight"].mean(0) - mean) / (variance / 100_000).sqrt()
    assert z.abs().max() < 4.56
    expected = torch.distributions.Normal(mean, variance.sqrt()).log_prob(draws["weight"]).flatten(1).sum(1)
    assert_close(layer.log_posterior(draws), expected)
    with pytest.raises(ValueError, match="improper"):
        layer.log_prior(draws)
    with pytest.raises(ValueError, match="samples is 0"):
        layer.draw(0)


def test_a_network_answers_as_every_random_network():
    torch.manual_seed(7)
    net = sparsify(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(18, 3)), initial_log_variance=0.0)
    x = torch.randn(4, 1, 5, 5)
    outputs = forward_samples(net, x, 3)
    assert outputs.shape == (3, 4, 3)
    assert (outputs[0] != outputs[1]).all()
    assert_close(total_kl(net), net[0].kl() + net[2].kl())
    weights = draw_weights(net, 2)
    by_hand = nn.functional.linear(
        nn.functional.conv2d(x, weights["0"]["weight"][1], net[0].layer.bias).flatten(1),
        weights["2"]["weight"][1],
        net[2].layer.bias,
    )
    assert_close(forward_with(net, x, weights)[1], by_hand)


class Nested(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv1d(1, 2, 3), nn.ReLU(), nn.Conv1d(2, 2, 3))
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.features(x).flatten(1))


def test_conversion_by_name_keeps_weights_and_leaves_the_original_alone():
    module = Nested().eval()
    net = sparsify(module, include="features.*", exclude=["features.0.*"], threshold=2.0)
    assert list(random_layers(net)) == ["features.2"]
    assert net.features[2].threshold == 2.0
    assert not net.features[2].training
    assert type(module.features[2]) is nn.Conv1d
    with at_means(net):
        assert_close(net(torch.ones(1, 1, 8)), module(torch.ones(1, 1, 8)))
    again = sparsify(net, include="head.*")
    assert set(random_layers(again)) == {"features.2", "head"}
    assert type(sparsify(nn.Linear(2, 2))) is SparseDropout


def test_what_multiplies_by_weights_of_its_parts_is_left_whole():
    net = sparsify(
        nn.Sequential(nn.TransformerEncoderLayer(8, 2, dim_feedforward=4, batch_first=True), nn.Linear(8, 1))
    )
    assert set(random_layers(net)) == {"1"}
    assert net.eval()(torch.zeros(2, 3, 8)).shape == (2, 3, 1)


def test_what_cannot_be_converted_is_refused():
    with pytest.raises(ValueError, match=r"no weight matches include='conv\*'.*there are \['0.weight'\]"):
        sparsify(nn.Sequential(nn.Linear(2, 2)), include="conv*")
    with pytest.raises(ValueError, match="no weight matches"):
        sparsify(nn.ReLU())
    linear = nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"0\.weight and 2\.weight are one parameter"):
        sparsify(nn.Sequential(linear, nn.ReLU(), linear))
    with pytest.raises(ValueError, match="Conv3d, got LSTM"):
        SparseDropout(nn.LSTM(2, 2))
    with pytest.raises(ValueError, match="no weights yet"):
        SparseDropout(nn.LazyLinear(2))
    with pytest.raises(ValueError, match="is parametrized"):
        SparseDropout(nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)))
    with torch.no_grad():
        linear.weight[0, 0] = math.nan
        linear.bias[1] = math.inf
    with pytest.raises(ValueError, match="2 of 6 weights"):
        SparseDropout(linear)
    with pytest.raises(ValueError, match="must be finite"):
        SparseDropout(nn.Linear(2, 2), threshold=math.nan)


def test_inputs_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"the input has shape \(3, 4\); this layer expects \(\*batch, 5\)"):
        SparseDropout(nn.Linear(5, 2))(torch.zeros(3, 4))
    with pytest.raises(ValueError, match=r"the input has shape \(3, 4, 6\); this layer expects \(B, 2, L\)"):
        SparseDropout(nn.Conv1d(2, 2, 2))(torch.zeros(3, 4, 6))
