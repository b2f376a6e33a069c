"""Nested sampling beside dynesty, at equal error, on the same torch log-likelihood.

Both have the same number of live points, which sets the standard error: about the root of information over live
points; both run until less than the same share of the evidence remains. Our batches come out 4% lower in efficiency
than single replacements for each evaluation and are given no credit for that; the table prints the errors that both
report and the distance to the exact value. The likelihood is one function for both; dynesty calls it one point at a
time, through the same map from the unit cube that its users write, and pays what a torch call costs. Medians over
seeds, one thread, methods taking turns. dynesty is left out where it is not installed.

    python benchmarks/nested.py [--seeds 5] [--live 500] [--only shells]
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution, Normal, Uniform

from jensen.evidence import Target
from jensen.evidence.nested import nested
from jensen.samplers.nested import nested_sampling

TOLERANCE = 0.1
Method = Callable[["Problem", int, int], "Result"]


class Problem(NamedTuple):
    """A likelihood of points `(N, d)`, its prior, and log Z where it is known."""

    log_likelihood: Callable[[Tensor], Tensor]
    prior: Distribution
    exact: float


class Result(NamedTuple):
    """What a run found and what it took."""

    log_z: float
    error: float
    seconds: float
    evaluations: int


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
    """The size of Pima Indians: 532 rows, an intercept and four columns, prior variance 100."""
    generator = torch.Generator().manual_seed(0)
    x = torch.cat([torch.ones(532, 1), torch.randn(532, 4, generator=generator)], 1).double()
    logits = x @ torch.tensor([-1.0, 0.4, 1.1, 0.5, 0.4]).double()
    signs = 2 * (torch.rand(532, generator=generator).double() < logits.sigmoid()).double() - 1

    def log_likelihood(theta: Tensor) -> Tensor:
        return torch.nn.functional.logsigmoid(theta @ x.mT * signs).sum(-1)

    return Problem(log_likelihood, Normal(torch.zeros(5).double(), 10.0), math.nan)


PROBLEMS = {
    "shells, 2": lambda: shells(2, -1.745642),
    "shells, 5": lambda: shells(5, -5.673601),
    "shells, 10": lambda: shells(10, -14.590491),
    "logistic regression, 5": logistic_regression,
}


def ours(problem: Problem, live: int, seed: int) -> Result:
    """Batched moves in torch."""
    target = Target(problem.log_likelihood, problem.prior)
    start = time.perf_counter()
    run = nested_sampling(target, live=live, tolerance=TOLERANCE, seed=seed)
    found = nested(run.log_likelihood, run.live_counts, ranks=run.insertion_ranks)
    return Result(found.log_z, found.std_error, time.perf_counter() - start, run.evaluations)


def dynesty_run(problem: Problem, live: int, seed: int) -> Result:
    """Static nested sampling with dynesty's own choice of bounds and moves."""
    import dynesty
    import numpy as np

    def prior_transform(unit: Any) -> Any:
        with torch.no_grad():
            return problem.prior.icdf(torch.from_numpy(np.asarray(unit))).numpy()

    def log_likelihood(point: Any) -> float:
        with torch.no_grad():
            return float(problem.log_likelihood(torch.from_numpy(np.asarray(point)).unsqueeze(0)))

    dim = int(problem.prior.batch_shape[0])
    start = time.perf_counter()
    sampler = dynesty.NestedSampler(
        log_likelihood, prior_transform, dim, nlive=live, rstate=np.random.default_rng(seed)
    )
    sampler.run_nested(dlogz=TOLERANCE, print_progress=False)
    seconds, results = time.perf_counter() - start, sampler.results
    return Result(float(results.logz[-1]), float(results.logzerr[-1]), seconds, int(np.sum(results.ncall)))


def methods() -> dict[str, Method]:
    """Ours, and dynesty where it is installed."""
    found: dict[str, Method] = {"jensen": ours}
    try:
        import dynesty  # noqa: F401
    except ImportError:
        print("dynesty is not installed: left out")
        return found
    return found | {"dynesty": dynesty_run}


def row(name: str, method: str, results: list[Result], exact: float) -> str:
    """Medians of one method."""
    log_z, error, seconds, evaluations = (statistics.median(each) for each in zip(*results, strict=True))
    off = statistics.median(abs(each.log_z - exact) for each in results) if math.isfinite(exact) else math.nan
    return f"{name:24}{method:10}{log_z:10.3f}{error:8.3f}{off:8.3f}{seconds:10.2f}{evaluations:12.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--live", type=int, default=500)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    available = methods()
    print(f"{'problem':24}{'method':10}{'log Z':>10}{'error':>8}{'off':>8}{'seconds':>10}{'evaluations':>12}")
    for name, make in PROBLEMS.items():
        if arguments.only not in name:
            continue
        problem = make()
        results: dict[str, list[Result]] = {each: [] for each in available}
        for seed in range(arguments.seeds):
            for each, run in available.items():
                results[each].append(run(problem, arguments.live, seed))
        for each in available:
            print(row(name, each, results[each], problem.exact))
        if len(available) > 1:
            times = {each: statistics.median(r.seconds for r in results[each]) for each in available}
            print(f"{'':24}dynesty / jensen: {times['dynesty'] / times['jensen']:.1f} times the seconds")


if __name__ == "__main__":
    main()
