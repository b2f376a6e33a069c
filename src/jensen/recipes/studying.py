"""Studies: run part by part into a folder, and taken up again where they stopped. Importing this imports torch."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any
from zlib import crc32

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from jensen.recipes.config import CONFIG, ENVIRONMENT, REPORT
from jensen.recipes.machine import environment, threads
from jensen.recipes.results import (
    RESULTS,
    Part,
    Results,
    StudyConfig,
    read_results,
    read_study_config,
    write_results,
)
from jensen.recipes.study import Study
from jensen.training.files import write_atomically

__all__ = ["begin_study", "parts_of", "run_study"]

Parts = Mapping[str, Callable[[], Mapping[str, Sequence[float]]]]


def parts_of(study: Study, config: StudyConfig) -> Parts:
    """The parts of a study by name, each a function that computes its values.

    Example:
        >>> from jensen.recipes import studies
        >>> study = studies.get("permutation-matching")
        >>> list(parts_of(study, StudyConfig(study.name, 1, study.smoke)))
        ['baselines', 'stick breaking', 'rounding']
    """
    module, _, name = study.function.partition(":")
    parts: Parts = getattr(import_module(module), name)(config.settings, seed=config.seed)
    return parts


def begin_study(folder: Path, study: Study, config: StudyConfig, *, overwrite: bool = False) -> Results:
    """Make the folder, or take up the one that is there.

    Returns:
        The parts that are done.

    Raises:
        ValueError: if the folder holds something else, another study, other settings or a damaged file.
    """
    _check_folder(folder)
    if overwrite:
        for name in (RESULTS, CONFIG, REPORT):
            (folder / name).unlink(missing_ok=True)
    if (folder / CONFIG).is_file():
        _check_same(folder, read_study_config(folder, study), config)
        return _check_known(folder, read_results(folder), parts_of(study, config))
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / CONFIG, config.to_json().encode())
    with threads(study.threads):
        found = environment("cpu")
    found["started"] = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    write_atomically(folder / ENVIRONMENT, (json.dumps(found, indent=2) + "\n").encode())
    return {}


def run_study(
    folder: Path, study: Study, config: StudyConfig, *, overwrite: bool = False, progress: bool = False
) -> Results:
    """Run what is not done yet of a study; every finished part is written down at once.

    Each part begins with random numbers of its own, from the seed and its name, so that a study that was interrupted
    gives what one at a stretch does.

    Args:
        folder: where the results go; made where missing, taken up where it holds the same study.
        study: what to run.
        config: its seed and settings.
        overwrite: forget what is in the folder.
        progress: show a progress bar.

    Returns:
        All parts, in the study's order.

    Raises:
        ValueError: if the folder holds something else, another study, other settings or a damaged file.
        KeyboardInterrupt: after Ctrl-C, with the finished parts written down.
    """
    done = begin_study(folder, study, config, overwrite=overwrite)
    parts = parts_of(study, config)
    with threads(study.threads), _bar(show=progress) as bar:
        task = bar.add_task(study.name, total=len(parts), completed=len(done))
        for name, measure in parts.items():
            if name in done:
                continue
            bar.update(task, description=name)
            try:
                done[name] = _measured(measure, seed=config.seed ^ crc32(name.encode()))
            except KeyboardInterrupt:
                where = f"{len(done)} of {len(parts)} parts are in {folder}"
                raise KeyboardInterrupt(f"{where}; the same command goes on") from None
            done = {each: done[each] for each in parts if each in done}
            write_atomically(folder / RESULTS, write_results(done).encode())
            bar.advance(task)
    return done


def _measured(measure: Callable[[], Mapping[str, Sequence[float]]], *, seed: int) -> Part:
    start = time.perf_counter()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        values = {what: tuple(map(float, each)) for what, each in measure().items()}
    return Part(time.perf_counter() - start, values)


def _check_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; choose another folder with --out")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / CONFIG).is_file():
        raise ValueError(f"{folder} holds something that is no study; choose another folder with --out")


def _check_same(folder: Path, there: StudyConfig, asked: StudyConfig) -> None:
    names = [field.name for field in fields(asked.settings)]
    pairs = [("seed", there.seed, asked.seed)]
    pairs += [(name, getattr(there.settings, name), getattr(asked.settings, name)) for name in names]
    other = [f"{name}={before} and not {now}" for name, before, now in pairs if before != now]
    if other:
        advice = "choose another folder with --out, or replace what is there with --overwrite"
        raise ValueError(f"{folder} holds this study with {', '.join(other)}; {advice}")


def _check_known(folder: Path, done: Results, parts: Parts) -> Results:
    if unknown := [name for name in done if name not in parts]:
        advice = "restore it, or start again with --overwrite"
        raise ValueError(f"{folder / RESULTS} is damaged: this study has no part {unknown[0]!r}; {advice}")
    return done


def _bar(*, show: bool) -> Progress:
    console = Console(stderr=True)
    columns: list[Any] = [
        TextColumn("{task.description}"),
        BarColumn(bar_width=12),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(compact=True),
    ]
    return Progress(*columns, console=console, disable=not (show and console.is_terminal))
