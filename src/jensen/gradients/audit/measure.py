"""One estimator, estimated many times: moments of its gradient and its value, and what one estimate costs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import torch
from torch import Generator, Tensor
from torch.distributions import Distribution

from jensen.gradients.audit.methods import Method
from jensen.gradients.audit.moments import Moments
from jensen.gradients.audit.replicas import gradients_apart, replicate
from jensen.gradients.registry import Cost

__all__ = ["Measured", "Problem", "measure"]

ELEMENTS = 2**20
"""Entries of samples, and of gradients, that are held at once."""

COTANGENTS = 64
"""Replicates that are taken apart by cotangents at once."""

TIMED, TIMED_SECONDS = 30, 0.3
"""Estimates that are timed, and the time after which no further one is begun."""


@dataclass(frozen=True)
class Problem:
    """An expectation under audit.

    Attributes:
        f: the cost.
        q: the distribution.
        parameters: the tensors to differentiate by, named.
        samples: K.
        seed: of all draws.
        axis: whether f and q take a further batch axis.
    """

    f: Cost
    q: Distribution
    parameters: Mapping[str, Tensor]
    samples: int
    seed: int
    axis: bool

    @property
    def targets(self) -> list[Tensor]:
        """The parameters without their names."""
        return list(self.parameters.values())

    @property
    def size(self) -> int:
        """The number of the gradient's coordinates."""
        return sum(each.numel() for each in self.targets)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.targets[0].device

    def generator(self) -> Generator:
        """A fresh source of noise."""
        return Generator(self.device).manual_seed(self.seed)


@dataclass(frozen=True)
class Measured:
    """What was found; the fields of the same names in `Row` say more."""

    gradient: Moments
    value: Moments
    evaluations: int
    differentiated: int
    seconds: float
    apart: str


class _Counted:
    """f, and how often it was evaluated for one element of the batch."""

    def __init__(self, f: Cost, q: Distribution) -> None:
        self.f, self.each = f, max(1, math.prod((*q.batch_shape, *q.event_shape)))
        self.evaluations = self.differentiated = 0

    def __call__(self, z: Tensor) -> Tensor:
        count = z.numel() // self.each
        self.evaluations += count
        self.differentiated += count if z.requires_grad else 0
        return self.f(z)


def measure(problem: Problem, method: Method, *, replicates: int) -> Measured:
    """Estimate `replicates` times.

    Raises:
        ValueError: whatever the estimator raises where it does not apply; the first estimate shows it.
    """
    counted = _Counted(problem.f, problem.q)
    generator = problem.generator()
    first = _estimate(problem, method, generator, f=counted)
    if first.shape != problem.q.batch_shape:
        shapes = f"{tuple(first.shape)} for q of batch shape {tuple(problem.q.batch_shape)}"
        raise ValueError(f"{method.name} returned shape {shapes}; an estimator returns one estimate for each element")
    chunk = _chunk(problem, counted.evaluations)
    needed = 2 if method.noise_free else replicates
    gradient, value, apart = _moments(problem, method, generator, replicates=needed, chunk=chunk)
    seconds = _seconds(problem, method, generator)
    return Measured(gradient, value, counted.evaluations, counted.differentiated, seconds, apart)


def _moments(
    problem: Problem, method: Method, generator: Generator, *, replicates: int, chunk: int
) -> tuple[Moments, Moments, str]:
    """Moments of gradients and values, and how the replicates were taken apart."""
    gradient, value = Moments(), Moments()
    apart = "one pass" if problem.axis else "loop"
    while gradient.count < replicates:
        R = 2 if gradient.count == 0 else min(chunk, replicates - gradient.count)
        gradients, estimates, one_pass = (_together if problem.axis else _in_turn)(problem, method, generator, R)
        gradient.add(gradients)
        value.add(estimates.reshape(R, -1))
        if not one_pass:
            chunk, apart = min(chunk, COTANGENTS), "cotangents" if problem.axis else "loop"
    return gradient, value, apart


def _together(problem: Problem, method: Method, generator: Generator, R: int) -> tuple[Tensor, Tensor, bool]:
    """R estimates by one call, `(R, *batch)`, and their gradients, `(R, P)`."""
    replicas = replicate(problem.q, R)
    estimates = method(problem.f, replicas.q, samples=problem.samples, generator=generator)
    gradients, one_pass = gradients_apart(estimates, replicas, problem.targets)
    return gradients, estimates, one_pass


def _in_turn(problem: Problem, method: Method, generator: Generator, R: int) -> tuple[Tensor, Tensor, bool]:
    """R estimates one after the other."""
    estimates = [_estimate(problem, method, generator) for _ in range(R)]
    gradients = [torch.cat([g.reshape(-1) for g in _backward(each, problem.targets)]) for each in estimates]
    return torch.stack(gradients), torch.stack(estimates), False


def _estimate(problem: Problem, method: Method, generator: Generator, *, f: Cost | None = None) -> Tensor:
    return method(f or problem.f, problem.q, samples=problem.samples, generator=generator)


def _backward(estimate: Tensor, targets: Sequence[Tensor]) -> tuple[Tensor, ...]:
    if not estimate.requires_grad:
        return tuple(torch.zeros_like(each) for each in targets)
    return torch.autograd.grad(
        estimate.sum(), list(targets), retain_graph=True, allow_unused=True, materialize_grads=True
    )


def _chunk(problem: Problem, evaluations: int) -> int:
    each: int = evaluations * math.prod((*problem.q.batch_shape, *problem.q.event_shape))
    return max(2, ELEMENTS // max(1, each, problem.size))


def _seconds(problem: Problem, method: Method, generator: Generator) -> float:
    """The median time of one estimate and its backward pass; building q is not in it."""
    taken: list[float] = []
    while len(taken) < TIMED and sum(taken) < TIMED_SECONDS:
        _synchronize(problem.device)
        start = perf_counter()
        _backward(_estimate(problem, method, generator), problem.targets)
        _synchronize(problem.device)
        taken.append(perf_counter() - start)
    return median(taken)


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
