r"""Many independent copies of one estimate at once, and the gradient of each of them.

`q.expand((R, *batch))` has R copies of every parameter, so that one backward pass of the sum of R estimates leaves R
gradients apart, at the tensors that the expanded distribution holds. Vector-Jacobian products carry them on to the
parameters behind `q`. Where the parameters are reached by another way, too (a cost that knows them, a distribution that
keeps a network), the R gradients are taken by R cotangents at once, or one after the other.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Size, Tensor
from torch.distributions import Distribution

from jensen.gradients.graph import leaves, reaches

__all__ = ["Replicas", "expandable", "gradients_apart", "held", "named_parameters", "replicate"]

Parameters = Mapping[str, Tensor]


class Replicas(NamedTuple):
    """A distribution copied R times along a new first batch axis.

    Attributes:
        q: the copies, of batch shape `(R, *batch)`.
        roots: the tensors that they hold, `(R, ...)`, none of them computed from another.
        sources: the tensors of the original that `roots` are copies of.
    """

    q: Distribution
    roots: tuple[Tensor, ...]
    sources: tuple[Tensor, ...]


def held(q: Distribution) -> dict[str, Tensor]:
    """The differentiable tensors that a distribution keeps, its parts' included, by their addresses, public ones first.

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> loc = torch.zeros(3, requires_grad=True)
        >>> list(held(Independent(Normal(loc, torch.ones(3)), 1)))
        ['base_dist.loc']
    """
    return dict(sorted(_walk(vars(q), ""), key=lambda entry: entry[0].rpartition(".")[2].startswith("_")))


def named_parameters(q: Distribution) -> dict[str, Tensor]:
    """The leaves behind a distribution, named after the part of it that they make up.

    Example:
        >>> from torch.distributions import OneHotCategorical
        >>> list(named_parameters(OneHotCategorical(logits=torch.zeros(4, requires_grad=True))))
        ['logits']
    """
    named: dict[str, Tensor] = {}
    for address, tensor in held(q).items():
        fresh = [leaf for leaf in leaves([tensor]) if all(leaf is not other for other in named.values())]
        name = address.rpartition(".")[2].lstrip("_")
        for i, leaf in enumerate(fresh):
            label = name if len(fresh) == 1 and name not in named else f"{address}/{i}"
            named[label] = leaf
    return named


def replicate(q: Distribution, R: int) -> Replicas:
    """R copies of a distribution.

    Raises:
        ValueError: if it cannot be expanded.
    """
    try:
        copies = q.expand(Size((R, *q.batch_shape)))
    except Exception as error:
        raise ValueError(f"{type(q).__name__} cannot be expanded: {error}") from error
    originals = held(q)
    pairs: dict[int, tuple[Tensor, Tensor]] = {}
    for address, copy in held(copies).items():
        if address in originals and _is_copy(copy, originals[address], R):
            pairs.setdefault(id(copy), (copy, originals[address]))
    roots = [
        (copy, source)
        for copy, source in pairs.values()
        if not any(other is not copy and reaches(copy, [other]) for other, _ in pairs.values())
    ]
    return Replicas(copies, tuple(copy for copy, _ in roots), tuple(source for _, source in roots))


def expandable(f: Callable[[Tensor], Tensor], q: Distribution) -> bool:
    """Whether `f` treats a further batch axis, first of all, as many separate calls: it is tried on three."""
    try:
        copies = q.expand(Size((3, *q.batch_shape)))
        with torch.no_grad():
            z = copies.sample(Size((2,)))  # (2, 3, *batch, *event)
            together = f(z)
            apart = torch.stack([f(z[:, r]) for r in range(3)], dim=1)
    except Exception:
        return False
    scale = 1e3 * torch.finfo(together.dtype).eps
    return together.shape == apart.shape and torch.allclose(together, apart, rtol=scale, atol=scale, equal_nan=True)


def gradients_apart(estimates: Tensor, replicas: Replicas, parameters: Sequence[Tensor]) -> tuple[Tensor, bool]:
    """The gradient of each of R estimates in every parameter.

    Args:
        estimates: the result of an estimator at `replicas.q`, `(R, *batch)`.
        replicas: where it was got.
        parameters: the tensors to differentiate by.

    Returns:
        Gradients `(R, P)`, all parameters in a row, and whether one backward pass was enough.
    """
    R = len(estimates)
    if not estimates.requires_grad:
        return estimates.new_zeros(R, sum(each.numel() for each in parameters)), True
    if not replicas.roots or reaches(estimates, parameters, without=replicas.roots):
        return _by_cotangents(estimates.reshape(R, -1).sum(-1), parameters), False
    at_roots = torch.autograd.grad(estimates.sum(), replicas.roots, allow_unused=True, materialize_grads=True)
    cotangents = [_like(g, source) for g, source in zip(at_roots, replicas.sources, strict=True)]
    if [id(source) for source in replicas.sources] == [id(each) for each in parameters]:
        return _in_a_row(cotangents, R), True
    return _vjp(replicas.sources, parameters, cotangents), True


def _by_cotangents(totals: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    eye = torch.eye(len(totals), dtype=totals.dtype, device=totals.device)
    return _vjp([totals], parameters, [eye])


def _vjp(outputs: Sequence[Tensor], parameters: Sequence[Tensor], cotangents: Sequence[Tensor]) -> Tensor:
    """Vector-Jacobian products for cotangents `(R, *output)`, `(R, P)`: at once, or in turn where torch cannot."""
    R = len(cotangents[0])

    def grad(weights: Sequence[Tensor], *, batched: bool) -> list[Tensor]:
        found: Sequence[Tensor | None] = torch.autograd.grad(
            list(outputs),
            list(parameters),
            list(weights),
            retain_graph=True,
            allow_unused=True,
            is_grads_batched=batched,
        )
        lead = (R,) if batched else ()
        return [
            parameter.new_zeros((*lead, *parameter.shape)) if gradient is None else gradient
            for parameter, gradient in zip(parameters, found, strict=True)
        ]

    try:
        return _in_a_row(grad(cotangents, batched=True), R)
    except RuntimeError:
        each = [grad([weights[r] for weights in cotangents], batched=False) for r in range(R)]
        return _in_a_row([torch.stack(rows) for rows in zip(*each, strict=True)], R)


def _like(gradients: Tensor, source: Tensor) -> Tensor:
    """Gradients at R copies of a tensor, `(R, *source.shape)`, what was broadcast summed."""
    R, ones = len(gradients), (1,) * (gradients.ndim - 1 - source.ndim)
    return gradients.sum_to_size(R, *ones, *source.shape).reshape(R, *source.shape)


def _in_a_row(gradients: Sequence[Tensor], R: int) -> Tensor:
    return torch.cat([gradient.reshape(R, -1) for gradient in gradients], dim=-1)


def _is_copy(copy: Tensor, source: Tensor, R: int) -> bool:
    return copy is not source and copy.ndim >= 1 and len(copy) == R


def _walk(entries: Mapping[str, object], prefix: str) -> Iterator[tuple[str, Tensor]]:
    for name, value in entries.items():
        address = f"{prefix}{name}"
        if isinstance(value, Tensor):
            if value.requires_grad:
                yield address, value
        elif isinstance(value, Distribution):
            yield from _walk(vars(value), f"{address}.")
        elif isinstance(value, list | tuple):
            yield from _walk({str(i): entry for i, entry in enumerate(value)}, f"{address}.")
