"""Recipes of networks are numbers: they survive JSON, refuse nonsense, take changes, and load no torch."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from jensen import recipes
from jensen.recipes import Dropout, Network, NetworkOptimizer, NetworkRecipe, Noise, Prior, Recipe, Task, Weights
from jensen.recipes.kinds import KINDS, kind_of
from jensen.recipes.overrides import OPTIONS

NETWORKS = [name for name in recipes.names() if isinstance(recipes.get(name), NetworkRecipe)]
DOWNLOAD_FREE = ("digits", "diabetes")


def test_there_is_a_recipe_for_every_experiment():
    assert set(NETWORKS) == {
        "bbb-digits", "bbb-mnist-400", "bbb-mnist-800", "bbb-mnist-1200", "bbb-diabetes", "bbb-uci",
        "variational-dropout-digits", "variational-dropout-mnist",
        "sparse-vd-mnist", "sparse-vd-lenet5", "sparse-vd-digits", "compression-digits",
        "compression-gnj-mnist", "compression-ghs-mnist", "compression-gnj-lenet5", "compression-ghs-lenet5",
        "laplace-digits", "laplace-mnist",
    }  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_numbers_with_units_survive_json(name):
    recipe = recipes.get(name)
    again = NetworkRecipe.from_json(json.loads(json.dumps(recipe.to_json())))
    assert again == recipe
    assert {entry.unit for entry in again.published} <= {"%", "x", "nats", ""}


def test_the_schedule_of_sparse_dropout_is_the_published_one():
    recipe = recipes.get("sparse-vd-mnist")
    assert (recipe.budget.epochs, recipe.budget.batch_size) == (200, 100)
    assert (recipe.optimizer.schedule, recipe.optimizer.flat, recipe.optimizer.learning_rate) == ("linear", 100, 1e-3)
    assert (recipe.optimizer.kl_start, recipe.optimizer.kl_end) == (5, 20)
    assert (recipe.weights.initial_log_variance, recipe.weights.threshold) == (-10, 3)
    assert recipe.network.hidden == (300, 100)


def test_pixels_of_bayes_by_backprop_are_divided_by_126():
    for units in (400, 800, 1200):
        recipe = recipes.get(f"bbb-mnist-{units}")
        assert recipe.data == Task("mnist", scale=255 / 126)
        assert (recipe.network.hidden, recipe.budget.batch_size) == ((units, units), 128)
        assert (recipe.weights.prior.kind, recipe.optimizer.kl_weights) == ("scale_mixture", "blundell")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Task("mnist", scale=0.0), "scale must be a positive number, got 0.0"),
        (lambda: Network(hidden=(3, 0)), r"widths must be positive, got \(3, 0\)"),
        (lambda: Network("lenet5", hidden=(20, 50)), "lenet5 has two numbers of filters and one width"),
        (lambda: Network(initial_scale=-1.0), "initial_scale must be a positive number"),
        (lambda: Prior(scale=0.0), "the prior's scale must be a positive number, got 0.0"),
        (lambda: Prior("scale_mixture", mix=1.0), "mix must lie between 0 and 1, got 1.0"),
        (lambda: Weights(samples=0), "samples must be at least 1, got 0"),
        (lambda: Weights(prior=Prior("scale_mixture")), "no closed-form KL, which 'local' needs"),
        (lambda: Weights("laplace", prior=Prior("laplace")), "takes a normal prior, got laplace"),
        (lambda: Dropout(initial_alpha=0.0), "initial_alpha must be a positive number, got 0.0"),
        (lambda: Dropout(initial_alpha=1.0), "maximum_alpha is 1.0, not above initial_alpha 1.0"),
        (lambda: Dropout(rate="weight", noise="correlated"), "take rate neuron or layer"),
        (lambda: Noise("gaussian", scale=0.0), "the noise's scale must be a positive number"),
        (lambda: NetworkOptimizer(learning_rate=0.0), "learning_rate must be a positive number"),
        (lambda: NetworkOptimizer(kl_start=5.0, kl_end=2.0), "kl_start not after kl_end"),
        (lambda: NetworkOptimizer(flat=-1.0), "must not be negative"),
        (lambda: replace(recipes.get("bbb-diabetes"), outside="noise"), "not for a regression"),
        (lambda: replace(recipes.get("bbb-digits"), threads=0), "threads must be at least 1, got 0"),
    ],
)
def test_numbers_that_make_no_experiment_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": {"method": "magic"}}, "recipe.weights.method must be one of gaussian, variational_dropout"),
        ({"weights": {"prior": {"scale": "wide"}}}, "recipe.weights.prior.scale must be float, got 'wide'"),
        ({"network": {"hidden": "400"}}, "recipe.network.hidden must be a list, got '400'"),
        ({"noise": {"scale": None}}, "recipe.noise.scale must be"),
        ({"data": {}}, "recipe.data lacks 'name'"),
        ({"colour": 1}, "recipe has no entry 'colour'"),
    ],
)
def test_a_damaged_entry_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        NetworkRecipe.from_json({**recipes.get("bbb-digits").to_json(), **change})


def test_changes_reach_their_entries_and_nothing_else():
    before = recipes.get("bbb-digits")
    after = recipes.adapt(
        before, samples=3, epochs=7, batch_size=9, learning_rate=0.5, images=11, threads=2, precision="64-true"
    )
    assert after.weights == replace(before.weights, samples=3)
    assert after.optimizer == replace(before.optimizer, learning_rate=0.5)
    assert after.budget == replace(before.budget, epochs=7, batch_size=9, images=11)
    assert (after.threads, after.precision, after.network) == (2, "64-true", before.network)
    assert recipes.adapt(before) == before


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_is_an_entry_of_the_recipe(name):
    content = recipes.get("bbb-digits").to_json()
    for step in OPTIONS[name]:
        content = content[step]


def test_options_are_taken_together_so_that_their_order_does_not_matter():
    options = (("prior", "scale_mixture"), ("estimator", "sampled"), ("scale2", 0.1), ("hidden", "50-20"))
    for given in (options, options[::-1]):
        after = recipes.adapt(recipes.get("bbb-diabetes"), options=given)
        assert after.weights.prior == Prior("scale_mixture", scale2=0.1)
        assert after.network.hidden == (50, 20)
    assert recipes.adapt(recipes.get("bbb-diabetes"), options=(("hidden", 7),)).network.hidden == (7,)
    assert recipes.adapt(recipes.get("bbb-diabetes"), options=(("noise", "conditional"),)).noise.scale == "conditional"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"options": (("estimatr", "local"),)}, "unknown option 'estimatr'; did you mean 'estimator'"),
        ({"options": (("estimator", "loca"),)}, "recipe.weights.estimator must be one of sampled, local, flipout"),
        ({"options": (("prior_scale", 0),)}, "the prior's scale must be a positive number, got 0"),
        ({"options": (("hidden", "50,20"),)}, "hidden takes widths such as 300-100, got '50,20'"),
        ({"method": "rebar"}, "recipe.weights.method must be one of"),
        ({"objective": "iwae"}, "bbb-digits has no 'objective' to change"),
        ({"colour": "red"}, "bbb-digits has no 'colour' to change"),
    ],
)
def test_a_change_that_cannot_be_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        recipes.adapt(recipes.get("bbb-digits"), **changes)


def test_another_data_set_leaves_split_and_other_numbers_behind():
    uci = recipes.get("bbb-uci")
    after = recipes.adapt(uci, data="concrete")
    assert after.data == Task("concrete")
    assert [entry.what for entry in after.published] == ["RMSE, concrete", "log-likelihood, concrete"]
    assert recipes.adapt(uci, data="yacht", split="7").data == Task("yacht", split="7")
    assert recipes.adapt(uci, data="yacht").published == uci.published
    assert recipes.adapt(recipes.get("bbb-mnist-400"), data="fashion_mnist").published == ()


def test_kinds_are_told_apart():
    assert {kind_of(recipes.get(name)) for name in NETWORKS} == {"network"}
    assert kind_of(recipes.get()) == "autoencoder"
    assert KINDS["autoencoder"] is Recipe


def test_recipes_of_networks_are_read_without_torch():
    code = "import sys, jensen.recipes as r; r.adapt(r.get('bbb-uci'), data='yacht'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_family_has_a_recipe_that_needs_no_download():
    free = {recipes.get(name).weights.method for name in NETWORKS if recipes.get(name).data.name in DOWNLOAD_FREE}
    assert free == {"gaussian", "variational_dropout", "sparse_dropout", "group_normal_jeffreys", "laplace"}
