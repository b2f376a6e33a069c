"""Where a run stands, as a checkpoint and back."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from jensen.training.checkpoints import Checkpoint, CheckpointError, check_fit, load, under
from jensen.training.devices import gather
from jensen.training.optimizers import optimizer_state, restore_optimizer_state
from jensen.training.seeds import random_state, restore_random_state
from jensen.training.stepper import Stepper, state_of
from jensen.training.validation import accumulator

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["Position", "restore", "take"]


@dataclass
class Position:
    """How far a run has come.

    Attributes:
        epoch: whole epochs behind it.
        batch: steps of the epoch under way behind it.
        step: steps behind it in all.
        total: sum of the bound over the data of the epoch under way that this process has seen.
        seen: their number.
        seconds: time spent on them.
    """

    total: Tensor
    epoch: int = 0
    batch: int = 0
    step: int = 0
    seen: int = 0
    seconds: float = 0.0

    @staticmethod
    def start(device: torch.device) -> "Position":
        """The very beginning."""
        return Position(total=accumulator(device))

    def sums(self) -> Tensor:
        """`total` and `seen` as one tensor `(2,)`."""
        return torch.stack([self.total, torch.full_like(self.total, self.seen)])

    def turn(self) -> None:
        """On to the next epoch."""
        self.epoch, self.batch, self.seen, self.seconds = self.epoch + 1, 0, 0, 0.0
        self.total.zero_()


def take(position: Position, stepper: Stepper, *, settings: dict[str, Any], fabric: "Fabric") -> Checkpoint:
    """All that the rest of a run depends on. Every process must call it."""
    moments, rest = optimizer_state(stepper.optimizer)
    tensors = {f"model/{name}": value for name, value in stepper.model.state_dict().items()}
    tensors |= {f"optimizer/{name}": value for name, value in moments.items()}
    tensors |= {f"objective/{name}": value for name, value in state_of(stepper.objective).items()}
    if stepper.averaged is not None:
        tensors |= {f"ema/{name}": value for name, value in stepper.averaged.module.state_dict().items()}
    tensors |= {f"sums/{rank}": value for rank, value in enumerate(gather(position.sums(), fabric))}
    for kind, state in random_state(stepper.device).items():
        tensors |= {f"random/{rank}/{kind}": value for rank, value in enumerate(gather(state, fabric))}
    header = {
        "epoch": position.epoch,
        "batch": position.batch,
        "step": position.step,
        "seconds": position.seconds,
        "settings": settings,
        "optimizer": rest,
        "ema_updates": int(stepper.averaged.n_averaged) if stepper.averaged is not None else 0,
    }
    return Checkpoint(tensors, header)


def restore(path: Path, stepper: Stepper, *, settings: dict[str, Any], rank: int) -> Position:
    """Put everything back to where `take` found it: model, average, objective, optimizer, generators.

    Raises:
        CheckpointError: if the file is damaged, or was made with other settings or another model.
    """
    checkpoint = load(path)
    header, tensors = checkpoint.header, checkpoint.tensors
    _check_same(settings, header["settings"], path)
    weights = under(tensors, "model")
    check_fit(stepper.model.state_dict(), weights, path)
    stepper.model.load_state_dict(weights)
    if stepper.averaged is not None:
        stepper.averaged.module.load_state_dict(under(tensors, "ema"))
        stepper.averaged.n_averaged.fill_(header["ema_updates"])
    if isinstance(stepper.objective, nn.Module):
        state = under(tensors, "objective")
        check_fit(stepper.objective.state_dict(), state, path)
        stepper.objective.load_state_dict(state)
    restore_optimizer_state(stepper.optimizer, under(tensors, "optimizer"), header["optimizer"])
    restore_random_state(under(tensors, f"random/{rank}"), stepper.device)
    total, seen = tensors[f"sums/{rank}"]
    return Position(
        total=accumulator(stepper.device).copy_(total),
        epoch=header["epoch"],
        batch=header["batch"],
        step=header["step"],
        seen=int(seen),
        seconds=header["seconds"],
    )


def _check_same(now: dict[str, Any], then: dict[str, Any], path: Path) -> None:
    for name in sorted({*now, *then}):
        if now.get(name) != then.get(name):
            raise CheckpointError(
                f"{path} was made with {name}={then.get(name)}, not {now.get(name)}; resume with the same settings, "
                "or start a new run from its weights (load_weights)"
            )
