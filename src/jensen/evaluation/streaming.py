r"""Running reductions of log-weights that arrive in chunks, so that memory does not grow with the number of draws.

Expectation: $\log \mathbb{E}_{q(z \mid x)}[w]$ and its $k$-sample bounds, one column for each datum.

Every class takes rows `(n, B)` as they come, in chunks of any size, and ends in the same state (to rounding) as one
call with all the rows. Nothing here draws a number or knows a model. Sums are kept in float64.

References:
    | Importance Weighted Autoencoders (Burda, Grosse & Salakhutdinov, 2016), eq. 8
    | https://arxiv.org/abs/1509.00519v4
    | Updating Formulae and a Pairwise Algorithm for Computing Sample Variances (Chan, Golub & LeVeque, 1979)
    | http://i.stanford.edu/pub/cstr/reports/cs/tr/79/773/CS-TR-79-773.pdf
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from jensen._math import log_mean_exp
from jensen.bounds import jackknife

__all__ = [
    "BLOCKS",
    "EXACT_JACKKNIFE",
    "BlockMeans",
    "BoundStream",
    "DrawStream",
    "Moments",
    "Regroup",
    "RunningLogSumExp",
]

EXACT_JACKKNIFE = 1000
"""The largest k whose jackknife leaves out single draws: it holds that many log-weights of each datum at hand."""

BLOCKS = 100
"""The number of blocks that the jackknife of a larger k leaves out in turn."""


class Moments:
    r"""Running mean and variance of rows, one for each position of a row.

    Two sets of $n$ and $m$ rows are merged by

    $$\bar{x} \leftarrow \bar{x} + \delta \frac{m}{n + m}, \quad S \leftarrow S + S' + \delta^2 \frac{n m}{n + m},
    \quad \delta = \bar{x}' - \bar{x},$$

    with $S$ the sum of squared deviations: no difference of large squares is ever taken.

    Example:
        >>> moments = Moments()
        >>> moments.update(torch.tensor([[800.0], [801.0]]))
        >>> moments.update(torch.tensor([[802.0]]))
        >>> moments.count, moments.mean.item(), moments.variance.item()
        (3, 801.0, 1.0)
    """

    def __init__(self) -> None:
        self.count = 0
        self._mean = self._squares = self._sum = torch.zeros((), dtype=torch.float64)

    def update(self, rows: Tensor) -> None:
        """Take in `rows`, `(n, *event)`; no rows change nothing."""
        n = rows.shape[0]
        if n == 0:
            return
        rows = _widened(rows)
        mean = rows.mean(0)
        squares = (rows - mean).square().sum(0)
        if self.count:
            total = self.count + n
            delta = mean - self._mean
            squares = self._squares + squares + delta.square() * (self.count * n / total)
            mean = self._mean + delta * (n / total)
            self._sum = self._sum + rows.sum(0)
        else:
            self._sum = rows.sum(0)
        self._mean, self._squares, self.count = mean, squares, self.count + n

    @property
    def mean(self) -> Tensor:
        """The mean of the rows so far, `(*event)`; `-inf` where a row was."""
        return torch.where(self._sum.isfinite(), self._mean, self._sum)

    @property
    def population_variance(self) -> Tensor:
        """The mean squared deviation so far, `(*event)`: 0 for a single row, `inf` where a row was not finite."""
        return torch.where(self._sum.isfinite(), self._squares / max(self.count, 1), math.inf)

    @property
    def variance(self) -> Tensor:
        """The unbiased variance so far, `(*event)`: NaN for a single row, `inf` where a row was not finite."""
        variance = self._squares / (self.count - 1) if self.count > 1 else torch.full_like(self._squares, math.nan)
        return torch.where(self._sum.isfinite(), variance, math.inf)


class RunningLogSumExp:
    r"""Running $\log \sum_k e^{x_k}$ over rows, kept relative to the largest so that it neither overflows nor vanishes.

    Example:
        >>> running = RunningLogSumExp()
        >>> running.update(torch.tensor([[-750.0]]))
        >>> running.update(torch.tensor([[-750.0]]))
        >>> round(running.value.item(), 4)
        -749.3069
    """

    def __init__(self) -> None:
        self.value = torch.tensor(-math.inf, dtype=torch.float64)

    def update(self, rows: Tensor) -> None:
        """Take in `rows`, `(n, *event)`; no rows change nothing."""
        if rows.shape[0]:
            rows = _widened(rows)
            self.value = torch.logaddexp(self.value.to(rows.device), torch.logsumexp(rows, dim=0))


class BlockMeans:
    r"""Turns a stream of log-weights into the log-mean-exps of its consecutive blocks of `size`.

    Holds one number for each datum whatever the size of a block. Rows that do not fill a last block are left out.

    Example:
        >>> blocks = BlockMeans(2)
        >>> blocks.update(torch.zeros(3, 1)).tolist(), blocks.update(torch.zeros(2, 1)).tolist()
        ([[0.0]], [[0.0]])
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._filled = 0
        self._partial = RunningLogSumExp()

    def update(self, rows: Tensor) -> Tensor:
        """Take in `rows`, `(n, B)`; give the blocks that are now complete, `(m, B)` with m possibly 0."""
        rows = _widened(rows)
        head = min(self.size - self._filled, len(rows)) if self._filled else 0
        whole = (len(rows) - head) // self.size
        tail = head + whole * self.size
        first = self._absorb(rows[:head])
        middle = log_mean_exp(rows[head:tail].reshape(whole, self.size, *rows.shape[1:]), dim=1) if whole else rows[:0]
        self._absorb(rows[tail:])
        return torch.cat([first, middle])

    def _absorb(self, rows: Tensor) -> Tensor:
        self._partial.update(rows)
        self._filled += len(rows)
        if self._filled < self.size:
            return rows[:0]
        finished = self._partial.value - math.log(self.size)
        self._filled, self._partial = 0, RunningLogSumExp()
        return finished.unsqueeze(0)


class Regroup:
    """Turns a stream of rows into its consecutive groups of `size`, holding fewer than `size` rows back.

    Example:
        >>> groups = Regroup(2)
        >>> groups.update(torch.zeros(3, 5)).shape, groups.update(torch.zeros(3, 5)).shape
        (torch.Size([1, 2, 5]), torch.Size([2, 2, 5]))
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._held: list[Tensor] = []
        self._filled = 0

    def update(self, rows: Tensor) -> Tensor:
        """Take in `rows`, `(n, B)`; give the groups that are now complete, `(m, size, B)` with m possibly 0."""
        self._held.append(rows)
        self._filled += len(rows)
        whole = self._filled // self.size
        if whole == 0:
            return rows.new_empty((0, self.size, *rows.shape[1:]))
        held = torch.cat(self._held)
        groups = held[: whole * self.size].reshape(whole, self.size, *rows.shape[1:])
        self._held = [held[whole * self.size :].clone()]
        self._filled = len(self._held[0])
        return groups


class BoundStream:
    r"""One bound at one k, averaged over the groups of k draws that a stream holds.

    `kind` is `"elbo"` (k = 1), `"iwae"`, `"jackknife"` or `"block_jackknife"`. The bound of a group is
    $\mathcal{L}_k = \log \frac{1}{k} \sum_{j=1}^{k} w_j$ or its jackknife of order 1,

    $$\mathcal{J}_k = k \mathcal{L}_k - (k - 1) \, \overline{\mathcal{L}_{k-1}},$$

    the bar being the mean over the $k$ ways to leave one draw out. It needs the draws of a group side by side, so it
    is used for $k \le 1000$. Above, one of $g = 100$ equal blocks is left out instead of one draw:

    $$\mathcal{J}_{k,g} = g \mathcal{L}_k - (g - 1) \, \overline{\mathcal{L}_{k - k/g}}.$$

    Why a block does as well: let $\mathbb{E}[\mathcal{L}_k] = \log p(x) + a / k + b / k^2 + O(k^{-3})$. The draws
    that stay number $k (g - 1) / g$, so the first terms cancel, $g \frac{a}{k} - (g - 1) \frac{a g}{k (g - 1)} = 0$,
    and what is left is $-\frac{b}{k^2} \frac{g}{g - 1}$: at $g = 100$ one per cent more than $g = k$ would leave. A
    block enters only through its own log-mean-exp, because $\mathcal{L}_k$ is the log-mean-exp of those:
    `jensen.bounds.jackknife` applied to the $g$ of them is $\mathcal{J}_{k,g}$. It stays another estimator than
    $\mathcal{J}_k$, hence its own name. Draws beyond the last multiple of 100 are not used: a block jackknife asked
    for at $k$ is one at $100 \lfloor k / 100 \rfloor$, and says so. Neither is a bound.

    References:
        | Debiasing Evidence Approximations (Nowozin, 2018), eq. 14
        | https://openreview.net/forum?id=HyZoi-WRb
    """

    def __init__(self, kind: str, k: int) -> None:
        self.kind = kind
        self.blocks = {"jackknife": k, "block_jackknife": BLOCKS}.get(kind, 0)
        self.k = k - k % BLOCKS if kind == "block_jackknife" else k
        self.moments = Moments()
        self._blocks = BlockMeans(self.k // self.blocks if self.blocks else k)
        self._groups = Regroup(self.blocks)

    def update(self, log_w: Tensor) -> None:
        """Take in log-weights `(n, B)`."""
        blocks = self._blocks.update(log_w) if self._blocks.size > 1 else log_w
        if self.blocks == 0:
            self.moments.update(blocks)
            return
        groups = self._groups.update(blocks)
        if len(groups):
            self.moments.update(jackknife(groups, order=1, dim=1))


class DrawStream:
    r"""Every bound at every k, and the effective sample size, from one pass over the log-weights of a minibatch.

    $$\mathrm{ESS} = \frac{\left(\sum_k w_k\right)^2}{\sum_k w_k^2} \in [1, K]$$

    Args:
        ks: the numbers of draws in a group; each gives the bound at k and, for k > 1, the jackknife at k.

    Attributes:
        bounds: the streams, in the order of `ks`, a bound before its jackknife.
        samples: the number of draws so far.
        zeros: how many log-weights were `-inf`, `(B,)`.

    Example:
        >>> stream = DrawStream((1, 2))
        >>> stream.update(torch.tensor([[0.0], [math.log(3.0)], [0.0]]))
        >>> {(bound.kind, bound.k): round(bound.moments.mean.item(), 4) for bound in stream.bounds}
        {('elbo', 1): 0.3662, ('iwae', 2): 0.6931, ('jackknife', 2): 0.837}
        >>> round(stream.effective_sample_size.item(), 4)
        2.2727

    References:
        | A Note on Importance Sampling using Standardized Weights (Kong, 1992)
        | https://galton.uchicago.edu/techreports/tr348.pdf
    """

    def __init__(self, ks: Iterable[int]) -> None:
        wanted = [name for k in ks for name in _kinds(k)]
        self.bounds = [BoundStream(kind, k) for kind, k in dict.fromkeys(wanted)]
        self.samples = 0
        self.zeros = torch.zeros((), dtype=torch.long)
        self._total = RunningLogSumExp()
        self._total_of_squares = RunningLogSumExp()

    def update(self, log_w: Tensor) -> None:
        """Take in log-weights `(n, B)` of any floating type."""
        log_w = _widened(log_w)
        for bound in self.bounds:
            bound.update(log_w)
        self._total.update(log_w)
        self._total_of_squares.update(2 * log_w)
        self.zeros = self.zeros.to(log_w.device) + (log_w == -math.inf).sum(0)
        self.samples += len(log_w)

    @property
    def log_total(self) -> Tensor:
        r"""$\log \sum_k w_k$, `(B,)`: NaN or `inf` exactly where a log-weight was."""
        return self._total.value

    @property
    def effective_sample_size(self) -> Tensor:
        """ESS, `(B,)`; 0 where every weight was 0."""
        ess = (2 * self._total.value - self._total_of_squares.value).exp()
        return torch.where(self._total.value == -math.inf, 0.0, ess)


def _widened(rows: Tensor) -> Tensor:
    """In float64, on the same device or, where that has none, on the CPU."""
    return (rows.cpu() if rows.device.type == "mps" else rows).double()


def _kinds(k: int) -> list[tuple[str, int]]:
    if k == 1:
        return [("elbo", 1)]
    if k <= EXACT_JACKKNIFE:
        return [("iwae", k), ("jackknife", k)]
    return [("iwae", k), ("block_jackknife", k - k % BLOCKS)]
