"""DRAW from the numbers of a `DrawArchitecture`."""

from torch import Tensor, nn

from jensen._math import logit
from jensen.layers.pixels import PixelHead
from jensen.models import DRAW
from jensen.recipes.architectures import DrawArchitecture
from jensen.recipes.objectives import Objective

__all__ = ["draw"]


def draw(
    sizes: DrawArchitecture, shape: tuple[int, ...], *, mean: Tensor | None = None, objective: Objective | None = None
) -> nn.Module:
    """The recurrent writer.

    Args:
        sizes: the architecture.
        shape: of an image.
        mean: the pixel means `(pixels,)`; where given, the first canvas starts there.
        objective: of no matter here.
    """
    del objective
    head, canvas = None, None if mean is None else logit(mean)
    if sizes.likelihood != "bernoulli":
        head, canvas = PixelHead(sizes.likelihood, shape, scale=sizes.scale, mean=mean), None
        head.start.requires_grad_(False)  # the canvas is learned already
    return DRAW(
        shape=shape,
        glimpses=sizes.glimpses,
        hidden=sizes.hidden,
        latent=sizes.latent,
        read=sizes.read,
        write=sizes.write,
        cell=sizes.cell,
        likelihood=head,
        channels=None if head is None else head.features,
        canvas=canvas,
    )
