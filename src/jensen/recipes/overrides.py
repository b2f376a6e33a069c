"""A recipe with some of its numbers changed, as the command line asks for."""

from dataclasses import replace
from typing import Any, TypeVar, cast

from jensen._names import check_choice
from jensen.recipes.factor_recipe import FactorRecipe
from jensen.recipes.kinds import AnyRecipe
from jensen.recipes.network_recipe import NetworkRecipe
from jensen.recipes.recipe import Recipe

__all__ = ["BOUND", "FACTORS", "OPTIONS", "adapt"]

R = TypeVar("R", bound=AnyRecipe)

BUDGET = ("epochs", "batch_size", "evaluation_samples", "images")
MACHINE = ("precision", "compile", "threads")
COMMON = {
    "data": ("data", "name"),
    "split": ("data", "split"),
    "learning_rate": ("optimizer", "learning_rate"),
    **{name: ("budget", name) for name in BUDGET},
    **{name: (name,) for name in MACHINE},
}
"""Where a change stands in every recipe."""

PATHS = {**COMMON, "method": ("weights", "method"), "samples": ("weights", "samples")}
"""Where those of a network stand that are no options."""

BOUND = {
    "beta": ("objective", "beta"),
    "free_bits": ("objective", "free_bits"),
    "constraint": ("objective", "constraint", "name"),
    **{name: ("objective", "constraint", name) for name in ("kappa", "alpha", "rate", "initial", "warm_start")},
    "flow": ("model", "flow", "name"),
    "transforms": ("model", "flow", "transforms"),
    "binarization": ("data", "binarization"),
    **{name: ("optimizer", name) for name in ("schedule", "floor", "kl_warmup", "clip_norm", "ema")},
}
"""What `options` of an autoencoder change besides the sizes of its model, and where in the recipe that entry stands."""

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
    "rate": ("weights", "dropout", "rate"),
    "dropout_noise": ("weights", "dropout", "noise"),
    "initial_alpha": ("weights", "dropout", "initial_alpha"),
    "maximum_alpha": ("weights", "dropout", "maximum_alpha"),
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


FACTORS = {
    **{name: ("model", name) for name in ("kind", "hidden", "discriminator", "specified", "unspecified")},
    **{name: ("losses", name) for name in ("reconstruction", "swap", "kl", "transfer", "sample", "real")},
    **{name: ("optimizer", name) for name in ("schedule", "floor", "clip_norm", "ema")},
}
"""What `options` of a recipe that separates factors change, and where in the recipe that entry stands."""


def adapt(recipe: R, *, smoke: bool = False, **changes: Any) -> R:
    """A recipe with other numbers; whatever is None stays.

    Args:
        recipe: what to start from.
        smoke: take the budget of seconds instead of the full one, before the other changes.
        changes: `data`, `split`, `objective`, `method`, `options`, `samples`, `learning_rate`, `epochs`, `batch_size`,
            `evaluation_samples`, `images`, `precision`, `compile`, `threads`. Another data set comes with its standard
            split unless `split` says otherwise, and without the numbers that were got on the first. Of an autoencoder
            another method comes without the options of the first, the same one keeps those that are not given; a
            network has no `objective`, and `options` are entries of its recipe, those of `OPTIONS`. Where there is no
            estimator, those of an autoencoder are entries of `BOUND` or sizes of its model, such as `("glimpses", 8)`.

    Raises:
        ValueError: if a change is unknown, or a number makes no experiment.

    Example:
        >>> from jensen import recipes
        >>> adapt(recipes.get("iwae-mnist"), samples=5, epochs=None).objective.samples
        5
        >>> print(adapt(recipes.get("vae-digits"), options=(("hidden", "200-100"), ("beta", 4))).model)
        200-100-20
        >>> adapt(recipes.get("bbb-digits"), method="deterministic", options=(("hidden", "50-20"),)).network.hidden
        (50, 20)
    """
    given = {name: value for name, value in changes.items() if value is not None}
    if smoke:
        recipe = replace(recipe, budget=recipe.smoke)
    adapted: Any
    if isinstance(recipe, FactorRecipe):
        adapted = _factors(recipe, given)
    else:
        adapted = _network(recipe, given) if isinstance(recipe, NetworkRecipe) else _autoencoder(recipe, given)
    if given:
        raise ValueError(f"{recipe.name} has no {', '.join(map(repr, sorted(given)))} to change")
    return cast(R, adapted)


def _network(recipe: NetworkRecipe, given: dict[str, Any]) -> NetworkRecipe:
    options = dict(given.pop("options", ()))
    for name in options:
        check_choice("option", name, OPTIONS)
    if given.get("data", recipe.data.name) != recipe.data.name:
        recipe = _with_other_data(recipe, given["data"])
    content = recipe.to_json()
    for name, value in {**_take(given, *PATHS), **options}.items():
        _put(content, {**PATHS, **OPTIONS}[name], value)
    return NetworkRecipe.from_json(content)


def _factors(recipe: FactorRecipe, given: dict[str, Any]) -> FactorRecipe:
    options = dict(given.pop("options", ()))
    for name in options:
        check_choice("option", name, FACTORS)
    if given.get("data", recipe.data.name) != recipe.data.name:
        recipe = replace(recipe, data=replace(recipe.data, split="standard"), published=(), measured=())
    content = recipe.to_json()
    for name, value in {**_take(given, *COMMON), **options}.items():
        _put(content, {**COMMON, **FACTORS}[name], value)
    return FactorRecipe.from_json(content)


def _with_other_data(recipe: NetworkRecipe, name: str) -> NetworkRecipe:
    """Only the published numbers that name the data stay."""
    published = tuple(entry for entry in recipe.published if entry.what.endswith(f", {name}"))
    return replace(recipe, data=replace(recipe.data, split="standard"), published=published, measured=())


def _autoencoder(recipe: Recipe, given: dict[str, Any]) -> Recipe:
    if "data" in given:
        given.setdefault("split", "standard")
        recipe = replace(recipe, published=(), measured=())
    content = recipe.to_json()
    options = dict(given.pop("options", ()))
    content["objective"] = bound = _bound(content["objective"], given)
    if bound["method"]:
        bound["options"] = [*{**dict(bound["options"]), **options}.items()]
        options = {}
    known = {**{name: ("model", name) for name in content["model"]}, **BOUND}
    for name in options:
        check_choice("option", name, known)
    for name, value in {**_take(given, *COMMON), **options}.items():
        _put(content, {**COMMON, **known}[name], value)
    return Recipe.from_json(content)


def _bound(now: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The objective as JSON; another one comes without the numbers of the first, a method without its options."""
    name = given.pop("objective", now["name"])
    kept = now if name == now["name"] else {entry: now[entry] for entry in ("samples", "method", "options")}
    bound = {**kept, "name": name, **_take(given, "samples", "method")}
    return bound if bound["method"] == now["method"] else {**bound, "options": []}


def _put(content: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    """Set one entry of a recipe's JSON; words such as 200-100 or 200-200/100-100 become sizes where sizes stand."""
    *way, last = path
    for step in way:
        content[step] = content.get(step) or {}
        content = content[step]
    now = content.get(last)
    if not isinstance(now, list) or isinstance(value, list):
        content[last] = None if value == "none" else value
    elif now and isinstance(now[0], list):
        content[last] = [_widths(last, word) for word in str(value).split("/")]
    else:
        content[last] = _widths(last, value)


def _widths(name: str, value: object) -> list[int]:
    """Widths such as `300-100`."""
    words = str(value).split("-")
    if not all(word.isdecimal() for word in words):
        raise ValueError(f"{name} takes widths such as 300-100, got {value!r}")
    return [int(word) for word in words]


def _take(given: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: given.pop(name) for name in names if name in given}
