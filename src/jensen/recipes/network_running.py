"""Runs of networks: trained into a folder, taken up again, loaded. Importing this imports torch."""

from pathlib import Path

import torch
from torch import nn

from jensen.recipes.config import Config, config_of
from jensen.recipes.machine import choose_device, make_folder, threads
from jensen.recipes.network_build import NetworkExperiment, make_model, make_objective
from jensen.recipes.network_recipe import NetworkRecipe
from jensen.recipes.network_schedules import make_kl_weight, make_learning_rate
from jensen.training import Adam, History, fit, load_weights

__all__ = ["ASCENDS", "begin", "check_method", "load_model", "train"]

ASCENDS = ("bound", "nats per datum")
"""What training raises, and what that is counted in."""

CHECKPOINTS, VALIDATIONS, CHECKPOINT_SECONDS = 100, 100, 60.0
"""A run is put away and validated so many times, and put away at least once in so many seconds."""


def begin(run: Path, config: Config[NetworkRecipe], *, overwrite: bool = False) -> None:
    """Make the run folder and write down what will happen in it and where.

    Raises:
        ValueError: if something is there already and `overwrite` is false, or it is no run.
        OSError: if it cannot be written.
    """
    make_folder(run, config, overwrite=overwrite)


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
    """Train into a run folder that `begin` made, or go on where its newest checkpoint stands.

    Raises:
        ValueError: if the device is not there, the data do not fit the likelihood, or the checkpoint is damaged.
        KeyboardInterrupt: after Ctrl-C, with a checkpoint to go on from.
    """
    with threads(config.recipe.threads):
        return _fit(run, config, experiment, resume=resume, device=device, progress=progress)


def _fit(
    run: Path,
    config: Config[NetworkRecipe],
    experiment: NetworkExperiment,
    *,
    resume: bool,
    device: str,
    progress: bool,
) -> History:
    recipe, budget, optimizer = config.recipe, config.recipe.budget, config.recipe.optimizer
    data = experiment.data
    kl_weight = make_kl_weight(optimizer, batches=-(-len(data.train) // budget.batch_size))
    return fit(
        experiment.model,
        make_objective(recipe, data=len(data.train)),
        data.train,
        epochs=budget.epochs,
        batch_size=budget.batch_size,
        learning_rate=make_learning_rate(optimizer, epochs=budget.epochs),
        kl_weight=kl_weight if recipe.weights.random else 1.0,
        optimizer=Adam(betas=optimizer.betas, eps=optimizer.eps, weight_decay=_decay(recipe, len(data.train))),
        clip_norm=optimizer.clip_norm,
        ema=optimizer.ema,
        validation=data.validation,
        validate_every=max(1, budget.epochs // VALIDATIONS),
        seed=config.seed,
        precision=recipe.precision,
        accelerator=choose_device(device),
        devices=config.devices,
        num_nodes=config.nodes,
        strategy="ddp" if config.devices * config.nodes > 1 else "auto",
        compile=recipe.compile,
        out=run,
        resume=resume,
        checkpoint_every=max(1, budget.epochs // CHECKPOINTS),
        checkpoint_seconds=CHECKPOINT_SECONDS,
        tensorboard=config.tensorboard,
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
    load_weights(model, run, averaged=config.recipe.optimizer.ema is not None)
    return config, model.to(choose_device(device)).eval()
