"""Models with discrete units from the command line: fitted by any estimator, measured, drawn from, shown."""

from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from jensen import recipes
from jensen.cli import main
from jensen.gradients.registry import ESTIMATORS
from jensen.recipes import running
from jensen.recipes.build import build
from jensen.recipes.config import Config, read_config
from jensen.recipes.machine import make_folder
from jensen.training.estimated import MULTI_SAMPLE

FIT = ["--smoke", "--device", "cpu", "--no-progress", "--out", "run"]


@pytest.mark.parametrize(
    ("recipe", "method"), [("discrete-vae-digits", "unordered_set"), ("structured-digits", "vimco")]
)
def test_every_command_knows_them(recipe, method, capsys):
    assert main(["fit", recipe, "--method", method, "--samples", "3", *FIT]) == 0
    objective = read_config(Path("run")).recipe.objective
    assert (objective.name, objective.method, objective.samples) == ("estimated", method, 3)
    assert f"estimated by {method}, 3 samples" in capsys.readouterr().err
    assert main(["evaluate", "run", "--samples", "6", "--limit", "10", "--device", "cpu", "--no-progress"]) == 0
    assert main(["sample", "run", "--n", "7", "--device", "cpu"]) == 0
    images = load_file("run/figures/draws.safetensors")["images"]
    assert images.shape == (7, 8, 8)
    if recipe == "structured-digits":
        assert set(images[:, :4].flatten().tolist()) == {0.0, 1.0}
    assert main(["report", "run", "--device", "cpu"]) == 0
    page = Path("run/report.html").read_text()
    assert f"estimated by {method}" in page
    assert ("the upper half as it is" in page) == (recipe == "structured-digits")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["discrete-vae-digits", "--method", "unordered_sets"], "did you mean 'unordered_set'?"),
        (["discrete-vae-digits", "--method", "leave_one_out", "--samples", "1"], "needs at least 2 samples, got 1"),
        (["structured-digits", "--method", "relax"], "2 nested layers has first ones only; take one layer"),
        (["discrete-vae-digits", "--method", "pathwise"], "OneHotCategorical has no rsample"),
        (["discrete-vae-digits", "--option", "tau=0.5"], "leave_one_out has no option tau; it takes none"),
        (["discrete-vae-digits", "--method", "rebar", "--option", "tau"], "--option takes NAME=VALUE, such as tau=0.5"),
        (["discrete-vae-digits", "--method", "rebar", "--option", "tau=low"], "estimated by rebar (tau=low) fails"),
        (["discrete-vae-digits", "--method", "rebar", "--option", "tau=-1"], "tau must be positive, got -1"),
        (["iwae-digits", "--option", "tau=1"], "unknown option 'tau'; choose one of: kind, hidden"),
        (["discrete-vae-digits", "--objective", "iwae"], "a method is for 'estimated'"),
        (["iwae-digits", "--method", "vimco"], "a method is for 'estimated', the objective of discrete units"),
    ],
)
def test_a_wrong_method_is_one_line_and_no_folder(words, message, capsys):
    assert main(["fit", *words, *FIT]) == 1
    assert message in capsys.readouterr().err
    assert not Path("run").exists()


def test_options_are_remembered_and_name_the_folder(capsys):
    words = ["--method", "rebar", "--option", "tau=0.5", "--option", "eta=1"]
    assert main(["fit", "discrete-vae-digits", *words, *FIT[:-2]]) == 0
    assert "estimated by rebar (tau=0.5, eta=1), 4 samples" in capsys.readouterr().err
    run = Path("runs/discrete-vae-digits-methodrebar-tau0.5-eta1-smoke")
    assert read_config(run).recipe.objective.options == (("tau", 0.5), ("eta", 1))
    assert main(["evaluate", str(run), "--samples", "6", "--limit", "10", "--device", "cpu", "--no-progress"]) == 0


REFUSED = {
    "pathwise": "OneHotCategorical has no rsample",
    "arm": "OneHotCategorical",
    "disarm": "OneHotCategorical",
    "enumerate_exact": "values",
}


@pytest.mark.parametrize("method", ["auto", *ESTIMATORS, *MULTI_SAMPLE])
def test_every_estimator_trains_by_its_name_or_says_why_not(method, capsys):
    code = main(["fit", "discrete-vae-digits", "--method", method, *FIT])
    printed = capsys.readouterr().err
    assert code == (method in REFUSED), printed
    assert Path("run").exists() != (method in REFUSED)
    if method in REFUSED:
        assert printed.startswith("jensen: error: ")
        assert printed.count("\n") == 1
        assert REFUSED[method] in printed


@pytest.mark.parametrize("method", ["arm", "disarm", "enumerate_exact", "relax", "rebar"])
def test_bits_train_by_the_estimators_for_bits(method, tmp_path):
    """Ten bits have 1,024 values, few enough to sum over."""
    recipe = recipes.adapt(recipes.get("discrete-vae-digits"), smoke=True, method=method)
    recipe = replace(recipe, model=replace(recipe.model, categories=2))
    config, experiment = Config(recipe, seed=0, shape=(8, 8), device="cpu"), build(recipe)
    running.check_method(config, experiment)
    make_folder(tmp_path / "run", config)
    history = running.train(tmp_path / "run", config, experiment, device="cpu", progress=False)
    assert history.epochs[-1].validation is not None
