r"""An expectation whose gradient is estimated by what suits f and q.

Expectation: $\mathbb{E}_{q}[f(z)]$. Assumed: as the chosen estimator does. Bias: none by default. Evaluations of $f$:
as many as `samples`; all values where there are at most 64 of them.

References:
    | Monte Carlo Gradient Estimation in Machine Learning (Mohamed, Rosca, Figurnov & Mnih, 2020), section 9
    | https://arxiv.org/abs/1906.10652v2
"""

from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.distributions import Distribution

from jensen._random import seeded
from jensen.gradients._parts import Cost, UnsupportedError, base_of, check_samples, evaluate, is_discrete
from jensen.gradients.graph import reaches
from jensen.gradients.pathwise import kernel as pathwise
from jensen.gradients.registry import get
from jensen.gradients.score_function import kernel as score_function
from jensen.gradients.score_function import mean_of_others
from jensen.gradients.states import domain_size

__all__ = ["Choice", "choose", "expect"]

ENUMERATED = 64
"""So few values are summed, whatever `samples` is: no variance, and a sum is no slower than a draw and its checks."""

DISTINCT = 8
"""The most draws that `unordered_set` is chosen for; its ratios take 2^K steps."""

FEW = 2**8
"""The most values that `unordered_set` is chosen for. It never varied more than `leave_one_out` in an audit and half as
much for 100 uneven values at K = 8; from 1,000 values on the two were within a tenth, and it takes longer."""


class Choice(NamedTuple):
    """An estimator and why it was chosen."""

    method: str
    reason: str


def choose(f: Cost, q: Distribution, samples: int) -> Choice:
    """The estimator that `expect` takes, and why.

    Args:
        f: the cost; evaluated at one draw where `q` can be reparameterised, to see whether it is differentiable.
        q: the distribution.
        samples: the number of draws.

    Returns:
        The estimator's name and a reason; never one that is biased, or that keeps a state.

    Example:
        >>> from torch.distributions import Categorical, Normal, Poisson
        >>> f = lambda z: (z - 1.0) ** 2
        >>> choose(f, Categorical(torch.ones(3)), 4).method
        'enumerate_exact'
        >>> choose(f, Normal(torch.zeros(2, requires_grad=True), 1.0), 4).method
        'pathwise'
        >>> choose(f, Poisson(torch.ones(2)), 4)
        Choice(method='leave_one_out', reason='the other draws give each draw its baseline')
    """
    choice = _by_distribution(q, samples)
    if choice.method == "pathwise" and not _follows(f, q):
        return _by_draws(q, samples)
    return choice


def expect(
    f: Cost,
    q: Distribution,
    *,
    samples: int = 1,
    method: str = "auto",
    generator: Generator | None = None,
    **options: object,
) -> Tensor:
    r"""Estimate $\mathbb{E}_q[f]$ and its gradient by a named estimator, or by the one that suits f and q.

    `auto` is, in this order: `enumerate_exact` for at most `samples` or 64 values; `pathwise` where `q` has `rsample`
    and f is differentiable; with at least two samples `unordered_set` for up to 256 values, `leave_one_out` for more;
    `score_function` with one. All are unbiased and keep no state. An f with jumps besides a differentiable part is
    taken for differentiable, and its jumps have no share in the gradient: name another method for it. `audit` measures
    which is best.

    Args:
        f: maps samples `(K, *batch, *event)` to costs `(K, *batch)`.
        q: the distribution.
        samples: $K$.
        method: a name of `gradients.ESTIMATORS`, or `auto`.
        generator: for the draws.
        **options: further keywords of the estimator that is named.

    Returns:
        The estimate, `(*batch)`, its backward pass an estimate of the gradient in the parameters of `q` and of `f`.

    Raises:
        UnsupportedError: if `q` or `f` lacks what the named estimator needs.
        ValueError: if there is no such estimator, or `auto` is given options.

    Example:
        >>> from torch.distributions import Bernoulli, Independent
        >>> logits = torch.zeros(2, requires_grad=True)
        >>> expect(lambda z: z.sum(-1), Independent(Bernoulli(logits=logits), 1)).backward()
        >>> logits.grad
        tensor([0.2500, 0.2500])
    """
    if method != "auto":
        estimator = get(method)
        if missing := [name for name in estimator.needs if name not in options]:
            raise ValueError(f"{method} needs {' and '.join(missing)}=; give it as an option")
        return estimator.function(f, q, samples=samples, generator=generator, **options)
    if options:
        raise ValueError(f"method='auto' takes no options, got {', '.join(options)}; name the method they belong to")
    choice = _by_distribution(q, samples)
    if choice.method == "pathwise":
        return _along_the_path(f, q, samples, generator)
    return get(choice.method).function(f, q, samples=samples, generator=generator)


def _along_the_path(f: Cost, q: Distribution, samples: int, generator: Generator | None) -> Tensor:
    """`pathwise`, or the score function on the same costs where it turns out that they do not follow the draws."""
    check_samples(samples)
    with seeded(generator):
        z = q.rsample(torch.Size((samples,)))
    try:
        cost = evaluate(f, z, q)
    except UnsupportedError:
        cost = evaluate(f, z.detach(), q)
    if not z.requires_grad or reaches(cost, [z]):
        return pathwise(cost)
    baseline = mean_of_others(cost) if samples > 1 else 0.0
    return score_function(cost, q.log_prob(z.detach()), baseline=baseline)


def _by_distribution(q: Distribution, samples: int) -> Choice:
    """What suits q, if f is as smooth as can be."""
    size = domain_size(q)
    if size is not None and size <= max(samples, ENUMERATED):
        return Choice("enumerate_exact", f"{size} values are few enough to sum over all of them")
    if _reparameterized(q):
        return Choice("pathwise", "q has rsample, and f is differentiable in its sample")
    return _by_draws(q, samples)


def _by_draws(q: Distribution, samples: int) -> Choice:
    """What suits q, if f is a black box."""
    if samples < 2:
        return Choice("score_function", "one draw has no other to be compared with")
    size = domain_size(q)
    if size is not None and size <= FEW and samples <= DISTINCT:
        return Choice("unordered_set", f"draws from {size} values may coincide, and different ones tell more")
    return Choice("leave_one_out", "the other draws give each draw its baseline")


def _reparameterized(q: Distribution) -> bool:
    """Whether `rsample` is a smooth function of the parameters, and not a straight-through substitute."""
    return bool(getattr(q, "has_rsample", False)) and not is_discrete(base_of(q), unsaid=False)


def _follows(f: Cost, q: Distribution) -> bool:
    """Whether the cost of a draw has a gradient in the draw."""
    with torch.random.fork_rng(), torch.enable_grad():
        z = q.sample(torch.Size((1,))).requires_grad_()
        try:
            cost = evaluate(f, z, q)
        except UnsupportedError:
            return False
    return reaches(cost, [z])
