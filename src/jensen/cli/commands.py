"""Which function does what each command asks for. torch is imported where the work begins, not before."""

from collections.abc import Callable

from jensen.cli.experiments import audit, evidence, run_study
from jensen.cli.listing import list_recipes
from jensen.cli.measuring import evaluate
from jensen.cli.options import (
    Audit,
    Command,
    Compress,
    Decompress,
    Evaluate,
    Evidence,
    Explore,
    Export,
    Fit,
    List,
    Report,
    Resume,
    RunStudy,
    Sample,
)
from jensen.cli.shipping import compress, decompress, export
from jensen.cli.showing import explore, report, sample
from jensen.cli.training import fit, resume

__all__ = ["run"]


def run(command: Command) -> None:
    """Do what was asked for.

    Raises:
        ValueError: if it cannot be done, saying what to do instead.
        KeyboardInterrupt: if it was stopped.
    """
    actions: dict[type, Callable[..., None]] = {
        List: list_recipes,
        Fit: fit,
        Resume: resume,
        Evaluate: evaluate,
        Sample: sample,
        Report: report,
        Explore: explore,
        Export: export,
        Compress: compress,
        Decompress: decompress,
        Audit: audit,
        RunStudy: run_study,
        Evidence: evidence,
    }
    actions[type(command)](command)
