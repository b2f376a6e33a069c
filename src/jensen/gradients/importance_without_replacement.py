r"""Sampling without replacement, each value weighed by its chance to be in the sample.

With the threshold $\kappa$, the key of the first value left out, a value is in the sample with probability
$P(G_s > \kappa) = 1 - \exp(-e^{\log q(s) - \kappa})$, and

$$\mathbb{E}_q[f] = \mathbb{E}\Big[\sum_{s \in S} \frac{q(s)}{P(G_s > \kappa)} f(s)\Big].$$

Of $q$: discrete, and what `distinct` needs. Of $f$: nothing. Unbiased unless `normalized`; first order only. `samples`
evaluations of $f$ for each batch element, and one more value drawn for the threshold. `unordered_set` has the smaller
variance for as many evaluations, at the cost of its ratios.

References:
    | Stochastic Beams and Where to Find Them (Kool, van Hoof & Welling, 2019)
    | https://arxiv.org/abs/1903.06059v2
"""

import torch
from torch import Generator, Tensor
from torch.distributions import Distribution

from jensen.gradients._parts import Cost, check_samples, evaluate, worth
from jensen.gradients.distinct import distinct
from jensen.gradients.leave_one_out_ratios import log_hazard

__all__ = ["importance_without_replacement", "kernel"]


def kernel(cost: Tensor, log_q: Tensor, threshold: Tensor, *, normalized: bool = False) -> Tensor:
    r"""The estimate from a set and its threshold.

    Args:
        cost: of the values in the set, `(k, *batch)`.
        log_q: their log-probabilities, `(k, *batch)`.
        threshold: $\kappa$, `(*batch)`; `-inf` where nothing was left out.
        normalized: whether to divide the weights by their sum.

    Returns:
        The value `(*batch)`, with the estimated gradient.
    """
    constant = log_q.detach()
    impossible = constant == -torch.inf
    location = (constant - threshold).masked_fill(impossible, 0.0)
    weight = (constant - log_hazard(location)).exp()  # (k, *batch)
    weight = weight / weight.sum(0) if normalized else weight
    weighted = (weight * cost).masked_fill(impossible, 0.0)
    return worth(weighted.sum(0), (weighted.detach() * log_q.masked_fill(impossible, 0.0)).sum(0))


def importance_without_replacement(
    f: Cost,
    q: Distribution,
    *,
    samples: int = 1,
    normalized: bool = False,
    generator: Generator | None = None,
) -> Tensor:
    r"""Estimate $\mathbb{E}_q[f]$ and its gradient from `samples` different values and the threshold that let them in.

    Args:
        f: maps values `(K, *batch, *event)` to costs `(K, *batch)`.
        q: a discrete distribution.
        samples: how many values are summed; one more is drawn, and its key is the threshold. Where $q$ has no more
            values, the result is exact.
        normalized: whether to divide the weights by their sum: less variance, but value and gradient are biased.
        generator: for the draws.

    Returns:
        The estimate, `(*batch)`; first order only.

    Raises:
        UnsupportedError: if `q` is continuous.
        ValueError: if `f` returns another shape.

    Example:
        >>> logits = torch.tensor([0.5, -1.0, 0.0], requires_grad=True)
        >>> q = torch.distributions.Categorical(logits=logits)
        >>> importance_without_replacement(lambda z: (z - 1.0) ** 2, q, samples=3)
        tensor(0.8780, grad_fn=<AddBackward0>)

    References:
        | Stochastic Beams and Where to Find Them (Kool, van Hoof & Welling, 2019)
        | https://arxiv.org/abs/1903.06059v2
    """
    check_samples(samples)
    drawn = distinct(q, samples + 1, generator=generator)
    left_out = drawn.perturbed[samples:]
    threshold = left_out[0] if len(left_out) else torch.full_like(drawn.perturbed[0], -torch.inf)
    cost = evaluate(f, drawn.values[:samples], q)
    return kernel(cost, drawn.log_prob[:samples], threshold, normalized=normalized)
