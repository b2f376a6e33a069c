"""Separate factors on the command line, from fit to report."""

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from jensen.cli import main

FIT = "fit factors-digits --smoke --option hidden=12 --device cpu --no-progress --out run"


def test_factors_from_fit_to_report(capsys):
    assert main(FIT.split()) == 0
    assert "minus the weighted losses of an image" in capsys.readouterr().out
    assert main(["resume", "run", "--device", "cpu", "--no-progress"]) == 0
    capsys.readouterr()
    assert main(["evaluate", "run", "--device", "cpu", "--limit", "20"]) == 0
    out = capsys.readouterr().out
    for words in ("20 test images", "label error from s, linear probe", "squared error, z = 0", "KL of z"):
        assert words in out
    assert json.loads(Path("run/evaluation.json").read_text())["format"] == "jensen-factor-evaluation-1"
    assert main(["report", "run", "--device", "cpu"]) == 0
    assert "not evaluated yet" not in capsys.readouterr().out
    assert main(["sample", "run", "--n", "12", "--device", "cpu"]) == 0
    assert "draws.safetensors" in capsys.readouterr().out
    drawn = load_file("run/figures/draws.safetensors")
    assert drawn["images"].shape == (12, 8, 8)
    assert drawn["classes"].tolist() == [*range(10), 0, 1]
    for words in (["explore", "run"], ["evaluate", "run", "--ais"]):
        assert main(words) == 1
        assert "trains separate factors; this takes runs of an autoencoder" in capsys.readouterr().err


def test_an_option_that_would_do_nothing_is_refused(capsys):
    assert main(FIT.split()) == 0
    assert main(["evaluate", "run", "--device", "cpu", "--samples", "5"]) == 1
    assert "measured at one draw of z and at its mean" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("fit factors-digit", "unknown recipe 'factors-digit'; did you mean 'factors-digits'"),
        ("fit factors-digits --option swp=2", "unknown option 'swp'; did you mean 'swap'"),
        ("fit factors-digits --method rebar", "factors-digits has no 'method' to change"),
        ("fit factors-digits --data diabetes", "diabetes is a regression"),
        ("fit factors-digits --threads 0", "threads must be at least 1, got 0"),
        (
            "fit factors-digits --option kind=convolutional --option hidden=4-8-16-32",
            "4 convolutions halve both sides of an image each, which (8, 8) does not allow",
        ),
        ("audit factors-digits", "factors-digits trains no autoencoder"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(words, message, capsys):
    assert main(words.split()) == 1
    assert message in capsys.readouterr().err
