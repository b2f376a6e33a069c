"""Every family of models survives JSON by its kind, refuses sizes that no network has, and takes changes of the CLI."""

import json
from dataclasses import replace

import pytest
import torch

from jensen import recipes
from jensen.datasets import Images
from jensen.recipes import (
    Architecture,
    ConvolutionalArchitecture,
    Data,
    DrawArchitecture,
    Flow,
    LadderArchitecture,
    Recipe,
    build,
)
from jensen.recipes.architectures import DISCRETIZED
from jensen.recipes.build import build as build_experiment

RECIPE = recipes.get("vae-digits")
FAMILIES = [
    RECIPE.model,
    DrawArchitecture(8, 64, 10, read=2, write=5, cell="gru"),
    DrawArchitecture(1, 5, 3),
    ConvolutionalArchitecture((16, 32), hidden=64, latent=8, flow=Flow("nsf", transforms=2, hidden=(9,))),
    LadderArchitecture(hidden=((64,), (32, 16)), latent=(8, 4)),
]


@pytest.mark.parametrize("model", FAMILIES, ids=str)
def test_a_family_survives_json(model):
    recipe = replace(RECIPE, model=model)
    stored = json.loads(json.dumps(recipe.to_json()))
    assert stored["model"]["kind"] == model.kind
    assert Recipe.from_json(stored) == recipe


def test_an_entry_of_a_family_is_named_and_an_unknown_kind_answered():
    stored = replace(RECIPE, model=FAMILIES[1]).to_json()
    with pytest.raises(ValueError, match=r"recipe.model has no entry 'channels'"):
        Recipe.from_json({**stored, "model": {**stored["model"], "channels": [3]}})
    with pytest.raises(ValueError, match=r"recipe.model.glimpses must be int, got 'many'"):
        Recipe.from_json({**stored, "model": {**stored["model"], "glimpses": "many"}})
    with pytest.raises(ValueError, match=r"recipe.model.kind must be one of vae, .*draw.*, got 'gan'"):
        Recipe.from_json({**stored, "model": {**stored["model"], "kind": "gan"}})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DrawArchitecture(0, 5, 3), "glimpses must be at least 1, got 0"),
        (lambda: DrawArchitecture(1, 5, 3, read=0), "read must be at least 1, got 0"),
        (lambda: ConvolutionalArchitecture((), 5, 3), "the number of stages must be at least 1, got 0"),
        (lambda: ConvolutionalArchitecture((4, 0), 5, 3), "channels must be at least 1, got 0"),
        (lambda: ConvolutionalArchitecture((4,), 5, 3, "discretized_logistic"), "at least 2 levels, 256 of most"),
        (lambda: ConvolutionalArchitecture((4,), 5, 3, levels=17), "bernoulli pixels have no levels, got 17"),
        (
            lambda: ConvolutionalArchitecture((4,), 5, 3, "discretized_logistic_mixture", levels=17),
            "at least 1 of mixtures, got 0",
        ),
        (lambda: ConvolutionalArchitecture((4,), 5, 3, mixtures=2), "no mixtures, got 2"),
        (lambda: Flow("maf", transforms=0), "transforms must be at least 1, got 0"),
        (lambda: Flow("maf", hidden=(0,)), "hidden must be at least 1, got 0"),
        (lambda: LadderArchitecture(hidden=((5,),), latent=(2, 3)), "each stochastic layer"),
        (lambda: LadderArchitecture(hidden=((5,),), latent=(0,)), "must be positive"),
    ],
)
def test_sizes_that_no_network_has_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("mode", ["dynamic", "fixed", "grey", "levels"])
@pytest.mark.parametrize(
    ("likelihood", "modes"),
    [
        ("bernoulli", ["dynamic", "fixed"]),
        ("gaussian", ["grey"]),
        ("continuous_bernoulli", ["grey"]),
        ("discretized_logistic", ["levels"]),
    ],
)
def test_a_likelihood_takes_its_own_pixels_and_no_others(likelihood, modes, mode):
    model = ConvolutionalArchitecture((4,), 5, 3, likelihood, levels=17 if likelihood in DISCRETIZED else 0)
    if mode in modes:
        assert replace(RECIPE, model=model, data=Data("digits", binarization=mode)).model == model
        return
    with pytest.raises(ValueError, match=f"{mode} pixels under a {likelihood} likelihood"):
        replace(RECIPE, model=model, data=Data("digits", binarization=mode))


def test_pixels_off_the_grid_of_levels_are_refused(monkeypatch):
    monkeypatch.setitem(build.BUILDERS, "convolutional", lambda *sizes, **options: torch.nn.Linear(1, 1))
    model = ConvolutionalArchitecture((4,), 5, 3, "discretized_logistic", levels=17)
    recipe = replace(RECIPE, model=model, data=Data("digits", binarization="levels"))
    experiment = build_experiment(recipe)
    assert torch.equal(experiment.test, experiment.originals)
    assert len(experiment.train) == 1297
    with pytest.raises(ValueError, match="off a grid of 256 levels; take 17 of digits"):
        build_experiment(replace(recipe, model=replace(model, levels=256)))


@pytest.mark.parametrize("levels", [2, 17, 256, 65536])
def test_single_precision_lies_on_the_grid(levels, monkeypatch):
    grid = torch.arange(levels).float().div(levels - 1)[:, None]
    monkeypatch.setattr(build, "load", lambda name, split: Images(name, grid, grid, grid, (1, 1)))
    monkeypatch.setitem(build.BUILDERS, "convolutional", lambda *sizes, **options: torch.nn.Linear(1, 1))
    model = ConvolutionalArchitecture((4,), 5, 3, "discretized_logistic", levels=levels)
    recipe = replace(RECIPE, model=model, data=Data("digits", binarization="levels"))
    assert len(build_experiment(recipe).test) == levels


def test_a_kind_that_nobody_builds_is_said_so(monkeypatch):
    monkeypatch.delitem(build.BUILDERS, "vae")
    with pytest.raises(ValueError, match="nobody builds a model of kind 'vae'; there are builders of iwae"):
        build.make_model(RECIPE.model, (8, 8))


def test_options_change_sizes_and_numbers():
    draw = replace(RECIPE, model=FAMILIES[1])
    changed = recipes.adapt(draw, options=(("glimpses", 1), ("read", "none"), ("hidden", 7))).model
    assert changed == DrawArchitecture(1, 7, 10, read=None, write=5, cell="gru")
    deep = recipes.adapt(recipes.get("iwae2-mnist"), options=(("hidden", "9-8/7"), ("latent", "6-5"))).model
    assert deep == Architecture("iwae", hidden=((9, 8), (7,)), latent=(6, 5))
    conv = replace(RECIPE, model=ConvolutionalArchitecture((4,), 5, 3))
    assert recipes.adapt(conv, options=(("flow", "maf"), ("transforms", 2), ("channels", "8-16"))).model == (
        ConvolutionalArchitecture((8, 16), 5, 3, flow=Flow("maf", transforms=2))
    )
    assert recipes.adapt(RECIPE, options=(("kl_warmup", 5), ("beta", 4))).optimizer.kl_warmup == 5.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((("colour", 1),), "unknown option 'colour'; choose one of: kind, hidden"),
        ((("hidden", "5,6"),), "hidden takes widths such as 300-100, got '5,6'"),
        ((("flow", "maf"),), "recipe.model has no entry 'flow'"),
        ((("latent", 0),), "sizes must be positive"),
    ],
)
def test_a_wrong_option_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        recipes.adapt(RECIPE, options=options)


def test_the_classes_of_limited_data_stay():
    images = build.make_data(Data("digits"), limit=7)
    assert images.labels is not None
    whole = build.make_data(Data("digits")).labels
    assert all(torch.equal(few, all_[:7]) for few, all_ in zip(images.labels, whole, strict=True))
