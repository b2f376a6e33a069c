"""The page of reproductions: for every recipe and study the published numbers beside ours, made from them.

`python -m jensen.recipes.reproductions docs/reproductions.md` writes it.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from jensen.recipes import evidences, studies
from jensen.recipes.catalogue import get, names
from jensen.recipes.evidence_recipe import EvidenceRecipe
from jensen.recipes.factor_recipe import FactorRecipe
from jensen.recipes.kinds import AnyRecipe
from jensen.recipes.network_recipe import NetworkRecipe
from jensen.recipes.recipe import Measured, Published, Recipe
from jensen.recipes.study import Study

__all__ = ["markdown", "rows"]

LEAD = """# Reproductions

This page is written by `python -m jensen.recipes.reproductions` from the recipes in `jensen.recipes`; a test holds the
two together. Values without a unit are in nats per image or datum. NLL is the negative log-likelihood, of autoencoders
by 5,000 importance samples, lower is better; ELBO is the evidence lower bound, higher is better. An error is one
standard error over the test data. *k* is the number of draws that an autoencoder was trained with; it is always
evaluated with 5,000. In brackets stand its active units, layer by layer; of a network what is left of it after
pruning, or of a rate that counts rounded weights the error with them, which is not that of the network before.
Published numbers are quoted as they are usually given, not copied from the papers themselves. Train a recipe with
`jensen fit NAME`, measure it with `jensen evaluate runs/NAME`. Then come studies: each says what its numbers are, an
error is one standard error over its repetitions, and `jensen run NAME` measures them. The sections at the end are
log-evidences in nats, each beside its exact value, as `jensen evidence NAME` estimates them.
"""
COLUMNS = ("what", "published", "source", "measured", "how")
MISSING = "not measured yet"

FORMS = {"%": ".2f", "x": ".0f", "": ".4g"}
SIGNS = {"%": " %", "x": "x"}


def markdown() -> str:
    """The whole page.

    Example:
        >>> markdown().splitlines()[0]
        '# Reproductions'
    """
    sections = [
        *map(_section, map(get, names())),
        *map(_study, map(studies.get, studies.names())),
        *map(_evidence, map(evidences.get, evidences.names())),
    ]
    return "\n".join([LEAD, *sections])


def rows(recipe: AnyRecipe | Study | EvidenceRecipe) -> list[tuple[str, ...]]:
    """The cells of a table: published numbers beside ours, "not measured yet" where there is none.

    Example:
        >>> rows(get("iwae2-omniglot"))[0][:2]
        ('NLL, k = 1', '107.56 (30+5)')
    """
    return list(_rows(recipe))


def _rows(recipe: AnyRecipe | Study | EvidenceRecipe) -> Iterator[tuple[str, ...]]:
    is_study = not isinstance(recipe, AnyRecipe)
    form = ".2f" if isinstance(recipe, AnyRecipe) else recipe.form
    whats = [entry.what for entry in recipe.published] + [entry.what for entry in recipe.measured]
    for what in dict.fromkeys(whats):
        published = [entry for entry in recipe.published if entry.what == what]
        measured = [entry for entry in recipe.measured if entry.what == what]
        for i in range(max(len(published), len(measured))):
            left = _published(published[i], form) if i < len(published) else ("", "")
            is_missing = i == 0 and not (isinstance(recipe, EvidenceRecipe) and recipe.measured)
            right = (MISSING if is_missing else "", "")
            if i < len(measured):
                how = measured[i].data if is_study else f"{measured[i].data}; {_how(measured[i])}"
                right = (_measured(measured[i], form), how)
            yield (what if i == 0 else "", *left, *right)


def _published(entry: Published, form: str) -> tuple[str, str]:
    return f"{_with_unit(entry.value, entry.unit, form)}{_active(entry.active)}", entry.source


def _measured(entry: Measured, form: str) -> str:
    error = f" ± {entry.error:{FORMS.get(entry.unit, form)}}" if entry.error else ""
    return f"{_with_unit(entry.value, entry.unit, form, error)}{_active(entry.active)}"


def _with_unit(value: float, unit: str, form: str, error: str = "") -> str:
    """The number as its unit is usually written; nats are not named."""
    return f"{value:{FORMS.get(unit, form)}}{error}{SIGNS.get(unit, '')}"


def _how(entry: Measured) -> str:
    return f"{entry.budget}; {entry.hardware}; seed {entry.seed}; {entry.date}"


def _active(units: str) -> str:
    return f" ({units})" if units else ""


def _section(recipe: AnyRecipe) -> str:
    if isinstance(recipe, FactorRecipe):
        numbers = _factor_numbers(recipe)
    else:
        numbers = _network_numbers(recipe) if isinstance(recipe, NetworkRecipe) else _model_numbers(recipe)
    paper = f"[{recipe.paper}]({recipe.paper.url})"
    differs = "\n".join(f"- {sentence}" for sentence in recipe.differs)
    parts = [f"## `{recipe.name}`\n", f"{recipe.title}. {paper}.\n", f"{numbers}\n"]
    if differs:
        parts.append(f"Differs from the paper:\n\n{differs}\n")
    return "\n".join([*parts, _table(rows(recipe)) or "No published number to compare with, and not measured yet.\n"])


def _network_numbers(recipe: NetworkRecipe) -> str:
    data, optimizer, budget, noise = recipe.data, recipe.optimizer, recipe.budget, recipe.noise
    scale = "" if data.scale == 1 else f", grey levels times {data.scale:.4g}"
    targets = "classes" if noise.kind == "categorical" else f"Gaussian targets, scale {noise.scale}"
    rise = f", from epoch {optimizer.kl_start:g} to {optimizer.kl_end:g} rising" if optimizer.kl_end else ""
    kl = f"; KL weights {optimizer.kl_weights}{rise}" if recipe.weights.random else ""
    return (
        f"Network {recipe.network}, {recipe.network.activation}, {targets}; {recipe.weights}; data `{data.name}`, "
        f"split `{data.split}`{scale}{kl}; Adam, learning rate {optimizer.learning_rate:g}, {optimizer.course}; "
        f"batch {budget.batch_size}, {budget.epochs:,} epochs; {budget.evaluation_samples} draws of the "
        "weights at test."
    )


def _factor_numbers(recipe: FactorRecipe) -> str:
    data, optimizer, budget = recipe.data, recipe.optimizer, recipe.budget
    return (
        f"Networks {recipe.model}; weights of the losses: {recipe.losses}; data `{data.name}`, split `{data.split}`, "
        f"left grey; Adam, learning rate {optimizer.learning_rate:g}, {optimizer.course}; batch "
        f"{budget.batch_size}, {budget.epochs:,} epochs."
    )


def _model_numbers(recipe: Recipe) -> str:
    sizes, data, optimizer, budget = recipe.model, recipe.data, recipe.optimizer, recipe.budget
    return (
        f"Model `{sizes.kind}` {sizes}, {sizes.likelihood.replace('_', ' ')} pixels; data `{data.name}`, "
        f"split `{data.split}`, {data.pixels}; objective `{recipe.objective}` with {_draws(recipe.objective.samples)}; "
        f"Adam, learning rate {optimizer.learning_rate:g}, {optimizer.course}; batch {budget.batch_size}, "
        f"{budget.epochs:,} epochs."
    )


def _study(study: Study) -> str:
    papers = ", ".join(f"[{paper}]({paper.url})" for paper in study.papers)
    parts = [f"## `{study.name}`\n", f"{study.title}. {papers}.\n", f"{study.about}\n"]
    if study.differs:
        parts.append("Differs from the paper:\n\n" + "".join(f"- {sentence}\n" for sentence in study.differs))
    if study.measured:
        parts.append(f"Measured: {'; '.join(dict.fromkeys(_how(entry) for entry in study.measured))}.\n")
    return "\n".join([*parts, _table(rows(study)) or "No published number to compare with, and not measured yet.\n"])


def _evidence(recipe: EvidenceRecipe) -> str:
    exact = "" if recipe.exact is None else f" Exact: {recipe.exact:.7f} nats."
    parts = [f"## `{recipe.name}`\n", f"{recipe.title}. [{recipe.paper}]({recipe.paper.url}).{exact}\n"]
    if recipe.differs:
        parts.append("Differs from the paper:\n\n" + "".join(f"- {sentence}\n" for sentence in recipe.differs))
    if recipe.measured:
        parts.append(f"Measured: {'; '.join(dict.fromkeys(_how(entry) for entry in recipe.measured))}.\n")
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
