"""Ladder autoencoders of perceptrons from the numbers of a `LadderArchitecture`."""

from math import prod

from torch import Tensor, nn

from jensen.layers import GaussianMLP, PixelHead, mlp
from jensen.models import LadderVAE
from jensen.recipes.architectures import LadderArchitecture
from jensen.recipes.build_perceptrons import ACTIVATIONS
from jensen.recipes.objectives import Objective

__all__ = ["ladder"]


def ladder(
    sizes: LadderArchitecture, shape: tuple[int, ...], *, mean: Tensor | None = None, objective: Objective | None = None
) -> nn.Module:
    """The ladder; each decoder mirrors the way up past its layer.

    Args:
        sizes: the architecture.
        shape: of an image.
        mean: the pixel means `(pixels,)`; where given, the pixels' locations start there.
        objective: of no matter here.
    """
    del objective
    activation = ACTIVATIONS[sizes.activation]
    head = PixelHead(
        sizes.likelihood, shape, scale=sizes.scale, levels=sizes.levels, mixtures=sizes.mixtures, mean=mean
    )
    below = (prod(shape), *(hidden[-1] for hidden in sizes.hidden[:-1]))
    ways = [mlp([d, *hidden], activation=activation) for d, hidden in zip(below, sizes.hidden, strict=True)]
    pixels = mlp([sizes.latent[0], *sizes.hidden[0][::-1], shape[0] * shape[1] * head.features], activation=activation)
    layers = zip(sizes.latent[1:], sizes.hidden[1:], sizes.latent[:-1], strict=True)
    return LadderVAE(
        up=[nn.Sequential(way, activation()) for way in ways],
        evidence=[GaussianMLP(hidden[-1], (), z) for hidden, z in zip(sizes.hidden, sizes.latent, strict=True)],
        decoders=[
            nn.Sequential(pixels, head),
            *(GaussianMLP(z, hidden[::-1], lower, activation=activation) for z, hidden, lower in layers),
        ],
        latents=sizes.latent,
    )
