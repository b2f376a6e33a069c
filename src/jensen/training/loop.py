"""`fit`: the whole of training in one call."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor, nn

from jensen._contracts import Indexable
from jensen.training.checkpoints import CheckpointError, latest
from jensen.training.devices import connect, disconnect, place
from jensen.training.free_energy import FreeEnergy
from jensen.training.interruption import Interrupted
from jensen.training.nonfinite import NonFiniteError
from jensen.training.optimizers import Adam, OptimizerFactory
from jensen.training.records import EpochRecord
from jensen.training.run import Run
from jensen.training.schedules import BlundellWeights, Constant, Product, Schedule, as_schedule
from jensen.training.seeds import NOISE, derived_seed, isolated
from jensen.training.settings import Settings
from jensen.training.stepper import Stepper, takes
from jensen.training.validation import check_data

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["History", "fit"]


@dataclass(frozen=True, eq=False)
class History:
    """What came of a run.

    Attributes:
        epochs: one record for each epoch, those before a resume included.
        step: optimizer steps behind it.
        checkpoint: the last checkpoint; None without a run folder.
        averaged: the model with averaged parameters; None without `ema`.
        rank: which of the run's processes this is; only process 0 should go on to write files.
    """

    epochs: list[EpochRecord]
    step: int
    checkpoint: Path | None
    averaged: nn.Module | None
    rank: int


def fit(
    model: nn.Module,
    objective: Callable[..., Tensor],
    data: Indexable,
    *,
    epochs: int,
    batch_size: int = 100,
    learning_rate: float | Schedule = 1e-3,
    kl_weight: float | Schedule = 1.0,
    optimizer: OptimizerFactory | None = None,
    clip_norm: float | None = None,
    ema: float | None = None,
    validation: Indexable | None = None,
    validate_every: int = 1,
    seed: int = 0,
    precision: str = "32-true",
    accelerator: str = "auto",
    devices: int | str = 1,
    num_nodes: int = 1,
    strategy: str = "auto",
    compile: bool = False,  # noqa: A002
    out: Path | str | None = None,
    resume: bool | Path | str = False,
    checkpoint_every: int = 1,
    checkpoint_seconds: float | None = None,
    keep: int = 2,
    tensorboard: bool = False,
    progress: bool = True,
) -> History:
    r"""Train a model in place by stochastic ascent of a bound.

    $$\max_\theta \; \frac{1}{N} \sum_{n=1}^{N} \mathbb{E}[\mathcal{L}(x_n; \theta)]$$

    All randomness follows from `seed`; the caller's generators are left as they were. On a CPU a resumed run equals one
    that was never interrupted, to the bit. The model ends on the device that was used.

    Args:
        model: trained in place.
        objective: `(model, x, *, kl_weight=1.0) -> (B,)` or `(model, x) -> (B,)`, a bound in nats. An `nn.Module` may
            keep a state in its buffers, which checkpoints hold; what its `monitor()` says, a dict of numbers, is
            written down after each epoch.
        data: a tensor `(N, *event)`, `Pairs`, or anything with `len(data)` and `data[index]`.
        epochs: passes over the data, counted from the very beginning also after a resume.
        batch_size: data in a step, over all processes together; the last batch of an epoch may be smaller.
        learning_rate: a number or a schedule of the progress in epochs.
        kl_weight: likewise; for warm-up, `Linear(0.0, 1.0, epochs=10)`. It changes gradients, never the reported bound.
        optimizer: `factory(parameters, lr=...)`; `Adam()` by default.
        clip_norm: largest Euclidean norm of the gradient.
        ema: decay of a moving average of the parameters, which is then what validation looks at.
        validation: held-out data; the bound on them is taken after an epoch, always with the same noise.
        validate_every: epochs between two validations; the last epoch always has one.
        seed: of the order of the data and of all noise. It does not reach the model's initial parameters.
        precision: `32-true`, `bf16-mixed`, `bf16-true` or `64-true`.
        accelerator: `auto`, `cpu`, `cuda`, or another that Lightning Fabric knows.
        devices: processes on this machine, one device each.
        num_nodes: machines.
        strategy: `auto`, or `ddp` for several processes.
        compile: fuse the objective with `torch.compile`, on a GPU with CUDA graphs.
        out: the run folder, for `metrics.jsonl` and `checkpoints/`; None writes nothing.
        resume: go on from the newest checkpoint in `out`, or from the one given.
        checkpoint_every: epochs between two checkpoints; the beginning and the last epoch always have one.
        checkpoint_seconds: write one also whenever so much time has passed since the last.
        keep: how many checkpoints stay.
        tensorboard: write events to `out/tensorboard` as well.
        progress: show a progress bar where standard error is a terminal.

    Returns:
        The records of all epochs and where the run stands.

    Raises:
        ValueError: if an argument is out of range, the data are empty or refused by `model.check`, or the objective is
            not `(B,)`.
        CheckpointError: if there is nothing to resume from, it is damaged, or it was made with other settings.
        NonFiniteError: if the bound became NaN or infinite: epoch, batch, offending term and last good checkpoint are
            named.
        Interrupted: a `KeyboardInterrupt` after the first Ctrl-C, once a checkpoint is written. The second Ctrl-C stops
            at once.
        OSError: if a file cannot be written; the previous checkpoint is intact.

    Example:
        >>> model = nn.Linear(1, 1, bias=False)
        >>> objective = lambda model, x: -model(x).square().sum(-1)
        >>> history = fit(model, objective, torch.ones(8, 1), epochs=2, batch_size=4, accelerator="cpu")
        >>> [record.step for record in history.epochs]
        [2, 4]
    """
    settings = Settings(
        objective=objective, epochs=epochs, batch_size=batch_size, learning_rate=as_schedule(learning_rate),
        kl_weight=as_schedule(kl_weight), optimizer=optimizer or Adam(), clip_norm=clip_norm, ema=ema, seed=seed,
        precision=precision, num_nodes=num_nodes, compile=compile, validate_every=validate_every, keep=keep,
        checkpoint_every=checkpoint_every, checkpoint_seconds=checkpoint_seconds,
    )  # fmt: skip
    _check_kl_weight(settings)
    _check_sizes(settings, len(data))
    folder = Path(out) if out is not None else None
    start = _starting_point(folder, resume, tensorboard)
    check_data(model, data)
    if validation is not None:
        check_data(model, validation, name="validation")
    fabric = connect(
        accelerator=accelerator, devices=devices, num_nodes=num_nodes, strategy=strategy, precision=precision
    )
    with isolated(fabric.device, seed=derived_seed(seed, NOISE, fabric.global_rank)):
        return _run(model, data, validation, settings=settings, fabric=fabric, out=folder, start=start,
                    tensorboard=tensorboard, progress=progress)  # fmt: skip


def _run(
    model: nn.Module,
    data: Indexable,
    validation: Indexable | None,
    *,
    settings: Settings,
    fabric: "Fabric",
    out: Path | None,
    start: Path | None,
    tensorboard: bool,
    progress: bool,
) -> History:
    if fabric.world_size > settings.batch_size:
        raise ValueError(
            f"batch_size={settings.batch_size} leaves nothing to some of {fabric.world_size} processes; raise it"
        )
    model.to(fabric.device)
    stepper = Stepper(
        model, settings.objective, optimizer=settings.optimizer, clip_norm=settings.clip_norm, ema=settings.ema,
        compile=settings.compile, fabric=fabric if fabric.world_size > 1 or settings.precision != "32-true" else None,
    )  # fmt: skip
    held_out = None if validation is None else place(validation, fabric.device)
    run = Run(stepper, place(data, fabric.device), validation=held_out, settings=settings, fabric=fabric, out=out)
    was_training = model.training
    model.train()
    together = True
    try:
        if start is not None:
            run.resume(start)
        run.train(tensorboard=tensorboard, progress=progress)
    except BaseException as error:
        together = isinstance(error, Interrupted | NonFiniteError)
        raise
    finally:
        model.train(was_training)
        stepper.release()
        if together:
            disconnect(fabric)
    averaged = stepper.averaged.module if stepper.averaged is not None else None
    return History(run.records.epochs, run.at.step, run.saved, averaged, run.rank)


def _starting_point(out: Path | None, resume: bool | Path | str, tensorboard: bool) -> Path | None:
    """The checkpoint to go on from; None for a new run, whose folder must then hold none."""
    if out is None:
        if resume is not False or tensorboard:
            raise ValueError("resume and tensorboard need a run folder: give out")
        return None
    newest = latest(out)
    if resume is False:
        if newest is not None:
            raise ValueError(
                f"{out} already holds a run ({newest.name}); resume=True goes on with it, or take another folder"
            )
        return None
    if not isinstance(resume, bool):
        return Path(resume)
    if newest is None:
        raise CheckpointError(f"{out} holds no checkpoint to resume from; start this run without resume")
    return newest


def _check_kl_weight(settings: Settings) -> None:
    if settings.kl_weight != Constant(1.0) and not takes(settings.objective, "kl_weight"):
        raise ValueError(
            "kl_weight needs an objective with the argument kl_weight: (model, x, *, kl_weight=1.0) -> (B,)"
        )


def _check_sizes(settings: Settings, data: int) -> None:
    """Refuse numbers of data or of minibatches that are not this run's: the KL would count too much or too little."""
    objective = settings.objective
    if isinstance(objective, FreeEnergy) and objective.data != data > 0:
        raise ValueError(f"the objective is that of data={objective.data}, but there are {data}; give their number")
    batches, schedules = -(-data // settings.batch_size), [settings.kl_weight]
    while schedules:
        schedule = schedules.pop()
        if isinstance(schedule, Product):
            schedules += [schedule.first, schedule.second]
        if isinstance(schedule, BlundellWeights) and schedule.batches != batches > 0:
            raise ValueError(f"{schedule} does not fit an epoch of {batches} minibatches; give batches={batches}")
