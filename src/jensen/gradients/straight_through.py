r"""Hard samples forward, a soft derivative backward.

The value is exactly the mean of f at draws of q, so it estimates $\mathbb{E}_q[f]$ without bias. The gradient is that
of f at the hard sample times the derivative of a soft one, and it is biased at every temperature: with the relaxed
sample (`straight_through`) or with the mean of q (`straight_through_mean`) as the soft one. The bias vanishes for
linear f, for the relaxed sample only as its temperature falls. It takes q with a relaxation and an f that is
differentiable at the corners. One evaluation of f for each draw. First order only.

References:
    | Categorical Reparameterization with Gumbel-Softmax (Jang, Gu & Poole, 2017), section 2.2
    | https://arxiv.org/abs/1611.01144v5
    | Estimating or Propagating Gradients Through Stochastic Neurons (Bengio, Léonard & Courville, 2013)
    | https://arxiv.org/abs/1308.3432v1
"""

from torch import Generator, Tensor
from torch.distributions import Distribution

from jensen.gradients._parts import Cost, check_samples, evaluate, worth
from jensen.gradients.graph import check_differentiable
from jensen.gradients.relaxation import Relaxation, check_tau, relaxation

__all__ = ["kernel", "kernel_mean", "straight_through", "straight_through_mean"]


def kernel(f: Cost, p: Relaxation, *, u: Tensor, tau: float | Tensor) -> Tensor:
    r"""The mean of $f(b_k)$, with the derivative of $\sigma(z_k / \tau)$ for that of $b_k$, `(*batch)`."""
    z = p.scores(u)  # (K, *batch, *event)
    return f(worth(p.harden(z.detach()), p.soften(z, tau))).mean(0)


def kernel_mean(f: Cost, p: Relaxation, *, u: Tensor) -> Tensor:
    r"""The mean of $f(b_k)$, with the derivative of $\mathbb{E}_q[b]$ for that of $b_k$, `(*batch)`."""
    b = p.harden(p.scores(u).detach())  # (K, *batch, *event)
    return f(worth(b, p.soften(p.logits, 1.0).expand_as(b))).mean(0)


def straight_through(
    f: Cost, q: Distribution, *, samples: int = 1, tau: float | Tensor = 1.0, generator: Generator | None = None
) -> Tensor:
    r"""Straight-through Gumbel-softmax: mean of `f` at hard samples, the gradient through soft ones of the same noise.

    $$\hat g = f'(b) \, \nabla \sigma(z / \tau)$$

    A lower temperature does not remove the bias. As `tau` falls the soft derivative gathers where two categories tie,
    and half of it falls on either: each difference of `f` between two categories is replaced by the trapezoid rule on
    its derivative, which is exact for quadratic `f` and biased for others, while the variance grows like $1 / \tau$.

    Args:
        f: maps samples `(K, *batch, *event)` to costs `(K, *batch)`; differentiable.
        q: Bernoulli, OneHotCategorical, IndependentBernoulli, `Independent` of those, or with a method `relaxation()`.
        samples: number of draws $K$.
        tau: temperature, a number or a tensor that broadcasts against `(*batch, *variables)`.
        generator: for the noise.

    Returns:
        The mean cost, `(*batch)`.

    Raises:
        UnsupportedError: if `q` has no relaxation, or `f` no derivative at the samples.
        ValueError: if `tau` is not positive, there is no draw, or `f` returns another shape.

    Example:
        >>> q = torch.distributions.Bernoulli(logits=torch.tensor([50.0, -50.0], requires_grad=True))
        >>> straight_through(lambda b: (b - 0.25) ** 2, q).detach()
        tensor([0.5625, 0.0625])

    References:
        | Categorical Reparameterization with Gumbel-Softmax (Jang, Gu & Poole, 2017), section 2.2
        | https://arxiv.org/abs/1611.01144v5
    """
    check_samples(samples)
    check_tau(tau)
    p = relaxation(q)
    return kernel(lambda b: check_differentiable(evaluate(f, b, q), b), p, u=p.noise(samples, generator), tau=tau)


def straight_through_mean(f: Cost, q: Distribution, *, samples: int = 1, generator: Generator | None = None) -> Tensor:
    r"""Straight-through with the mean of q: mean of `f` at hard samples, the gradient as if each were the mean.

    $$\hat g = f'(b) \, \nabla \mathbb{E}_q[b]$$

    Exact for linear `f`; `reinmax` is its second-order form.

    Args:
        f: maps samples `(K, *batch, *event)` to costs `(K, *batch)`; differentiable.
        q: Bernoulli, OneHotCategorical, IndependentBernoulli, `Independent` of those, or with a method `relaxation()`.
        samples: number of draws $K$.
        generator: for the noise.

    Returns:
        The mean cost, `(*batch)`.

    Raises:
        UnsupportedError: if `q` has no relaxation, or `f` no derivative at the samples.
        ValueError: if there is no draw, or `f` returns another shape.

    Example:
        >>> logits = torch.zeros(2, requires_grad=True)
        >>> q = torch.distributions.Bernoulli(logits=logits)
        >>> straight_through_mean(lambda b: 3 * b, q).sum().backward()
        >>> logits.grad
        tensor([0.7500, 0.7500])

    References:
        | Estimating or Propagating Gradients Through Stochastic Neurons (Bengio, Léonard & Courville, 2013)
        | https://arxiv.org/abs/1308.3432v1
    """
    check_samples(samples)
    p = relaxation(q)
    return kernel_mean(lambda b: check_differentiable(evaluate(f, b, q), b), p, u=p.noise(samples, generator))
