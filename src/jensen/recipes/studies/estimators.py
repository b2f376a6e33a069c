r"""The toys of the papers on gradient estimators, re-created from their definitions, and the parts of their studies.

Three bits, one parameter (Liu et al. 2019, Kool et al. 2020): every bit is one with probability sigmoid(eta), the cost
is $\lVert b - (0.6, 0.51, 0.48) \rVert^2$. One bit (Tucker et al. 2017): the cost is $(b - t)^2$.
"""

from collections.abc import Callable
from functools import cache, partial

import torch
from torch import Generator, Tensor
from torch.distributions import Bernoulli, Categorical, Distribution
from torch.nn.functional import logsigmoid

from jensen import gradients
from jensen.recipes.studies.toys import Descents, Variances

__all__ = [
    "descend",
    "descents",
    "gradients_of",
    "less_another_draw",
    "one_bit",
    "one_bit_cost",
    "one_bit_estimators",
    "summed",
    "three_bits",
    "three_bits_cost",
    "variances",
]

Estimator = Callable[..., Tensor]
Family = Callable[[Tensor], Distribution]
Cost = Callable[[Tensor], Tensor]
Values = dict[str, list[float]]

START = -4.0
SUMMED = (0, 1, 2, 3, 8)
LOW = (("leave_one_out", 2), ("leave_one_out", 4), ("rao_blackwell", 2), ("rao_blackwell", 5))
SETS = (("unordered_set", 2), ("unordered_set", 4), ("unordered_set", 5))


def three_bits(eta: Tensor) -> Categorical:
    """The eight states as one categorical, for parameters `(*batch)`."""
    ones = _states()[0].sum(-1)
    log_p = ones * logsigmoid(eta)[..., None] + (3 - ones) * logsigmoid(-eta)[..., None]
    return Categorical(logits=log_p)


def three_bits_cost(state: Tensor) -> Tensor:
    """The cost of states by their number."""
    return _states()[1][state]


def one_bit(phi: Tensor) -> Bernoulli:
    """A bit that is one with probability sigmoid(phi)."""
    return Bernoulli(logits=phi, validate_args=False)


def one_bit_cost(t: float) -> Cost:
    """The squared distance of the bit, or of a relaxed one, to t."""
    return lambda b: (b - t).square()


def one_bit_estimators() -> dict[str, Estimator]:
    """Those that two evaluations pay for, and REBAR with its three."""
    return {
        "score_function": partial(gradients.score_function, samples=1),
        "leave_one_out": partial(gradients.leave_one_out, samples=2),
        "rebar": partial(gradients.rebar, samples=1, tau=0.5),
        "muprop": partial(gradients.muprop, samples=1),
        "arm": partial(gradients.arm, samples=1),
        "disarm": partial(gradients.disarm, samples=1),
    }


def less_another_draw(f: Cost, q: Distribution) -> Cost:
    """Liu et al.'s REINFORCE+: from the cost of every value, that of another draw is subtracted, its own for each."""
    return lambda z: f(z) - f(q.sample(z.shape[:1]))


def summed(f: Cost, q: Distribution, *, k: int, generator: Generator | None = None) -> Tensor:
    """The k most probable values summed and one drawn from the rest, with REINFORCE+ for all of them."""
    noisy = less_another_draw(f, q)
    return gradients.rao_blackwell(noisy, q, categories=k, samples=k + 1, generator=generator)


def gradients_of(
    estimator: Estimator, family: Family, f: Cost, *, at: Tensor, generator: Generator | None = None
) -> Tensor:
    """Independent gradients, one for each entry of the parameter `at`."""
    leaf = at.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(estimator(f, family(leaf), generator=generator).sum(), leaf)
    return gradient


def descend(
    estimator: Estimator,
    family: Family,
    f: Cost,
    *,
    start: Tensor,
    optimizer: Callable[..., torch.optim.Optimizer],
    steps: int,
    generator: Generator | None = None,
) -> Tensor:
    """The parameter after each step, `(steps + 1, trials)`: every trial an element of q's batch."""
    parameter = start.clone().requires_grad_()
    descent = optimizer([parameter])
    path = [start]
    for _ in range(steps):
        descent.zero_grad()
        estimator(f, family(parameter), generator=generator).sum().backward()  # type: ignore[no-untyped-call]
        descent.step()
        path.append(parameter.detach().clone())
    return torch.stack(path)


def variances(settings: Variances, *, seed: int) -> dict[str, Callable[[], Values]]:
    """A part for each estimator and toy.

    Args:
        settings: the study's numbers.
        seed: not used; every part has random numbers of its own.
    """
    del seed
    toys: dict[str, tuple[Estimator, Family, Cost, float]] = {}
    for eta in (0.0, START):
        for k in range(9):
            name = f"REINFORCE+, k = {k}, eta = {eta:g}"
            toys[name] = partial(summed, k=k), three_bits, three_bits_cost, eta
        for method, k in LOW + SETS:
            name = f"{method}, k = {k}, eta = {eta:g}"
            toys[name] = _by_name(method, k), three_bits, three_bits_cost, eta
    for method, estimator in one_bit_estimators().items():
        toys[f"one bit, {method}"] = estimator, one_bit, one_bit_cost(0.45), -1.0
    return {name: partial(_variance, name, settings, *toy) for name, toy in toys.items()}


def descents(settings: Descents, *, seed: int) -> dict[str, Callable[[], Values]]:
    """A part for each estimator.

    Args:
        settings: the study's numbers.
        seed: not used; every part has random numbers of its own.
    """
    del seed
    estimators: dict[str, Estimator] = {
        "exact gradient": gradients.enumerate_exact,
        "REINFORCE": partial(gradients.score_function, samples=1),
        **{f"REINFORCE+, k = {k}": partial(summed, k=k) for k in SUMMED},
    }
    return {name: partial(_descent, name, settings, estimator) for name, estimator in estimators.items()}


def _variance(name: str, settings: Variances, estimator: Estimator, family: Family, f: Cost, at: float) -> Values:
    size = settings.draws // settings.batches
    parameter = torch.full((settings.batches * size,), at, dtype=torch.float64)
    found = gradients_of(estimator, family, f, at=parameter)
    return {name: found.reshape(settings.batches, size).var(1).tolist()}


def _descent(name: str, settings: Descents, estimator: Estimator) -> Values:
    trials = 1 if estimator is gradients.enumerate_exact else settings.trials
    eta = descend(
        estimator,
        three_bits,
        three_bits_cost,
        start=torch.full((trials,), START, dtype=torch.float64),
        optimizer=partial(torch.optim.SGD, lr=settings.learning_rate),
        steps=settings.steps,
    )
    return {name: eta[-1].tolist()}


def _by_name(method: str, k: int) -> Estimator:
    if method == "rao_blackwell":
        return partial(gradients.rao_blackwell, categories=k - 1, samples=k)
    return partial(getattr(gradients, method), samples=k)


@cache
def _states() -> tuple[Tensor, Tensor]:
    """The eight values of three bits and their costs."""
    bits = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * 3)  # (8, 3)
    return bits, (bits - torch.tensor([0.6, 0.51, 0.48], dtype=torch.float64)).square().sum(-1)
