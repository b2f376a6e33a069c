"""Runs that separate factors: begun, trained, taken up again to the bit, measured, and shown."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from jensen import recipes
from jensen.datasets import Pairs
from jensen.recipes import FactorLosses, FactorNetworks, FactorRecipe, disentangling, factor_measuring, factors
from jensen.recipes.config import Config, config_of, read_config
from jensen.recipes.factor_build import build, make_model
from jensen.recipes.factor_looks import drawn, interpolated, sampled, swapped
from jensen.recipes.factor_results import FactorEvaluation
from jensen.recipes.machine import make_folder
from jensen.recipes.network_results import Quantity
from jensen.training import latest, load, read_records

SMALL = (("hidden", "12"), ("discriminator", "8"), ("unspecified", 2))


def small(name="factors-digits", **changes):
    options = tuple({**dict(SMALL), **dict(changes.pop("options", ()))}.items())
    return recipes.adapt(recipes.get(name), smoke=True, options=options, **changes)


def trained(folder, recipe, **options):
    experiment = factors.build(recipe, seed=0)
    config = Config(recipe, seed=0, shape=experiment.shape, device="cpu")
    factors.check_method(config, experiment)
    make_folder(folder, config, overwrite=True)
    factors.train(folder, config, experiment, device="cpu", progress=False, **options)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("factors") / "run", small())


def test_a_run_is_measured_and_its_evaluation_comes_back(run):
    assert set(read_records(run)[-1].monitor) == set(FactorLosses().weights) | {"discriminator"}
    found = factors.measure(run, device="cpu")
    assert factors.load_evaluation(run).to_json() == found.to_json()
    assert found.data == 64
    again = factors.measure(run, device="cpu")
    assert [repr(each) for each in again.quantities] == [repr(each) for each in found.quantities]
    for code in ("s", "z", "the mean of z"):
        for probe in ("linear", "mlp"):
            assert 0 <= found[f"label error from {code}, {probe} probe"].value <= 100
    whole, without = found["squared error, own codes"].value, found["squared error, z = 0"].value
    assert found["squared error, z = 0 over own codes"].value == pytest.approx(without / whole)
    assert factors.measure(run, limit=20, device="cpu").data == 20


def test_a_run_taken_up_again_is_the_same_to_the_bit(tmp_path):
    recipe = small(options=(("schedule", "constant"),))
    whole, parts = trained(tmp_path / "whole", recipe), trained(tmp_path / "parts", recipes.adapt(recipe, epochs=1))
    torch.rand(7)
    experiment = factors.build(recipe, seed=0)
    config = Config(recipe, seed=0, shape=experiment.shape, device="cpu")
    factors.train(parts, config, experiment, resume=True, device="cpu", progress=False)
    assert _same(whole, parts)
    assert not _same(whole, trained(tmp_path / "other", recipes.adapt(recipe, learning_rate=0.5)))


def _same(first, second):
    one, other = (load(latest(folder)).tensors for folder in (first, second))
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_the_trained_model_is_the_averaged_one(run):
    config, model = factors.load_model(run)
    assert config == config_of(run, FactorRecipe) == read_config(run)
    assert not model.training
    saved = load(latest(run)).tensors
    weight = model.encoder[0].weight
    assert torch.equal(weight, saved["ema/encoder.0.weight"])
    assert not torch.equal(weight, saved["model/encoder.0.weight"])


def test_pictures_have_the_codes_that_they_claim(run):
    config, model = factors.load_model(run)
    data = build(config.recipe).data.test
    grid = swapped(config, model, rows=4)
    assert grid.shape == (5, 11, 8, 8)
    assert not grid[0, 0].any()
    np.testing.assert_array_equal(grid[1:, 0], data.inputs[:4].reshape(4, 8, 8))
    ones = torch.stack([data.inputs[data.targets == label][0] for label in range(10)])
    np.testing.assert_array_equal(grid[0, 1:], ones.reshape(10, 8, 8))
    expected = model.transfer(data.inputs[2:3], ones[7:8]).reshape(8, 8)
    np.testing.assert_allclose(grid[3, 8], expected, atol=1e-6)
    ways = interpolated(config, model, pair=1)
    assert ways.shape == (9, 9, 8, 8)
    for corner, (z, s) in {(0, 0): (2, 2), (8, 8): (3, 3), (0, 8): (3, 2), (8, 0): (2, 3)}.items():
        expected = model.transfer(ones[z : z + 1], ones[s : s + 1]).reshape(8, 8)
        np.testing.assert_allclose(ways[corner], expected, atol=1e-5)
    fresh = drawn(config, model, seed=1)
    assert fresh.shape == (10, 20, 8, 8)
    np.testing.assert_array_equal(fresh, drawn(config, model, seed=1))
    assert (fresh != drawn(config, model, seed=2)).any()


def test_samples_have_the_s_of_their_class_and_a_z_from_the_prior(run):
    config, model = factors.load_model(run)
    images, classes = sampled(config, model, n=12, seed=1)
    assert classes.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    again, _ = sampled(config, model, n=12, seed=1)
    np.testing.assert_array_equal(images, again)
    test = build(config.recipe).data.test
    with torch.random.fork_rng():
        torch.manual_seed(1)
        places = [(test.targets == label).nonzero()[:, 0] for label in classes]
        chosen = torch.stack([each[torch.randint(len(each), ())] for each in places])
        z = torch.randn(12, config.recipe.model.unspecified)
    expected = model.decode(z, model.encode(test.inputs[chosen])[0]).detach()
    np.testing.assert_allclose(images.reshape(12, 64), expected, atol=1e-6)
    shifted = model.decode(z, model.encode(test.inputs[chosen.roll(1)])[0]).detach()
    assert np.abs(images.reshape(12, 64) - shifted.numpy()).max() > 1e-5, "the s of another class is another image"


def test_probes_tell_a_code_with_the_label_from_one_without():
    """The measuring itself: a model whose s is the label and whose z is noise, and its twin with exchanged codes."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(10, (600,), generator=generator)
    noise = torch.randn(600, 10, generator=generator)
    told = torch.nn.functional.one_hot(labels, 10).float()
    narrow = torch.full((600, 10), -9.0)

    def errors(s, z):
        x = torch.cat([s, z, narrow], 1)
        model = factor_measuring.DisentanglingAutoencoder(
            encoder=torch.nn.Identity(), decoder=torch.nn.Identity(), discriminator=torch.nn.Identity(),
            specified=10, unspecified=10,
        )  # fmt: skip
        train, test = Pairs(x[:400], labels[:400]), Pairs(x[400:], labels[400:])
        found = factor_measuring._labels(model, train, test, rows=150, seed=0)
        return {each.what: each.value for each in found}

    good, bad = errors(told, noise), errors(noise, told)
    for probe in ("linear", "mlp"):
        assert good[f"label error from s, {probe} probe"] == 0 < 75 < good[f"label error from z, {probe} probe"]
        assert bad[f"label error from z, {probe} probe"] == 0 < 75 < bad[f"label error from s, {probe} probe"]


def test_convolutions_halve_images_and_mirror_each_other():
    options = (("kind", "convolutional"), ("hidden", "4-8"), ("discriminator", "4-8"))
    recipe = recipes.adapt(recipes.get("factors-mnist"), options=options)
    model = make_model(recipe, (28, 28))
    x, y = torch.rand(4, 784), torch.tensor([0, 1, 1, 0])
    model.check(Pairs(x, y))
    s, q = model.encode(x)
    assert (s.shape, q.mean.shape) == ((4, recipe.model.specified), (4, recipe.model.unspecified))
    assert model.decode(q.mean, s).shape == (4, 784)
    assert model.loss(Pairs(x, y)).discriminator.shape == (4,)
    with pytest.raises(ValueError, match="2 convolutions halve both sides"):
        make_model(recipe, (30, 30))


def test_the_ablation_differs_by_the_adversary_and_by_the_room_in_z():
    for whole, ablated in zip(disentangling.RECIPES[::2], disentangling.RECIPES[1::2], strict=True):
        assert ablated.name == f"{whole.name}-no-adversary"
        assert not ablated.losses.adversarial
        assert ablated.model.unspecified >= 2 * whole.model.unspecified
        back = replace(ablated.losses, transfer=whole.losses.transfer, sample=whole.losses.sample, kl=whole.losses.kl)
        assert back == whole.losses
        assert replace(ablated.model, unspecified=whole.model.unspecified) == whole.model
        assert (ablated.data, ablated.optimizer, ablated.budget) == (whole.data, whole.optimizer, whole.budget)


def test_changes_reach_the_recipe_and_wrong_ones_are_refused():
    recipe = recipes.get("factors-digits")
    found = recipes.adapt(recipe, options=(("kl", 0.5), ("hidden", "30-20"), ("specified", 4)), data="mnist")
    assert (found.losses.kl, found.model.hidden, found.model.specified) == (0.5, (30, 20), 4)
    assert (found.data.name, found.measured) == ("mnist", ())
    assert FactorRecipe.from_json(found.to_json()) == found
    for changes, message in (
        ({"options": (("kll", 1),)}, "unknown option 'kll'; did you mean 'kl'"),
        ({"options": (("kl", -1),)}, "the weight of kl must be"),
        ({"samples": 3}, "has no 'samples' to change"),
        ({"objective": "iwae"}, "has no 'objective' to change"),
    ):
        with pytest.raises(ValueError, match=message):
            recipes.adapt(recipe, **changes)
    with pytest.raises(ValueError, match="is a regression"):
        build(recipes.adapt(recipe, data="diabetes"))


def test_numbers_that_make_no_experiment_are_refused():
    for make, message in (
        (lambda: FactorNetworks(hidden=()), "hidden widths"),
        (lambda: FactorNetworks(unspecified=0), "unspecified must be at least 1"),
        (lambda: FactorLosses(real=0.4), "above a half"),
        (lambda: small(threads=0), "threads must be at least 1, got 0"),
        (lambda: FactorEvaluation.from_json("{"), "no JSON"),
        (lambda: FactorEvaluation.from_json("{}"), "jensen-factor-evaluation-1"),
        (lambda: FactorEvaluation(3, 0, (Quantity("a", 1, 1, ""),))["b"], "'b' was not measured; there are a"),
    ):
        with pytest.raises(ValueError, match=message):
            make()


def test_an_evaluation_of_nothing_is_refused(run):
    for wrong in ({"limit": 0}, {"batch_size": 0}, {"chunk": 0}):
        with pytest.raises(ValueError, match="at least 1"):
            factors.measure(run, device="cpu", **wrong)
    with pytest.raises(ValueError, match="one draw of z and at its mean, got samples=5"):
        factors.measure(run, device="cpu", samples=5)
