"""`jensen evidence`: a table, a folder that holds it, a target of one's own, and a run that goes on."""

import json
from pathlib import Path

import pytest

from jensen.cli import main
from jensen.evidence import methods
from jensen.recipes import evidences

FILES = {"config.json", "environment.json", "evidence.json", "table.md", "report.html", "figures"}
QUICK = ["--smoke", "--no-progress"]
OWN = """
import torch
from torch.distributions import Normal
from jensen.evidence import Target

prior = Normal(torch.zeros(2).double(), 1.0)
target = Target(lambda x: -(x**2).sum(-1) / 2, prior, exact=-0.6931471805599453)

def make():
    return target

def broken():
    raise TypeError("no argument")

number = 3
"""


def test_a_table_a_picture_and_a_page(capsys):
    assert main(["evidence", "beta-binomial", *QUICK, "--methods", "bridge,naive,laplace,map"]) == 0
    out = capsys.readouterr().out
    folder = Path("runs/beta-binomial-smoke")
    assert "-2.3979" in out
    assert "verdict" in out
    assert max(map(len, out.splitlines())) <= 80
    assert out.splitlines()[-1] == f"written: {folder / 'report.html'}"
    assert {each.name for each in folder.iterdir()} == FILES
    assert (folder / "figures" / "evidence.png").read_bytes()[:4] == b"\x89PNG"
    found = json.loads((folder / "evidence.json").read_text())["methods"]
    assert list(found) == ["bridge", "naive", "laplace", "map"]
    assert abs(found["bridge"]["log_z"] + 2.3978952728) < 4 * found["bridge"]["std_error"]
    assert found["map"]["kind"] == "score"


def test_a_target_of_ones_own():
    Path("mine.py").write_text(OWN)
    for i, where in enumerate(["mine.py:target", "mine.py:make", "mine:target"]):
        words = ["evidence", where, *QUICK, "--methods", "bridge", "--out", f"out{i}"]
        assert main(words) == 0
        found = json.loads(Path(f"out{i}/evidence.json").read_text())["methods"]["bridge"]
        assert abs(found["log_z"] + 0.6931471805599453) < 4.5 * found["std_error"] + 1e-12


def test_the_same_command_goes_on(capsys, monkeypatch):
    words = ["evidence", "beta-binomial", *QUICK, "--methods", "naive,laplace,bridge", "--out"]
    assert main([*words, "whole"]) == 0

    def stopped(runs):
        raise KeyboardInterrupt

    method = methods.METHODS["bridge"]
    monkeypatch.setitem(methods.METHODS, "bridge", methods.Method("bridge", "", stopped))
    capsys.readouterr()
    assert main([*words, "part"]) == 130
    assert capsys.readouterr().err == "jensen: interrupted: 2 of 3 methods are in part; the same command goes on\n"
    monkeypatch.setitem(methods.METHODS, "bridge", method)
    assert main([*words, "part"]) == 0
    whole, part = (json.loads(Path(f"{name}/evidence.json").read_text())["methods"] for name in ("whole", "part"))
    assert [whole[name]["log_z"] for name in whole] == [part[name]["log_z"] for name in part]


def test_a_target_that_was_changed_is_no_longer_that_of_the_folder(capsys):
    Path("mine.py").write_text(OWN)
    words = ["evidence", "mine.py:target", *QUICK, "--methods", "naive", "--out", "out"]
    assert main(words) == 0
    assert main(words) == 0
    Path("mine.py").write_text(OWN.replace("-(x**2).sum(-1) / 2", "-(x**2).sum(-1) / 3"))
    capsys.readouterr()
    assert main(words) == 1
    assert "holds results of mine.py:target as it was before it was changed" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0


def test_settings_and_seed_reach_the_folder():
    words = ["evidence", "beta-binomial", *QUICK, "--seed", "3", "--set", "samples=500", "--methods", "naive"]
    assert main(words) == 0
    content = json.loads(Path("runs/beta-binomial-samples500-seed3-smoke/config.json").read_text())
    assert (content["seed"], content["settings"]["samples"]) == (3, 500)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["beta-binomal"], "unknown target 'beta-binomal'; did you mean 'beta-binomial'?"),
        (["beta-binomial", "--methods", "brigde"], "unknown method 'brigde'; did you mean 'bridge'?"),
        (["beta-binomial", "--methods", "gamma_laplus"], "gamma_laplus does not apply here"),
        (["beta-binomial", "--set", "chain=3"], "there is no setting 'chain'; did you mean 'chains'?"),
        (["beta-binomial", "--set", "chains=none"], "chains must be a whole number, got 'none'"),
        (["beta-binomial", "--set", "chains"], "--set takes NAME=VALUE"),
        (["beta-binomial", "--methods", ""], "unknown method ''"),
        (["beta-binomial", "--seed", "-1"], "--seed must not be negative"),
        (["absent.py:target"], "there is no file absent.py"),
        (["absent:target"], "there is no module 'absent'"),
        (["mine.py:nothing"], "mine.py has no 'nothing'"),
        (["mine.py:number"], "is int, not a Target"),
        (["mine.py:broken"], "mine.py:broken cannot be called: no argument"),
        (["mine.py:a:b"], "is named module:name or file.py:name"),
    ],
)
def test_what_makes_no_sense_is_answered_in_one_line(capsys, words, message):
    Path("mine.py").write_text(OWN)
    assert main(["evidence", *words, "--no-progress"]) == 1
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("evidence.json", "{", "evidence.json is damaged"),
        ("evidence.json", "[]", "must be an object"),
        ("evidence.json", '{"format": "jensen-evidence-results-1", "methods": {"a": {}}}', "is damaged"),
        ("config.json", "{", "config.json is damaged"),
        ("config.json", '{"format": "jensen-evidence-1"}', "is damaged"),
    ],
)
def test_a_damaged_folder_is_refused_and_kept(capsys, name, content, message):
    words = ["evidence", "beta-binomial", *QUICK, "--methods", "naive", "--out", "out"]
    assert main(words) == 0
    Path("out", name).write_text(content)
    assert main(words) == 1
    assert message in capsys.readouterr().err
    assert Path("out", name).read_text() == content
    assert main([*words, "--overwrite"]) == 0


def test_another_request_is_refused(capsys):
    words = ["evidence", "beta-binomial", *QUICK, "--methods", "naive", "--out", "out"]
    assert main(words) == 0
    assert main([*words, "--seed", "4"]) == 1
    assert "seed 0 and not 4" in capsys.readouterr().err
    Path("other").mkdir()
    Path("other/file").write_text("x")
    assert main([*words[:-1], "other"]) == 1
    assert "holds something that is no evidence" in capsys.readouterr().err


def test_the_list_names_all_targets(capsys):
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("target"))
    assert [line.split()[0] for line in lines[start + 1 : start + 1 + len(evidences.names())]] == evidences.names()


@pytest.mark.parametrize("name", evidences.names())
def test_every_recipe_names_methods_and_a_target(name):
    recipe = evidences.get(name)
    assert set(recipe.methods) <= set(methods.METHODS)
