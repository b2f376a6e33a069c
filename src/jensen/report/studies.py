"""A study as a table, a picture and a page."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure
from rich.box import SIMPLE_HEAD
from rich.table import Table

from jensen.recipes.config import REPORT
from jensen.recipes.results import Results, Row, StudyConfig, rows
from jensen.recipes.study import Study
from jensen.report import html, rate_distortion
from jensen.report.pictures import DPI, WIDTH, _style
from jensen.report.sections import environment, figure
from jensen.report.theme import LIGHT, Theme
from jensen.report.words import duration

__all__ = ["measured_beside_published", "study_table", "write_study"]

TABLE = "table.md"
COLUMNS = ("what", "measured", "error", "runs", "published")
CAPTION = (
    "What was measured, with bars of one standard error where they are large enough to see; crosses are published."
)
ALT = "Every number with its standard error, beside the published one"
PICTURES: dict[str, tuple[Callable[..., Figure], str, str]] = {
    "jensen.recipes.studies.constrained:parts": (
        rate_distortion.rate_against_distortion,
        "Rate against distortion, a point for each autoencoder",
        rate_distortion.CAPTION,
    ),
}
"""How a study is drawn, what is said of the picture to those who do not see it, and to all; by the study's function."""

DECADES = 2.5
"""The axis is logarithmic where the numbers span more powers of ten."""


def study_table(study: Study, results: Results, *, parts: int) -> Table:
    """What was measured, for a terminal.

    Args:
        study: the study.
        results: the parts that are done.
        parts: how many there are in all.

    Example:
        >>> from jensen.recipes import studies
        >>> from jensen.recipes.results import Part
        >>> study_table(studies.get("toys-descent"), {"a": Part(1.0, {"REINFORCE": (0.5, 0.7)})}, parts=1).row_count
        1
    """
    table = Table(box=SIMPLE_HEAD, pad_edge=False, title_justify="left", caption_justify="left", title_style="bold")
    table.title = study.title
    table.caption = None if len(results) == parts else f"{len(results)} of {parts} parts"
    for i, column in enumerate(COLUMNS):
        table.add_column(column, justify="left" if i == 0 else "right", no_wrap=i > 0)
    for cells in _cells(study, rows(study, results)):
        table.add_row(*cells)
    return table


def measured_beside_published(study: Study, found: Sequence[Row], *, theme: Theme = LIGHT) -> Figure:
    """A dot with its error for each row, a cross for what others got; logarithmic where the numbers span decades.

    Example:
        >>> from jensen.recipes import studies
        >>> row = Row("REINFORCE", 0.5, 0.1, 20, ())
        >>> measured_beside_published(studies.get("toys-descent"), [row]).axes[0].get_xscale()
        'linear'
    """
    drawn = Figure(figsize=(WIDTH, 0.9 + 0.2 * len(found)), dpi=DPI, facecolor=theme.paper, layout="constrained")
    axes = drawn.subplots()
    _style(axes, theme)
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x", color=theme.rule, linewidth=0.8)
    for height, row in enumerate(found):
        error = row.error if math.isfinite(row.error) else 0.0
        if math.isfinite(row.value):
            axes.errorbar(row.value, height, xerr=error, fmt="o", color=theme.first, markersize=4, elinewidth=1)
        for entry in row.published:
            axes.plot(entry.value, height, marker="x", color=theme.second, markersize=5, linestyle="")
    numbers = [row.value for row in found] + [entry.value for row in found for entry in row.published]
    numbers = [number for number in numbers if math.isfinite(number)]
    if numbers and min(numbers) > 0 and math.log10(max(numbers) / min(numbers)) > DECADES:
        axes.set_xscale("log")
    axes.set_yticks(range(len(found)), [row.what for row in found])
    axes.set_ylim(len(found) - 0.5, -0.5)
    return drawn


def write_study(study: Study, config: StudyConfig, results: Results, *, folder: Path, parts: int) -> tuple[Path, Path]:
    """Write the table, the picture and a page that needs nothing but itself into the study's folder.

    Args:
        study: the study.
        config: how it was run.
        results: the parts that are done.
        folder: where to.
        parts: how many there are in all.

    Returns:
        The paths of the table and of the page.
    """
    found = rows(study, results)
    cells = _cells(study, found)
    table, page = folder / TABLE, folder / REPORT
    lines = [COLUMNS, ("---",) * len(COLUMNS), *cells]
    table.write_text("".join(f"| {' | '.join(line)} |\n" for line in lines), encoding="utf-8")
    draw, alt, caption = PICTURES.get(study.function, (partial(measured_beside_published, study), ALT, CAPTION))
    picture = figure(folder, "results", lambda theme: draw(found, theme=theme), alt=alt, caption=caption)
    sections = [
        html.section("Results", html.paragraph(study.about), picture, html.table(COLUMNS, cells, numbers=4)),
        *_published(study),
        html.section("Setting", html.definition_list(_setting(study, config, results, parts))),
        *environment(folder),
    ]
    page.write_text(html.page(study.name, f"{study.title}.", sections), encoding="utf-8")
    return table, page


def _cells(study: Study, found: Sequence[Row]) -> list[tuple[str, ...]]:
    return [
        (
            row.what,
            study.write(row.value),
            study.write(row.error),
            f"{row.runs:,}",
            ", ".join(study.write(entry.value) for entry in row.published),
        )
        for row in found
    ]


def _published(study: Study) -> list[str]:
    if not study.published:
        return []
    sources = dict.fromkeys(entry.source for entry in study.published)
    papers = [(str(paper), paper.url) for paper in study.papers]
    return [html.section("Published numbers", html.definition_list(papers), *map(html.paragraph, sources))]


def _setting(study: Study, config: StudyConfig, results: Results, parts: int) -> list[tuple[str, object]]:
    seconds = sum(part.seconds for part in results.values())
    return [
        ("parts", f"{len(results)} of {parts}, {duration(seconds)}"),
        ("seed", config.seed),
        *((name.replace("_", " "), _flat(value)) for name, value in vars(config.settings).items()),
        *(("differs from the paper", sentence) for sentence in study.differs),
    ]


def _flat(value: object) -> object:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else value
