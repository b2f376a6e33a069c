r"""The pathwise estimator (reparameterisation): the gradient goes through the draw.

Expectation: $\mathbb{E}_q[f(z)]$. Assumed: `q` has `rsample`, and $f$ is continuous and differentiable almost
everywhere. A jump in $f$ is not seen, and its share of the gradient is missing without a warning: use `measure_valued`
or `score_function` there. Bias: none for such $f$, in derivatives of every order that $f$ and `rsample` have.
Evaluations of $f$: $K$, and one backward pass through them.

References:
    | Auto-Encoding Variational Bayes (Kingma & Welling, 2014), section 2.4
    | https://arxiv.org/abs/1312.6114v11
"""

import torch
from torch import Generator, Tensor
from torch.distributions import Distribution

from jensen._random import seeded
from jensen.gradients._parts import Cost, UnsupportedError, base_of, check_samples, evaluate, is_discrete
from jensen.gradients.graph import check_differentiable

__all__ = ["kernel", "pathwise"]


def kernel(cost: Tensor) -> Tensor:
    r"""The mean cost of reparameterised draws, with the gradient that autograd gives it.

    $$\nabla \mathbb{E}_q[f] = \mathbb{E}_\epsilon\Big[\frac{1}{K} \sum_k \nabla f(z(\epsilon_k))\Big]$$

    Args:
        cost: $f(z(\epsilon_k))$, `(K, *batch)`.
    """
    return cost.mean(0)


def pathwise(f: Cost, q: Distribution, *, samples: int = 1, generator: Generator | None = None) -> Tensor:
    r"""Estimate $\mathbb{E}_q[f]$, its gradient through the draws.

    $$\nabla_\theta \mathbb{E}_q[f] = \mathbb{E}_\epsilon[\nabla_z f(z) \, \nabla_\theta z(\epsilon, \theta)]$$

    The first choice for continuous `q` and smooth `f`.

    Args:
        f: maps samples `(K, *batch, *event)` to costs `(K, *batch)`.
        q: a continuous distribution with `rsample`.
        samples: $K$.
        generator: for the draws.

    Returns:
        The mean cost, `(*batch)`.

    Raises:
        UnsupportedError: if `q` has no `rsample` or is discrete, or the costs do not depend on the draws by way of
            differentiable operations.
        ValueError: for no sample, or costs of another shape.

    Example:
        >>> from torch.distributions import Normal
        >>> location = torch.tensor(1.0, requires_grad=True)
        >>> pathwise(lambda z: 3 * z, Normal(location, 1.0), samples=5).backward()
        >>> location.grad
        tensor(3.)

    References:
        | Monte Carlo Gradient Estimation in Machine Learning (Mohamed, Rosca, Figurnov & Mnih, 2020), section 5
        | https://arxiv.org/abs/1906.10652v2
    """
    check_samples(samples)
    _check_path(q)
    with seeded(generator):
        z = q.rsample(torch.Size((samples,)))
    return kernel(check_differentiable(evaluate(f, z, q), z))


def _check_path(q: Distribution) -> None:
    """Refuse what has no `rsample`, and what only pretends to."""
    base = base_of(q)
    name = type(base).__name__
    if not getattr(q, "has_rsample", False):
        raise UnsupportedError(f"{name} has no rsample; use score_function, or enumerate_exact if it is discrete")
    if is_discrete(base, unsaid=False):
        raise UnsupportedError(f"{name} is discrete: its rsample is a biased substitute; use straight_through")
