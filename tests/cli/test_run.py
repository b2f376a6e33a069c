"""`jensen run`: a table, a folder that holds it, and a run that goes on."""

import json
from pathlib import Path

import pytest
import torch

from jensen.cli import main
from jensen.datasets import celegans
from jensen.recipes import studies
from jensen.recipes.studies import estimators

FILES = {"config.json", "environment.json", "results.json", "table.md", "report.html", "figures"}


@pytest.fixture(autouse=True)
def _small_map(monkeypatch):
    """Twelve neurons on a ring, so that no file is needed."""
    contacts = torch.eye(12).roll(1, 0)
    names = tuple(map(str, range(12)))
    connectome = celegans.Connectome(names, torch.linspace(0, 1, 12), contacts, 0 * contacts)
    monkeypatch.setattr(celegans, "load", lambda: connectome)


@pytest.mark.parametrize("name", studies.names())
def test_a_smoke_study(capsys, name):
    assert main(["run", name, "--smoke", "--no-progress"]) == 0
    out = capsys.readouterr().out
    folder = Path("runs") / f"{name}-smoke"
    assert studies.get(name).title in out
    assert out.splitlines()[-1] == f"written: {folder / 'report.html'}"
    assert max(map(len, out.splitlines())) <= 80
    assert {each.name for each in folder.iterdir()} == FILES
    assert "https://" not in (folder / "report.html").read_text().partition("Published numbers")[0]
    assert (folder / "figures" / "results.png").read_bytes()[:4] == b"\x89PNG"
    shown = [line.split(" | ")[0].removeprefix("| ") for line in (folder / "table.md").read_text().splitlines()[2:]]
    parts = json.loads((folder / "results.json").read_text())["parts"]
    assert set(shown) == {what for part in parts.values() for what in part["values"]}


def test_after_an_interruption_the_same_command_goes_on(capsys, monkeypatch):
    words = ["run", "toys-descent", "--smoke", "--no-progress", "--out"]
    assert main([*words, "whole"]) == 0
    before, descend, steps = capsys.readouterr().out, estimators.descend, iter(range(3))

    def until_the_fourth(*arguments, **settings):
        if next(steps, None) is None:
            raise KeyboardInterrupt
        return descend(*arguments, **settings)

    monkeypatch.setattr(estimators, "descend", until_the_fourth)
    assert main([*words, "part"]) == 130
    out, err = capsys.readouterr()
    assert "3 of 7 parts" in out
    assert err == "jensen: interrupted: 3 of 7 parts are in part; the same command goes on\n"
    assert len(json.loads(Path("part/results.json").read_text())["parts"]) == 3
    monkeypatch.setattr(estimators, "descend", descend)
    assert main([*words, "part"]) == 0
    assert capsys.readouterr().out == before.replace("whole", "part")
    assert Path("part/table.md").read_text() == Path("whole/table.md").read_text()


def test_options_reach_the_study():
    words = ["run", "toys-descent", "--smoke", "--no-progress", "--seed", "3", "--set", "steps=2", "trials=4"]
    assert main(words) == 0
    content = json.loads(Path("runs/toys-descent-steps2-trials4-seed3-smoke/config.json").read_text())
    assert (content["seed"], content["settings"]["steps"], content["settings"]["trials"]) == (3, 2, 4)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["toys-descend"], 1, "unknown study 'toys-descend'; did you mean 'toys-descent'? `jensen list` shows all"),
        (["toys-descent", "--set", "step=3"], 1, "there is no setting 'step'; did you mean 'steps'?"),
        (["toys-descent", "--set", "steps=0"], 1, "steps must be positive, got 0"),
        (["toys-descent", "--set", "steps=few"], 1, "steps must be int, got 'few'"),
        (["toys-descent", "--set", "steps"], 1, "written name=value, got 'steps'"),
        (["toys-descent", "--seed", "-1"], 1, "--seed must not be negative, got -1"),
        (["worm-identities", "--set", "known=300"], 1, "some names must be left to find"),
        ([], 2, "STUDY"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(capsys, words, code, message):
    assert main(["run", *words]) == code
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert list(Path().iterdir()) == []


def test_damaged_results_are_refused_and_replaced_on_request(capsys):
    words = ["run", "toys-descent", "--smoke", "--no-progress", "--out", "here"]
    assert main(words) == 0
    Path("here/results.json").write_text("{")
    assert main(words) == 1
    assert "here/results.json is damaged: it is no JSON" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0


def test_a_run_folder_is_no_study(capsys, run):
    assert main(["run", "toys-descent", "--smoke", "--out", str(run)]) == 1
    assert "config.json" in capsys.readouterr().err
    assert (run / "checkpoints").is_dir()


@pytest.mark.parametrize("command", ["evaluate", "report", "resume", "sample"])
def test_a_study_is_no_run(capsys, command):
    assert main(["run", "toys-descent", "--smoke", "--no-progress", "--out", "here"]) == 0
    assert main([command, "here"]) == 1
    assert "here is the folder of a study; `jensen run STUDY --out here` goes on" in capsys.readouterr().err


def test_the_list_names_all_studies(capsys):
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("study"))
    assert [line.split()[0] for line in lines[start + 1 : start + 1 + len(studies.names())]] == studies.names()
