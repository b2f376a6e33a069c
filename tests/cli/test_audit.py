"""`jensen audit`: a table, a recommendation, and files that hold the same numbers."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from jensen.cli import main
from jensen.recipes.toys import TOYS

QUICK = ["--replicates", "50"]


@pytest.mark.parametrize("toy", TOYS)
def test_a_toy(capsys, toy):
    assert main(["audit", toy, "--replicates", "400"]) == 0
    out = capsys.readouterr().out
    assert "Use enumerate_exact: it is exact" in out
    assert max(map(len, out.splitlines()[:20])) <= 100
    content = json.loads(Path(f"audits/{toy}/audit.json").read_text())
    assert {row["name"] for row in content["rows"]} >= {"score_function", "leave_one_out", "gumbel_softmax"}
    assert [row["name"] for row in content["rows"] if row["fault"] and row["declared"] == "unbiased"] == []
    assert Path(f"audits/{toy}/figures/variance.png").is_file()


def test_options_reach_the_audit(capsys):
    words = ["--methods", "leave_one_out, arm", "--samples", "2", "--replicates", "70", "--seed", "5", "--out", "here"]
    assert main(["audit", "toy-bits", *words]) == 0
    content = json.loads(Path("here/audit.json").read_text())
    assert [(row["name"], row["evaluations"], row["replicates"]) for row in content["rows"]] == [
        ("leave_one_out", 2, 70),
        ("arm", 4, 70),
    ]
    assert (content["samples"], content["seed"]) == (2, 5)
    assert capsys.readouterr().out.splitlines()[-1] == "written: here/audit.html"


def test_a_recipe_with_discrete_latents(capsys):
    methods = ["--methods", "leave_one_out,straight_through"]
    assert main(["audit", "discrete-vae-digits", *methods, *QUICK]) == 0
    out = capsys.readouterr().out
    assert "Independent(OneHotCategorical, 1), K = 4, 250 coordinates; reference: 500 replicates of" in out


def test_a_run_is_audited_into_its_folder(capsys):
    words = ["fit", "discrete-vae-digits", "--smoke", "--no-progress", "--device", "cpu", "--out", "run"]
    assert main(words) == 0
    assert main(["audit", "run", "--methods", "leave_one_out", *QUICK]) == 0
    assert Path("run/audit.html").is_file()
    assert Path("run/config.json").is_file()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["toy-for"], 1, "unknown toy 'toy-for'; did you mean 'toy-four'?"),
        (["discrete-vae-digit"], 1, "unknown recipe 'discrete-vae-digit'; did you mean 'discrete-vae-digits'?"),
        (["iwae-digits"], 1, "has no single layer of discrete latents to audit"),
        (["toy-four", "--methods", "leave_one"], 1, "unknown estimator 'leave_one'"),
        (["toy-four", "--methods", "arm"], 1, "no method applies to this f and q. arm: OneHotCategorical is not"),
        (["toy-four", "--samples", "0"], 1, "samples must be at least 1"),
        (["toy-four", "--replicates", "1"], 1, "replicates at least 2"),
        (["toy-four", "--seed", "-1"], 1, "--seed must not be negative, got -1"),
        (["toy-four", "--replicates", "many"], 2, "--replicates"),
        ([], 2, "RECIPE"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(capsys, words, code, message):
    assert main(["audit", *words]) == code
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("words", [["audit", "--help"], ["audit", "toy-for"]], ids=" ".join)
def test_torch_is_not_loaded_to_answer(words):
    program = "import sys; from jensen.cli import main; main(sys.argv[1:]); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program, *words], capture_output=True, check=False).returncode == 0
