"""An audit as a table of plain text."""

from textwrap import wrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jensen.gradients.audit.result import Audit, Row

__all__ = ["COLUMNS", "cells", "render"]

COLUMNS = ("method", "bias?", "max |z|", "bias (noise) %", "variance", "f", "ms", "var x f", "var x ms")
LEGEND = (
    "bias: norm, as a share of the gradient's, what chance alone makes of it in brackets, seen from "
    "|z| = {threshold:.2f} on; variance: trace of the covariance; f: evaluations for one estimate, * with a "
    "derivative; ms: forward and backward; then variance at equal work"
)
WIDTH = 100


def cells(row: "Row") -> tuple[str, ...]:
    """A row as text, in the order of `COLUMNS`."""
    return (
        row.name,
        {"": "none seen", "value": "IN VALUE"}.get(row.fault, "BIASED"),
        _z(row.worst_z),
        f"{_share(row.relative_bias)} ({_share(row.relative_noise)})",
        f"{row.variance:.3g}",
        f"{row.evaluations:,}{'*' if row.differentiated else ''}",
        f"{1e3 * row.seconds:.2f}",
        f"{row.per_evaluation:.3g}",
        f"{1e3 * row.per_second:.3g}",
    )


def render(audit: "Audit") -> str:
    """The table with a line above it on what was measured, and below it the legend and what was left out."""
    rows = [COLUMNS, *(cells(row) for row in audit.rows)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    gap = 2 if sum(widths) + 2 * (len(widths) - 1) <= WIDTH else 1
    widths[0] = min(widths[0], WIDTH - sum(widths[1:]) - gap * (len(widths) - 1))
    lines = [(" " * gap).join(_aligned(row, widths)).rstrip() for row in rows]
    coordinates = "1 coordinate" if audit.size == 1 else f"{audit.size:,} coordinates"
    head = f"{audit.q}, K = {audit.samples}, {coordinates}; reference: {audit.reference}"
    skipped = [f"not applicable: {each.name} ({each.reason})" for each in audit.skipped]
    tail = [LEGEND.format(threshold=audit.threshold), *audit.notes, *skipped]
    folded = [line for text in tail for line in wrap(text, WIDTH, subsequent_indent="  ")]
    return "\n".join([_cut(head, WIDTH), lines[0], "-" * max(map(len, lines)), *lines[1:], "", *folded])


def _aligned(row: tuple[str, ...], widths: list[int]) -> list[str]:
    first = [_cut(row[0], widths[0]).ljust(widths[0]), row[1].ljust(widths[1])]
    return first + [text.rjust(width) for text, width in zip(row[2:], widths[2:], strict=True)]


def _z(value: float) -> str:
    return f"{value:.1f}" if value < 1000 else f"{value:.0e}"


def _share(part: float) -> str:
    return f"{100 * part:.1f}" if 100 * part < 1000 else f"{100 * part:.0e}"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
