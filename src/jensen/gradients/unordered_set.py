r"""The unordered-set estimator: different values only, each weighed by how much it made its set likely.

$$\mathbb{E}_q[f] = \mathbb{E}_S\Big[\sum_{s \in S} q(s) \, R(S, s) \, f(s)\Big], \qquad
R(S, s) = \frac{P^{D \setminus s}(S \setminus s)}{P(S)}$$

Of $q$: discrete, and what `distinct` needs. Of $f$: nothing. Unbiased, first order only. `samples` evaluations of $f$
for each batch element, all at different values; exact when they are all the values there are. Without a baseline it is
the Rao-Blackwellised form of the single-sample score function and of stochastic sum-and-sample: its variance is never
above theirs.

References:
    | Estimating Gradients for Discrete Random Variables by Sampling without Replacement (Kool et al., 2020)
    | https://arxiv.org/abs/2002.06043v1
"""

from typing import Literal

from torch import Generator, Tensor
from torch.distributions import Distribution

from jensen.gradients._parts import Cost, check_samples, evaluate, worth
from jensen.gradients.distinct import distinct
from jensen.gradients.leave_one_out_ratios import log_ratios

__all__ = ["kernel", "unordered_set"]

Baseline = Literal["built_in"] | None


def kernel(cost: Tensor, log_q: Tensor, log_complement: Tensor, *, baseline: Baseline = "built_in") -> Tensor:
    r"""The estimate from a set of $k$ different values.

    $$\sum_{s \in S} \nabla q(s) R(S, s) \Big(f(s) - \sum_{s' \in S} q(s') R^{D \setminus s}(S, s') f(s')\Big)$$

    Args:
        cost: of the values in the set, `(k, *batch)`.
        log_q: their log-probabilities, `(k, *batch)`.
        log_complement: log-probability of everything else, `(*batch)`.
        baseline: `"built_in"`, or None; a single value has none.

    Returns:
        The value `(*batch)`, with the estimated gradient.
    """
    ratio = log_ratios(log_q, log_complement)
    constant = log_q.detach()
    weight = (constant + ratio.first).exp()  # (k, *batch): q(s) R(S, s)
    weighted = (weight * cost).masked_fill(weight == 0, 0.0)
    gain = weighted.detach()
    if baseline is not None and len(cost) > 1:
        others = (constant + ratio.second).exp() * cost.detach()  # (k, k, *batch)
        gain = gain - weight * others.masked_fill(weight == 0, 0.0).sum(1)
    score = gain * log_q.masked_fill(weight == 0, 0.0)
    return worth(weighted.sum(0), score.sum(0))


def unordered_set(
    f: Cost,
    q: Distribution,
    *,
    samples: int = 1,
    baseline: Baseline = "built_in",
    generator: Generator | None = None,
) -> Tensor:
    r"""Estimate $\mathbb{E}_q[f]$ and its gradient from `samples` different values.

    Args:
        f: maps values `(K, *batch, *event)` to costs `(K, *batch)`.
        q: a discrete distribution.
        samples: how many values to draw without replacement; where $q$ has no more, the result is exact.
        baseline: `"built_in"`, the estimate of $\mathbb{E}_q[f]$ from the other values of the set, or None. One sample
            has no others: it gives the plain score function.
        generator: for the draws.

    Returns:
        The estimate, `(*batch)`; first order only.

    Raises:
        UnsupportedError: if `q` is continuous.
        ValueError: if `baseline` is unknown, or `f` returns another shape.

    Example:
        >>> logits = torch.tensor([0.5, -1.0, 0.0], requires_grad=True)
        >>> q = torch.distributions.Categorical(logits=logits)
        >>> unordered_set(lambda z: (z - 1.0) ** 2, q, samples=3)
        tensor(0.8780, grad_fn=<AddBackward0>)

    References:
        | Estimating Gradients for Discrete Random Variables by Sampling without Replacement (Kool et al., 2020)
        | https://arxiv.org/abs/2002.06043v1
    """
    check_samples(samples)
    if baseline not in ("built_in", None):
        raise ValueError(f"baseline must be 'built_in' or None, got {baseline!r}")
    drawn = distinct(q, samples, generator=generator)
    cost = evaluate(f, drawn.values, q)
    return kernel(cost, drawn.log_prob, drawn.log_complement, baseline=baseline)
