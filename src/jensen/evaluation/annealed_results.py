"""The numbers of an evaluation by annealed importance sampling: frozen, comparable, and plain JSON on disk."""

import math
from dataclasses import dataclass
from typing import Self

from jensen.evaluation.results import read_result, write_result

__all__ = ["AnnealedBound", "AnnealedEvaluation"]

_FORMAT = "jensen-annealed-1"


@dataclass(frozen=True)
class AnnealedBound:
    r"""A bound on the log-likelihood from annealed chains, averaged over data; in nats per datum.

    Attributes:
        side: `lower` from chains that went up, `upper` from chains that came down from a draw of the posterior.
        on: `test` data, or data `simulated` from the model, whose latents are known.
        value: the mean over the data.
        std_error: how far another such data set would move `value`: the standard deviation over the data divided by
            $\sqrt{N}$; it holds the Monte Carlo noise too. NaN for a single datum.
        mc_error: how far other chains would move `value` on these same data, by the delta method; NaN for one chain. Of
            an upper bound other chains from the same draw: what another draw would change is in `std_error` alone.
        ess_mean: the mean over the data of the effective sample size of the chains' weights, in $[1, C]$.
        ess_minimum: the smallest one.
        acceptance: mean probability of acceptance of a transition, over temperatures, chains and data.
    """

    side: str
    on: str
    value: float
    std_error: float
    mc_error: float
    ess_mean: float
    ess_minimum: float
    acceptance: float


@dataclass(frozen=True)
class AnnealedEvaluation:
    r"""What `evaluate_annealed` found: a lower bound on test data, and both sides where the data came from the model.

    Attributes:
        rows: the bounds: `lower` on `test`; then, if data were simulated, `lower` and `upper` on them.
        data: the number N of test data.
        simulated: the number of simulated data.
        temperatures: how many, both ends included.
        chains: the number C of chains for each datum.
        steps: leapfrog steps of a transition.
        start: where the path begins: `prior` or `posterior`.
        seed: what everything random was seeded with; together with `batch_size` it fixes it.
        batch_size: how many data at a time.
        gap: the upper bound minus the lower one, mean over the simulated data: on average no less than what either of
            them is off by. NaN where none were simulated.
        gap_error: the standard error of `gap` over the simulated data.
        ess_low: test data with an effective sample size below `ess_threshold`.
        ess_threshold: the threshold, a quarter of the chains.
        divergences: transitions with an energy error above 1000 nats, on all data.
        evaluations: points at which $\log p(x \mid z)$ and its gradient were asked for, adaptation included.
        seconds: the time it took.
        notes: plain sentences on what to be careful about.

    Raises:
        ValueError: if `rows` holds no lower bound on test data.

    Example:
        >>> lower = AnnealedBound("lower", "test", -85.0, 0.5, 0.02, 12.0, 8.0, 0.65)
        >>> result = AnnealedEvaluation(rows=(lower,), data=100, chains=16)
        >>> result.nll, result.gap
        (85.0, nan)
        >>> AnnealedEvaluation.from_json(result.to_json()).rows == result.rows
        True
    """

    rows: tuple[AnnealedBound, ...]
    data: int = 0
    simulated: int = 0
    temperatures: int = 0
    chains: int = 0
    steps: int = 0
    start: str = "prior"
    seed: int = 0
    batch_size: int = 0
    gap: float = math.nan
    gap_error: float = math.nan
    ess_low: int = 0
    ess_threshold: float = math.nan
    divergences: int = 0
    evaluations: int = 0
    seconds: float = math.nan
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a result without the bound that was asked for."""
        if not any((row.side, row.on) == ("lower", "test") for row in self.rows):
            raise ValueError("an annealed evaluation needs a lower bound on test data")

    @property
    def lower(self) -> AnnealedBound:
        """The lower bound on test data."""
        return next(row for row in self.rows if (row.side, row.on) == ("lower", "test"))

    @property
    def nll(self) -> float:
        """Minus that bound, in nats per datum: positive for a bad model, and too large on average."""
        return -self.lower.value

    def to_json(self) -> str:
        """Plain JSON; what is not finite is written as the string "inf", "-inf" or "nan"."""
        return write_result(self, _FORMAT)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What `to_json` wrote.

        Raises:
            ValueError: if `text` is anything else, naming the entry at fault.
        """
        return read_result(cls, text, form=_FORMAT, what="an annealed evaluation")
