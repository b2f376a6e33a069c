"""Posteriors over permutations after Linderman et al. 2018: the synthetic matching problem, the neurons of a worm."""

from collections.abc import Mapping
from dataclasses import dataclass

from jensen.recipes.papers import BIRKHOFF
from jensen.recipes.recipe import Measured, Published
from jensen.recipes.study import Study, require_positive

__all__ = ["STUDIES", "Matching", "Worms"]

SIGMAS = (0.1, 0.25, 0.5, 0.75)
HARDWARE = "one thread of an AMD EPYC (Zen 4), torch 2.13 CPU"
DATE = "2026-11-21"


@dataclass(frozen=True)
class Matching:
    """The numbers of the matching problem.

    Attributes:
        repeats: problems at each noise level.
        sigmas: the noise levels.
        size: how many things are matched; their permutations are enumerated.
        tau: temperature of both relaxations.
        eta: standard deviation of the prior around zero and one.
        steps: of Adam.
        learning_rate: of Adam.
        draws: of the posterior in a step.
        rounded_draws: of the fitted posterior, rounded to permutations.
        mallows: how sharply each Mallows baseline falls with the distance.
    """

    repeats: int = 40
    sigmas: tuple[float, ...] = SIGMAS
    size: int = 6
    tau: float = 1.0
    eta: float = 0.3
    steps: int = 300
    learning_rate: float = 0.1
    draws: int = 8
    rounded_draws: int = 2000
    mallows: tuple[float, ...] = (0.1, 0.5, 2.0, 5.0)

    def __post_init__(self) -> None:
        """Refuse what makes no experiment."""
        require_positive(self)


@dataclass(frozen=True)
class Worms:
    """The numbers of the neurons' identities.

    Attributes:
        worms: how many recordings share their wiring; each number is a row of its own.
        tolerance: how far a neuron may be from its place, in body lengths.
        known: names that are given in each recording.
        instants: length of a recording.
        neurons: the first so many of the map, all where it has fewer.
        simulations: of each; they take the seeds from the study's upwards.
        tau: temperature of the posterior.
        scales: the interval that the posterior's standard deviations are kept in.
        steps: of Adam.
        learning_rate: of Adam; a fifth of it in the last third.
        rounds: of the point estimate.
    """

    worms: tuple[int, ...] = (1, 4)
    tolerance: float = 0.01
    known: int = 25
    instants: int = 1000
    neurons: int = 279
    simulations: int = 5
    tau: float = 1.0
    scales: tuple[float, float] = (0.02, 0.1)
    steps: int = 400
    learning_rate: float = 0.1
    rounds: int = 15

    def __post_init__(self) -> None:
        """Refuse what makes no experiment."""
        require_positive(self, zero=("known",))
        if not 0 <= self.known < self.neurons or self.instants < 2:
            numbers = f"known={self.known}, neurons={self.neurons}, instants={self.instants}"
            raise ValueError(f"some names must be left to find, in at least two instants; got {numbers}")


PUBLISHED = {
    "stick breaking": (0.09, 0.23, 0.41, 0.55),
    "rounding": (0.06, 0.21, 0.32, 0.38),
    "Mallows(0.1)": (0.93, 0.92, 0.89, 0.85),
    "Mallows(2)": (0.23, 0.33, 0.53, 0.69),
    "Mallows(5)": (0.08, 0.27, 0.54, 0.72),
}
SHARES = {
    "point mass": ((0.023, 0.009), (0.101, 0.019), (0.349, 0.030), (0.525, 0.024)),
    "Mallows(0.1)": ((0.932, 0.001), (0.918, 0.003), (0.838, 0.012), (0.731, 0.017)),
    "Mallows(0.5)": ((0.691, 0.003), (0.677, 0.004), (0.612, 0.013), (0.551, 0.015)),
    "Mallows(2)": ((0.062, 0.007), (0.120, 0.016), (0.319, 0.026), (0.474, 0.022)),
    "Mallows(5)": ((0.023, 0.009), (0.100, 0.019), (0.346, 0.030), (0.522, 0.024)),
    "stick breaking": ((0.037, 0.018), (0.142, 0.021), (0.423, 0.017), (0.460, 0.014)),
    "rounding": ((0.038, 0.017), (0.090, 0.017), (0.229, 0.016), (0.224, 0.011)),
}
DISTANCES = {
    "point mass": ((0.025, 0.010), (0.116, 0.024), (0.474, 0.049), (0.802, 0.057)),
    "Mallows(0.1)": ((2.691, 0.014), (2.519, 0.029), (1.910, 0.067), (1.382, 0.057)),
    "Mallows(0.5)": ((1.176, 0.009), (1.134, 0.012), (0.967, 0.031), (0.824, 0.035)),
    "Mallows(2)": ((0.065, 0.009), (0.135, 0.021), (0.415, 0.041), (0.681, 0.046)),
    "Mallows(5)": ((0.025, 0.010), (0.115, 0.024), (0.469, 0.048), (0.795, 0.057)),
    "stick breaking": ((0.049, 0.029), (0.166, 0.026), (0.567, 0.029), (0.629, 0.026)),
    "rounding": ((0.047, 0.022), (0.102, 0.021), (0.268, 0.021), (0.257, 0.015)),
}
FOUND = {
    1: {
        "chance": (0.185, 0.007),
        "point estimate": (0.485, 0.021),
        "rows only": (0.602, 0.027),
        "rounded posterior": (0.608, 0.020),
    },
    4: {
        "chance": (0.187, 0.005),
        "point estimate": (0.844, 0.013),
        "rows only": (0.875, 0.003),
        "rounded posterior": (0.886, 0.011),
    },
}


def _matched(measure: str, table: Mapping[str, tuple[tuple[float, float], ...]]) -> tuple[Measured, ...]:
    return tuple(
        Measured(
            f"{measure}, {kind}, sigma = {sigma:g}",
            value,
            error,
            data="40 problems",
            budget="300 steps, 47 s in all, machine shared",
            hardware=HARDWARE,
            seed=1,
            date=DATE,
        )
        for kind, levels in table.items()
        for sigma, (value, error) in zip(SIGMAS, levels, strict=True)
    )


def _found(worms: int, kinds: dict[str, tuple[float, float]]) -> tuple[Measured, ...]:
    return tuple(
        Measured(
            f"names found, {worms} worm{'s' if worms > 1 else ''}, {kind}",
            value,
            error,
            data="5 simulations",
            budget="400 steps, 11 min in all, machine shared",
            hardware=HARDWARE,
            seed=0,
            date=DATE,
        )
        for kind, (value, error) in kinds.items()
    )


STUDIES = (
    Study(
        name="permutation-matching",
        title="Posteriors over 720 permutations beside the true one",
        papers=(BIRKHOFF,),
        about=(
            "Six points, each seen once with noise of standard deviation sigma and in an unknown order. BC is the"
            " Bhattacharyya coefficient of the rounded posterior and the true one, enumerated over 720 permutations;"
            " -log BC and 1 - BC, means over problems, lower is better."
            " Mallows(theta) is Mallows' model around the likeliest permutation."
        ),
        function="jensen.recipes.studies.matching:parts",
        settings=Matching(),
        smoke=Matching(repeats=2, sigmas=(0.25,), size=4, steps=3, draws=2, rounded_draws=20, mallows=(2.0,)),
        seed=1,
        differs=(
            "The paper does not define its distance, and no one definition gives all of its Mallows rows on these"
            " problems; its numbers stand beside 1 - BC, and only their order can be compared.",
            "Centres are standard normal; the paper does not say where its are. 40 problems a level; it has 200.",
            "tau was chosen from 0.2, 0.5 and 1 on other problems; eta = 0.15 (at tau = 0.3) and 0.5 (at tau = 1) were"
            " tried there, too, and 0.3 was kept.",
        ),
        published=tuple(
            Published(f"1 - BC, {kind}, sigma = {sigma:g}", value, "Linderman et al. 2018, 200 problems")
            for kind, levels in PUBLISHED.items()
            for sigma, value in zip(SIGMAS, levels, strict=True)
        ),
        measured=_matched("1 - BC", SHARES) + _matched("-log BC", DISTANCES),
    ),
    Study(
        name="worm-identities",
        title="Names of a worm's neurons from recordings",
        papers=(BIRKHOFF,),
        about=(
            "Simulated recordings of worms whose wiring is that of C. elegans, 279 neurons in an unknown order. 25"
            " names are given, and places that are right to 0.01 of the body's length leave about 17 candidates for"
            " each of the others. The share of the others' names that are found, means, higher is better."
        ),
        function="jensen.recipes.studies.worms:parts",
        settings=Worms(),
        smoke=Worms(worms=(1, 2), tolerance=0.1, known=3, instants=50, neurons=12, simulations=1, steps=3, rounds=2),
        differs=(
            "The paper shows curves, not numbers; there is none to compare with.",
            "279 neurons, all that the table has places for; it has 278.",
            "The point estimate alternates ridge regression and quadratic assignment in 15 rounds, one fixed setting"
            " that was not tuned. tau = 1 and scales in [0.02, 0.1] were chosen by accuracy on the first simulation of"
            " 4 worms, which stays in the averages.",
            "400 steps of Adam; the other settings were chosen with 200, with which rows only find 0.852 and rounding"
            " 0.838 of the names in 4 worms; 400 was taken after that, on the same simulations.",
            "No MCMC; the row-wise baseline has Gaussian entries, the paper's has Dirichlet rows.",
        ),
        measured=tuple(entry for worms, kinds in FOUND.items() for entry in _found(worms, kinds)),
    ),
)
