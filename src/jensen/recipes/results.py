"""What a study's folder remembers: `config.json`, what was asked for, and `results.json`, the parts that are done."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

from jensen.recipes._json import decode, encode, read_object
from jensen.recipes.config import CONFIG
from jensen.recipes.recipe import Published
from jensen.recipes.study import Study

__all__ = [
    "RESULTS",
    "Part",
    "Results",
    "Row",
    "StudyConfig",
    "read_results",
    "read_study_config",
    "rows",
    "write_results",
]

RESULTS = "results.json"
CONFIG_FORMAT, RESULTS_FORMAT = "jensen-study-1", "jensen-results-1"


@dataclass(frozen=True)
class StudyConfig:
    """A study as it was run.

    Attributes:
        study: its name.
        seed: of all its random numbers.
        settings: with every change of the command line applied.
    """

    study: str
    seed: int
    settings: Any

    def to_json(self) -> str:
        """The text of `config.json`."""
        entries = {"format": CONFIG_FORMAT, "study": self.study, "seed": self.seed, "settings": encode(self.settings)}
        return json.dumps(entries, indent=2) + "\n"


@dataclass(frozen=True)
class Part:
    """What one part gave: values by what they measure, and how long it took."""

    seconds: float
    values: dict[str, tuple[float, ...]]


Results = dict[str, Part]
"""The parts that are done, by name."""


class Row(NamedTuple):
    """A line of a study's table.

    Attributes:
        what: what was measured.
        value: the mean of the repetitions.
        error: its standard error; nan for a single one.
        runs: how many repetitions.
        published: what others got.
    """

    what: str
    value: float
    error: float
    runs: int
    published: tuple[Published, ...]


def rows(study: Study, results: Results) -> list[Row]:
    """The study's table, repetitions of the same thing averaged over all parts.

    Example:
        >>> from jensen.recipes import studies
        >>> study = studies.get("permutation-matching")
        >>> found = {"a": Part(1.0, {"x": (1.0, 2.0)}), "b": Part(1.0, {"x": (3.0,)})}
        >>> [(row.what, row.value, row.runs) for row in rows(study, found)]
        [('x', 2.0, 3)]
    """
    pooled: dict[str, list[float]] = {}
    for part in results.values():
        for what, values in part.values.items():
            pooled.setdefault(what, []).extend(values)
    return [_row(what, values, study) for what, values in pooled.items() if values]


def _row(what: str, values: list[float], study: Study) -> Row:
    finite = all(map(math.isfinite, values))
    error = stdev(values) / math.sqrt(len(values)) if finite and len(values) > 1 else math.nan
    published = tuple(entry for entry in study.published if entry.what == what)
    return Row(what, fmean(values), error, len(values), published)


def read_study_config(folder: Path, study: Study) -> StudyConfig:
    """The configuration of a study's folder.

    Raises:
        ValueError: if there is none, it is of another study, or it is damaged.
    """
    path = folder / CONFIG
    content = read_object(
        path, CONFIG_FORMAT, f"choose another folder with --out, or run {study.name} with --overwrite"
    )
    if content.get("study") != study.name:
        raise ValueError(f"{folder} holds {content.get('study')!r}, not {study.name!r}; choose another with --out")
    try:
        settings = decode(type(study.settings), content.get("settings"), "settings")
        return StudyConfig(study.name, decode(int, content.get("seed"), "seed"), settings)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}; restore it, or start again with --overwrite") from None


def read_results(folder: Path) -> Results:
    """The parts that are done, none where nothing was written yet.

    Raises:
        ValueError: if `results.json` is damaged, naming the entry.
    """
    path = folder / RESULTS
    if not path.exists():
        return {}
    advice = "restore it, or start again with --overwrite"
    content = read_object(path, RESULTS_FORMAT, advice)
    try:
        return dict(_parts(content.get("parts")))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}; {advice}") from None


def write_results(results: Results) -> str:
    """The text of `results.json`; what is not finite is written as the string "inf", "-inf" or "nan"."""
    parts = {
        name: {"seconds": round(part.seconds, 3), "values": {what: _plain(each) for what, each in part.values.items()}}
        for name, part in results.items()
    }
    return json.dumps({"format": RESULTS_FORMAT, "parts": parts}, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(values: tuple[float, ...]) -> list[float | str]:
    return [value if math.isfinite(value) else str(value) for value in values]


def _parts(content: object) -> Iterator[tuple[str, Part]]:
    for name, part in _mapping(content, "parts").items():
        entries = _mapping(part, name)
        values = _mapping(entries.get("values"), f"{name}.values")
        seconds = _number(entries.get("seconds"), f"{name}.seconds")
        yield name, Part(seconds, {what: _numbers(each, f"{name}.values.{what}") for what, each in values.items()})


def _numbers(value: object, where: str) -> tuple[float, ...]:
    if not isinstance(value, list):
        raise ValueError(f"{where} must be a list, got {value!r}")
    return tuple(_number(each, f"{where}[{i}]") for i, each in enumerate(value))


def _number(value: object, where: str) -> float:
    if value in ("inf", "-inf", "nan"):
        return float(str(value))
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{where} must be a number, got {value!r}")
    return float(value)


def _mapping(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{where} must be an object, got {value!r}")
    return value
