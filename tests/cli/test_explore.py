"""Exploring from the command line, as far as it goes without gradio."""

import shutil
import sys

import pytest

from jensen.cli import main
from jensen.cli.parse import parse
from jensen.report import explore


@pytest.fixture
def served(monkeypatch):
    """What would be served, and an address for it."""
    calls = []

    def serve(run, *, ready, **options):
        ready("http://127.0.0.1:7860")
        calls.append((run, options))

    monkeypatch.setattr(explore, "explore", serve)
    return calls


def test_the_address_is_printed_and_options_arrive(run, served, capsys):
    assert main(["explore", str(run), "--port", "8000", "--no-browser"]) == 0
    assert served == [(run, {"port": 8000, "browser": False, "device": "cpu"})]
    assert capsys.readouterr().out == f"http://127.0.0.1:7860 shows {run}; Ctrl-C ends it\n"


def test_a_port_is_chosen_and_a_browser_opened_unless_told_otherwise():
    options = parse(["explore", "runs/x"])
    assert (options.port, options.browser) == (None, True)


def test_without_gradio_one_line_names_the_extra(run, monkeypatch, capsys):
    for name in explore.QUIET:
        monkeypatch.setenv(name, "")
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert main(["explore", str(run)]) == 1
    error = capsys.readouterr().err
    assert error == "jensen: error: explore needs the package gradio: pip install 'jensen[explore]'\n"


def test_what_cannot_be_is_answered_in_one_line(run, capsys):
    words = [
        (["explore", "absent"], 1, "there is no run folder absent"),
        (["explore", str(run), "--port", "70000"], 1, "a port is a number from 1 to 65535"),
        (["explore", str(run), "--port", "x"], 2, "--port"),
    ]
    for arguments, code, complaint in words:
        assert main(arguments) == code
        error = capsys.readouterr().err
        assert complaint in error
        assert error.count("\n") == 1


def test_a_network_is_refused(run, capsys):
    assert main(["fit", "bbb-digits", "--smoke", "--device", "cpu", "--out", "net", "--no-progress"]) == 0
    capsys.readouterr()
    assert main(["explore", "net"]) == 1
    assert "this takes runs of an autoencoder" in capsys.readouterr().err
    shutil.rmtree("net")
