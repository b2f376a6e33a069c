"""A recipe with some of its numbers changed, as the command line asks for."""

from dataclasses import replace
from typing import Any

from jensen.recipes.recipe import Recipe

__all__ = ["adapt"]


def adapt(recipe: Recipe, *, smoke: bool = False, **changes: Any) -> Recipe:
    """A recipe with other numbers; whatever is None stays.

    Args:
        recipe: what to start from.
        smoke: take the budget of seconds instead of the full one, before the other changes.
        changes: `data`, `split`, `objective`, `method`, `options`, `samples`, `learning_rate`, `epochs`, `batch_size`,
            `evaluation_samples`, `images`, `precision`, `compile`, `threads`. Another data set comes with its standard
            split unless `split` says otherwise, and without the numbers that were got on the first; another method
            comes without the options of the first, the same one keeps those that are not given.

    Raises:
        ValueError: if a change is unknown, or a number makes no experiment.

    Example:
        >>> from jensen import recipes
        >>> adapt(recipes.get("iwae-mnist"), samples=5, epochs=None).objective.samples
        5
    """
    given = {name: value for name, value in changes.items() if value is not None}
    if "data" in given:
        given = {"name": given.pop("data"), "split": "standard", **given}
        recipe = replace(recipe, published=(), measured=())
    same = given.get("method", recipe.objective.method) == recipe.objective.method
    kept = recipe.objective.options if same else ()
    given["options"] = tuple({**dict(kept), **dict(given.get("options", ()))}.items())
    if "objective" in given:
        given["bound"] = given.pop("objective")
    if smoke:
        recipe = replace(recipe, budget=recipe.smoke)
    adapted = replace(
        recipe,
        data=replace(recipe.data, **_take(given, "name", "split")),
        objective=replace(
            recipe.objective, **_take(given, "samples", "method", "options"), **_renamed(given, bound="name")
        ),
        optimizer=replace(recipe.optimizer, **_take(given, "learning_rate")),
        budget=replace(recipe.budget, **_take(given, "epochs", "batch_size", "evaluation_samples", "images")),
        **_take(given, "precision", "compile", "threads"),
    )
    if given:
        raise ValueError(f"a recipe has no {', '.join(map(repr, sorted(given)))} to change")
    return adapted


def _take(given: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: given.pop(name) for name in names if name in given}


def _renamed(given: dict[str, Any], **names: str) -> dict[str, Any]:
    return {new: given.pop(old) for old, new in names.items() if old in given}
