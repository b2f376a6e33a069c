"""From an ordinary network to a Bayesian one, by the names of its parameters."""

import copy
from collections.abc import Sequence

import torch
from torch import nn
from torch.distributions import Distribution

from jensen.layers.variational.posteriors import INDEPENDENT, Posterior
from jensen.layers.variational.priors import STANDARD_NORMAL, Prior
from jensen.layers.variational.protocol import is_random_layer
from jensen.layers.variational.wrapper import Variational, matches

__all__ = ["bayesianize"]

WHOLES = (nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)
"""Modules that multiply by their parts' weights themselves: they become random as wholes."""


def bayesianize(
    module: nn.Module,
    *,
    prior: Prior | Distribution = STANDARD_NORMAL,
    posterior: Posterior = INDEPENDENT,
    estimator: str = "sampled",
    include: str | Sequence[str] = "*",
    exclude: str | Sequence[str] = (),
    keep_means: bool = True,
) -> nn.Module:
    r"""A copy of any module in which chosen parameters have a posterior.

    Every module that owns a chosen parameter is replaced by a `Variational` of it. Modules that are random already stay
    as they are, so that a second call can give other parameters another prior.

    Args:
        module: any module. It is copied, and left as it was.
        prior: of each chosen weight.
        posterior: `MeanField` or `FullGaussian`, one for each replaced module.
        estimator: `"sampled"`, or for linear layers and convolutions `"local"` or `"flipout"`.
        include: patterns of full parameter names, such as `"encoder.*"` or `"*.weight"`.
        exclude: patterns of names that are left alone, such as `"*.bias"` or those of batch normalisation.
        keep_means: whether the means are the module's weights, trained ones as well; or else new ones as the module
            draws them when it is made.

    Returns:
        The copy; a `Variational` where `module` itself owns what is chosen.

    Raises:
        ValueError: if nothing matches, two names share a chosen parameter, one holds NaN, the prior has no positive
            scale, or the estimator does not suit a layer.

    Example:
        >>> from jensen.layers.variational import NormalPrior
        >>> net = nn.Sequential(nn.Linear(784, 400), nn.ReLU(), nn.Linear(400, 10))
        >>> bayesian = bayesianize(net, prior=NormalPrior(0.1), estimator="local", exclude="*.bias")
        >>> bayesian(torch.zeros(32, 784)).shape, [type(layer).__name__ for layer in bayesian]
        (torch.Size([32, 10]), ['Variational', 'ReLU', 'Variational'])
    """
    net = copy.deepcopy(module)
    chosen = _chosen(net, include, exclude)
    if not chosen:
        every = [name for name, _ in module.named_parameters()]
        kind = type(module).__name__
        raise ValueError(f"no parameter of {kind} matches {include!r} without {exclude!r}; it has {every}")
    _check_shared(net, chosen)
    for owner, names in sorted(_by_owner(net, chosen).items(), key=lambda item: -len(item[0])):
        layer = net.get_submodule(owner)
        if not keep_means:
            _draw_again(layer, names)
        random = _random(layer, owner, prior=prior, posterior=posterior, estimator=estimator, parameters=names)
        if not owner:
            return random
        parent, _, last = owner.rpartition(".")
        net.get_submodule(parent)._modules[last] = random
    return net


def _chosen(net: nn.Module, include: str | Sequence[str], exclude: str | Sequence[str]) -> list[str]:
    """The full names of the parameters that match, those of random layers left out."""
    random = [name for name, module in net.named_modules() if is_random_layer(module)]
    free = [
        name
        for name, _ in net.named_parameters(remove_duplicate=False)
        if not any(name.startswith(f"{layer}.") or not layer for layer in random)
    ]
    return [name for name in free if matches(name, include) and not matches(name, exclude)]


def _check_shared(net: nn.Module, chosen: list[str]) -> None:
    """Refuse a chosen parameter that has a second name: each name would become another random weight."""
    names: dict[int, str] = {}
    for name, parameter in net.named_parameters(remove_duplicate=False):
        first = names.setdefault(id(parameter), name)
        if first != name and {first, name} & set(chosen):
            raise ValueError(f"{first!r} and {name!r} are one parameter; untie them, or exclude both")


def _by_owner(net: nn.Module, chosen: list[str]) -> dict[str, list[str]]:
    """The modules to replace, with the names inside them."""
    owners: dict[str, list[str]] = {}
    for name in chosen:
        owner = _owner(net, name)
        owners.setdefault(owner, []).append(name[len(owner) + 1 :] if owner else name)
    return owners


def _owner(net: nn.Module, name: str) -> str:
    """The module that multiplies by a parameter: a whole that it is part of, or else the one that owns it."""
    parts = name.split(".")
    if "parametrizations" in parts:
        raise ValueError(f"{name!r} is behind a parametrization; remove it first, or exclude the parameter")
    paths = [".".join(parts[:length]) for length in range(len(parts))]
    for path in paths:
        if isinstance(net.get_submodule(path), WHOLES):
            return path
    inside = [path for path in paths if not isinstance(net.get_submodule(path), nn.ParameterList | nn.ParameterDict)]
    if not inside:
        raise ValueError(f"{type(net).__name__} only holds parameters; give the module that multiplies by them")
    return inside[-1]


def _random(layer: nn.Module, owner: str, **options: object) -> Variational:
    """The layer's wrapper; an error names where in the network it stands."""
    try:
        return Variational(layer, **options)  # type: ignore[arg-type]
    except ValueError as error:
        raise ValueError(f"{owner or type(layer).__name__}: {error}") from error


def _draw_again(layer: nn.Module, names: list[str]) -> None:
    """New values of the named parameters, as the module draws them when it is made."""
    fresh = copy.deepcopy(layer)
    drawn: set[str] = set()
    for path, module in fresh.named_modules():
        reset = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
        if reset is not None:
            reset()
            drawn |= {f"{path}.{name}" if path else name for name, _ in module.named_parameters()}
    if missing := [name for name in names if name not in drawn]:
        raise ValueError(f"{type(layer).__name__} has no reset_parameters for {missing}; take keep_means=True")
    with torch.no_grad():
        for name in names:
            layer.get_parameter(name).copy_(fresh.get_parameter(name))
