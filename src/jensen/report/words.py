"""Numbers and recipes as people say them."""

import math
from typing import Any

from jensen.recipes.config import Config
from jensen.recipes.factor_recipe import FactorRecipe
from jensen.recipes.kinds import AnyRecipe
from jensen.recipes.network_recipe import NetworkRecipe
from jensen.recipes.recipe import Recipe

__all__ = ["config_entries", "duration", "number", "recipe_entries"]


def number(value: float, *, digits: int = 3) -> str:
    """A number with so many digits after the point, a dash where there is none.

    Example:
        >>> number(-86.7654), number(math.nan)
        ('-86.765', '–')
    """
    return f"{value:.{digits}f}" if math.isfinite(value) else "–" if math.isnan(value) else str(value)


def duration(seconds: float) -> str:
    """A time in the two largest units that it fills.

    Example:
        >>> duration(0.4), duration(75), duration(7300)
        ('0.4 s', '1 min 15 s', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def recipe_entries(recipe: AnyRecipe) -> list[tuple[str, str]]:
    """A recipe in a few names and values, for a terminal and for a page.

    Example:
        >>> from jensen import recipes
        >>> recipe_entries(recipes.get("iwae2-mnist"))[1]
        ('model', 'iwae, 200-200-100 / 100-100-50, bernoulli pixels')
        >>> recipe_entries(recipes.get("sparse-vd-mnist"))[1]
        ('network', '300-100, relu')
    """
    budget = recipe.budget
    limit = "" if budget.images is None else f", the first {budget.images} of every split"
    if isinstance(recipe, FactorRecipe):
        entries = _factor_entries(recipe, limit)
    else:
        entries = (
            _network_entries(recipe, limit) if isinstance(recipe, NetworkRecipe) else _model_entries(recipe, limit)
        )
    return [*entries, ("training", f"{budget.epochs:,} epochs in batches of {budget.batch_size}")]


def _network_entries(recipe: NetworkRecipe, limit: str) -> list[tuple[str, str]]:
    data, weights, optimizer = recipe.data, recipe.weights, recipe.optimizer
    scale = "" if data.scale == 1 else f", grey levels times {data.scale:.4g}"
    noise = recipe.noise.kind if recipe.noise.kind == "categorical" else f"gaussian, scale {recipe.noise.scale}"
    entries = [
        ("data", f"{data.name}, split {data.split}{scale}{limit}"),
        ("network", f"{recipe.network}, {recipe.network.activation}"),
        ("weights", f"{weights}"),
        ("targets", noise),
    ]
    if weights.random:
        draws = "1 draw" if weights.samples == 1 else f"{weights.samples} draws"
        rise = f", rising from epoch {optimizer.kl_start:g} to {optimizer.kl_end:g}" if optimizer.kl_end else ""
        entries.append(("objective", f"free energy, {draws}; KL weights {optimizer.kl_weights}{rise}"))
    return entries


def _factor_entries(recipe: FactorRecipe, limit: str) -> list[tuple[str, str]]:
    return [
        ("data", f"{recipe.data.name}, split {recipe.data.split}, left grey{limit}"),
        ("networks", f"{recipe.model}"),
        ("weights", f"{recipe.losses}"),
    ]


def _model_entries(recipe: Recipe, limit: str) -> list[tuple[str, str]]:
    data = recipe.data
    samples = "1 sample" if recipe.objective.samples == 1 else f"{recipe.objective.samples} samples"
    return [
        ("data", f"{data.name}, split {data.split}, {data.pixels}{limit}"),
        ("model", f"{recipe.model.kind}, {recipe.model}, {recipe.model.likelihood.replace('_', ' ')} pixels"),
        ("objective", f"{recipe.objective}, {samples}"),
    ]


def config_entries(config: Config[Any]) -> list[tuple[str, str]]:
    """All that a run was told, for the end of a page."""
    recipe, optimizer = config.recipe, config.recipe.optimizer
    step = f"Adam, learning rate {optimizer.learning_rate:g}, {optimizer.course}"
    moments = f"betas {optimizer.betas[0]:g} and {optimizer.betas[1]:g}, eps {optimizer.eps:g}"
    return [
        ("recipe", recipe.name),
        ("paper", f"{recipe.paper}, {recipe.paper.url}"),
        *recipe_entries(recipe),
        ("optimizer", f"{step}, {moments}"),
        ("precision", f"{recipe.precision}{', compiled' if recipe.compile else ''}"),
        ("seed", str(config.seed)),
        *(("differs from the paper", sentence) for sentence in recipe.differs),
    ]
