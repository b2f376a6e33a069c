"""The kinds of recipe that `jensen fit` trains."""

from jensen.recipes.factor_recipe import FactorRecipe
from jensen.recipes.network_recipe import NetworkRecipe
from jensen.recipes.recipe import Recipe

__all__ = ["KINDS", "AnyRecipe", "kind_of"]

AnyRecipe = Recipe | NetworkRecipe | FactorRecipe
"""What `jensen fit` takes."""

KINDS: dict[str, type[Recipe] | type[NetworkRecipe] | type[FactorRecipe]] = {
    "autoencoder": Recipe,
    "network": NetworkRecipe,
    "factors": FactorRecipe,
}
"""The type of recipe by what `config.json` calls its kind."""


def kind_of(recipe: AnyRecipe) -> str:
    """What `config.json` calls the kind of a recipe.

    Example:
        >>> from jensen import recipes
        >>> kind_of(recipes.get("iwae-digits")), kind_of(recipes.get("bbb-digits"))
        ('autoencoder', 'network')
    """
    return next(name for name, kind in KINDS.items() if isinstance(recipe, kind))
