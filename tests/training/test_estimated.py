"""Every estimator by name against enumeration, on the smallest discrete autoencoder: two rows of three, four pixels."""

import json
import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from jensen import bounds
from jensen.gradients.concrete import log_ratio
from jensen.gradients.expect import expect
from jensen.gradients.registry import ESTIMATORS, UnsupportedError
from jensen.gradients.relaxation import relaxation
from jensen.gradients.states import states
from jensen.layers import BernoulliMLP, discrete
from jensen.models import DiscreteVAE
from jensen.training import Estimated, describe

PIXEL_ROW = (0.0, 1.0, 1.0, 0.0)
UNITS = {"categories": (2, 3), "bits": (3,)}
UNBIASED = [name for name, estimator in ESTIMATORS.items() if estimator.unbiased and not estimator.needs]
BIASED = [name for name, estimator in ESTIMATORS.items() if not estimator.unbiased]
CONTINUOUS_ONLY = {"pathwise"}
BITS_ONLY = {"arm", "disarm"}


class Table(nn.Module):
    """Logits of their own for each datum: every row of a batch is one replication."""

    def __init__(self, rows, units):
        super().__init__()
        generator = torch.Generator().manual_seed(4)
        start = torch.randn(units, generator=generator, dtype=torch.float64)
        self.logits = nn.Parameter(start.expand(rows, *units).clone())

    def forward(self, x):
        return discrete(self.logits, units=tuple(self.logits.shape[1:]))


def world(units, rows):
    """A model with one set of logits a row, and as many copies of one image."""
    torch.manual_seed(0)
    decoder = BernoulliMLP(math.prod(units), (4,), 4).double()
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.mul_(2).add_(0.3)
    model = DiscreteVAE(encoder=Table(rows, units), decoder=decoder, units=units).double()
    return model, torch.tensor([PIXEL_ROW], dtype=torch.float64).repeat(rows, 1)


def exact(units, *, kl_weight=1.0):
    """The bound on one image by enumeration, its gradient in the logits `(*units)` and in the decoder."""
    model, x = world(units, 1)
    q = model.posterior(x)
    z = states(q)
    cost = (q.log_prob(z).exp() * model.cost(x)(z)).sum(0)
    value = -cost - kl_weight * model.kl(x)
    logits, *decoder = torch.autograd.grad(value.sum(), [model.encoder.logits, *model.decoder.parameters()])
    return value.detach().squeeze(), logits.squeeze(0), decoder


def replications(objective, units, rows):
    """Values `(R,)` and gradients in the logits `(R, *units)` of independent estimates."""
    model, x = world(units, rows)
    torch.manual_seed(12)
    value = objective(model, x)
    (gradient,) = torch.autograd.grad(value.sum(), model.encoder.logits)
    return value.detach(), gradient


def z_score(draws, target):
    error = draws.std(0) / math.sqrt(len(draws))
    return ((draws.mean(0) - target) / error.clamp_min(1e-13)).abs().max().item()


def samples_of(name):
    return max(2, ESTIMATORS[name].least_samples)


@pytest.mark.parametrize("kind", UNITS)
@pytest.mark.parametrize("name", [*ESTIMATORS, "auto"])
def test_the_value_is_the_bound_of_the_discrete_model_whatever_the_method(name, kind):
    if name in CONTINUOUS_ONLY or (name in BITS_ONLY and kind != "bits") or name == "relax":
        pytest.skip("see the test of what does not apply")
    objective = Estimated(name, samples=2)
    value, gradient = replications(objective, UNITS[kind], 20_000)
    bound, slope, _ = exact(UNITS[kind])
    assert value.shape == (20_000,)
    assert z_score(value, bound) < 4.56
    if name in BIASED:
        assert gradient.isfinite().all()
    else:
        assert z_score(gradient, slope) < 4.56


@pytest.mark.parametrize("name", ["gumbel_softmax", "concrete"])
def test_the_relaxed_cost_in_place_of_the_value_is_caught(name):
    units = UNITS["categories"]
    model, x = world(units, 20_000)
    torch.manual_seed(12)
    relaxed = -expect(model.cost(x), model.posterior(x), samples=2, method=name, tau=2 / 3) - model.kl(x)
    assert z_score(relaxed.detach(), exact(units)[0]) > 10


@pytest.mark.parametrize("name", ["leave_one_out", "unordered_set", "rao_blackwell"])
def test_the_decoder_learns_without_bias(name):
    units, rows, batches = UNITS["categories"], 200, 100
    _, _, wanted = exact(units)
    torch.manual_seed(3)
    found = []
    for _ in range(batches):
        model, x = _at(units, rows)
        found.append(torch.autograd.grad(Estimated(name, samples=2)(model, x).mean(), list(model.decoder.parameters())))
    for draws, target in zip(zip(*found, strict=True), wanted, strict=True):
        assert z_score(torch.stack(draws), target) < 4.56


def _at(units, rows):
    with torch.random.fork_rng():
        return world(units, rows)


@pytest.mark.parametrize("method", ["vimco", "vimco_arithmetic", "multi_sample_score_function"])
def test_the_bound_of_several_draws(method):
    units, K, R = UNITS["categories"], 2, 20_000
    model, x = world(units, 1)
    z = states(model.posterior(x))
    log_w = model.log_weights(x, len(z), draws=z).total.squeeze(1)
    log_q = model.posterior(x).log_prob(z).squeeze(1)
    first, second = torch.meshgrid(torch.arange(len(z)), torch.arange(len(z)), indexing="ij")
    bound = torch.logaddexp(log_w[first], log_w[second]) - math.log(K)
    value = ((log_q[first] + log_q[second]).exp() * bound).sum()
    (slope,) = torch.autograd.grad(value, model.encoder.logits)
    options = {"control": "arithmetic"} if method.endswith("arithmetic") else {}
    objective = Estimated(method.removesuffix("_arithmetic"), samples=K, options=options)
    values, gradients = replications(objective, units, R)
    assert z_score(values, value.detach()) < 4.56
    assert z_score(gradients, slope.squeeze(0)) < 4.56
    assert value > exact(units)[0] + 0.01
    elbo = Estimated("leave_one_out", samples=K)
    assert z_score(replications(elbo, units, R)[1], slope.squeeze(0)) > 10, "the control: another bound's gradient"


@pytest.mark.parametrize("kl_weight", [0.3, torch.tensor(0.3, dtype=torch.float64)], ids=["number", "tensor"])
def test_a_tempered_divergence_changes_the_gradient_only(kl_weight):
    units = UNITS["categories"]
    model, x = world(units, 1)
    value = Estimated("enumerate_exact")(model, x, kl_weight=kl_weight)
    bound, plain, _ = exact(units)
    _, tempered, _ = exact(units, kl_weight=0.3)
    (gradient,) = torch.autograd.grad(value.sum(), model.encoder.logits)
    assert_close(value.detach().squeeze(), bound, rtol=1e-12, atol=1e-12)
    assert_close(gradient.squeeze(0), tempered, rtol=1e-10, atol=1e-12)
    assert (tempered - plain).abs().max() > 0.05


@pytest.mark.parametrize("kl_weight", [0.3, torch.tensor(0.3, dtype=torch.float64)], ids=["number", "tensor"])
def test_a_tempered_bound_of_several_draws_keeps_its_value(kl_weight):
    model, x = world(UNITS["categories"], 5)
    values, gradients = [], []
    for weight in (1.0, kl_weight):
        torch.manual_seed(2)
        value = Estimated("vimco", samples=3)(model, x, kl_weight=weight)
        values.append(value.detach())
        gradients.append(torch.autograd.grad(value.sum(), model.encoder.logits)[0])
    assert_close(*values)
    assert (gradients[0] - gradients[1]).abs().max() > 0.01


@pytest.mark.parametrize("kl_weight", [1.0, 0.3, 0.0])
def test_the_gradient_of_concrete_is_that_of_the_relaxed_bound_at_any_weight(kl_weight):
    model, x = world(UNITS["categories"], 5)
    parameters = list(model.parameters())
    torch.manual_seed(6)
    value = Estimated("concrete", options={"tau": 0.5, "prior_tau": 0.8})(model, x, kl_weight=kl_weight)
    found = torch.autograd.grad(value.sum(), parameters)
    torch.manual_seed(6)
    q, prior = relaxation(model.posterior(x)), relaxation(model.prior())
    model.log_weights(x, 1)  # the discrete draws come first
    u = q.noise(1)
    cost = model.cost(x)(q.soften(q.scores(u), 0.5))
    ratio = log_ratio(q, prior, u=u, tau=0.5, prior_tau=0.8)
    wanted = torch.autograd.grad(-(cost + kl_weight * ratio).sum(), parameters)
    assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["leave_one_out", "gumbel_softmax", "enumerate_exact", "vimco"])
def test_validation_takes_discrete_draws(name):
    model, x = world(UNITS["categories"], 5)
    with torch.no_grad():
        torch.manual_seed(1)
        value = Estimated(name, samples=4)(model, x)
        torch.manual_seed(1)
        log_weights = model.log_weights(x, 4)
    wanted = bounds.sgvb_b(log_weights.log_likelihood, model.kl(x))
    assert_close(value, bounds.iwae(log_weights.total) if name == "vimco" else wanted)


@pytest.mark.parametrize(("name", "kind"), [("pathwise", "bits"), ("arm", "categories"), ("disarm", "categories")])
def test_what_does_not_apply_says_so(name, kind):
    model, x = world(UNITS[kind], 2)
    with pytest.raises(UnsupportedError):
        Estimated(name, samples=2)(model, x)


def test_the_encoder_runs_once():
    model, x = world(UNITS["categories"], 2)
    calls = []
    model.encoder.register_forward_hook(lambda *_: calls.append(1))
    for name in ("leave_one_out", "gumbel_softmax", "vimco"):
        calls.clear()
        Estimated(name, samples=2)(model, x)
        assert calls == [1]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Estimated("leave_one_uot", samples=2), "did you mean 'leave_one_out'"),
        (lambda: Estimated("leave_one_out"), "leave_one_out needs at least 2 samples, got 1"),
        (lambda: Estimated("vimco"), "vimco needs at least 2 samples, got 1"),
        (lambda: Estimated("score_function", samples=0), "score_function needs at least 1 sample, got 0"),
        (lambda: Estimated("multi_sample_score_function", samples=0), "needs at least 1 sample, got 0"),
        (lambda: Estimated("gumbel_softmax", options={"tua": 0.5}), "gumbel_softmax has no option tua; it takes tau"),
        (lambda: Estimated("auto", options={"tau": 0.5}), "auto has no option tau; it takes none"),
    ],
)
def test_what_would_fail_at_the_first_step_is_refused_before(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_it_is_a_value_that_json_can_hold():
    objective = Estimated("gumbel_softmax", samples=2, options={"tau": 0.5})
    stored = json.loads(json.dumps(describe(objective)))
    assert stored.pop("name") == "Estimated"
    assert Estimated(**stored) == objective
