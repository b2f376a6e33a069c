r"""A relaxed model trained as what it is: relaxed samples, and relaxed densities for both q and the prior.

Estimates $\mathbb{E}_{q_\tau}[f(z)]$ and, with a prior,
$\mathbb{E}_{q_\tau}[f(z) + \log q_\tau(z) - \log p_{\tau'}(z)]$, where $q_\tau$ and $p_{\tau'}$ are the densities of
the relaxed samples. With $f = -\log p(x \mid z)$ minus the second is at most
$\log \int p_{\tau'}(z) p(x \mid z) \, dz$, the log-evidence of the model with relaxed latents. The divergence of the
discrete distributions in place of the relaxed one bounds neither evidence. Densities are taken in log-odds or log
space, where low temperatures do not underflow. It takes q with a relaxation and an f that is differentiable between
the corners of the simplex. Unbiased for the relaxed model, biased for the discrete one. One evaluation of f for each
draw. Differentiable any number of times.

References:
    | The Concrete Distribution: A Continuous Relaxation of Discrete Random Variables (Maddison et al., 2017)
    | https://arxiv.org/abs/1611.00712v3
"""

from torch import Generator, Tensor
from torch.distributions import Distribution

from jensen.gradients._parts import Cost, check_samples, evaluate
from jensen.gradients.graph import check_differentiable
from jensen.gradients.relaxation import Relaxation, check_tau, relaxation

__all__ = ["concrete", "kernel", "log_ratio"]


def kernel(f: Cost, p: Relaxation, *, u: Tensor, tau: float | Tensor) -> Tensor:
    """The costs of relaxed samples, `(K, *batch)`."""
    return f(p.soften(p.scores(u), tau))


def log_ratio(q: Relaxation, prior: Relaxation, *, u: Tensor, tau: float | Tensor, prior_tau: float | Tensor) -> Tensor:
    r"""$\log q_\tau(z) - \log p_{\tau'}(z)$ at the relaxed samples of `u`, in nats, `(K, *batch)`."""
    y = q.coordinates(q.scores(u), tau)  # (K, *batch, *event)
    return q.log_density(y, tau) - prior.log_density(y, prior_tau)


def concrete(
    f: Cost,
    q: Distribution,
    *,
    tau: float | Tensor,
    prior: Distribution | None = None,
    prior_tau: float | Tensor | None = None,
    samples: int = 1,
    generator: Generator | None = None,
) -> Tensor:
    r"""Mean of `f` at relaxed samples, plus the divergence of the relaxed densities if there is a prior.

    $$\mathbb{E}_{q_\tau}\big[f(z) + \log q_\tau(z) - \log p_{\tau'}(z)\big]
    \ge -\log \int p_{\tau'}(z) \, e^{-f(z)} \, dz$$

    Value and gradient are unbiased for the left side, and minus the value is in expectation a lower bound on the
    log-evidence of the relaxed model. Neither is a statement about the discrete one.

    Args:
        f: maps relaxed samples `(K, *batch, *event)`, between the values that q takes, to costs `(K, *batch)`;
            differentiable. With a prior, $-\log p(x \mid z)$.
        q: Bernoulli, OneHotCategorical, IndependentBernoulli, `Independent` of those, or with a method `relaxation()`.
        tau: temperature of q, a number or a tensor that broadcasts against `(*batch, *variables)`.
        prior: a distribution of the kind and event shape of `q`, whose batch shape broadcasts to that of `q`; none for
            the mean of `f` alone.
        prior_tau: temperature of the prior; that of `q` by default.
        samples: number of draws $K$.
        generator: for the noise.

    Returns:
        The relaxed expectation's estimate, in nats if `f` is, `(*batch)`.

    Raises:
        UnsupportedError: if `q` or the prior has no relaxation, or `f` no derivative at the samples.
        ValueError: if a temperature is not positive, the prior is of another kind or shape, there is no draw, or `f`
            returns another shape.

    Example:
        >>> q = torch.distributions.Bernoulli(logits=torch.tensor(0.3))
        >>> concrete(lambda z: 0 * z, q, tau=0.5, prior=q)
        tensor(0.)

    References:
        | The Concrete Distribution: A Continuous Relaxation of Discrete Random Variables (Maddison et al., 2017)
        | https://arxiv.org/abs/1611.00712v3
    """
    check_samples(samples)
    check_tau(tau)
    if prior is None and prior_tau is not None:
        raise ValueError("prior_tau is given without a prior; give the prior too")
    p = relaxation(q)
    u = p.noise(samples, generator)
    cost = kernel(lambda z: check_differentiable(evaluate(f, z, q), z), p, u=u, tau=tau)
    if prior is None:
        return cost.mean(0)
    prior_tau = tau if prior_tau is None else prior_tau
    check_tau(prior_tau)
    return (cost + log_ratio(p, _prior(prior, q), u=u, tau=tau, prior_tau=prior_tau)).mean(0)


def _prior(prior: Distribution, q: Distribution) -> Relaxation:
    of_prior, of_q = relaxation(prior), relaxation(q)
    fits = prior.event_shape == q.event_shape and _broadcasts(prior, q)
    if type(of_prior) is not type(of_q) or not fits:
        raise ValueError(f"the prior is {_words(prior)}, and q {_words(q)}; give a prior of the kind and shape of q")
    return of_prior


def _broadcasts(prior: Distribution, q: Distribution) -> bool:
    pairs = zip(reversed(prior.batch_shape), reversed(q.batch_shape), strict=False)
    return len(prior.batch_shape) <= len(q.batch_shape) and all(one in (1, other) for one, other in pairs)


def _words(q: Distribution) -> str:
    return f"{type(q).__name__} of batch shape {tuple(q.batch_shape)} and event shape {tuple(q.event_shape)}"
