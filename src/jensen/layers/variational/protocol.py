"""What every layer with random weights answers, whatever its posterior."""

from collections.abc import Mapping
from typing import Protocol, TypeGuard

from torch import Tensor, nn

__all__ = ["Draws", "RandomLayer", "is_random_layer"]

Draws = dict[str, Tensor]
"""Draws of one layer's weights: `(K, *shape)` by the parameter's name inside the layer."""


class RandomLayer(Protocol):
    r"""A module that owns a plain layer and a posterior $q(w)$ over the layer's parameters.

    `forward` is the layer's output with noise, or at the means while `deterministic` is true.

    Attributes:
        layer: the plain layer. Its own parameters are the posterior means.
        deterministic: whether `forward` takes the means; `at_means` switches it for a whole network.

    References:
        | Weight Uncertainty in Neural Networks (Blundell, Cornebise, Kavukcuoglu & Wierstra, 2015), section 3
        | https://arxiv.org/abs/1505.05424v2
    """

    layer: nn.Module
    deterministic: bool

    def kl(self) -> Tensor:
        r"""$\mathrm{KL}(q(w) \,\|\, p(w))$ in nats, summed over the weights, `()`; `ValueError` without closed form."""
        ...

    def draw(self, samples: int) -> Draws:
        """K draws of each random parameter, `(K, *shape)`, through which gradients flow."""
        ...

    def log_prior(self, draws: Mapping[str, Tensor]) -> Tensor:
        r"""$\log p(w_k)$ in nats, summed over the weights, `(K,)`."""
        ...

    def log_posterior(self, draws: Mapping[str, Tensor]) -> Tensor:
        r"""$\log q(w_k)$ in nats, summed over the weights, `(K,)`."""
        ...


ANSWERS = ("layer", "deterministic", "kl", "draw", "log_prior", "log_posterior")


def is_random_layer(module: object) -> TypeGuard[RandomLayer]:
    """Whether a module answers what `RandomLayer` names.

    Example:
        >>> is_random_layer(nn.Linear(2, 1))
        False
    """
    return all(hasattr(module, answer) for answer in ANSWERS)
