"""An evidence in several ways as a picture and a page."""

from pathlib import Path

from matplotlib.figure import Figure

from jensen.evidence import Comparison
from jensen.recipes.config import REPORT
from jensen.recipes.evidence_recipe import EvidenceRecipe
from jensen.recipes.evidence_results import Request
from jensen.report import html
from jensen.report.sections import environment, figure
from jensen.report.theme import Theme

__all__ = ["write_evidence"]

TABLE = "table.md"
COLUMNS = ("method", "log Z", "error", "seconds", "evaluations", "verdict")
CAPTION = (
    "Every value with a bar of two standard errors; the line is the exact value where it is known. Circles are "
    "estimates, diamonds approximations, arrows lower bounds, crosses scores that do not estimate log Z."
)
ABOUT = (
    "log Z and its standard error are in nats. Seconds and evaluations of the log-likelihood hold everything that a "
    "method rests on, as if it had been run alone; a gradient counts as one evaluation."
)


def write_evidence(
    found: Comparison, request: Request, folder: Path, *, recipe: EvidenceRecipe | None = None
) -> tuple[Path, Path]:
    """Write the table, the picture and a page that needs nothing but itself into the folder.

    Args:
        found: what the methods said.
        request: what was asked for.
        folder: where to.
        recipe: where the target comes from, if it is not the user's own.

    Returns:
        The paths of the table and of the page.
    """
    cells = [found.cells(name) for name in found]
    table, page = folder / TABLE, folder / REPORT
    table.write_text("".join(f"| {' | '.join(line)} |\n" for line in [COLUMNS, ("---",) * 6, *cells]), encoding="utf-8")
    picture = figure(
        folder,
        "evidence",
        lambda theme: _picture(found, theme),
        alt="Every method's log Z with its error",
        caption=CAPTION,
    )
    failed = [(name, reason) for name, reason in found.failures.items()]
    details = [
        html.section(
            name, html.definition_list([(key.replace("_", " "), _short(value)) for key, value in each.items()])
        )
        for name, each in ((name, found[name].diagnostics) for name in found)
    ]
    sections = [
        html.section("Estimates", html.paragraph(ABOUT), picture, html.table(COLUMNS, cells, numbers=5)),
        html.section("To be careful about", *map(html.paragraph, found.notes())) if found.notes() else "",
        html.section("Failed", html.definition_list(failed)) if failed else "",
        *_published(recipe),
        *details,
        html.section("Setting", html.definition_list(_setting(found, request))),
        *environment(folder),
    ]
    title = recipe.name if recipe else request.target
    page.write_text(html.page(title, f"{recipe.title}." if recipe else "log-evidence", sections), encoding="utf-8")
    return table, page


def _picture(found: Comparison, theme: Theme) -> Figure:
    drawn = found.picture()
    drawn.set_facecolor(theme.paper)
    for axes in drawn.axes:
        axes.set_facecolor(theme.paper)
        axes.tick_params(colors=theme.ink)
        axes.xaxis.label.set_color(theme.ink)
        for spine in axes.spines.values():
            spine.set_color(theme.rule)
    return drawn


def _published(recipe: EvidenceRecipe | None) -> list[str]:
    if recipe is None:
        return []
    rows = [(str(recipe.paper), recipe.paper.url)]
    rows += [(entry.source, f"{entry.value:g}") for entry in recipe.published]
    return [html.section("Published", html.definition_list(rows))]


def _setting(found: Comparison, request: Request) -> list[tuple[str, object]]:
    exact = [] if found.exact is None else [("exact log Z", f"{found.exact:.10g}")]
    return [("target", request.target), *exact, ("seed", request.seed), *request.settings.items()]


def _short(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(_short(each) for each in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)
