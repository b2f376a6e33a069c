"""Convolutional autoencoders from the numbers of a `ConvolutionalArchitecture`."""

from torch import Tensor, nn

from jensen.layers import ConvolutionalDecoder, ConvolutionalEncoder, FlowPosterior, PixelHead
from jensen.models import VAE
from jensen.recipes.architectures import ConvolutionalArchitecture
from jensen.recipes.build_perceptrons import ACTIVATIONS
from jensen.recipes.objectives import Objective

__all__ = ["convolutional"]


def convolutional(
    sizes: ConvolutionalArchitecture,
    shape: tuple[int, ...],
    *,
    mean: Tensor | None = None,
    objective: Objective | None = None,
) -> nn.Module:
    """The variational autoencoder with convolutions, and a flow behind its encoder where the sizes have one.

    Args:
        sizes: the architecture.
        shape: of an image, `(height, width)` or `(height, width, channels)`.
        mean: the pixel means `(pixels,)`; where given, the pixels' locations start there.
        objective: of no matter here.
    """
    del objective
    widths = {"hidden": sizes.hidden, "latent": sizes.latent}
    activation, flow = ACTIVATIONS[sizes.activation], sizes.flow
    encoder: nn.Module = ConvolutionalEncoder(shape, sizes.channels, activation=activation, **widths)
    if flow is not None:
        encoder = FlowPosterior(encoder, sizes.latent, flow=flow.name, transforms=flow.transforms, hidden=flow.hidden)
    head = PixelHead(
        sizes.likelihood, shape, scale=sizes.scale, levels=sizes.levels, mixtures=sizes.mixtures, mean=mean
    )
    decoder = ConvolutionalDecoder(head, sizes.channels, activation=activation, **widths)
    return VAE(encoder=encoder, decoder=decoder, latent=sizes.latent)
