r"""What replicates that drew no rare value may have missed.

A value of probability $p$ is absent from $R$ replicates with probability $e^{-pR}$. Where that happens the sample
variance knows nothing of it, and the mean is off by $p$ times what the value would have added. Its z-score would be
endless. Bernstein's inequality has the remedy: beside the variance, the size $M$ of the largest deviation.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from jensen.gradients.audit.measure import COTANGENTS, ELEMENTS, Problem
from jensen.gradients.audit.replicas import Replicas, gradients_apart, replicate
from jensen.gradients.states import domain_size, log_prob_table

__all__ = ["Reach", "find_reach", "spread"]

MOST_STATES = 2**12
"""Values of z that are searched for rare ones, at most."""

RARE = 2 / 3
"""Of Bernstein's term, where the variance is that of the sample."""


class Reach(NamedTuple):
    """How far one estimate may go at values that are likely to be missed; zero where there are none, or no list.

    Attributes:
        gradient: `(P,)`.
        value: of each element of the batch.
        sizes: coordinates of each parameter.
    """

    gradient: Tensor
    value: Tensor
    sizes: tuple[int, ...]

    def with_draws(self, gradient: Tensor, value: Tensor) -> "Reach":
        """No less than the largest deviation that was drawn in any coordinate of the same parameter, or any value."""
        largest = torch.cat([part.amax().expand_as(part) for part in torch.split(gradient, list(self.sizes))])
        return Reach(torch.maximum(self.gradient, largest), self.value.clamp(min=value.max()), self.sizes)


def spread(bias: Tensor, variance: Tensor, reach: Tensor) -> Tensor:
    r"""What a bias is measured in: its standard error, and more of it where rare draws may be missing.

    $$\sqrt{v + \tfrac{2}{3} |b| m}$$

    If a mean is off by $b$ because events of one size $M$ are rarer in $R$ replicates than they should be, none at all
    included, then $b$ divided by this passes any threshold of 3.5 to 5.5 with less than the probability of a Gaussian,
    as sums of Poisson probabilities show. 1/2 in place of 2/3 would not do.

    Args:
        bias: of any shape.
        variance: of the mean, $v = s^2 / R$.
        reach: $m = M / R$.

    Example:
        >>> one = torch.tensor(1.0)
        >>> float(spread(6 * one, variance=0 * one, reach=one))  # nothing seen where six are expected
        2.0

    References:
        | Empirical Bernstein Bounds and Sample Variance Penalization (Maurer & Pontil, 2009), theorem 4
        | https://arxiv.org/abs/0907.3740
    """
    return (variance + RARE * bias.abs() * reach).sqrt()


def find_reach(problem: Problem, *, replicates: int, chance: float) -> Reach:
    """The largest terms of the score function at values that all replicates miss with more than a probability.

    Args:
        problem: the expectation.
        replicates: R.
        chance: that probability.
    """
    sizes = tuple(each.numel() for each in problem.targets)
    nothing = Reach(torch.zeros(sum(sizes), dtype=torch.float64), torch.zeros(1, dtype=torch.float64), sizes)
    size = domain_size(problem.q)
    if size is None or size > MOST_STATES:
        return nothing
    values, log_prob = log_prob_table(problem.q, limit=MOST_STATES)  # (S, *batch, *event), (S, *batch)
    expected = replicates * log_prob.detach().exp()
    rare = (expected > 0) & (expected < -math.log(chance))
    if not rare.any():
        return nothing
    cost = problem.f(values)
    mean = (log_prob.exp() * cost.where(log_prob.isfinite(), 0.0)).sum(0)
    apart = (cost - mean).detach().abs()
    weight = torch.maximum(apart, cost.detach().abs())
    some = rare.reshape(len(rare), -1).any(-1)
    chunk = max(1, min(COTANGENTS, ELEMENTS // problem.size))
    terms = [
        _terms(problem, *each)
        for each in zip(*(torch.split(table[some], chunk) for table in (values, rare, weight, cost)), strict=True)
    ]
    value = apart.where(rare, 0.0).amax(0).reshape(-1).to("cpu", torch.float64)
    return Reach(torch.stack(terms).amax(0), value, sizes)


def _terms(problem: Problem, values: Tensor, rare: Tensor, weight: Tensor, cost: Tensor) -> Tensor:
    """The largest entries of the gradient of `weight * log q + cost` at the rare ones of some values, `(P,)`."""
    replicas = replicate(problem.q, len(values)) if problem.axis else Replicas(problem.q, (), ())
    estimates = (weight * replicas.q.log_prob(values) + cost).where(rare, 0.0)
    gradients, _ = gradients_apart(estimates, replicas, problem.targets)
    return gradients.detach().abs().nan_to_num().amax(0).to("cpu", torch.float64)
