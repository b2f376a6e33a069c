"""Runs to point the command line at, made once through it."""

import shutil

import pytest

from jensen.cli import main

FIT = ["fit", "iwae-mnist", "--smoke", "--data", "digits", "--samples", "3", "--epochs", "2", "--device", "cpu"]


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A run folder that nobody writes to."""
    run = tmp_path_factory.mktemp("cli") / "run"
    assert main([*FIT, "--no-progress", "--out", str(run)]) == 0
    return run


@pytest.fixture
def run(trained, tmp_path):
    """A copy of it."""
    return shutil.copytree(trained, tmp_path / "run")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JENSEN_DEBUG", raising=False)
