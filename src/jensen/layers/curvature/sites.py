r"""Where curvature is taken: linear and convolutional layers, each read as one matrix that multiplies rows of inputs.

A layer's weights and bias are the matrix $\Theta = [W, b]$, `(G, O, I)`, for $G$ groups (1 but for grouped
convolutions), and each of its $T$ uses on a datum (positions of a convolution, steps of a sequence) is a row
$a_{bt}$, `(I,)`, with a last entry 1 where there is a bias: the output there is $\Theta a_{bt}$.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import prod
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jensen.layers.affine import AFFINE, Affine

__all__ = ["Choice", "Site", "find_sites", "last_site"]

Choice = Literal["last", "all"] | Sequence[str]
"""The last layer, all layers, or names of layers, patterns such as `features.*` among them."""

Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d


@dataclass(frozen=True, eq=False)
class Site:
    r"""One layer as a matrix $\Theta = [W, b]$.

    Attributes:
        name: of the layer in its network.
        layer: a `Linear` or a convolution.
    """

    name: str
    layer: Affine

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(G, O, I)`: groups, outputs of each, inputs of each with the bias."""
        weight, groups = self.layer.weight, getattr(self.layer, "groups", 1)
        return groups, weight.shape[0] // groups, prod(weight.shape[1:]) + (self.layer.bias is not None)

    @property
    def count(self) -> int:
        """The number of parameters."""
        return prod(self.shape)

    @property
    def matrix(self) -> Tensor:
        r"""$\Theta$, `(G, O, I)`."""
        weight, bias = self.layer.weight.detach(), self.layer.bias
        columns = [weight.flatten(1)] if bias is None else [weight.flatten(1), bias.detach().unsqueeze(1)]
        return torch.cat(columns, 1).reshape(self.shape)

    def parameters(self, matrices: Tensor) -> dict[str, Tensor]:
        r"""Matrices $\Theta$, `(K, G, O, I)`, as parameters of the network by name, `(K, *shape)` each."""
        rows = matrices.reshape(len(matrices), self.layer.weight.shape[0], -1)
        prefix = f"{self.name}." if self.name else ""
        size = prod(self.layer.weight.shape[1:])
        named = {f"{prefix}weight": rows[..., :size].reshape(-1, *self.layer.weight.shape)}
        return named if self.layer.bias is None else {**named, f"{prefix}bias": rows[..., size]}

    def rows(self, inputs: Tensor) -> Tensor:
        """The rows $a_{bt}$ that the matrix multiplies, `(B, T, G, I)`, from the inputs of the layer."""
        if isinstance(self.layer, nn.Linear):
            rows = inputs.reshape(len(inputs), -1, 1, inputs.shape[-1])
        else:
            rows = _patches(self.layer, inputs)
        return rows.clone() if self.layer.bias is None else F.pad(rows, (0, 1), value=1.0)

    def columns(self, outputs: Tensor) -> Tensor:
        """Outputs of the layer, or gradients there, in the order of the rows: `(B, T, G, O)`."""
        G, O, _ = self.shape
        if isinstance(self.layer, nn.Linear):
            return outputs.reshape(len(outputs), -1, G, O)
        return outputs.reshape(len(outputs), G, O, -1).permute(0, 3, 1, 2)


def _patches(layer: Convolution, inputs: Tensor) -> Tensor:
    """What each position of a convolution sees, `(B, T, G, I)`."""
    margins = [margin for pair in reversed(_margins(layer)) for margin in pair]
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    patches = F.pad(inputs, margins, mode=mode) if any(margins) else inputs
    spatial = len(layer.kernel_size)
    for d in range(spatial):
        reach = layer.dilation[d] * (layer.kernel_size[d] - 1) + 1
        patches = patches.unfold(2 + d, reach, layer.stride[d])[..., :: layer.dilation[d]]
    B, channels, *_ = patches.shape
    grouped = patches.reshape(B, layer.groups, channels // layer.groups, -1, prod(layer.kernel_size))
    return grouped.permute(0, 3, 1, 2, 4).flatten(3)


def _margins(layer: Convolution) -> list[tuple[int, int]]:
    """What is added before and after, for each dimension."""
    if layer.padding == "valid":
        return [(0, 0)] * len(layer.kernel_size)
    if layer.padding == "same":
        totals = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
        return [(total // 2, total - total // 2) for total in totals]
    return [(int(margin), int(margin)) for margin in layer.padding]


def find_sites(network: nn.Module, layers: Choice) -> list[Site]:
    """The layers that are chosen, in the order of `named_modules`; "last" is left to `last_site`.

    Args:
        network: any module.
        layers: "all", or names and patterns of layers.

    Returns:
        A site for each.

    Raises:
        ValueError: if nothing is chosen, a chosen layer has parameters and is neither `Linear` nor a convolution, or
            two share their weights.

    Example:
        >>> network = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))
        >>> [(site.name, site.shape) for site in find_sites(network, "all")]
        [('0', (1, 3, 3)), ('2', (1, 1, 4))]
    """
    owners = {name: module for name, module in network.named_modules() if _own(module)}
    patterns = ["*"] if isinstance(layers, str) else list(layers)
    chosen = {name: owners[name] for name in owners if any(fnmatchcase(name, pattern) for pattern in patterns)}
    if not chosen:
        raise ValueError(f"no layer with parameters is named {patterns}; there are {list(owners)}")
    strange = [f"{name or 'the network'} ({type(each).__name__})" for name, each in chosen.items() if not _fits(each)]
    if strange:
        usable = [name for name, module in owners.items() if _fits(module)]
        raise ValueError(
            f"curvature is known for Linear and Conv1d to Conv3d alone, not for {', '.join(strange)}: choose "
            f'layers="last" or some of layers={usable}; the others stay as they are'
        )
    sites = [Site(name, module) for name, module in chosen.items() if isinstance(module, AFFINE)]
    _check_shared(network, sites)
    return sites


def _own(module: nn.Module) -> set[str]:
    return {name for name, _ in module.named_parameters(recurse=False)}


def _fits(module: nn.Module) -> bool:
    return isinstance(module, AFFINE) and "weight" in _own(module) <= {"weight", "bias"}


def _check_shared(network: nn.Module, sites: Sequence[Site]) -> None:
    every = list(network.named_parameters(remove_duplicate=False))
    names = {id(parameter): [name for name, each in every if each is parameter] for _, parameter in every}
    for site in sites:
        for parameter in site.layer.parameters():
            if len(names[id(parameter)]) > 1:
                raise ValueError(f"{' and '.join(names[id(parameter)])} are one parameter; give each layer its own")


@torch.no_grad()
def last_site(network: nn.Module, inputs: Tensor) -> Site:
    """The layer of the kinds above that is the last to be called.

    Raises:
        ValueError: if the network calls none.

    Example:
        >>> network = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))
        >>> last_site(network, torch.zeros(1, 2)).name
        '2'
    """
    called: list[str] = []
    layers = [(name, module) for name, module in network.named_modules() if _fits(module)]
    handles = [module.register_forward_hook(lambda *_, name=name: called.append(name)) for name, module in layers]
    try:
        network(inputs)
    finally:
        for handle in handles:
            handle.remove()
    if not called:
        raise ValueError("the network calls no Linear and no convolution: there is no last layer to be uncertain of")
    (site,) = find_sites(network, [called[-1]])
    return site
