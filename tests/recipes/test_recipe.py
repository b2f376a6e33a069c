"""Recipes are numbers: they survive JSON, refuse nonsense, and load no torch."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from jensen import recipes
from jensen.recipes import Architecture, Budget, Data, Objective, Optimizer, Recipe

EVERY = recipes.names()
BURDA_TABLE = {
    "iwae-mnist": {1: 86.76, 5: 85.54, 50: 84.78},
    "iwae2-mnist": {1: 85.33, 5: 83.89, 50: 82.90},
    "iwae-omniglot": {1: 108.11, 5: 106.12, 50: 104.67},
    "iwae2-omniglot": {1: 107.56, 5: 104.79, 50: 103.38},
}


@pytest.mark.parametrize("name", EVERY)
def test_a_recipe_survives_json(name):
    recipe = recipes.get(name)
    assert type(recipe).from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


@pytest.mark.parametrize("name", EVERY)
def test_a_recipe_is_called_what_it_is_called(name):
    recipe = recipes.get(name)
    assert recipe.name == name
    assert len(recipe.title) <= 35, "a title must fit a line of `jensen list`"
    assert recipe.smoke.epochs <= 2
    assert recipe.smoke.images <= 100


def test_the_default_needs_no_download():
    assert EVERY[0] == recipes.DEFAULT == "iwae-digits"
    assert recipes.get().data == Data("digits")


@pytest.mark.parametrize(("name", "table"), BURDA_TABLE.items())
def test_published_numbers_are_those_of_the_table(name, table):
    published = {entry.what: entry.value for entry in recipes.get(name).published if "Table 1" in entry.source}
    assert published == {f"NLL, k = {k}": value for k, value in table.items()}


def test_full_schedules_are_3280_epochs_compiled():
    for name in ("iwae-mnist-full", "iwae2-mnist-full"):
        recipe = recipes.get(name)
        assert (recipe.budget.epochs, recipe.budget.batch_size, recipe.compile) == (3280, 20, True)
        short = recipes.get(name.removesuffix("-full"))
        assert short.budget.epochs == sum(3**i for i in range(4))
        assert replace(short.model) == recipe.model
        assert short.optimizer == recipe.optimizer


def test_an_unknown_recipe_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match="unknown recipe 'iwae-mnits'; did you mean 'iwae-mnist'"):
        recipes.get("iwae-mnits")
    with pytest.raises(ValueError, match="unknown recipe 'zzz'; `jensen list`"):
        recipes.get("zzz")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": 3}, r"recipe.name must be str, got 3"),
        ({"seeds": [0.5]}, r"recipe.seeds\[0\] must be int, got 0.5"),
        ({"seeds": [True]}, r"recipe.seeds\[0\] must be int, got True"),
        ({"compile": "yes"}, r"recipe.compile must be bool, got 'yes'"),
        ({"precision": "8-bit"}, r"recipe.precision must be one of 32-true"),
        ({"data": []}, r"recipe.data must be an object, got \[\]"),
        ({"data": {}}, r"recipe.data lacks 'name'"),
        ({"colour": "red"}, r"recipe has no entry 'colour'"),
        ({"budget": {"epochs": 0, "batch_size": 1}}, r"epochs must be at least 1, got 0"),
        ({"optimizer": {"betas": [0.9]}}, r"recipe.optimizer.betas must hold 2 entries, got 1"),
        ({"model": {"kind": "iwae", "hidden": [[1]], "latent": [1], "scale": None}}, r"recipe.model.scale must be"),
    ],
)
def test_a_damaged_entry_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        Recipe.from_json({**recipes.get().to_json(), **change})


@pytest.mark.parametrize("value", [None, [], "iwae-digits", 3])
def test_what_is_no_object_is_no_recipe(value):
    with pytest.raises(ValueError, match="recipe must be an object"):
        Recipe.from_json(value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Architecture("iwae", hidden=((5,),), latent=(2, 3)), "each stochastic layer"),
        (lambda: Architecture("iwae", hidden=(), latent=()), "each stochastic layer"),
        (lambda: Architecture("vae", hidden=((5,), (5,)), latent=(2, 3)), "one stochastic layer"),
        (lambda: Architecture("iwae", hidden=((0,),), latent=(2,)), "must be positive"),
        (lambda: Objective("iwae", samples=0), "samples must be at least 1, got 0"),
        (lambda: Budget(epochs=0, batch_size=1), "epochs must be at least 1"),
        (lambda: Budget(epochs=1, batch_size=0), "batch_size must be at least 1"),
        (lambda: Budget(epochs=1, batch_size=1, images=0), "images must be at least 1"),
        (lambda: Optimizer(learning_rate=-1.0), "learning_rate must be a positive number"),
        (lambda: Optimizer(learning_rate=float("nan")), "learning_rate must be a positive number"),
        (lambda: Optimizer(floor=1.5), "floor is a part of the learning rate, between 0 and 1, got 1.5"),
        (lambda: Optimizer(schedule="cosine", floor=-0.1), "floor is a part of the learning rate"),
        (lambda: Optimizer(floor=0.1), "schedule 'constant' with floor 0.1; a floor above 0 is"),
        (lambda: replace(recipes.get(), data=Data("digits", binarization="grey")), "grey pixels under a bernoulli"),
        (lambda: replace(recipes.get("vae-frey"), data=Data("frey")), "dynamic pixels under a gaussian"),
    ],
)
def test_numbers_that_make_no_experiment_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_changes_reach_their_entries_and_nothing_else():
    before = recipes.get("iwae-mnist")
    after = recipes.adapt(
        before, samples=5, epochs=7, batch_size=9, learning_rate=0.5, images=11, precision="bf16-mixed", compile=True
    )
    assert after.objective == replace(before.objective, samples=5)
    assert after.budget == replace(before.budget, epochs=7, batch_size=9, images=11)
    assert after.optimizer == replace(before.optimizer, learning_rate=0.5)
    assert (after.precision, after.compile) == ("bf16-mixed", True)
    assert (after.data, after.model, after.published) == (before.data, before.model, before.published)
    assert recipes.adapt(before, samples=None) == before


def test_another_data_set_leaves_split_and_published_numbers_behind():
    after = recipes.adapt(recipes.get("iwae-mnist"), data="digits")
    assert after.data == Data("digits", split="standard")
    assert after.published == ()
    assert recipes.adapt(recipes.get("iwae-mnist"), data="fashion_mnist", split="burda").data.split == "burda"


def test_smoke_takes_the_small_budget_and_explicit_numbers_win():
    recipe = recipes.get()
    assert recipes.adapt(recipe, smoke=True).budget == recipe.smoke
    assert recipes.adapt(recipe, smoke=True, epochs=9).budget == replace(recipe.smoke, epochs=9)


def test_an_unknown_change_is_refused():
    with pytest.raises(ValueError, match="no 'colour' to change"):
        recipes.adapt(recipes.get(), colour="red")


def test_recipes_are_read_without_torch():
    code = "import sys, jensen.recipes as r; r.get().to_json(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    control = "import sys, jensen.recipes.build; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", control], check=False).returncode == 1


def test_a_method_is_for_discrete_units_and_comes_without_the_options_of_another():
    recipe = recipes.get("discrete-vae-digits")
    warm = replace(recipe, objective=Objective("estimated", method="gumbel_softmax", options=(("tau", 0.5),)))
    assert Recipe.from_json(json.loads(json.dumps(warm.to_json()))) == warm
    assert recipes.adapt(warm, samples=3).objective.options == (("tau", 0.5),)
    other = recipes.adapt(warm, method="leave_one_out", samples=4).objective
    assert other == Objective("estimated", samples=4, method="leave_one_out")
    assert str(other) == "estimated by leave_one_out"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: recipes.adapt(recipes.get(), method="vimco"), "objective 'iwae' with method 'vimco'"),
        (lambda: recipes.adapt(recipes.get("discrete-vae-digits"), objective="iwae"), "a method is for 'estimated'"),
        (lambda: Objective("estimated"), "objective 'estimated' with method ''"),
        (
            lambda: replace(recipes.get("discrete-vae-digits"), objective=Objective("iwae")),
            "objective 'iwae' for a discrete_vae; models with discrete units take 'estimated'",
        ),
        (lambda: Architecture("vae", hidden=((5,),), latent=(2,), categories=2), "a vae have no categories, got 2"),
        (lambda: Architecture("discrete_vae", hidden=((5,),), latent=(2,)), "at least 2 categories, 2 for bits, got 0"),
        (lambda: Architecture("discrete_vae", ((5,), (5,)), (2, 2), categories=2), "one stochastic layer, got 2"),
        (lambda: Architecture("structured", hidden=((),), latent=(0,), categories=2), "must be positive"),
    ],
)
def test_a_wrong_pair_of_units_and_objective_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_configuration_from_before_there_were_discrete_units_is_read():
    stored = recipes.get().to_json()
    for name in ("categories", "activation"):
        del stored["model"][name]
    for name in ("method", "options"):
        del stored["objective"][name]
    assert Recipe.from_json(stored) == recipes.get()


def test_a_configuration_from_before_a_cosine_had_a_floor_goes_down_to_zero():
    stored = recipes.get("geco-digits").to_json()
    assert stored["optimizer"].pop("floor") == 0.1
    optimizer = Recipe.from_json(stored).optimizer
    assert optimizer == replace(recipes.get("geco-digits").optimizer, floor=0.0)


@pytest.mark.parametrize(("name", "before"), [("geco-digits", 0.1), ("factors-digits", 0.0)])
def test_the_floor_of_a_cosine_is_an_option(name, before):
    recipe = recipes.get(name)
    assert recipe.optimizer.floor == before
    changed = recipes.adapt(recipe, options=(("schedule", "cosine"), ("floor", 0.5)))
    assert changed == replace(recipe, optimizer=replace(recipe.optimizer, schedule="cosine", floor=0.5))
    with pytest.raises(ValueError, match="schedule 'constant' with floor"):
        recipes.adapt(recipe, options=(("schedule", "constant"), ("floor", 0.5)))


def test_grey_pixels_and_their_likelihood_are_chosen_together():
    options = (("likelihood", "continuous_bernoulli"), ("binarization", "grey"))
    recipe = recipes.adapt(recipes.get("conv-vae-digits"), options=options)
    assert (recipe.model.likelihood, recipe.data.binarization) == ("continuous_bernoulli", "grey")
    with pytest.raises(ValueError, match="dynamic pixels under a continuous_bernoulli"):
        recipes.adapt(recipes.get("conv-vae-digits"), options=options[:1])


def test_a_schedule_says_where_it_ends():
    assert Optimizer(schedule="cosine", floor=0.1).course == "cosine schedule down to 0.1 of it"
    assert Optimizer().course == "constant schedule"
    assert recipes.get("bbb-digits").optimizer.course == "cosine schedule"


def test_sizes_of_categories_are_written_as_papers_do():
    assert str(recipes.get("discrete-vae-mnist").model) == "512-256-20x10"
    assert str(recipes.get("structured-mnist").model) == "200 / 200"
