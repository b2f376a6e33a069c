r"""Selective attention by Gaussian filters: a grid of $N \times N$ of them looks at an image, or paints on one.

Where the grid lies, how far apart its filters are, how wide each is and how strong, are five numbers, so that a network
can move its gaze and learn to by gradients.

References:
    | DRAW: A Recurrent Neural Network For Image Generation (Gregor, Danihelka, Graves, Rezende & Wierstra, 2015), section 3.2
    | https://arxiv.org/abs/1502.04623v2
"""  # noqa: E501

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["PARAMETERS", "Filters", "Window", "filterbank", "read", "window", "write"]

PARAMETERS = 5
"""How many numbers a window has."""

LARGEST_LOG = 20.0
"""A window's log-variance, relative log-stride and log-intensity stay within this, so that no inverse overflows."""


class Window(NamedTuple):
    r"""Where a grid of $N \times N$ filters lies on an image, in pixels that are numbered from 1; `(B,)` each.

    Attributes:
        centre_x: $g_X$, the column of the grid's centre.
        centre_y: $g_Y$, its row.
        stride: $\delta$, the distance between two filters.
        log_variance: $\log \sigma^2$ of a filter.
        log_intensity: $\log \gamma$.
    """

    centre_x: Tensor
    centre_y: Tensor
    stride: Tensor
    log_variance: Tensor
    log_intensity: Tensor


class Filters(NamedTuple):
    """A window's filters, every row a distribution over pixels.

    Attributes:
        y: $F_Y$, over the rows of an image, `(B, N, height)`.
        x: $F_X$, over its columns, `(B, N, width)`.
    """

    y: Tensor
    x: Tensor


def window(parameters: Tensor, *, shape: tuple[int, ...], size: int) -> Window:
    r"""A window from five real numbers $(\tilde g_X, \tilde g_Y, \log \sigma^2, \log \tilde \delta, \log \gamma)$.

    $$g_X = \frac{A + 1}{2} (\tilde g_X + 1), \qquad g_Y = \frac{B + 1}{2} (\tilde g_Y + 1), \qquad
    \delta = \frac{\max(A, B) - 1}{N - 1} \tilde \delta$$

    for an image of width $A$ and height $B$. All zeros make a window over the whole image. With $N = 1$ there is
    nothing between filters, and $\delta = (\max(A, B) - 1) \, \tilde \delta$ is of no consequence.
    The three logarithms are clipped to $[-20, 20]$.

    Args:
        parameters: the five numbers, `(B, 5)`.
        shape: `(height, width)` of the image; further axes are left aside.
        size: $N$.

    Raises:
        ValueError: if there are not five numbers, or `size` is below 1.

    Example:
        >>> whole = window(torch.zeros(1, 5), shape=(28, 28), size=12)
        >>> whole.centre_x.item(), round(whole.stride.item(), 4)
        (14.5, 2.4545)

    References:
        | DRAW: A Recurrent Neural Network For Image Generation (Gregor et al., 2015), section 3.2
        | https://arxiv.org/abs/1502.04623v2
    """
    if parameters.ndim != 2 or parameters.shape[-1] != PARAMETERS:
        raise ValueError(f"a window has {PARAMETERS} parameters; expected (B, 5), got {tuple(parameters.shape)}")
    if size < 1:
        raise ValueError(f"size is {size}; a grid has at least one filter")
    height, width = shape[:2]
    x, y = parameters[:, :2].unbind(-1)
    log_variance, log_stride, log_intensity = parameters[:, 2:].clamp(-LARGEST_LOG, LARGEST_LOG).unbind(-1)
    return Window(
        centre_x=(width + 1) / 2 * (x + 1),
        centre_y=(height + 1) / 2 * (y + 1),
        stride=(max(height, width) - 1) / max(size - 1, 1) * log_stride.exp(),
        log_variance=log_variance,
        log_intensity=log_intensity,
    )


def filterbank(of: Window, *, shape: tuple[int, ...], size: int) -> Filters:
    r"""The $N$ filters of a window along each axis.

    $$\mu^i = g + (i - \tfrac{N}{2} - \tfrac{1}{2}) \, \delta, \qquad
    F[i, a] = \frac{1}{Z_i} \exp\Big({-\frac{(a - \mu^i)^2}{2 \sigma^2}}\Big), \qquad \sum_a F[i, a] = 1$$

    with filters $i$ and pixels $a$ numbered from 1. The normalisation is a softmax over the exponents, so a row sums
    to one however narrow the filter is, and however far from the image; far away it is the pixel at the edge.

    Args:
        of: the window, its log-variance within $\pm 80$, where single precision ends; those of `window` are.
        shape: `(height, width)` of the image; further axes are left aside.
        size: $N$.

    Returns:
        $F_Y$, `(B, N, height)`, and $F_X$, `(B, N, width)`.

    Example:
        >>> pixel_by_pixel = Window(*torch.tensor([[2.0], [2.0], [1.0], [-40.0], [0.0]]))
        >>> filterbank(pixel_by_pixel, shape=(3, 3), size=3).x
        tensor([[[1., 0., 0.],
                 [0., 1., 0.],
                 [0., 0., 1.]]])

    References:
        | DRAW: A Recurrent Neural Network For Image Generation (Gregor et al., 2015), section 3.2
        | https://arxiv.org/abs/1502.04623v2
    """
    height, width = shape[:2]
    i = torch.arange(1, size + 1, dtype=of.stride.dtype, device=of.stride.device)
    steps = (i - (size / 2 + 0.5)) * of.stride.unsqueeze(-1)  # (B, N)
    y, x = of.centre_y.unsqueeze(-1) + steps, of.centre_x.unsqueeze(-1) + steps
    half_precision = 0.5 * torch.exp(-of.log_variance)
    if height == width:
        return Filters(*_filters(torch.cat([y, x], 1), half_precision, width).chunk(2, 1))
    return Filters(_filters(y, half_precision, height), _filters(x, half_precision, width))


def _filters(mean: Tensor, half_precision: Tensor, pixels: int) -> Tensor:
    """Rows `(B, N, pixels)` around the means `(B, N)`."""
    a = torch.arange(1, pixels + 1, dtype=mean.dtype, device=mean.device)
    return torch.softmax(-half_precision[:, None, None] * (a - mean.unsqueeze(-1)).square(), -1)


def read(images: Tensor, filters: Filters) -> Tensor:
    r"""What the grid sees of images, $F_Y \, x \, F_X^T$: a patch of $N \times N$.

    Images that share a window are laid side by side and read in the same two batched products; so are channels.

    Args:
        images: `(B, height, width, channels)`, or `(B, height, S width, channels)` with S images side by side.
        filters: of a window each.

    Returns:
        Patches, `(B, N, N, channels)`, or `(B, N, S N, channels)`, side by side as the images.

    Raises:
        ValueError: if the filters are of images of another size.

    Example:
        >>> centre = window(torch.zeros(2, 5), shape=(28, 20), size=5)
        >>> read(torch.zeros(2, 28, 20, 3), filterbank(centre, shape=(28, 20), size=5)).shape
        torch.Size([2, 5, 5, 3])

    References:
        | DRAW: A Recurrent Neural Network For Image Generation (Gregor et al., 2015), section 3.3
        | https://arxiv.org/abs/1502.04623v2
    """
    B, N, height = filters.y.shape
    width, C = filters.x.shape[-1], images.shape[-1]
    if images.ndim != 4 or images.shape[:2] != (B, height) or images.shape[2] % width:
        expected = f"({B}, {height}, {width}, channels)"
        raise ValueError(f"images have shape {tuple(images.shape)}; these filters expect {expected}")
    rows = torch.bmm(filters.y, images.reshape(B, height, -1))  # (B, N, S W C)
    rows = rows.reshape(B, -1, width, C).transpose(2, 3).reshape(B, -1, width)  # (B, N S C, W)
    patch = torch.bmm(rows, filters.x.transpose(1, 2))
    return patch.reshape(B, -1, C, N).transpose(2, 3).reshape(B, N, -1, C)


def write(patches: Tensor, filters: Filters) -> Tensor:
    r"""Patches painted where the grid lies, $F_Y^T \, w \, F_X$: the adjoint of `read`.

    $$\langle F_Y \, x \, F_X^T, \, w \rangle = \langle x, \, F_Y^T \, w \, F_X \rangle$$

    Args:
        patches: `(B, N, N, channels)`.
        filters: of a window each.

    Returns:
        Images, `(B, height, width, channels)`.

    Raises:
        ValueError: if the patches are of another size than the filters.

    Example:
        >>> centre = window(torch.zeros(2, 5), shape=(28, 20), size=5)
        >>> write(torch.zeros(2, 5, 5, 3), filterbank(centre, shape=(28, 20), size=5)).shape
        torch.Size([2, 28, 20, 3])

    References:
        | DRAW: A Recurrent Neural Network For Image Generation (Gregor et al., 2015), section 3.3
        | https://arxiv.org/abs/1502.04623v2
    """
    B, N, height = filters.y.shape
    width, C = filters.x.shape[-1], patches.shape[-1]
    if patches.shape != (B, N, N, C):
        raise ValueError(f"patches have shape {tuple(patches.shape)}; these filters expect ({B}, {N}, {N}, channels)")
    rows = patches.transpose(2, 3).reshape(B, N * C, N)
    rows = torch.bmm(rows, filters.x).reshape(B, N, C, width).transpose(2, 3)  # (B, N, W, C)
    images = torch.bmm(filters.y.transpose(1, 2), rows.reshape(B, N, width * C))
    return images.reshape(B, height, width, C)
