"""Convolutional networks between flat images and distributions; images of any size, odd ones too."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn.functional import pixel_shuffle

from jensen.distributions import DiagonalNormal
from jensen.layers.pixels import PixelHead

__all__ = ["ConvolutionalDecoder", "ConvolutionalEncoder", "ResidualBlock", "halved"]

Activation = Callable[[], nn.Module]


class ResidualBlock(nn.Module):
    r"""$h + \mathrm{conv}(f(\mathrm{conv}(f(h))))$ with 3x3 convolutions that keep the size.

    The second convolution starts at zero, the block as the identity. Nothing is normalised over a minibatch: what a
    network says of one image would depend on the others, and its bound with it.

    Args:
        channels: of input and output.
        activation: makes the $f$.

    Example:
        >>> h = torch.randn(2, 4, 7, 5)
        >>> torch.equal(ResidualBlock(4)(h), h)
        True

    References:
        | Identity Mappings in Deep Residual Networks (He et al., 2016)
        | https://arxiv.org/abs/1603.05027
    """

    def __init__(self, channels: int, *, activation: Activation = nn.ELU) -> None:
        super().__init__()
        first, second = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        nn.init.zeros_(second.weight)
        nn.init.zeros_(second.bias)  # type: ignore[arg-type]
        self.change = nn.Sequential(activation(), first, activation(), second)

    def forward(self, h: Tensor) -> Tensor:
        """The block's output, `(N, channels, H, W)`."""
        out: Tensor = h + self.change(h)
        return out


class ConvolutionalEncoder(nn.Module):
    r"""From flat images to a Gaussian over latents, $q(z \mid x)$.

    Each stage halves height and width, rounding up, by a 3x3 convolution of stride two, and is refined by a
    `ResidualBlock`; then comes a dense layer.

    Args:
        shape: `(H, W)` or `(H, W, C)`; data are flat in this order.
        channels: of each stage.
        hidden: width of the dense layer.
        latent: number D of latent units.
        activation: makes the module between two layers.

    Raises:
        ValueError: if a size is below one.

    Example:
        >>> encoder = ConvolutionalEncoder((28, 20), (8, 16), hidden=32, latent=5)
        >>> encoder(torch.zeros(3, 560)).event_shape
        torch.Size([5])

    References:
        | Auto-Encoding Variational Bayes (Kingma & Welling, 2014), appendix C.2
        | https://arxiv.org/abs/1312.6114v11
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        channels: Sequence[int],
        *,
        hidden: int,
        latent: int,
        activation: Activation = nn.ELU,
    ) -> None:
        super().__init__()
        self.image = _image(shape)
        _check_sizes(channels, hidden=hidden, latent=latent)
        smallest = halved(self.image[:2], len(channels))[-1]
        stages: list[nn.Module] = []
        for inputs, outputs in pairwise((self.image[2], *channels)):
            stages += [
                nn.Conv2d(inputs, outputs, 3, stride=2, padding=1),
                ResidualBlock(outputs, activation=activation),
            ]
            stages.append(activation())
        self.stages = nn.Sequential(*stages).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.dense = nn.Linear(channels[-1] * prod(smallest), hidden)
        self.activation = activation()
        self.statistics = nn.Linear(hidden, 2 * latent)

    def forward(self, x: Tensor) -> DiagonalNormal:
        """The Gaussian given images, `(*batch, pixels)`."""
        if x.shape[-1:] != (prod(self.image),):
            raise ValueError(f"the images have shape {tuple(x.shape)}; expected (*batch, {prod(self.image)})")
        h = x.reshape(-1, *self.image).permute(0, 3, 1, 2)  # channels-last in memory already
        h = self.activation(self.dense(self.stages(h).permute(0, 2, 3, 1).flatten(1)))
        mean, log_scale = self.statistics(h).to(x.dtype).reshape(*x.shape[:-1], -1).chunk(2, -1)
        return DiagonalNormal(mean, log_scale, validate_args=False)


class ConvolutionalDecoder(nn.Module):
    r"""From latents to a distribution over the pixels of flat images, $p(x \mid z)$: the encoder's mirror.

    A dense layer makes the smallest map. Each stage refines it by a `ResidualBlock` and doubles height and width:
    a 3x3 convolution makes four times the channels and each four become a square of positions. What an odd size has
    less is cut off. The last stage makes what the `PixelHead` takes.

    Args:
        head: makes the distribution; it knows the shape of the image.
        channels: of each stage, as the encoder has them, the largest map first.
        hidden: width of the dense layer.
        latent: number D of latent units.
        activation: makes the module between two layers.

    Raises:
        ValueError: if a size is below one.

    Example:
        >>> head = PixelHead("bernoulli", (28, 20))
        >>> decoder = ConvolutionalDecoder(head, (8, 16), hidden=32, latent=5)
        >>> decoder(torch.zeros(7, 3, 5)).mean.shape
        torch.Size([7, 3, 560])

    References:
        | Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network (Shi et al., 2016)
        | https://arxiv.org/abs/1609.05158
    """  # noqa: E501

    def __init__(
        self,
        head: PixelHead,
        channels: Sequence[int],
        *,
        hidden: int,
        latent: int,
        activation: Activation = nn.ELU,
    ) -> None:
        super().__init__()
        _check_sizes(channels, hidden=hidden, latent=latent)
        self.head, self.latent = head, latent
        *self.sizes, smallest = halved(head.shape[:2], len(channels))
        self.smallest = (*smallest, channels[-1])
        self.dense = nn.Sequential(
            nn.Linear(latent, hidden), activation(), nn.Linear(hidden, prod(self.smallest)), activation()
        )
        stages = [
            nn.Sequential(
                ResidualBlock(inputs, activation=activation),
                activation(),
                nn.Conv2d(inputs, 4 * outputs, 3, padding=1),
            )
            for inputs, outputs in pairwise((*reversed(channels), head.features))
        ]
        self.stages = nn.ModuleList(stages).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, z: Tensor) -> Distribution:
        """The pixels given latents, `(*batch, latent)`."""
        if z.shape[-1:] != (self.latent,):
            raise ValueError(f"the latents have shape {tuple(z.shape)}; expected (*batch, {self.latent})")
        h = self.dense(z.reshape(-1, self.latent)).reshape(-1, *self.smallest).permute(0, 3, 1, 2)
        for stage, (height, width) in zip(self.stages, reversed(self.sizes), strict=True):
            h = pixel_shuffle(stage(h), 2)[..., :height, :width]
        h = h.permute(0, 2, 3, 1).reshape(*z.shape[:-1], -1, self.head.features)
        p: Distribution = self.head(h)
        return p


def halved(size: tuple[int, ...], times: int) -> list[tuple[int, int]]:
    """Height and width before and after each halving, rounding up.

    Args:
        size: height and width.
        times: how often they are halved.

    Example:
        >>> halved((28, 20), 3)
        [(28, 20), (14, 10), (7, 5), (4, 3)]
    """
    height, width = size
    sizes = [(height, width)]
    for _ in range(times):
        height, width = (height + 1) // 2, (width + 1) // 2
        sizes.append((height, width))
    return sizes


def _image(shape: tuple[int, ...]) -> tuple[int, int, int]:
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise ValueError(f"shape is {shape}; expected (height, width) or (height, width, channels)")
    return (shape[0], shape[1], shape[2] if len(shape) == 3 else 1)


def _check_sizes(channels: Sequence[int], **sizes: int) -> None:
    if not channels or min(channels) < 1:
        raise ValueError(f"channels are {tuple(channels)}; give one positive number for each stage")
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} is {size}; it must be at least 1")
