"""What annealed importance sampling found, in a terminal and on a page."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table

from jensen.evaluation import AnnealedEvaluation, Evaluation
from jensen.recipes.annealing import load_annealed
from jensen.report import html
from jensen.report.tables import bound_name
from jensen.report.words import duration, number

__all__ = ["annealed_rows", "annealed_section", "annealed_table"]

COLUMNS = ("bound", "images", "nats", "std. error", "MC error", "ESS")
SIDES = {"lower": "AIS, from below", "upper": "AIS, from above"}
ABOUT = (
    "Chains that go from the prior to the posterior of each image bound its log-likelihood from below, without the "
    "encoder. Of images that the model made, the latents are known: chains from there bound it from above, and the "
    "distance between both sides tells how far off either can be. The standard error is over the images; the Monte "
    "Carlo error is what other chains would change; the effective sample size is that of a bound's chains or draws, "
    "mean over the images."
)


def annealed_table(found: AnnealedEvaluation, evaluation: Evaluation | None = None) -> Table:
    """The bounds, and the distance between both sides below.

    Args:
        found: by annealing.
        evaluation: by importance sampling, to be shown beside it where it is of as many test images.

    Example:
        >>> from jensen.evaluation import AnnealedBound
        >>> lower = AnnealedBound("lower", "test", -85.0, 0.5, 0.02, 12.0, 8.0, 0.65)
        >>> annealed_table(AnnealedEvaluation((lower,), data=100, chains=16)).row_count
        1
    """
    table = Table(box=SIMPLE_HEAD, pad_edge=False, title_justify="left", caption_justify="left", title_style="bold")
    table.title = f"{found.temperatures:,} temperatures, {found.chains} chains for each image"
    for i, column in enumerate(COLUMNS):
        table.add_column(column, justify="left" if i < 2 else "right", no_wrap=True)
    for row in annealed_rows(found, evaluation):
        table.add_row(*row)
    if found.simulated:
        table.caption = _gap(found)
    return table


def annealed_rows(found: AnnealedEvaluation, evaluation: Evaluation | None = None) -> list[Sequence[str]]:
    """The cells of the table, as text.

    Example:
        >>> from jensen.evaluation import AnnealedBound
        >>> lower = AnnealedBound("lower", "test", -85.0, 0.5, 0.02, 12.0, 8.0, 0.65)
        >>> annealed_rows(AnnealedEvaluation((lower,), data=100, chains=16))
        [('AIS, from below', '100 test', '-85.000', '0.500', '0.0200', '12.0')]
    """
    rows: list[Sequence[str]] = []
    if evaluation is not None and evaluation.data == found.data:
        best, size = evaluation.tightest, f"{evaluation.ess_mean:,.1f}"
        errors = number(best.std_error), number(best.mc_error, digits=4)
        rows.append((f"{bound_name(best)}, k = {best.k:,}", f"{found.data:,} test", number(best.value), *errors, size))
    counts = {"test": found.data, "simulated": found.simulated}
    for row in found.rows:
        errors = number(row.std_error), number(row.mc_error, digits=4)
        images, size = f"{counts[row.on]:,} {row.on}", f"{row.ess_mean:.1f}"
        rows.append((SIDES[row.side], images, number(row.value), *errors, size))
    return rows


def annealed_section(run: Path, evaluation: Evaluation | None) -> Iterator[str]:
    """The part of a page; nothing where the run was not annealed.

    Raises:
        ValueError: if `annealed.json` is damaged.
    """
    found = load_annealed(run)
    if found is None:
        return
    yield html.section(
        "Annealed importance sampling",
        html.paragraph(f"{_setting(found)}. {ABOUT}"),
        html.table(COLUMNS, annealed_rows(found, evaluation), numbers=4),
        *([html.paragraph(f"{_gap(found).capitalize()}.")] if found.simulated else []),
        *(html.paragraph(f"Note: {note}.") for note in found.notes),
    )


def _setting(found: AnnealedEvaluation) -> str:
    size = f"{found.temperatures:,} temperatures, {found.chains} chains for each image, {found.steps} leapfrog steps"
    return f"{size}, {found.lower.acceptance:.2f} of the transitions accepted, {duration(found.seconds)}"


def _gap(found: AnnealedEvaluation) -> str:
    return f"between both sides {number(found.gap)} ± {number(found.gap_error)} nats"
