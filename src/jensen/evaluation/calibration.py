r"""Calibration of probabilities: of what is forecast with probability $p$, a fraction $p$ should happen.

A binned calibration error is positive even for a perfect forecaster, since no bin's frequency hits its expectation;
`Reliability.expected_if_calibrated` says how large that part is. It is no proper score: forecasting the base rate
everywhere has none. Read it beside `brier_score` or `negative_log_likelihood`.

References:
    | On Calibration of Modern Neural Networks (Guo, Pleiss, Sun & Weinberger, 2017), eqs. 3 and 5
    | https://arxiv.org/abs/1706.04599v2
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from jensen.evaluation._arrays import Array, class_probabilities, column, columns, real_numbers, unit_column

__all__ = ["Reliability", "ReliabilityBin", "reliability"]

Spacing = Literal["width", "mass"]


@dataclass(frozen=True)
class ReliabilityBin:
    r"""What was forecast in one bin, and what happened.

    Attributes:
        lower: the bin holds confidences above this (the first bin those at it, too).
        upper: and up to this.
        count: the number $n$ of data in it, at least one.
        confidence: their mean forecast probability.
        accuracy: the fraction of them that happened.
        std_error: how far `accuracy` strays from `confidence` for a calibrated forecaster,
            $\sqrt{\sum_i p_i (1 - p_i)} / n$.
    """

    lower: float
    upper: float
    count: int
    confidence: float
    accuracy: float
    std_error: float

    @property
    def gap(self) -> float:
        """Accuracy minus confidence: below zero where the forecaster is overconfident."""
        return self.accuracy - self.confidence


@dataclass(frozen=True)
class Reliability:
    r"""A reliability diagram: the bins that hold data, by rising confidence.

    Attributes:
        bins: one entry for each bin that is not empty.

    Raises:
        ValueError: if there is no bin.

    Example:
        >>> found = reliability([0.8, 0.8, 0.8, 0.8, 0.3], [1, 1, 1, 0, 0], bins=2)
        >>> [(each.count, each.accuracy) for each in found.bins]
        [(1, 0.0), (4, 0.75)]
        >>> round(found.expected_error, 10), round(found.maximum_error, 10)
        (0.1, 0.3)
    """

    bins: tuple[ReliabilityBin, ...]

    def __post_init__(self) -> None:
        """Refuse a diagram of nothing."""
        if not self.bins:
            raise ValueError("a reliability diagram needs at least one bin with data")

    @property
    def data(self) -> int:
        """The number N of data."""
        return sum(each.count for each in self.bins)

    @property
    def accuracy(self) -> float:
        """The fraction that happened."""
        return self._average([each.accuracy for each in self.bins])

    @property
    def confidence(self) -> float:
        """The mean forecast."""
        return self._average([each.confidence for each in self.bins])

    @property
    def expected_error(self) -> float:
        r"""Expected calibration error $\sum_b \frac{n_b}{N} |\mathrm{acc}_b - \mathrm{conf}_b|$."""
        return self._average([abs(each.gap) for each in self.bins])

    @property
    def expected_if_calibrated(self) -> float:
        r"""What `expected_error` would be on average were the forecasts perfect: its noise.

        $\sum_b \frac{n_b}{N} \sqrt{2 / \pi} \, \mathrm{se}_b$, each gap taken as Gaussian.
        """
        return math.sqrt(2 / math.pi) * self._average([each.std_error for each in self.bins])

    @property
    def maximum_error(self) -> float:
        r"""Maximum calibration error $\max_b |\mathrm{acc}_b - \mathrm{conf}_b|$; one datum in a bin can make it."""
        return max(abs(each.gap) for each in self.bins)

    def _average(self, values: list[float]) -> float:
        return math.fsum(each.count * value for each, value in zip(self.bins, values, strict=True)) / self.data


def reliability(probabilities: Array, targets: Array, *, bins: int = 15, spacing: Spacing = "width") -> Reliability:
    r"""Forecast probabilities against observed frequencies, in bins of the confidence.

    Of several classes the likeliest one is judged: its probability is the confidence, and it happened where it is the
    target. For one class after another pass `probabilities[:, c]` and `targets == c`.

    Args:
        probabilities: `(N, C)` with rows that sum to one, or `(N,)` probabilities of one event.
        targets: classes `(N,)`, or for one event 1 where it happened and 0 where not.
        bins: how many.
        spacing: `"width"` for equal intervals of [0, 1], `"mass"` for equal counts; there equal confidences stay
            together, so that the counts can differ.

    Returns:
        The `Reliability`.

    Raises:
        ValueError: if shapes do not agree, a number is no probability or no outcome, `bins` is below one, or
            `spacing` is another word.

    Example:
        >>> reliability([[0.9, 0.1], [0.4, 0.6]], [0, 0], bins=10).expected_error
        0.35

    References:
        | On Calibration of Modern Neural Networks (Guo, Pleiss, Sun & Weinberger, 2017), eqs. 3 and 5
        | https://arxiv.org/abs/1706.04599v2
    """
    if bins < 1:
        raise ValueError(f"bins is {bins}; give at least one")
    confidence, happened = _forecasts(probabilities, targets)
    edges = _edges(confidence, bins, spacing)
    place = torch.searchsorted(edges[1:-1], confidence)  # (N,): edges belong to the bin below
    return Reliability(
        tuple(
            _bin(edges[b : b + 2], confidence[inside], happened[inside])
            for b in range(len(edges) - 1)
            if (inside := place == b).any()
        )
    )


def _forecasts(probabilities: Array, targets: Array) -> tuple[Tensor, Tensor]:
    """The confidence in what was forecast, and whether it happened, `(N,)` each."""
    if real_numbers("probabilities", probabilities).ndim != 1:
        rows, labels = class_probabilities(probabilities, targets)
        confidence, forecast = rows.max(-1)
        return confidence.clamp_max(1), (forecast == labels).double()
    columns(probabilities=probabilities, targets=targets)
    happened = column("targets", targets)
    if not ((happened == 0) | (happened == 1)).all():
        raise ValueError("targets of one event must be 0 or 1; for several classes give probabilities (N, classes)")
    return unit_column("probabilities", probabilities), happened


def _edges(confidence: Tensor, bins: int, spacing: Spacing) -> Tensor:
    if spacing == "width":
        return torch.linspace(0, 1, bins + 1, dtype=confidence.dtype)
    if spacing == "mass":
        cuts = torch.arange(1, bins) * len(confidence) // bins
        inner = confidence.sort().values[cuts[cuts > 0] - 1].unique()  # type: ignore[no-untyped-call]
        return torch.cat([confidence.new_zeros(1), inner[inner < 1], confidence.new_ones(1)])
    raise ValueError(f'spacing is {spacing!r}; choose "width" or "mass"')


def _bin(edges: Tensor, confidence: Tensor, happened: Tensor) -> ReliabilityBin:
    count = len(confidence)
    spread = (confidence * (1 - confidence)).sum().sqrt() / count
    lower, upper = edges.tolist()
    return ReliabilityBin(lower, upper, count, float(confidence.mean()), float(happened.mean()), float(spread))
