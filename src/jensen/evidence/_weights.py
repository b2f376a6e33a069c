r"""What the methods share: log values made safe, the mean of weights with its error, and words for a heavy tail.

The error of $\log \bar w$ is that of a lognormal variable with the relative variance $c^2$ of $\bar w$,
$\sqrt{\log(1 + c^2)}$, which is $c$ where it is small.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from jensen import bounds
from jensen._chains import effective_sample_size
from jensen._pareto import reliable_k

__all__ = [
    "EVEN",
    "Cleaned",
    "LogMean",
    "as_values",
    "chain_mean_with_error",
    "clean",
    "few_warnings",
    "is_heavy",
    "kish",
    "log_error",
    "mean_with_error",
    "relative_moments",
    "tail_warnings",
]

EVEN = 0.99
"""Effective share of the weights above which they are as good as equal."""

_FEW = 10


class Cleaned(NamedTuple):
    """Log values that are finite or `-inf`, in double precision, and what was found among them."""

    values: Tensor
    nan: int
    minus_inf: int

    @property
    def counts(self) -> dict[str, int]:
        """The diagnostics `draws`, `nan` and `minus_inf`."""
        return {"draws": self.values.numel(), "nan": self.nan, "minus_inf": self.minus_inf}

    def warnings(self, what: str) -> tuple[str, ...]:
        """A sentence if any value was NaN."""
        if not self.nan:
            return ()
        return (f"{self.nan} of {self.values.numel()} values of {what} are NaN and were given the weight zero.",)


class LogMean(NamedTuple):
    r"""$\log \bar w$, its standard error, and how many independent draws the mean is worth."""

    value: float
    std_error: float
    effective_sample_size: float


def as_values(values: object, what: str) -> Tensor:
    """A tensor as it is; a list or an array of numbers as one in its own precision, Python's numbers in float64.

    Args:
        values: numbers.
        what: their name in a complaint.

    Raises:
        ValueError: if they are no numbers, or the lists in a list differ in length.

    Example:
        >>> as_values([[-2.0, -3.0]], "log_likelihood").dtype
        torch.float64
    """
    if isinstance(values, Tensor):
        return values
    try:
        return torch.tensor(np.asarray(values))
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{what} must be a tensor or an array of numbers, got {type(values).__name__}") from error


def clean(log_values: Tensor, what: str) -> Cleaned:
    """Detached and in double precision, NaN made `-inf` and counted.

    Args:
        log_values: logarithms of weights or densities, of any shape.
        what: their name in a complaint.

    Raises:
        ValueError: if they are no floating-point tensor, fewer than two, `inf` anywhere, or `-inf` or NaN everywhere.
    """
    log_values = as_values(log_values, what)
    if not log_values.is_floating_point():
        raise ValueError(f"{what} must be a tensor of real numbers, got {log_values.dtype}")
    shape = tuple(log_values.shape)
    if log_values.numel() < 2:
        raise ValueError(f"{what} {shape} holds fewer than two draws, from which no error can be told")
    values = log_values.detach().to(torch.float32 if log_values.device.type == "mps" else torch.float64)
    nan, minus_inf = int(values.isnan().sum()), int((values == -math.inf).sum())
    if nan + minus_inf == values.numel():
        raise ValueError(f"{what} {shape} is -inf or NaN at every draw ({minus_inf} and {nan}): nothing has any weight")
    if (values == math.inf).any():
        raise ValueError(f"{what} {shape} is inf at draw {int((values.flatten() == math.inf).int().argmax())}")
    return Cleaned(values.nan_to_num(-math.inf, neginf=-math.inf), nan, minus_inf)


def log_error(relative_error: float) -> float:
    r"""$\sqrt{\log(1 + c^2)}$: the standard error of $\log \bar w$ where that of $\bar w$ is $c$ times itself."""
    return math.sqrt(math.log1p(relative_error**2))


def kish(log_w: Tensor) -> float:
    r"""Effective number of equal weights, $(\sum w)^2 / \sum w^2$."""
    return float(bounds.effective_sample_size(log_w.flatten()))


def relative_moments(log_w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    r"""Of weights `(S, C, *batch)`: $\log \bar w$, $\mathrm{sd}(w) / \bar w$ and the effective sample size of $w$.

    Fewer than four draws per chain tell nothing of their dependence; then the chains' own means are the sample.
    """
    peak = log_w.amax((0, 1))
    w = (log_w - peak.nan_to_num(neginf=0.0)).exp()
    mean = w.mean((0, 1))
    deviation = w.flatten(0, 1).std(0) / mean
    size = effective_sample_size(w)
    if log_w.shape[0] < 4:
        size = (w.flatten(0, 1).var(0) / w.mean(0).var(0) * w.shape[1]).nan_to_num(w.shape[0] * w.shape[1])
    return peak + mean.log(), deviation, size


def mean_with_error(log_w: Tensor) -> LogMean:
    r"""$\log \bar w$ of independent weights, of any shape, or of chains that are as good as independent."""
    log_w = log_w.flatten()
    peak = log_w.max()
    w = (log_w - peak).exp()
    relative = float(w.std() / w.mean()) / math.sqrt(len(w))
    return LogMean(float(peak + w.mean().log()), log_error(relative), float(len(w)))


def chain_mean_with_error(log_w: Tensor) -> LogMean:
    r"""$\log \bar w$ of weights along chains `(S, C)`, whose autocorrelation is counted."""
    value, deviation, size = (float(each) for each in relative_moments(log_w))
    return LogMean(value, log_error(deviation / math.sqrt(size)) if deviation else 0.0, size)


def is_heavy(k: float, *, draws: int, share: float) -> bool:
    r"""Whether the tail of so many weights is heavy, and long enough to matter.

    $\hat k$ tells a tail's shape whatever its scale: the last digits of weights that are all but equal have a tail as
    well as any others. What tells the scale is the effective share $s = \bar w^2 / \overline{w^2}$. The largest weight
    is at most $\sqrt{N \overline{w^2}} = \bar w \sqrt{N / s}$, and exceeds the mean by at most

    $$w_\max - \bar w \le \bar w \sqrt{N (1 / s - 1)},$$

    so that above a share of 0.99 no draw moves the mean by more than $0.1 / \sqrt N$ of itself. A generalised Pareto
    tail holds about $1 / (1 - k)$ times that beyond the largest weight: 0.01 nats for 10,000 draws and $k = 0.9$. What
    no draw has met, neither the shape nor the share can tell.

    Args:
        k: the tail's shape; a NaN is not heavy.
        draws: how many weights there are.
        share: their effective number over their number.
    """
    return k > reliable_k(draws) and not share > EVEN


def tail_warnings(k: float, draws: int, *, share: float, what: str = "the weights") -> tuple[str, ...]:
    r"""A sentence if $\hat k$ says that the mean of so many weights cannot be relied on, and they are not all equal."""
    if math.isnan(k):
        return (f"{draws} draws are too few to tell whether the tail of {what} is heavy.",)
    if not is_heavy(k, draws=draws, share=share):
        return ()
    if k == math.inf:
        return (
            f"Fewer than five of {draws} draws carry all of {what}: neither the value nor its error can be relied on.",
        )
    need = f"about 10^{1 / (1 - k):.0f} draws would be needed" if k < 0.95 else "no number of draws would do"
    error = "no error can be told" if k >= 1 else "the error is too small"
    return (f"The tail of {what} is heavy (k-hat {k:.2f}, above {reliable_k(draws):.2f}): {error}, and {need}.",)


def few_warnings(size: float, what: str = "the weights") -> tuple[str, ...]:
    """A sentence if a mean is worth so few draws that its error is itself a guess."""
    if size >= _FEW:
        return ()
    return (f"{what[0].upper()}{what[1:]} are worth {size:.1f} draws: too few for an error to be told from them.",)
