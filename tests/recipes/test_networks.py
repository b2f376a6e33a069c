"""Runs of networks: begun, trained, taken up again to the bit, measured, and shipped."""

import json
import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from jensen import recipes
from jensen.datasets import Pairs
from jensen.layers import CategoricalLikelihood, sparsify
from jensen.layers.shrinking import load_compact, masked
from jensen.recipes import NetworkRecipe, network_running, networks, running
from jensen.recipes.config import Config, config_of, read_config
from jensen.recipes.machine import make_folder
from jensen.recipes.network_build import build, make_model, make_network, make_objective
from jensen.recipes.network_export import export
from jensen.recipes.network_measuring import outside_of
from jensen.recipes.network_pruning import compress
from jensen.recipes.network_results import Curve, NetworkEvaluation, Quantity
from jensen.recipes.network_schedules import Ramp, make_kl_weight, make_learning_rate
from jensen.recipes.plain_network import PlainNetwork
from jensen.training import FreeEnergy, Interrupted, Variational, latest, load, read_records
from jensen.training.run import Run

SMALL = {"hidden": "12"}
NAMES = (
    "bbb-digits",
    "bbb-diabetes",
    "variational-dropout-digits",
    "sparse-vd-digits",
    "compression-digits",
    "laplace-digits",
)


def small(name, **changes):
    options = {**SMALL, **dict(changes.pop("options", ()))}
    return recipes.adapt(recipes.get(name), smoke=True, options=tuple(options.items()), **changes)


def config_of_recipe(recipe, experiment):
    return Config(recipe, seed=0, shape=experiment.shape, device="cpu")


def trained(folder, recipe, **options):
    experiment = build(recipe)
    config = config_of_recipe(recipe, experiment)
    networks.check_method(config, experiment)
    make_folder(folder, config, overwrite=True)
    networks.train(folder, config, experiment, device="cpu", progress=False, **options)
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    return {name: trained(folder / name, small(name)) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_a_run_is_measured_and_its_evaluation_comes_back(runs, name):
    run = runs[name]
    assert [record.epoch for record in read_records(run)] == [1, 2]
    found = networks.measure(run, device="cpu")
    assert networks.load_evaluation(run).to_json() == found.to_json()
    assert (found.data, found.samples) == (64, 8)
    again = networks.measure(run, device="cpu")
    assert _without_times(again) == _without_times(found)
    if found.task == "classification":
        assert 0 <= found["error"].value <= 100
        assert found["error"].error > 0
        assert found["AUROC of total entropy"].unit == ""
        assert found.outside.startswith("noise")
    else:
        assert found["RMSE"].value > 1, "in the units of the targets"


def test_learned_dropout_is_shown_layer_by_layer(runs):
    found = networks.measure(runs["variational-dropout-digits"], device="cpu")
    _, model = networks.load_model(runs["variational-dropout-digits"])
    for name in ("fc1", "fc2"):
        alpha = model.network.get_submodule(name).log_alpha().exp().detach()
        assert found[f"dropout of {name}"].value == pytest.approx(100 * (alpha / (1 + alpha)).mean().item())


def test_the_rates_of_rounded_weights_name_their_error(runs):
    found = networks.measure(runs["compression-digits"], device="cpu")
    bits = "-".join(str(layer.bits) for layer in found.layers)
    (note,) = (note for note in found.notes if note.startswith("fast prediction"))
    assert note.endswith(f"rounded to {bits} bits, error {found['error, shrunk at its bits'].value:.2f} %")


def test_a_network_without_random_weights_has_one_sample():
    net = PlainNetwork(nn.Linear(2, 3), likelihood=CategoricalLikelihood())
    batch = Pairs(torch.randn(4, 2), torch.tensor([0, 1, 2, 0]))
    assert net.predict(batch.inputs, samples=5).samples == len(net.log_likelihood(batch, 5)) == 1
    for call in (lambda: net.predict(batch.inputs, samples=0), lambda: net.log_likelihood(batch, 0)):
        with pytest.raises(ValueError, match="samples is 0"):
            call()


def _without_times(found):
    return [repr(each) for each in found.quantities if not each.what.startswith("latency")]


@pytest.mark.parametrize("name", NAMES)
def test_a_run_taken_up_again_is_the_same_to_the_bit(tmp_path, name):
    recipe = small(name, options={"schedule": "constant"}.items())
    whole = trained(tmp_path / "whole", recipe)
    parts = trained(tmp_path / "parts", recipes.adapt(recipe, epochs=1))
    torch.rand(7)
    experiment = build(recipe)
    networks.train(parts, config_of_recipe(recipe, experiment), experiment, resume=True, device="cpu", progress=False)
    _same(whole, parts)
    other = trained(tmp_path / "other", recipes.adapt(recipe, learning_rate=0.5))
    with pytest.raises(AssertionError):
        _same(whole, other)


@pytest.mark.parametrize("name", ["bbb-digits", "bbb-diabetes", "sparse-vd-digits"])
def test_an_interrupted_run_ends_as_an_uninterrupted_one(runs, tmp_path, name, monkeypatch):
    recipe = small(name)
    experiment = build(recipe)
    config = config_of_recipe(recipe, experiment)
    make_folder(tmp_path / "run", config)
    step, taken = Run._step, []

    def stops(self, batch):
        step(self, batch)
        taken.append(1)
        if len(taken) == 3:
            self.interruption.requested = True

    monkeypatch.setattr(Run, "_step", stops)
    with pytest.raises(Interrupted):
        networks.train(tmp_path / "run", config, experiment, device="cpu", progress=False)
    monkeypatch.setattr(Run, "_step", step)
    torch.rand(5)
    networks.train(tmp_path / "run", config, build(recipe), resume=True, device="cpu", progress=False)
    _same(runs[name], tmp_path / "run")


def _same(first, second):
    one, other = (load(latest(folder)).tensors for folder in (first, second))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    "recipe",
    [
        small("bbb-digits", method="deterministic"),
        small("compression-digits", method="group_horseshoe"),
        small("bbb-diabetes", options={"estimator": "flipout"}.items()),
        small("bbb-diabetes", options={"prior": "laplace", "noise": "conditional"}.items()),
        small("bbb-diabetes", options={"noise": 0.5, "hidden": "8-8", "activation": "tanh"}.items()),
        replace(small("laplace-digits"), weights=replace(small("laplace-digits").weights, samples=2)),
    ],
    ids=lambda recipe: f"{recipe.weights.method}-{recipe.weights.estimator}-{recipe.noise.scale}",
)
def test_every_method_trains_and_is_measured(tmp_path, recipe):
    found = networks.measure(trained(tmp_path, recipe), device="cpu", samples=4, limit=20)
    assert (found.data, found.samples) == (20, 4)


def test_convolutions_take_images_and_refuse_small_ones():
    recipe = recipes.get("sparse-vd-lenet5")
    model = make_model(recipe, (28, 28))
    assert model(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    assert sum(p.numel() for p in make_network(recipe.network, (28, 28), 10).parameters()) == 431_080
    with pytest.raises(ValueError, match=r"lenet5 needs images of at least 16x16, got inputs of shape \(8, 8\)"):
        build(recipes.adapt(recipe, data="digits"))


def test_the_divergence_is_that_of_all_training_data():
    recipe = small("sparse-vd-digits", images=64)
    objective = make_objective(recipe, data=1297)
    assert objective == FreeEnergy(1297, bound=Variational(1, analytic_kl=True))
    model, data = build(recipe).model, build(recipe).data.train[:10]
    torch.manual_seed(0)
    bound = objective(model, data).mean()
    torch.manual_seed(0)
    expected = model.log_likelihood(data, 1).mean() - model.kl() / 1297
    assert torch.allclose(bound, expected)
    assert not torch.allclose(bound, expected + model.kl() / 1297 - model.kl() / 10), "a twin divided by the batch"


def test_the_penalty_of_a_plain_network_is_its_prior():
    recipe = small("laplace-digits", options={"prior_scale": 0.5}.items())
    assert network_running._decay(recipe, 100) == pytest.approx(1 / (0.25 * 100))
    assert network_running._decay(small("bbb-digits"), 100) == 0.0


def test_regressions_and_classes_are_not_confused():
    with pytest.raises(ValueError, match="diabetes has a regression, its noise cannot be categorical"):
        build(recipes.adapt(recipes.get("bbb-digits"), data="diabetes"))
    with pytest.raises(ValueError, match="digits has 10 classes, its noise cannot be gaussian"):
        build(recipes.adapt(recipes.get("bbb-diabetes"), data="digits"))


def test_schedules_are_those_of_the_recipe():
    optimizer = recipes.get("sparse-vd-mnist").optimizer
    rate = make_learning_rate(optimizer, epochs=200)
    assert [rate(epoch) for epoch in (0, 99.9, 100, 150, 200)] == pytest.approx([1e-3, 1e-3, 1e-3, 5e-4, 0.0])
    assert make_learning_rate(optimizer, epochs=50)(49) == 1e-3
    weight = make_kl_weight(optimizer, batches=600)
    assert [weight(epoch) for epoch in (0, 5, 12.5, 20, 199)] == pytest.approx([0, 0, 0.5, 1, 1])


@pytest.mark.parametrize("kl_end", [0.0, 4.0])
def test_blundell_weights_share_out_the_same_divergence(kl_end):
    optimizer = recipes.NetworkOptimizer(kl_weights="blundell", kl_end=kl_end)
    M = 391
    weights = [make_kl_weight(optimizer, batches=M)(7 + i / M) for i in range(M)]
    assert sum(weights) / M == pytest.approx(1.0)
    assert weights[0] == pytest.approx(2 * weights[1])
    rising = [make_kl_weight(optimizer, batches=M)(2 + i / M) for i in range(M)]
    assert sum(rising) / M == pytest.approx(0.5 if kl_end else 1.0, abs=0.01)


def test_a_ramp_may_be_a_step():
    assert [Ramp(0.0, 1.0, since=3, until=3)(x) for x in (2.9, 3)] == [0.0, 1.0]


def test_what_is_out_of_distribution_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("JENSEN_DATA", str(tmp_path))
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / "cache")
    test = Pairs(torch.rand(5, 784), torch.arange(5))
    name, strange = outside_of(recipes.get("bbb-mnist-400"), test)
    assert name.endswith("; fashion_mnist is not at hand")
    assert torch.allclose(strange.sort(1).values, test.inputs.sort(1).values)
    assert not torch.equal(strange, test.inputs)
    name, turned = outside_of(
        replace(recipes.get("bbb-digits"), outside="rotated"), Pairs(test.inputs[:, :64], test.targets)
    )
    assert name.startswith("rotated")
    assert torch.equal(turned.reshape(-1, 8, 8).rot90(-1, (1, 2)).reshape(5, 64), test.inputs[:, :64])


@pytest.mark.parametrize("numbers", [{"samples": 0}, {"limit": 0}, {"batch_size": 0}, {"chunk": -1}])
def test_measuring_nothing_is_refused(runs, numbers):
    with pytest.raises(ValueError, match="samples, limit, batch_size and chunk must be at least 1"):
        networks.measure(runs["bbb-digits"], device="cpu", **numbers)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "it is no JSON"),
        ("[]", 'it must be an object with "format"'),
        ('{"format": "jensen-network-evaluation-1"}', "evaluation lacks 'task'"),
    ],
)
def test_a_damaged_evaluation_is_named(tmp_path, text, message):
    assert networks.load_evaluation(tmp_path) is None
    (tmp_path / "evaluation.json").write_text(text)
    with pytest.raises(ValueError, match=r"evaluation.json is damaged: .*; `jensen evaluate") as caught:
        networks.load_evaluation(tmp_path)
    assert message in str(caught.value)


def test_numbers_that_are_not_finite_come_back():
    found = NetworkEvaluation(
        "regression",
        3,
        1,
        0,
        (Quantity("KL of the weights", math.inf, math.nan, "nats"),),
        curves=(Curve("predictions", (1.0,), (2.0,), (0.5,)),),
    )
    text = found.to_json()
    assert '"inf"' in text
    assert "NaN" not in text
    again = NetworkEvaluation.from_json(text)
    assert again["KL of the weights"].value == math.inf
    assert math.isnan(again["KL of the weights"].error)
    with pytest.raises(ValueError, match="'error' was not measured; there are KL of the weights"):
        again["error"]
    with pytest.raises(ValueError, match="curve 'x' has 2 x, 1 y, 0 errors"):
        Curve("x", (1.0, 2.0), (1.0,))


def test_a_run_knows_its_kind(runs, tmp_path):
    run = runs["bbb-digits"]
    content = json.loads((run / "config.json").read_text())
    assert content["kind"] == "network"
    assert isinstance(config_of(run, NetworkRecipe).recipe, NetworkRecipe)
    with pytest.raises(ValueError, match="bbb-digits, which trains a network; this takes runs of an autoencoder"):
        running.load_model(run)
    (tmp_path / "config.json").write_text(json.dumps({**content, "kind": "netwrok"}))
    with pytest.raises(ValueError, match="unknown kind 'netwrok'; did you mean 'network'"):
        read_config(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({**content, "kind": "autoencoder"}))
    with pytest.raises(ValueError, match=r"config.json is damaged: recipe has no entry"):
        read_config(tmp_path)


def test_what_ships_has_the_outputs_of_the_masked_network(runs, tmp_path):
    data = build(small("sparse-vd-digits")).data.test.inputs
    found = export(runs["sparse-vd-digits"], out=tmp_path)
    network = load_compact(tmp_path / "network.safetensors")
    config, model = networks.load_model(runs["sparse-vd-digits"])
    full = masked(model.network, thresholds=dict.fromkeys(("fc1", "fc2"), config.recipe.weights.threshold))
    with torch.no_grad():
        assert torch.allclose(network(data), full(data), atol=1e-5)
    assert found.difference < 1e-5
    assert found.bytes_after == (tmp_path / "network.safetensors").stat().st_size
    about = json.loads((tmp_path / "about.json").read_text())
    assert (about["input_shape"], about["output"]) == ([64], "log-odds of 10 classes")


def test_rounding_and_pruning_make_the_file_smaller(runs, tmp_path):
    whole = export(runs["bbb-digits"], out=tmp_path).bytes_after
    rounded = export(runs["bbb-digits"], out=tmp_path, rounded=True).bytes_after
    pruned = export(runs["bbb-digits"], out=tmp_path, rounded=True, prune=0.9).bytes_after
    assert pruned < rounded < whole
    about = json.loads((tmp_path / "about.json").read_text())
    assert about["grey_levels_times"] == 1.0


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("sparse-vd-digits", {"prune": 0.5}, "only a Gaussian posterior is pruned by a share"),
        ("laplace-digits", {"rounded": True}, "only a posterior says how many bits"),
    ],
)
def test_what_cannot_ship_is_refused(runs, tmp_path, name, options, message):
    with pytest.raises(ValueError, match=message):
        export(runs[name], out=tmp_path / "x", **options)
    assert not (tmp_path / "x").exists()


def test_a_regression_ships_with_the_scales_of_its_targets(runs, tmp_path):
    export(runs["bbb-diabetes"], out=tmp_path)
    about = json.loads((tmp_path / "about.json").read_text())
    assert about["targets_mean"] == pytest.approx(152, abs=10)
    assert len(about["inputs_scale"]) == 10


def test_a_sparse_regression_is_cut_by_its_squared_error():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    data = Pairs(torch.randn(50, 3), torch.randn(50))
    found = compress(sparsify(network, initial_log_variance=-20.0), threshold=None, data=data)
    assert_close(found.small(data.inputs), found.full(data.inputs))
