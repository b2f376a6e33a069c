r"""What a network with random layers answers as a whole.

A network's weights are drawn, kept by the names of its random layers, and put to use, so that bounds and estimators
can take them for latent variables:

$$\log w_k = \log p(D \mid w_k) + \log p(w_k) - \log q(w_k), \qquad w_k \sim q(w)$$
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from jensen._contracts import check_samples
from jensen.layers.variational.protocol import Draws, RandomLayer, is_random_layer

__all__ = [
    "Weights",
    "at_means",
    "draw_weights",
    "forward_and_kl",
    "forward_samples",
    "forward_with",
    "log_posterior",
    "log_prior",
    "random_layers",
    "total_kl",
]

Weights = Mapping[str, Mapping[str, Tensor]]
"""Draws of a network's weights: by layer, then by parameter, `(K, *shape)`."""


def random_layers(net: nn.Module) -> dict[str, RandomLayer]:
    """The random layers of a network by name, in its order; the name is empty where the network is one itself.

    Args:
        net: any module.

    Raises:
        ValueError: if it has none.

    Example:
        >>> from jensen.layers.variational import bayesianize
        >>> list(random_layers(bayesianize(nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)))))
        ['0', '2']
    """
    found = {name: module for name, module in net.named_modules() if is_random_layer(module)}
    if not found:
        raise ValueError(f"{type(net).__name__} has no random layer; make some with bayesianize")
    return found


def total_kl(net: nn.Module) -> Tensor:
    r"""$\mathrm{KL}(q(w) \,\|\, p(w))$ of all random layers in nats, summed and never averaged, `()`.

    Against the log-likelihood of a minibatch of $B$ among $N$ data it counts $B / N$.

    Args:
        net: a module with random layers.

    Raises:
        ValueError: if there is none, or one has no closed form.

    Example:
        >>> from jensen.layers.variational import Variational
        >>> total_kl(Variational(nn.Linear(3, 2))).shape
        torch.Size([])
    """
    return _total([layer.kl() for layer in random_layers(net).values()])


@contextmanager
def at_means(net: nn.Module) -> Iterator[nn.Module]:
    """Within it the network computes with the posterior means, without noise.

    Args:
        net: a module with random layers.

    Yields:
        The network.

    Raises:
        ValueError: if there is no random layer.

    Example:
        >>> from jensen.layers.variational import Variational
        >>> net, x = Variational(nn.Linear(3, 2)), torch.ones(1, 3)
        >>> with at_means(net):
        ...     torch.equal(net(x), net.layer(x))
        True
    """
    layers = random_layers(net)
    before = [(layer, layer.deterministic) for layer in layers.values()]
    try:
        for layer in layers.values():
            layer.deterministic = True
        yield net
    finally:
        for layer, state in before:
            layer.deterministic = state


def draw_weights(net: nn.Module, samples: int) -> dict[str, Draws]:
    """K draws of all random weights, `(K, *shape)` by layer and parameter, through which gradients flow.

    Args:
        net: a module with random layers.
        samples: K.

    Raises:
        ValueError: if there is no random layer, or `samples` is below 1.

    Example:
        >>> from jensen.layers.variational import Variational
        >>> draw_weights(Variational(nn.Linear(3, 2)), 5)[""]["weight"].shape
        torch.Size([5, 2, 3])
    """
    check_samples(samples)
    return {name: layer.draw(samples) for name, layer in random_layers(net).items()}


def log_prior(net: nn.Module, weights: Weights) -> Tensor:
    r"""$\log p(w_k)$ in nats, summed over all random weights, `(K,)`.

    Args:
        net: a module with random layers.
        weights: as `draw_weights` gives them.

    Raises:
        ValueError: if a layer's draws are missing, of another shape, or its prior is no density.
    """
    layers = _layers_of(net, weights)
    return _total([layer.log_prior(weights[name]) for name, layer in layers.items()])


def log_posterior(net: nn.Module, weights: Weights) -> Tensor:
    r"""$\log q(w_k)$ in nats, summed over all random weights, `(K,)`.

    Args:
        net: a module with random layers.
        weights: as `draw_weights` gives them.

    Raises:
        ValueError: if a layer's draws are missing, of another shape, or have no density.
    """
    layers = _layers_of(net, weights)
    return _total([layer.log_posterior(weights[name]) for name, layer in layers.items()])


def forward_and_kl(net: nn.Module, x: Tensor) -> tuple[Any, Tensor]:
    r"""One output of the network with noise, and `total_kl`, in fewer passes over the weights than one after the other.

    They share nodes of the graph: a backward pass of one of the two frees them for both, unless told to retain them.

    Args:
        net: a module with random layers.
        x: the inputs, `(B, *event)`.

    Returns:
        What `net(x)` returns, and $\mathrm{KL}(q(w) \,\|\, p(w))$ in nats, summed over the weights, `()`.

    Raises:
        ValueError: if there is no random layer, or one has no closed form of the divergence.

    Example:
        >>> from jensen.layers.variational import Variational
        >>> net = Variational(nn.Linear(3, 2), estimator="local")
        >>> output, kl = forward_and_kl(net, torch.ones(7, 3))
        >>> output.shape, bool(torch.isclose(kl, net.kl()))
        (torch.Size([7, 2]), True)
    """
    layers = random_layers(net)
    if torch.compiler.is_compiling():
        return net(x), total_kl(net)
    kls: dict[str, Tensor] = {}
    with ExitStack() as stack:
        for name, layer in layers.items():
            if hasattr(layer, "forward_and_kl"):
                vars(layer)["forward"] = _noting(name, layer, kls)
                stack.callback(vars(layer).pop, "forward")
        output = net(x)
    return output, _total([kls[name] if name in kls else layer.kl() for name, layer in layers.items()])


def _noting(name: str, layer: Any, kls: dict[str, Tensor]) -> Callable[..., Any]:
    """The layer's forward pass, which notes the divergence the first time that a gradient can flow through it."""

    def forward(*args: Any, **kwargs: Any) -> Any:
        if name in kls or not torch.is_grad_enabled():
            return type(layer).forward(layer, *args, **kwargs)
        output, kls[name] = layer.forward_and_kl(*args, **kwargs)
        return output

    return forward


def forward_samples(net: nn.Module, x: Tensor, samples: int) -> Tensor:
    """K outputs under independent noise, each by the layers' own estimators.

    One batched pass by `vmap`; one pass after another where torch cannot batch a layer over weights (recurrent layers,
    batch normalisation that updates its statistics, control flow that depends on data). Dropout is drawn K times.

    Args:
        net: a module with random layers, whose output is one tensor.
        x: the inputs, `(B, *event)`.
        samples: K.

    Returns:
        The outputs, `(K, B, *out)`.

    Raises:
        ValueError: if there is no random layer, or `samples` is below 1.

    Example:
        >>> from jensen.layers.variational import Variational
        >>> forward_samples(Variational(nn.Linear(3, 2)), torch.ones(7, 3), 5).shape
        torch.Size([5, 7, 2])
    """
    random_layers(net)
    check_samples(samples)
    places = torch.arange(samples, device=x.device)
    return _each(net, lambda _: net(x), places)


def forward_with(net: nn.Module, x: Tensor, weights: Weights) -> Tensor:
    """The outputs under given weights, in one batched pass where `forward_samples` has one.

    Args:
        net: a module with random layers, whose output is one tensor.
        x: the inputs, `(B, *event)`.
        weights: as `draw_weights` gives them.

    Returns:
        The outputs, `(K, B, *out)`.

    Raises:
        ValueError: if a layer's draws are missing or unknown, or differ in their number.

    Example:
        >>> from jensen.layers.variational import Variational
        >>> net = Variational(nn.Linear(3, 2))
        >>> forward_with(net, torch.ones(7, 3), draw_weights(net, 5)).shape
        torch.Size([5, 7, 2])
    """
    layers = _layers_of(net, weights)
    flat = {
        ".".join(part for part in (layer, "layer", name) if part): draws
        for layer in layers
        for name, draws in weights[layer].items()
    }
    if len({len(draws) for draws in flat.values()}) != 1:
        raise ValueError(
            f"the layers have {sorted({len(each) for each in flat.values()})} draws; give all the same number"
        )
    with _plain(layers):
        return _each(net, lambda draw: functional_call(net, draw, (x,)), flat)


def _each(net: nn.Module, compute: Callable[[Any], Any], draws: Tensor | dict[str, Tensor]) -> Tensor:
    """What a function gives for each draw, stacked."""
    samples = len(next(iter(draws.values())) if isinstance(draws, dict) else draws)
    if samples > 1 and not _needs_loop(net):
        try:
            with _batchable_attention(net):
                return _one_tensor(vmap(compute, randomness="different")(draws))
        except RuntimeError as error:
            if "vmap" not in str(error) and "atching rule" not in str(error):
                raise
    each = [draws[k] if isinstance(draws, Tensor) else {n: d[k] for n, d in draws.items()} for k in range(samples)]
    return torch.stack([_one_tensor(compute(draw)) for draw in each])


@contextmanager
def _batchable_attention(net: nn.Module) -> Iterator[None]:
    """On a CPU torch batches attention over weights in its plain form only."""
    if not any(isinstance(module, nn.MultiheadAttention) for module in net.modules()):
        yield
        return
    with sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.MATH] if _on_cuda(net) else [SDPBackend.MATH]):
        yield


def _on_cuda(net: nn.Module) -> bool:
    return any(parameter.is_cuda for parameter in net.parameters())


def _needs_loop(net: nn.Module) -> bool:
    return any(
        isinstance(module, nn.RNNBase | nn.RNNCellBase)
        or (module.training and getattr(module, "track_running_stats", False))
        for module in net.modules()
    )


@contextmanager
def _plain(layers: Mapping[str, RandomLayer]) -> Iterator[None]:
    """Within it each random layer is its plain layer, whose parameters can be replaced."""

    def through(layer: RandomLayer) -> Callable[..., Any]:
        return lambda *args, **kwargs: layer.layer(*args, **kwargs)

    with ExitStack() as stack:
        for layer in layers.values():
            vars(layer)["forward"] = through(layer)
            stack.callback(vars(layer).pop, "forward")
        yield


def _layers_of(net: nn.Module, weights: Weights) -> dict[str, RandomLayer]:
    layers = random_layers(net)
    if layers.keys() != weights.keys():
        raise ValueError(f"the random layers are {list(layers)}, the weights are of {list(weights)}; use draw_weights")
    return layers


def _one_tensor(output: object) -> Tensor:
    if not isinstance(output, Tensor):
        raise ValueError(f"the network's output is a {type(output).__name__}; wrap it so that it returns one tensor")
    return output


def _total(terms: list[Tensor]) -> Tensor:
    return functools.reduce(torch.add, terms)
