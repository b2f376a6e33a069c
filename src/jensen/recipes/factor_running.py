"""Runs that separate factors: trained into a folder, taken up again, loaded. Importing this imports torch."""

from pathlib import Path

from jensen.models import DisentanglingAutoencoder
from jensen.recipes.config import Config, config_of
from jensen.recipes.factor_build import FactorExperiment, make_model, make_objective
from jensen.recipes.factor_recipe import FactorRecipe
from jensen.recipes.machine import choose_device, make_folder, threads
from jensen.recipes.running import make_schedule
from jensen.training import Adam, History, fit, load_weights

__all__ = ["ASCENDS", "begin", "check_method", "load_model", "train"]

ASCENDS = ("objective", "minus the weighted losses of an image")
"""What training raises, and what that is counted in."""

CHECKPOINTS, CHECKPOINT_SECONDS = 20, 60.0
"""A run is put away and validated so many times, and put away at least once in so many seconds."""


def begin(run: Path, config: Config[FactorRecipe], *, overwrite: bool = False) -> None:
    """Make the run folder and write down what will happen in it and where.

    Raises:
        ValueError: if something is there already and `overwrite` is false, or it is no run.
        OSError: if it cannot be written.
    """
    make_folder(run, config, overwrite=overwrite)


def check_method(config: Config[FactorRecipe], experiment: FactorExperiment) -> None:
    """See to it that the networks fit the images.

    Raises:
        ValueError: if they do not.
    """
    with threads(config.recipe.threads):
        experiment.model.check(experiment.data.validation)


def train(
    run: Path,
    config: Config[FactorRecipe],
    experiment: FactorExperiment,
    *,
    resume: bool = False,
    device: str = "auto",
    progress: bool = True,
) -> History:
    """Train into a run folder that `begin` made, or go on where its newest checkpoint stands.

    Raises:
        ValueError: if the device is not there, the data do not fit the networks, or the checkpoint is damaged.
        KeyboardInterrupt: after Ctrl-C, with a checkpoint to go on from.
    """
    with threads(config.recipe.threads):
        return _fit(run, config, experiment, resume=resume, device=device, progress=progress)


def _fit(
    run: Path,
    config: Config[FactorRecipe],
    experiment: FactorExperiment,
    *,
    resume: bool,
    device: str,
    progress: bool,
) -> History:
    recipe, budget, optimizer = config.recipe, config.recipe.budget, config.recipe.optimizer
    rarely = max(1, budget.epochs // CHECKPOINTS)
    return fit(
        experiment.model,
        make_objective(recipe.losses),
        experiment.data.train,
        epochs=budget.epochs,
        batch_size=budget.batch_size,
        learning_rate=make_schedule(optimizer, epochs=budget.epochs),
        optimizer=Adam(betas=optimizer.betas, eps=optimizer.eps),
        clip_norm=optimizer.clip_norm,
        ema=optimizer.ema,
        validation=experiment.data.validation,
        validate_every=rarely,
        seed=config.seed,
        precision=recipe.precision,
        accelerator=choose_device(device),
        devices=config.devices,
        num_nodes=config.nodes,
        strategy="ddp" if config.devices * config.nodes > 1 else "auto",
        compile=recipe.compile,
        out=run,
        resume=resume,
        checkpoint_every=rarely,
        checkpoint_seconds=CHECKPOINT_SECONDS,
        tensorboard=config.tensorboard,
        progress=progress,
    )


def load_model(run: Path, *, device: str = "cpu") -> tuple[Config[FactorRecipe], DisentanglingAutoencoder]:
    """The trained model of a run, its averaged weights where the recipe asks for them, in evaluation mode.

    Raises:
        ValueError: if the folder, its configuration or its newest checkpoint is missing or damaged, or it is a run of
            another kind.
    """
    config = config_of(run, FactorRecipe)
    model = make_model(config.recipe, config.shape)
    load_weights(model, run, averaged=config.recipe.optimizer.ema is not None)
    return config, model.to(choose_device(device)).eval()
