r"""RELAX with the cost itself at relaxed samples as the control variate.

Estimates the gradient of $\mathbb{E}_q[f(b)]$ without bias for any temperature and any scale $\eta$. It takes q with a
relaxation and noise given a hard sample (`relaxation`), and an f that is differentiable between the corners; the
parameters of f receive its direct gradient at hard samples only. Three evaluations of f for each draw, two of them also
differentiated. First order only.

References:
    | REBAR: Low-variance, Unbiased Gradient Estimates for Discrete Latent Variable Models (Tucker et al., 2017)
    | https://arxiv.org/abs/1703.07370v4
"""

from torch import Generator, Tensor
from torch.distributions import Distribution

from jensen.gradients._parts import Cost
from jensen.gradients.relax import ValueAndVariance, relax, relax_with_variance

__all__ = ["rebar", "rebar_with_variance"]


def rebar(
    f: Cost,
    q: Distribution,
    *,
    samples: int = 1,
    tau: float | Tensor = 0.5,
    eta: float | Tensor = 1.0,
    tied: bool = True,
    generator: Generator | None = None,
) -> Tensor:
    r"""REBAR: the mean of `f`, with an unbiased gradient that its own relaxation makes less variable.

    $$\hat g = \big(f(b) - \eta f(\sigma_\tau(\tilde z))\big) \nabla \log q(b) + \eta \nabla f(\sigma_\tau(z))
    - \eta \nabla f(\sigma_\tau(\tilde z))$$

    At $\eta = 0$ it is the score function without a baseline. `relax` takes any other control.

    Args:
        f: maps samples `(K, *batch, *event)` to costs `(K, *batch)`, at the values of q and between them;
            differentiable; called with `K` hard samples, then with `2 K` soft ones.
        q: Bernoulli, OneHotCategorical, IndependentBernoulli, `Independent` of those, or with a method `relaxation()`.
        samples: number of draws $K$.
        tau: temperature, a number or a tensor that broadcasts against `(*batch, *variables)`.
        eta: scale of the control variate, a number or a tensor that broadcasts against `(*batch)`.
        tied: whether $\tilde z$ is equal to $z$, with another derivative, in place of independent of it given $b$.
        generator: for the noise.

    Returns:
        The mean cost, `(*batch)`.

    Raises:
        UnsupportedError: if `q` has no relaxation, or `f` no derivative at relaxed samples.
        ValueError: if `tau` is not positive, there is no draw, or `f` returns another shape.

    Example:
        >>> logits = torch.zeros(2, requires_grad=True)
        >>> q = torch.distributions.Bernoulli(logits=logits)
        >>> rebar(lambda b: (b - 0.5) ** 2, q, samples=8).detach()
        tensor([0.2500, 0.2500])

    References:
        | REBAR: Low-variance, Unbiased Gradient Estimates for Discrete Latent Variable Models (Tucker et al., 2017)
        | https://arxiv.org/abs/1703.07370v4
    """
    return relax(f, q, control=lambda z: eta * f(z), samples=samples, tau=tau, tied=tied, generator=generator)


def rebar_with_variance(
    f: Cost,
    q: Distribution,
    *,
    samples: int = 1,
    tau: float | Tensor = 0.5,
    eta: float | Tensor = 1.0,
    tied: bool = True,
    generator: Generator | None = None,
) -> ValueAndVariance:
    r"""`rebar`, and from the same evaluation the variance that `tau` and `eta` are learned with.

    Nothing of the variance reaches q. Give its gradient to `tau` and `eta` only,
    `torch.autograd.grad(variance.mean(), [tau, eta])`: it has one in the parameters of `f` too.

    Args:
        f: maps samples `(K, *batch, *event)` to costs `(K, *batch)`; twice differentiable.
        q: Bernoulli, OneHotCategorical, IndependentBernoulli, `Independent` of those, or with a method `relaxation()`.
        samples: number of draws $K$.
        tau: temperature, a number or a tensor that broadcasts against `(*batch, *variables)`.
        eta: scale of the control variate, a number or a tensor that broadcasts against `(*batch)`.
        tied: whether $\tilde z$ is equal to $z$, with another derivative.
        generator: for the noise.

    Returns:
        What `rebar` returns, and the variance to minimise, `(*batch)` each.

    Raises:
        UnsupportedError: if `q` has no relaxation, or `f` no derivative at relaxed samples.
        ValueError: if `tau` is not positive, there is no draw, or `f` returns another shape.

    Example:
        >>> eta = torch.tensor(1.0, requires_grad=True)
        >>> q = torch.distributions.Bernoulli(logits=torch.zeros(2))
        >>> value, variance = rebar_with_variance(lambda b: (b - 0.45) ** 2, q, eta=eta, samples=8)
        >>> (slope,) = torch.autograd.grad(variance.mean(), eta)

    References:
        | REBAR: Low-variance, Unbiased Gradient Estimates for Discrete Latent Variable Models (Tucker et al., 2017)
        | https://arxiv.org/abs/1703.07370v4
    """
    return relax_with_variance(
        f, q, control=lambda z: eta * f(z), samples=samples, tau=tau, tied=tied, generator=generator
    )
