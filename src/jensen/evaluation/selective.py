r"""Selective prediction: answer where one is sure, and pass on the rest.

Expectation: the selective risk at coverage $c$ is $\mathbb{E}[\ell \mid u \le t_c]$, the loss where the uncertainty
$u$ is among the lowest fraction $c$.

References:
    | Selective Classification for Deep Neural Networks (Geifman & El-Yaniv, 2017)
    | https://arxiv.org/abs/1705.08500v2
    | Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers (Geifman, Uziel & El-Yaniv, 2019)
    | https://arxiv.org/abs/1805.08206v4
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from jensen.evaluation._arrays import Array, columns

__all__ = ["RiskCoverage", "risk_coverage"]

_ROUNDING = 1e-12


@dataclass(frozen=True)
class RiskCoverage:
    r"""The risk-coverage curve of one uncertainty and one loss.

    Attributes:
        risk: the mean loss of the $i$ data with the lowest uncertainty, $i = 1 \dots N$; data of equal uncertainty
            count as in random order.
        area: the area under it, $\frac{1}{N} \sum_i \mathrm{risk}_i$ (AURC). An uncertainty that knows nothing has
            an area of `risk[-1]`.
        optimal_area: the area of the best order there is, the one by the losses themselves.
    """

    risk: tuple[float, ...]
    area: float
    optimal_area: float

    @property
    def coverage(self) -> tuple[float, ...]:
        """The fraction of the data behind each entry of `risk`."""
        return tuple(i / len(self.risk) for i in range(1, len(self.risk) + 1))

    @property
    def excess(self) -> float:
        """Area above the optimal one (E-AURC): zero where no datum is less certain than one of larger loss."""
        return self.area - self.optimal_area

    def risk_at(self, coverage: float) -> float:
        """The risk when at least this fraction of the data is answered.

        Raises:
            ValueError: if `coverage` is not in (0, 1].
        """
        if not 0 < coverage <= 1:
            raise ValueError(f"coverage is {coverage}; it must be above 0 and at most 1")
        return self.risk[max(math.ceil(coverage * len(self.risk) - _ROUNDING * len(self.risk)), 1) - 1]

    def coverage_at(self, risk: float) -> float:
        """The largest coverage with a risk of at most `risk`; 0 where there is none."""
        return max((c for c, found in zip(self.coverage, self.risk, strict=True) if found <= risk), default=0.0)


def risk_coverage(uncertainty: Array, loss: Array) -> RiskCoverage:
    r"""The mean loss of the data that are answered, as fewer and fewer are.

    Args:
        uncertainty: `(N,)`, larger where less sure: an entropy, a mutual information, a variance, minus a confidence.
            Only its order counts.
        loss: `(N,)`: 1 for an error and 0 otherwise, a squared error, minus a log-probability.

    Returns:
        The `RiskCoverage`.

    Raises:
        ValueError: if lengths differ, a number is NaN, or a loss is infinite.

    Example:
        >>> curve = risk_coverage([0.1, 0.2, 0.3, 0.4], [0.0, 0.0, 1.0, 1.0])
        >>> curve.risk == (0.0, 0.0, 1 / 3, 0.5), curve.excess
        (True, 0.0)
        >>> curve.risk_at(0.5), curve.coverage_at(0.4)
        (0.0, 0.75)

    References:
        | Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers (Geifman, Uziel & El-Yaniv, 2019)
        | https://arxiv.org/abs/1805.08206v4
    """
    u, losses = columns(uncertainty=uncertainty, loss=loss)
    if not losses.isfinite().all():
        raise ValueError(f"{int((~losses.isfinite()).sum())} of {len(losses)} losses are infinite; their mean is, too")
    risk = _selective_risk(u, losses)
    best = _selective_risk(losses, losses)
    return RiskCoverage(tuple(risk.tolist()), float(risk.mean()), float(best.mean()))


def _selective_risk(uncertainty: Tensor, loss: Tensor) -> Tensor:
    """Mean loss of the first i data by rising uncertainty, `(N,)`, ties replaced by their mean."""
    group, counts = torch.unique(uncertainty, return_inverse=True, return_counts=True)[1:]
    mean: Tensor = torch.zeros(len(counts), dtype=loss.dtype).index_add_(0, group, loss) / counts
    return mean.repeat_interleave(counts).cumsum(0) / torch.arange(1, len(loss) + 1)
