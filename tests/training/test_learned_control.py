"""RELAX and REBAR in training: the model's gradient is theirs, the control's is the variance's, and neither leaks."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from jensen.gradients.enumerate_exact import enumerate_exact
from jensen.gradients.gumbel_softmax import gumbel_softmax
from jensen.gradients.rebar import rebar
from jensen.gradients.relax import relax, relax_with_variance
from jensen.layers import BernoulliMLP, ControlVariate, DiscreteMLP, discrete
from jensen.models import DiscreteVAE, StructuredPredictor
from jensen.training import Estimated, Stepper

UNITS = {"categories": (2, 3), "bits": (3,)}
IMAGES = torch.tensor([[0, 1, 1, 0], [1, 0, 0, 0], [1, 1, 0, 1]], dtype=torch.float64)


class Table(nn.Module):
    """Logits of their own for each datum."""

    def __init__(self, rows, units):
        super().__init__()
        start = torch.randn(units, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
        self.logits = nn.Parameter(start.expand(rows, *units).clone())

    def forward(self, x):
        return discrete(self.logits, units=tuple(self.logits.shape[1:]))


def controlled(units, *, encoder=None, hidden=(5,)):
    """A small model whose control is not at its start."""
    torch.manual_seed(0)
    encoder = encoder or DiscreteMLP(4, (5,), units)
    decoder = BernoulliMLP(math.prod(units), (5,), 4)
    control = ControlVariate(units, inputs=4, hidden=hidden, tau=0.6)
    model = DiscreteVAE(encoder=encoder, decoder=decoder, units=units, control=control).double()
    with torch.no_grad():
        for parameter in [*decoder.parameters(), *control.parameters()]:
            parameter.mul_(1.5).add_(0.2 * torch.randn_like(parameter))
    return model


def networks(model):
    return [*model.encoder.parameters(), *model.decoder.parameters()]


def with_variance(model, x, *, samples=2, seed=1):
    """What the public estimator gives for the model's cost, posterior and control."""
    torch.manual_seed(seed)
    f = model.cost(x)
    return relax_with_variance(
        f,
        model.posterior(x),
        control=lambda z: model.control(z, x=x, cost=f),
        samples=samples,
        tau=model.control.tau,
    )


def bound(model, x=IMAGES, *, method="relax", samples=2, seed=1, **options):
    torch.manual_seed(seed)
    return Estimated(method, samples=samples)(model, x, **options)


@pytest.fixture(params=UNITS)
def model(request):
    return controlled(UNITS[request.param])


@pytest.mark.parametrize("kl_weight", [1.0, 0.3])
def test_the_value_is_the_bound_and_the_models_gradient_is_that_of_relax(model, kl_weight):
    torch.manual_seed(1)
    f = model.cost(IMAGES)
    cost = relax(
        f,
        model.posterior(IMAGES),
        control=lambda z: model.control(z, x=IMAGES, cost=f),
        samples=2,
        tau=model.control.tau,
    )
    found, kl = bound(model, kl_weight=kl_weight), model.kl(IMAGES)
    assert_close(found, -cost - kl)
    wanted = torch.autograd.grad((-cost - kl_weight * kl).mean(), networks(model))
    assert_close(torch.autograd.grad(found.mean(), networks(model)), wanted)


def test_the_controls_gradient_is_that_of_the_variance_downwards(model):
    """Against central differences of the variance at the same noise: the loss is minus the mean bound."""
    parameters = list(model.control.parameters())
    loss = -bound(model).mean()
    for parameter, slope in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
        flat, step = parameter.data.view(-1), 1e-6
        for i in range(min(len(flat), 4)):
            sides = []
            for move in (step, -2 * step):
                flat[i] += move
                sides.append(with_variance(model, IMAGES).variance.mean().item())
            flat[i] += step
            assert_close(slope.view(-1)[i].item(), (sides[0] - sides[1]) / (2 * step), rtol=1e-5, atol=1e-6)


def test_the_variance_reaches_nothing_but_the_control(model):
    learned = torch.autograd.grad(bound(model).mean(), networks(model))
    frozen = copy.deepcopy(model)
    frozen.control.requires_grad_(requires_grad=False)
    assert_close(torch.autograd.grad(bound(frozen).mean(), networks(frozen)), learned, rtol=0, atol=0)
    value, variance = with_variance(model, IMAGES)
    leaky = torch.autograd.grad((-value - model.kl(IMAGES) - variance).mean(), networks(model))
    assert max((a - b).abs().max() for a, b in zip(leaky, learned, strict=True)) > 0.01, "the twin that adds it whole"


@pytest.mark.parametrize(("sign", "falls"), [(1, True), (-1, False)])
def test_descending_the_loss_lowers_the_variance_and_the_other_sign_raises_it(model, sign, falls):
    x = IMAGES.repeat(50, 1)
    before = with_variance(model, x, samples=50, seed=7).variance.mean().item()
    optimizer = torch.optim.Adam(model.control.parameters(), lr=0.03)
    for step in range(10):
        loss = -sign * bound(model, x, seed=100 + step).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    after = with_variance(model, x, samples=50, seed=7).variance.mean().item()
    assert (after < 0.95 * before) if falls else (after > 1.05 * before)


@pytest.mark.parametrize("method", ["relax", "rebar"])
def test_in_a_short_training_the_control_gets_better_than_it_was(method):
    model = controlled((3,), hidden=(10,) if method == "relax" else None)
    start = copy.deepcopy(model.control)
    stepper = Stepper(model, Estimated(method, samples=2), learning_rate=0.01)
    x = IMAGES.repeat(20, 1)
    torch.manual_seed(2)
    for _ in range(200):
        stepper.step(x)
    learned = with_variance(model, x, samples=200).variance.mean().item()
    model.control = start
    assert learned < 0.9 * with_variance(model, x, samples=200).variance.mean().item()


@pytest.mark.parametrize("kind", UNITS)
@pytest.mark.parametrize("method", ["relax", "rebar"])
def test_it_is_unbiased_with_any_control(method, kind):
    units, R = UNITS[kind], 20_000
    model = controlled(units, encoder=Table(R, units), hidden=None if method == "rebar" else (5,))
    x = IMAGES[:1].repeat(R, 1)
    value = bound(model, x, method=method)
    (slopes,) = torch.autograd.grad(value.sum(), model.encoder.logits)
    one = Table(1, units)
    q = one(x)
    exact = -enumerate_exact(model.cost(x[:1]), q) - (model.log_states - q.entropy())
    (slope,) = torch.autograd.grad(exact.sum(), one.logits)
    assert z_score(value.detach(), exact.detach()) < 4.56
    assert z_score(slopes, slope) < 4.56
    f, control = model.cost(x), model.control
    relaxed = gumbel_softmax(lambda z: control(z, x=x, cost=f), model.posterior(x), samples=2, tau=control.tau)
    (twin,) = torch.autograd.grad(-(relaxed + model.kl(x)).sum(), model.encoder.logits)
    assert z_score(twin, slope) > 10, "the twin: the control taken for the cost"


def z_score(draws, target):
    return ((draws.mean(0) - target) / (draws.std(0) / math.sqrt(len(draws)))).abs().max().item()


def test_rebar_learns_its_scale_and_temperature_where_they_are_not_given():
    model = controlled((3,), hidden=None)
    torch.manual_seed(1)
    f, control = model.cost(IMAGES), model.control
    cost = rebar(f, model.posterior(IMAGES), samples=2, tau=control.tau, eta=control.eta)
    found = bound(model, method="rebar")
    assert_close(found, -cost - model.kl(IMAGES))
    wanted = torch.autograd.grad((-cost - model.kl(IMAGES)).mean(), networks(model))
    found.mean().backward()
    assert_close([p.grad for p in networks(model)], list(wanted))
    assert control.eta.grad.abs() > 0
    assert control.log_tau.grad.abs() > 0
    control.zero_grad()
    Estimated("rebar", samples=2, options={"tau": 0.5})(model, IMAGES).mean().backward()
    assert control.eta.grad is None
    assert control.log_tau.grad is None


def test_a_temperature_that_is_given_is_kept(model):
    torch.manual_seed(1)
    Estimated("relax", samples=2, options={"tau": 0.5})(model, IMAGES).mean().backward()
    assert model.control.log_tau.grad is None
    assert model.control.eta.grad.abs() > 0


def test_without_a_gradient_the_control_is_not_asked(model):
    model.control.forward = None
    with torch.no_grad():
        assert Estimated("relax", samples=2)(model, IMAGES).shape == (3,)


def test_a_model_without_a_control_is_refused_unless_one_is_given(model):
    model.control = None
    with pytest.raises(ValueError, match=r"relax needs a control, and this DiscreteVAE has none: .*ControlVariate"):
        Estimated("relax")(model, IMAGES)
    fixed = Estimated("relax", samples=2, options={"control": lambda z: z.flatten(2).sum(-1)})
    fixed(model, IMAGES).mean().backward()
    assert model.encoder.network[0].weight.grad.abs().max() > 0


def test_a_single_layer_predicts_half_an_image_with_a_control_and_two_are_refused():
    torch.manual_seed(0)
    layer, control = DiscreteMLP(2, (), (3,)), ControlVariate((3,), inputs=4, hidden=(5,))
    model = StructuredPredictor(layers=[layer], decoder=BernoulliMLP(3, (), 2), control=control).double()
    bound(model).mean().backward()
    assert all(p.grad is not None for p in model.parameters())
    with pytest.raises(ValueError, match="2 nested layers"):
        StructuredPredictor(layers=[layer, DiscreteMLP(3, (), (3,))], decoder=model.decoder, control=control)
