"""A run between its first step and its last: steps, checkpoints, records, and what can stop it."""

import math
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from jensen._contracts import Indexable, Pairs
from jensen.training.checkpoints import checkpoint_path, prune, save
from jensen.training.devices import gather
from jensen.training.interruption import Interrupted, Interruption
from jensen.training.nonfinite import NonFiniteError, diagnose, not_finite_parameter
from jensen.training.optimizers import set_learning_rate
from jensen.training.progress import ProgressBar
from jensen.training.records import EpochRecord, Records
from jensen.training.seeds import VALIDATION, derived_seed, epoch_order, isolated, random_state, restore_random_state
from jensen.training.settings import Settings
from jensen.training.snapshots import Position, restore, take
from jensen.training.stepper import DEFERRED_CHECK, UNKNOWN, Stepper
from jensen.training.validation import sum_of_bounds

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["Moment", "Run"]

AGREEMENT = 20
"""Steps between two times that several processes agree on whether to stop or save."""


@dataclass(frozen=True)
class Moment:
    """What it takes to go through a step's forward pass once more."""

    epoch: int
    batch: int
    index: Tensor
    random: dict[str, Tensor]


class Run:
    """One `fit`: its position, and how the position moves.

    Args:
        stepper: takes the steps.
        data: training data, on the device where they can be.
        validation: held-out data, or None.
        settings: the numbers.
        fabric: the processes.
        out: the run folder, or None.
    """

    def __init__(
        self,
        stepper: Stepper,
        data: Indexable,
        *,
        validation: Indexable | None,
        settings: Settings,
        fabric: "Fabric",
        out: Path | None,
    ) -> None:
        self.stepper, self.data, self.validation = stepper, data, validation
        self.settings, self.fabric, self.out = settings, fabric, out
        self.device, self.rank, self.processes = fabric.device, fabric.global_rank, fabric.world_size
        self.batches = -(-len(data) // settings.batch_size)
        self.at = Position.start(self.device)
        self.saved: Path | None = None
        self.saved_at = time.perf_counter()
        self.trail: deque[Moment] = deque(maxlen=DEFERRED_CHECK if stepper.deferred else 1)
        self.interruption = Interruption()
        self.bar = ProgressBar(epochs=1, steps=1, enabled=False)
        self.records = Records(None)

    def resume(self, path: Path) -> None:
        """Stand where a checkpoint was written.

        Raises:
            CheckpointError: if it is damaged, or was made with other settings.
        """
        self.at = restore(path, self.stepper, settings=self._fingerprint(), rank=self.rank)
        self.saved = path

    def train(self, *, tensorboard: bool, progress: bool) -> None:
        """Go on to the last epoch.

        Raises:
            Interrupted: after Ctrl-C, between two steps, with a checkpoint written.
            NonFiniteError: if the bound or a parameter became NaN or infinite.
        """
        first, done = self.rank == 0, self.at.step
        out = self.out if first else None
        self.records = Records(out, epoch=self.at.epoch, step=done, tensorboard=tensorboard)
        self.bar = ProgressBar(epochs=self.settings.epochs, steps=self.batches, done=done, enabled=progress and first)
        try:
            with self.interruption:
                if self.saved is None:
                    self.save()
                while self.at.epoch < self.settings.epochs:
                    self._train_epoch()
                    self._finish_epoch()
        finally:
            self.bar.close(step=self.at.step)
            self.records.close()

    def save(self) -> None:
        """Write a checkpoint of this very position, and delete those that are too old.

        Raises:
            NonFiniteError: if a parameter is not finite; nothing is written then.
            OSError: if the file cannot be written; the older ones stay.
        """
        self._check_health()
        if name := not_finite_parameter(self.stepper.model):
            raise self._error("a parameter", f"parameter {name!r}", self.at.epoch, self.at.batch)
        if self.out is not None:
            path = checkpoint_path(self.out, epoch=self.at.epoch, batch=self.at.batch)
            checkpoint = take(self.at, self.stepper, settings=self._fingerprint(), fabric=self.fabric)
            if self.rank == 0:
                save(path, checkpoint)
                prune(self.out, keep=self.settings.keep)
            self.saved = path
        self.saved_at = time.perf_counter()

    def _train_epoch(self) -> None:
        where = torch.device(getattr(self.data, "device", "cpu"))
        order = epoch_order(len(self.data), seed=self.settings.seed, epoch=self.at.epoch).to(where)
        batches = torch.split(order, self.settings.batch_size)
        started = time.perf_counter() - self.at.seconds
        for batch in batches[self.at.batch :]:
            self._step(batch)
            now = time.perf_counter()
            self.at.seconds = now - started
            self._attend(now)

    def _step(self, batch: Tensor) -> None:
        index, share = self._own(batch)
        learning_rate, kl_weight = self._scheduled(self.at.batch)
        set_learning_rate(self.stepper.optimizer, learning_rate)
        self.trail.append(Moment(self.at.epoch, self.at.batch, index, random_state(self.device)))
        try:
            value = self.stepper.step(self._fetch(index), kl_weight=kl_weight, share=share)
        except (NonFiniteError, ValueError) as error:
            raise self._explained(self.trail[-1], error) from error
        count = len(index) if share else 0
        self.at.total.add_(value, alpha=count)
        self.at.seen += count
        self.at.batch += 1
        self.at.step += 1
        if self.stepper.deferred and self.at.step % DEFERRED_CHECK == 0:
            self._check_health()

    def _own(self, batch: Tensor) -> tuple[Tensor, float]:
        """This process's data in a batch and the weight of their mean; a process without data takes one at weight 0."""
        if self.processes == 1:
            return batch, 1.0
        own = batch[self.rank :: self.processes]
        return (own, len(own) * self.processes / len(batch)) if len(own) else (batch[:1], 0.0)

    def _attend(self, now: float) -> None:
        """What may happen between two steps: a drawing, a stop, a checkpoint."""
        if self.bar.due(now):
            self._draw()
        if self.processes > 1 and self.at.step % AGREEMENT and self.at.batch < self.batches:
            return
        seconds = self.settings.checkpoint_seconds
        stop, due = self._agreed(self.interruption.requested, seconds is not None and now - self.saved_at >= seconds)
        if stop:
            raise self._interrupted()
        if due:
            self.save()

    def _finish_epoch(self) -> None:
        self._check_health()
        total, count = self._over_processes(self.at.sums())
        validation = self._validate()
        learning_rate, kl_weight = self._scheduled(self.batches - 1)
        record = EpochRecord(
            epoch=self.at.epoch + 1,
            step=self.at.step,
            bound=total / count,
            validation=validation,
            learning_rate=learning_rate,
            kl_weight=kl_weight,
            seconds=self.at.seconds,
            images_per_second=count / max(self.at.seconds, 1e-9),
            monitor=self._monitored(),
        )
        self.records.append(record)
        self.at.turn()
        if self.at.epoch % self.settings.checkpoint_every == 0 or self.at.epoch == self.settings.epochs:
            self.save()
        if self._agreed(self.interruption.requested)[0]:
            raise self._interrupted()

    def _monitored(self) -> dict[str, float]:
        """What the objective tells about itself."""
        monitor = getattr(self.settings.objective, "monitor", dict)
        return {name: float(value) for name, value in monitor().items()}

    def _validate(self) -> float | None:
        epoch = self.at.epoch + 1
        if self.validation is None or (epoch % self.settings.validate_every and epoch != self.settings.epochs):
            return None
        self.stepper.model.eval()
        with isolated(self.device, seed=derived_seed(self.settings.seed, VALIDATION, self.rank)):
            sums = sum_of_bounds(
                self.stepper.bound,
                self.validation,
                batch_size=self.settings.batch_size,
                device=self.device,
                part=self.rank,
                parts=self.processes,
                stop=lambda: self.processes == 1 and self.interruption.requested,
            )
        self.stepper.model.train()
        if sums is None:
            raise self._interrupted()
        total, count = self._over_processes(sums)
        if not math.isfinite(total):
            name = not_finite_parameter(self.stepper.model)
            term = f"parameter {name!r}" if name else "the bound on the validation data"
            raise self._error("the bound after the epoch", term, epoch - 1, self.batches)
        self.bar.validated(total / count)
        return total / count

    def _scheduled(self, batch: int) -> tuple[float, float]:
        progress = self.at.epoch + batch / self.batches
        return self.settings.learning_rate(progress), self.settings.kl_weight(progress)

    def _fetch(self, index: Tensor) -> Tensor | Pairs:
        x: Tensor | Pairs = self.data[index]
        return x if x.device == self.device else x.to(self.device, non_blocking=True)

    def _draw(self) -> None:
        images = min(self.settings.batch_size, len(self.data))
        bound = self.at.total.item() / max(self.at.seen, 1)
        self.bar.draw(epoch=self.at.epoch + 1, step=self.at.step, bound=bound, images=images)

    def _agreed(self, *flags: bool) -> list[bool]:
        """What any process asks for, all do."""
        if self.processes == 1:
            return [*flags]
        asked = torch.tensor(flags, dtype=torch.float32, device=self.device)
        torch.distributed.all_reduce(asked, op=torch.distributed.ReduceOp.MAX)
        return [bool(flag) for flag in asked.tolist()]

    def _over_processes(self, sums: Tensor) -> list[float]:
        everyone = [one.tolist() for one in gather(sums, self.fabric)]
        return [sum(column) for column in zip(*everyone, strict=True)]

    def _check_health(self) -> None:
        behind = self.stepper.steps_since_healthy()
        if behind:
            moment = self.trail[-min(behind, len(self.trail))]
            raise self._explained(moment, NonFiniteError("the bound", term=UNKNOWN))

    def _explained(self, moment: Moment, error: NonFiniteError | ValueError) -> NonFiniteError | ValueError:
        """The error with its position and the term it came from; an error of another kind as it is."""
        restore_random_state(moment.random, self.device)
        samples = getattr(self.settings.objective, "samples", 1)
        try:
            term = diagnose(self.stepper.model, self._fetch(moment.index), samples=samples)
        except ValueError:
            term = None
        if isinstance(error, NonFiniteError):
            return self._error(error.what, term or error.term, moment.epoch, moment.batch)
        return self._error("the bound", term, moment.epoch, moment.batch) if term else error

    def _error(self, what: str, term: str, epoch: int, batch: int) -> NonFiniteError:
        return NonFiniteError(what, term=term, epoch=epoch + 1, batch=batch, checkpoint=self.saved)

    def _interrupted(self) -> Interrupted:
        self.save()
        return Interrupted(epoch=self.at.epoch, batch=self.at.batch, step=self.at.step, checkpoint=self.saved)

    def _fingerprint(self) -> dict[str, Any]:
        return self.settings.fingerprint(data=len(self.data), processes=self.processes)
