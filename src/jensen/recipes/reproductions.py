"""The page of reproductions: for every recipe the published numbers beside ours, made from the recipes themselves.

`python -m jensen.recipes.reproductions docs/reproductions.md` writes it.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from jensen.recipes.catalogue import get, names
from jensen.recipes.recipe import Measured, Published, Recipe

__all__ = ["markdown", "rows"]

LEAD = """# Reproductions

This page is written by `python -m jensen.recipes.reproductions` from the recipes in `jensen.recipes`; a test holds the
two together. All values are in nats per image. NLL is the negative log-likelihood by 5,000 importance samples, lower is
better; ELBO is the evidence lower bound, higher is better. An error is one standard error over the test images. *k* is
the number of draws that a model was trained with; it is always evaluated with 5,000. In brackets stand active units,
layer by layer. Published numbers are quoted as they are usually given, not copied from the papers themselves. Train a
recipe with `jensen fit NAME`, measure it with `jensen evaluate runs/NAME`.
"""
COLUMNS = ("what", "published", "source", "measured", "how")
MISSING = "not measured yet"


def markdown() -> str:
    """The whole page.

    Example:
        >>> markdown().splitlines()[0]
        '# Reproductions'
    """
    return "\n".join([LEAD, *(_section(get(name)) for name in names())])


def rows(recipe: Recipe) -> list[tuple[str, ...]]:
    """The cells of a recipe's table: published numbers beside ours, "not measured yet" where there is none.

    Example:
        >>> rows(get("iwae2-omniglot"))[0][:2]
        ('NLL, k = 1', '107.56 (30+5)')
    """
    return list(_rows(recipe))


def _rows(recipe: Recipe) -> Iterator[tuple[str, ...]]:
    whats = [entry.what for entry in recipe.published] + [entry.what for entry in recipe.measured]
    for what in dict.fromkeys(whats):
        published = [entry for entry in recipe.published if entry.what == what]
        measured = [entry for entry in recipe.measured if entry.what == what]
        for i in range(max(len(published), len(measured))):
            left = _published(published[i]) if i < len(published) else ("", "")
            if i < len(measured):
                right = _measured(measured[i])
            else:
                right = (MISSING if i == 0 else "", "")
            yield (what if i == 0 else "", *left, *right)


def _published(entry: Published) -> tuple[str, str]:
    return f"{entry.value:.2f}{_active(entry.active)}", entry.source


def _measured(entry: Measured) -> tuple[str, str]:
    how = f"{entry.data}; {entry.budget}; {entry.hardware}; seed {entry.seed}; {entry.date}"
    return f"{entry.value:.2f} ± {entry.error:.2f}{_active(entry.active)}", how


def _active(units: str) -> str:
    return f" ({units})" if units else ""


def _section(recipe: Recipe) -> str:
    sizes, data, optimizer, budget = recipe.model, recipe.data, recipe.optimizer, recipe.budget
    pixels = "left grey" if data.binarization == "grey" else f"binarised ({data.binarization})"
    numbers = (
        f"Model `{sizes.kind}` {sizes}, {sizes.likelihood.replace('_', ' ')} pixels; data `{data.name}`, "
        f"split `{data.split}`, {pixels}; objective `{recipe.objective.name}` with {_draws(recipe.objective.samples)}; "
        f"Adam, learning rate {optimizer.learning_rate:g}, {optimizer.schedule} schedule; batch {budget.batch_size}, "
        f"{budget.epochs:,} epochs."
    )
    paper = f"[{recipe.paper}]({recipe.paper.url})"
    differs = "\n".join(f"- {sentence}" for sentence in recipe.differs)
    parts = [f"## `{recipe.name}`\n", f"{recipe.title}. {paper}.\n", f"{numbers}\n"]
    if differs:
        parts.append(f"Differs from the paper:\n\n{differs}\n")
    return "\n".join([*parts, _table(rows(recipe)) or "No published number to compare with, and not measured yet.\n"])


def _draws(samples: int) -> str:
    return "1 draw" if samples == 1 else f"{samples} draws"


def _table(lines: Sequence[Sequence[str]]) -> str:
    if not lines:
        return ""
    head = [COLUMNS, ["---"] * len(COLUMNS)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in [*head, *lines])


def main() -> None:
    """Write the page to the path that the command line names, or to standard output."""
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(markdown(), encoding="utf-8")
    else:
        sys.stdout.write(markdown())


if __name__ == "__main__":
    main()
