"""From words on a command line to typed options; a misspelt one is answered in one line."""

import re
from collections.abc import Sequence
from contextlib import redirect_stderr
from difflib import get_close_matches
from io import StringIO

import tyro

from jensen.cli.options import Command

__all__ = ["UsageError", "condense", "parse"]

COMMANDS = (
    "list",
    "fit",
    "evaluate",
    "sample",
    "report",
    "resume",
    "explore",
    "export",
    "compress",
    "decompress",
    "audit",
    "run",
    "evidence",
)
DESCRIPTION = """Train, measure and show latent-variable models and Bayesian networks; estimate gradients, bounds and
marginal likelihoods.

A first minute: `jensen fit`, then `jensen evaluate runs/iwae-digits`, then `jensen report runs/iwae-digits`.
A network that knows what it does not know, and ships small: `jensen fit sparse-vd-digits`, then evaluate, export.
Which gradient estimator to use: `jensen audit toy-four`. An experiment in numbers: `jensen run toys-descent`.
How large a marginal likelihood is, with an error bar: `jensen evidence radiata-density`."""


class UsageError(Exception):
    """A command line that makes no sense; the message says what to write instead."""


def parse(arguments: Sequence[str]) -> Command:
    """The options that `arguments` ask for.

    Raises:
        UsageError: if they make no sense.
        SystemExit: with code 0, after the help was asked for and shown.

    Example:
        >>> parse(["fit", "iwae-mnist", "--samples", "5"]).samples
        5
        >>> parse(["fit", "--sed", "5"])
        Traceback (most recent call last):
        jensen.cli.parse.UsageError: Unrecognized options: --sed, 5; perhaps you meant --seed N; see jensen fit --help
    """
    if arguments and not arguments[0].startswith("-") and arguments[0] not in COMMANDS:
        near = get_close_matches(arguments[0], COMMANDS, n=1, cutoff=0.65)
        advice = f"did you mean {near[0]!r}? Choose" if near else "choose"
        raise UsageError(f"unknown command {arguments[0]!r}; {advice} one of: {', '.join(COMMANDS)}")
    complaint = StringIO()
    try:
        with redirect_stderr(complaint):
            words = list(arguments) or ["--help"]
            return tyro.cli(Command, prog="jensen", description=DESCRIPTION, args=words)
    except SystemExit as stop:
        if not stop.code:
            raise
        raise UsageError(condense(complaint.getvalue(), _help_command(arguments))) from None


def condense(box: str, help_command: str = "jensen --help") -> str:
    r"""The first paragraph of a boxed complaint, and its suggestion, on one line.

    Example:
        >>> condense("╭─ Error ─╮\n│ no such option │\n│ ─────── │\n│ long help │\n╰─────────╯")
        'no such option; see jensen --help'
    """
    lines = [line.strip(" │") for line in box.splitlines() if not line.startswith(("╭", "╰"))]
    texts = re.split(r"^[─-]{5,}$", "\n".join(lines), flags=re.MULTILINE)
    paragraphs = [[line for line in text.split("\n") if line] for text in texts]
    if "╭" not in box:  # a terminal without such letters: the title is a paragraph of its own
        paragraphs = paragraphs[1:] or paragraphs
    first = " ".join(paragraphs[0]).partition(" Got errors:")[0].rstrip(".")
    first = re.sub(
        r"Error parsing (\S+): no type matching (\S+) could .* from \['(.*)'\]", r"\1 takes \2, got '\3'", first
    )
    first = re.sub(r"'None', |, 'None'", "", first)
    meant = next((p[1] for p in paragraphs if p and p[0].startswith("Perhaps you meant") and len(p) > 1), "")
    parts = [first or "bad usage", f"perhaps you meant {meant}" if meant else "", f"see {help_command}"]
    return "; ".join(part for part in parts if part)


def _help_command(arguments: Sequence[str]) -> str:
    named = arguments[0] if arguments and arguments[0] in COMMANDS else ""
    return " ".join(word for word in ("jensen", named, "--help") if word)
