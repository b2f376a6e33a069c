"""Two processes on one machine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from training_parallel import train
from training_runs import differences, final_state

from jensen.training import CheckpointError, latest, load, read_records

SCRIPT = Path(__file__).parent / "training_parallel.py"
pytestmark = pytest.mark.slow


def launch(run, epochs, how=""):
    run.mkdir(exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPT), str(run), str(epochs), *([how] if how else [])]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done


def parameters(run, rank, how=""):
    return torch.tensor(json.loads((run / f"rank-{rank}-{how}").read_text()))


def test_two_processes_do_what_one_does(tmp_path):
    launch(tmp_path / "two", 3)
    ours, theirs = (parameters(tmp_path / "two", rank) for rank in (0, 1))
    assert torch.equal(ours, theirs)

    model, history = train(tmp_path / "one", 3)
    alone = torch.cat([p.detach().flatten() for p in model.parameters()])
    torch.testing.assert_close(ours, alone, atol=1e-6, rtol=0)
    for one, two in zip(history.epochs, read_records(tmp_path / "two"), strict=True):
        assert two.bound == pytest.approx(one.bound, abs=1e-5)
        assert two.validation == pytest.approx(one.validation, abs=1e-5)
        assert two.step == one.step

    with pytest.raises(CheckpointError, match="made with processes=2, not 1"):
        train(tmp_path / "two", 4, how="resume")


def test_two_processes_resume_to_the_bit(tmp_path):
    launch(tmp_path / "whole", 3)
    launch(tmp_path / "parts", 1)
    launch(tmp_path / "parts", 3, "resume")
    assert differences(final_state(tmp_path / "whole"), final_state(tmp_path / "parts")) == []


def test_each_process_has_noise_of_its_own_and_still_the_same_parameters(tmp_path):
    launch(tmp_path, 2, "noise")
    assert torch.equal(parameters(tmp_path, 0, "noise"), parameters(tmp_path, 1, "noise"))
    tensors = load(tmp_path).tensors
    assert not torch.equal(tensors["random/0/cpu"], tensors["random/1/cpu"])


def test_nan_on_one_process_stops_both_at_the_same_step(tmp_path):
    launch(tmp_path, 3, "break")
    errors = (tmp_path / "errors").read_text().splitlines()
    assert [error.split()[:2] for error in errors] == [["2", "1"], ["2", "1"]]
    assert latest(tmp_path).name == "epoch-0001.safetensors"


def test_two_processes_share_the_state_of_an_objective(tmp_path):
    launch(tmp_path / "two", 3, "constrained")
    assert torch.equal(*(parameters(tmp_path / "two", rank, "constrained") for rank in (0, 1)))
    train(tmp_path / "one", 3, how="constrained")
    for one, two in zip(read_records(tmp_path / "one"), read_records(tmp_path / "two"), strict=True):
        assert two.monitor == pytest.approx(one.monitor, abs=1e-5)
    ours, theirs = (load(tmp_path / name).tensors for name in ("two", "one"))
    for name in ("averages", "log_multiplier", "updates"):
        torch.testing.assert_close(ours[f"objective/{name}"], theirs[f"objective/{name}"], atol=1e-5, rtol=0)
