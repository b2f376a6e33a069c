"""The true value and gradient: by enumeration where that is possible, else from a long run of an unbiased estimator."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from jensen.gradients.audit.measure import Problem, measure
from jensen.gradients.audit.methods import resolve
from jensen.gradients.expect import choose
from jensen.gradients.registry import UnsupportedError, get
from jensen.gradients.states import domain_size, log_prob_table

__all__ = ["Reference", "find_reference"]

MOST_STATES = 2**12
"""Values of z that the exact gradient is summed over, at most."""

APART = 5.0
"""Standard errors of a coordinate between two runs that cannot be estimates of the same gradient."""

LONGER = 10
"""How many times the audit's replicates a reference run has."""


@dataclass(frozen=True)
class Reference:
    """What estimators are compared with.

    Attributes:
        gradient: `(P,)`, in double precision.
        gradient_error: its standard error, zero where it is exact.
        value: of the expectation, flat over the batch.
        value_error: its standard error.
        words: where it comes from.
        eps: the relative precision of the numbers that it was computed in.
        reach: the largest deviation of each coordinate in the run that it comes from, zero where it is exact.
        value_reach: likewise of the value.
        count: replicates of that run, infinitely many where it is exact.
    """

    gradient: Tensor
    gradient_error: Tensor
    value: Tensor
    value_error: Tensor
    words: str
    eps: float
    reach: Tensor
    value_reach: Tensor
    count: float = math.inf


def find_reference(problem: Problem, name: str, *, replicates: int) -> Reference:
    """The reference that `name` asks for: `auto`, `exact`, or the name of an unbiased estimator.

    Raises:
        ValueError: if there is no such reference for this f and q.
    """
    size = domain_size(problem.q)
    if name == "exact" and (size is None or size > MOST_STATES):
        found = "no list of values" if size is None else f"{size:,} values"
        raise ValueError(f"q has {found}, an exact reference sums up to {MOST_STATES:,}; name an unbiased estimator")
    if name == "exact" or (name == "auto" and size is not None and size <= MOST_STATES):
        return _exact(problem)
    chosen = choose(problem.f, problem.q, max(2, problem.samples)).method if name == "auto" else name
    chosen = "leave_one_out" if chosen == "enumerate_exact" else chosen
    if not get(chosen).unbiased:
        raise ValueError(f"reference={chosen!r} is biased; name an unbiased estimator, or 'exact'")
    if name == "auto" and chosen == "pathwise":
        return _along_or_across(problem, LONGER * replicates)
    return _long_run(problem, chosen, LONGER * replicates)


def _exact(problem: Problem) -> Reference:
    values, log_prob = log_prob_table(problem.q, limit=MOST_STATES)  # (S, *batch, *event), (S, *batch)
    probability = log_prob.exp()
    cost = problem.f(values)
    if cost.shape != probability.shape:
        shapes = f"{tuple(cost.shape)} for samples {tuple(values.shape)}"
        raise ValueError(f"f returned costs of shape {shapes}; expected {tuple(probability.shape)}")
    total = (probability * cost.where(probability > 0, 0.0)).sum(0)
    gradients = torch.autograd.grad(
        total.sum(), problem.targets, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    gradient, value = _double(torch.cat([each.reshape(-1) for each in gradients])), _double(total.reshape(-1))
    words = f"exact, the sum over {len(values):,} values"
    none, nil = torch.zeros_like(gradient), torch.zeros_like(value)
    return Reference(gradient, none, value, nil, words, _eps(problem), reach=none, value_reach=nil)


def _long_run(problem: Problem, name: str, replicates: int) -> Reference:
    (method,) = resolve([name])
    samples = max(problem.samples, get(name).least_samples)
    other = Problem(problem.f, problem.q, problem.parameters, samples, problem.seed + 1, problem.axis)
    try:
        found = measure(other, method, replicates=replicates)
    except UnsupportedError as error:
        raise ValueError(f"{name} cannot be the reference: {error}; name another with reference=") from error
    words = f"{replicates:,} replicates of {name}"
    gradient, value = found.gradient, found.value
    if not (gradient.variance.any() or value.variance.any()):
        raise ValueError(f"all {words} are the same: q is too peaked, or f too flat, to be audited")
    return Reference(
        gradient=gradient.mean,
        gradient_error=gradient.std_error,
        value=value.mean,
        value_error=value.std_error,
        words=words,
        eps=_eps(problem),
        reach=gradient.reach,
        value_reach=value.reach,
        count=gradient.count,
    )


def _along_or_across(problem: Problem, replicates: int) -> Reference:
    """`pathwise`, unless `leave_one_out`, which sees the jumps of f as well, comes to another gradient."""
    along = _long_run(problem, "pathwise", replicates)
    try:
        across = _long_run(problem, "leave_one_out", replicates)
    except ValueError:
        return along
    error = (along.gradient_error.square() + across.gradient_error.square()).sqrt()
    if ((along.gradient - across.gradient).abs() <= APART * error + 1e-6 * across.gradient.norm()).all():
        return along
    return replace(across, words=f"{across.words}, from which pathwise differs: f has jumps")


def _eps(problem: Problem) -> float:
    return max(torch.finfo(each.dtype).eps for each in problem.targets)


def _double(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", torch.float64)
