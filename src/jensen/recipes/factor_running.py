"""Runs that separate factors: trained into a folder, taken up again, loaded. Importing this imports torch."""

from pathlib import Path

from jensen.models import DisentanglingAutoencoder
from jensen.recipes.config import Config, config_of
from jensen.recipes.factor_build import FactorExperiment, make_model, make_objective
from jensen.recipes.factor_recipe import FactorRecipe
from jensen.recipes.fitting import fit_into, load_trained
from jensen.recipes.machine import threads
from jensen.recipes.running import make_schedule
from jensen.training import History

__all__ = ["ASCENDS", "check_method", "load_model", "train"]

ASCENDS = ("objective", "minus the weighted losses of an image")
"""What training raises, and what that is counted in."""

CHECKPOINTS = 20
"""A run is put away and validated so many times."""


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
    """Train into a run folder that `make_folder` made, or go on where its newest checkpoint stands.

    Raises:
        ValueError: if the device is not there, the data do not fit the networks, or the checkpoint is damaged.
        KeyboardInterrupt: after Ctrl-C, with a checkpoint to go on from.
    """
    recipe, epochs = config.recipe, config.recipe.budget.epochs
    rarely = max(1, epochs // CHECKPOINTS)
    return fit_into(
        run,
        config,
        experiment.model,
        objective=make_objective(recipe.losses),
        data=experiment.data.train,
        validation=experiment.data.validation,
        learning_rate=make_schedule(recipe.optimizer, epochs=epochs),
        validate_every=rarely,
        checkpoint_every=rarely,
        resume=resume,
        device=device,
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
    return config, load_trained(model, run, config, device=device)
