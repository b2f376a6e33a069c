"""Where commands put what they make, and the lines in which they say so."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console

from jensen.recipes.config import run_name

__all__ = ["AUDITS", "RUNS", "run_folder", "say_notes", "say_path"]

RUNS, AUDITS = Path("runs"), Path("audits")
"""The folders that run folders and audits are made in, below the current one."""


def run_folder(name: str, changes: dict[str, Any]) -> Path:
    """The folder that a run is made in where no other is asked for.

    Example:
        >>> run_folder("iwae-mnist", {"samples": 5, "epochs": None}).as_posix()
        'runs/iwae-mnist-samples5'
    """
    return RUNS / run_name(name, changes)


def say_path(what: str, path: Path) -> None:
    """Print where something is, on one line.

    Example:
        >>> say_path("written", Path("runs", "evaluation.json"))
        written: runs/evaluation.json
    """
    print(f"{what}: {path}")


def say_notes(notes: Iterable[str]) -> None:
    """Print what to be careful about, a line for each note."""
    console = Console()
    for note in notes:
        console.print(f"note: {note}", style="yellow", highlight=False)
