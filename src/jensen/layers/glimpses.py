"""How a recurrent network sees an image and paints on a canvas: whole, or through a window of its own choice.

Readers give the product of what is seen with the weights of a recurrent cell's input, so that a part of it which stays
the same from step to step is taken once.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from jensen.layers.filterbanks import PARAMETERS, Window, filterbank, read, window, write

__all__ = ["Brush", "Glimpse", "Whole"]


class Whole(nn.Module):
    r"""An image and an error image seen whole, $W_1 x + W_2 (x - m) + b = (W_1 + W_2) \, x + b - W_2 m$.

    Args:
        pixels: of an image.
        outputs: of the product.

    Example:
        >>> whole = Whole(64, 20)
        >>> x, mean = torch.ones(3, 64), torch.zeros(3, 64)
        >>> whole(whole.prepare(x), mean, torch.zeros(3, 5)).shape
        torch.Size([3, 20])

    References:
        | DRAW: A Recurrent Neural Network For Image Generation (Gregor et al., 2015), section 3.1
        | https://arxiv.org/abs/1502.04623v2
    """

    def __init__(self, pixels: int, outputs: int) -> None:
        super().__init__()
        self.image, self.error = nn.Linear(pixels, outputs), nn.Linear(pixels, outputs, bias=False)

    def prepare(self, x: Tensor) -> Tensor:
        r"""What does not change, $(W_1 + W_2) \, x + b$, `(B, outputs)`."""
        product: Tensor = linear(x, self.image.weight + self.error.weight, self.image.bias)
        return product

    def forward(self, seen: Tensor, mean: Tensor, h: Tensor) -> Tensor:
        """The product from what was prepared and the canvas's mean `(B, pixels)`, whatever the state `h`."""
        del h
        product: Tensor = seen - self.error(mean)
        return product


class Glimpse(nn.Module):
    r"""An image and an error image seen through one window, $W \, \gamma [F_Y x F_X^T, F_Y (x - m) F_X^T] + b$.

    The window is a linear map of a state. It begins over the whole image, with $\sigma = \delta / 2$.

    Args:
        hidden: width of the state.
        shape: `(height, width, channels)` of an image.
        size: filters from side to side.
        outputs: of the product.

    Example:
        >>> glimpse = Glimpse(5, (8, 8, 1), size=3, outputs=20)
        >>> x, mean = torch.ones(4, 64), torch.zeros(4, 64)
        >>> glimpse(glimpse.prepare(x), mean, torch.zeros(4, 5)).shape
        torch.Size([4, 20])

    References:
        | DRAW: A Recurrent Neural Network For Image Generation (Gregor et al., 2015), section 3.3
        | https://arxiv.org/abs/1502.04623v2
    """

    def __init__(self, hidden: int, shape: tuple[int, ...], *, size: int, outputs: int) -> None:
        super().__init__()
        self.shape, self.size = shape, size
        self.window = _linear(hidden, _overview(_half_stride(shape, size)))
        self.patch = nn.Linear(2 * size * size * shape[2], outputs)

    def prepare(self, x: Tensor) -> Tensor:
        """Data as they are: where it looks changes."""
        return x

    def where(self, h: Tensor) -> Window:
        """The window that a state `(B, hidden)` asks for."""
        return window(self.window(h).to(h.dtype), shape=self.shape, size=self.size)

    def look(self, images: Tensor, where: Window) -> Tensor:
        """Patches by intensity, `(B, size, size, channels)`, of flat images; side by side where those are."""
        filters = filterbank(where, shape=self.shape, size=self.size)
        patch = read(images.reshape(len(images), self.shape[0], -1, self.shape[2]), filters)
        return patch * where.log_intensity.exp()[:, None, None, None]

    def forward(self, seen: Tensor, mean: Tensor, h: Tensor) -> Tensor:
        """The product, `(B, outputs)`, with what the window of the state `h` shows."""
        pair = torch.cat([each.reshape(len(each), self.shape[0], -1) for each in (seen, seen - mean)], -1)
        product: Tensor = self.patch(self.look(pair, self.where(h)).flatten(1))
        return product


class Brush(nn.Module):
    r"""A patch painted through a window, $\frac{1}{\gamma} F_Y^T \, w \, F_X$, patch and window linear maps of a state.

    The window begins over the whole image, with $\sigma = \delta / 2$ and $\gamma = 1 / (2 \pi \sigma^2)$, so that the
    middle of a filter gets what the patch says.

    Args:
        hidden: width of the state.
        shape: `(height, width, channels)` of the canvas.
        size: filters from side to side.

    Example:
        >>> Brush(5, (8, 8, 1), size=3)(torch.zeros(4, 5)).shape
        torch.Size([4, 64])

    References:
        | DRAW: A Recurrent Neural Network For Image Generation (Gregor et al., 2015), section 3.3
        | https://arxiv.org/abs/1502.04623v2
    """

    def __init__(self, hidden: int, shape: tuple[int, ...], *, size: int) -> None:
        super().__init__()
        self.shape, self.size = shape, size
        sigma = _half_stride(shape, size)
        start = _overview(sigma, log_intensity=-math.log(2 * math.pi * sigma**2))
        self.stroke = _linear(hidden, torch.cat([start, torch.zeros(size * size * shape[2])]))

    def where(self, h: Tensor) -> Window:
        """The window that a state `(B, hidden)` asks for."""
        return self._stroke(h)[0]

    def _stroke(self, h: Tensor) -> tuple[Window, Tensor]:
        """Window and patch, one product."""
        parameters, patch = self.stroke(h).to(h.dtype).tensor_split([PARAMETERS], -1)
        return window(parameters, shape=self.shape, size=self.size), patch

    def forward(self, h: Tensor) -> Tensor:
        """What a state `(B, hidden)` adds to a flat canvas, `(B, pixels)`."""
        where, patch = self._stroke(h)
        patch = patch * (-where.log_intensity).exp().unsqueeze(-1)
        filters = filterbank(where, shape=self.shape, size=self.size)
        return write(patch.reshape(len(h), self.size, self.size, -1), filters).flatten(1)


def _half_stride(shape: tuple[int, ...], size: int) -> float:
    """Half the stride of a window over the whole image; half a pixel at least."""
    return max(max(shape[:2]) - 1, 1) / max(size - 1, 1) / 2


def _overview(sigma: float, *, log_intensity: float = 0.0) -> Tensor:
    """The parameters of a window over the whole image."""
    return torch.tensor([0.0, 0.0, 2 * math.log(sigma), 0.0, log_intensity])


def _linear(inputs: int, bias: Tensor) -> nn.Linear:
    """A linear layer whose bias begins at a value."""
    made = nn.Linear(inputs, len(bias))
    with torch.no_grad():
        made.bias.copy_(bias)
    return made
