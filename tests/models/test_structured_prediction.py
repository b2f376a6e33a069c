"""A stochastic network so small that every path through its units is enumerated."""

import itertools
import math

import pytest
import torch
from torch.testing import assert_close

from jensen.gradients.enumerate_exact import enumerate_exact
from jensen.gradients.registry import get
from jensen.gradients.score_function import leave_one_out
from jensen.layers import BernoulliMLP, DiscreteMLP
from jensen.models import StructuredPredictor

UPPER, LOWER = 3, 2
UNITS = {"bits": [(2,), (3,)], "categories": [(2, 3), (1, 2)], "one layer": [(3,)], "three layers": [(2,), (1,), (2,)]}


def network(units):
    torch.manual_seed(1)
    widths = [UPPER, *(math.prod(each) for each in units)]
    layers = [DiscreteMLP(width, (), each) for width, each in zip(widths, units, strict=False)]
    model = StructuredPredictor(layers=layers, decoder=BernoulliMLP(widths[-1], (), LOWER)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5).add_(0.3 * torch.randn_like(parameter))
    return model


@pytest.fixture(params=UNITS)
def net(request):
    return network(UNITS[request.param])


@pytest.fixture
def image():
    return torch.tensor([[0, 1, 1, 0, 1], [1, 0, 0, 0, 0], [1, 1, 0, 1, 1], [0, 0, 1, 1, 0]], dtype=torch.float64)


def values(units):
    """Every value of a layer, flat, `(S, width)`."""
    rows = list(torch.eye(units[1], dtype=torch.float64)) if len(units) == 2 else [0.0, 1.0]
    every = itertools.product(rows, repeat=units[0])
    return torch.stack([torch.cat([torch.as_tensor(v, dtype=torch.float64).reshape(-1) for v in row]) for row in every])


def log_prob(layer, h, below):
    logits = layer.network(below)
    if len(layer.units) == 1:
        return torch.distributions.Bernoulli(logits=logits).log_prob(h).sum(-1)
    rows = logits.unflatten(-1, layer.units).log_softmax(-1)
    return (rows * h.unflatten(-1, layer.units)).sum((-1, -2))


def every_path(net, image):
    """Log-probability of every path of units and of the lower half at its end, `(paths, B)` each."""
    upper, lower = image[:, :UPPER], image[:, UPPER:]
    paths = [(None, torch.zeros(len(image), dtype=torch.float64))]
    for l, layer in enumerate(net.layers):
        paths = [
            (h, log_p + log_prob(layer, h, upper if l == 0 else below))
            for below, log_p in paths
            for h in values(layer.units)
        ]
    pixels = [torch.distributions.Bernoulli(logits=net.decoder.network(h)).log_prob(lower).sum(-1) for h, _ in paths]
    return torch.stack([log_p for _, log_p in paths]), torch.stack(pixels)


def test_all_paths_are_there(net, image):
    log_path, _ = every_path(net, image)
    assert_close(log_path.exp().sum(0), torch.ones(4, dtype=torch.float64))


def test_the_nest_of_expectations_is_the_sum_over_all_paths_in_value_and_gradient(net, image):
    log_path, log_pixels = every_path(net, image)
    exact = -(log_path.exp() * log_pixels).sum(0)
    nested = net.expected_cost(image, enumerate_exact)
    assert_close(nested, exact, rtol=1e-12, atol=1e-12)
    gradients = [torch.autograd.grad(value.sum(), list(net.parameters())) for value in (nested, exact)]
    assert_close(*gradients, rtol=1e-10, atol=1e-12)


def test_an_inner_expectation_without_an_estimator_is_caught(image):
    net = network(UNITS["bits"])
    log_path, log_pixels = every_path(net, image)
    parameters = list(net.layers[1].parameters())
    exact = torch.autograd.grad(-(log_path.exp() * log_pixels).sum(), parameters)

    def careless(f, q):
        return enumerate_exact(f, q) if q.batch_shape == (4,) else f(q.sample((500,))).mean(0)

    cost = net.expected_cost(image, careless).sum()
    found = torch.autograd.grad(cost, parameters, allow_unused=True)
    assert found == (None, None)
    assert max(g.abs().max() for g in exact) > 0.05


def largest_z(name, image, *, batches=100):
    """How far value and mean gradient of batches of 20 copies are from enumeration, in standard errors."""
    net = network(UNITS["bits"])
    log_path, log_pixels = every_path(net, image)
    exact = -(log_path.exp() * log_pixels).sum(0).mean()
    targets = [exact.detach(), *torch.autograd.grad(exact, list(net.parameters()))]
    torch.manual_seed(7)
    found = []
    for _ in range(batches):
        cost = net.expected_cost(image.repeat(20, 1), lambda f, q: get(name).function(f, q, samples=2)).mean()
        found.append([cost.detach(), *torch.autograd.grad(cost, list(net.parameters()))])
    draws = [torch.stack(each) for each in zip(*found, strict=True)]
    errors = [each.std(0) / math.sqrt(batches) for each in draws]
    pairs = zip(draws, targets, errors, strict=True)
    return max(((each.mean(0) - target) / error).abs().max().item() for each, target, error in pairs)


SLOW = ["score_function", "measure_valued", "importance_without_replacement", "rao_blackwell", "arm", "muprop"]


@pytest.mark.parametrize(
    "name",
    [
        "leave_one_out",
        "unordered_set",
        "disarm",
        "rebar",
        *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW),
    ],
)
def test_an_estimator_in_each_layer_has_the_gradient_as_expectation(image, name):
    assert largest_z(name, image) < 4.56


def test_a_biased_one_in_each_layer_is_caught(image):
    assert largest_z("straight_through", image, batches=40) > 10


def test_the_weights_have_the_likelihood_as_expectation(net, image):
    torch.manual_seed(5)
    K = 20_000
    log_path, log_pixels = every_path(net, image)
    log_weights = net.log_weights(image, K)
    assert_close(log_weights.total, log_weights.log_likelihood)
    assert torch.equal(log_weights.log_prior, log_weights.log_posterior)
    weights = log_weights.total.exp()
    exact = (log_path + log_pixels).exp().sum(0)
    z = (weights.mean(0) - exact) / (weights.std(0) / math.sqrt(K))
    assert z.abs().max() < 4.56
    assert (net.expected_cost(image, enumerate_exact) > -exact.log()).all()


def test_the_score_of_all_layers_flows_back(net, image):
    gradients = torch.autograd.grad(net.log_weights(image, 3).log_posterior.sum(), list(net.layers.parameters()))
    assert all(g.abs().max() > 0 for g in gradients)


def test_there_is_no_divergence(net, image):
    assert torch.equal(net.kl(image), torch.zeros(4, dtype=torch.float64))


def test_the_upper_half_stays_and_the_lower_is_a_mean(net, image):
    whole = net.reconstruct(image)
    assert torch.equal(whole[:, :UPPER], image[:, :UPPER])
    assert ((whole[:, UPPER:] > 0) & (whole[:, UPPER:] < 1)).all()
    assert not whole.requires_grad


def test_the_first_layer_runs_once_for_each_image(net, image):
    rows = []
    net.layers[0].register_forward_hook(lambda module, arguments, output: rows.append(len(arguments[0])))
    net.log_weights(image, 50)
    net.expected_cost(image, lambda f, q: leave_one_out(f, q, samples=2))
    net.log_weights(image, 5, posterior=net.posterior(image))
    assert rows == [4, 4, 4]


def test_layers_that_do_not_fit_are_refused():
    decoder = BernoulliMLP(4, (), LOWER)
    with pytest.raises(ValueError, match="at least one layer, got none"):
        StructuredPredictor(layers=[], decoder=decoder)
    with pytest.raises(ValueError, match="a layer of 6 values does not fit the next, which expects 4"):
        StructuredPredictor(layers=[DiscreteMLP(3, (), (2, 3)), DiscreteMLP(4, (), (4,))], decoder=decoder)


def test_images_without_a_lower_half_or_a_likelihood_are_refused(net, image):
    net.check(image)
    with pytest.raises(ValueError, match="more than 3 pixels"):
        net.log_weights(image[:, :3])
    with pytest.raises(ValueError, match=r"expects \(B, 2\)"):
        net.check(torch.cat([image, image], 1))
    with pytest.raises(ValueError, match="the upper halves hold NaN"):
        net.check(torch.cat([image[:, :3] * math.nan, image[:, 3:]], 1))
    with pytest.raises(ValueError, match="samples is 0; draw at least one"):
        net.log_weights(image, 0)
