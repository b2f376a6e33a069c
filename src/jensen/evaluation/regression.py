r"""Regression: errors of a point prediction, and whether a predictive distribution means what it says.

The probability integral transform of a target is the predictive distribution function at it, $u_n = F_n(y_n)$. For a
calibrated forecaster the $u_n$ are uniform on [0, 1], whatever the $F_n$ are.

References:
    | Probabilistic forecasts, calibration and sharpness (Gneiting, Balabdaoui & Raftery, 2007)
    | https://doi.org/10.1111/j.1467-9868.2007.00587.x
    | Accurate Uncertainties for Deep Learning Using Calibrated Regression (Kuleshov, Fenner & Ermon, 2018)
    | https://arxiv.org/abs/1807.00263v1
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from jensen.evaluation._arrays import Array, columns, real_numbers, unit_column
from jensen.evaluation.scores import MeanScore, mean_score

__all__ = [
    "Coverage",
    "IntervalCalibration",
    "RegressionErrors",
    "interval_calibration",
    "interval_coverage",
    "interval_score",
    "pit_of_draws",
    "pit_of_normals",
    "regression_errors",
]


@dataclass(frozen=True)
class RegressionErrors:
    r"""Errors of a point prediction, in the unit of the targets.

    Attributes:
        rmse: $\sqrt{\frac{1}{N} \sum_n (\hat y_n - y_n)^2}$.
        rmse_std_error: its standard error by the delta method: that of the mean square over twice `rmse`.
        mae: $\frac{1}{N} \sum_n |\hat y_n - y_n|$, the mean absolute error.
        mae_std_error: its standard error.
        data: N.
    """

    rmse: float
    rmse_std_error: float
    mae: float
    mae_std_error: float
    data: int


@dataclass(frozen=True)
class Coverage:
    r"""How many targets lie in intervals that should hold a fraction `level` of them.

    Attributes:
        level: the fraction that the intervals claim.
        covered: the fraction that they hold.
        std_error: how far `covered` strays from `level` for calibrated intervals, $\sqrt{l (1 - l) / N}$.
        data: N.
    """

    level: float
    covered: float
    std_error: float
    data: int

    @property
    def z(self) -> float:
        """Covered minus level in standard errors: below zero where the intervals are too narrow."""
        return (self.covered - self.level) / self.std_error


@dataclass(frozen=True)
class IntervalCalibration:
    r"""Coverage of central intervals, and the distance of the transforms from uniform ones.

    Attributes:
        rows: one `Coverage` for each level, rising.
        distance: $\sup_u |\hat F(u) - u|$, Kolmogorov's distance of the transforms from the uniform distribution.
        p_value: of that distance under calibration, for independent data.
    """

    rows: tuple[Coverage, ...]
    distance: float
    p_value: float

    @property
    def mean_error(self) -> float:
        """The mean over the levels of the absolute difference between `covered` and `level`."""
        return math.fsum(abs(row.covered - row.level) for row in self.rows) / len(self.rows)


def regression_errors(predictions: Array, targets: Array) -> RegressionErrors:
    r"""Root mean square and mean absolute error, with their standard errors.

    Args:
        predictions: $\hat y_n$, `(N,)`.
        targets: $y_n$, `(N,)`.

    Returns:
        The `RegressionErrors`.

    Raises:
        ValueError: if lengths differ, or a number is missing or not finite.

    Example:
        >>> found = regression_errors([1.0, 2.0, 3.0], [1.0, 2.0, 6.0])
        >>> found.mae, found.rmse == math.sqrt(3)
        (1.0, True)
    """
    differences = _finite_differences(predictions, targets)
    squares, sizes = mean_score(differences.square()), mean_score(differences.abs())
    rmse = math.sqrt(squares.value)
    rmse_std_error = squares.std_error / (2 * rmse) if rmse > 0 else squares.std_error
    return RegressionErrors(rmse, rmse_std_error, sizes.value, sizes.std_error, sizes.data)


def pit_of_normals(mean: Array, scale: Array, targets: Array) -> Tensor:
    r"""Probability integral transform under Gaussians or equal mixtures of them.

    $$u_n = \frac{1}{K} \sum_{k=1}^{K} \Phi \left( \frac{y_n - \mu_{kn}}{\sigma_{kn}} \right)$$

    Args:
        mean: $\mu$, `(N,)`, or `(K, N)` for a mixture of K draws of the weights.
        scale: $\sigma > 0$, `(N,)` or `(K, N)`.
        targets: $y$, `(N,)`.

    Returns:
        The $u_n$ in double precision, `(N,)`.

    Raises:
        ValueError: if shapes do not agree, or a scale is not positive.

    Example:
        >>> pit_of_normals([0.0, 0.0], [1.0, 2.0], [0.0, 2.0])
        tensor([0.5000, 0.8413], dtype=torch.float64)
    """
    (y,) = columns(targets=targets)
    location, width = real_numbers("mean", mean), real_numbers("scale", scale)
    if not (width > 0).all():
        raise ValueError(f"scale has a smallest entry of {width.min():.4g}; it must be positive")
    for name, each in (("mean", location), ("scale", width)):
        if each.ndim not in {1, 2} or each.shape[-1] != len(y):
            raise ValueError(f"{name} has shape {tuple(each.shape)}; expected ({len(y)},) or (K, {len(y)})")
    if location.ndim == width.ndim == 2 and 1 != len(location) != len(width) != 1:
        raise ValueError(f"mean has {len(location)} rows and scale {len(width)}; give both as (K, {len(y)})")
    below: Tensor = torch.special.ndtr((y - location) / width)
    return below.reshape(-1, len(y)).mean(0)


def pit_of_draws(draws: Array, targets: Array) -> Tensor:
    r"""Probability integral transform under draws of the predictive distribution.

    $$u_n = \frac{r_n + \frac{1}{2}}{K + 1}, \qquad
    r_n = \#\{k : d_{kn} < y_n\} + \tfrac{1}{2} \#\{k : d_{kn} = y_n\}$$

    The rank $r_n$ of a target among K draws of its own distribution is uniform on $0 \dots K$; the transforms are as
    coarse as $1 / (K + 1)$, so let K be large beside $\sqrt{N}$ where `p_value` matters.

    Args:
        draws: $d$, `(K, N)`.
        targets: $y$, `(N,)`.

    Returns:
        The $u_n$ in double precision, `(N,)`.

    Raises:
        ValueError: if shapes do not agree.

    Example:
        >>> pit_of_draws([[0.0, 5.0], [1.0, 6.0], [2.0, 7.0]], [0.5, 9.0])
        tensor([0.3750, 0.8750], dtype=torch.float64)
    """
    (y,) = columns(targets=targets)
    d = real_numbers("draws", draws)
    if d.ndim != 2 or d.shape[1] != len(y):
        raise ValueError(f"draws have shape {tuple(d.shape)}; expected (K, {len(y)}) for {len(y)} targets")
    rank = (d < y).double().sum(0) + 0.5 * (d == y).double().sum(0)
    return (rank + 0.5) / (len(d) + 1)


def interval_calibration(pit: Array, *, levels: Sequence[float] = (0.5, 0.8, 0.9, 0.95)) -> IntervalCalibration:
    r"""Coverage of the central predictive intervals at several levels, and a test of uniformity.

    A target lies in the central interval of level $l$ where $|u_n - \frac{1}{2}| \le \frac{l}{2}$.

    Args:
        pit: the $u_n$, `(N,)`, of `pit_of_normals`, of `pit_of_draws`, or of any distribution function.
        levels: fractions between 0 and 1.

    Returns:
        The `IntervalCalibration`.

    Raises:
        ValueError: if a transform or a level lies outside its range.

    Example:
        >>> found = interval_calibration((torch.arange(100) + 0.5) / 100, levels=(0.5, 0.9))
        >>> [row.covered for row in found.rows]
        [0.5, 0.9]
        >>> round(found.distance, 6)
        0.005
    """
    from scipy.stats import kstest

    u = unit_column("pit", pit)
    if not levels:
        raise ValueError("levels is empty; give at least one")
    rows = tuple(_coverage(((u - 0.5).abs() <= 0.5 * level).double(), level) for level in sorted(levels))
    test = kstest(u.numpy(), "uniform")
    return IntervalCalibration(rows, float(test.statistic), float(test.pvalue))


def interval_coverage(lower: Array, upper: Array, targets: Array, *, level: float) -> Coverage:
    r"""How many targets lie in the given intervals, their ends included.

    Args:
        lower: lower ends, `(N,)`.
        upper: upper ends, `(N,)`.
        targets: $y_n$, `(N,)`.
        level: the fraction that should lie inside.

    Returns:
        The `Coverage`.

    Raises:
        ValueError: if lengths differ, an interval ends before it begins, or `level` is not between 0 and 1.

    Example:
        >>> interval_coverage([0.0, 0.0], [1.0, 1.0], [0.5, 3.0], level=0.9).covered
        0.5
    """
    low, high, y = _intervals(lower, upper, targets)
    return _coverage(((low <= y) & (y <= high)).double(), level)


def interval_score(lower: Array, upper: Array, targets: Array, *, level: float) -> MeanScore:
    r"""Width of the intervals and a penalty for what they miss: smaller is better, and a proper score.

    $$S = (u - l) + \frac{2}{\alpha} (l - y)_+ + \frac{2}{\alpha} (y - u)_+, \qquad \alpha = 1 - \mathrm{level}$$

    Coverage alone is met by wide intervals everywhere; this is least in expectation for the true central interval.

    Args:
        lower: lower ends, `(N,)`.
        upper: upper ends, `(N,)`.
        targets: $y_n$, `(N,)`.
        level: the fraction that should lie inside.

    Returns:
        The mean score and its standard error.

    Raises:
        ValueError: if lengths differ, an interval ends before it begins, or `level` is not between 0 and 1.

    Example:
        >>> interval_score([0.0, 0.0], [1.0, 1.0], [0.5, 3.0], level=0.5).value
        5.0

    References:
        | Strictly Proper Scoring Rules, Prediction, and Estimation (Gneiting & Raftery, 2007), section 6.2
        | https://doi.org/10.1198/016214506000001437
    """
    _check_level(level)
    low, high, y = _intervals(lower, upper, targets)
    missed = torch.relu(low - y) + torch.relu(y - high)
    return mean_score(high - low + 2 / (1 - level) * missed)


def _coverage(inside: Tensor, level: float) -> Coverage:
    _check_level(level)
    N = len(inside)
    return Coverage(float(level), float(inside.mean()), math.sqrt(level * (1 - level) / N), N)


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it must lie between 0 and 1")


def _intervals(lower: Array, upper: Array, targets: Array) -> tuple[Tensor, ...]:
    low, high, y = columns(lower=lower, upper=upper, targets=targets)
    if (low > high).any():
        raise ValueError(f"{int((low > high).sum())} intervals end before they begin; are lower and upper swapped?")
    return low, high, y


def _finite_differences(predictions: Array, targets: Array) -> Tensor:
    prediction, y = columns(predictions=predictions, targets=targets)
    differences = prediction - y
    if not differences.isfinite().all():
        raise ValueError(f"{int((~differences.isfinite()).sum())} of {len(y)} errors are not finite numbers")
    return differences
