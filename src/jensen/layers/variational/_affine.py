"""What sparse layers refuse: layers that are no linear map of their weights, weights and inputs that do not fit."""

import torch
from torch import Tensor, nn

from jensen.layers.affine import AFFINE, Affine

__all__ = ["check_affine", "check_input", "spatial_axes"]


def check_affine(layer: nn.Module) -> Affine:
    """The layer, if it is a linear layer or a convolution with finite weights.

    Raises:
        ValueError: naming the kind of layer, or the number of weights that are not finite.
    """
    if not isinstance(layer, AFFINE):
        kinds = "nn.Linear, nn.Conv1d, nn.Conv2d or nn.Conv3d"
        raise ValueError(f"local reparameterisation needs {kinds}, got {type(layer).__name__}")
    if isinstance(layer.weight, nn.UninitializedParameter):
        raise ValueError(f"{type(layer).__name__} has no weights yet; call it once first")
    if not isinstance(layer.weight, nn.Parameter):
        raise ValueError(f"the weight of {type(layer).__name__} is parametrized; remove the parametrization first")
    weights = torch.cat([each.detach().flatten() for each in layer.parameters()])
    broken = weights.numel() - int(torch.isfinite(weights).sum())
    if broken:
        raise ValueError(f"{broken} of {weights.numel()} weights of {layer} are NaN or infinite")
    return layer


def spatial_axes(layer: Affine) -> int:
    """How many axes follow the channels: 0 for a linear layer."""
    return layer.weight.ndim - 2


def check_input(layer: Affine, x: Tensor) -> None:
    """Refuse an input with another number of features or channels than the layer has.

    Raises:
        ValueError: naming the shape and what is expected.
    """
    space = spatial_axes(layer)
    if isinstance(layer, nn.Linear):
        fits, expected = x.ndim >= 1, f"(*batch, {layer.in_features})"
    else:
        fits, expected = space < x.ndim <= space + 2, f"(B, {layer.in_channels}{', L' * space})"
    width = layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels
    if not fits or x.ndim <= space or x.shape[-1 - space] != width:
        raise ValueError(f"the input has shape {tuple(x.shape)}; this layer expects {expected}")
