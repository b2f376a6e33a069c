r"""Noise of the weights as noise of the outputs, for layers that are linear in their weights.

With $y = W x + b$, or a convolution, and independent Gaussian weights, an output's mean and variance are the layer at
the means, and the layer at the variances with the squared input:

$$\mathbb{E}[y] = M x + \mu_b, \qquad \mathrm{Var}[y] = S x^2 + \sigma_b^2$$

Each function takes its noise as an argument. Both estimators give every output the moments that drawn weights give it.
What they do to pairs of outputs:

| | outputs of one example | outputs of two examples |
|---|---|---|
| drawn weights | dependent through shared weights | dependent |
| local reparameterisation | independent: exact for a vector, not for the positions of a convolution | independent |
| flipout | as with drawn weights, up to the fourth moments | uncorrelated |
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jensen.layers.affine import AFFINE

__all__ = [
    "apply_linearly",
    "flipout",
    "is_linear",
    "sign_shapes",
    "signs",
]


def is_linear(layer: nn.Module) -> bool:
    """Whether a layer is one of torch's linear layers or convolutions, with torch's own forward pass and no hooks.

    Example:
        >>> is_linear(nn.Conv1d(1, 1, 3)), is_linear(nn.LSTM(1, 1))
        (True, False)
    """
    kinds = [kind for kind in AFFINE if isinstance(layer, kind)]
    hooked = layer._forward_pre_hooks or layer._forward_hooks
    return bool(kinds) and type(layer).forward is kinds[0].forward and not hooked


def apply_linearly(layer: nn.Module, x: Tensor, weight: Tensor, bias: Tensor | None, /) -> Tensor:
    """The linear map of a linear or convolution layer, with another weight and bias."""
    if isinstance(layer, nn.Linear):
        return F.linear(x, weight, bias)
    convolved: Tensor = layer._conv_forward(x, weight, bias)  # type: ignore[operator]
    return convolved


def flipout(
    layer: nn.Module, x: Tensor, *, offsets: tuple[Tensor | None, Tensor | None], signs: tuple[Tensor, Tensor]
) -> Tensor:
    r"""What one perturbation of the weights adds to the outputs, turned by signs into another for each example.

    $$\big((x_n \circ s_n) \Delta W + \Delta b\big) \circ r_n$$

    Args:
        layer: whose linear map it is.
        x: the inputs, `(B, ...)`.
        offsets: $\Delta W$ and $\Delta b$, None where one is not random.
        signs: $s$ and $r$, 1 or -1, in the shapes of `sign_shapes`.

    References:
        | Flipout: Efficient Pseudo-Independent Weight Perturbations on Mini-Batches (Wen et al., 2018), eq. 4
        | https://arxiv.org/abs/1803.04386v2
    """
    (in_weight, in_bias), (of_inputs, of_outputs) = offsets, signs
    if in_weight is not None:
        return apply_linearly(layer, x * of_inputs, in_weight, in_bias) * of_outputs
    channels = () if isinstance(layer, nn.Linear) else (1,) * (_ndim(layer) - 2)
    return torch.as_tensor(in_bias).reshape(-1, *channels) * of_outputs


def sign_shapes(layer: nn.Module, x: Tensor) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shapes of flipout's signs: one for each example's input and output channels, shared by all its positions.

    Example:
        >>> sign_shapes(nn.Conv2d(3, 8, 5), torch.zeros(16, 3, 28, 28))
        ((16, 3, 1, 1), (16, 8, 1, 1))
    """
    if isinstance(layer, nn.Linear):
        batch = (x.shape[0], *[1] * (x.ndim - 2)) if x.ndim > 1 else ()
        return (*batch, layer.in_features), (*batch, layer.out_features)
    space = (1,) * (_ndim(layer) - 2)
    batch = tuple(x.shape[: x.ndim - len(space) - 1])
    inputs, outputs = int(layer.in_channels), int(layer.out_channels)  # type: ignore[arg-type]
    return (*batch, inputs, *space), (*batch, outputs, *space)


def signs(shape: tuple[int, ...], *, like: Tensor) -> Tensor:
    """Fair signs, 1 or -1, eight of them from each random byte.

    Example:
        >>> signs((2, 3), like=torch.zeros(())).abs()
        tensor([[1., 1., 1.],
                [1., 1., 1.]])
    """
    size = torch.Size(shape).numel()
    bytes_ = torch.randint(256, ((size + 7) // 8,), device=like.device)
    bits = torch.arange(256, device=like.device).unsqueeze(1) >> torch.arange(8, device=like.device)
    table = (2 * (bits & 1) - 1).to(like.dtype)  # (256, 8)
    return F.embedding(bytes_, table).reshape(-1)[:size].reshape(shape)


def _ndim(layer: nn.Module) -> int:
    return int(layer.get_parameter("weight").ndim)
