"""Every estimator gives each output the moments that drawn weights give it, by linear algebra and enumeration."""

import itertools

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from jensen.layers.variational import MeanField, Variational, kernels

DOUBLE = torch.float64

LAYERS = {
    "linear": (lambda: nn.Linear(3, 2), (2, 3)),
    "linear without bias": (lambda: nn.Linear(3, 2, bias=False), (2, 3)),
    "linear on sequences": (lambda: nn.Linear(3, 2), (2, 2, 3)),
    "linear without batch": (lambda: nn.Linear(3, 2), (3,)),
    "conv1d": (lambda: nn.Conv1d(2, 2, 3, stride=2, padding=2, dilation=2), (2, 2, 6)),
    "conv1d, groups": (lambda: nn.Conv1d(4, 2, 2, groups=2), (2, 4, 4)),
    "conv1d, circular": (lambda: nn.Conv1d(2, 2, 3, padding=1, padding_mode="circular"), (2, 2, 4)),
    "conv1d, same": (lambda: nn.Conv1d(1, 2, 3, padding="same", bias=False), (2, 1, 4)),
    "conv2d": (lambda: nn.Conv2d(2, 2, (2, 1), stride=(1, 2), padding=(1, 0)), (2, 2, 3, 3)),
    "conv2d, groups": (lambda: nn.Conv2d(2, 4, 2, groups=2, dilation=2), (2, 2, 4, 4)),
    "conv2d without batch": (lambda: nn.Conv2d(2, 2, 2), (2, 3, 3)),
    "conv3d": (lambda: nn.Conv3d(1, 2, 2, stride=2, padding=1), (2, 1, 3, 3, 3)),
}
by_layer = pytest.mark.parametrize("name", list(LAYERS))


def random_parts(names):
    """Every layer with all of its parameters random, or its weight, or its bias where it has one."""
    every = itertools.product(names, ("*", "weight", "bias"))
    return [(name, part) for name, part in every if part != "bias" or LAYERS[name][0]().bias is not None]


def case(name, estimator, **options):
    make, shape = LAYERS[name]
    torch.manual_seed(0)
    random = Variational(make().double(), estimator=estimator, **options)
    with torch.no_grad():
        for free in random.posterior.parameters():
            free += 3 + torch.randn_like(free)
    return random, torch.randn(shape, dtype=DOUBLE)


def batched(name):
    return "without batch" not in name


def weights_to_outputs(random, x):
    """The Jacobian of the outputs in the random weights, `(outputs, weights)`, and the weights' variances."""
    means = random.means()

    def outputs(means):
        return torch.func.functional_call(random.layer, means, (x,)).flatten()

    jacobian = torch.func.jacrev(outputs)({name: mean.detach() for name, mean in means.items()})
    flat = torch.cat([jacobian[name].flatten(1) for name in means], 1)
    return flat, torch.cat([scale.detach().square().flatten() for scale in random.scales().values()])


def exact_covariance(random, x):
    jacobian, variances = weights_to_outputs(random, x)
    return (jacobian * variances) @ jacobian.T


def local_outputs(random, x, noise, monkeypatch):
    """The layer with the same noise in every output."""
    with monkeypatch.context() as patch, torch.no_grad():
        patch.setattr(torch, "randn", lambda *shape, **options: torch.full(shape, noise, **options))
        patch.setattr(torch, "randn_like", lambda mean: torch.full_like(mean, noise))
        return random(x)


def local_moments(random, x, monkeypatch):
    """Mean and variance by a two-point rule, exact for what is linear in Gaussian noise."""
    above, below = (local_outputs(random, x, noise, monkeypatch) for noise in (1.0, -1.0))
    return (above + below) / 2, ((above - below) / 2).square()


@pytest.mark.parametrize(("name", "parameters"), random_parts(LAYERS))
@pytest.mark.parametrize("parameterization", ["log", "softplus"])
def test_local_reparameterization_has_the_moments_of_drawn_weights(name, parameters, parameterization, monkeypatch):
    random, x = case(name, "local", parameters=parameters, posterior=MeanField(parameterization=parameterization))
    mean, variance = local_moments(random, x, monkeypatch)
    assert_close(mean, random.layer(x))
    assert_close(variance.flatten(), exact_covariance(random, x).diagonal())


def test_a_scale_for_a_variance_and_a_bias_without_variance_are_caught():
    random, x = case("linear", "local")
    scales = random.scales()
    exact = exact_covariance(random, x).diagonal().reshape(2, 2)
    right = kernels.apply_linearly(random.layer, x.square(), scales["weight"].square(), scales["bias"].square())
    assert_close(right, exact)
    scale_for_variance = kernels.apply_linearly(random.layer, x.square(), scales["weight"], scales["bias"])
    without_bias = kernels.apply_linearly(random.layer, x.square(), scales["weight"].square(), None)
    for twin in (scale_for_variance, without_bias):
        assert not torch.allclose(twin, exact, rtol=0.01)


def unit_offsets(random):
    """For each weight a perturbation of that weight alone, by one standard deviation."""
    scales = {name: scale.detach() for name, scale in random.scales().items()}
    sizes = [scale.numel() for scale in scales.values()]
    for row in torch.eye(sum(sizes), dtype=DOUBLE):
        pieces = zip(scales.items(), row.split(sizes), strict=True)
        yield {name: piece.reshape(scale.shape) * scale for (name, scale), piece in pieces}


def fair(shape, count):
    """`count` independent rows of signs: all of them, or random ones where there are more than 2^10."""
    size = torch.Size(shape).numel()
    if size <= 10:
        return torch.tensor(list(itertools.product([-1.0, 1.0], repeat=size)), dtype=DOUBLE).reshape(-1, *shape)
    return kernels.signs((count, *shape), like=torch.zeros((), dtype=DOUBLE))


def flipout_covariance(random, x, flip=kernels.flipout):
    """The average over all signs of the covariance over the noise of the weights."""
    inputs, outputs = kernels.sign_shapes(random.layer, x)
    every = list(itertools.product(fair(inputs, 0), fair(outputs, 0)))
    s, r = (torch.stack(each) for each in zip(*every, strict=True))
    mean = random.layer(x)

    def perturbed(offsets):
        pair = offsets.get("weight"), offsets.get("bias")
        one = torch.func.vmap(lambda s, r: flip(random.layer, x, offsets=pair, signs=(s, r)).expand_as(mean))
        return one(s, r).flatten(1)  # (signs, outputs)

    covariance = torch.zeros((), dtype=DOUBLE)
    for offsets in unit_offsets(random):
        y = perturbed(offsets)
        covariance = covariance + y.T @ y / len(y)
    return covariance.detach()


FEW_SIGNS = [name for name in LAYERS if name not in {"linear on sequences", "conv1d, groups", "conv2d, groups"}]


@pytest.mark.parametrize(("name", "parameters"), random_parts(FEW_SIGNS))
def test_flipout_has_the_moments_of_drawn_weights_and_uncorrelated_examples(name, parameters):
    random, x = case(name, "flipout", parameters=parameters)
    exact = exact_covariance(random, x)
    examples = x.shape[0] if batched(name) else 1
    size = len(exact) // examples
    same_example = torch.block_diag(*[torch.ones(size, size, dtype=DOUBLE)] * examples)
    assert_close(flipout_covariance(random, x), exact * same_example)


@pytest.mark.parametrize("name", ["linear on sequences", "conv1d, groups", "conv2d, groups"])
def test_flipout_of_one_example_has_the_moments_of_drawn_weights(name):
    random, x = case(name, "flipout")
    assert_close(flipout_covariance(random, x[:1]), exact_covariance(random, x[:1]))


def test_signs_that_examples_share_are_caught():
    random, x = case("linear", "flipout")

    def twin(layer, x, *, offsets, signs):
        return kernels.flipout(layer, x, offsets=offsets, signs=(signs[0][:1], signs[1][:1]))

    between = flipout_covariance(random, x, twin)[:2, 2:]
    assert_close(between, exact_covariance(random, x)[:2, 2:])
    assert between.abs().max() > 0.1


@by_layer
@pytest.mark.parametrize("estimator", ["sampled", "local", "flipout"])
def test_draws_of_the_layer_have_these_moments(name, estimator):
    """What the wrapper draws itself: 4000 calls in one."""
    random, x = case(name, estimator)
    torch.manual_seed(1)
    with torch.no_grad():
        y = torch.func.vmap(lambda _: random(x), randomness="different")(torch.zeros(4000)).flatten(1)
        mean = random.layer(x).flatten()
        scale = exact_covariance(random, x).diagonal().sqrt()
    standard = (y - mean) / scale.clamp_min(1e-12)
    assert (standard.mean(0).abs() * 4000**0.5 < 4.56).all()
    spread = (standard.square().mean(0) - 1) * (4000 / standard.square().var(0)).sqrt()
    assert (spread[scale > 0].abs() < 4.56).all()


@pytest.mark.parametrize("estimator", ["local", "flipout"])
def test_examples_are_uncorrelated_and_with_drawn_weights_are_not(estimator):
    x = torch.ones(2, 3, dtype=DOUBLE)
    for kind, dependent in (("sampled", True), (estimator, False)):
        random, _ = case("linear", kind)
        torch.manual_seed(2)
        y = torch.func.vmap(lambda _, net=random: net(x), randomness="different")(torch.zeros(4000))
        a, b = (y - y.mean(0)).detach().unbind(1)
        correlation = (a * b).mean(0) / (a.square().mean(0) * b.square().mean(0)).sqrt()
        if dependent:
            assert (correlation > 0.999).all()
        else:
            assert (correlation.abs() * 4000**0.5 < 4.56 * 3**0.5).all()


def test_random_signs_are_fair_and_independent():
    torch.manual_seed(0)
    s = kernels.signs((100_000, 9), like=torch.zeros((), dtype=DOUBLE))
    assert set(s.unique().tolist()) == {-1.0, 1.0}
    products = (s.T @ s / len(s)).fill_diagonal_(0)
    assert (torch.cat([s.mean(0), products.flatten()]).abs() * 100_000**0.5 < 4.56).all()


@pytest.mark.parametrize(("estimator", "ratio"), [("local", 0.1), ("flipout", 0.1)])
def test_independent_noise_has_a_less_noisy_gradient(estimator, ratio):
    """The variance of a mean of 64 outputs' gradient, against one draw of the weights for all of them."""
    torch.manual_seed(0)
    x = torch.rand(64, 3, dtype=DOUBLE)

    def gradient(kind):
        random, _ = case("linear", kind)
        rho = random.posterior.free("weight").detach()

        def loss(rho, _):
            return torch.func.functional_call(random, {"posterior.log_scale_weight": rho}, (x,)).sum(-1).mean()

        return torch.func.vmap(torch.func.grad(loss), (None, 0), randomness="different")(rho, torch.zeros(500))

    assert gradient(estimator).var(0).sum() < ratio * gradient("sampled").var(0).sum()
