"""Nested sampling beside dynesty, at equal error, on the same torch log-likelihood.

Both have the same number of live points, which sets the standard error: about the root of information over live
points; both run until less than the same share of the evidence remains. The likelihood is one function for both;
dynesty calls it one point at a time, through the same map from the unit cube that its users write, and pays what a
torch call costs. At equal error means: the ratio of seconds times the squares of the errors that both report.
"""

import importlib.util
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution, Normal, Uniform

from jensen.evidence import Evidence, Target
from jensen.evidence.nested import nested
from jensen.samplers.nested import nested_sampling
from measured import Row, Timed, in_turns, row, timed

__all__ = ["missing", "rows"]

LIVE, TOLERANCE = 500, 0.1


class Problem(NamedTuple):
    """A likelihood of points `(N, d)`, its prior, and log Z."""

    log_likelihood: Callable[[Tensor], Tensor]
    prior: Distribution
    exact: float


def shells(dim: int, exact: float) -> Problem:
    """Two shells of radius 2 and width 0.1 in a box."""
    centre = torch.zeros(dim).double()
    centre[0] = 3.5
    constant = math.log(0.1 * math.sqrt(2 * math.pi))

    def log_likelihood(x: Tensor) -> Tensor:
        near = -((x - centre).norm(dim=-1) - 2).square() / 0.02
        far = -((x + centre).norm(dim=-1) - 2).square() / 0.02
        return torch.logaddexp(near, far) - constant

    half = torch.full((dim,), 6.0).double()
    return Problem(log_likelihood, Uniform(-half, half), exact)


def logistic_regression() -> Problem:
    """The size of Pima Indians: 532 rows, an intercept and four columns, prior variance 100; log Z by the bridge."""
    generator = torch.Generator().manual_seed(0)
    x = torch.cat([torch.ones(532, 1), torch.randn(532, 4, generator=generator)], 1).double()
    logits = x @ torch.tensor([-1.0, 0.4, 1.1, 0.5, 0.4]).double()
    signs = 2 * (torch.rand(532, generator=generator).double() < logits.sigmoid()).double() - 1

    def log_likelihood(theta: Tensor) -> Tensor:
        return torch.nn.functional.logsigmoid(theta @ x.mT * signs).sum(-1)

    return Problem(log_likelihood, Normal(torch.zeros(5).double(), 10.0), -299.0225)


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "shells, d = 2": lambda: shells(2, -1.745642),
    "shells, d = 10": lambda: shells(10, -14.590491),
    "logistic regression, 532 x 5": logistic_regression,
}


def ours(problem: Problem, seed: int) -> Evidence:
    """Batched moves in torch."""
    run = nested_sampling(Target(problem.log_likelihood, problem.prior), live=LIVE, tolerance=TOLERANCE, seed=seed)
    return nested(run.log_likelihood, run.live_counts, ranks=run.insertion_ranks)


def theirs(problem: Problem, seed: int) -> Evidence:
    """Static nested sampling with dynesty's own choice of bounds and moves."""
    import dynesty
    import numpy as np

    def prior_transform(unit: Any) -> Any:
        with torch.no_grad():
            return problem.prior.icdf(torch.from_numpy(np.asarray(unit))).numpy()

    def log_likelihood(point: Any) -> float:
        with torch.no_grad():
            return float(problem.log_likelihood(torch.from_numpy(np.asarray(point)).unsqueeze(0)))

    dim, random = int(problem.prior.batch_shape[0]), np.random.default_rng(seed)
    sampler = dynesty.NestedSampler(log_likelihood, prior_transform, dim, nlive=LIVE, rstate=random)
    sampler.run_nested(dlogz=TOLERANCE, print_progress=False)
    return Evidence(float(sampler.results.logz[-1]), float(sampler.results.logzerr[-1]))


def missing() -> str:
    """How to get the peer where it is not there."""
    return "" if importlib.util.find_spec("dynesty") else 'dynesty: pip install "jensen[bench]"'


def rows(repeats: int) -> Iterator[Row]:
    """Seconds of both, the errors and the ratio at equal error."""
    for name, make in PROBLEMS.items():
        problem = make()
        sides = {"jensen": lambda seed, problem=problem: timed(lambda: ours(problem, seed))}
        if not missing():
            sides["dynesty"] = lambda seed, problem=problem: timed(lambda: theirs(problem, seed))
        found = in_turns(sides, repeats)
        mine, other = found["jensen"], found.get("dynesty", [])
        yield row(name, "s", *([each.wall for each in side] for side in (mine, other)))
        yield row(name, "s x error^2", *map(_at_equal_error, (mine, other)), note=_apart(problem, mine, other))


def _at_equal_error(runs: list[Timed]) -> list[float]:
    return [each.wall * each.result.std_error**2 for each in runs]


def _apart(problem: Problem, *sides: list[Timed]) -> str:
    off = [max(abs(run.result.log_z - problem.exact) for run in side) for side in sides if side]
    return f"largest distance to the exact value {' and '.join(f'{each:.2f}' for each in off)}"
