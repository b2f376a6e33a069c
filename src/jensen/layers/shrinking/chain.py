"""A network as a chain: the affine layers, and what stands between them."""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from jensen.layers.affine import AFFINE, Affine

__all__ = [
    "ARGUMENTS",
    "IDLE",
    "MIXING",
    "POOLS",
    "Select",
    "affine_layers",
    "architecture",
    "chain",
]

IDLE: tuple[type[nn.Module], ...] = (
    nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout,
)  # fmt: skip
"""What does nothing to a network that is not being trained."""

_MAX = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
_MEAN = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")
POOLS: dict[type[nn.Module], tuple[str, ...]] = {
    **dict.fromkeys((nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d), _MAX),
    nn.AvgPool1d: _MEAN,
    **dict.fromkeys((nn.AvgPool2d, nn.AvgPool3d), (*_MEAN, "divisor_override")),
    **dict.fromkeys((nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d), ("output_size",)),
    **dict.fromkeys((nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d), ("output_size",)),
}
"""What acts on each channel alone, with the arguments that make it."""

MIXING: dict[type[nn.Module], tuple[str, ...]] = {
    **dict.fromkeys((nn.Softmax, nn.LogSoftmax, nn.Softmin), ("dim",)),
    nn.Softmax2d: (),
    nn.Unflatten: ("dim", "unflattened_size"),
}
"""What looks at several units at once, so that none before it may go."""

ARGUMENTS: dict[type[nn.Module], tuple[str, ...]] = {
    **dict.fromkeys((nn.ReLU, nn.ReLU6, nn.SELU, nn.SiLU, nn.Mish, nn.Tanh, nn.Sigmoid, nn.LogSigmoid), ()),
    **dict.fromkeys((nn.Softsign, nn.Tanhshrink, nn.Hardswish, nn.Hardsigmoid), ()),
    **dict.fromkeys((nn.ELU, nn.CELU), ("alpha",)),
    **dict.fromkeys((nn.Softshrink, nn.Hardshrink), ("lambd",)),
    nn.LeakyReLU: ("negative_slope",),
    nn.GELU: ("approximate",),
    nn.Softplus: ("beta", "threshold"),
    nn.Hardtanh: ("min_val", "max_val"),
    nn.Threshold: ("threshold", "value"),
    nn.Flatten: ("start_dim", "end_dim"),
    **POOLS,
    **MIXING,
}
"""Everything between affine layers that a chain may hold, with the arguments that make it."""

_NORMALIZATIONS: tuple[type[nn.Module], ...] = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class Select(nn.Module):
    """The inputs that a pruned layer still reads.

    Args:
        index: their positions, a vector of integers.
        axis: the axis they lie on, counted from the end.

    Raises:
        ValueError: if `index` is no vector of at least one integer, or `axis` is not negative.

    Example:
        >>> Select(torch.tensor([0, 2]), axis=-1)(torch.tensor([[1.0, 2.0, 3.0]]))
        tensor([[1., 3.]])
    """

    index: Tensor

    def __init__(self, index: Tensor, *, axis: int) -> None:
        super().__init__()
        if index.ndim != 1 or not len(index) or index.is_floating_point() or axis >= 0:
            raise ValueError(
                f"index has shape {tuple(index.shape)} and axis is {axis}; "
                "give a vector of at least one position, and a negative axis"
            )
        self.axis = axis
        self.register_buffer("index", index.to(torch.int32))

    def forward(self, x: Tensor) -> Tensor:
        """The selected entries of `x` along the axis."""
        return x.index_select(self.axis, self.index)

    def extra_repr(self) -> str:
        """How many positions are read, and on which axis."""
        return f"{len(self.index)}, axis={self.axis}"


def chain(net: nn.Module) -> list[tuple[str, nn.Module]]:
    """The modules of a network in the order in which they act, with their names.

    Dropout and identities are left out, and batch normalisation, as it acts on a network that is not being trained, is
    folded into the affine layer before it. Nothing in `net` is changed.

    Args:
        net: `nn.Sequential`, nested as one likes, of `Linear`, `Conv1d` to `Conv3d`, activations, pooling, `Flatten`,
            `Unflatten`, softmax, batch normalisation directly after an affine layer, dropout and identities.

    Returns:
        Pairs of a module and its name.

    Raises:
        ValueError: naming the first module that has no place in a chain.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Dropout(), torch.nn.ReLU())
        >>> [name for name, module in chain(net)]
        ['0', '2']
    """
    found: list[tuple[str, nn.Module]] = []
    for name, module in _leaves(net, ""):
        if isinstance(module, _NORMALIZATIONS):
            found[-1:] = [_normalized(found[-1] if found else None, name, module)]
        elif not isinstance(module, IDLE):
            found.append((name, module))
    return found


def affine_layers(net: nn.Module) -> list[tuple[str, Affine]]:
    """The affine layers of a chain with their names, first to last.

    Raises:
        ValueError: if `net` is no chain, or holds no affine layer.

    Example:
        >>> affine_layers(torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.ReLU()))
        [('0', Linear(in_features=3, out_features=2, bias=True))]
    """
    found = [(name, module) for name, module in chain(net) if isinstance(module, Affine)]
    if not found:
        raise ValueError(f"{type(net).__name__} holds no Linear and no convolution; there is nothing to shrink")
    return found


def architecture(net: nn.Module) -> tuple[int, ...]:
    """The widths by which pruned networks are called in the literature: filters of convolutions, inputs of the others.

    Example:
        >>> architecture(torch.nn.Sequential(torch.nn.Linear(784, 300), torch.nn.ReLU(), torch.nn.Linear(300, 10)))
        (784, 300)

    References:
        | Bayesian Compression for Deep Learning (Louizos, Ullrich & Welling, 2017), table 1
        | https://arxiv.org/abs/1705.08665v4
    """
    return tuple(
        layer.in_features if isinstance(layer, nn.Linear) else layer.out_channels for _, layer in affine_layers(net)
    )


def _leaves(module: nn.Module, name: str) -> Iterator[tuple[str, nn.Module]]:
    if isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward:
        for key, child in module._modules.items():
            if child is not None:
                yield from _leaves(child, f"{name}.{key}" if name else key)
        return
    known = type(module) in {*AFFINE, *IDLE, *ARGUMENTS, *_NORMALIZATIONS, nn.PReLU, Select}
    if not known or parametrize.is_parametrized(module):
        kind = "parametrized " * parametrize.is_parametrized(module) + type(module).__name__
        raise ValueError(
            f"{name or 'the network'} is a {kind}, which no chain can hold; "
            "write the network as nn.Sequential of Linear, Conv1d to Conv3d, pooling, Flatten and activations"
        )
    if getattr(module, "return_indices", False):
        raise ValueError(f"{name} returns indices too; a chain passes on one tensor, so set return_indices=False")
    yield name, module


def _normalized(before: tuple[str, nn.Module] | None, name: str, module: nn.Module) -> tuple[str, nn.Module]:
    """The affine layer before a batch normalisation, with the latter folded into its weights."""
    if before is None or not isinstance(before[1], Affine):
        raise ValueError(f"{name} normalises what no affine layer put out; move it directly behind one")
    mean, variance = getattr(module, "running_mean", None), getattr(module, "running_var", None)
    if mean is None or variance is None:
        raise ValueError(
            f"{name} keeps no running statistics, so that it mixes the data of a batch; train it with them"
        )
    return before[0], _folded(before[1], module, mean, variance)


def _folded(layer: Affine, normalization: nn.Module, mean: Tensor, variance: Tensor) -> Affine:
    scale = (variance.double() + float(getattr(normalization, "eps", 0.0))).rsqrt()
    if isinstance(normalization.weight, Tensor):
        scale = scale * normalization.weight.detach().double()
    bias = -mean.double() if layer.bias is None else layer.bias.detach().double() - mean.double()
    bias = bias * scale
    if isinstance(normalization.bias, Tensor):
        bias = bias + normalization.bias.detach().double()
    new = copy.deepcopy(layer)
    weight = layer.weight.detach().double() * scale.reshape(-1, *[1] * (layer.weight.ndim - 1))
    new.weight = nn.Parameter(weight.to(layer.weight))
    new.bias = nn.Parameter(bias.to(layer.weight))
    return new
