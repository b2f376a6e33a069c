r"""How much more probable a set drawn without replacement is, once one of its elements is known to be in it.

A set $S$ of $k$ values is drawn one after the other without replacement. Let $V(A)$ be the probability that the
$k - |A|$ draws after those of $A \subseteq S$ are the rest of $S$. With $c$ the probability of what is not in $S$,

$$V(A) = \sum_{i \in S \setminus A} \frac{p_i}{c + \sum_{j \in S \setminus A} p_j} \, V(A \cup \{i\}), \quad V(S) = 1.$$

Then $P(S) = V(\emptyset)$, the leave-one-out ratio is $R(S, s) = V(\{s\}) / V(\emptyset)$, and that of second order
$R^{D \setminus s}(S, s') = V(\{s, s'\}) / V(\{s\})$. Nothing is subtracted, so peaked probabilities do no harm. The
recursion has $k 2^{k-1}$ terms; for $k$ above 9, where it takes longer, the integral

$$V(A) = \int e^{x - e^x} \prod_{i \in S \setminus A} \Big(1 - \exp\big(-\tfrac{p_i}{c} e^x\big)\Big) dx$$

is summed on a grid, whose error falls exponentially with its spacing: below 1e-12, relative.

References:
    | Estimating Gradients for Discrete Random Variables by Sampling without Replacement (Kool et al., 2020)
    | https://arxiv.org/abs/2002.06043v1
"""

import functools
import itertools
import math
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Ratios", "integrated_log_ratios", "log_hazard", "log_ratios", "subset_log_ratios"]

LARGEST_EXACT = 9
"""The largest set whose subsets are summed one by one."""


class Ratios(NamedTuple):
    r"""Logarithms of the leave-one-out ratios of a set of `k` values.

    Attributes:
        first: $\log R(S, s)$, `(k, *batch)`.
        second: $\log R^{D \setminus s}(S, s')$, `(k, k, *batch)`, row $s$, column $s'$; 0 where they are the same.
        log_prob: $\log P(S)$, `(*batch)`.
    """

    first: Tensor
    second: Tensor
    log_prob: Tensor


def log_ratios(log_p: Tensor, log_complement: Tensor) -> Ratios:
    r"""The leave-one-out ratios of sets drawn without replacement.

    Where nothing is left outside the set all ratios are 1, whatever the values of probability zero in it.

    Args:
        log_p: log-probabilities of the elements, `(k, *batch)`; taken as constants.
        log_complement: log-probability of everything else, `(*batch)`.

    Returns:
        The logarithms of the ratios, in the floating type of `log_p`.

    Raises:
        ValueError: if the shapes do not fit.

    Example:
        >>> log_ratios(torch.tensor([0.5, 0.3]).log(), torch.tensor(0.2).log()).first.exp()
        tensor([1.1667, 1.3889])

    References:
        | Estimating Gradients for Discrete Random Variables by Sampling without Replacement (Kool et al., 2020)
        | https://arxiv.org/abs/2002.06043v1
    """
    if log_p.ndim == 0 or log_p.shape[1:] != log_complement.shape:
        shapes = f"log_p {tuple(log_p.shape)} and log_complement {tuple(log_complement.shape)}"
        raise ValueError(f"{shapes} do not fit; give (k, *batch) and (*batch)")
    kind = log_p.dtype if log_p.device.type == "mps" else torch.float64
    method = subset_log_ratios if len(log_p) <= LARGEST_EXACT else integrated_log_ratios
    found = method(log_p.detach().to(kind), log_complement.detach().to(kind))
    whole = log_complement == -torch.inf
    return Ratios(*(each.masked_fill(whole, 0.0).to(log_p.dtype) for each in found))


def subset_log_ratios(log_p: Tensor, log_complement: Tensor) -> Ratios:
    """The ratios by the recursion over subsets."""
    k = len(log_p)
    levels = [torch.zeros_like(log_complement).unsqueeze(0)]  # V of the whole set
    for added, larger in reversed(_extensions(k, log_p.device)):
        next_ = log_p[added]  # (C, k - |A|, *batch): what may be drawn after A
        outside = log_complement.expand(len(added), 1, *log_complement.shape)
        remaining = torch.cat((next_, outside), 1).logsumexp(1)  # (C, *batch)
        levels.append((next_ + levels[-1][larger]).logsumexp(1) - remaining)
    single, empty = levels[-2], levels[-1]  # (k, *batch), (1, *batch)
    if k == 1:
        return Ratios(single - empty, torch.zeros_like(single).unsqueeze(0), empty[0])
    diagonal = torch.eye(k, dtype=torch.bool, device=log_p.device).reshape(k, k, *[1] * log_complement.ndim)
    second = levels[-3][_pairs(k, log_p.device)] - single.unsqueeze(1)
    return Ratios(single - empty, second.masked_fill(diagonal, 0.0), empty[0])


def integrated_log_ratios(log_p: Tensor, log_complement: Tensor) -> Ratios:
    r"""The ratios by the trapezoidal rule, for sets of any size.

    With $g_i$ the root of the integrand without the factor of $i$ and $g_0$ that with all of them, $V(\{i, j\})$ is the
    integral of $g_i g_j$: one product of matrices gives every pair, the single values and the whole.
    """
    k, batch = len(log_p), log_complement.shape
    spacing = 0.65 / math.sqrt(k + 4)
    x = torch.arange(-30.0, math.log(60.0 + 4 * k), spacing, dtype=log_p.dtype, device=log_p.device)  # (N,)
    location = (log_p - log_complement).reshape(k, -1).T  # (B, k)
    factor = log_hazard(x + location.unsqueeze(-1))  # (B, k, N)
    half = (factor.sum(1, keepdim=True) + x - x.exp() + math.log(spacing)) / 2
    root = torch.cat((half, half - factor), 1)  # (B, 1 + k, N)
    top = root.amax(-1, keepdim=True)
    root = root.sub_(top).exp_()
    log_v = ((root @ root.mT).log() + top + top.mT).permute(1, 2, 0).reshape(k + 1, k + 1, *batch)
    empty, single, pair = log_v[0, 0], log_v[0, 1:], log_v[1:, 1:]
    diagonal = torch.eye(k, dtype=torch.bool, device=log_p.device).reshape(k, k, *[1] * len(batch))
    return Ratios(single - empty, (pair - single.unsqueeze(1)).masked_fill(diagonal, 0.0), empty)


def log_hazard(x: Tensor) -> Tensor:
    r"""$\log(1 - e^{-e^x})$, the log-probability that a Gumbel variable of location $x$ is above 0, without underflow.

    Example:
        >>> log_hazard(torch.tensor([-200.0, 0.0, 200.0]))
        tensor([-200.0000,   -0.4587,    0.0000])
    """
    return x.detach().clamp_min(-30).exp_().neg_().expm1_().neg_().log_().minimum(x)


@functools.cache
def _extensions(k: int, device: torch.device) -> list[tuple[Tensor, Tensor]]:
    """For the subsets of each size below `k`: the elements not in them, and which subset each makes of them."""
    levels = []
    for size in range(k):
        position = {subset: i for i, subset in enumerate(itertools.combinations(range(k), size + 1))}
        added, larger = [], []
        for subset in itertools.combinations(range(k), size):
            others = [i for i in range(k) if i not in subset]
            added.append(others)
            larger.append([position[tuple(sorted((*subset, i)))] for i in others])
        levels.append((torch.tensor(added, device=device), torch.tensor(larger, device=device)))
    return levels


@functools.cache
def _pairs(k: int, device: torch.device) -> Tensor:
    """The position of each pair among the pairs, `(k, k)`; 0 on the diagonal."""
    table = torch.zeros(k, k, dtype=torch.long)
    for position, (i, j) in enumerate(itertools.combinations(range(k), 2)):
        table[i, j] = table[j, i] = position
    return table.to(device)
