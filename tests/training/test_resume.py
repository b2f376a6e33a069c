"""A resumed run equals one that was never interrupted, to the bit."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import safetensors.torch
import torch
from training_runs import BATCHES, EPOCHS, differences, final_state, train

from jensen.training import CheckpointError, checkpoint_path, latest, load
from jensen.training.checkpoints import Checkpoint, save

POSITIONS = [(epoch, batch) for epoch in range(EPOCHS) for batch in range(BATCHES + 1) if (epoch, batch) != (0, 0)]
SCRIPT = Path(__file__).parent / "training_runs.py"


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "uninterrupted"
    train(out)
    return final_state(out)


@pytest.fixture(scope="module")
def everywhere(tmp_path_factory):
    """A run that wrote a checkpoint after every step and kept all of them."""
    out = tmp_path_factory.mktemp("runs") / "everywhere"
    train(out, checkpoint_seconds=0.0, keep=1000)
    return out


def copy_until(run, out, epoch, batch):
    """A run folder as it was at a position, its records as they were later: what a killed process leaves."""
    path = checkpoint_path(out, epoch=epoch, batch=batch)
    path.parent.mkdir(parents=True)
    path.write_bytes(checkpoint_path(run, epoch=epoch, batch=batch).read_bytes())
    (out / "metrics.jsonl").write_bytes((run / "metrics.jsonl").read_bytes() + b'{"epoch": 6, "st')
    return path


def test_writing_checkpoints_changes_nothing(uninterrupted, everywhere):
    assert differences(uninterrupted, final_state(everywhere)) == []


@pytest.mark.parametrize(("epoch", "batch"), POSITIONS)
def test_from_every_position(uninterrupted, everywhere, tmp_path, epoch, batch):
    copy_until(everywhere, tmp_path / "run", epoch, batch)
    _, history = train(tmp_path / "run", resume=True)
    assert differences(uninterrupted, final_state(tmp_path / "run")) == []
    assert [record.epoch for record in history.epochs] == list(range(1, EPOCHS + 1))


def test_a_longer_run_goes_on_from_a_shorter_one(uninterrupted, tmp_path):
    train(tmp_path / "run", epochs=2)
    train(tmp_path / "run", epochs=EPOCHS, resume=True)
    assert differences(uninterrupted, final_state(tmp_path / "run")) == []


def test_a_finished_run_stays_as_it_is(everywhere, tmp_path):
    copy_until(everywhere, tmp_path / "run", EPOCHS, 0)
    model, history = train(tmp_path / "run", resume=True)
    assert history.step == EPOCHS * BATCHES
    weight = load(everywhere).tensors["model/decoder.weight"]
    assert torch.equal(model.decoder.weight, weight)


@pytest.mark.parametrize("lost", ["random/0/cpu", "ema/decoder.weight", "optimizer/0/exp_avg", "sums/0"])
def test_a_checkpoint_that_forgot_something_is_caught(uninterrupted, everywhere, tmp_path, lost):
    path = copy_until(everywhere, tmp_path / "run", 1, 2)
    checkpoint = load(path)
    forgotten = (
        torch.manual_seed(0).get_state() if lost.startswith("random") else torch.zeros_like(checkpoint.tensors[lost])
    )
    save(path, Checkpoint({**checkpoint.tensors, lost: forgotten}, checkpoint.header))
    train(tmp_path / "run", resume=True)
    assert differences(uninterrupted, final_state(tmp_path / "run")) != []


@pytest.mark.parametrize("lost", ["batch", "ema_updates"])
def test_a_position_that_is_off_by_one_is_caught(uninterrupted, everywhere, tmp_path, lost):
    path = copy_until(everywhere, tmp_path / "run", 0, 1)
    checkpoint = load(path)
    save(path, Checkpoint(checkpoint.tensors, {**checkpoint.header, lost: checkpoint.header[lost] - 1}))
    train(tmp_path / "run", resume=True)
    assert differences(uninterrupted, final_state(tmp_path / "run")) != []


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW, torch.optim.RMSprop, torch.optim.Adagrad])
def test_other_optimizers_resume_as_well(tmp_path, optimizer):
    train(tmp_path / "whole", optimizer=optimizer, validate_every=1)
    train(tmp_path / "parts", optimizer=optimizer, validate_every=1, epochs=1)
    train(tmp_path / "parts", optimizer=optimizer, validate_every=1, resume=True)
    assert differences(final_state(tmp_path / "whole"), final_state(tmp_path / "parts")) == []


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("batch_size", 9),
        ("seed", 6),
        ("ema", 0.5),
        ("clip_norm", None),
        ("learning_rate", 1e-3),
        ("precision", "64-true"),
    ],
)
def test_other_settings_are_refused_by_name(tmp_path, option, value):
    train(tmp_path, epochs=1)
    with pytest.raises(CheckpointError, match=rf"was made with {option}=.*resume with the same settings"):
        train(tmp_path, epochs=2, resume=True, **{option: value})


def test_a_folder_that_holds_a_run_is_not_overwritten(tmp_path):
    train(tmp_path, epochs=1)
    with pytest.raises(ValueError, match=r"already holds a run \(epoch-0001.safetensors\); resume=True"):
        train(tmp_path, epochs=1)


def test_nothing_to_resume_from(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint to resume from; start this run without resume"):
        train(tmp_path, resume=True)


def test_a_truncated_checkpoint_names_the_one_before_it(everywhere, tmp_path):
    copy_until(everywhere, tmp_path, 1, 0)
    path = checkpoint_path(tmp_path, epoch=2)
    path.write_bytes(checkpoint_path(everywhere, epoch=2).read_bytes()[:-10])
    with pytest.raises(
        CheckpointError, match=r"epoch-0002.safetensors is truncated .* epoch-0001.safetensors comes before"
    ):
        train(tmp_path, resume=True)


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param([("new", (1, 1))], id="once"),
        pytest.param([("new", (0, 2)), ("resume", (2, 1)), ("resume", (3, 3))], id="thrice", marks=pytest.mark.slow),
    ],
)
def test_killed_in_the_middle_and_resumed(uninterrupted, tmp_path, kills):
    """`kill -9` at whatever instant after a position, in a process of its own each time."""
    out = tmp_path / "run"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def start(how, seconds):
        command = [sys.executable, str(SCRIPT), str(out), how, str(seconds)]
        return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)

    for how, beyond in kills:
        process = start(how, 0.02)
        wait_until(lambda beyond=beyond: position(out) > beyond, process)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        process.stderr.close()
        assert position(out) < (EPOCHS, 0), "the run was over before it was killed"
    process = start("resume", 0.0)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert differences(uninterrupted, final_state(out)) == []


def position(out):
    path = latest(out)
    if path is None:
        return (-1, 0)
    with safetensors.safe_open(path, framework="pt") as file:
        assert file.metadata()["format"] == "1"
    name = path.stem.split("-")
    return (int(name[1]), int(name[3]) if len(name) > 2 else 0)


def wait_until(condition, process, timeout=120.0):
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        try:
            if condition():
                return
        except FileNotFoundError:
            continue
        if process.poll() is not None:
            raise RuntimeError(process.stderr.read())
        time.sleep(0.003)
    raise TimeoutError
