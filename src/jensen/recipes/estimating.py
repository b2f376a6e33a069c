"""The evidence of a recipe or of a user's own target, method by method into a folder, taken up where it stopped."""

import importlib
import importlib.util
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from math import isclose
from pathlib import Path
from types import ModuleType
from typing import Any

from jensen._random import seeded_generator
from jensen.evidence import Comparison, Cost, Evidence, Settings, Target, compare, methods
from jensen.evidence.settings import change_settings
from jensen.recipes import evidences
from jensen.recipes.config import CONFIG, ENVIRONMENT, REPORT
from jensen.recipes.evidence_results import (
    EVIDENCE,
    Request,
    read_estimates,
    read_request,
    write_estimates,
)
from jensen.recipes.machine import environment, threads
from jensen.training.files import write_atomically

__all__ = ["estimate", "find_target", "fingerprint"]

CALL = re.compile(r"(?P<module>[^:]+):(?P<name>\w+)(\((?P<argument>[^()]*)\))?")


def find_target(where: str) -> Target:
    """A target by `module:name`, `path/to/file.py:name`, or with an argument, `module:name(argument)`.

    What is found is a `Target`, or a function that returns one.

    Raises:
        ValueError: if there is no such module, file or name, or what it names is no target.

    Example:
        >>> find_target("jensen.datasets.targets:load(beta-binomial)")
        Target(dim=1, parameters=theta)
    """
    match = CALL.fullmatch(where)
    if match is None:
        raise ValueError(f"a target is named module:name or file.py:name, got {where!r}")
    found = getattr(_module(match["module"]), match["name"], None)
    if found is None:
        raise ValueError(f"{match['module']} has no {match['name']!r}")
    if not isinstance(found, Target) and callable(found):
        try:
            found = found(match["argument"]) if match["argument"] is not None else found()
        except TypeError as error:
            raise ValueError(f"{where} cannot be called: {error}") from error
    if not isinstance(found, Target):
        raise ValueError(f"{where} is {type(found).__name__}, not a Target or a function that returns one")
    return found


def estimate(
    folder: Path,
    request: Request,
    names: str | Sequence[str] | None,
    *,
    count: int | None = 1,
    overwrite: bool = False,
    progress: bool = False,
) -> Comparison:
    """Run the methods that the folder does not hold yet; every result is written down at once.

    Args:
        folder: where results go; made where missing, taken up where it holds the same request.
        request: target, seed and settings.
        names: the methods, as in `compare`.
        count: CPU threads.
        overwrite: forget what is in the folder.
        progress: show a bar for each run of a sampler.

    Raises:
        ValueError: if the folder holds something else, another request or a damaged file; or as `compare` does.
        KeyboardInterrupt: after Ctrl-C, with the finished methods written down.
    """
    where = request.target if ":" in request.target else evidences.get(request.target).target
    target = find_target(where)
    chosen = methods.choose_methods(target, names)
    change_settings(Settings(), request.settings)
    _begin(folder, replace(request, fingerprint=fingerprint(target)), overwrite=overwrite)
    done = read_estimates(folder)

    def tell(name: str, found: Evidence, cost: Cost) -> None:
        done[name] = (found, cost)
        write_atomically(folder / EVIDENCE, write_estimates(done).encode())

    with threads(count):
        try:
            return compare(
                target,
                chosen,
                seed=request.seed,
                quiet=True,
                progress=progress,
                done=dict(done),
                tell=tell,
                **dict[str, Any](request.settings),
            )
        except KeyboardInterrupt:
            where = f"{len(done)} of {len(chosen)} methods are in {folder}"
            raise KeyboardInterrupt(f"{where}; the same command goes on") from None


def fingerprint(target: Target) -> tuple[float, ...]:
    """The log-joint density at three fixed points, which tells a target that was changed from the one it was.

    Example:
        >>> len(fingerprint(find_target("jensen.datasets.targets:load(beta-binomial)")))
        3
    """
    points = target.sample_prior(3, generator=seeded_generator(2024))
    return tuple(target.log_joint(points).nan_to_num(0.0, 0.0, 0.0).tolist())


def _begin(folder: Path, request: Request, *, overwrite: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; choose another folder with --out")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / CONFIG).is_file():
        raise ValueError(f"{folder} holds something that is no evidence; choose another folder with --out")
    if overwrite:
        for name in (EVIDENCE, CONFIG, REPORT):
            (folder / name).unlink(missing_ok=True)
    if (folder / CONFIG).is_file():
        there = read_request(folder)
        pairs = [("target", there.target, request.target), ("seed", there.seed, request.seed)]
        pairs.append(("settings", dict(there.settings), dict(request.settings)))
        advice = "choose another folder with --out, or replace what is there with --overwrite"
        if other := [f"{name} {before} and not {now}" for name, before, now in pairs if before != now]:
            raise ValueError(f"{folder} holds the {', the '.join(other)}; {advice}")
        if not all(map(isclose, there.fingerprint, request.fingerprint)):
            raise ValueError(f"{folder} holds results of {request.target} as it was before it was changed; {advice}")
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / CONFIG, request.to_json().encode())
    found: dict[str, Any] = environment("cpu")
    found["started"] = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    write_atomically(folder / ENVIRONMENT, (json.dumps(found, indent=2) + "\n").encode())


def _module(name: str) -> ModuleType:
    path = Path(name)
    if path.suffix == ".py":
        if not path.is_file():
            raise ValueError(f"there is no file {path}")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        if spec is None or spec.loader is None:
            raise ValueError(f"{path} cannot be imported")
        module = importlib.util.module_from_spec(spec)
        sys.modules.setdefault(path.stem, module)
        try:
            spec.loader.exec_module(module)
        except ModuleNotFoundError as error:
            raise ValueError(f"{path} imports {error.name!r}, which is not installed") from error
        return module
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and name.startswith(error.name):
            raise ValueError(f"there is no module {name!r}; a file is named with its path, {name}.py:target") from error
        raise
    finally:
        sys.path.remove(here)
