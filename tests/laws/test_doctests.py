"""Every example in a docstring is run."""

import doctest
import importlib
import math
from types import ModuleType

import pytest
import torch
from package_source import sources

import jensen
from jensen import layers

ROOMS = ("bounds", "datasets", "distributions", "models")
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
MODULES = [source.module for source in sources() if source.parts[-1] != "__main__"]


def namespace(module: ModuleType) -> dict[str, object]:
    """What an example may use without an import: its own module, torch, math, some rooms and the networks."""
    rooms = {name: getattr(jensen, name) for name in ROOMS}
    networks = {name: getattr(layers, name) for name in layers.__all__}
    return {"torch": torch, "math": math, **rooms, **networks, **vars(module)}


def failures(module: ModuleType) -> tuple[list[str], int]:
    """What the examples of a module print that they should not, and how many there are."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    runner = doctest.DocTestRunner(optionflags=OPTIONS, verbose=False)
    said: list[str] = []
    for test in finder.find(module, module.__name__, extraglobs=None, globs=namespace(module)):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            runner.run(test, out=said.append)
    return said, runner.tries


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_say_what_is_printed(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said, _ = failures(importlib.import_module(name))
    assert said == []


def test_a_wrong_example_is_caught():
    module = ModuleType("wrong")
    module.__doc__ = ">>> 1 + 1\n3\n>>> torch.zeros(1)\ntensor([0.])"
    said, tries = failures(module)
    assert tries == 2
    assert len(said) == 1
    assert "Expected:\n    3" in said[0]
