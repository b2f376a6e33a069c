r"""The bridge's fixed point and its Monte Carlo error, on arrays of log-ratios.

With $l = \log \tilde p - \log g$ at draws of the posterior ($l_1$) and of a normalised proposal $g$ ($l_2$).

References:
    | Simulating Ratios of Normalizing Constants via a Simple Identity: A Theoretical Exploration (Meng & Wong, 1996)
    | https://www3.stat.sinica.edu.tw/statistica/j6n4/j6n43/j6n43.htm
    | Bridge Sampling Diagnostics (Micaletto & Vehtari, 2025)
    | https://arxiv.org/abs/2508.14487
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

__all__ = ["BridgeFixedPoint", "bridge_error", "bridge_iteration"]

_TOLERANCE, _CAP = 1e-10, 1000
_TOLERANCE_OF_RESTART = 1e-4
_UNDERFLOW = 1e-30


class BridgeFixedPoint(NamedTuple):
    r"""Where the bridge iteration ended.

    Attributes:
        log_z: $\log r$ at the fixed point.
        log_numerator: $\log \tilde p\, h$ at the proposals, up to a constant shared with the denominator, `(N2,)`.
        log_denominator: $\log g\, h$ at the posterior draws, `(N1,)`.
        iterations: how often $r$ was computed anew, restarts included.
        converged: whether $r$ changed by less than the tolerance.
        restarted: whether the cap was met and the iteration began again with a wider tolerance.
    """

    log_z: float
    log_numerator: Tensor
    log_denominator: Tensor
    iterations: int
    converged: bool
    restarted: bool


def bridge_iteration(
    log_ratio_posterior: Tensor,
    log_ratio_proposal: Tensor,
    *,
    effective: float | None = None,
    tolerance: float = _TOLERANCE,
    cap: int = _CAP,
) -> BridgeFixedPoint:
    r"""The optimal bridge, whose weight needs the evidence that it estimates, found as a fixed point.

    $$r \leftarrow \frac{\frac{1}{N_2} \sum_j \frac{e^{l_{2j}}}{s_1 e^{l_{2j}} + s_2 r}}
    {\frac{1}{N_1} \sum_i \frac{1}{s_1 e^{l_{1i}} + s_2 r}}, \qquad
    s_1 = \frac{N_{\mathrm{eff}}}{N_{\mathrm{eff}} + N_2}, \quad s_2 = 1 - s_1$$

    In logarithms and float64 throughout: with $a = \log s_1 - \log s_2 - \log r$ both fractions are logistic functions, of
    $l_2 + a$ and of $-(l_1 + a)$, that neither overflow nor vanish. Without overlap the iteration jumps between two
    values whose geometric mean is the fixed point; the restart begins there and goes half of each step.

    Args:
        log_ratio_posterior: $l_1 = \log \tilde p - \log g$ at draws of the posterior, `(N1,)`.
        log_ratio_proposal: $l_2$, the same at draws of the proposal, `(N2,)`; `-inf` allowed.
        effective: how many independent draws the posterior's are worth; $N_1$ by default.
        tolerance: the relative change of $r$ at which the iteration ends.
        cap: after how many iterations it starts again from the geometric mean of the last two, with tolerance 1e-4.

    Raises:
        ValueError: if either side is empty or not a vector of numbers below `inf`, or no proposal has any weight.

    Example:
        >>> l1 = torch.tensor([0.08, 0.11, 0.2, 0.25]).double()
        >>> l2 = torch.tensor([0.04, 0.11, 0.11, 0.16]).double()
        >>> found = bridge_iteration(l1, l2)
        >>> round(found.log_z, 9), found.iterations
        (0.132489796, 6)

    References:
        | Simulating Ratios of Normalizing Constants via a Simple Identity: A Theoretical Exploration (Meng & Wong, 1996)
        | https://www3.stat.sinica.edu.tw/statistica/j6n4/j6n43/j6n43.htm
    """  # noqa: E501
    _check_ratios(log_ratio_posterior, log_ratio_proposal)
    n1, n2 = len(log_ratio_posterior), len(log_ratio_proposal)
    odds = math.log((n1 if effective is None else effective) / n2)  # log s1 - log s2
    l1, l2 = log_ratio_posterior.double(), log_ratio_proposal.double()

    def improved(log_r: float) -> float:
        a = odds - log_r
        return log_r - odds + math.log(n1 / n2) + _log_sum_logistic(l2 + a) - _log_sum_logistic(-a - l1)

    path = _iterate(improved, float(l1.median()), tolerance=tolerance, cap=cap)
    restarted = not path.converged
    if restarted:
        middle = (path.log_r + path.before) / 2
        again = _iterate(lambda x: (x + improved(x)) / 2, middle, tolerance=_TOLERANCE_OF_RESTART, cap=cap)
        path = again._replace(iterations=path.iterations + again.iterations)
    a = odds - path.log_r
    numerator, denominator = logsigmoid(l2 + a), logsigmoid(-(l1 + a))
    return BridgeFixedPoint(path.log_r, numerator, denominator, path.iterations, path.converged, restarted)


def _log_sum_logistic(x: Tensor) -> float:
    total = float(x.sigmoid().sum())
    return math.log(total) if total > _UNDERFLOW else float(torch.logsumexp(logsigmoid(x), 0))


class _Path(NamedTuple):
    log_r: float
    before: float
    iterations: int
    converged: bool


def _iterate(improved: Callable[[float], float], log_r: float, *, tolerance: float, cap: int) -> _Path:
    before = log_r
    for done in range(1, cap + 1):
        before, log_r = log_r, improved(log_r)
        if abs(log_r - before) <= tolerance:
            return _Path(log_r, before, done, converged=True)
    return _Path(log_r, before, cap, converged=False)


def bridge_error(found: BridgeFixedPoint, *, effective: float | None = None) -> float:
    r"""Monte Carlo standard error of a bridge estimate of $\log Z$, in nats.

    $$\frac{\mathrm{var}(r)}{r^2} \approx \frac{1}{N_2} \frac{\mathrm{var}(\text{num})}{\mathrm{mean}(\text{num})^2}
    + \frac{1}{N_{\mathrm{eff}}} \frac{\mathrm{var}(\text{den})}{\mathrm{mean}(\text{den})^2}, \qquad
    \mathrm{se} = \sqrt{\log\left(1 + \frac{\mathrm{var}(r)}{r^2}\right)}$$

    The second form is the standard deviation of $\log r$ if $r$ is lognormal.

    Args:
        found: what `bridge_iteration` returned.
        effective: the effective sample size of the denominators; their number by default, right for independent draws.

    Example:
        >>> l1 = torch.tensor([0.08, 0.11, 0.2, 0.25]).double()
        >>> l2 = torch.tensor([0.04, 0.11, 0.11, 0.16]).double()
        >>> round(bridge_error(bridge_iteration(l1, l2)), 9)
        0.023532333

    References:
        | Bridge Sampling Diagnostics (Micaletto & Vehtari, 2025)
        | https://arxiv.org/abs/2508.14487
    """
    n1 = len(found.log_denominator) if effective is None else effective
    n2 = len(found.log_numerator)
    return math.sqrt(
        math.log1p(_relative_variance(found.log_numerator) / n2 + _relative_variance(found.log_denominator) / n1)
    )


def _relative_variance(log_w: Tensor) -> float:
    variance, mean = torch.var_mean((log_w - log_w.max()).exp())
    return float(variance) / float(mean) ** 2


def _check_ratios(log_ratio_posterior: Tensor, log_ratio_proposal: Tensor) -> None:
    for name, each in (("log_ratio_posterior", log_ratio_posterior), ("log_ratio_proposal", log_ratio_proposal)):
        if each.ndim != 1 or not each.is_floating_point() or not len(each):
            raise ValueError(f"{name} must be a vector of real numbers, got {tuple(each.shape)} of {each.dtype}")
        if math.isfinite(each.sum().item()):
            continue
        if bool((each.isnan() | (each == math.inf)).any()):
            raise ValueError(f"{name} holds NaN or inf; bridge_from_ratios counts and leaves out such draws")
        if name == "log_ratio_posterior" and bool((each == -math.inf).any()):
            raise ValueError(f"{name} holds -inf: such a draw cannot have come from the target")
        if not bool((each > -math.inf).any()):
            raise ValueError(f"{name} is -inf everywhere: no proposal lies where the target has a density")
