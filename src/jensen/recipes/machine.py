"""The machine that a run is on: its device, its threads, what it calls itself, and the folder that it writes to."""

import json
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import jensen
from jensen.recipes.config import (
    ANNEALED,
    COMPRESSED,
    CONFIG,
    ENVIRONMENT,
    EVALUATION,
    INFORMATION,
    METRICS,
    REPORT,
    SHIPPED,
    Config,
    check_new,
)

__all__ = ["choose_device", "environment", "is_first_process", "make_folder", "threads"]

PACKAGES = ("jensen", "torch", "numpy", "lightning-fabric", "safetensors", "scikit-learn", "matplotlib")


def make_folder(run: Path, config: Config[Any], *, overwrite: bool = False) -> None:
    """Make the run folder, forget what an earlier run left there, and write down what will happen in it and where.

    Raises:
        ValueError: if something is there already and `overwrite` is false, or it is no run.
        OSError: if it cannot be written.
    """
    check_new(run, overwrite=overwrite)
    for folder in ("checkpoints", "figures", "tensorboard", SHIPPED):
        shutil.rmtree(run / folder, ignore_errors=True)
    for name in (METRICS, ANNEALED, COMPRESSED, EVALUATION, INFORMATION, REPORT):
        (run / name).unlink(missing_ok=True)
    run.mkdir(parents=True, exist_ok=True)
    (run / CONFIG).write_text(config.to_json(), encoding="utf-8")
    with threads(config.recipe.threads):
        found = environment(choose_device(config.device))
    found["started"] = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    (run / ENVIRONMENT).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def is_first_process() -> bool:
    """Whether this process is the one that writes and speaks, where a launcher started several."""
    return all(os.environ.get(name, "0") == "0" for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"))


def choose_device(name: str) -> str:
    """`cpu`, `cuda` or `mps`; `auto` is the best that is there.

    Raises:
        ValueError: if the device is unknown or not there.

    Example:
        >>> choose_device("tpu")
        Traceback (most recent call last):
        ValueError: unknown device 'tpu'; choose one of: auto, cpu, cuda, mps
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return next(device for device, found in there.items() if found)
    if name not in there:
        raise ValueError(f"unknown device {name!r}; choose one of: auto, cpu, cuda, mps")
    if not there[name]:
        raise ValueError(f"torch {torch.__version__} finds no {name} device here; use --device cpu or auto")
    return name


def environment(device: str) -> dict[str, Any]:
    """The machine and the versions that a result came from.

    Example:
        >>> sorted(environment("cpu"))
        ['device', 'packages', 'platform', 'python', 'threads']
    """
    names = {"cpu": f"{_cpu()}, {os.cpu_count()} logical cores", "mps": f"{_cpu()}, GPU by Metal"}
    return {
        "device": names[device] if device in names else torch.cuda.get_device_name(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": {name: _version(name) for name in PACKAGES},
    }


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """So many CPU threads inside, as many as before outside; None changes nothing.

    Example:
        >>> with threads(1):
        ...     print(torch.get_num_threads())
        1
    """
    before = torch.get_num_threads()
    torch.set_num_threads(before if count is None else count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def _version(package: str) -> str:
    if package == "jensen":
        return jensen.__version__
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
