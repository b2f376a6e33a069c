"""Bad input: one line on standard error, an exit code, no traceback, nothing half-made."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest
import torch

from jensen.cli import entry, main
from jensen.recipes import machine, running
from jensen.training import latest, load, read_records


def refused(capsys, *words, code=1):
    """The one line that a request is answered with."""
    assert main(list(words)) == code
    err = capsys.readouterr().err
    assert "Traceback" not in err
    assert err.count("\n") == 1, err
    assert err.startswith("jensen: ")
    return err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("fit iwae-mnits", "unknown recipe 'iwae-mnits'; did you mean 'iwae-mnist'?"),
        ("fit --samples 0", "samples must be at least 1, got 0"),
        ("fit --samples -3", "samples must be at least 1, got -3"),
        ("fit --epochs 0", "epochs must be at least 1, got 0"),
        ("fit --batch-size 0", "batch_size must be at least 1, got 0"),
        ("fit --learning-rate 0", "learning_rate must be a positive number, got 0.0"),
        ("fit --images 0", "images must be at least 1, got 0"),
        ("fit --seed -1", "--seed must not be negative, got -1"),
        ("fit --threads 0", "threads must be at least 1, got 0"),
        ("fit --devices 0", "--devices and --nodes must be at least 1, got 0 and 1"),
        ("fit --data digist", "unknown data set 'digist'; did you mean 'digits'?"),
        ("fit --split odd", "unknown split of digits 'odd'"),
        ("fit --compile --eager", "--compile and --eager exclude each other"),
        ("fit --out .", "holds something that is no run"),
        ("evaluate absent", "there is no run folder absent"),
        ("sample absent", "there is no run folder absent"),
        ("report absent", "there is no run folder absent"),
        ("resume absent", "there is no run folder absent"),
        ("evaluate .", "is no run folder: it holds no config.json"),
    ],
)
def test_a_request_that_cannot_be_met(capsys, words, message):
    Path("thesis.tex").touch()
    assert message in refused(capsys, *words.split())
    assert [path.name for path in Path().iterdir()] == ["thesis.tex"], "nothing is left behind"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("fti", "unknown command 'fti'; did you mean 'fit'?"),
        ("dance", "unknown command 'dance'; choose one of: list, fit"),
        ("fit --device tpu", "invalid choice 'tpu' for argument '--device'"),
        ("fit --objective best", "invalid choice 'best' for argument '--objective'"),
        ("fit --samples many", "--samples takes INT, got 'many'; see jensen fit --help"),
        ("fit --smaples 5", "Unrecognized options: --smaples, 5; perhaps you meant --samples N; see jensen fit --help"),
        ("fit a b", "Unrecognized options: b"),
        ("evaluate", "RUN"),
        ("evaluate run --limit", "--limit"),
    ],
)
def test_a_request_that_makes_no_sense(capsys, words, message):
    assert message in refused(capsys, *words.split(), code=2)


def test_a_device_that_is_not_there(capsys, monkeypatch, run):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for words in (["fit", "--smoke"], ["evaluate", str(run)], ["sample", str(run)], ["resume", str(run)]):
        assert "finds no cuda device here" in refused(capsys, *words, "--device", "cuda")


@pytest.mark.parametrize("command", ["evaluate", "sample", "report", "resume"])
def test_a_truncated_checkpoint(capsys, run, command):
    newest = latest(run)
    newest.write_bytes(newest.read_bytes()[:-100])
    message = refused(capsys, command, str(run), "--device", "cpu")
    assert f"{newest} is truncated or corrupt" in message
    assert "delete it and resume: epoch-0001.safetensors comes before it" in message


@pytest.mark.parametrize("command", ["evaluate", "sample", "report", "resume"])
def test_a_run_without_a_checkpoint(capsys, run, command):
    for path in (run / "checkpoints").iterdir():
        path.unlink()
    assert "holds no checkpoint" in refused(capsys, command, str(run), "--device", "cpu")


@pytest.mark.parametrize("command", ["evaluate", "sample", "report", "resume"])
@pytest.mark.parametrize("text", ["", "{", '{"format": "jensen-run-1"}', "null", "\x00"])
def test_a_malformed_configuration(capsys, run, command, text):
    (run / "config.json").write_text(text)
    assert f"{run / 'config.json'} is damaged" in refused(capsys, command, str(run))


def test_a_configuration_edited_by_hand(capsys, run):
    content = json.loads((run / "config.json").read_text())
    content["recipe"]["budget"]["batch_size"] = "large"
    (run / "config.json").write_text(json.dumps(content))
    assert "recipe.budget.batch_size must be int, got 'large'" in refused(capsys, "resume", str(run))


@pytest.mark.parametrize("options", ["--samples 0", "--limit 0", "--batch-size 0", "--chunk 0"])
def test_an_empty_evaluation(capsys, run, options):
    assert "at least 1" in refused(capsys, "evaluate", str(run), *options.split(), "--device", "cpu")
    assert not (run / "evaluation.json").exists()


def test_no_samples(capsys, run):
    assert "--n must be at least 1, got 0" in refused(capsys, "sample", str(run), "--n", "0")


def test_the_traceback_is_there_for_who_asks(capsys, monkeypatch):
    assert main(["fit", "iwae-mnits", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err
    monkeypatch.setenv("JENSEN_DEBUG", "1")
    assert main(["fit", "iwae-mnits"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_fault_of_ours_is_one_line_too(capsys, monkeypatch, run):
    def broken(*_, **__):
        raise RuntimeError("two\nlines")

    monkeypatch.setattr(running, "measure", broken)
    message = refused(capsys, "evaluate", str(run))
    assert message == "jensen: unexpected error: RuntimeError: two lines; JENSEN_DEBUG=1 shows where\n"


def test_a_full_disk_is_said_to_be_full(capsys, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device", "run/config.json")

    monkeypatch.setattr(machine, "make_folder", full)
    assert "No space left on device: 'run/config.json'" in refused(capsys, "fit", "--smoke", "--device", "cpu")


def test_a_reader_that_went_away_is_no_error(monkeypatch):
    def closed(_):
        raise BrokenPipeError

    monkeypatch.setattr(entry, "_run", closed)
    assert main(["list"]) == 0


def test_ctrl_c_leaves_a_run_that_goes_on_to_the_bit(capsys):
    options = "--data digits --images 64 --samples 2 --batch-size 8 --device cpu --no-progress"
    words = ["fit", "iwae-mnist", *options.split()]
    stop = threading.Thread(target=_interrupt_when_under_way, args=(Path("run"),), daemon=True)
    stop.start()
    message = refused_after_start(capsys, [*words, "--epochs", "100000", "--out", "run"])
    stop.join()
    assert "`jensen resume run` goes on" in message
    done = len(read_records("run"))
    _set_epochs(Path("run"), done + 2)
    assert main(["resume", "run", "--device", "cpu", "--no-progress"]) == 0
    assert main([*words, "--epochs", str(done + 2), "--out", "whole"]) == 0
    resumed, whole = (load(latest(run)).tensors for run in ("run", "whole"))
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)
    assert main([*words, "--epochs", str(done + 3), "--out", "longer"]) == 0
    longer = load(latest("longer")).tensors
    assert not all(torch.equal(resumed[name], longer[name]) for name in whole if name.startswith("model/"))


def refused_after_start(capsys, words):
    assert main(words) == 130
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("jensen: interrupted: after ")
    return last


def _interrupt_when_under_way(run):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if (run / "metrics.jsonl").exists() and (run / "metrics.jsonl").read_text().count("\n") >= 2:
            break
        time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGINT)


def _set_epochs(run, epochs):
    content = json.loads((run / "config.json").read_text())
    content["recipe"]["budget"]["epochs"] = epochs
    (run / "config.json").write_text(json.dumps(content))
