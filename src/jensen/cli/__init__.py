"""The command line: `jensen list`, `fit`, `evaluate`, `sample`, `report`, `resume`."""

from jensen.cli.entry import main

__all__ = ["main"]
