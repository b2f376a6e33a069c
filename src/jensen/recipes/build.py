"""From the numbers of a recipe to a model, a bound and data. Importing this imports torch."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import prod

import torch
from torch import Tensor, nn

from jensen._contracts import Indexable
from jensen.datasets import Images, binarize, fixed_binarization, load
from jensen.layers import BernoulliMLP, ContinuousBernoulliMLP, ControlVariate, DiscreteMLP, GaussianMLP
from jensen.models import IWAE, VAE, DiscreteVAE, StructuredPredictor
from jensen.recipes.recipe import Architecture, Data, Objective, Recipe
from jensen.training.estimated import LEARNED

__all__ = ["Experiment", "build", "make_data", "make_model"]

VALIDATION_DRAW, TEST_DRAW, TRAIN_DRAW = 122, 123, 121
"""Seeds of the one binarisation that a held-out split, or a training split binarised once for all, gets."""

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"tanh": nn.Tanh, "leaky_relu": partial(nn.LeakyReLU, 0.1)}


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
    mean = images.train.mean(0)
    model = make_model(recipe.model, prod(images.shape), mean=mean, seed=seed, objective=recipe.objective)
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


def make_model(
    sizes: Architecture,
    pixels: int,
    *,
    mean: Tensor | None = None,
    seed: int = 0,
    objective: Objective | None = None,
) -> nn.Module:
    """An untrained model of the given sizes.

    Args:
        sizes: the architecture.
        pixels: the number of values in an image.
        mean: the pixel means `(pixels,)`; where given, the output bias starts there.
        seed: where the weights start.
        objective: where given, the model has the control that its method learns; the other weights do not change.

    Raises:
        ValueError: if the method learns a control, and there are several layers of discrete units.

    Example:
        >>> make_model(Architecture("iwae", hidden=((20,), (10,)), latent=(5, 3)), 64).sizes
        [5, 3]
    """
    kinds: dict[str, Callable[..., nn.Module]] = {
        "structured": partial(_structured, objective=objective),
        "discrete_vae": partial(_discrete_vae, objective=objective),
        "vae": _vae,
        "iwae": _iwae,
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return kinds[sizes.kind](sizes, pixels, mean)


def _iwae(sizes: Architecture, pixels: int, mean: Tensor | None) -> nn.Module:
    below = (pixels, *sizes.latent[:-1])
    layers = list(zip(below, sizes.hidden, sizes.latent, strict=True))
    activation = ACTIVATIONS[sizes.activation]
    encoders = [GaussianMLP(x, hidden, z, activation=activation) for x, hidden, z in layers]
    _, hidden, z = layers[0]
    decoders: list[nn.Module] = [_pixels(sizes, z, hidden[::-1], pixels, mean)]
    decoders += [GaussianMLP(z, hidden[::-1], x, activation=activation) for x, hidden, z in layers[1:]]
    return IWAE(encoders=encoders, decoders=decoders, latents=sizes.latent)


def _vae(sizes: Architecture, pixels: int, mean: Tensor | None) -> nn.Module:
    (hidden,), (z,) = sizes.hidden, sizes.latent
    encoder = GaussianMLP(pixels, hidden, z, activation=ACTIVATIONS[sizes.activation])
    return VAE(encoder=encoder, decoder=_pixels(sizes, z, hidden[::-1], pixels, mean), latent=z)


def _discrete_vae(sizes: Architecture, pixels: int, mean: Tensor | None, *, objective: Objective | None) -> nn.Module:
    hidden, units = sizes.hidden[0], _units(sizes, sizes.latent[0])
    encoder = DiscreteMLP(pixels, hidden, units, activation=ACTIVATIONS[sizes.activation])
    decoder = _pixels(sizes, prod(units), hidden[::-1], pixels, mean)
    control = _control(sizes, pixels, units, objective)
    return DiscreteVAE(encoder=encoder, decoder=decoder, units=units, control=control)


def _structured(sizes: Architecture, pixels: int, mean: Tensor | None, *, objective: Objective | None) -> nn.Module:
    upper = pixels // 2
    units = [_units(sizes, n) for n in sizes.latent]
    below = (upper, *(prod(each) for each in units))
    layers = [
        DiscreteMLP(inputs, hidden, each, activation=ACTIVATIONS[sizes.activation])
        for inputs, hidden, each in zip(below, sizes.hidden, units, strict=False)
    ]
    lower = None if mean is None else mean[upper:]
    decoder = _pixels(sizes, below[-1], (), pixels - upper, lower)
    return StructuredPredictor(layers=layers, decoder=decoder, control=_control(sizes, pixels, units[-1], objective))


def _control(
    sizes: Architecture, pixels: int, units: tuple[int, ...], objective: Objective | None
) -> ControlVariate | None:
    """What the method learns besides the model: for `relax` also a network, for several layers nothing."""
    method = "" if objective is None else objective.method
    if objective is None or method not in LEARNED or any(name in LEARNED[method] for name, _ in objective.options):
        return None
    if method == "rebar":
        return ControlVariate(units) if len(sizes.latent) == 1 else None
    return ControlVariate(units, inputs=pixels, hidden=sizes.hidden[0][-1:] or sizes.latent[-1:])


def _units(sizes: Architecture, count: int) -> tuple[int, ...]:
    """The event shape of a discrete layer: bits, or one-hot rows."""
    return (count,) if sizes.categories == 2 else (count, sizes.categories)


def _pixels(sizes: Architecture, z: int, hidden: tuple[int, ...], pixels: int, mean: Tensor | None) -> nn.Module:
    activation = ACTIVATIONS[sizes.activation]
    if sizes.likelihood == "bernoulli":
        return BernoulliMLP(z, hidden, pixels, activation=activation, mean=mean)
    if sizes.likelihood == "gaussian":
        return GaussianMLP(z, hidden, pixels, activation=activation, scale=sizes.scale, bounded_mean=True, mean=mean)
    return ContinuousBernoulliMLP(z, hidden, pixels, activation=activation)
