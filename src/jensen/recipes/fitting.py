"""What training into a run folder takes, whatever the kind of the recipe. Importing this imports torch."""

from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from jensen.recipes.config import Config
from jensen.recipes.machine import choose_device, threads
from jensen.training import Adam, History, fit, load_weights

__all__ = ["fit_into", "load_trained"]

CHECKPOINT_SECONDS = 60.0
"""A run is put away at least once in so many seconds."""

M = TypeVar("M", bound=nn.Module)


def fit_into(
    run: Path,
    config: Config[Any],
    model: nn.Module,
    *,
    objective: Any,
    data: Any,
    device: str,
    weight_decay: float = 0.0,
    **options: Any,
) -> History:
    """Train `model` on `data` with the recipe's numbers and the configuration's seed and processes.

    Args:
        run: the folder that `make_folder` made.
        config: the recipe, the seed and the machine.
        model: what is trained.
        objective: what training ascends.
        data: what it is trained on.
        device: `cpu`, `cuda`, `mps` or `auto`.
        weight_decay: of Adam.
        options: those of `jensen.training.fit` that depend on the kind of the recipe.

    Raises:
        ValueError: if the device is not there, the data do not fit the objective, or the checkpoint is damaged.
        KeyboardInterrupt: after Ctrl-C, with a checkpoint to go on from.
    """
    recipe = config.recipe
    optimizer, budget = recipe.optimizer, recipe.budget
    with threads(recipe.threads):
        return fit(
            model,
            objective,
            data,
            epochs=budget.epochs,
            batch_size=budget.batch_size,
            optimizer=Adam(betas=optimizer.betas, eps=optimizer.eps, weight_decay=weight_decay),
            clip_norm=optimizer.clip_norm,
            ema=optimizer.ema,
            seed=config.seed,
            precision=recipe.precision,
            accelerator=choose_device(device),
            devices=config.devices,
            num_nodes=config.nodes,
            strategy="ddp" if config.devices * config.nodes > 1 else "auto",
            compile=recipe.compile,
            out=run,
            checkpoint_seconds=CHECKPOINT_SECONDS,
            tensorboard=config.tensorboard,
            **options,
        )


def load_trained(model: M, run: Path, config: Config[Any], *, device: str) -> M:
    """`model` with the weights of the run, averaged ones where the recipe asks for them, in evaluation mode.

    Raises:
        ValueError: if the newest checkpoint is missing or damaged.
    """
    load_weights(model, run, averaged=config.recipe.optimizer.ema is not None)
    return model.to(choose_device(device)).eval()
