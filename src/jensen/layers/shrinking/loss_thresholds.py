"""Thresholds from what pruning costs on data: the lowest ones that leave the loss as it was."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from jensen.layers.shrinking.masks import log_dropout_rates, masked

__all__ = ["thresholds_by_loss"]

Loss = Callable[[nn.Module], float | Tensor]
"""Of a plain network."""


def thresholds_by_loss(net: nn.Module, loss: Loss, *, tolerance: float = 0.01) -> dict[str, float]:
    r"""The lowest threshold of each layer's $\log \alpha$ at which a loss of the pruned network hardly grows.

    Layer by layer from the first, each with an equal share of the tolerance, on top of those before it: of the L layers
    the $i$-th is cut as deep as

    $$\ell(\text{layers } 1 \ldots i \text{ cut}) \le \ell(\text{nothing cut}) + \frac{i}{L} \, \text{tolerance}$$

    allows, by bisection over the number of rates above the threshold. Needs no second mode among the rates, where
    `propose_thresholds` does; it needs data, and they must not be those of the final test.

    Args:
        net: a network with layers that know their dropout rates, of groups or of single weights.
        loss: of a plain network, such as its mean negative log-likelihood on training data, in nats per datum.
        tolerance: by how much the loss may grow in all, in its own units.

    Returns:
        A threshold for each such layer by its name, infinite where nothing can go. At least one rate stays below it.

    Raises:
        ValueError: if no layer knows its dropout rates, the tolerance is negative, or the loss of the network as it is
            is not finite.

    Example:
        >>> from jensen.layers.variational import compressible
        >>> net = compressible(nn.Sequential(nn.Linear(4, 1)), initial_log_variance=-2.0)
        >>> with torch.no_grad():
        ...     _ = net[0].layer.weight.copy_(torch.tensor([[1.0, 1.0, 0.0, 0.0]]))
        ...     _ = net[0].scales.mean.copy_(torch.tensor([1.0, 1.0, 0.1, 0.1]))
        >>> x = torch.eye(4)
        >>> y = torch.tensor([[1.0], [1.0], [0.0], [0.0]])
        >>> cut = thresholds_by_loss(net, lambda plain: (plain(x) - plain[0].bias - y).square().sum())
        >>> masked(net, thresholds=cut)[0].weight.ne(0).tolist()
        [[True, True, False, False]]

    References:
        | Bayesian Compression for Deep Learning (Louizos, Ullrich & Welling, 2017), section 5
        | https://arxiv.org/abs/1705.08665
    """
    if not tolerance >= 0:
        raise ValueError(f"tolerance must not be negative, got {tolerance}")
    rates = _rates(net)
    if not rates:
        raise ValueError(
            f"{type(net).__name__} has no layer with dropout rates; make some with compressible or sparsify"
        )
    cuts = dict.fromkeys(rates, math.inf)
    before = _value(loss, net, cuts)
    if not math.isfinite(before):
        raise ValueError(f"the loss of the network before any cut is {before}; it must be finite")
    for i, (name, every) in enumerate(rates.items(), 1):
        limit = before + tolerance * i / len(rates)
        cuts[name] = _lowest(every, partial(_bearable, loss, net, cuts, name, limit))
    return cuts


def _bearable(loss: Loss, net: nn.Module, cuts: Mapping[str, float], name: str, limit: float, cut: float) -> bool:
    return _value(loss, net, {**cuts, name: cut}) <= limit


def _lowest(rates: Tensor, bearable: Callable[[float], bool]) -> float:
    """The lowest cut between two rates that is bearable, by bisection over how many stay."""
    middles = (rates[:-1] + rates[1:]) / 2
    low, high = 0, len(middles)  # high is always bearable: nothing is cut there
    while low < high:
        middle = (low + high) // 2
        if bearable(float(middles[middle])):
            high = middle
        else:
            low = middle + 1
    return math.inf if high == len(middles) else float(middles[high])


def _rates(net: nn.Module) -> dict[str, Tensor]:
    """The different log dropout rates of each layer in ascending order, by its name."""
    rates: dict[str, Any] = dict(log_dropout_rates(net))
    return {name: each.double().flatten().unique() for name, each in rates.items()}


def _value(loss: Loss, net: nn.Module, cuts: Mapping[str, float]) -> float:
    with torch.no_grad():
        return float(loss(masked(net, thresholds=cuts)))
