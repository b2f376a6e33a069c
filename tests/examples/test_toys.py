"""`examples/toys.py`: the toys are those of the papers, and the script runs."""

import importlib.util
from pathlib import Path

import pytest
import torch
from torch import Generator
from torch.testing import assert_close

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def toys():
    spec = importlib.util.spec_from_file_location("toys", EXAMPLES / "toys.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("eta", "loss", "gradient"), [(0.0, 0.7605, -0.045), (-4.0, 0.8472624822, -0.0031792871)])
def test_three_bits_are_those_of_the_paper(toys, eta, loss, gradient):
    found = toys.expected_cost(toys.three_bits, toys.three_bits_cost, torch.tensor(eta, dtype=torch.float64))
    assert_close(found.item(), loss, atol=5e-11, rtol=0)
    exact = toys.exact_gradient(toys.three_bits, toys.three_bits_cost, eta)
    assert_close(exact, gradient, atol=5e-11, rtol=0)


@pytest.mark.parametrize(("t", "phi", "gradient"), [(0.45, 0.0, 0.025), (0.499, 1.5, 2.98292904e-4)])
def test_one_bit_is_that_of_the_paper(toys, t, phi, gradient):
    assert_close(toys.exact_gradient(toys.one_bit, toys.one_bit_cost(t), phi), gradient, atol=1e-11, rtol=0)


def test_exact_descent_arrives_where_the_notebook_does(toys):
    (eta,) = toys.descend(
        toys.gradients.enumerate_exact,
        toys.three_bits,
        toys.three_bits_cost,
        start=torch.full((1,), -4.0, dtype=torch.float64),
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=1.0),
        steps=1000,
        generator=Generator(),
    )[-1]
    assert_close(eta.item(), 4.6833, atol=5e-5, rtol=0)


def test_the_script_runs(toys, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(toys, "DESCENT", 3)
    toys.main(["--repeats", "20", "--steps", "4", "--trials", "2", "--pictures", str(tmp_path)])
    assert "three bits" in capsys.readouterr().out
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "toys-descent.png",
        "toys-one-bit.png",
        "toys-variance.png",
    ]
