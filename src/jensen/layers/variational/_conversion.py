"""A copy of a module in which some linear layers and convolutions are replaced."""

import copy
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from torch import nn

from jensen.layers.affine import AFFINE
from jensen.layers.variational.conversion import WHOLES
from jensen.layers.variational.protocol import is_random_layer
from jensen.layers.variational.wrapper import matches

__all__ = ["converted"]


def converted(
    module: nn.Module,
    replace: Callable[[nn.Module, int], nn.Module],
    *,
    include: str | Sequence[str],
    exclude: str | Sequence[str],
) -> nn.Module:
    """A deep copy with `replace(layer, place)` for each layer whose weight's name matches, places counted from 0.

    Raises:
        ValueError: if nothing matches, or a weight that matches has two names.
    """
    net = copy.deepcopy(module)
    wanted = [
        (name, layer)
        for name, layer in _plain_layers(net, "")
        if matches(_weight(name), include) and not matches(_weight(name), exclude)
    ]
    if not wanted:
        known = [_weight(name) for name, _ in _plain_layers(net, "")]
        raise ValueError(f"no weight matches include={include!r} without exclude={exclude!r}; there are {known}")
    _check_unshared(net, [_weight(name) for name, _ in wanted])
    for place, (name, layer) in enumerate(wanted):
        random = replace(layer, place).train(layer.training)
        if not name:
            return random
        parent, _, attribute = name.rpartition(".")
        setattr(net.get_submodule(parent), attribute, random)
    return net


def _plain_layers(module: nn.Module, name: str) -> Iterator[tuple[str, nn.Module]]:
    """Linear layers and convolutions by name, but none whose parent is random or multiplies by its weight itself."""
    if isinstance(module, AFFINE):
        yield name, module
    elif not is_random_layer(module) and not isinstance(module, WHOLES):
        for attribute, child in module.named_children():
            yield from _plain_layers(child, f"{name}.{attribute}" if name else attribute)


def _weight(name: str) -> str:
    return f"{name}.weight" if name else "weight"


def _check_unshared(net: nn.Module, weights: list[str]) -> None:
    names = defaultdict(list)
    for name, parameter in net.named_parameters(remove_duplicate=False):
        names[id(parameter)].append(name)
    shared = [each for each in names.values() if len(each) > 1 and not set(each).isdisjoint(weights)]
    if shared:
        raise ValueError(f"{' and '.join(shared[0])} are one parameter; leave it out by exclude= or untie it first")
