"""One wrapper for every layer: posteriors, replays by hand, devices of state, and what it refuses."""

import copy
import math
import pickle

import pytest
import torch
from torch import nn
from torch.distributions import Laplace, MultivariateNormal, Normal, kl_divergence
from torch.func import functional_call
from torch.testing import assert_close

from jensen.layers.variational import (
    FullGaussian,
    LaplacePrior,
    MeanField,
    NormalPrior,
    ScaleMixturePrior,
    Variational,
    at_means,
    is_random_layer,
)

DOUBLE = torch.float64


def spread(random):
    """Other scales than the initial ones, and correlations where there are some."""
    torch.manual_seed(3)
    with torch.no_grad():
        for free in random.posterior.parameters():
            free += 0.3 * torch.randn_like(free) + (2 if free.ndim < 2 or free.shape[0] != free.shape[1] else 0)
    return random


@pytest.mark.parametrize("parameterization", ["log", "softplus"])
@pytest.mark.parametrize("prior", [NormalPrior(0.5), LaplacePrior(0.5)])
def test_a_mean_field_layer_is_a_product_of_gaussians(parameterization, prior):
    torch.manual_seed(0)
    family = MeanField(initial_scale=0.1, parameterization=parameterization)
    random = Variational(nn.Linear(3, 2).double(), prior=prior, posterior=family)
    assert_close(random.scales(), {name: torch.full_like(mean, 0.1) for name, mean in random.means().items()})
    spread(random)
    q = {name: Normal(mean, random.scales()[name]) for name, mean in random.means().items()}
    draws = random.draw(5)
    assert {name: each.shape for name, each in draws.items()} == {"weight": (5, 2, 3), "bias": (5, 2)}
    assert_close(random.log_posterior(draws), sum(q[n].log_prob(w).flatten(1).sum(1) for n, w in draws.items()))
    p = (Normal if isinstance(prior, NormalPrior) else Laplace)(torch.tensor(0.0, dtype=DOUBLE), 0.5)
    assert_close(random.log_prior(draws), sum(p.log_prob(w).flatten(1).sum(1) for w in draws.values()))
    if isinstance(prior, NormalPrior):
        assert_close(random.kl(), sum(kl_divergence(each, p).sum() for each in q.values()))
    else:
        torch.manual_seed(1)
        many = random.draw(20_000)
        estimates = random.log_posterior(many) - random.log_prior(many)
        assert abs(estimates.mean() - random.kl()) < 4.56 * estimates.std() / 20_000**0.5


def test_a_full_gaussian_layer_is_one_gaussian_over_all_weights():
    torch.manual_seed(0)
    random = spread(Variational(nn.Linear(2, 2).double(), prior=NormalPrior(0.5), posterior=FullGaussian(0.1)))
    mean = torch.cat([each.flatten() for each in random.means().values()])
    factor = random.posterior.factor()
    q = MultivariateNormal(mean, scale_tril=factor)
    p = MultivariateNormal(torch.zeros(6, dtype=DOUBLE), 0.25 * torch.eye(6, dtype=DOUBLE))
    assert (factor.tril(-1).abs() > 0.01).any()
    assert_close(random.kl(), kl_divergence(q, p))
    scales = torch.cat([each.flatten() for each in random.scales().values()])
    assert_close(scales, q.stddev)
    draws = random.draw(7)
    flat = torch.cat([each.flatten(1) for each in draws.values()], 1)
    assert_close(random.log_posterior(draws), q.log_prob(flat))
    assert_close(random.log_prior(draws), p.log_prob(flat))
    laplace = spread(Variational(nn.Linear(2, 2).double(), prior=LaplacePrior(0.5), posterior=FullGaussian(0.1)))
    many = laplace.draw(20_000)
    estimates = laplace.log_posterior(many) - laplace.log_prior(many)
    assert abs(estimates.mean() - laplace.kl()) < 4.56 * estimates.std() / 20_000**0.5


def test_draws_of_a_full_gaussian_have_its_covariance():
    torch.manual_seed(0)
    random = spread(Variational(nn.Linear(2, 1).double(), posterior=FullGaussian(0.1)))
    flat = torch.cat([each.flatten(1) for each in random.draw(50_000).values()], 1).detach()
    exact = random.posterior.factor() @ random.posterior.factor().T
    products = (flat - flat.mean(0)).unsqueeze(2) * (flat - flat.mean(0)).unsqueeze(1)
    z = (products.mean(0) - exact) / (products.std(0) / 50_000**0.5)
    assert (z.abs() < 4.56).all()


def test_a_mean_field_of_a_scale_mixture_is_estimated_from_draws():
    random = Variational(nn.Linear(3, 2), prior=ScaleMixturePrior(0.5, 1.0, 0.01))
    with pytest.raises(ValueError, match="no closed form"):
        random.kl()
    draws = random.draw(3)
    assert (random.log_posterior(draws) - random.log_prior(draws)).shape == (3,)


LAYERS = {
    "LSTM": (lambda: nn.LSTM(3, 4, 2, bidirectional=True, batch_first=True), lambda: (torch.randn(2, 5, 3),)),
    "GRU": (lambda: nn.GRU(3, 4), lambda: (torch.randn(5, 2, 3),)),
    "LSTMCell": (lambda: nn.LSTMCell(3, 4), lambda: (torch.randn(2, 3),)),
    "Embedding": (lambda: nn.Embedding(7, 3), lambda: (torch.tensor([[1, 6], [2, 1]]),)),
    "ConvTranspose1d": (lambda: nn.ConvTranspose1d(2, 3, 2), lambda: (torch.randn(2, 2, 4),)),
    "Bilinear": (lambda: nn.Bilinear(2, 3, 2), lambda: (torch.randn(5, 2), torch.randn(5, 3))),
    "MultiheadAttention": (lambda: nn.MultiheadAttention(4, 2), lambda: (torch.randn(3, 2, 4),) * 3),
    "Linear": (lambda: nn.Linear(3, 2), lambda: (torch.randn(4, 3),)),
    "Conv2d": (lambda: nn.Conv2d(2, 3, 2, groups=1), lambda: (torch.randn(2, 2, 4, 4),)),
}


def first(output):
    return output[0] if isinstance(output, tuple) else output


@pytest.mark.parametrize("name", list(LAYERS))
@pytest.mark.parametrize("parameterization", ["log", "softplus"])
def test_a_call_is_the_layer_with_one_draw_of_its_weights(name, parameterization):
    """The same seed, replayed by hand: one draw serves all examples and all steps in time."""
    make, arguments = LAYERS[name]
    torch.manual_seed(0)
    random, x = Variational(make(), posterior=MeanField(0.5, parameterization)), arguments()
    torch.manual_seed(1)
    y = first(random(*x))
    torch.manual_seed(1)
    drawn = {}
    for own, mean in random.means().items():
        drawn[own] = mean + random.scales()[own] * torch.randn(1, *mean.shape)[0]
    assert_close(y, first(functional_call(random.layer, drawn, x)))
    assert not torch.allclose(y, first(random.layer(*x)))
    y.sum().backward()
    assert all(p.grad is not None for p in random.parameters())


def test_an_lstm_that_draws_weights_at_every_step_is_another():
    """The negative control: unrolled with the same draw it agrees, with new ones it does not."""
    torch.manual_seed(0)
    random, x = Variational(nn.LSTM(3, 4), posterior=MeanField(0.5)), torch.randn(5, 2, 3)

    def unrolled(*, again):
        torch.manual_seed(1)
        drawn, state, steps = random.draw(1), None, []
        for x_t in x:
            drawn = random.draw(1) if again else drawn
            step, state = functional_call(random.layer, {n: w[0] for n, w in drawn.items()}, (x_t.unsqueeze(0), state))
            steps.append(step)
        return torch.cat(steps)

    torch.manual_seed(1)
    y, _ = random(x)
    assert_close(y, unrolled(again=False))
    assert not torch.allclose(y, unrolled(again=True), atol=0.01)


@pytest.mark.parametrize("name", list(LAYERS))
def test_at_the_means_it_is_the_plain_layer(name):
    make, arguments = LAYERS[name]
    random, x = Variational(make()), arguments()
    with at_means(random):
        assert torch.equal(first(random(*x)), first(random.layer(*x)))
    assert not torch.equal(first(random(*x)), first(random.layer(*x)))


@pytest.mark.parametrize("estimator", ["sampled", "local", "flipout"])
@pytest.mark.parametrize("parameterization", ["log", "softplus"])
def test_copies_states_pickles_and_double_precision(estimator, parameterization):
    torch.manual_seed(0)
    family = MeanField(parameterization=parameterization)
    random, x = spread(Variational(nn.Linear(3, 2), posterior=family, estimator=estimator)), torch.randn(4, 3)
    other = Variational(nn.Linear(3, 2), posterior=family, estimator=estimator)
    other.load_state_dict(random.state_dict())

    def output(layer, x):
        torch.manual_seed(1)
        return layer(x)

    for twin in (copy.deepcopy(random), other, pickle.loads(pickle.dumps(random))):  # noqa: S301
        assert torch.equal(output(twin, x), output(random, x))
        assert torch.equal(twin.kl(), random.kl())
    double = copy.deepcopy(random).to(DOUBLE)
    assert output(double, x.double()).dtype == double.kl().dtype == DOUBLE
    assert_close(double.kl().float(), random.kl(), rtol=1e-5, atol=0)


@pytest.mark.usefixtures("validation")
@pytest.mark.parametrize("estimator", ["sampled", "local", "flipout"])
def test_it_compiles_and_exports_at_the_means(estimator):
    random, x = Variational(nn.Linear(3, 2), estimator=estimator), torch.randn(4, 3)
    with at_means(random):
        assert_close(torch.compile(random, backend="eager", fullgraph=True)(x), random.layer(x))
        exported = torch.export.export(random, (x,)).module()
    assert_close(exported(x), random.layer(x))


@pytest.mark.usefixtures("validation")
def test_a_step_compiles():
    random, x = Variational(nn.Linear(3, 2), estimator="local"), torch.randn(4, 3)
    torch.compile(lambda x: random(x).square().mean() + random.kl(), backend="eager", fullgraph=True)(x).backward()
    assert all(p.grad is not None for p in random.parameters())


@pytest.mark.parametrize("estimator", ["sampled", "local", "flipout"])
def test_under_autocast_it_computes(estimator):
    random, x = Variational(nn.Linear(30, 20), estimator=estimator), torch.randn(4, 30)
    with torch.autocast("cpu", torch.bfloat16):
        y, kl = random(x), random.kl()
    (y.float().square().mean() + kl).backward()
    assert kl.dtype == torch.float32
    assert all(p.grad.isfinite().all() for p in random.parameters())


@pytest.mark.parametrize("estimator", ["sampled", "local", "flipout"])
def test_a_batch_of_one_is_a_batch(estimator):
    assert Variational(nn.Linear(3, 2), estimator=estimator)(torch.randn(1, 3)).shape == (1, 2)
    assert Variational(nn.Conv1d(3, 2, 2), estimator=estimator)(torch.randn(1, 3, 4)).shape == (1, 2, 3)


def test_hooks_of_a_layer_are_called():
    layer = nn.Linear(3, 2)
    layer.register_forward_hook(lambda module, args, output: 0 * output + 7)
    assert (Variational(layer)(torch.randn(4, 3)) == 7).all()
    with pytest.raises(ValueError, match="take 'sampled'"):
        Variational(layer, estimator="local")


def test_some_parameters_can_stay_as_they_are():
    random = Variational(nn.Linear(3, 2), parameters="weight")
    assert list(random.means()) == list(random.scales()) == list(random.draw(2)) == ["weight"]
    assert torch.equal(random.bias, random.layer.bias)


def test_attributes_are_read_through_it_but_no_random_weights():
    random = Variational(nn.LSTM(3, 4))
    assert (random.hidden_size, random.batch_first) == (4, False)
    with pytest.raises(AttributeError, match=r"is random; read the mean as \.layer\.weight_ih_l0"):
        _ = random.weight_ih_l0
    with pytest.raises(AttributeError, match="nothing"):
        _ = random.nothing
    assert is_random_layer(random)
    assert not is_random_layer(random.layer)


def test_frozen_means_stay_and_scales_learn():
    layer = nn.Linear(3, 2).requires_grad_(False)
    random = Variational(layer, estimator="local")
    (random(torch.randn(4, 3)).sum() + random.kl()).backward()
    assert layer.weight.grad is None
    assert random.posterior.free("weight").grad is not None


def tied():
    layer = nn.Bilinear(2, 2, 2, bias=False)
    layer.twin = layer.weight
    return layer


def holding(value):
    layer = nn.Linear(3, 2)
    layer.weight.data[0, 0] = value
    return layer


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (lambda: nn.ReLU(), {}, "no parameter of ReLU matches"),
        (
            lambda: nn.Linear(3, 2),
            {"parameters": "kernel"},
            r"no parameter of Linear matches 'kernel'; it has \['bias'",
        ),
        (lambda: holding(math.nan), {}, "'weight' of Linear holds NaN"),
        (lambda: holding(math.inf), {}, "holds NaN or infinite"),
        (tied, {}, "'weight' and 'twin' of Bilinear are one parameter"),
        (lambda: nn.LazyLinear(2), {}, "has no shape yet"),
        (lambda: nn.Linear(3, 2, dtype=torch.complex64), {}, "floating point"),
        (lambda: nn.utils.parametrizations.weight_norm(nn.Linear(3, 2)), {}, "remove its parametrizations"),
        (lambda: nn.Embedding(5, 2, padding_idx=0), {}, "padding_idx"),
        (lambda: nn.Embedding(5, 2, max_norm=1.0), {}, "max_norm"),
        (lambda: nn.Linear(3, 2), {"estimator": "locally"}, "'sampled', 'local', 'flipout'"),
        (lambda: nn.LSTM(3, 2), {"estimator": "local"}, "not for LSTM with MeanField"),
        (lambda: nn.ConvTranspose1d(3, 2, 1), {"estimator": "flipout"}, "not for ConvTranspose1d"),
        (lambda: nn.Linear(3, 2), {"estimator": "local", "posterior": FullGaussian()}, "not for Linear with FullG"),
        (lambda: nn.Linear(3, 2), {"prior": 1.0}, "give NormalPrior"),
    ],
)
def test_bad_input_is_refused(make, options, message):
    with pytest.raises(ValueError, match=message):
        Variational(make(), **options)


def test_bad_draws_are_refused():
    random = Variational(nn.Linear(3, 2))
    draws = random.draw(4)
    with pytest.raises(ValueError, match="samples is 0"):
        random.draw(0)
    for log_prob in (random.log_prior, random.log_posterior):
        with pytest.raises(ValueError, match="'bias' have shape None"):
            log_prob({"weight": draws["weight"]})
        with pytest.raises(ValueError, match=r"'weight' have shape \(2, 3\); expected \(K, \*\(2, 3\)\)"):
            log_prob({**draws, "weight": draws["weight"][0]})
