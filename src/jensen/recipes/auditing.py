"""Audits of what recipes and runs train: their estimators on a minibatch. Importing this imports torch."""

from pathlib import Path
from typing import Any

import torch
from torch.distributions import Distribution

from jensen import recipes
from jensen.gradients.audit import Audit, MethodLike, audit
from jensen.gradients.registry import Cost
from jensen.layers import discrete
from jensen.recipes.build import build
from jensen.recipes.config import CONFIG
from jensen.recipes.machine import threads
from jensen.recipes.running import load_model
from jensen.recipes.toys import TOYS, get_toy

__all__ = ["Audit", "audit_recipe", "problem"]

IMAGES = 5
"""Test images whose latents are audited together."""

TAKE = f"take a recipe such as discrete-vae-digits, or one of {', '.join(TOYS)}"


def audit_recipe(
    name: str,
    *,
    methods: list[MethodLike] | None = None,
    samples: int = 4,
    replicates: int = 2000,
    seed: int = 0,
) -> Audit:
    """Audit a toy, the untrained model of a recipe, or a trained run, on one thread: the problems are small.

    Args:
        name: a name of `toys.TOYS`, of a recipe with discrete latents, or a run folder.
        methods: names of `gradients.ESTIMATORS`; all that apply where None.
        samples: the draws of each.
        replicates: independent estimates of each.
        seed: of the draws and of an untrained model's weights.

    Raises:
        ValueError: if there is no such toy, recipe or run, or it has nothing to audit.

    Example:
        >>> audit_recipe("toy-four", methods=["leave_one_out"], replicates=100).rows[0].evaluations
        4
    """
    f, q = problem(name, seed=seed)
    with threads(1):
        return audit(f, q, methods=methods, samples=samples, replicates=replicates, seed=seed)


def problem(name: str, *, seed: int = 0) -> tuple[Cost, Distribution]:
    """The cost and the distribution behind a name; those of a model at a few test images, in the posterior's logits.

    Raises:
        ValueError: as `audit_recipe` does.
    """
    if name.startswith("toy-"):
        return get_toy(name).make()
    if (Path(name) / CONFIG).is_file():
        config, model = load_model(Path(name))
        test = build(config.recipe, seed=config.seed).test
    else:
        recipe = recipes.get(name)
        if not isinstance(recipe, recipes.Recipe):
            raise ValueError(f"{name} trains no autoencoder, so there are no discrete latents to audit; {TAKE}")
        experiment = build(recipe, seed=seed)
        model, test = experiment.model, experiment.test
    return _at_outputs(model, test[:IMAGES], name)


def _at_outputs(model: Any, x: torch.Tensor, name: str) -> tuple[Cost, Distribution]:
    """The model's cost of its latents, and their posterior with logits of its own."""
    if not all(hasattr(model, each) for each in ("cost", "posterior", "units")):
        raise ValueError(
            f"{name} trains a {type(model).__name__}, which has no single layer of discrete latents to audit; {TAKE}"
        )
    model.requires_grad_(requires_grad=False)
    with torch.no_grad():
        logits: torch.Tensor = model.posterior(x).base_dist.logits
    logits = logits.detach().clone().requires_grad_()
    f: Cost = model.cost(x)
    return f, discrete(logits, units=model.units)
