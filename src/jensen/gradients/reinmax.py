r"""Straight-through to second order: Heun's method in place of Euler's.

The exact gradient is a sum of differences of f between categories. Straight-through replaces each difference by the
derivative at the sample; ReinMax by the mean of the derivatives at both ends (the trapezoid rule), which is exact for
quadratic f at `tau` 1, and biased for others. It takes q with a relaxation and an f that is differentiable at the
corners. The value is exactly the mean of f at draws of q. One evaluation of f for each draw. First order only.

References:
    | Bridging Discrete and Backpropagation: Straight-Through and Beyond (Liu et al., 2023), section 3
    | https://arxiv.org/abs/2304.08612v3
"""

from torch import Generator, Tensor
from torch.distributions import Distribution

from jensen.gradients._parts import Cost, check_samples, evaluate, worth
from jensen.gradients.graph import check_differentiable
from jensen.gradients.relaxation import Relaxation, check_tau, relaxation

__all__ = ["kernel", "reinmax"]


def kernel(f: Cost, p: Relaxation, *, b: Tensor, tau: float | Tensor) -> Tensor:
    r"""The mean of $f(b_k)$ and the second-order gradient, `(*batch)`.

    $$\hat g = f'(b)^\top \big(2 J(\pi_1) - \tfrac{1}{2} J(\pi_0)\big), \qquad
    \pi_1 = \tfrac{1}{2} \big(b + \sigma(l / \tau)\big), \quad \pi_0 = \sigma(l), \quad
    J(\pi) = \mathrm{diag}(\pi) - \pi \pi^\top$$
    """
    pi_0 = p.soften(p.logits, 1.0)
    pi_1 = (b + p.soften(p.logits, tau)) / 2  # (K, *batch, *event)
    return f(worth(b, 2 * p.tangent(pi_1) - p.tangent(pi_0) / 2)).mean(0)


def reinmax(
    f: Cost, q: Distribution, *, samples: int = 1, tau: float | Tensor = 1.0, generator: Generator | None = None
) -> Tensor:
    r"""ReinMax: mean of `f` at hard samples, with a gradient that is exact for quadratic `f` at `tau` 1.

    $$\hat g = f'(b)^\top \big(2 J(\tfrac{b + \pi}{2}) - \tfrac{1}{2} J(\pi)\big), \qquad
    J(\pi) = \mathrm{diag}(\pi) - \pi \pi^\top$$

    Args:
        f: maps samples `(K, *batch, *event)` to costs `(K, *batch)`; differentiable.
        q: Bernoulli, OneHotCategorical, IndependentBernoulli, `Independent` of those, or with a method `relaxation()`.
        samples: number of draws $K$.
        tau: temperature of the mean that the sample is averaged with; the method is of second order at 1.
        generator: for the noise.

    Returns:
        The mean cost, `(*batch)`.

    Raises:
        UnsupportedError: if `q` has no relaxation, or `f` no derivative at the samples.
        ValueError: if `tau` is not positive, there is no draw, or `f` returns another shape.

    Example:
        >>> logits = torch.zeros(2, requires_grad=True)
        >>> q = torch.distributions.Bernoulli(logits=logits)
        >>> reinmax(lambda b: 3 * b, q).sum().backward()
        >>> logits.grad
        tensor([0.7500, 0.7500])

    References:
        | Bridging Discrete and Backpropagation: Straight-Through and Beyond (Liu et al., 2023), algorithm 2
        | https://arxiv.org/abs/2304.08612v3
    """
    check_samples(samples)
    check_tau(tau)
    p = relaxation(q)
    b = p.harden(p.scores(p.noise(samples, generator)).detach())
    return kernel(lambda z: check_differentiable(evaluate(f, z, q), z), p, b=b, tau=tau)
