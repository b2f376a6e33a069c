"""A look at the data before a likelihood is trained on it."""

import warnings

from torch import Tensor
from torch.distributions import Distribution, constraints

__all__ = ["check_observations"]


def check_observations(likelihood: Distribution, x: Tensor) -> None:
    """Refuse data that the likelihood has no density for, and warn of grey pixels under a Bernoulli.

    Args:
        likelihood: a distribution over one datum, its `event_shape` that of the data.
        x: the data, `(B, *event)`.

    Raises:
        ValueError: if `x` is empty, of another shape, not floating point, NaN or infinite somewhere, or outside
            $[0, 1]$ where that is the support.

    Example:
        >>> from torch.distributions import Bernoulli, Independent
        >>> pixels = Independent(Bernoulli(torch.full((2,), 0.5)), 1)
        >>> check_observations(pixels, torch.tensor([[0.0, 1.0]]))
        >>> check_observations(pixels, torch.tensor([[0.0, 255.0]]))
        Traceback (most recent call last):
        ValueError: datum 0 has the value 255 at position 1, outside the support [0, 1]; scale the data to [0, 1]
    """
    event = tuple(likelihood.event_shape)
    if not x.dtype.is_floating_point:
        raise ValueError(f"the data have dtype {x.dtype}; convert them to floating point, pixels in [0, 1]")
    if x.ndim != 1 + len(event) or tuple(x.shape[1:]) != event:
        raise ValueError(f"the data have shape {tuple(x.shape)}; this model expects (B, {', '.join(map(str, event))})")
    if x.shape[0] == 0:
        raise ValueError(f"the data are empty, shape {tuple(x.shape)}")
    if not (finite := x.isfinite()).all():
        raise ValueError(f"{_first(~finite, x)}; remove or impute it")
    support = _base(likelihood.support)
    if support in (constraints.boolean, constraints.unit_interval):
        if not (inside := (x >= 0) & (x <= 1)).all():
            raise ValueError(f"{_first(~inside, x)}, outside the support [0, 1]; scale the data to [0, 1]")
        if support is constraints.boolean and not ((x == 0) | (x == 1)).all():
            warnings.warn(
                "grey pixels under a Bernoulli are no likelihood: its binary cross-entropy does not integrate to one, "
                "and bounds from it are not comparable; binarise the images or use a continuous Bernoulli",
                stacklevel=3,
            )


def _base(support: object) -> object:
    return support.base_constraint if isinstance(support, constraints.independent) else support


def _first(where: Tensor, x: Tensor) -> str:
    datum, *position = (int(i) for i in where.nonzero()[0])
    place = position[0] if len(position) == 1 else tuple(position)
    return f"datum {datum} has the value {float(x[datum, *position]):g} at position {place}"
