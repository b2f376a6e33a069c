"""Runs: begun, trained, loaded and measured; a resumed one is the same to the bit."""

import json
from dataclasses import replace

import pytest
import torch

from jensen import recipes
from jensen.recipes import Optimizer, fitting, machine, running
from jensen.recipes.build import build
from jensen.recipes.config import Config
from jensen.recipes.machine import make_folder
from jensen.training import Burda, Constant, Cosine, latest, load, read_records

RECIPE = recipes.adapt(recipes.get("iwae-mnist"), smoke=True, data="digits", samples=3, epochs=2)


def config_of(recipe, **changes):
    return Config(recipe, seed=0, shape=(8, 8), **{"device": "cpu", **changes})


def trained(folder, recipe=RECIPE, **options):
    config = config_of(recipe)
    make_folder(folder, config, overwrite=True)
    running.train(folder, config, build(recipe), device="cpu", progress=False, **options)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("run"))


def test_a_run_folder_holds_what_it_should(run):
    names = {path.name for path in run.iterdir()}
    assert names == {"config.json", "environment.json", "metrics.jsonl", "checkpoints"}
    assert [record.epoch for record in read_records(run)] == [1, 2]


def test_the_environment_names_versions_and_nothing_private(run):
    found = json.loads((run / "environment.json").read_text())
    assert found["packages"]["torch"] == torch.__version__
    assert set(found) == {"device", "threads", "python", "platform", "packages", "started"}
    assert str(run) not in (run / "environment.json").read_text()


def test_a_run_has_the_threads_that_it_asks_for_and_gives_them_back(tmp_path, monkeypatch):
    seen = []
    fit, evaluate = fitting.fit, running.evaluate
    monkeypatch.setattr(fitting, "fit", lambda *a, **k: (seen.append(torch.get_num_threads()), fit(*a, **k))[1])
    monkeypatch.setattr(
        running, "evaluate", lambda *a, **k: (seen.append(torch.get_num_threads()), evaluate(*a, **k))[1]
    )
    before = torch.get_num_threads()
    trained(tmp_path, recipes.adapt(RECIPE, epochs=1, threads=before + 1))
    running.measure(tmp_path, samples=2, limit=2, device="cpu")
    assert seen == [before + 1] * 2
    assert torch.get_num_threads() == before
    assert json.loads((tmp_path / "environment.json").read_text())["threads"] == before + 1


def test_training_raises_the_bound(run):
    first, second = read_records(run)
    assert second.validation > first.validation


def test_a_model_comes_back_as_it_was_trained(run):
    _, model = running.load_model(run)
    stored = load(latest(run)).tensors
    assert not model.training
    assert all(torch.equal(value, stored[f"model/{name}"]) for name, value in model.state_dict().items())


def test_a_run_taken_up_again_is_the_same_to_the_bit(run, tmp_path):
    one_epoch = recipes.adapt(RECIPE, epochs=1)
    config = config_of(one_epoch)
    make_folder(tmp_path, config)
    running.train(tmp_path, config, build(one_epoch), device="cpu", progress=False)
    torch.rand(7)  # what the process does in between does not matter
    running.train(tmp_path, config_of(RECIPE), build(RECIPE), resume=True, device="cpu", progress=False)
    first, second = (load(latest(folder)).tensors for folder in (run, tmp_path))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = load(latest(trained(tmp_path, recipes.adapt(RECIPE, learning_rate=2e-3)))).tensors
    assert not all(torch.equal(first[name], other[name]) for name in first if name.startswith("model/"))


def test_measuring_writes_what_it_returns(run):
    found = running.measure(run, samples=10, limit=9, device="cpu")
    assert running.load_evaluation(run) == found
    assert [(row.name, row.k) for row in found.rows] == [
        ("elbo", 1),
        ("iwae", 5),
        ("jackknife", 5),
        ("iwae", 10),
        ("jackknife", 10),
    ]
    assert (found.data, found.samples) == (9, 10)
    again = running.measure(run, samples=10, limit=9, device="cpu")
    assert again.rows == found.rows
    assert running.measure(run, samples=10, limit=9, seed=1, device="cpu").rows != found.rows


@pytest.mark.parametrize("numbers", [{"samples": 0}, {"limit": 0}, {"samples": -5}])
def test_measuring_nothing_is_refused(run, numbers):
    with pytest.raises(ValueError, match="samples and limit must be at least 1"):
        running.measure(run, device="cpu", **numbers)


def test_a_run_that_was_not_measured_has_no_evaluation(tmp_path):
    assert running.load_evaluation(tmp_path) is None


def test_a_damaged_evaluation_is_named(tmp_path):
    (tmp_path / "evaluation.json").write_text("{")
    with pytest.raises(ValueError, match=r"evaluation.json is damaged: .*; `jensen evaluate"):
        running.load_evaluation(tmp_path)


def test_beginning_anew_leaves_nothing_of_the_old_run(tmp_path):
    trained(tmp_path)
    running.measure(tmp_path, samples=2, limit=2, device="cpu")
    (tmp_path / "shipped").mkdir()
    for name in ("annealed.json", "images.jbits", "report.html", "shipped/network.safetensors", "notes.txt"):
        (tmp_path / name).touch()
    make_folder(tmp_path, config_of(RECIPE), overwrite=True)
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "environment.json", "notes.txt"}


def test_a_checkpoint_of_other_sizes_is_refused(run, tmp_path):
    other = recipes.get("iwae2-mnist").to_json()
    content = json.loads((run / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**content, "recipe": other}))
    (tmp_path / "checkpoints").symlink_to(run / "checkpoints")
    with pytest.raises(ValueError, match="is of another model"):
        running.load_model(tmp_path)


def test_averaged_weights_are_the_ones_that_are_loaded(tmp_path):
    recipe = recipes.Recipe.from_json({**RECIPE.to_json(), "optimizer": {"learning_rate": 1e-3, "ema": 0.5}})
    trained(tmp_path, recipe)
    _, model = running.load_model(tmp_path)
    stored = load(latest(tmp_path)).tensors
    for name, value in model.state_dict().items():
        assert torch.equal(value, stored[f"ema/{name}"])
        assert not torch.equal(value, stored[f"model/{name}"])


@pytest.mark.parametrize("objective", ["iwae", "elbo", "sgvb_b", "dreg", "resampled"])
def test_every_objective_trains(tmp_path, objective):
    recipe = recipes.adapt(recipes.get("vae-digits"), smoke=True, objective=objective, samples=2)
    assert len(read_records(trained(tmp_path, recipe))) == 2


def test_schedules_are_those_that_the_recipe_names():
    assert running.make_schedule(Optimizer(1e-2), epochs=5) == Constant(1e-2)
    assert running.make_schedule(Optimizer(1e-2, "cosine"), epochs=5) == Cosine(1e-2, epochs=5)
    assert running.make_schedule(Optimizer(1e-2, "cosine", floor=0.1), epochs=5) == Cosine(1e-2, epochs=5, final=1e-3)
    assert running.make_schedule(Optimizer(1e-2, "burda"), epochs=5) == Burda(1e-2)


def test_the_device_must_be_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert machine.choose_device("auto") == machine.choose_device("cpu") == "cpu"
    with pytest.raises(ValueError, match="finds no cuda device here; use --device cpu or auto"):
        machine.choose_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert machine.choose_device("auto") == "cuda"


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"])
def test_only_the_first_process_speaks(monkeypatch, name):
    assert machine.is_first_process()
    monkeypatch.setenv(name, "1")
    assert not machine.is_first_process()


DISCRETE = recipes.adapt(recipes.get("discrete-vae-mnist"), smoke=True, data="digits", epochs=2)
PREDICTOR = recipes.adapt(
    recipes.get("structured-mnist"), smoke=True, data="digits", epochs=2, method="leave_one_out", samples=2
)


CONTROLLED = recipes.adapt(DISCRETE, method="relax", samples=2)
CONTROLLED = replace(CONTROLLED, name="controlled", optimizer=replace(CONTROLLED.optimizer, ema=0.9))


@pytest.mark.parametrize("recipe", [DISCRETE, PREDICTOR, CONTROLLED], ids=lambda recipe: recipe.name)
def test_a_run_with_discrete_units_taken_up_again_is_the_same_to_the_bit(tmp_path, recipe):
    whole = trained(tmp_path / "whole", recipe)
    parts = trained(tmp_path / "parts", recipes.adapt(recipe, epochs=1))
    torch.rand(7)
    running.train(parts, config_of(recipe), build(recipe), resume=True, device="cpu", progress=False)
    first, second = (load(latest(folder)).tensors for folder in (whole, parts))
    assert all(torch.equal(first[name], second[name]) for name in first)
    found = running.measure(whole, samples=6, limit=9, device="cpu")
    assert [(row.name, row.k) for row in found.bounds] == [("elbo", 1), ("iwae", 5), ("iwae", 6)]
    assert [layer.units for layer in found.layers] == ([] if recipe is PREDICTOR else [20])
    learned = [name for name in first if name.startswith("model/control.")]
    assert len(learned) == (6 if recipe is CONTROLLED else 0)


@pytest.mark.parametrize(
    "method",
    [
        "auto",
        "score_function",
        "unordered_set",
        "rao_blackwell",
        "gumbel_softmax",
        "concrete",
        "reinmax",
        "rebar",
        "vimco",
    ],
)
@pytest.mark.parametrize("recipe", [DISCRETE, PREDICTOR], ids=lambda recipe: recipe.name)
def test_every_method_trains(tmp_path, recipe, method):
    assert len(read_records(trained(tmp_path, recipes.adapt(recipe, method=method, samples=2, epochs=1)))) == 1


def test_a_method_that_is_not_there_is_refused_before_training():
    wrong = recipes.adapt(DISCRETE, method="gumbel_sofmax")
    with pytest.raises(ValueError, match="did you mean 'gumbel_softmax'"):
        running.check_method(config_of(wrong), build(DISCRETE, seed=0))


def test_measuring_tells_what_the_latents_know(run):
    running.measure(run, samples=2, limit=9, device="cpu")
    found = running.load_information(run)
    assert found.data == 9
    assert found.mutual_information < found.ceiling
    config = json.loads((run / "config.json").read_text())
    assert len(found.unit_information) == config["recipe"]["model"]["latent"][0]
    running.measure(run, samples=2, limit=1, device="cpu")
    assert running.load_information(run) is None
