"""The command line: `jensen list`, `fit`, `evaluate`, `sample`, `report`, `resume`, `export`, `compress`, `audit`..."""

from jensen.cli.entry import main

__all__ = ["main"]
