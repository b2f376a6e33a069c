r"""Pruning weights by their signal-to-noise ratio: what the posterior is least sure to need goes first.

$$r_i = \frac{|\mu_i|}{\sigma_i}, \qquad 20 \log_{10} r_i = 10 \log_{10} \frac{\mu_i^2}{\sigma_i^2} \text{ decibels}$$

References:
    | Weight Uncertainty in Neural Networks (Blundell, Cornebise, Kavukcuoglu & Wierstra, 2015), section 5.1
    | https://arxiv.org/abs/1505.05424v2
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from jensen.layers.shrinking.masks import masked, posterior_deviations, posterior_means
from jensen.layers.variational import random_layers

__all__ = ["Density", "prune_by_signal_to_noise", "signal_to_noise", "signal_to_noise_density"]


@dataclass(frozen=True)
class Density:
    """A histogram of signal-to-noise ratios, for a picture.

    Attributes:
        decibels: the middles of the bins, `(bins,)`.
        density: the density in them, per decibel, `(bins,)`.
        cumulative: the share of weights up to the right end of each bin, `(bins,)`.
    """

    decibels: Tensor
    density: Tensor
    cumulative: Tensor


def signal_to_noise(net: nn.Module) -> dict[str, Tensor]:
    r"""$|\mu| / \sigma$ of the weights of every random layer, of the weight's shape, by the layer's name.

    Biases are left out. A weight without noise has an infinite ratio, one that is zero without noise the ratio 0.

    Raises:
        ValueError: if `net` has no random layer, or one that has no random weight or does not know its posterior's
            standard deviations.
    """
    found = {}
    for name, layer in random_layers(net).items():
        deviation = posterior_deviations(layer).get("weight")
        if deviation is None:
            raise ValueError(
                f"{name} has no random parameter 'weight'; only layers with one can be pruned by their ratio"
            )
        ratio = posterior_means(layer)["weight"].abs() / deviation
        found[name] = torch.where(ratio.isnan(), 0.0, ratio)
    return found


def signal_to_noise_density(net: nn.Module, *, bins: int = 100) -> Density:
    r"""The density of $20 \log_{10} |\mu| / \sigma$ over all weights of a network, in decibels.

    Weights whose ratio is 0 or infinite have no place on this axis: they count in `cumulative` alone.

    Raises:
        ValueError: as `signal_to_noise`; or if no ratio is positive and finite, or there are no bins.
    """
    ratios = torch.cat([each.flatten() for each in signal_to_noise(net).values()]).double().cpu()
    decibels = 20 * ratios.log10()
    finite = decibels[decibels.isfinite()]
    if not len(finite) or bins < 1:
        raise ValueError(f"{len(finite)} ratios are positive and finite, and there are {bins} bins; both must be some")
    low, high = finite.min().item(), finite.max().item()
    high = high if high > low else low + 1.0
    width = (high - low) / bins
    counts = torch.histc(finite, bins, low, high)
    middles = low + width * (torch.arange(bins, dtype=torch.float64) + 0.5)
    below = (decibels == -math.inf).sum() + counts.cumsum(0)
    return Density(middles, counts / (len(finite) * width), below / len(decibels))


def prune_by_signal_to_noise(net: nn.Module, share: float) -> nn.Module:
    r"""The plain network at the posterior means without the share of weights that has the lowest $|\mu| / \sigma$.

    The ratios of all random layers are ranked together, so layers lose different shares. Biases stay. Exactly
    `round(share * N)` of the N weights go; among equal ratios, the first.

    Args:
        net: a network with random layers.
        share: what part of the weights to remove, in [0, 1].

    Returns:
        The plain network, of the same size; `shrink` takes the units out that are left without weights.

    Raises:
        ValueError: as `signal_to_noise`; or if `share` is outside [0, 1].

    Example:
        >>> from jensen.layers.variational import bayesianize
        >>> net = bayesianize(torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.ReLU(), torch.nn.Linear(5, 2)))
        >>> plain = prune_by_signal_to_noise(net, 0.5)
        >>> sum(int((layer.weight == 0).sum()) for layer in (plain[0], plain[2]))
        15

    References:
        | Weight Uncertainty in Neural Networks (Blundell, Cornebise, Kavukcuoglu & Wierstra, 2015), section 5.1
        | https://arxiv.org/abs/1505.05424v2
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share is {share}; give the part of the weights to remove, in [0, 1]")
    ratios = signal_to_noise(net)
    order = torch.cat([each.flatten() for each in ratios.values()]).argsort(stable=True)
    stays = torch.ones_like(order, dtype=torch.bool)
    stays[order[: round(share * len(order))]] = False
    masks: dict[str, Tensor] = {}
    for name, ratio in ratios.items():
        masks[name], stays = stays[: ratio.numel()].view_as(ratio), stays[ratio.numel() :]
    return masked(net, masks)
