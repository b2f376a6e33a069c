"""How often a nominal 95 % interval holds the exact log-evidence, method by method; failures included."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from jensen.recipes.papers import NINETEEN, TUTORIAL
from jensen.recipes.recipe import Measured
from jensen.recipes.studies.covered import COVERED, RUNS
from jensen.recipes.study import Study, require_positive

__all__ = ["STUDIES", "Coverage"]


@dataclass(frozen=True)
class Coverage:
    """The numbers of the study of coverage.

    Attributes:
        seeds: independent repetitions of every method on every target.
        block: repetitions in one part.
        targets: by name, as in `jensen.datasets.targets`; `normal-normal` also with given draws of
            autocorrelation `rho`.
        hard: targets at which methods are known to fail; each takes much longer.
        hard_seeds: repetitions there.
        chains: of the posterior, and at each temperature.
        draws: kept from each chain, there too.
        warmup: adaptation steps.
        temperatures: of the power posteriors.
        reference_temperatures: of the path from a Gaussian reference.
        samples: independent draws.
        live: live points.
        particles: in each of the runs of sequential Monte Carlo.
        runs: of these.
        rho: the autocorrelation of the given draws.
        given: of these, in each of four chains.
    """

    seeds: int = 200
    block: int = 10
    targets: tuple[str, ...] = ("normal-normal", "poisson-gamma", "radiata-density", "student-t-5")
    hard: tuple[str, ...] = ("funnel-10",)
    hard_seeds: int = 20
    chains: int = 24
    draws: int = 50
    warmup: int = 80
    temperatures: int = 12
    reference_temperatures: int = 6
    samples: int = 2000
    live: int = 100
    particles: int = 200
    runs: int = 8
    rho: float = 0.9
    given: int = 2000

    def __post_init__(self) -> None:
        """Refuse what cannot be repeated."""
        require_positive(self, zero=() if self.hard else ("hard",))
        if self.rho >= 1:
            raise ValueError(f"rho must be below 1, got {self.rho}")


def _measured() -> Iterator[Measured]:
    """The coverages; a method that gave no interval has none."""
    for target, methods in COVERED.items():
        for method, (held, intervals, warned) in methods.items():
            if intervals:
                share = held / intervals
                error = math.sqrt(share * (1 - share) / intervals)
                yield Measured(
                    f"{method}: {target}",
                    share,
                    error,
                    data=f"{intervals} intervals of {RUNS[target]} runs, {warned} with a warning",
                    budget="one thread",
                    hardware="2 CPU cores (shared), one thread",
                    seed=0,
                    date="2026-11-21",
                )


STUDIES = (
    Study(
        name="evidence-coverage",
        title="How often 95 % intervals of log Z hold the exact value",
        papers=(NINETEEN, TUTORIAL),
        about=(
            "Each number is the share of intervals of 1.96 standard errors that hold the exact value; 0.95 is right. "
            "A row that ends in 'warned' is the share of runs with a warning, or that gave no interval: those have no "
            "part in the coverage. A row that ends in 'z' is the mean of the error in units of the standard error; 0 "
            "is right. The harmonic means give no error bar; here they are given the one of a delta method, to show "
            "why not."
        ),
        function="jensen.recipes.studies.intervals:coverage",
        settings=Coverage(),
        smoke=Coverage(
            seeds=1, block=1, targets=("normal-normal",), hard=(), chains=20, draws=10, warmup=20, temperatures=4,
            reference_temperatures=3, samples=200, live=30, particles=50, runs=4, given=100,
        ),
        form=".3f",
        measured=tuple(_measured()),
        differs=("The first paper shows the spread over ten runs of each method and no intervals.",),
    ),
)  # fmt: skip
