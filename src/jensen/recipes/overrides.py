"""A recipe with some of its numbers changed, as the command line asks for."""

from dataclasses import replace
from typing import Any, TypeVar, cast

from jensen._names import check_choice
from jensen.recipes.kinds import AnyRecipe
from jensen.recipes.network_recipe import NetworkRecipe
from jensen.recipes.recipe import Recipe

__all__ = ["OPTIONS", "adapt"]

R = TypeVar("R", bound=AnyRecipe)

BUDGET = ("epochs", "batch_size", "evaluation_samples", "images")
MACHINE = ("precision", "compile", "threads")
PATHS = {
    "data": ("data", "name"),
    "split": ("data", "split"),
    "method": ("weights", "method"),
    "samples": ("weights", "samples"),
    "learning_rate": ("optimizer", "learning_rate"),
    **{name: ("budget", name) for name in BUDGET},
    **{name: (name,) for name in MACHINE},
}
"""Where the other changes of a network stand."""

OPTIONS = {
    "hidden": ("network", "hidden"),
    "activation": ("network", "activation"),
    "estimator": ("weights", "estimator"),
    "initial_deviation": ("weights", "initial_deviation"),
    "initial_log_variance": ("weights", "initial_log_variance"),
    "maximum_first_variance": ("weights", "maximum_first_variance"),
    "global_scale": ("weights", "global_scale"),
    "threshold": ("weights", "threshold"),
    "prior": ("weights", "prior", "kind"),
    "prior_scale": ("weights", "prior", "scale"),
    "mix": ("weights", "prior", "mix"),
    "scale1": ("weights", "prior", "scale1"),
    "scale2": ("weights", "prior", "scale2"),
    "subset": ("weights", "laplace", "subset"),
    "structure": ("weights", "laplace", "structure"),
    "noise": ("noise", "scale"),
    "schedule": ("optimizer", "schedule"),
    "flat": ("optimizer", "flat"),
    "kl_start": ("optimizer", "kl_start"),
    "kl_end": ("optimizer", "kl_end"),
    "kl_weights": ("optimizer", "kl_weights"),
    "outside": ("outside",),
}
"""What `options` of a network change, and where in the recipe that entry stands."""


def adapt(recipe: R, *, smoke: bool = False, **changes: Any) -> R:
    """A recipe with other numbers; whatever is None stays.

    Args:
        recipe: what to start from.
        smoke: take the budget of seconds instead of the full one, before the other changes.
        changes: `data`, `split`, `objective`, `method`, `options`, `samples`, `learning_rate`, `epochs`, `batch_size`,
            `evaluation_samples`, `images`, `precision`, `compile`, `threads`. Another data set comes with its standard
            split unless `split` says otherwise, and without the numbers that were got on the first. Of an autoencoder
            another method comes without the options of the first, the same one keeps those that are not given; a
            network has no `objective`, and `options` are entries of its recipe, those of `OPTIONS`.

    Raises:
        ValueError: if a change is unknown, or a number makes no experiment.

    Example:
        >>> from jensen import recipes
        >>> adapt(recipes.get("iwae-mnist"), samples=5, epochs=None).objective.samples
        5
        >>> adapt(recipes.get("bbb-digits"), method="deterministic", options=(("hidden", "50-20"),)).network.hidden
        (50, 20)
    """
    given = {name: value for name, value in changes.items() if value is not None}
    if smoke:
        recipe = replace(recipe, budget=recipe.smoke)
    adapted: Any = _network(recipe, given) if isinstance(recipe, NetworkRecipe) else _autoencoder(recipe, given)
    if given:
        raise ValueError(f"{recipe.name} has no {', '.join(map(repr, sorted(given)))} to change")
    return cast(R, adapted)


def _network(recipe: NetworkRecipe, given: dict[str, Any]) -> NetworkRecipe:
    options = dict(given.pop("options", ()))
    for name in options:
        check_choice("option", name, OPTIONS)
    if given.get("data", recipe.data.name) != recipe.data.name:
        recipe = _with_other_data(recipe, given["data"])
    paths = {**PATHS, **OPTIONS}
    content = recipe.to_json()
    for name, value in {**_take(given, *PATHS), **options}.items():
        *way, last = paths[name]
        entry = content
        for step in way:
            entry = entry[step]
        entry[last] = _widths(value) if name == "hidden" else value
    return NetworkRecipe.from_json(content)


def _with_other_data(recipe: NetworkRecipe, name: str) -> NetworkRecipe:
    """Only the published numbers that name the data stay."""
    published = tuple(entry for entry in recipe.published if entry.what.endswith(f", {name}"))
    return replace(recipe, data=replace(recipe.data, split="standard"), published=published, measured=())


def _widths(value: object) -> list[int]:
    """Widths such as `300-100`."""
    words = str(value).split("-")
    if not all(word.isdecimal() for word in words):
        raise ValueError(f"hidden takes widths such as 300-100, got {value!r}")
    return [int(word) for word in words]


def _autoencoder(recipe: Recipe, given: dict[str, Any]) -> Recipe:
    if "data" in given:
        given.setdefault("split", "standard")
        recipe = replace(recipe, published=(), measured=())
    same = given.get("method", recipe.objective.method) == recipe.objective.method
    kept = recipe.objective.options if same else ()
    given["options"] = tuple({**dict(kept), **dict(given.get("options", ()))}.items())
    bound = _renamed(given, objective="name")
    return replace(
        recipe,
        data=replace(recipe.data, **_renamed(given, data="name"), **_take(given, "split")),
        objective=replace(recipe.objective, **bound, **_take(given, "samples", "method", "options")),
        optimizer=replace(recipe.optimizer, **_take(given, "learning_rate")),
        budget=replace(recipe.budget, **_take(given, *BUDGET)),
        **_take(given, *MACHINE),
    )


def _take(given: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: given.pop(name) for name in names if name in given}


def _renamed(given: dict[str, Any], **names: str) -> dict[str, Any]:
    return {new: given.pop(old) for old, new in names.items() if old in given}
