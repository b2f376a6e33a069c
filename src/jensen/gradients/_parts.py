"""What every estimator's driver does: draw, call `f` once, keep the value."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor
from torch.distributions import Distribution, Independent
from torch.distributions.constraints import Constraint

from jensen._random import seeded

__all__ = [
    "Cost",
    "UnsupportedError",
    "base_of",
    "check_samples",
    "draw",
    "evaluate",
    "is_discrete",
    "support_of",
    "worth",
]

Cost = Callable[[Tensor], Tensor]
"""Maps samples `(K, *batch, *event)` to costs `(K, *batch)`."""


class UnsupportedError(ValueError):
    """A distribution, or a cost, lacks what an estimator asks for."""


def check_samples(samples: int, least: int = 1, *, why: str = "") -> None:
    """Refuse fewer draws than an estimator needs.

    Raises:
        ValueError: naming the number.
    """
    if not hasattr(samples, "__index__") or samples < least:
        raise ValueError(f"samples must be at least {least}{why and f' ({why})'}, got {samples}")


def draw(q: Distribution, samples: int, generator: Generator | None = None) -> Tensor:
    """`samples` draws without a gradient, `(K, *batch, *event)`."""
    with seeded(generator), torch.no_grad():
        return q.sample(torch.Size((samples,)))


def evaluate(f: Cost, z: Tensor, q: Distribution) -> Tensor:
    """The costs of samples `(K, *batch, *event)`, `(K, *batch)`.

    Raises:
        UnsupportedError: if `f` leaves torch, where the samples have a gradient.
        ValueError: if `f` returns another shape, or no floating-point tensor.
    """
    cost = _call(f, z)
    expected = z.shape[: z.ndim - len(q.event_shape)]
    if not isinstance(cost, Tensor) or not cost.is_floating_point():
        kind = cost.dtype if isinstance(cost, Tensor) else type(cost).__name__
        raise ValueError(f"f must return a floating-point tensor of costs {tuple(expected)}, got {kind}")
    if cost.shape != expected:
        shapes = f"{tuple(cost.shape)} for samples {tuple(z.shape)}"
        raise ValueError(f"f returned costs of shape {shapes}; expected {tuple(expected)}, one for each sample")
    costs: Tensor = cost
    return costs


def _call(f: Callable[[Tensor], Any], z: Tensor) -> Any:
    try:
        return f(z)
    except RuntimeError as error:
        if z.requires_grad and "requires grad" in str(error):
            raise UnsupportedError(f"f is not differentiable in its sample ({error}); use score_function") from error
        raise


def base_of(q: Distribution) -> Distribution:
    """What `Independent` is wrapped around, however often."""
    while isinstance(q, Independent):
        q = q.base_dist
    return q


def support_of(q: Distribution) -> Constraint | None:
    """Where the draws lie, or None where `q` does not say."""
    try:
        return q.support
    except (NotImplementedError, AttributeError):
        return None


def is_discrete(q: Distribution, *, unsaid: bool) -> bool:
    """Whether `q` is discrete; `unsaid` where it does not say."""
    return bool(getattr(support_of(q), "is_discrete", unsaid))


def worth(value: Tensor, surrogate: Tensor) -> Tensor:
    """A tensor worth `value`, with the gradient of `value` and, where it is finite, that of `surrogate`."""
    nothing = surrogate - surrogate.detach()
    return value + nothing.where(nothing == 0, 0.0)
