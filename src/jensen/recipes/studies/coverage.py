"""How often a nominal 95 % interval holds the exact log-evidence, method by method; failures included."""

from dataclasses import dataclass

from jensen.recipes.papers import NINETEEN, TUTORIAL
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
        chains: of the posterior, and at each temperature.
        draws: kept from each chain, there too.
        warmup: adaptation steps.
        temperatures: of the power posteriors.
        samples: independent draws.
        live: live points.
        particles: in each of the runs of sequential Monte Carlo.
        runs: of these.
        rho: the autocorrelation of the given draws.
    """

    seeds: int = 200
    block: int = 20
    targets: tuple[str, ...] = ("normal-normal", "poisson-gamma", "radiata-density", "student-t-5", "funnel-10")
    chains: int = 32
    draws: int = 50
    warmup: int = 200
    temperatures: int = 16
    samples: int = 2000
    live: int = 100
    particles: int = 250
    runs: int = 8
    rho: float = 0.9

    def __post_init__(self) -> None:
        """Refuse what cannot be repeated."""
        require_positive(self)
        if self.rho >= 1:
            raise ValueError(f"rho must be below 1, got {self.rho}")


STUDIES = (
    Study(
        name="evidence-coverage",
        title="How often the 95 % interval of each method holds the exact log-evidence",
        papers=(NINETEEN, TUTORIAL),
        about=(
            "Each number is the share of seeds whose interval of 1.96 standard errors holds the exact value; 0.95 is "
            "right. A row that ends in 'warned' is the share of runs with a warning. The harmonic means give no "
            "error bar; here they are given the one of a delta method, to show why not."
        ),
        function="jensen.recipes.studies.intervals:coverage",
        settings=Coverage(),
        smoke=Coverage(
            seeds=2, block=1, targets=("normal-normal",), chains=16, draws=20, warmup=20, temperatures=4,
            samples=200, live=30, particles=50, runs=4,
        ),
        form=".3f",
        differs=("The first paper shows the spread over ten runs of each method and no intervals.",),
    ),
)  # fmt: skip
