"""Draws made elsewhere, brought to a target's real coordinates: ArviZ, CmdStan, PyMC, NumPyro, Pyro and plain arrays.

Libraries agree on little: ArviZ and NumPyro put chains before draws, emcee and this library draws before chains, and
CmdStanPy lays chains end to end. All give points of the model's own space. Nothing is imported here: what an object can
do decides what it is.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import Tensor

from jensen._targets import Draws, Target

__all__ = ["as_draws", "as_points", "evaluate"]

_CHUNK = 8192
_APART = 1e-3


def as_draws(draws: Any, target: Target) -> Draws:
    r"""Draws of any of the usual kinds as points of the target's unconstrained space, with its two log-densities.

    Understood are, all in the model's own space $\theta$ but the first:

    - `Draws`, and what a sampler of this library returns (checked to be this target's);
    - ArviZ's `InferenceData` and xarray's `DataTree` with a group `posterior`, and a `Dataset` with axes `chain`, `draw`;
    - a fit of CmdStanPy (anything with `stan_variables()`), an `MCMC` of NumPyro or Pyro (`get_samples`);
    - mappings of arrays by name, `(chains, draws, *event)` as ArviZ, PyMC and NumPyro with `group_by_chain` have them,
      or `(draws, *event)`;
    - for a target without names a tensor or array `(draws, chains, *event)`, as emcee has it, or `(draws, *event)`.

    Variables that the target does not have are ignored.

    Args:
        draws: the draws.
        target: what they were drawn from.

    Raises:
        ValueError: if a parameter is missing, naming both sets; a shape does not fit; a draw lies outside the support or
            is not finite, naming the first; or `Draws` carry the log-densities of another target.

    Example:
        >>> target = Target(lambda p: 2 * p.log(), torch.distributions.Beta(*torch.ones(2).double()))
        >>> as_draws(torch.tensor([[0.5], [0.25]]).double(), target).points.shape
        torch.Size([2, 1, 1])
        >>> as_draws({"theta": torch.full((4, 100), 0.5)}, target).log_likelihood.shape
        torch.Size([100, 4])
    """  # noqa: E501
    if isinstance(ready := getattr(draws, "draws", draws), Draws):
        return _checked(ready, target)
    points = as_points(draws, target)
    S, C, d = points.shape
    terms = evaluate(target.log_terms, points.reshape(-1, d))
    return Draws(points, terms[0].reshape(S, C), terms[1].reshape(S, C))


def as_points(draws: Any, target: Target) -> Tensor:
    """The unconstrained points of `as_draws` alone, `(S, C, d)`, without an evaluation of the target.

    Args:
        draws: as in `as_draws`.
        target: as in `as_draws`.

    Raises:
        ValueError: as in `as_draws`.

    Example:
        >>> target = Target(lambda p: 2 * p.log(), torch.distributions.Beta(*torch.ones(2).double()))
        >>> as_points({"theta": [[0.5, 0.5, 0.5]]}, target).flatten()
        tensor([0., 0., 0.], dtype=torch.float64)
    """
    if isinstance(ready := getattr(draws, "draws", draws), Draws):
        return _checked(ready, target).points
    values = _values(draws, target)
    flat = {name: value.reshape(-1, *target.shapes[name]) for name, value in values.items()}
    S, C = next(iter(values.values())).shape[:2]
    with torch.no_grad():
        points = target.unconstrain(flat if target.is_named else flat["theta"])
        _check_support(points, flat, target, chains=C)
    return points.reshape(S, C, -1)


def evaluate(function: Callable[[Tensor], Tensor], points: Tensor) -> Tensor:
    """A function of `(N, d)` that keeps the points as its last axis, some thousand points at a time, without gradients.

    Example:
        >>> evaluate(lambda x: x.sum(-1), torch.ones(10_000, 2)).shape
        torch.Size([10000])
    """
    with torch.no_grad():
        parts = [function(part) for part in torch.split(points.detach(), _CHUNK)]
    return parts[0] if len(parts) == 1 else torch.cat(parts, -1)


def _checked(draws: Draws, target: Target) -> Draws:
    """Draws whose first points have the log-density that they carry."""
    points = draws.points.to(target.device, target.dtype)
    if points.ndim != 3 or points.shape[-1] != target.dim or 0 in points.shape:
        shapes = f"{tuple(points.shape)}; expected (draws, chains, d) = (S, C, {target.dim})"
        raise ValueError(f"the draws' points have shape {shapes}: they were made for another target")
    said = draws.log_joint[0, :4].to(points)
    found = evaluate(target.log_joint, points[0, :4])
    apart = float(torch.where(said == found, 0.0, (said - found).abs() / (1 + found.abs())).nan_to_num(0.0).max())
    if apart > _APART:
        raise ValueError(
            f"the draws carry log-densities {said.tolist()} where the target has {found.tolist()}: they were made for "
            "another target"
        )
    return Draws(points, draws.log_likelihood.to(points), draws.log_prior.to(points))


def _values(draws: Any, target: Target) -> dict[str, Tensor]:
    """Each parameter in the model's own space, `(S, C, *event)`."""
    by_name = _by_name(draws, target)
    if by_name is None:
        return {"theta": _draws_first(draws, target)}
    if missing := set(target.names) - set(by_name):
        raise ValueError(
            f"the draws have {sorted(map(str, by_name))} and lack {sorted(missing)}; the target's parameters are "
            f"{sorted(target.names)}: rename the one or the other"
        )
    values = {name: _chains_first(name, by_name[name], target) for name in target.names}
    sizes = {name: tuple(value.shape[:2]) for name, value in values.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"the parameters have different numbers of (draws, chains): {sizes}")
    return values


def _by_name(draws: Any, target: Target) -> Mapping[Any, Any] | None:
    """Arrays `(chains, draws, *event)` by name; None where there are no names."""
    if callable(stan_variables := getattr(draws, "stan_variables", None)):
        chains = int(getattr(draws, "chains", 1))
        return {name: _unlaid(np.asarray(value), chains) for name, value in stan_variables().items()}
    if callable(get_samples := getattr(draws, "get_samples", None)):
        return dict(get_samples(group_by_chain=True))
    group = _posterior(draws)
    if _is_dataset(group):
        return {name: _chain_and_draw(name, group[name]) for name in group.data_vars}
    if hasattr(group, "dims") and hasattr(group, "transpose"):
        name = group.name if target.is_named else "theta"
        return {name: _chain_and_draw(name, group)}
    return group if isinstance(group, Mapping) else None


def _posterior(draws: Any) -> Any:
    """The group `posterior` of what has groups, and itself of what has none."""
    group = draws.get("posterior") if isinstance(draws, Mapping) else getattr(draws, "posterior", None)
    if _is_dataset(group) or isinstance(group, Mapping):
        return group
    if hasattr(draws, "groups") and not getattr(draws, "data_vars", None):
        raise ValueError(f"the {type(draws).__name__} of draws has no group named posterior")
    return draws


def _is_dataset(value: Any) -> TypeGuard[Any]:
    return hasattr(value, "data_vars") and hasattr(value, "dims")


def _chain_and_draw(name: Any, variable: Any) -> Any:
    if not {"chain", "draw"} <= set(variable.dims):
        raise ValueError(f"{name} has the axes {variable.dims}; expected chain and draw among them")
    return variable.transpose("chain", "draw", ...).values


def _unlaid(value: Any, chains: int) -> Any:
    """Chains laid end to end, `(C * S, *event)` to `(C, S, *event)`."""
    return value.reshape(chains, -1, *value.shape[1:])


def _tensor(value: Any, target: Target) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach().to(target.device, target.dtype)
    array = np.array(value)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"draws must be numbers, got an array of {array.dtype} made from {type(value).__name__}")
    return torch.from_numpy(array).to(target.device, target.dtype)


def _chains_first(name: str, value: Any, target: Target) -> Tensor:
    """`(C, S, *event)` or `(N, *event)` to `(S, C, *event)`."""
    tensor, event = _tensor(value, target), target.shapes[name]
    _check_event(name, tensor, event, layout="chains, draws")
    return tensor[:, None] if tensor.ndim == 1 + len(event) else tensor.transpose(0, 1)


def _draws_first(value: Any, target: Target) -> Tensor:
    """`(S, C, *event)` or `(N, *event)` to `(S, C, *event)`."""
    if target.is_named:
        kind, names = type(value).__name__, ", ".join(target.names)
        raise ValueError(f"the target's parameters have names ({names}); give their draws by name, not as a {kind}")
    tensor, event = _tensor(value, target), target.shapes["theta"]
    _check_event("the array of draws", tensor, event, layout="draws, chains")
    return tensor[:, None] if tensor.ndim == 1 + len(event) else tensor


def _check_event(name: str, tensor: Tensor, event: torch.Size, *, layout: str) -> None:
    front = tensor.ndim - len(event)
    if front not in (1, 2) or tensor.shape[front:] != event or 0 in tensor.shape[:front]:
        tail = "".join(f", {size}" for size in event)
        raise ValueError(f"{name} has shape {tuple(tensor.shape)}; expected ({layout}{tail}) or (draws{tail})")


def _check_support(points: Tensor, values: Mapping[str, Tensor], target: Target, *, chains: int) -> None:
    """The bijection must lead back to where the draws were; outside the support it cannot."""
    back = target.constrain(points.nan_to_num(0.0, 0.0, 0.0))
    back = back if isinstance(back, dict) else {"theta": back}
    outside = ~points.isfinite().all(-1)
    for name, value in values.items():
        near = (back[name] - value).abs() <= _APART * (1 + value.abs())
        outside |= ~near.reshape(len(near), -1).all(-1)
    if not bool(outside.any()):
        return
    first = int(outside.int().argmax())
    point = ", ".join(f"{name} = {value[first].tolist()}" for name, value in values.items())
    raise ValueError(
        f"{int(outside.sum())} of {len(points)} draws are not finite or lie outside the target's support; first draw "
        f"{first // chains} of chain {first % chains}: {point}"
    )
