"""What the folder of an evidence remembers: what was asked for, and the results that are there."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from jensen.evidence import Cost, Diagnostic, Evidence, Kind
from jensen.recipes._json import decode, read_object
from jensen.recipes.config import CONFIG

__all__ = ["EVIDENCE", "Estimated", "Request", "read_estimates", "read_request", "write_estimates"]

EVIDENCE = "evidence.json"
REQUEST_FORMAT, RESULTS_FORMAT = "jensen-evidence-1", "jensen-evidence-results-1"
ADVICE = "restore it, or start again with --overwrite"

Estimated = dict[str, tuple[Evidence, Cost]]
"""Results and costs by method."""


@dataclass(frozen=True)
class Request:
    """What was asked for.

    Attributes:
        target: a recipe's name, or `module:name` of a target of the user's own.
        seed: of everything random.
        settings: of the samplers, where they differ from the default.
        fingerprint: log-joint densities of the target at fixed points.
    """

    target: str
    seed: int
    settings: Mapping[str, int | str]
    fingerprint: tuple[float, ...] = ()

    def to_json(self) -> str:
        """The text of `config.json`."""
        entries = {"format": REQUEST_FORMAT, "target": self.target, "seed": self.seed, "settings": dict(self.settings)}
        entries["fingerprint"] = list(self.fingerprint)
        return json.dumps(entries, indent=2) + "\n"


def read_request(folder: Path) -> Request:
    """What a folder's `config.json` asked for.

    Raises:
        ValueError: if it is damaged, or of something else.
    """
    path = folder / CONFIG
    content = read_object(path, REQUEST_FORMAT, ADVICE)
    try:
        settings = {
            name: decode(int | str, value, f"settings.{name}") for name, value in dict(content["settings"]).items()
        }
        marks = decode(tuple[float, ...], content["fingerprint"], "fingerprint")
        return Request(decode(str, content["target"], "target"), decode(int, content["seed"], "seed"), settings, marks)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged: {error}; {ADVICE}") from None


def write_estimates(found: Estimated) -> str:
    """The text of `evidence.json`; what is not finite is written as the string "inf", "-inf" or "nan"."""
    entries = {name: _entry(evidence, cost) for name, (evidence, cost) in found.items()}
    content = {"format": RESULTS_FORMAT, "methods": entries}
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def read_estimates(folder: Path) -> Estimated:
    """The results of a folder, none where nothing was written yet.

    Raises:
        ValueError: if `evidence.json` is damaged, naming the entry.
    """
    path = folder / EVIDENCE
    if not path.exists():
        return {}
    content = read_object(path, RESULTS_FORMAT, ADVICE)
    try:
        return {name: _read(name, entry) for name, entry in dict(content["methods"]).items()}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged: {error}; {ADVICE}") from None


def _entry(evidence: Evidence, cost: Cost) -> dict[str, Any]:
    return {
        "log_z": _plain(evidence.log_z),
        "std_error": _plain(evidence.std_error),
        "kind": evidence.kind,
        "method": evidence.method,
        "seconds": round(cost.seconds, 3),
        "evaluations": cost.evaluations,
        "diagnostics": {name: _plain(value) for name, value in evidence.diagnostics.items()},
        "warnings": list(evidence.warnings),
    }


def _read(name: str, entry: Any) -> tuple[Evidence, Cost]:
    def number(key: str) -> float:
        value = _unplain(entry[key])
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{name}.{key} must be a number, got {value!r}")
        return float(value)

    if entry["kind"] not in get_args(Kind):
        raise ValueError(f"{name}.kind is {entry['kind']!r}")
    evidence = Evidence(
        number("log_z"),
        number("std_error"),
        {key: _unplain(value) for key, value in entry["diagnostics"].items()},
        method=decode(str, entry["method"], f"{name}.method"),
        kind=entry["kind"],
        warnings=decode(tuple[str, ...], entry["warnings"], f"{name}.warnings"),
    )
    return evidence, Cost(number("seconds"), int(number("evaluations")))


def _plain(value: Diagnostic) -> Any:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _unplain(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_unplain(each) for each in value)
    return float(value) if value in ("inf", "-inf", "nan") else value
