r"""Out-of-distribution detection: does an uncertainty tell strange data from those like the training set?

References:
    | A Baseline for Detecting Misclassified and Out-of-Distribution Examples (Hendrycks & Gimpel, 2017)
    | https://arxiv.org/abs/1610.02136v3
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from jensen.evaluation._arrays import Array, column

__all__ = ["Detection", "detection"]


@dataclass(frozen=True)
class Detection:
    r"""How well a score separates data outside from data inside.

    Attributes:
        auroc: the probability that a datum outside has the larger score than one inside, ties counted half: 1/2 by
            chance, below it where the score points the wrong way.
        auroc_std_error: DeLong's standard error over other data of either kind; NaN for a single datum of one.
        aupr_outside: average precision with outside as the positive class; by chance the fraction of data outside.
        aupr_inside: the same with inside as the positive class.
        false_alarms: the fraction of data inside that is flagged where at least a fraction `tpr` outside is.
        missed_outside: the fraction of data outside that is accepted where at least a fraction `tpr` inside is: the
            false-positive rate at 95% true-positive rate of the literature, whose positive class is inside.
        tpr: that fraction.
        inside: the number of data inside.
        outside: the number of data outside.
    """

    auroc: float
    auroc_std_error: float
    aupr_outside: float
    aupr_inside: float
    false_alarms: float
    missed_outside: float
    tpr: float
    inside: int
    outside: int


def detection(inside: Array, outside: Array, *, tpr: float = 0.95) -> Detection:
    r"""Areas under the receiver-operating and the precision-recall curves, and false-positive rates.

    Args:
        inside: scores of data like the training set, `(N,)`; only their order among all scores counts.
        outside: scores of other data, `(M,)`, larger where more strange: an entropy, a mutual information, minus a
            likelihood.
        tpr: the true-positive rate at which false positives are counted.

    Returns:
        The `Detection`.

    Raises:
        ValueError: if either kind is missing, a score is NaN, or `tpr` is not in (0, 1].

    Example:
        >>> found = detection([0.1, 0.2, 0.3, 0.4], [0.35, 0.8])
        >>> found.auroc, found.false_alarms, found.missed_outside
        (0.875, 0.25, 0.5)

    References:
        | A Baseline for Detecting Misclassified and Out-of-Distribution Examples (Hendrycks & Gimpel, 2017)
        | https://arxiv.org/abs/1610.02136v3
        | Comparing the Areas under Two or More Correlated ROC Curves (DeLong, DeLong & Clarke-Pearson, 1988)
        | https://doi.org/10.2307/2531595
    """
    from sklearn.metrics import average_precision_score

    if not 0 < tpr <= 1:
        raise ValueError(f"tpr is {tpr}; it must be above 0 and at most 1")
    scores = [column("inside", inside).numpy(), column("outside", outside).numpy()]
    N, M = (len(each) for each in scores)
    rank = np.unique(np.concatenate(scores), return_inverse=True)[1].reshape(-1)
    is_outside = np.repeat([False, True], [N, M])
    area, error = _area_with_error(rank[:N], rank[N:])
    return Detection(
        auroc=area,
        auroc_std_error=error,
        aupr_outside=float(average_precision_score(is_outside, rank)),
        aupr_inside=float(average_precision_score(~is_outside, -rank)),
        false_alarms=_false_positive_rate(is_outside, rank, tpr),
        missed_outside=_false_positive_rate(~is_outside, -rank, tpr),
        tpr=float(tpr),
        inside=N,
        outside=M,
    )


def _area_with_error(inside: "np.ndarray[Any, Any]", outside: "np.ndarray[Any, Any]") -> tuple[float, float]:
    """The area as the mean of each datum's placement among those of the other kind, and DeLong's error of it."""
    of_outside = _fraction_below(outside, inside)
    of_inside = 1 - _fraction_below(inside, outside)
    if min(len(inside), len(outside)) < 2:
        return float(of_outside.mean()), math.nan
    variance = of_outside.var(ddof=1) / len(outside) + of_inside.var(ddof=1) / len(inside)
    return float(of_outside.mean()), math.sqrt(variance)


def _fraction_below(scores: "np.ndarray[Any, Any]", others: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """For each score the fraction of the others below it, ties counted half."""
    ordered = np.sort(others)
    twice = np.searchsorted(ordered, scores, "left") + np.searchsorted(ordered, scores, "right")
    return np.asarray(twice / (2 * len(others)))


def _false_positive_rate(positive: "np.ndarray[Any, Any]", rank: "np.ndarray[Any, Any]", tpr: float) -> float:
    """The smallest false-positive rate of a threshold with at least this true-positive rate."""
    from sklearn.metrics import roc_curve

    false_positive, true_positive, _ = roc_curve(positive, rank, drop_intermediate=False)
    return float(false_positive[true_positive >= tpr].min())
