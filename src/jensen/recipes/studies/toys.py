"""The papers' toys of gradient estimators: variances beside the published and the exact ones, and descents."""

from dataclasses import dataclass

from jensen.recipes.papers import RAO_BLACKWELL, REBAR, WITHOUT_REPLACEMENT
from jensen.recipes.recipe import Measured, Published
from jensen.recipes.study import Study, require_positive

__all__ = ["STUDIES", "Descents", "Variances"]


@dataclass(frozen=True)
class Variances:
    """The numbers of the variances.

    Attributes:
        draws: gradients of each estimator.
        batches: they are cut into so many; the variance is taken in each.
    """

    draws: int = 100_000
    batches: int = 10

    def __post_init__(self) -> None:
        """Refuse batches without a variance."""
        require_positive(self)
        if self.draws < 2 * self.batches:
            raise ValueError(f"every batch needs two draws, got {self.draws} in {self.batches} batches")


@dataclass(frozen=True)
class Descents:
    """The numbers of the descents.

    Attributes:
        trials: runs of each.
        steps: of SGD.
        learning_rate: of SGD.
    """

    trials: int = 20
    steps: int = 1000
    learning_rate: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what goes nowhere."""
        require_positive(self)


LIU = "Liu et al. 2019, their notebook, 10,000 draws"
LIU_RUN = "Liu et al. 2019, one run of their notebook"
EXACT = "exact, by enumeration or quadrature"

SUMMED = {
    "0": (0.01275, 0.00756, 0.00633, 0.00525, 0.00363, 0.00161, 0.00118, 0.00100, 0.00099),
    "-4": (7.70e-4, 3.28e-5, 2.10e-5, 4.82e-6, 2.69e-6, 2.49e-6, 2.62e-6, 2.59e-6, 2.59e-6),
}
ENUMERATED = {
    "leave_one_out, k = 2, eta = 0": 7.2750e-3,
    "leave_one_out, k = 4, eta = 0": 1.9875e-3,
    "unordered_set, k = 2, eta = 0": 6.1125e-3,
    "unordered_set, k = 4, eta = 0": 1.1308e-3,
    "leave_one_out, k = 2, eta = -4": 3.8102e-4,
    "leave_one_out, k = 4, eta = -4": 1.8228e-4,
    "rao_blackwell, k = 2, eta = -4": 5.0625e-5,
    "rao_blackwell, k = 5, eta = -4": 3.7693e-8,
    "unordered_set, k = 2, eta = -4": 2.9782e-5,
    "unordered_set, k = 5, eta = -4": 7.9696e-8,
    "one bit, score_function": 1.4934e-2,
    "one bit, leave_one_out": 5.9650e-4,
    "one bit, rebar": 2.1304e-2,
    "one bit, muprop": 3.3077e-2,
    "one bit, arm": 3.6453e-4,
    "one bit, disarm": 3.3211e-4,
}
VARIANCES = {
    "REINFORCE+, k = 0, eta = 0": (0.01243, 6e-05),
    "REINFORCE+, k = 1, eta = 0": (0.01071, 6.1e-05),
    "REINFORCE+, k = 2, eta = 0": (0.009007, 3.4e-05),
    "REINFORCE+, k = 3, eta = 0": (0.006364, 1.9e-05),
    "REINFORCE+, k = 4, eta = 0": (0.003626, 1.8e-05),
    "REINFORCE+, k = 5, eta = 0": (0.00276, 1.5e-05),
    "REINFORCE+, k = 6, eta = 0": (0.001959, 7.5e-06),
    "REINFORCE+, k = 7, eta = 0": (0.0009836, 4.3e-06),
    "REINFORCE+, k = 8, eta = 0": (0.0009757, 2.2e-06),
    "leave_one_out, k = 2, eta = 0": (0.007277, 4.2e-05),
    "leave_one_out, k = 4, eta = 0": (0.001992, 1e-05),
    "rao_blackwell, k = 2, eta = 0": (0.3682, 0.0011),
    "rao_blackwell, k = 5, eta = 0": (0.092, 0.00024),
    "unordered_set, k = 2, eta = 0": (0.006096, 2.8e-05),
    "unordered_set, k = 4, eta = 0": (0.001124, 2.9e-06),
    "unordered_set, k = 5, eta = 0": (0.0006078, 1.5e-06),
    "REINFORCE+, k = 0, eta = -4": (0.0007605, 1.5e-05),
    "REINFORCE+, k = 1, eta = -4": (3.295e-05, 1.8e-07),
    "REINFORCE+, k = 2, eta = -4": (1.386e-05, 7.4e-08),
    "REINFORCE+, k = 3, eta = -4": (4.019e-06, 4e-08),
    "REINFORCE+, k = 4, eta = -4": (2.564e-06, 4.7e-08),
    "REINFORCE+, k = 5, eta = -4": (2.547e-06, 4.4e-08),
    "REINFORCE+, k = 6, eta = -4": (2.539e-06, 4.2e-08),
    "REINFORCE+, k = 7, eta = -4": (2.545e-06, 2.9e-08),
    "REINFORCE+, k = 8, eta = -4": (2.525e-06, 3.7e-08),
    "leave_one_out, k = 2, eta = -4": (0.0003852, 6.5e-06),
    "leave_one_out, k = 4, eta = -4": (0.000185, 2.4e-06),
    "rao_blackwell, k = 2, eta = -4": (5.012e-05, 4.3e-07),
    "rao_blackwell, k = 5, eta = -4": (3.777e-08, 1.1e-10),
    "unordered_set, k = 2, eta = -4": (3.019e-05, 4.9e-07),
    "unordered_set, k = 4, eta = -4": (1.077e-06, 1.3e-08),
    "unordered_set, k = 5, eta = -4": (8.483e-08, 2.7e-09),
    "one bit, score_function": (0.01494, 4.3e-05),
    "one bit, leave_one_out": (0.0005959, 7.6e-07),
    "one bit, rebar": (0.02125, 7.1e-05),
    "one bit, muprop": (0.0332, 0.00012),
    "one bit, arm": (0.0003653, 5.6e-07),
    "one bit, disarm": (0.0003321, 1.5e-07),
}
ENDS = {
    "exact gradient": (4.6833, 0.0000),
    "REINFORCE": (-3.1793, 1.3424),
    "REINFORCE+, k = 0": (4.3747, 0.1628),
    "REINFORCE+, k = 1": (4.6912, 0.0252),
    "REINFORCE+, k = 2": (4.6742, 0.0183),
    "REINFORCE+, k = 3": (4.6695, 0.0087),
    "REINFORCE+, k = 8": (4.6902, 0.0066),
}


def _measured(numbers: dict[str, tuple[float, float]], data: str, budget: str) -> tuple[Measured, ...]:
    return tuple(
        Measured(
            what,
            value,
            error,
            data=data,
            budget=budget,
            hardware="one thread of an AMD EPYC (Zen 4), torch 2.13 CPU",
            seed=0,
            date="2026-11-21",
        )
        for what, (value, error) in numbers.items()
    )


STUDIES = (
    Study(
        name="toys-variance",
        title="Variance of estimators on the papers' toys",
        papers=(RAO_BLACKWELL, WITHOUT_REPLACEMENT, REBAR),
        about=(
            "The cost of three bits is their squared distance to (0.6, 0.51, 0.48), each of them one with probability"
            " sigmoid(eta); the cost of one bit, one with probability sigmoid(-1), is its squared distance to 0.45."
            " Numbers are variances of the gradient in eta or in the bit's logit, lower is better; k is the number of"
            " evaluations; for REINFORCE+, whose baseline is the cost of another draw, the number of states summed."
        ),
        function="jensen.recipes.studies.estimators:variances",
        settings=Variances(),
        smoke=Variances(draws=40, batches=2),
        form=".4g",
        differs=(
            "At eta = 0 all states are equally probable, and which k of them are summed is arbitrary: only k = 0, 7"
            " and 8 must agree. The same holds for the three states with one bit at eta = -4, for k = 2 and 3.",
            "Kool et al. 2020 and Tucker et al. 2017 show figures only; the exact values stand in their place.",
        ),
        published=(
            *(
                Published(f"REINFORCE+, k = {k}, eta = {eta}", value, LIU)
                for eta, values in SUMMED.items()
                for k, value in enumerate(values)
            ),
            *(Published(what, value, EXACT) for what, value in ENUMERATED.items()),
        ),
        measured=_measured(VARIANCES, "100,000 gradients", "5 s in all"),
    ),
    Study(
        name="toys-descent",
        title="Descents on the three bits of Liu et al. 2019",
        papers=(RAO_BLACKWELL,),
        about=(
            "SGD on the parameter eta of the three bits, learning rate 1, from eta = -4. Numbers are eta after 1,000"
            " steps, mean over 20 runs, higher is better; the optimum is infinite, and the exact gradient arrives at"
            " 4.6833. REINFORCE+ has the cost of another draw as its baseline; k states are summed, one is drawn."
        ),
        function="jensen.recipes.studies.estimators:descents",
        settings=Descents(),
        smoke=Descents(trials=2, steps=3),
        form=".4f",
        published=(
            Published("exact gradient", 4.6833, LIU_RUN),
            Published("REINFORCE", -5.98, LIU_RUN),
            Published("REINFORCE+, k = 2", 4.5601, LIU_RUN),
        ),
        measured=_measured(ENDS, "20 runs", "22 s in all, machine shared"),
    ),
)
