"""A look at data and at layers that stand on each other, before a model is trained."""

import warnings
from collections.abc import Iterable, Sequence
from itertools import islice, pairwise

from torch import Tensor, nn
from torch.distributions import Distribution, constraints

__all__ = ["check_chain", "check_observations"]

OFF_GRID = 1e-3
"""How far a pixel may be from its level, in steps: what single precision does to k / 255 is less."""


def check_chain(decoders: Iterable[nn.Module], like: Tensor, *, sizes: Sequence[int]) -> None:
    r"""Refuse a chain $p(x \mid z_1), p(z_1 \mid z_2), \ldots$ whose layers are not as wide as the latents they are of.

    Args:
        decoders: modules from latents to a distribution, that over data first.
        like: a tensor of the dtype and on the device of the latents.
        sizes: the number of units of $z_1, z_2, \ldots$.

    Raises:
        ValueError: naming the first decoder of another width.

    Example:
        >>> decoders = [BernoulliMLP(8, (), 64), GaussianMLP(4, (), 8)]
        >>> check_chain(decoders, torch.zeros(1), sizes=[8, 4])
    """
    for n, (decoder, (below, above)) in enumerate(zip(islice(decoders, 1, None), pairwise(sizes), strict=True), 1):
        event = tuple(decoder(like.new_zeros(above)).event_shape)
        if event != (below,):
            raise ValueError(f"decoders[{n}] returns events of shape {event}; expected ({below},)")


def check_observations(likelihood: Distribution, x: Tensor) -> None:
    """Refuse data that the likelihood has no density for, and warn of grey pixels under a Bernoulli.

    Args:
        likelihood: a distribution over one datum, its `event_shape` that of the data.
        x: the data, `(B, *event)`.

    Raises:
        ValueError: if `x` is empty, of another shape, not floating point, NaN or infinite somewhere, or outside
            $[0, 1]$ where that is the support; between two levels where the likelihood is of `levels`.

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
        if (levels := getattr(likelihood, "levels", None)) is not None:
            _check_grid(x, levels)
        if support is constraints.boolean and not ((x == 0) | (x == 1)).all():
            warnings.warn(
                "grey pixels under a Bernoulli are no likelihood: its binary cross-entropy does not integrate to one, "
                "and bounds from it are not comparable; binarise the images or use a continuous Bernoulli",
                stacklevel=3,
            )


def _check_grid(x: Tensor, levels: int) -> None:
    steps = x * (levels - 1)
    if (between := (steps - steps.round()).abs() > OFF_GRID).any():
        raise ValueError(
            f"{_first(between, x)}, between two of {levels} levels k / {levels - 1}, and the nearest would be counted "
            "in its place; round the data, or take as many levels as they have"
        )


def _base(support: object) -> object:
    return support.base_constraint if isinstance(support, constraints.independent) else support


def _first(where: Tensor, x: Tensor) -> str:
    datum, *position = (int(i) for i in where.nonzero()[0])
    place = position[0] if len(position) == 1 else tuple(position)
    return f"datum {datum} has the value {float(x[datum, *position]):g} at position {place}"
