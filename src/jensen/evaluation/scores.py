"""Averages over the data of a score for each datum, with the error that another test set would make."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from jensen.evaluation._arrays import Array, class_probabilities, column

__all__ = ["MeanScore", "brier_score", "error_rate", "mean_score", "negative_log_likelihood"]


@dataclass(frozen=True)
class MeanScore:
    r"""A mean over the data and its standard error.

    Attributes:
        value: the mean.
        std_error: the standard deviation over the data divided by $\sqrt{N}$: how far another test set of this size
            would move `value`. NaN for a single datum, or where the value is infinite.
        data: N.
    """

    value: float
    std_error: float
    data: int


def mean_score(scores: Array) -> MeanScore:
    r"""The mean of one number for each datum, with its standard error.

    Args:
        scores: `(N,)`; an infinite one makes the mean infinite.

    Returns:
        A `MeanScore`.

    Raises:
        ValueError: if there are none, one is NaN, or the shape is another.

    Example:
        >>> mean_score([0.0, 2.0])
        MeanScore(value=1.0, std_error=1.0, data=2)
    """
    numbers = column("scores", scores)
    N = len(numbers)
    known = N > 1 and bool(numbers.isfinite().all())
    error = float(numbers.std()) / math.sqrt(N) if known else math.nan
    return MeanScore(float(numbers.mean()), error, N)


def error_rate(probabilities: Array, targets: Array) -> MeanScore:
    r"""How often the likeliest class is another than the target, as a fraction.

    Args:
        probabilities: `(N, C)`, each row summing to one; of several largest the first counts.
        targets: classes, `(N,)`.

    Returns:
        The error rate and its standard error.

    Raises:
        ValueError: if shapes do not agree, a row does not sum to one, or a target is no class.

    Example:
        >>> error_rate([[0.9, 0.1], [0.6, 0.4]], [0, 1]).value
        0.5
    """
    rows, labels = class_probabilities(probabilities, targets)
    return mean_score((rows.argmax(-1) != labels).double())


def brier_score(probabilities: Array, targets: Array) -> MeanScore:
    r"""Squared distance of the probabilities from what happened, between 0 and 2.

    $$\mathrm{BS} = \frac{1}{N} \sum_n \sum_{c=1}^{C} (p_{nc} - 1[y_n = c])^2$$

    Brier's own sum over all classes; for two classes it is twice the score of the one event. A proper score: in
    expectation least for the true probabilities.

    Args:
        probabilities: `(N, C)`, each row summing to one.
        targets: classes, `(N,)`.

    Returns:
        The score and its standard error.

    Raises:
        ValueError: if shapes do not agree, a row does not sum to one, or a target is no class.

    Example:
        >>> brier_score([[1.0, 0.0], [0.5, 0.5]], [0, 1]).value
        0.25

    References:
        | Verification of Forecasts Expressed in Terms of Probability (Brier, 1950)
        | https://doi.org/10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2
    """
    rows, labels = class_probabilities(probabilities, targets)
    return mean_score((rows - _one_hot(rows, labels)).square().sum(-1))


def negative_log_likelihood(log_prob: Array) -> MeanScore:
    r"""Minus the mean log-probability or log-density of the targets, in nats per datum.

    $$\mathrm{NLL} = -\frac{1}{N} \sum_n \log p(y_n \mid x_n)$$

    Args:
        log_prob: $\log p(y_n \mid x_n)$, `(N,)`; of class probabilities
            `probabilities[torch.arange(N), targets].log()`. One impossible target makes the value infinite.

    Returns:
        The score, positive for a bad model, and its standard error.

    Raises:
        ValueError: if there are none, one is NaN, or the shape is another.

    Example:
        >>> negative_log_likelihood(torch.tensor([0.5, 0.5]).log())
        MeanScore(value=0.6931471824645996, std_error=0.0, data=2)
    """
    return mean_score(-column("log_prob", log_prob))


def _one_hot(rows: Tensor, labels: Tensor) -> Tensor:
    return torch.zeros_like(rows).scatter_(1, labels[:, None], 1.0)
