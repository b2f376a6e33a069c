"""From the numbers of a recipe to a model, a bound and data. Importing this imports torch."""

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn

from jensen._contracts import Indexable
from jensen.datasets import Images, binarize, fixed_binarization, load
from jensen.layers import BernoulliMLP, ContinuousBernoulliMLP, GaussianMLP
from jensen.models import IWAE, VAE
from jensen.recipes.recipe import Architecture, Data, Recipe

__all__ = ["Experiment", "build", "make_data", "make_model"]

VALIDATION_DRAW, TEST_DRAW, TRAIN_DRAW = 122, 123, 121
"""Seeds of the one binarisation that a held-out split, or a training split binarised once for all, gets."""


@dataclass(frozen=True, eq=False)
class Experiment:
    """What a run needs.

    Attributes:
        model: an untrained model, its output bias at the pixel means.
        train: the data to fit to; with dynamic binarisation every use is a new draw.
        validation: held-out data, `(N, pixels)`, always the same draw.
        test: the data to report on, `(N, pixels)`, always the same draw.
        originals: the test images with their grey levels, `(N, pixels)`.
        shape: `(height, width)` or `(height, width, channels)` of an image.
    """

    model: nn.Module
    train: Indexable
    validation: Tensor
    test: Tensor
    originals: Tensor
    shape: tuple[int, ...]


def build(recipe: Recipe, *, seed: int = 0) -> Experiment:
    """The model and the data of a recipe; the global random state is left as it was.

    Args:
        recipe: the numbers.
        seed: where the weights start.

    Raises:
        ValueError: if the data set is unknown or fails its checksum (`datasets.CorruptFileError`).
        DownloadError: if the data are neither at hand nor to be had.

    Example:
        >>> from jensen import recipes
        >>> build(recipes.get("iwae-digits")).shape
        (8, 8)
    """
    images = make_data(recipe.data, limit=recipe.budget.images)
    mode = recipe.data.binarization
    held_out = [
        split if mode == "grey" else fixed_binarization(split, seed=draw)
        for split, draw in ((images.validation, VALIDATION_DRAW), (images.test, TEST_DRAW))
    ]
    model = make_model(recipe.model, prod(images.shape), mean=images.train.mean(0), seed=seed)
    train = binarize(images.train, mode, seed=TRAIN_DRAW)
    return Experiment(model, train, held_out[0], held_out[1], images.test, images.shape)


def make_data(data: Data, *, limit: int | None = None) -> Images:
    """The images of a recipe, all of them or the first `limit` of every split.

    Raises:
        ValueError: if the data set or the split is unknown.

    Example:
        >>> make_data(Data("digits"), limit=10)
        Images('digits', train=10, validation=10, test=10, shape=(8, 8), labels=False)
    """
    images = load(data.name, split=data.split)
    if limit is None:
        return images
    return Images(images.name, images.train[:limit], images.validation[:limit], images.test[:limit], images.shape)


def make_model(sizes: Architecture, pixels: int, *, mean: Tensor | None = None, seed: int = 0) -> nn.Module:
    """An untrained model of the given sizes.

    Args:
        sizes: the architecture.
        pixels: the number of values in an image.
        mean: the pixel means `(pixels,)`; where given, the output bias starts there.
        seed: where the weights start.

    Example:
        >>> make_model(Architecture("iwae", hidden=((20,), (10,)), latent=(5, 3)), 64).sizes
        [5, 3]
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        below = (pixels, *sizes.latent[:-1])
        layers = list(zip(below, sizes.hidden, sizes.latent, strict=True))
        encoders = [GaussianMLP(x, hidden, z) for x, hidden, z in layers]
        _, hidden, z = layers[0]
        decoders: list[nn.Module] = [_pixels(sizes, z, hidden[::-1], pixels, mean)]
        decoders += [GaussianMLP(z, hidden[::-1], x) for x, hidden, z in layers[1:]]
    if sizes.kind == "vae":
        return VAE(encoder=encoders[0], decoder=decoders[0], latent=sizes.latent[0])
    return IWAE(encoders=encoders, decoders=decoders, latents=sizes.latent)


def _pixels(sizes: Architecture, z: int, hidden: tuple[int, ...], pixels: int, mean: Tensor | None) -> nn.Module:
    if sizes.likelihood == "bernoulli":
        return BernoulliMLP(z, hidden, pixels, mean=mean)
    if sizes.likelihood == "gaussian":
        return GaussianMLP(z, hidden, pixels, scale=sizes.scale, bounded_mean=True, mean=mean)
    return ContinuousBernoulliMLP(z, hidden, pixels)
