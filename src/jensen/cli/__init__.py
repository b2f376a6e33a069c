"""The command line: `jensen list`, `fit`, `evaluate`, `sample`, `report`, `resume`, `export`, `audit`, `run`."""

from jensen.cli.entry import main

__all__ = ["main"]
