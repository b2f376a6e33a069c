"""What each command does. torch is imported where the work begins, not before."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from jensen import recipes
from jensen.cli.options import (
    Audit,
    Command,
    Compress,
    Decompress,
    Evaluate,
    Evidence,
    Explore,
    Export,
    Fit,
    List,
    Report,
    Resume,
    RunStudy,
    Sample,
)
from jensen.recipes import evidences, studies
from jensen.recipes.config import ANNEALED, CONFIG, Config, config_of, read_config, run_name
from jensen.recipes.evidence_recipe import SMOKE
from jensen.recipes.kinds import KINDS, AnyRecipe, kind_of, running_of
from jensen.recipes.results import Results, StudyConfig, read_results
from jensen.recipes.study import Study, change
from jensen.recipes.toys import get_toy

if TYPE_CHECKING:
    from jensen.training import History

__all__ = ["run"]

RUNS, AUDITS = Path("runs"), Path("audits")
"""The folders that run folders and audits are made in, below the current one."""


def run(command: Command) -> None:
    """Do what was asked for.

    Raises:
        ValueError: if it cannot be done, saying what to do instead.
        KeyboardInterrupt: if it was stopped.
    """
    actions: dict[type, Callable[..., None]] = {
        List: list_recipes,
        Fit: fit,
        Resume: resume,
        Evaluate: evaluate,
        Sample: sample,
        Report: report,
        Explore: explore,
        Export: export,
        Compress: compress,
        Decompress: decompress,
        Audit: audit,
        RunStudy: run_study,
        Evidence: evidence,
    }
    actions[type(command)](command)


def list_recipes(options: List) -> None:
    """Print one line for each recipe, study and target, or the page of reproductions."""
    if options.markdown:
        from jensen.recipes.reproductions import markdown

        print(markdown(), end="")
        return
    console = Console()
    every = [recipes.get(name) for name in recipes.names()]
    for kind in KINDS:
        table = _plain_table(kind, "data", "epochs", "what")
        for recipe in every:
            if kind_of(recipe) == kind:
                row = f"[bold]{recipe.name}[/bold]", recipe.data.name, f"{recipe.budget.epochs:,}", recipe.title
                table.add_row(*row)
        console.print(table)
    console.print("`jensen fit RECIPE` trains one, the first if none is named.\n", style="dim")
    table = _plain_table("study", "what")
    for study in map(studies.get, studies.names()):
        table.add_row(f"[bold]{study.name}[/bold]", study.title)
    console.print(table)
    console.print("`jensen run STUDY` runs one and prints its numbers beside the published ones.\n", style="dim")
    table = _plain_table("target", "what")
    for target in map(evidences.get, evidences.names()):
        table.add_row(f"[bold]{target.name}[/bold]", target.title)
    console.print(table)
    console.print("`jensen evidence TARGET` estimates its log-evidence in several ways.", style="dim")


def fit(options: Fit) -> None:
    """Train a recipe into a new run folder."""
    changes = {
        name: getattr(options, name)
        for name in (
            "data",
            "split",
            "objective",
            "method",
            "samples",
            "epochs",
            "batch_size",
            "learning_rate",
            "images",
            "precision",
        )
    }
    words = _assignments(options.option, "--option")
    recipe = _adapted(options, threads=options.threads, options=words or None, **changes)
    seed = recipe.seeds[0] if options.seed is None else options.seed
    if seed < 0:
        raise ValueError(f"--seed must not be negative, got {seed}")
    if min(options.devices, options.nodes) < 1:
        raise ValueError(f"--devices and --nodes must be at least 1, got {options.devices} and {options.nodes}")
    named = {**changes, **dict(words), "seed": options.seed, "smoke": options.smoke}
    folder = options.out or RUNS / run_name(recipe.name, named)

    from jensen.recipes.machine import choose_device, is_first_process

    running = running_of(recipe)
    choose_device(options.device)
    experiment = running.build(recipe, seed=seed)
    config = Config(
        recipe,
        seed,
        experiment.shape,
        device=options.device,
        devices=options.devices,
        nodes=options.nodes,
        tensorboard=options.tensorboard,
    )
    running.check_method(config, experiment)
    if is_first_process():
        running.begin(folder, config, overwrite=options.overwrite)
        _say_what(recipe, folder)
    _train(folder, config, experiment, resume=False, device=options.device, progress=options.progress)


def resume(options: Resume) -> None:
    """Go on with an interrupted run."""
    config = read_config(options.run)

    from jensen.recipes.machine import choose_device, is_first_process
    from jensen.training import load

    choose_device(options.device)
    load(options.run)
    experiment = running_of(config.recipe).build(config.recipe, seed=config.seed)
    if is_first_process():
        _say_what(config.recipe, options.run)
    _train(options.run, config, experiment, resume=True, device=options.device, progress=options.progress)


def evaluate(options: Evaluate) -> None:
    """Measure a run and print the table."""
    config = read_config(options.run)
    named = {"temperatures": options.ais_temperatures, "chains": options.ais_chains, "simulated": options.ais_simulated}
    settings = {name: value for name, value in named.items() if value is not None}
    if options.ais:
        _anneal(options, settings)
        return
    if settings:
        raise ValueError(f"--ais-{next(iter(settings))} is a setting of annealed importance sampling; add --ais")

    from jensen.recipes.running import load_information
    from jensen.report import evaluation_tables, information_table

    found = running_of(config.recipe).measure(
        options.run,
        samples=options.samples,
        limit=options.limit,
        batch_size=options.batch_size,
        chunk=options.chunk,
        seed=options.seed,
        device=options.device,
        progress=options.progress,
    )
    console = Console()
    for table in evaluation_tables(found):
        console.print(table)
    if (information := load_information(options.run)) is not None:
        console.print(information_table(information))
    for note in found.notes:
        console.print(f"note: {note}", style="yellow", highlight=False)
    _say_path("written", options.run / "evaluation.json")


def _anneal(options: Evaluate, settings: dict[str, int]) -> None:
    config_of(options.run, recipes.Recipe)
    if options.samples is not None:
        raise ValueError("--samples are draws from the encoder; annealing has --ais-chains and --ais-temperatures")

    from jensen.recipes.annealing import measure_annealed
    from jensen.recipes.running import load_evaluation
    from jensen.report.ais import annealed_table

    found = measure_annealed(
        options.run,
        limit=options.limit,
        batch_size=options.batch_size,
        seed=options.seed,
        device=options.device,
        progress=options.progress,
        **settings,
    )
    console = Console()
    console.print(annealed_table(found, load_evaluation(options.run)))
    for note in found.notes:
        console.print(f"note: {note}", style="yellow", highlight=False)
    _say_path("written", options.run / ANNEALED)


def sample(options: Sample) -> None:
    """Draw from a run's model."""
    read_config(options.run)
    if options.n < 1:
        raise ValueError(f"--n must be at least 1, got {options.n}")

    from jensen.report import write_samples

    for path in write_samples(options.run, n=options.n, seed=options.seed, device=options.device, out=options.out):
        _say_path("written", path)


def report(options: Report) -> None:
    """Write the page of a run."""
    read_config(options.run)

    from jensen.report import write_report

    page = write_report(options.run, seed=options.seed, device=options.device)
    if not (options.run / "evaluation.json").is_file():
        print(f"not evaluated yet: `jensen evaluate {options.run}` fills in the log-likelihood, then report again")
    _say_path("written", page)


def explore(options: Explore) -> None:
    """Serve the page of sliders."""
    config_of(options.run, recipes.Recipe)

    from jensen.report.explore import explore as serve

    def say(address: str) -> None:
        print(f"{address} shows {options.run}; Ctrl-C ends it", flush=True)

    serve(options.run, port=options.port, browser=options.browser, device=options.device, ready=say)


def export(options: Export) -> None:
    """Write the network that a run ships."""
    config_of(options.run, recipes.NetworkRecipe)
    if not 0 <= options.prune < 1:
        raise ValueError(f"--prune is a share of the weights between 0 and 1, got {options.prune}")

    from jensen.recipes.network_export import export as ship

    found = ship(options.run, out=options.out, rounded=options.rounded, prune=options.prune)
    rate = found.bytes_before / found.bytes_after
    print(f"{found.bytes_after:,} bytes, {rate:.1f} times fewer than the {found.bytes_before:,} of the whole network")
    masked = "masked and rounded" if options.rounded else "masked"
    print(f"its outputs differ by at most {found.difference:.1e} from those of the {masked} network")
    for note in found.notes:
        print(f"note: {note}")
    for path in found.paths:
        _say_path("written", path)


def compress(options: Compress) -> None:
    """Compress images by a run's model and print what they weigh."""
    config_of(options.run, recipes.Recipe)

    from jensen.recipes.coding import SUFFIX, compress_run
    from jensen.report.coding import bound_table, coders_table

    out = options.out or options.run / f"images{SUFFIX}"
    found = compress_run(
        options.run,
        out,
        images=options.images,
        split=options.split,
        limit=options.limit,
        bits=options.bits,
        lanes=options.lanes,
        samples=options.samples,
        verify=options.verify,
        device=options.device,
        progress=options.progress,
    )
    console = Console()
    for table in (bound_table(found), coders_table(found)):
        console.print(table)
    if found.verified:
        print("decoded and compared: every pixel is what it was")
    _say_path("written", out)


def decompress(options: Decompress) -> None:
    """Write the images of a compressed file."""
    config_of(options.run, recipes.Recipe)
    if not options.file.is_file():
        raise ValueError(f"there is no file {options.file}; `jensen compress` makes one")

    from jensen.recipes.coding import decompress_file

    out = options.out or options.file.with_suffix(".npy")
    images = decompress_file(options.file, options.run, out, device=options.device, progress=options.progress)
    count, shape = len(images), " x ".join(map(str, images.shape[1:]))
    print(f"{count:,} images of {shape}, all checksums right, levels {images.min()} to {images.max()}")
    _say_path("written", out)


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
        _say_path("written", path)


def _settings(words: tuple[str, ...]) -> dict[str, int | str]:
    return {name: value if isinstance(value, int) else str(value) for name, value in _assignments(words, "--set")}


def _assignments(words: tuple[str, ...], option: str) -> tuple[tuple[str, int | float | str], ...]:
    """Words such as `tau=0.5` as names and numbers, or names and words."""
    pairs = [word.partition("=") for word in words]
    if wrong := [name for name, equals, value in pairs if not (name and equals and value)]:
        raise ValueError(f"{option} takes NAME=VALUE, such as tau=0.5, got {wrong[0]!r}")
    return tuple((name, _number(value)) for name, _, value in pairs)


def _number(word: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word


def run_study(options: RunStudy) -> None:
    """Run a study into a folder, or go on with it, and print its table."""
    study = studies.get(options.study)
    settings = change(study.smoke if options.smoke else study.settings, options.changes)
    seed = study.seed if options.seed is None else options.seed
    if seed < 0:
        raise ValueError(f"--seed must not be negative, got {seed}")
    changes = {name: value for name, _, value in (each.partition("=") for each in options.changes)}
    folder = options.out or RUNS / run_name(study.name, {**changes, "seed": options.seed, "smoke": options.smoke})
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
        _say_path("written", path)


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
    folder = options.out or RUNS / run_name(name, {**changes, "seed": options.seed, "smoke": options.smoke})

    from jensen.recipes.estimating import estimate
    from jensen.recipes.evidence_results import Request
    from jensen.report.evidences import write_evidence

    request = Request(options.recipe, seed, settings)
    found = estimate(
        folder, request, chosen, count=options.threads, overwrite=options.overwrite, progress=options.progress
    )
    console = Console()
    console.print(found.table())
    for note in found.notes():
        console.print(f"note: {note}", style="yellow", highlight=False)
    for path in write_evidence(found, request, folder, recipe=recipe):
        _say_path("written", path)


def _plain_table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column, no_wrap=column != "what", justify="right" if column == "epochs" else "left")
    return table


def _adapted(options: Fit, /, **changes: object) -> AnyRecipe:
    if options.compile and options.eager:
        raise ValueError("--compile and --eager exclude each other; give one of them")
    compiled = True if options.compile else False if options.eager else None
    return recipes.adapt(recipes.get(options.recipe), smoke=options.smoke, compile=compiled, **changes)


def _train(folder: Path, config: Config[Any], experiment: Any, *, resume: bool, device: str, progress: bool) -> None:
    from jensen.training import Interrupted

    running = running_of(config.recipe)
    try:
        history = running.train(folder, config, experiment, resume=resume, device=device, progress=progress)
    except Interrupted as stop:
        where = f"after {stop.epoch:,} epochs and {stop.batch:,} batches"
        raise KeyboardInterrupt(f"{where}; `jensen resume {folder}` goes on") from stop
    if history.rank == 0:
        _say_result(history, folder, ascends=running.ASCENDS)


def _say_what(recipe: AnyRecipe, folder: Path) -> None:
    from jensen.report.tables import entries
    from jensen.report.words import recipe_entries

    rows = [*recipe_entries(recipe), ("run folder", folder)]
    Console(stderr=True).print(entries(recipe.name, rows), highlight=False)


def _say_result(history: "History", folder: Path, *, ascends: tuple[str, str]) -> None:
    from jensen.report.tables import entries
    from jensen.report.words import duration, number

    what, unit = ascends
    rows = []
    if history.epochs:
        last = history.epochs[-1]
        validation = math.nan if last.validation is None else last.validation
        seconds = sum(record.seconds for record in history.epochs)
        rows += [
            ("epochs", f"{last.epoch:,} ({last.step:,} steps) in {duration(seconds)}"),
            (f"training {what}", f"{number(last.bound)} {unit}"),
            (f"validation {what}", f"{number(validation)} {unit}"),
        ]
    rows += [
        ("measure it", f"jensen evaluate {folder}"),
        ("show it", f"jensen report {folder}"),
    ]
    Console().print(entries("trained", rows), highlight=False, soft_wrap=True)
    _say_path("run folder", folder)


def _say_path(what: str, path: Path) -> None:
    print(f"{what}: {path}")
