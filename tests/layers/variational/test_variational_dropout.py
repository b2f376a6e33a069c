"""Variational dropout: moments of both noises, what each divergence counts, limits of the rates, refusals."""

import itertools
import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from jensen._contracts import Pairs
from jensen.distributions import kl_log_uniform, kl_log_uniform_cubic, kl_log_uniform_exact
from jensen.layers import CategoricalLikelihood, shrinking
from jensen.layers.variational import (
    VariationalDropout,
    at_means,
    draw_weights,
    forward_samples,
    forward_with,
    is_random_layer,
    random_layers,
    total_kl,
    variational_dropout,
)
from jensen.layers.variational.kernels import apply_linearly
from jensen.models import BayesianNetwork
from jensen.training import Constant, FreeEnergy, fit

DOUBLE = torch.float64
LAYERS = {
    "linear": (lambda: nn.Linear(3, 2), (2, 3)),
    "linear of sequences": (lambda: nn.Linear(3, 2), (2, 2, 3)),
    "one vector": (lambda: nn.Linear(3, 2, bias=False), (3,)),
    "conv1d": (lambda: nn.Conv1d(2, 2, 2, stride=2, padding=1), (2, 2, 5)),
    "conv1d in groups": (lambda: nn.Conv1d(4, 6, 2, groups=2, dilation=2), (1, 4, 6)),
    "conv2d": (lambda: nn.Conv2d(2, 2, (1, 2), padding=1, padding_mode="circular"), (2, 2, 3, 3)),
    "one picture": (lambda: nn.Conv2d(2, 1, 2), (2, 3, 3)),
    "conv3d": (lambda: nn.Conv3d(1, 1, 2, padding=(1, 0, 0)), (2, 1, 3, 3, 3)),
}
KINDS = [
    ("independent", "layer"),
    ("independent", "neuron"),
    ("independent", "weight"),
    ("correlated", "layer"),
    ("correlated", "neuron"),
]
by_kind = pytest.mark.parametrize(("noise", "rate"), KINDS)


def dropout(make, *, noise, rate, **options):
    torch.manual_seed(0)
    layer = VariationalDropout(make().to(DOUBLE), noise=noise, rate=rate, **options)
    with torch.no_grad():
        layer.free.copy_(torch.randn_like(layer.free))
    return layer


def alphas(layer):
    """The rate of each weight, entry by entry."""
    weight, alpha = layer.layer.weight, layer.log_alpha().exp().detach()
    outputs, inputs = weight.shape[:2]
    groups = getattr(layer.layer, "groups", 1)
    found = torch.empty_like(weight).detach()
    for o, i in itertools.product(range(outputs), range(inputs)):
        channel = o // (outputs // groups) * inputs + i
        found[o, i] = {
            "layer": lambda: alpha,
            "neuron": lambda c=channel: alpha[c],
            "weight": lambda o=o, i=i: alpha[o, i],
        }[layer.rate]()
    return found


def channels(layer):
    """Of each weight, which input it belongs to."""
    weight, groups = layer.layer.weight, getattr(layer.layer, "groups", 1)
    outputs, inputs = weight.shape[:2]
    found = torch.empty(weight.shape, dtype=torch.long)
    for o, i in itertools.product(range(outputs), range(inputs)):
        found[o, i] = o // (outputs // groups) * inputs + i
    return found


def covariance_of_random_weights(layer, x):
    """Covariance of the outputs of one example, `(B, outputs, outputs)`, or of the only one, by linear algebra."""
    plain, theta = layer.layer, layer.layer.weight.detach()

    def outputs(weight):
        return apply_linearly(plain, x, weight, plain.bias)

    jacobian = torch.func.jacrev(outputs)(theta).flatten(-theta.ndim)  # (*outputs, weights)
    deviations = (alphas(layer).sqrt() * theta).flatten()
    if layer.noise == "correlated":
        member = nn.functional.one_hot(channels(layer).flatten()).to(DOUBLE)  # (weights, inputs)
        directions = (jacobian * deviations) @ member
    else:
        directions = jacobian * deviations
    batch = len(x) if x.ndim > 1 + theta.ndim - 2 else 1
    each = directions.reshape(batch, -1, directions.shape[-1]).detach()
    return each @ each.mT


def covariance_of_outputs(layer, x, monkeypatch):
    """The same of what the layer draws: for correlated noise over each noise alone, else the variances."""
    with monkeypatch.context() as patch, torch.no_grad():
        if layer.noise == "independent":
            patch.setattr(torch, "randn_like", torch.ones_like)
            deviation = layer(x) - layer.layer(x)
            batch = len(x) if x.ndim > 1 + layer.layer.weight.ndim - 2 else 1
            return deviation.square().reshape(batch, -1).diag_embed()
        inputs = layer.layer.in_features if isinstance(layer.layer, nn.Linear) else layer.layer.in_channels
        found = 0
        for unit in torch.eye(inputs, dtype=DOUBLE):
            patch.setattr(torch, "randn", lambda shape, unit=unit, **_: _like(unit, shape, layer))
            deviation = layer(x) - layer.layer(x)
            batch = len(x) if x.ndim > 1 + layer.layer.weight.ndim - 2 else 1
            each = deviation.reshape(batch, -1)
            found = found + each.unsqueeze(2) * each.unsqueeze(1)
        return found


def _like(unit, shape, layer):
    """One vector of noise for every example."""
    space = layer.layer.weight.ndim - 2
    return unit.reshape(-1, *[1] * space).expand(shape)


@pytest.mark.parametrize("name", LAYERS)
@by_kind
def test_outputs_have_the_moments_of_random_weights(name, noise, rate, monkeypatch):
    make, shape = LAYERS[name]
    layer, x = dropout(make, noise=noise, rate=rate), torch.randn(shape, dtype=DOUBLE)
    exact, found = covariance_of_random_weights(layer, x), covariance_of_outputs(layer, x, monkeypatch)
    if noise == "independent":
        exact = exact.diagonal(dim1=1, dim2=2).diag_embed()
    assert_close(found, exact, atol=1e-12, rtol=0)
    with at_means(layer):
        assert_close(layer(x), layer.layer(x))


def test_noise_of_outputs_that_share_nothing_is_not_correlated_noise():
    """Where weights share a scale, outputs of an example covary; one noise for each pixel is another covariance."""
    layer = dropout(lambda: nn.Conv1d(1, 1, 2), noise="correlated", rate="layer")
    x = torch.tensor([[[3.0, 4.0, 5.0, 6.0]]], dtype=DOUBLE)
    exact = covariance_of_random_weights(layer, x)
    assert (exact - exact.diagonal(dim1=1, dim2=2).diag_embed()).abs().max() > 0.01
    per_pixel = torch.stack([layer.layer(x + e) - layer.layer(x) for e in torch.diag(x.flatten()).unsqueeze(1)])
    twin = layer.log_alpha().exp() * per_pixel.flatten(1).square().sum(0)
    assert (twin - exact.diagonal(dim1=1, dim2=2).squeeze(0)).abs().max() > 0.01


@by_kind
def test_draws_have_the_moments_of_the_posterior(noise, rate):
    layer = dropout(lambda: nn.Conv1d(4, 4, 2, groups=2), noise=noise, rate=rate)
    theta, variance = (each.detach() for each in layer.posterior_moments())
    assert_close(variance.expand_as(theta), alphas(layer) * theta.square())
    torch.manual_seed(1)
    draws = layer.draw(40_000)["weight"].detach()
    assert ((draws.mean(0) - theta) / (variance / 40_000).sqrt()).abs().max() < 4.56
    standard = (draws - theta) / variance.sqrt() * theta.sign()
    assert ((standard.square().mean(0) - 1).abs() * (40_000 / 2) ** 0.5).max() < 4.56
    correlation = standard.flatten(1).T @ standard.flatten(1) / 40_000
    together = channels(layer).flatten()
    same = (
        (together.unsqueeze(0) == together.unsqueeze(1)) if noise == "correlated" else torch.eye(16, dtype=torch.bool)
    )
    assert (correlation[same] > 0.95).all()
    assert (correlation[~same].abs() * 200).max() < 4.56


def test_the_two_noises_of_a_layer_draw_what_they_say():
    """Statistically, through the module's own call: equal variances of an output, unequal covariances."""
    covariances = {}
    for noise in ("independent", "correlated"):
        layer, x = dropout(lambda: nn.Linear(3, 2), noise=noise, rate="neuron"), torch.randn(3, dtype=DOUBLE)
        torch.manual_seed(2)
        y = torch.func.vmap(lambda _, net=layer, x=x: net(x), randomness="different")(torch.zeros(20_000)).detach()
        exact = covariance_of_random_weights(layer, x)[0]
        z = (y - layer.layer(x)) / exact.diagonal().sqrt()
        covariances[noise] = (z[:, 0] * z[:, 1]).mean().item()
        expected = exact[0, 1] / exact.diagonal().prod().sqrt() if noise == "correlated" else 0.0
        assert abs(covariances[noise] - expected) < 4.56 * (2 / 20_000) ** 0.5
        assert ((z.square().mean(0) - 1).abs() < 4.56 * (2 / 20_000) ** 0.5).all()
    assert abs(covariances["correlated"]) > 0.2


def test_examples_have_noise_of_their_own_and_positions_of_one_share_correlated_noise():
    linear = dropout(lambda: nn.Linear(3, 1, bias=False), noise="correlated", rate="neuron")
    x = torch.ones(2, 4, 3, dtype=DOUBLE)
    y = linear(x)
    assert_close(y, y[:, :1].expand_as(y))
    assert (y[0] - y[1]).abs().min() > 1e-6
    own = dropout(lambda: nn.Linear(3, 1, bias=False), noise="independent", rate="neuron")(x)
    assert own.detach().flatten().unique().numel() == 8


@by_kind
@pytest.mark.parametrize("divergence", ["sigmoid", "cubic", "exact"])
def test_the_divergence_counts_what_is_random(noise, rate, divergence):
    layer = dropout(lambda: nn.Conv1d(4, 6, 2, groups=2), noise=noise, rate=rate, divergence=divergence)
    function = {"sigmoid": kl_log_uniform, "cubic": kl_log_uniform_cubic, "exact": kl_log_uniform_exact}[divergence]
    every = alphas(layer).log()  # 24 weights of 4 inputs
    each = every if noise == "independent" else torch.stack([every[channels(layer) == c][0] for c in range(4)])
    assert_close(layer.kl(), function(each).sum(), atol=1e-11, rtol=0)
    tolerance = {"sigmoid": 0.0095, "cubic": 0.0404, "exact": 1e-12}[divergence]
    assert abs(layer.kl() - kl_log_uniform_exact(each).sum()) <= tolerance * each.numel()


def test_a_divergence_averaged_or_of_weights_that_share_a_scale_is_caught():
    layer = dropout(lambda: nn.Linear(5, 7), noise="independent", rate="layer")
    exact = kl_log_uniform_exact(alphas(layer).log()).sum()
    assert abs(kl_log_uniform(layer.log_alpha()).sum() - exact) > 1  # once for the layer
    shared = dropout(lambda: nn.Linear(5, 7), noise="correlated", rate="layer")
    scales = kl_log_uniform_exact(shared.log_alpha().expand(5)).sum()
    assert abs(shared.kl() - scales) < 0.0095 * 5
    assert kl_log_uniform(alphas(shared).log()).sum() > 6 * scales  # once for every output


@pytest.mark.parametrize("noise", ["independent", "correlated"])
def test_the_divergence_against_draws(noise):
    """E[log q - log p] of a weight, or of a scale, up to the constant that makes it vanish for infinite alpha."""
    layer = VariationalDropout(nn.Linear(1, 1).double(), noise=noise, initial_alpha=0.5)
    torch.manual_seed(3)
    w = layer.draw(400_000)
    scale = (w["weight"] / layer.layer.weight).flatten().detach()
    log_q = torch.distributions.Normal(1.0, math.sqrt(0.5)).log_prob(scale)
    if noise == "independent":
        in_weights = layer.log_posterior(w).detach() + w["weight"].detach().flatten().abs().log()
        assert_close(in_weights, log_q + scale.abs().log())
    terms = log_q + scale.abs().log()
    vanishing = 0.5 * (math.log(2 * math.pi) + 1) + 0.5 * (0.5772156649015329 + math.log(2))
    error = terms.std() / math.sqrt(len(terms))
    assert abs(terms.mean() + vanishing - kl_log_uniform_exact(layer.log_alpha().detach())) < 4.56 * error


@by_kind
def test_the_slope_of_the_divergence_raises_alpha_and_ends_at_the_limit(noise, rate):
    layer = dropout(lambda: nn.Linear(3, 2), noise=noise, rate=rate)
    layer.kl().backward()
    assert (layer.free.grad < 0).all()
    assert layer.layer.weight.grad is None  # the prior has no scale
    with torch.no_grad():
        layer.free.fill_(1e3)
    assert_close(layer.log_alpha().exp().detach(), torch.ones_like(layer.free), rtol=0, atol=0)
    layer.zero_grad()
    (layer.kl() + layer(torch.ones(4, 3, dtype=DOUBLE)).sum()).backward()
    assert layer.kl().isfinite()
    assert (layer.free.grad == 0).all()
    with torch.no_grad():
        layer.free.fill_(-200.0)
    layer.zero_grad()
    (layer.kl() + layer(torch.ones(4, 3, dtype=DOUBLE)).square().sum()).backward()
    assert layer.free.grad.isfinite().all()


def test_without_a_limit_alpha_is_free():
    layer = VariationalDropout(nn.Linear(2, 2), maximum_alpha=None, initial_alpha=20.0, divergence="exact")
    assert_close(layer.log_alpha().exp(), torch.tensor(20.0))
    higher = VariationalDropout(nn.Linear(2, 2), maximum_alpha=5.0, initial_alpha=4.0)
    assert_close(higher.log_alpha().exp(), torch.tensor(4.0))
    assert "maximum_alpha=None" in repr(layer)


@by_kind
@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
def test_weights_and_inputs_of_zero_have_finite_gradients(noise, rate, dtype):
    layer = VariationalDropout(nn.Linear(4, 1).to(dtype), noise=noise, rate=rate)
    with torch.no_grad():
        layer.layer.weight.copy_(torch.tensor([[0.0, 1e-30, -1e-20, 0.0]]))
    x = torch.cat([torch.ones(2, 4, dtype=dtype), torch.zeros(1, 4, dtype=dtype)]).requires_grad_()
    (layer.kl() + layer(x).square().sum() + layer.draw(2)["weight"].sum()).backward()
    for gradient in (x.grad, *(parameter.grad for parameter in layer.parameters())):
        assert gradient.isfinite().all()


def test_the_root_of_a_variance_of_zero_is_caught():
    theta = torch.zeros(1, requires_grad=True)
    (0.5 * theta.square()).sqrt().backward()
    assert theta.grad.isnan()


def test_densities():
    layer = dropout(lambda: nn.Conv1d(2, 3, 2), noise="independent", rate="neuron")
    draws, (theta, variance) = layer.draw(5), layer.posterior_moments()
    expected = torch.distributions.Normal(theta, variance.sqrt()).log_prob(draws["weight"]).flatten(1).sum(1)
    assert_close(layer.log_posterior(draws), expected)
    with pytest.raises(ValueError, match="improper"):
        layer.log_prior(draws)
    with pytest.raises(ValueError, match="samples is 0"):
        layer.draw(0)
    with torch.no_grad():
        layer.layer.weight[0, 0, 0] = 0
    with pytest.raises(ValueError, match="whose mean is 0 has no variance and no density"):
        layer.log_posterior(draws)
    with pytest.raises(ValueError, match="lie on a line and have no density"):
        dropout(lambda: nn.Linear(2, 2), noise="correlated", rate="layer").log_posterior({})


def optimal_alpha(noise, outputs, *, divergence="exact", maximum_alpha=1.0):
    """The best rate where N(1, 0.5) is the likelihood of each of `outputs` weights of one input, means held at 1."""
    layer = VariationalDropout(
        nn.Linear(1, outputs, bias=False).double(), noise=noise, divergence=divergence, maximum_alpha=maximum_alpha
    )
    with torch.no_grad():
        layer.layer.weight.fill_(1.0)
    lbfgs = torch.optim.LBFGS([layer.free], max_iter=100, line_search_fn="strong_wolfe", tolerance_grad=1e-10)

    def closure():
        lbfgs.zero_grad()
        value = layer.posterior_moments()[1].expand(outputs, 1).sum() / (2 * 0.05) + layer.kl()
        value.backward()
        return value

    lbfgs.step(closure)
    return layer.log_alpha().exp().item()


def test_the_optimum_is_where_the_exact_slopes_meet():
    """Independent: alpha / 2 s^2 against KL for each weight; correlated: n of the first against one of the second."""
    from scipy import optimize, special

    def slope(alpha, outputs):
        y = 1 / math.sqrt(2 * alpha)
        return outputs / (2 * 0.05) - y * special.dawsn(y) / alpha

    for outputs in (1, 4):
        alone = optimize.brentq(slope, 1e-4, 1, args=(1,))
        shared = optimize.brentq(slope, 1e-4, 1, args=(outputs,))
        assert optimal_alpha("independent", outputs) == pytest.approx(alone, rel=1e-5)
        assert optimal_alpha("correlated", outputs) == pytest.approx(shared, rel=1e-5)
    assert optimal_alpha("independent", 1, divergence="sigmoid") == pytest.approx(
        optimal_alpha("independent", 1), rel=0.1
    )


def pairs(N=60):
    torch.manual_seed(5)
    labels = torch.randint(3, (N,))
    return Pairs(torch.randn(N, 4) + 3 * nn.functional.one_hot(labels, 4), labels)


@by_kind
def test_a_bayesian_network_learns_its_rates(noise, rate):
    data = pairs()
    plain = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    net = BayesianNetwork(variational_dropout(plain, noise=noise, rate=rate), likelihood=CategoricalLikelihood())
    before = [layer.log_alpha().detach().clone() for layer in net.network[::2]]
    fit(
        net,
        FreeEnergy(len(data)),
        data,
        epochs=30,
        batch_size=20,
        learning_rate=Constant(2e-2),
        progress=False,
    )
    assert all((layer.log_alpha() != old).any() for layer, old in zip(net.network[::2], before, strict=True))
    prediction = net.predict(data.inputs, samples=50)
    assert (prediction.mean.argmax(-1) != data.targets).float().mean() < 0.2
    assert (prediction.epistemic > 0).all()
    with pytest.raises(ValueError, match="use kl"):
        net.log_weights(data)


def test_a_network_answers_as_every_random_network():
    torch.manual_seed(7)
    net = variational_dropout(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(18, 3)), noise="correlated")
    x = torch.randn(4, 1, 5, 5)
    outputs = forward_samples(net, x, 3)
    assert outputs.shape == (3, 4, 3)
    assert (outputs[0] != outputs[1]).all()
    assert is_random_layer(net[0])
    assert_close(total_kl(net), net[0].kl() + net[2].kl())
    weights = draw_weights(net, 2)
    features = nn.functional.conv2d(x, weights["0"]["weight"][1], net[0].layer.bias).flatten(1)
    assert_close(
        forward_with(net, x, weights)[1], nn.functional.linear(features, weights["2"]["weight"][1], net[2].layer.bias)
    )
    plain = shrinking.masked(net)
    with at_means(net):
        assert_close(plain(x), net(x))
    assert list(shrinking.bit_formats(net)) == ["0", "2"]


def test_conversion_by_name_keeps_weights_and_hands_on_its_words():
    module = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2)).eval()
    net = variational_dropout(
        module,
        include="2.*",
        rate="neuron",
        noise="correlated",
        initial_alpha=0.4,
        maximum_alpha=0.5,
        divergence="cubic",
    )
    assert list(random_layers(net)) == ["2"]
    layer = net[2]
    assert (layer.rate, layer.noise, layer.maximum_alpha, layer.divergence) == ("neuron", "correlated", 0.5, "cubic")
    assert_close(layer.log_alpha().exp(), torch.full((3,), 0.4))
    assert not layer.training
    with at_means(net):
        assert_close(net(torch.ones(1, 3)), module(torch.ones(1, 3)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": "neurons"}, "unknown rate 'neurons'; did you mean 'neuron'"),
        ({"noise": "A"}, "unknown noise 'A'"),
        ({"divergence": "molchanov"}, "unknown divergence 'molchanov'"),
        ({"rate": "weight", "noise": "correlated"}, "the same for all weights of an input; take rate 'neuron'"),
        ({"initial_alpha": 0.0}, r"initial_alpha is 0\.0 and maximum_alpha 1\.0"),
        ({"initial_alpha": 1.0}, "lies between 0 and the second"),
        ({"initial_alpha": math.nan}, "initial_alpha is nan"),
        ({"initial_alpha": math.inf, "maximum_alpha": None}, "initial_alpha is inf"),
        ({"maximum_alpha": math.inf}, "which is finite, or None"),
        ({"maximum_alpha": 2.0, "divergence": "cubic"}, r"maximum_alpha is 2\.0; take 'sigmoid'"),
        ({"maximum_alpha": None, "divergence": "cubic"}, "maximum_alpha is None"),
    ],
)
def test_what_makes_no_posterior_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        VariationalDropout(nn.Linear(2, 2), **options)


def test_layers_and_inputs_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="Conv3d, got LSTM"):
        VariationalDropout(nn.LSTM(2, 2))
    with pytest.raises(ValueError, match="no weight matches"):
        variational_dropout(nn.ReLU())
    linear = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="are one parameter"):
        variational_dropout(nn.Sequential(linear, linear))
    for noise in ("independent", "correlated"):
        with pytest.raises(ValueError, match=r"the input has shape \(3, 4\); this layer expects \(\*batch, 5\)"):
            VariationalDropout(nn.Linear(5, 2), noise=noise)(torch.zeros(3, 4))
    with torch.no_grad():
        linear.weight[0, 0] = math.nan
    with pytest.raises(ValueError, match="1 of 6 weights"):
        VariationalDropout(linear)
