"""Runs: a recipe trained into a folder, taken up again, loaded and measured. Importing this imports torch."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from jensen.evaluation import Evaluation, LatentInformation, evaluate, has_one_code, latent_information
from jensen.recipes.build import Experiment, build, make_model
from jensen.recipes.config import EVALUATION, INFORMATION, Config, config_of, read_evaluation
from jensen.recipes.fitting import fit_into, load_trained
from jensen.recipes.machine import choose_device, threads
from jensen.recipes.objectives import Constraint, Objective
from jensen.recipes.recipe import Optimizer, Recipe
from jensen.recipes.thinning import thinned
from jensen.training import (
    BalancedKL,
    Burda,
    Constant,
    Constrained,
    Cosine,
    DoublyReparameterized,
    Estimated,
    FreeBits,
    History,
    ImportanceWeighted,
    Linear,
    Resampled,
    Variational,
)
from jensen.training.constraints import CONSTRAINTS

__all__ = [
    "ASCENDS",
    "build",
    "check_method",
    "load_evaluation",
    "load_information",
    "load_model",
    "make_objective",
    "make_schedule",
    "measure",
    "train",
]

OBJECTIVES: dict[str, Callable[[Objective], Any]] = {
    "iwae": lambda objective: ImportanceWeighted(objective.samples),
    "elbo": lambda objective: Variational(objective.samples),
    "sgvb_b": lambda objective: Variational(objective.samples, analytic_kl=True),
    "dreg": lambda objective: DoublyReparameterized(objective.samples),
    "resampled": lambda objective: Resampled(objective.samples),
    "free_bits": lambda objective: FreeBits(objective.free_bits, objective.samples),
    "balanced": lambda objective: BalancedKL(objective.samples),
    "geco": lambda objective: _constrained(objective.samples, cast(Constraint, objective.constraint)),
    "estimated": lambda objective: Estimated(objective.method, objective.samples, dict(objective.options)),
}
ASCENDS = ("bound", "nats per image")
"""What training raises, and what that is counted in."""

CHECKPOINTS = 100
"""A run is put away so many times."""

INFORMED = 1000
"""Test images among which the information in the latents is measured, a million densities for each draw."""

KS = (1, 5, 50, 500, 5000)


def check_method(config: Config[Recipe], experiment: Experiment) -> None:
    """See to it that the objective can be, and that an estimator takes the model's draws: one gradient at two images.

    Raises:
        ValueError: if it cannot, or the estimator does not, or not with these options.
    """
    objective = config.recipe.objective
    ascended = make_objective(objective)
    if objective.name != "estimated":
        return
    with torch.random.fork_rng(), threads(config.recipe.threads):
        try:
            bound = ascended(experiment.model, experiment.validation[:2])
            torch.autograd.grad(bound.mean(), list(experiment.model.parameters()), allow_unused=True)
        except TypeError as error:
            raise ValueError(f"{objective} fails: {error}") from error


def train(
    run: Path,
    config: Config[Recipe],
    experiment: Experiment,
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
    recipe, optimizer = config.recipe, config.recipe.optimizer
    epochs, beta = recipe.budget.epochs, recipe.objective.beta
    return fit_into(
        run,
        config,
        experiment.model,
        objective=make_objective(recipe.objective),
        data=experiment.train,
        validation=experiment.validation,
        learning_rate=make_schedule(optimizer, epochs=epochs),
        kl_weight=Linear(0.0, beta, optimizer.kl_warmup) if optimizer.kl_warmup else beta,
        checkpoint_every=max(1, epochs // CHECKPOINTS),
        resume=resume,
        device=device,
        progress=progress,
    )


def load_model(run: Path, *, device: str = "cpu") -> tuple[Config[Recipe], nn.Module]:
    """The trained model of a run, its averaged weights where the recipe asks for them, in evaluation mode.

    Raises:
        ValueError: if the folder, its configuration or its newest checkpoint is missing or damaged.
    """
    config = config_of(run, Recipe)
    model = make_model(config.recipe.model, config.shape, objective=config.recipe.objective)
    return config, load_trained(model, run, config, device=device)


def measure(
    run: Path,
    *,
    samples: int | None = None,
    limit: int | None = None,
    batch_size: int = 100,
    chunk: int = 50,
    seed: int = 0,
    device: str = "auto",
    progress: bool = False,
) -> Evaluation:
    """Evaluate a run on its test images and write `evaluation.json`, and `information.json` on its latents.

    Args:
        run: the run folder.
        samples: draws for each image; the recipe's number where None.
        limit: so many test images only, evenly spaced.
        batch_size: images held at once.
        chunk: draws held at once.
        seed: of the draws.
        device: where to compute.
        progress: show a progress bar.

    Raises:
        ValueError: if the run cannot be loaded or a number is below one.
    """
    place = choose_device(device)
    config, model = load_model(run, device=place)
    samples = config.recipe.budget.evaluation_samples if samples is None else samples
    if samples < 1 or (limit is not None and limit < 1):
        raise ValueError(f"samples and limit must be at least 1, got samples={samples}, limit={limit}")
    test = thinned(build(config.recipe, seed=config.seed).test, limit).to(place)
    ks = sorted({k for k in KS if k < samples} | {samples})
    with threads(config.recipe.threads):
        found = evaluate(
            cast(Any, model),
            test,
            samples=samples,
            ks=ks,
            batch_size=batch_size,
            chunk=chunk,
            seed=seed,
            progress=progress,
        )
        _inform(run, model, thinned(test, INFORMED), batch_size=batch_size, seed=seed)
    (run / EVALUATION).write_text(found.to_json(), encoding="utf-8")
    return found


def load_information(run: Path) -> LatentInformation | None:
    """What `measure` found out about the latents, or None where the model has not one latent vector.

    Raises:
        ValueError: if the file is damaged.
    """
    return read_evaluation(run, LatentInformation.from_json, name=INFORMATION)


def _inform(run: Path, model: nn.Module, test: Tensor, *, batch_size: int, seed: int) -> None:
    """Write what the latents know of the first test images, or that nobody can tell."""
    path = run / INFORMATION
    path.unlink(missing_ok=True)
    if len(test) > 1 and has_one_code(model, test):
        found = latent_information(cast(Any, model), test, batch_size=batch_size, seed=seed)
        path.write_text(found.to_json(), encoding="utf-8")


def load_evaluation(run: Path) -> Evaluation | None:
    """What `measure` wrote, or None.

    Raises:
        ValueError: if the file is damaged.
    """
    return read_evaluation(run, Evaluation.from_json)


def make_objective(objective: Objective) -> Any:
    """The callable that training ascends.

    Raises:
        ValueError: if it names an estimator that is not there, or one that needs more samples.

    Example:
        >>> make_objective(Objective("iwae", samples=5))
        ImportanceWeighted(samples=5)
    """
    if objective.name not in OBJECTIVES:
        raise ValueError(f"nobody makes the objective {objective.name!r}; there are {', '.join(OBJECTIVES)}")
    return OBJECTIVES[objective.name](objective)


def _constrained(samples: int, constraint: Constraint) -> Constrained:
    return Constrained(
        CONSTRAINTS[constraint.name](constraint.kappa),
        samples=samples,
        alpha=constraint.alpha,
        rate=constraint.rate,
        initial=constraint.initial,
        warm_start=constraint.warm_start,
    )


def make_schedule(optimizer: Optimizer, *, epochs: int) -> Constant | Burda | Cosine:
    """The course of the learning rate.

    Example:
        >>> make_schedule(Optimizer(schedule="burda"), epochs=40)
        Burda(base=0.001)
    """
    if optimizer.schedule == "burda":
        return Burda(optimizer.learning_rate)
    if optimizer.schedule == "cosine":
        return Cosine(optimizer.learning_rate, epochs=epochs, final=optimizer.floor * optimizer.learning_rate)
    return Constant(optimizer.learning_rate)
