"""From numbers to networks and data: sizes, starting points, and who draws what."""

from dataclasses import replace
from itertools import pairwise
from math import prod

import pytest
import torch
from torch.testing import assert_close

from jensen import recipes
from jensen.models import IWAE, VAE
from jensen.recipes import Architecture, Data, Objective
from jensen.recipes.build import build, make_data, make_model

SMOKE = recipes.adapt(recipes.get(), smoke=True)


def weights(*sizes):
    return sum(a * b + b for a, b in pairwise(sizes))


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("iwae-mnist", weights(784, 200, 200, 100) + weights(50, 200, 200, 784)),
        (
            "iwae2-mnist",
            weights(784, 200, 200, 200)
            + weights(100, 100, 100, 100)
            + weights(100, 200, 200, 784)
            + weights(50, 100, 100, 200),
        ),
        ("vae-mnist", weights(784, 500, 40) + weights(20, 500, 784)),
        ("vae-frey", weights(560, 200, 20) + weights(10, 200, 560) + 560),
        ("vae-mnist-grey", weights(784, 500, 40) + weights(20, 500, 784)),
    ],
)
def test_a_model_has_the_papers_sizes(name, count):
    recipe = recipes.get(name)
    model = make_model(recipe.model, (28, 20) if recipe.data.name == "frey" else (28, 28))
    assert sum(parameter.numel() for parameter in model.parameters()) == count
    assert isinstance(model, {"iwae": IWAE, "vae": VAE}[recipe.model.kind])


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian", "continuous_bernoulli"])
@pytest.mark.parametrize(("kind", "hidden", "latent"), [("vae", ((7,),), (3,)), ("iwae", ((7,), (6, 5)), (4, 2))])
def test_every_kind_gives_log_weights_with_a_gradient(kind, hidden, latent, likelihood):
    model = make_model(Architecture(kind, hidden, latent, likelihood), (12,))
    x = torch.full((3, 12), 0.5) if likelihood != "bernoulli" else torch.ones(3, 12)
    model.check(x)
    log_w = model.log_weights(x, 5).total
    log_w.mean().backward()
    assert log_w.shape == (5, 3)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert model.sample(2).shape == (2, 12)


def test_the_output_starts_at_the_pixel_means():
    experiment = build(SMOKE)
    mean = make_data(SMOKE.data, limit=SMOKE.budget.images).train.mean(0)
    bias = experiment.model.decoders[0].network[-1].bias
    assert_close(torch.sigmoid(bias), mean.clamp(1e-3, 1 - 1e-3))


def test_the_seed_fixes_the_weights_and_the_callers_generator_is_left_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, again, other = (build(SMOKE, seed=seed).model.state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_held_out_images_are_drawn_once_and_training_images_on_every_use():
    first, again = build(SMOKE, seed=1), build(SMOKE, seed=2)
    assert torch.equal(first.test, again.test)
    assert torch.equal(first.validation, again.validation)
    assert set(first.test.unique().tolist()) == {0.0, 1.0}
    index = torch.arange(20)
    assert not torch.equal(first.train[index], first.train[index])


def test_the_means_of_a_draw_are_its_grey_levels():
    test, grey = build(recipes.get()).test, make_data(Data("digits")).test
    n = test.numel()
    z = (test.sum() - grey.sum()) / (grey * (1 - grey)).sum().sqrt()
    assert n == 300 * 64
    assert abs(z) < 4.56  # false alarms: 5e-6; the draw is fixed, so there is either one or none
    assert (test.roll(1, 0) - grey).square().mean() > 1.5 * (test - grey).square().mean()  # the control: shifted images


def test_fixed_and_grey_data_are_tensors_that_stay():
    fixed = build(recipes.adapt(SMOKE)).train
    assert not isinstance(fixed, torch.Tensor)
    still = recipes.Recipe.from_json({**SMOKE.to_json(), "data": {"name": "digits", "binarization": "fixed"}})
    train = build(still).train
    assert isinstance(train, torch.Tensor)
    assert set(train.unique().tolist()) == {0.0, 1.0}


def test_grey_data_stay_grey():
    grey = recipes.get("vae-mnist-grey")
    experiment = build(recipes.adapt(grey, data="digits", images=32))
    assert isinstance(experiment.train, torch.Tensor)
    assert torch.equal(experiment.originals, experiment.test)
    assert len(experiment.train.unique()) > 2


def test_a_limit_cuts_every_split():
    images = make_data(Data("digits"), limit=7)
    assert {len(images.train), len(images.validation), len(images.test)} == {7}
    assert prod(images.shape) == 64


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (Data("digist"), "unknown data set 'digist'; did you mean 'digits'"),
        (Data("digits", split="x"), "unknown split"),
    ],
)
def test_unknown_data_are_refused(data, message):
    with pytest.raises(ValueError, match=message):
        make_data(data)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("discrete-vae-mnist", weights(784, 512, 256, 200) + weights(200, 256, 512, 784)),
        ("structured-mnist", weights(392, 200, 200, 392)),
    ],
)
def test_a_model_with_discrete_units_has_the_papers_sizes(name, count):
    model = make_model(recipes.get(name).model, (28, 28))
    assert sum(parameter.numel() for parameter in model.parameters()) == count


def test_discrete_units_are_bits_or_rows():
    rows = Architecture("structured", hidden=((7,), ()), latent=(3, 2), categories=4)
    model = make_model(rows, (12,))
    assert [layer.units for layer in model.layers] == [(3, 4), (2, 4)]
    assert model.log_weights(torch.ones(5, 12), 2).total.shape == (2, 5)
    bits = make_model(Architecture("discrete_vae", hidden=((7, 6),), latent=(3,), categories=2), (12,))
    assert bits.units == (3,)
    assert bits.sample(2).shape == (2, 12)


def test_the_activation_is_the_one_that_is_named():
    leaky = make_model(recipes.get("discrete-vae-mnist").model, (28, 28))
    found = [m for m in leaky.modules() if isinstance(m, torch.nn.LeakyReLU)]
    assert {m.negative_slope for m in found} == {0.1}
    assert len(found) == 4


@pytest.mark.parametrize(
    ("method", "options", "count"),
    [
        ("leave_one_out", (), None),
        ("rebar", (), 2),
        ("rebar", (("tau", 0.5),), None),
        ("relax", (), 2 + weights(50 + 64, 50, 1)),
        ("relax", (("tau", 0.5),), 2 + weights(50 + 64, 50, 1)),
    ],
)
def test_a_method_that_learns_a_control_gets_one_beside_the_same_model(method, options, count):
    recipe = recipes.adapt(recipes.get("discrete-vae-digits"), smoke=True, method=method, options=options)
    plain, found = (make_model(recipe.model, (64,), objective=objective) for objective in (None, recipe.objective))
    assert plain.control is None
    assert (found.control is None) == (count is None)
    if count is not None:
        assert sum(p.numel() for p in found.control.parameters()) == count
    state = found.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in plain.state_dict().items())


def test_a_control_is_for_a_single_layer_of_discrete_units():
    one = Architecture("structured", hidden=((),), latent=(5,), categories=2)
    two = Architecture("structured", hidden=((), ()), latent=(5, 4), categories=2)
    relax, rebar = Objective("estimated", method="relax"), Objective("estimated", method="rebar")
    assert make_model(one, (12,), objective=relax).control.inputs == 12
    assert make_model(two, (12,), objective=rebar).control is None
    with pytest.raises(ValueError, match="2 nested layers"):
        make_model(two, (12,), objective=relax)


def test_mixed_test_images_keep_their_classes_and_begin_with_several():
    experiment = build(recipes.get("vae-digits"))
    order = experiment.images.labels.test.argsort(stable=True)
    by_class = replace(
        experiment,
        test=experiment.test[order],
        images=replace(
            experiment.images,
            test=experiment.originals[order],
            labels=experiment.images.labels._replace(test=experiment.images.labels.test[order]),
        ),
    )
    mixed = by_class.mixed()
    assert by_class.images.labels.test[:20].unique().tolist() == [0]
    assert len(mixed.images.labels.test[:20].unique()) > 5
    rows = {tuple(row) for row in torch.cat([by_class.originals, by_class.images.labels.test[:, None]], 1).tolist()}
    assert {tuple(row) for row in torch.cat([mixed.originals, mixed.images.labels.test[:, None]], 1).tolist()} == rows
    again = by_class.mixed()
    assert torch.equal(again.test, mixed.test)
    assert ((mixed.test > 0) <= (mixed.originals > 0)).all()
