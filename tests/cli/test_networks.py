"""Networks on the command line: fit, resume, evaluate, report, export; what cannot be is answered in one line."""

import json
from pathlib import Path

import pytest

from jensen import recipes
from jensen.cli import main
from jensen.layers.shrinking import load_compact
from jensen.recipes.config import read_config

FIT = "fit sparse-vd-digits --smoke --option hidden=12 --device cpu --no-progress --out run"


@pytest.fixture
def run(capsys):
    assert main(FIT.split()) == 0
    capsys.readouterr()
    return Path("run")


def test_a_network_from_fit_to_export(run, capsys):
    assert main(["resume", "run", "--device", "cpu", "--no-progress"]) == 0
    assert "nats per datum" in capsys.readouterr().out
    assert main(["evaluate", "run", "--device", "cpu", "--samples", "3", "--limit", "20"]) == 0
    out = capsys.readouterr().out
    for word in (
        "20 test data, 3 draws",
        "error, shrunk",
        "pruning rate",
        "what is left",
        "out of distribution: noise",
    ):
        assert word in out
    assert json.loads((run / "evaluation.json").read_text())["samples"] == 3
    assert main(["report", "run", "--device", "cpu"]) == 0
    assert "not evaluated yet" not in capsys.readouterr().out
    assert main(["export", "run", "--rounded"]) == 0
    out = capsys.readouterr().out
    assert "times fewer than" in out
    assert "its outputs differ by at most" in out
    assert load_compact(run / "shipped" / "network.safetensors")[-1].out_features == 10


def test_options_reach_the_run_and_its_folder_is_named_after_them(capsys):
    words = "fit bbb-diabetes --smoke --epochs 1 --samples 2 --option hidden=9 --option prior_scale=0.5 --device cpu"
    assert main(words.split()) == 0
    folder = Path("runs/bbb-diabetes-samples2-epochs1-hidden9-prior_scale0.5-smoke")
    assert capsys.readouterr().out.splitlines()[-1] == f"run folder: {folder}"
    recipe = read_config(folder).recipe
    assert (recipe.network.hidden, recipe.weights.samples, recipe.weights.prior.scale) == ((9,), 2, 0.5)


def test_every_network_is_on_a_line_of_the_list(capsys):
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    firsts = [line.split()[0] for line in lines if line.split()]
    assert firsts.index("network") < firsts.index("bbb-digits") < firsts.index("study")
    assert [name for name in recipes.names() if name not in firsts] == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("fit bbb-digit", "unknown recipe 'bbb-digit'; did you mean 'bbb-digits'"),
        ("fit bbb-digits --objective iwae", "bbb-digits has no 'objective' to change"),
        ("fit bbb-digits --method rebar", "recipe.weights.method must be one of gaussian"),
        ("fit bbb-digits --option estimatr=local", "unknown option 'estimatr'; did you mean 'estimator'"),
        ("fit bbb-digits --option prior_scale=-1", "the prior's scale must be a positive number, got -1"),
        ("fit bbb-digits --option estimator=local", "no closed-form KL"),
        ("fit bbb-uci --data yatch", "unknown supervised data set 'yatch'; did you mean 'yacht'"),
        ("fit bbb-uci --data yacht --split 20", "unknown split of yacht '20'"),
        ("fit bbb-digits --data diabetes", "diabetes has a regression"),
        ("fit sparse-vd-lenet5 --data digits", "lenet5 needs images of at least 16x16"),
        ("fit bbb-digits --samples 0", "samples must be at least 1, got 0"),
        ("audit bbb-digits", "bbb-digits trains no autoencoder"),
        ("export absent", "there is no run folder absent"),
    ],
)
def test_a_request_that_cannot_be_met(capsys, words, message):
    assert main(words.split()) == 1
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert list(Path().iterdir()) == [], "nothing is left behind"


def test_what_is_for_the_other_kind_is_refused(run, capsys):
    assert main(["sample", "run"]) == 1
    assert "which trains a network; this takes runs of an autoencoder" in capsys.readouterr().err
    assert main(["export", "run", "--prune", "2"]) == 1
    assert "--prune is a share" in capsys.readouterr().err
    assert main(["export", "run", "--prune", "0.5"]) == 1
    assert "only a Gaussian posterior is pruned by a share" in capsys.readouterr().err
    words = "fit iwae-digits --smoke --images 20 --epochs 1 --device cpu --no-progress --out vae"
    assert main(words.split()) == 0
    capsys.readouterr()
    assert main(["export", "vae"]) == 1
    assert "which trains an autoencoder; this takes runs of a network" in capsys.readouterr().err


def test_a_damaged_run_is_answered_in_one_line(run, capsys):
    (run / "evaluation.json").write_text("{")
    assert main(["report", "run", "--device", "cpu"]) == 1
    assert "evaluation.json is damaged" in capsys.readouterr().err
    content = json.loads((run / "config.json").read_text())
    content["recipe"]["weights"]["method"] = "magic"
    (run / "config.json").write_text(json.dumps(content))
    for command in ("evaluate", "resume", "report", "export"):
        assert main([command, "run"]) == 1
        assert "config.json is damaged: recipe.weights.method must be one of" in capsys.readouterr().err
