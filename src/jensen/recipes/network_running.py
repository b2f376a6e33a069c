"""Runs of networks: trained into a folder, taken up again, loaded. Importing this imports torch."""

from pathlib import Path

import torch
from torch import nn

from jensen.recipes.config import Config, config_of
from jensen.recipes.fitting import fit_into, load_trained
from jensen.recipes.machine import threads
from jensen.recipes.network_build import NetworkExperiment, make_model, make_objective
from jensen.recipes.network_recipe import NetworkRecipe
from jensen.recipes.network_schedules import make_kl_weight, make_learning_rate
from jensen.training import History

__all__ = ["ASCENDS", "check_method", "load_model", "train"]

ASCENDS = ("bound", "nats per datum")
"""What training raises, and what that is counted in."""

CHECKPOINTS = 100
"""A run is put away and validated so many times."""


def check_method(config: Config[NetworkRecipe], experiment: NetworkExperiment) -> None:
    """See to it that a gradient can be had at two data.

    Raises:
        ValueError: if the method does not fit the network.
    """
    data = experiment.data
    with torch.random.fork_rng(), threads(config.recipe.threads):
        bound = make_objective(config.recipe, data=len(data.train))(experiment.model, data.train[:2])
        torch.autograd.grad(bound.mean(), list(experiment.model.parameters()), allow_unused=True)


def train(
    run: Path,
    config: Config[NetworkRecipe],
    experiment: NetworkExperiment,
    *,
    resume: bool = False,
    device: str = "auto",
    progress: bool = True,
) -> History:
    """Train into a run folder that `make_folder` made, or go on where its newest checkpoint stands.

    Raises:
        ValueError: if the device is not there, the data do not fit the likelihood, or the checkpoint is damaged.
        KeyboardInterrupt: after Ctrl-C, with a checkpoint to go on from.
    """
    recipe, budget, data = config.recipe, config.recipe.budget, experiment.data
    kl_weight = make_kl_weight(recipe.optimizer, batches=-(-len(data.train) // budget.batch_size))
    rarely = max(1, budget.epochs // CHECKPOINTS)
    return fit_into(
        run,
        config,
        experiment.model,
        objective=make_objective(recipe, data=len(data.train)),
        data=data.train,
        validation=data.validation,
        learning_rate=make_learning_rate(recipe.optimizer, epochs=budget.epochs),
        kl_weight=kl_weight if recipe.weights.random else 1.0,
        weight_decay=_decay(recipe, len(data.train)),
        validate_every=rarely,
        checkpoint_every=rarely,
        resume=resume,
        device=device,
        progress=progress,
    )


def _decay(recipe: NetworkRecipe, data: int) -> float:
    """The strength of the penalty that a Gaussian prior is, in nats per datum, where weights are not random."""
    return 1.0 / (recipe.weights.prior.scale**2 * data) if recipe.weights.method == "laplace" else 0.0


def load_model(run: Path, *, device: str = "cpu") -> tuple[Config[NetworkRecipe], nn.Module]:
    """The trained model of a run, its averaged weights where the recipe asks for them, in evaluation mode.

    Raises:
        ValueError: if the folder, its configuration or its newest checkpoint is missing or damaged, or it is a run of
            another kind.
    """
    config = config_of(run, NetworkRecipe)
    model = make_model(config.recipe, config.shape)
    return config, load_trained(model, run, config, device=device)
