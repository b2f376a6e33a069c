"""From a recipe that separates factors to a model, an objective and data. Importing this imports torch."""

from dataclasses import dataclass
from itertools import pairwise
from math import prod

import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from jensen.datasets import Supervised, load_supervised
from jensen.layers import ClassConditional, mlp
from jensen.models import DisentanglingAutoencoder
from jensen.recipes.factor_recipe import FactorLosses, FactorNetworks, FactorRecipe
from jensen.training import NamedLosses

__all__ = ["FactorExperiment", "build", "make_data", "make_model", "make_objective"]

CLASSES = 10
"""Every data set that a recipe can name has ten."""


@dataclass(frozen=True, eq=False)
class FactorExperiment:
    """What a run needs.

    Attributes:
        model: an untrained model.
        data: the three splits, images `(N, pixels)` with their classes.
    """

    model: DisentanglingAutoencoder
    data: Supervised

    @property
    def shape(self) -> tuple[int, ...]:
        """`(height, width)` of an image."""
        return self.data.shape


def build(recipe: FactorRecipe, *, seed: int = 0) -> FactorExperiment:
    """The model and the data of a recipe; the global random state is left as it was.

    Args:
        recipe: the numbers.
        seed: where the weights start.

    Raises:
        ValueError: if the data are unknown, fail their checksum, are no labelled images or do not fit the networks.
        DownloadError: if the data are neither at hand nor to be had.

    Example:
        >>> from jensen import recipes
        >>> build(recipes.get("factors-digits")).shape
        (8, 8)
    """
    data = make_data(recipe)
    return FactorExperiment(make_model(recipe, data.shape, seed=seed), data)


def make_data(recipe: FactorRecipe) -> Supervised:
    """The labelled images of a recipe, cut where the budget says so.

    Raises:
        ValueError: if the data set or the split is unknown, or has no classes.
    """
    data = load_supervised(recipe.data.name, split=recipe.data.split, scale=recipe.data.scale)
    if data.classes is None:
        raise ValueError(f"{recipe.name} needs images with classes, {data.name} is a regression")
    return data if recipe.budget.images is None else data.first(recipe.budget.images)


def make_model(recipe: FactorRecipe, shape: tuple[int, ...], *, seed: int = 0) -> DisentanglingAutoencoder:
    """An untrained model; its discriminator's layers have spectral norm one.

    Args:
        recipe: the numbers.
        shape: `(height, width)` of an image.
        seed: where the weights start.

    Raises:
        ValueError: if the sides of an image cannot be halved as often as there are convolutions.
    """
    sizes = recipe.model
    make = _convolutional if sizes.kind == "convolutional" else _perceptrons
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        encoder, decoder, discriminator = make(sizes, shape)
        return DisentanglingAutoencoder(
            encoder=encoder,
            decoder=decoder,
            discriminator=discriminator,
            specified=sizes.specified,
            unspecified=sizes.unspecified,
            real=recipe.losses.real,
        )


def make_objective(losses: FactorLosses) -> NamedLosses:
    """The callable that training ascends.

    Example:
        >>> make_objective(FactorLosses()).opponents
        ('discriminator',)
    """
    return NamedLosses(losses.weights, opponents=("discriminator",))


def _perceptrons(sizes: FactorNetworks, shape: tuple[int, ...]) -> tuple[nn.Module, nn.Module, nn.Module]:
    pixels, codes = prod(shape), sizes.specified + sizes.unspecified
    encoder = mlp([pixels, *sizes.hidden, codes + sizes.unspecified], activation=nn.ReLU)
    decoder = nn.Sequential(mlp([codes, *sizes.hidden[::-1], pixels], activation=nn.ReLU), nn.Sigmoid())
    widths = pairwise((pixels, *sizes.discriminator, 1))
    return encoder, decoder, ClassConditional(*(spectral_norm(nn.Linear(*width)) for width in widths), classes=CLASSES)


def _convolutional(sizes: FactorNetworks, shape: tuple[int, ...]) -> tuple[nn.Module, nn.Module, nn.Module]:
    codes = sizes.specified + sizes.unspecified
    small, flat = _halved(shape, sizes.hidden)
    down: list[nn.Module] = [nn.Unflatten(-1, (1, *shape))]
    up: list[nn.Module] = [nn.Linear(codes, flat), nn.ReLU(), nn.Unflatten(-1, small)]
    for before, after in pairwise((1, *sizes.hidden)):
        down += [_strided(before, after), nn.ReLU()]
    for before, after in pairwise((*sizes.hidden[::-1], 1)):
        up += [nn.ConvTranspose2d(before, after, 4, stride=2, padding=1), nn.ReLU()]
    encoder = nn.Sequential(*down, nn.Flatten(), nn.Linear(flat, codes + sizes.unspecified))
    decoder = nn.Sequential(*up[:-1], nn.Sigmoid(), nn.Flatten())
    *_, flat = _halved(shape, sizes.discriminator)
    judge = [spectral_norm(_strided(*widths)) for widths in pairwise((1, *sizes.discriminator))]
    output = spectral_norm(nn.Linear(flat, 1))
    return encoder, decoder, ClassConditional(down[0], *judge, nn.Flatten(), output, classes=CLASSES)


def _halved(shape: tuple[int, ...], filters: tuple[int, ...]) -> tuple[tuple[int, ...], int]:
    """What so many convolutions of stride 2 leave of an image: `(filters, height, width)`, and their product."""
    times = 2 ** len(filters)
    if len(shape) != 2 or any(side % times for side in shape):
        raise ValueError(f"{len(filters)} convolutions halve both sides of an image each, which {shape} does not allow")
    small = (filters[-1], *(side // times for side in shape))
    return small, prod(small)


def _strided(before: int, after: int) -> nn.Module:
    return nn.Conv2d(before, after, 4, stride=2, padding=1)
