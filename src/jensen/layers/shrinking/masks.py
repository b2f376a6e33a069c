"""From a network with random layers to a plain one: posterior means, and zeros where a mask says so."""

import copy
from collections.abc import Mapping
from typing import Any, Protocol, TypeGuard

import torch
from torch import Tensor, nn

from jensen.layers.shrinking.thresholds import Threshold
from jensen.layers.variational import RandomLayer, is_random_layer

__all__ = ["log_dropout_rates", "masked", "posterior_deviations", "posterior_means"]


class _Sparse(Protocol):
    """A random layer that knows which of its weights are noise."""

    def masked(self, *, threshold: float | None = None) -> nn.Module: ...


def masked(
    net: nn.Module,
    masks: Mapping[str, Tensor] | None = None,
    *,
    thresholds: Mapping[str, float | Threshold] | None = None,
) -> nn.Module:
    """The plain network of the same size whose pruned weights are zero.

    Every random layer becomes its plain layer at the posterior means. A layer that knows its dropout rates prunes by
    its own threshold, or by the one given; a layer with a mask is multiplied by that instead.

    Args:
        net: any module with or without random layers; it is left as it is.
        masks: for names of layers, plain or random, what stays: booleans or zeros and ones that broadcast with the
            layer's weight.
        thresholds: for names of layers with dropout rates, the threshold of `log_alpha`.

    Returns:
        The copy, in evaluation mode.

    Raises:
        ValueError: if a name is of no such layer, or a mask does not broadcast with its weight.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.ReLU())
        >>> masked(net, {"0": torch.tensor([True, False, True])})[0].weight[:, 1]
        tensor([0., 0.], grad_fn=<SelectBackward0>)
    """
    cuts = {
        name: each.value if isinstance(each, Threshold) else float(each) for name, each in (thresholds or {}).items()
    }
    masks = masks or {}
    new = copy.deepcopy(net)
    layers = dict(new.named_modules(remove_duplicate=False))
    for name in cuts:
        if name not in layers or not _is_sparse(layers[name]):
            raise ValueError(f"no layer {name!r} with dropout rates to compare with a threshold")
    for name in masks:
        if name not in layers:
            raise ValueError(f"no layer {name!r} for a mask; the network has {[each for each in layers if each]}")
    for name, module in sorted(layers.items(), key=lambda item: -len(item[0])):  # random layers inside others first
        if not is_random_layer(module) and name not in masks:
            continue
        plain = _plain(module, name, masks.get(name), cuts.get(name))
        if not name:
            return plain.eval()
        parent, _, child = name.rpartition(".")
        new.get_submodule(parent)._modules[child] = plain
    return new.eval()


def log_dropout_rates(net: nn.Module) -> dict[str, Tensor]:
    r"""$\log \alpha$ of each layer that knows its dropout rates, of its groups or of its weights, by the layer's name.

    Example:
        >>> from jensen.layers.variational import compressible
        >>> rates = log_dropout_rates(compressible(nn.Sequential(nn.Linear(3, 2), nn.ReLU())))
        >>> {name: each.shape for name, each in rates.items()}
        {'0': torch.Size([3])}
    """
    layers: dict[str, Any] = {name: module for name, module in net.named_modules() if _is_sparse(module)}
    return {
        name: (layer.group_log_alpha() if hasattr(layer, "group_log_alpha") else layer.log_alpha()).detach()
        for name, layer in layers.items()
    }


def posterior_means(layer: RandomLayer) -> dict[str, Tensor]:
    """The posterior mean of each random parameter of a layer, by its name inside the layer."""
    if hasattr(layer, "posterior_moments"):
        return {"weight": layer.posterior_moments()[0].detach()}
    means = getattr(layer, "means", None)
    named = means() if means is not None else dict(layer.layer.named_parameters())
    return {name: mean.detach() for name, mean in named.items()}


def posterior_deviations(layer: RandomLayer) -> dict[str, Tensor]:
    """The marginal posterior standard deviation of each random parameter of a layer, by its name inside the layer.

    Raises:
        ValueError: if the layer does not know them.
    """
    if hasattr(layer, "posterior_moments"):
        return {"weight": layer.posterior_moments()[1].detach().sqrt()}
    scales = getattr(layer, "scales", None)
    if not callable(scales) or isinstance(scales, nn.Module):
        raise ValueError(
            f"{type(layer).__name__} knows no standard deviations; it needs posterior_moments() or scales()"
        )
    return {name: scale.detach() for name, scale in scales().items()}


def _plain(module: nn.Module, name: str, mask: Tensor | None, cut: float | None) -> nn.Module:
    if mask is None and _is_sparse(module):
        return module.masked(threshold=cut)
    plain = _at_means(module) if is_random_layer(module) else copy.deepcopy(module)
    if mask is None:
        return plain
    weight = getattr(plain, "weight", None)
    if not isinstance(weight, nn.Parameter):
        raise ValueError(f"{name or 'the network'} is a {type(plain).__name__} without a weight to mask")
    try:
        multiplier = mask.to(weight).expand_as(weight)
    except RuntimeError as error:
        shapes = f"{tuple(mask.shape)} and {tuple(weight.shape)}"
        raise ValueError(f"the mask and the weight of {name!r} have shapes {shapes}, which do not broadcast") from error
    plain.weight = nn.Parameter(torch.where(multiplier != 0, weight.detach(), 0.0))
    return plain


def _at_means(layer: RandomLayer) -> nn.Module:
    plain = copy.deepcopy(layer.layer)
    with torch.no_grad():
        for name, mean in posterior_means(layer).items():
            plain.get_parameter(name).copy_(mean)
    return plain


def _is_sparse(module: object) -> TypeGuard[_Sparse]:
    return is_random_layer(module) and hasattr(module, "masked")
