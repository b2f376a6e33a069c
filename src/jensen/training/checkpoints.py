"""Checkpoints: safetensors with JSON in the header, written whole or not at all, nothing ever unpickled.

A file holds `tensors` by names like `model/decoder.weight`, `ema/...`, `optimizer/0/exp_avg`, `random/0/cpu` (process
0), and a `header` of plain JSON: position, settings, optimizer groups. A checksum over both tells a damaged file from a
whole one. Files are `checkpoints/epoch-0007.safetensors` after seven epochs and
`checkpoints/epoch-0007-batch-000123.safetensors` 123 steps later.
"""

import errno
import json
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from jensen.training.files import PARTIAL, write_atomically

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "checkpoint_path",
    "latest",
    "load",
    "load_weights",
    "prune",
    "save",
    "under",
]

FOLDER = "checkpoints"
FORMAT = 1
NAME = re.compile(r"epoch-(\d+)(?:-batch-(\d+))?\.safetensors")


class CheckpointError(ValueError):
    """A checkpoint that is missing, damaged or of another model; the message is one line that names the file."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a file holds.

    Attributes:
        tensors: by name.
        header: plain JSON.
    """

    tensors: dict[str, Tensor]
    header: dict[str, Any]


def checkpoint_path(run: Path | str, *, epoch: int, batch: int = 0) -> Path:
    """Where the checkpoint of a position lies: `epoch` whole epochs, then `batch` steps.

    Example:
        >>> checkpoint_path("run", epoch=7).name, checkpoint_path("run", epoch=7, batch=123).name
        ('epoch-0007.safetensors', 'epoch-0007-batch-000123.safetensors')
    """
    position = f"epoch-{epoch:04d}" + (f"-batch-{batch:06d}" if batch else "")
    return Path(run) / FOLDER / f"{position}.safetensors"


def latest(run: Path | str, *, before: Path | None = None) -> Path | None:
    """The newest checkpoint of a run folder, or the newest one older than `before`; None where there is none."""
    paths = _sorted(Path(run))
    if before in paths:
        paths = paths[: paths.index(before)]
    return paths[-1] if paths else None


def prune(run: Path | str, *, keep: int) -> None:
    """Delete all but the newest `keep` checkpoints, and what a killed process left half-written."""
    for path in _sorted(Path(run))[:-keep]:
        path.unlink(missing_ok=True)
    for path in (Path(run) / FOLDER).glob(f".*{PARTIAL}"):
        path.unlink(missing_ok=True)


def under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names start with `prefix/`, without it.

    Example:
        >>> under({"model/weight": torch.tensor(1.0), "ema/weight": torch.tensor(2.0)}, "ema")
        {'weight': tensor(2.)}
    """
    return {name.removeprefix(f"{prefix}/"): value for name, value in tensors.items() if name.startswith(f"{prefix}/")}


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint whole or not at all.

    Raises:
        OSError: if it cannot be written (no space left, no permission); older checkpoints are as they were.
    """
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in checkpoint.tensors.items()}
    header = json.dumps(checkpoint.header)
    metadata = {"format": str(FORMAT), "header": header, "checksum": _checksum(tensors, header)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, safetensors.torch.save(tensors, metadata))
    except OSError as error:
        kept = latest(path.parent.parent)
        left = f"{kept} is intact" if kept else "no earlier one exists"
        advice = (
            "free some space, then resume"
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            else "then resume"
        )
        raise OSError(error.errno, f"checkpoint not written ({error.strerror}); {left}; {advice}", str(path)) from error


def load(path: Path | str) -> Checkpoint:
    """Read the checkpoint at `path`: a file, or the newest one of a run folder.

    Raises:
        CheckpointError: if there is none, or the file is truncated, corrupt or no checkpoint; the message says what to
            do.
    """
    path = _locate(Path(path))
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is truncated or corrupt ({_first_line(error)}); {_advice(path)}") from error
    if metadata.get("format") != str(FORMAT):
        raise CheckpointError(
            f"{path} is no checkpoint of format {FORMAT}, but {metadata.get('format')}; check the path"
        )
    header = metadata.get("header", "")
    if metadata.get("checksum") != _checksum(tensors, header):
        raise CheckpointError(f"{path} is corrupt (wrong checksum); {_advice(path)}")
    return Checkpoint(tensors, json.loads(header))


def load_weights(model: nn.Module, path: Path | str, *, averaged: bool = False) -> Checkpoint:
    """Put a checkpoint's weights into a model.

    Args:
        model: of the sizes that were trained.
        path: a checkpoint, or a run folder for its newest one.
        averaged: take the exponential moving average of the weights, not the last ones.

    Returns:
        The whole checkpoint.

    Raises:
        CheckpointError: if `load` refuses it, it holds no average, or it is of another model; the first misfit is
            named.
    """
    checkpoint = load(path)
    weights = under(checkpoint.tensors, "ema" if averaged else "model")
    if averaged and not weights:
        raise CheckpointError(f"{_locate(Path(path))} holds no averaged weights; it was trained without ema")
    check_fit(model.state_dict(), weights, _locate(Path(path)))
    model.load_state_dict(weights)
    return checkpoint


def check_fit(expected: dict[str, Any], found: dict[str, Tensor], path: Path) -> None:
    """Refuse weights of another model.

    Raises:
        CheckpointError: naming the first tensor that is missing, unknown or of another shape, with both shapes.
    """
    for name in [*expected, *found]:
        shapes = [tuple(side[name].shape) if name in side else "absent" for side in (expected, found)]
        if shapes[0] != shapes[1]:
            raise CheckpointError(f"{path} is of another model: {name!r} is {shapes[1]} there and {shapes[0]} here")


def first_not_finite(tensors: dict[str, Tensor]) -> str | None:
    """The name of the first floating-point tensor that holds NaN or infinity.

    Example:
        >>> first_not_finite({"a": torch.zeros(2), "b": torch.tensor([float("nan")])})
        'b'
    """
    floating = ((name, value) for name, value in tensors.items() if value.is_floating_point() or value.is_complex())
    return next((name for name, value in floating if not bool(torch.isfinite(value).all())), None)


def _sorted(run: Path) -> list[Path]:
    found = {path: match for path in (run / FOLDER).glob("epoch-*") if (match := NAME.fullmatch(path.name))}
    return sorted(found, key=lambda path: (int(found[path][1]), int(found[path][2] or 0)))


def _locate(path: Path) -> Path:
    if path.is_file():
        return path
    if not path.exists():
        raise CheckpointError(f"{path} does not exist; check the path, or train without resume first")
    newest = latest(path)
    if newest is None:
        raise CheckpointError(f"{path} holds no checkpoint; start this run without resume")
    return newest


def _advice(path: Path) -> str:
    older = latest(path.parent.parent, before=path)
    if older:
        return f"delete it and resume: {older.name} comes before it"
    return "delete it and start again, or restore it from a copy"


def _checksum(tensors: dict[str, Tensor], header: str) -> str:
    total = zlib.crc32(header.encode())
    for name in sorted(tensors):
        value = tensors[name]
        total = zlib.crc32(f"{name}{value.dtype}{tuple(value.shape)}".encode(), total)
        total = zlib.crc32(value.reshape(-1).view(torch.uint8).numpy().tobytes(), total)
    return f"{total:08x}"


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
