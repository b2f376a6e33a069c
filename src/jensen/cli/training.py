"""`jensen fit` and `jensen resume`: a recipe trained into a run folder."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from jensen import recipes
from jensen.cli.assignments import assignments
from jensen.cli.folders import run_folder, say_path
from jensen.cli.options import Fit, Resume
from jensen.recipes.config import Config, read_config
from jensen.recipes.kinds import AnyRecipe
from jensen.recipes.runners import running_of

if TYPE_CHECKING:
    from jensen.training import History

__all__ = ["fit", "resume"]


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
    words = assignments(options.option, "--option")
    recipe = _adapted(options, threads=options.threads, options=words or None, **changes)
    seed = recipe.seeds[0] if options.seed is None else options.seed
    if seed < 0:
        raise ValueError(f"--seed must not be negative, got {seed}")
    if min(options.devices, options.nodes) < 1:
        raise ValueError(f"--devices and --nodes must be at least 1, got {options.devices} and {options.nodes}")
    named = {**changes, **dict(words), "seed": options.seed, "smoke": options.smoke}
    folder = options.out or run_folder(recipe.name, named)

    from jensen.recipes.machine import choose_device, is_first_process, make_folder

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
        make_folder(folder, config, overwrite=options.overwrite)
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
    say_path("run folder", folder)
