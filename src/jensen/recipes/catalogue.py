"""Every recipe by its name."""

from jensen._names import pick
from jensen.recipes import (
    bayes_by_backprop,
    burda,
    compression,
    convolutional,
    digits,
    discrete,
    disentangling,
    draw,
    geco,
    kingma,
    laplace_networks,
)
from jensen.recipes.kinds import AnyRecipe

__all__ = ["DEFAULT", "get", "names"]

DEFAULT = "iwae-digits"
"""The recipe of the demo: real images, no download, about a minute."""

AUTOENCODERS = (
    *digits.RECIPES,
    *burda.RECIPES,
    *kingma.RECIPES,
    *discrete.RECIPES,
    *draw.RECIPES,
    *geco.RECIPES,
    *convolutional.RECIPES,
)
NETWORKS = (*bayes_by_backprop.RECIPES, *compression.RECIPES, *laplace_networks.RECIPES)
FACTORS = (*disentangling.RECIPES,)

EVERY: tuple[AnyRecipe, ...] = (*AUTOENCODERS, *NETWORKS, *FACTORS)
CATALOGUE = {recipe.name: recipe for recipe in EVERY}


def names() -> list[str]:
    """The names that `get` knows, the demo first.

    Example:
        >>> names()[:3]
        ['iwae-digits', 'vae-digits', 'iwae-mnist']
    """
    return list(CATALOGUE)


def get(name: str = DEFAULT) -> AnyRecipe:
    """A recipe by its name; its type says whether it trains an autoencoder or a network.

    Raises:
        ValueError: if there is no such recipe; the message suggests the nearest name.

    Example:
        >>> get("iwae-mnits")
        Traceback (most recent call last):
        ValueError: unknown recipe 'iwae-mnits'; did you mean 'iwae-mnist'? `jensen list` shows all of them
    """
    return pick(CATALOGUE, name, "recipe")
