"""Batched Hamiltonian Monte Carlo beside nutpie, on the same log-densities written in torch.

    python benchmarks/hmc.py [--threads 1] [--repeats 3] [--chains 1,100,1000,10000] [--nuts-draws 500]

Two targets: a Gaussian of eight dimensions with all correlations 0.5, and a logistic regression of 532 people on seven
variables, made up here, with weak priors. For each: gradients per second and effective draws (of the worst coordinate)
per second, after the warm-up and with it. Medians over repeats. nutpie runs its four chains one after the other, for
Python lets only one compute at a time.
"""

import argparse
import statistics
import time
from typing import NamedTuple

import torch
from torch.distributions import Normal

from jensen._targets import Target
from jensen.samplers.hmc import Chains, hamiltonian
from jensen.samplers.nuts import nuts


class Speed(NamedTuple):
    """Per second: gradients in all, effective draws after the warm-up, and effective draws of the whole time."""

    gradients: float
    sampling: float
    whole: float
    seconds: float
    r_hat: float


def gaussian() -> Target:
    """Eight dimensions, all correlations 0.5."""
    covariance = torch.full((8, 8), 0.5).double() + 0.5 * torch.eye(8).double()
    precision = covariance.inverse()
    prior = Normal(torch.zeros(8).double(), 10.0)
    return Target(lambda x: ((x / 10).square() - (x @ precision) * x).sum(-1) / 2, prior)


def logistic() -> Target:
    """532 people, an intercept and six variables, two of them strongly correlated."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(532, 7, generator=generator).double()
    x[:, 0] = 1
    x[:, 6] = 0.9 * x[:, 5] + 0.4 * x[:, 6]
    coefficients = torch.tensor([-1.0, 0.5, 1.0, 0.0, 0.3, 0.2, -0.4]).double()
    y = torch.bernoulli((x @ coefficients).sigmoid(), generator=generator)

    def log_likelihood(b: torch.Tensor) -> torch.Tensor:
        logits = b @ x.T
        return (y @ logits.T) - torch.nn.functional.softplus(logits).sum(-1)

    return Target(log_likelihood, Normal(torch.zeros(7).double(), 10.0))


def ours(target: Target, chains: int, seed: int, draws: int) -> Speed:
    """The batch; the clock is read where the warm-up ends."""
    marks = [time.perf_counter()]

    def progress(done: int, total: int) -> None:
        if done in (total - draws, total):
            marks.append(time.perf_counter())

    run = hamiltonian(target, chains=chains, draws=draws, seed=seed, progress=progress)
    return speed(run, marks[2] - marks[1], marks[2] - marks[0])


def theirs(target: Target, draws: int, seed: int) -> Speed:
    """Four chains; the warm-up's share of the time is taken to be that of its draws."""
    begun = time.perf_counter()
    run = nuts(target, chains=4, draws=draws, warmup=400, seed=seed)
    seconds = time.perf_counter() - begun
    return speed(run, seconds * draws / (400 + draws), seconds)


def speed(run: Chains, sampling: float, whole: float) -> Speed:
    least = float(run.effective_sample_size.min())
    return Speed(run.evaluations / whole, least / sampling, least / whole, whole, float(run.r_hat.max()))


def median(speeds: list[Speed]) -> Speed:
    return Speed(*(statistics.median(column) for column in zip(*speeds, strict=True)))


def print_line(name: str, found: Speed, base: Speed | None) -> None:
    ratios = ""
    if base is not None:
        ratios = "".join(f"{a / b:9.0f}x" for a, b in zip(found[:3], base[:3], strict=True))
    numbers = f"{found.gradients:12.3g}{found.sampling:14.3g}{found.whole:14.3g}{found.seconds:9.2f}{found.r_hat:8.3f}"
    print(f"{name:24s}{numbers}{ratios}", flush=True)


def main() -> None:
    """Print a table for each target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--chains", default="1,100,1000,10000")
    parser.add_argument("--nuts-draws", type=int, default=500)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, {options.threads} threads, medians of {options.repeats}")
    for target, name in ((gaussian(), "Gaussian, 8 dimensions"), (logistic(), "logistic regression, 532 x 7")):
        print(
            f"\n{name}\n{'':24s}{'gradients/s':>12s}{'min-ESS/s':>14s}{'with warm-up':>14s}{'seconds':>9s}{'r_hat':>8s}"
        )
        base = None
        try:
            base = median([theirs(target, options.nuts_draws, seed) for seed in range(options.repeats)])
            print_line("nutpie, 4 chains", base, None)
        except ValueError as error:
            print(f"without nutpie: {error}")
        for chains in map(int, options.chains.split(",")):
            draws = 1000 if chains == 1 else 50
            runs = [ours(target, chains, seed, draws) for seed in range(options.repeats)]
            print_line(f"jensen, {chains} chains", median(runs), base)


if __name__ == "__main__":
    main()
