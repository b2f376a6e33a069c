"""Autoencoders of multilayer perceptrons from the numbers of an `Architecture`."""

from collections.abc import Callable
from functools import partial
from math import prod

from torch import Tensor, nn

from jensen.layers import BernoulliMLP, ContinuousBernoulliMLP, ControlVariate, DiscreteMLP, GaussianMLP
from jensen.models import IWAE, VAE, DiscreteVAE, StructuredPredictor
from jensen.recipes.architectures import Architecture
from jensen.recipes.objectives import Objective
from jensen.training.estimated import LEARNED

__all__ = ["ACTIVATIONS", "discrete_vae", "iwae", "structured", "vae"]

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "tanh": nn.Tanh,
    "leaky_relu": partial(nn.LeakyReLU, 0.1),
    "elu": nn.ELU,
    "relu": nn.ReLU,
}
"""The module between two layers by its name in a recipe."""


def iwae(
    sizes: Architecture, shape: tuple[int, ...], *, mean: Tensor | None = None, objective: Objective | None = None
) -> nn.Module:
    """The importance-weighted autoencoder, one or more Gaussian layers.

    Args:
        sizes: the architecture.
        shape: of an image.
        mean: the pixel means `(pixels,)`; where given, the output bias starts there.
        objective: of no matter here.
    """
    del objective
    pixels = prod(shape)
    below = (pixels, *sizes.latent[:-1])
    layers = list(zip(below, sizes.hidden, sizes.latent, strict=True))
    activation = ACTIVATIONS[sizes.activation]
    encoders = [GaussianMLP(x, hidden, z, activation=activation) for x, hidden, z in layers]
    _, hidden, z = layers[0]
    decoders: list[nn.Module] = [_pixels(sizes, z, hidden[::-1], pixels, mean)]
    decoders += [GaussianMLP(z, hidden[::-1], x, activation=activation) for x, hidden, z in layers[1:]]
    return IWAE(encoders=encoders, decoders=decoders, latents=sizes.latent)


def vae(
    sizes: Architecture, shape: tuple[int, ...], *, mean: Tensor | None = None, objective: Objective | None = None
) -> nn.Module:
    """The variational autoencoder; the arguments are those of `iwae`."""
    del objective
    (hidden,), (z,), pixels = sizes.hidden, sizes.latent, prod(shape)
    encoder = GaussianMLP(pixels, hidden, z, activation=ACTIVATIONS[sizes.activation])
    return VAE(encoder=encoder, decoder=_pixels(sizes, z, hidden[::-1], pixels, mean), latent=z)


def discrete_vae(
    sizes: Architecture, shape: tuple[int, ...], *, mean: Tensor | None = None, objective: Objective | None = None
) -> nn.Module:
    """The autoencoder with bits or categories; the model gets the control that the objective's method learns."""
    hidden, units, pixels = sizes.hidden[0], _units(sizes, sizes.latent[0]), prod(shape)
    encoder = DiscreteMLP(pixels, hidden, units, activation=ACTIVATIONS[sizes.activation])
    decoder = _pixels(sizes, prod(units), hidden[::-1], pixels, mean)
    control = _control(sizes, pixels, units, objective)
    return DiscreteVAE(encoder=encoder, decoder=decoder, units=units, control=control)


def structured(
    sizes: Architecture, shape: tuple[int, ...], *, mean: Tensor | None = None, objective: Objective | None = None
) -> nn.Module:
    """The lower half from the upper half through discrete units; the control is that of `discrete_vae`."""
    pixels = prod(shape)
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
