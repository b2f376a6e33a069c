"""The command line: `jensen list`, `fit`, `evaluate`, `sample`, `report`, `resume`, `audit`, `run`."""

from jensen.cli.entry import main

__all__ = ["main"]
