r"""The objective of models that are trained on several named losses instead of one bound, alone or as two players.

Such a model has `loss(batch)`, a NamedTuple of named terms `(B,)`, each the number its name says.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["NamedLosses"]

Model = Any

DECAY = 0.99
"""Of the moving averages that `monitor` tells."""


class NamedLosses(nn.Module):
    r"""Minus the weighted sum of a model's losses; what an opponent descends is seen by the gradient alone.

    $$\mathcal{J}(x) = -\sum_i \omega_i L_i(x), \qquad
    \nabla = -\sum_i \omega_i \nabla L_i(x) - \sum_j \nabla L_j^\mathrm{opponent}(x)$$

    One optimizer moves all players at once: simultaneous gradient descent, where each term's gradient must reach the
    parameters of its own player only, which is the model's care. A term without a weight is neither ascended nor
    descended. Moving averages of the terms are kept in buffers and told after each epoch.

    Args:
        weights: $\omega_i$ by the name of the term.
        opponents: the names of other players' losses.

    Raises:
        ValueError: if there is no weight, or one is negative; when called, if the model has no such term or a
            term is not of shape `(B,)`.

    Example:
        >>> from collections import namedtuple
        >>> Losses = namedtuple("Losses", ["error", "spread"])
        >>> class Autoencoder(nn.Module):
        ...     def loss(self, x):
        ...         return Losses(error=x.square().sum(-1), spread=x.abs().sum(-1))
        >>> objective = NamedLosses({"error": 0.5})
        >>> objective(Autoencoder(), torch.ones(2, 4))
        tensor([-2., -2.])
        >>> objective.monitor()
        {'error': 4.0}
    """

    averages: Tensor
    updates: Tensor

    def __init__(self, weights: Mapping[str, float], *, opponents: tuple[str, ...] = ()) -> None:
        super().__init__()
        if not weights or not all(0 <= weight < math.inf for weight in weights.values()):
            raise ValueError(f"give every loss that counts a weight of at least 0, got {dict(weights)}")
        if both := [name for name in opponents if name in weights]:
            raise ValueError(f"{both[0]!r} is an opponent's loss and has a weight; let it be one of the two")
        self.weights, self.opponents = dict(weights), opponents
        self.register_buffer("averages", torch.zeros(len(weights) + len(opponents)))
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    def forward(self, model: Model, x: Any) -> Tensor:
        r"""$\mathcal{J}$ of each datum, `(B,)`."""
        losses = self._losses(model, x)
        value = -torch.stack([weight * losses[name] for name, weight in self.weights.items()]).sum(0)
        if not torch.is_grad_enabled():
            return value
        self._remember(torch.stack([loss.detach().mean() for loss in losses.values()]))
        if not self.opponents:
            return value
        against = torch.stack([losses[name] for name in self.opponents]).sum(0)
        return value - (against - against.detach())

    def monitor(self) -> dict[str, float]:
        """The moving average of each loss, by its name."""
        return dict(zip((*self.weights, *self.opponents), self.averages.tolist(), strict=True))

    def extra_repr(self) -> str:
        """All that distinguishes two of them."""
        return f"{self.weights}, opponents={self.opponents}"

    def _losses(self, model: Model, x: Any) -> dict[str, Tensor]:
        """The terms that count, by name."""
        if not hasattr(model, "loss"):
            raise ValueError(f"{type(model).__name__} has no loss(batch), the named terms that are weighed")
        losses = model.loss(x)._asdict()
        names = (*self.weights, *self.opponents)
        if missing := [name for name in names if name not in losses]:
            raise ValueError(f"{type(model).__name__} has no loss {missing[0]!r}; it has {', '.join(losses)}")
        if wrong := [name for name in names if losses[name].shape != x.shape[:1]]:
            shapes = f"{tuple(losses[wrong[0]].shape)}, expected {tuple(x.shape[:1])}"
            raise ValueError(f"the loss {wrong[0]!r} has shape {shapes}: one number for each datum")
        return {name: losses[name] for name in names}

    @torch.no_grad()
    def _remember(self, means: Tensor) -> None:
        weight = torch.where(self.updates == 0, 1.0, 1.0 - DECAY)
        self.averages.lerp_(means.to(self.averages), weight.to(self.averages))
        self.updates += 1
