"""The commands, end to end: what they say, what they write, what they answer to the shell."""

import json

import pytest
from safetensors.numpy import load_file

from jensen import recipes
from jensen.cli import main
from jensen.recipes.config import read_config
from jensen.training import read_records


def test_list_shows_every_recipe_on_a_line_of_its_own(capsys):
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    firsts = [line.split()[0] for line in lines if line.split()]
    assert [first for first in firsts if first in recipes.names()] == recipes.names()
    assert firsts[0] == "autoencoder"
    assert not [line for line in lines if len(line) > 80 or "…" in line]


def test_list_gives_the_page_of_reproductions(capsys):
    assert main(["list", "--markdown"]) == 0
    assert "not measured yet" in capsys.readouterr().out


def test_fit_writes_a_run_and_ends_with_its_path(capsys):
    words = ["fit", "vae-digits", "--smoke", "--seed", "7", "--no-progress", "--device", "cpu", "--out", "a/b"]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == "run folder: a/b"
    assert "training bound" in out
    assert "nats per image" in out
    assert read_config(recipes.config.Path("a/b")).seed == 7


def test_fit_names_the_folder_after_the_changes(capsys):
    assert main(["fit", "vae-digits", "--smoke", "--epochs", "1", "--seed", "0", "--device", "cpu"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "run folder: runs/vae-digits-epochs1-seed0-smoke"


def test_options_reach_the_run(capsys):
    options = "--samples 2 --epochs 1 --batch-size 16 --learning-rate 0.002 --images 40 --objective dreg --device cpu"
    assert main(["fit", "iwae-digits", *options.split(), "--precision", "64-true", "--out", "run"]) == 0
    recipe = read_config(recipes.config.Path("run")).recipe
    assert (recipe.objective.name, recipe.objective.samples) == ("dreg", 2)
    assert (recipe.budget.epochs, recipe.budget.batch_size, recipe.budget.images) == (1, 16, 40)
    assert (recipe.optimizer.learning_rate, recipe.precision) == (0.002, "64-true")
    (record,) = read_records("run")
    assert record.step == -(-40 // 16)


def test_a_run_is_not_written_over(run, capsys):
    words = ["fit", "vae-digits", "--smoke", "--device", "cpu", "--out", str(run)]
    before = (run / "config.json").read_text()
    assert main(words) == 1
    assert "already holds a run" in capsys.readouterr().err
    assert (run / "config.json").read_text() == before
    assert main([*words, "--overwrite"]) == 0
    assert read_config(run).recipe.name == "vae-digits"


def test_evaluate_prints_and_writes_the_table(run, capsys):
    assert main(["evaluate", str(run), "--samples", "6", "--limit", "10", "--device", "cpu", "--no-progress"]) == 0
    out = capsys.readouterr().out
    for word in ("ELBO", "IWAE", "jackknife", "std. error", "Monte Carlo error", "active units: "):
        assert word in out
    rows = json.loads((run / "evaluation.json").read_text())["rows"]
    assert [row["k"] for row in rows] == [1, 5, 5, 6, 6]


def test_evaluate_takes_the_recipes_samples(run, capsys):
    assert main(["evaluate", str(run), "--limit", "5", "--device", "cpu", "--no-progress"]) == 0
    assert "5 test images, 20 draws each" in capsys.readouterr().out


def test_sample_writes_a_picture_and_the_numbers(run, capsys):
    assert main(["sample", str(run), "--n", "5", "--device", "cpu"]) == 0
    images = load_file(run / "figures" / "draws.safetensors")["images"]
    assert images.shape == (5, 8, 8)
    assert 0 <= images.min() < images.max() <= 1
    assert (run / "figures" / "draws.png").read_bytes()[:4] == b"\x89PNG"
    assert capsys.readouterr().out.count("written: ") == 2


def test_samples_follow_the_seed(run):
    draws = []
    for seed in ("1", "1", "2"):
        assert main(["sample", str(run), "--seed", seed, "--out", "x.png", "--device", "cpu"]) == 0
        draws.append(load_file("x.safetensors")["images"])
    assert (draws[0] == draws[1]).all()
    assert (draws[0] != draws[2]).any()


def test_report_works_before_evaluate_and_says_so(run, capsys):
    assert main(["report", str(run), "--device", "cpu"]) == 0
    assert "not evaluated yet" in capsys.readouterr().out
    assert "Not evaluated yet" in (run / "report.html").read_text()


def test_report_shows_the_evaluation(run, capsys):
    assert main(["evaluate", str(run), "--samples", "5", "--device", "cpu", "--no-progress"]) == 0
    assert main(["report", str(run), "--device", "cpu"]) == 0
    assert "not evaluated yet" not in capsys.readouterr().out
    shown = {path.stem for path in (run / "figures").iterdir()}
    assert shown >= {
        "bounds",
        "latent-units",
        "learning-curve",
        "reconstructions",
        "samples",
        "traversals",
        "neighbours",
    }


def test_resume_of_a_finished_run_changes_nothing(run, capsys):
    before = read_records(run)
    assert main(["resume", str(run), "--device", "cpu", "--no-progress"]) == 0
    assert read_records(run) == before
    assert capsys.readouterr().out.splitlines()[-1] == f"run folder: {run}"


@pytest.mark.parametrize("words", [["--version"], ["-V"]])
def test_the_version_is_told(words, capsys):
    assert main(words) == 0
    assert capsys.readouterr().out.startswith("jensen 0.")


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        [],
        ["fit", "--help"],
        ["resume", "-h"],
        ["evaluate", "-h"],
        ["sample", "-h"],
        ["report", "-h"],
        ["run", "-h"],
    ],
)
def test_help_reads_well(words, capsys):
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert out.startswith("usage: jensen")
    assert err == ""
    assert "{None}" not in out
    assert "(default: None)" not in out
