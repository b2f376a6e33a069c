"""Every recipe by its name."""

from jensen._names import pick
from jensen.recipes import burda, digits, discrete, kingma
from jensen.recipes.recipe import Recipe

__all__ = ["DEFAULT", "get", "names"]

DEFAULT = "iwae-digits"
"""The recipe of the demo: real images, no download, about a minute."""

CATALOGUE = {recipe.name: recipe for recipe in (*digits.RECIPES, *burda.RECIPES, *kingma.RECIPES, *discrete.RECIPES)}


def names() -> list[str]:
    """The names that `get` knows, the demo first.

    Example:
        >>> names()[:3]
        ['iwae-digits', 'vae-digits', 'iwae-mnist']
    """
    return list(CATALOGUE)


def get(name: str = DEFAULT) -> Recipe:
    """A recipe by its name.

    Raises:
        ValueError: if there is no such recipe; the message suggests the nearest name.

    Example:
        >>> get("iwae-mnits")
        Traceback (most recent call last):
        ValueError: unknown recipe 'iwae-mnits'; did you mean 'iwae-mnist'? `jensen list` shows all of them
    """
    return pick(CATALOGUE, name, "recipe")
