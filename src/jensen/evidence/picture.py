"""Estimates of one log-evidence as a picture."""

import math
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

if TYPE_CHECKING:
    from jensen.evidence.comparison import Comparison

__all__ = ["draw"]

COLOURS = {"estimate": "#1f5fa8", "approximation": "#7a5195", "bound": "#2f8f6b", "score": "#9a9a9a"}
MARKS = {"estimate": "o", "approximation": "D", "bound": ">", "score": "x"}
WIDE = 25.0
"""A value further from the middle than this many times the middle half's width is put at the edge, with its number."""


def draw(comparison: "Comparison") -> Figure:
    """Every value with a bar of two standard errors, one a row; the exact value as a line.

    Example:
        >>> from jensen.evidence import Evidence
        >>> from jensen.evidence.accounts import Cost
        >>> from jensen.evidence.comparison import Comparison
        >>> draw(Comparison({"bridge": Evidence(-2.4, 0.1)}, {"bridge": Cost(0.1, 100)})).axes[0].get_xlabel()
        'log Z (nats)'
    """
    names = list(comparison)
    figure = Figure(figsize=(7.2, 1.0 + 0.28 * len(names)), dpi=150, layout="constrained")
    axes = figure.subplots()
    low, high = _range(comparison)
    for row, name in enumerate(names):
        evidence = comparison[name]
        colour, mark = COLOURS[evidence.kind], MARKS[evidence.kind]
        at = min(max(evidence.log_z, low), high)
        if at != evidence.log_z:
            side = "right" if at == high else "left"
            axes.annotate(f"{evidence.log_z:.5g}", (at, row), ha=side, va="center", fontsize=7, color=colour)
            continue
        error = 2 * evidence.std_error if math.isfinite(evidence.std_error) else 0.0
        axes.errorbar(evidence.log_z, row, xerr=error, fmt=mark, color=colour, markersize=4, elinewidth=1.2, capsize=2)
    if comparison.exact is not None:
        axes.axvline(comparison.exact, color="#c2452d", linewidth=1, zorder=0)
    axes.set_xlim(low - 0.06 * (high - low), high + 0.06 * (high - low))
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("log Z (nats)")
    axes.ticklabel_format(axis="x", useOffset=False)
    axes.grid(visible=True, axis="x", linewidth=0.5, alpha=0.4)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _range(comparison: "Comparison") -> tuple[float, float]:
    """From the lowest to the highest estimate with an error, those apart that would press all others together."""
    finite = [each for each in comparison.values() if math.isfinite(each.log_z)]
    judged = [each for each in finite if each.kind == "estimate" and math.isfinite(each.std_error)] or finite
    ends = [
        evidence.log_z + sign * (2 * evidence.std_error if math.isfinite(evidence.std_error) else 0.0)
        for evidence in judged
        for sign in (-1, 1)
    ]
    ends = sorted(ends if comparison.exact is None else [*ends, comparison.exact])
    if not ends:
        return -1.0, 1.0
    quarter = len(ends) // 4
    middle, width = ends[len(ends) // 2], max(ends[-1 - quarter] - ends[quarter], 1e-6)
    kept = [end for end in ends if abs(end - middle) <= WIDE * width]
    low, high = kept[0], kept[-1]
    return (low, high) if high > low else (low - 0.5, high + 0.5)
