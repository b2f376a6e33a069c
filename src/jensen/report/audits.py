"""An audit of gradient estimators as a picture and a page."""

import math
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from jensen.recipes.auditing import Audit
from jensen.report import html
from jensen.report.pictures import _figure
from jensen.report.sections import figure
from jensen.report.theme import LIGHT, Theme

__all__ = ["variance_by_evaluations", "write_audit"]

AUDIT, PAGE = "audit.json", "audit.html"
CAPTION = (
    "Variance of the gradient against evaluations of f for one estimate, both on logarithmic axes. Crosses are biased "
    "here. A triangle on the floor has no variance."
)
ABOUT = (
    "Bias is the norm of the mean gradient's deviation, as a share of the gradient's norm, and its largest z-score. "
    "Variance is the trace of the gradient's covariance. A star marks evaluations with a derivative."
)


def variance_by_evaluations(audit: Audit, *, theme: Theme = LIGHT) -> Figure:
    """Variance against evaluations of f: a dot for each estimator, a cross if it is biased, a triangle if it is exact.

    Example:
        >>> from jensen.recipes.auditing import audit_recipe
        >>> found = audit_recipe("toy-four", methods=["leave_one_out"], replicates=100)
        >>> variance_by_evaluations(found).axes[0].get_xscale()
        'log'
    """
    drawn, axes = _figure(theme)
    positive = [row.variance for row in audit.rows if row.variance > 0]
    floor = min(positive, default=1.0) / 10
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    ticks = sorted({max(1, row.evaluations) for row in audit.rows})
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_locator(NullLocator())
    for row in audit.rows:
        colour = theme.first if row.passed else theme.second
        height = row.variance if row.variance > 0 else floor
        marker = "x" if not row.passed else "o" if row.variance > 0 else "v"
        axes.plot(max(1, row.evaluations), height, marker=marker, color=colour, markersize=5, linestyle="")
    axes.set_xlim(min(ticks) / 1.3, max(ticks) * 1.3)
    axes.set_ylim(floor / 2, 3 * max(positive, default=1.0))
    _label(axes, audit, floor, theme)
    axes.set_xlabel("evaluations of f", color=theme.muted, fontsize=9)
    axes.set_ylabel("variance of the gradient", color=theme.muted, fontsize=9)
    return drawn


def write_audit(audit: Audit, folder: Path, *, title: str) -> tuple[Path, Path]:
    """Write the numbers, a picture and a page that needs nothing but itself into a folder.

    Args:
        audit: what was found.
        folder: where to; made where missing.
        title: what was audited.

    Returns:
        The paths of the numbers and of the page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    numbers, page = folder / AUDIT, folder / PAGE
    numbers.write_text(audit.to_json(), encoding="utf-8")
    picture = figure(
        folder,
        "variance",
        lambda theme: variance_by_evaluations(audit, theme=theme),
        alt="The variance of each estimator against its evaluations of f",
        caption=CAPTION,
    )
    rows = [row.cells() for row in audit.rows]
    skipped = [(each.name, each.reason) for each in audit.skipped]
    sections = [
        html.section("Variance and price", picture),
        html.section("Every estimator", html.paragraph(ABOUT), html.table(audit.columns, rows, numbers=7)),
        html.section("Not applicable", html.definition_list(skipped)) if skipped else "",
        html.section("Setting", html.definition_list(_setting(audit))),
    ]
    page.write_text(html.page(f"Audit of {title}", audit.recommendation, sections), encoding="utf-8")
    return numbers, page


def _setting(audit: Audit) -> list[tuple[str, object]]:
    return [
        ("distribution", audit.q),
        ("samples K", audit.samples),
        ("coordinates", f"{audit.size:,}"),
        ("reference", audit.reference),
        ("expectation", f"{audit.value:.6g}"),
        ("norm of its gradient", f"{audit.gradient_norm:.6g}"),
        ("bias is seen from |z|", f"{audit.threshold:.2f}"),
        ("replicates", f"{max(row.replicates for row in audit.rows):,}"),
        ("seed", audit.seed),
        *(("note", note) for note in audit.notes),
    ]


def _label(axes: Axes, audit: Audit, floor: float, theme: Theme) -> None:
    """Names in a column on the right, a thin line from each to its mark."""
    low, high = (math.log10(limit) for limit in axes.get_ylim())
    right = axes.get_xlim()[1]
    rows = sorted(audit.rows, key=lambda row: row.variance)
    marks = [row.variance if row.variance > 0 else floor for row in rows]
    places = _spread([(math.log10(mark) - low) / (high - low) for mark in marks], min(0.054, 1 / len(rows)))
    for row, mark, place in zip(rows, marks, places, strict=True):
        level = 10 ** (low + place * (high - low))
        axes.plot([max(1, row.evaluations), right], [mark, level], color=theme.rule, linewidth=0.8, zorder=0)
        axes.annotate(
            row.name if row.variance > 0 else f"{row.name}: none",
            (right, level),
            xytext=(4, 0),
            textcoords="offset points",
            color=theme.first if row.passed else theme.second,
            fontsize=8,
            va="center",
            annotation_clip=False,
        )


def _spread(heights: list[float], apart: float) -> list[float]:
    """Ascending heights in [0, 1], moved until they are `apart`."""
    places: list[float] = []
    for height in heights:
        places.append(max(height, places[-1] + apart) if places else height)
    ceiling = 1.0
    for i in reversed(range(len(places))):
        places[i] = min(places[i], ceiling)
        ceiling = places[i] - apart
    return places
