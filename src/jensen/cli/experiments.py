"""`jensen audit`, `jensen run` and `jensen evidence`: experiments that give tables of numbers."""

from pathlib import Path

from rich.console import Console

from jensen import recipes
from jensen.cli.assignments import assignments
from jensen.cli.folders import AUDITS, run_folder, say_notes, say_path
from jensen.cli.options import Audit, Evidence, RunStudy
from jensen.recipes import evidences, studies
from jensen.recipes.config import CONFIG
from jensen.recipes.evidence_recipe import SMOKE
from jensen.recipes.results import Results, StudyConfig, read_results
from jensen.recipes.study import Study, change
from jensen.recipes.toys import get_toy

__all__ = ["audit", "evidence", "run_study"]


def audit(options: Audit) -> None:
    """Measure estimators and print the table and the recommendation."""
    if options.seed < 0:
        raise ValueError(f"--seed must not be negative, got {options.seed}")
    is_run = (Path(options.recipe) / CONFIG).is_file()
    if not is_run:
        (get_toy if options.recipe.startswith("toy-") else recipes.get)(options.recipe)

    from jensen.recipes.auditing import audit_recipe
    from jensen.report.audits import write_audit

    found = audit_recipe(
        options.recipe,
        methods=[name.strip() for name in options.methods.split(",")] if options.methods else None,
        samples=options.samples,
        replicates=options.replicates,
        seed=options.seed,
    )
    print(found.table())
    print(f"\n{found.recommendation}\n")
    folder = options.out or (Path(options.recipe) if is_run else AUDITS / options.recipe)
    for path in write_audit(found, folder, title=options.recipe):
        say_path("written", path)


def evidence(options: Evidence) -> None:
    """Estimate a log-evidence into a folder, or go on with it, and print the table."""
    is_own = ":" in options.recipe
    recipe = None if is_own else evidences.get(options.recipe)
    seed = options.seed if options.seed is not None else recipe.seed if recipe else 0
    if seed < 0:
        raise ValueError(f"--seed must not be negative, got {seed}")
    settings = {**(recipe.settings if recipe else {}), **(SMOKE if options.smoke else {})}
    settings |= _settings(options.changes)
    methods = None if options.methods is None else [each.strip() for each in options.methods.split(",")]
    chosen = "all" if methods == ["all"] else methods or (recipe.methods if recipe else None)
    name = Path(options.recipe.rpartition(":")[0]).stem if is_own else options.recipe
    changes = {name: value for name, _, value in (each.partition("=") for each in options.changes)}
    folder = options.out or run_folder(name, {**changes, "seed": options.seed, "smoke": options.smoke})

    from jensen.recipes.estimating import estimate
    from jensen.recipes.evidence_results import Request
    from jensen.report.evidences import write_evidence

    request = Request(options.recipe, seed, settings)
    found = estimate(
        folder, request, chosen, count=options.threads, overwrite=options.overwrite, progress=options.progress
    )
    console = Console()
    console.print(found.table())
    say_notes(found.notes())
    for path in write_evidence(found, request, folder, recipe=recipe):
        say_path("written", path)


def run_study(options: RunStudy) -> None:
    """Run a study into a folder, or go on with it, and print its table."""
    study = studies.get(options.study)
    settings = change(study.smoke if options.smoke else study.settings, options.changes)
    seed = study.seed if options.seed is None else options.seed
    if seed < 0:
        raise ValueError(f"--seed must not be negative, got {seed}")
    changes = {name: value for name, _, value in (each.partition("=") for each in options.changes)}
    folder = options.out or run_folder(study.name, {**changes, "seed": options.seed, "smoke": options.smoke})
    config = StudyConfig(study.name, seed, settings)

    from jensen.recipes import studying

    try:
        found = studying.run_study(folder, study, config, overwrite=options.overwrite, progress=options.progress)
    except KeyboardInterrupt:
        if done := read_results(folder):
            _show_study(study, config, done, folder)
        raise
    _show_study(study, config, found, folder)


def _show_study(study: Study, config: StudyConfig, found: Results, folder: Path) -> None:
    from jensen.recipes.studying import parts_of
    from jensen.report.studies import study_table, write_study

    parts = len(parts_of(study, config))
    Console().print(study_table(study, found, parts=parts))
    for path in write_study(study, config, found, folder=folder, parts=parts):
        say_path("written", path)


def _settings(words: tuple[str, ...]) -> dict[str, int | str]:
    return {name: value if isinstance(value, int) else str(value) for name, value in assignments(words, "--set")}
