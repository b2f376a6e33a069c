"""What a run writes down about itself: one JSON object for each epoch, and TensorBoard on request."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from jensen.training.checkpoints import CheckpointError
from jensen.training.files import write_atomically

__all__ = ["EpochRecord", "Records", "read_records", "tensorboard_writer"]

NAME = "metrics.jsonl"


@dataclass(frozen=True)
class EpochRecord:
    """One epoch in numbers.

    Attributes:
        epoch: how many epochs were over, from 1.
        step: how many optimizer steps were over.
        bound: mean over the epoch of the bound on the training data, in nats, each step's before its update.
        validation: the bound on the validation data after the epoch, in nats; None where there was no validation.
        learning_rate: that of the last step.
        kl_weight: that of the last step.
        seconds: time the epoch took.
        images_per_second: training data per second, validation and checkpoints not counted.
        monitor: what the objective's `monitor()` said after the epoch, such as the multiplier of a constraint.
    """

    epoch: int
    step: int
    bound: float
    validation: float | None
    learning_rate: float
    kl_weight: float
    seconds: float
    images_per_second: float
    monitor: Mapping[str, float] = field(default_factory=dict)


class Records:
    """The records of a run, in memory and, where there is a run folder, as lines of `metrics.jsonl`.

    Args:
        run: the run folder, or None.
        epoch: keep what was written about so many epochs and cut off the rest: where a run resumes.
        step: how many optimizer steps that is.
        tensorboard: write event files for TensorBoard as well.

    Raises:
        CheckpointError: if a line that is to be kept cannot be read.
        ModuleNotFoundError: if TensorBoard is asked for and absent.
    """

    def __init__(self, run: Path | None, *, epoch: int = 0, step: int = 0, tensorboard: bool = False) -> None:
        self.path = run / NAME if run else None
        self.writer = tensorboard_writer(run, step=step) if tensorboard and run else None
        self.epochs = read_records(run, until=epoch) if run else []
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path, "".join(map(_line, self.epochs)).encode())

    def append(self, record: EpochRecord) -> None:
        """Write one more line, at once.

        Raises:
            ValueError: if the objective's `monitor` tells what is no finite number.
        """
        if wrong := {name: value for name, value in record.monitor.items() if not math.isfinite(value)}:
            raise ValueError(f"monitor() of the objective tells {wrong} after epoch {record.epoch}; numbers are finite")
        self.epochs.append(record)
        if self.path is not None:
            with self.path.open("a") as file:
                file.write(_line(record))
        if self.writer is not None:
            for name, value in _scalars(record):
                self.writer.add_scalar(name, value, record.step)
            self.writer.flush()

    def close(self) -> None:
        """Close what is open."""
        if self.writer is not None:
            self.writer.close()


def read_records(run: Path | str, *, until: int | None = None) -> list[EpochRecord]:
    """The records in a run folder, oldest first; none where nothing was written yet.

    Args:
        run: the run folder.
        until: leave out what was written about later epochs.

    Raises:
        CheckpointError: if a line cannot be read. A last line without its end, which a killed process leaves, is passed
            over.
    """
    path = Path(run) / NAME
    if not path.exists():
        return []
    lines = path.read_text().splitlines(keepends=True)
    records = [_record(line, path, number) for number, line in enumerate(lines, 1) if line.endswith("\n")]
    return [record for record in records if until is None or record.epoch <= until]


def tensorboard_writer(run: Path, *, step: int) -> Any:
    """A writer of event files into `run/tensorboard`; events after `step` are marked as overtaken.

    Raises:
        ModuleNotFoundError: if the package is absent.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ModuleNotFoundError("tensorboard=True needs the package tensorboard: pip install tensorboard") from error
    return SummaryWriter(str(run / "tensorboard"), purge_step=step + 1 if step else None)


def _scalars(record: EpochRecord) -> Iterator[tuple[str, float]]:
    """What changes over epochs, by name."""
    for name, value in asdict(record).items():
        if name == "monitor":
            yield from ((f"monitor/{each}", number) for each, number in value.items())
        elif name not in ("epoch", "step") and value is not None:
            yield name, value


def _line(record: EpochRecord) -> str:
    return json.dumps(asdict(record), allow_nan=False) + "\n"


def _record(line: str, path: Path, number: int) -> EpochRecord:
    try:
        values: Mapping[str, Any] = json.loads(line)
        named = {each.name: values[each.name] for each in fields(EpochRecord) if each.name != "monitor"}
        return EpochRecord(**named, monitor=dict(values.get("monitor", {})))
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: line {number} cannot be read; repair or delete it, then resume") from error
