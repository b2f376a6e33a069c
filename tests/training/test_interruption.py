import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from training_runs import BATCHES, differences, final_state, train

from jensen.training import ImportanceWeighted, Interrupted, latest
from jensen.training.interruption import Interruption

SCRIPT = Path(__file__).parent / "training_runs.py"


class InterruptedAt:
    """An objective that presses Ctrl-C inside the given steps."""

    samples = 3

    def __init__(self, *steps):
        self.steps, self.calls = steps, 0

    def __call__(self, model, x, *, kl_weight=1.0):
        self.calls += 1
        for _ in range(self.steps.count(self.calls)):
            signal.raise_signal(signal.SIGINT)
        return ImportanceWeighted(self.samples)(model, x, kl_weight=kl_weight)


@pytest.mark.parametrize("step", [1, 4, 6], ids=["first step", "last of an epoch", "middle"])
def test_the_step_is_finished_and_a_checkpoint_written(tmp_path, step):
    with pytest.raises(Interrupted, match=rf"stopped after {(step) // 5} epochs") as stop:
        train(tmp_path / "run", objective=InterruptedAt(step))
    assert isinstance(stop.value, KeyboardInterrupt)
    assert stop.value.step == step
    assert stop.value.epoch * BATCHES + stop.value.batch == step
    assert stop.value.checkpoint == latest(tmp_path / "run")
    assert stop.value.checkpoint.name in str(stop.value)

    train(tmp_path / "run", objective=InterruptedAt(), resume=True)
    train(tmp_path / "whole", objective=InterruptedAt())
    assert differences(final_state(tmp_path / "whole"), final_state(tmp_path / "run")) == []


def test_while_validating(tmp_path):
    """Steps 9 and beyond are calls on the validation data after the second epoch."""
    with pytest.raises(Interrupted, match="stopped after 1 epochs and 4 batches"):
        train(tmp_path / "run", objective=InterruptedAt(9))
    train(tmp_path / "run", objective=InterruptedAt(), resume=True)
    train(tmp_path / "whole", objective=InterruptedAt())
    assert differences(final_state(tmp_path / "whole"), final_state(tmp_path / "run")) == []


def test_the_second_one_stops_at_once(tmp_path):
    with pytest.raises(KeyboardInterrupt, match="at once") as stop:
        train(tmp_path, objective=InterruptedAt(3, 3))
    assert not isinstance(stop.value, Interrupted)
    assert latest(tmp_path).name == "epoch-0000.safetensors"


def test_without_a_folder_nothing_is_saved():
    with pytest.raises(Interrupted, match="nothing was saved"):
        train(None, objective=InterruptedAt(2))


def test_the_old_handler_comes_back(tmp_path):
    def mine(number, frame):
        raise RuntimeError

    before = signal.signal(signal.SIGINT, mine)
    try:
        train(tmp_path / "one", epochs=1)
        assert signal.getsignal(signal.SIGINT) is mine
        with pytest.raises(Interrupted):
            train(tmp_path / "two", objective=InterruptedAt(2))
        assert signal.getsignal(signal.SIGINT) is mine
    finally:
        signal.signal(signal.SIGINT, before)


def test_outside_the_main_thread_no_handler_is_set(tmp_path):
    before, errors = signal.getsignal(signal.SIGINT), []

    def work():
        try:
            with Interruption() as interruption:
                errors.append(signal.getsignal(signal.SIGINT) is not before)
                errors.append(interruption.requested)
            train(tmp_path, epochs=1)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert errors == [False, False]


@pytest.mark.slow
def test_from_another_process(tmp_path):
    command = [sys.executable, str(SCRIPT), str(tmp_path), "new", "0.05"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    while latest(tmp_path) is None or "batch" not in latest(tmp_path).name:
        assert process.poll() is None, process.stderr.read()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert errors.splitlines()[-1].startswith("jensen.training.interruption.Interrupted: stopped after")
    assert str(latest(tmp_path)) in errors
