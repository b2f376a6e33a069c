import io
import time

import pytest
from rich.console import Console

from jensen.training import progress as progress_file
from jensen.training.progress import ProgressBar


def terminal():
    return Console(file=io.StringIO(), force_terminal=True, width=80, color_system=None)


def test_position_bound_speed_and_time_left():
    console = terminal()
    bar = ProgressBar(epochs=3280, steps=2980, console=console)
    time.sleep(0.01)
    bar.draw(epoch=1001, step=150, bound=-191.234, images=20)
    bar.validated(-195.678)
    bar.close(step=151)
    text = console.file.getvalue()
    for piece in ("epoch 1001/3280", "bound -191.23", "(val -195.68)", "images/s", "ETA"):
        assert piece in text
    assert "…" not in text


def test_ten_drawings_a_second_at_most():
    bar = ProgressBar(epochs=1, steps=10_000, console=terminal())
    start, drawn = time.perf_counter(), 0
    while time.perf_counter() - start < 0.55:
        if bar.due(time.perf_counter()):
            bar.draw(epoch=1, step=drawn, bound=0.0, images=1)
            drawn += 1
    bar.close(step=drawn)
    assert 2 <= drawn <= 6


@pytest.mark.parametrize("enabled", [True, False])
def test_silent_where_nobody_looks(enabled):
    plain = Console(file=io.StringIO(), force_terminal=not enabled)
    bar = ProgressBar(epochs=1, steps=1, enabled=enabled, console=plain)
    assert not bar.due(time.perf_counter())
    bar.draw(epoch=1, step=1, bound=0.0, images=1)
    bar.validated(0.0)
    bar.close(step=1)
    assert plain.file.getvalue() == ""


def test_in_a_run(monkeypatch, tmp_path):
    from training_runs import train

    console = terminal()
    monkeypatch.setattr(progress_file, "Console", lambda **options: console)
    monkeypatch.setattr(progress_file, "INTERVAL", 0.0)
    _, history = train(tmp_path, progress=True)
    text = console.file.getvalue()
    assert "epoch 5/5" in text
    assert f"(val {history.epochs[-1].validation:.2f})" in text
