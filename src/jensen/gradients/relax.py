r"""Score function with a control variate on relaxed samples, its mean returned through the reparameterised ones.

Estimates the gradient of $\mathbb{E}_q[f(b)]$ without bias for any control variate $c$ and any temperature, because the
scores $z$ of a draw $b$ and the scores $\tilde z$ drawn again given $b$ have one law. It takes q with a relaxation and
noise given a hard sample (`relaxation`), a control that is differentiable, and any f: it is seen at hard samples only,
and its own parameters receive its direct gradient there. One evaluation of f and two of the control for each draw.
First order only.

References:
    | Backpropagation through the Void: Optimizing Control Variates (Grathwohl et al., 2018)
    | https://arxiv.org/abs/1711.00123v3
"""

from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.distributions import Distribution

from jensen.gradients._parts import Cost, UnsupportedError, check_samples, evaluate, worth
from jensen.gradients.graph import reaches
from jensen.gradients.relaxation import Relaxation, check_tau, relaxation

__all__ = ["ValueAndVariance", "estimate", "gradients", "kernel", "relax", "relax_with_variance"]


class ValueAndVariance(NamedTuple):
    r"""An estimate and how much its gradient varies.

    Attributes:
        value: the mean cost, whose gradient is the estimator, `(*batch)`.
        variance: $\sum_i \hat g_i^2$ of one draw, averaged over the draws, `(*batch)`. Its expectation is the trace of
            the variance of the single-draw gradient in the logits, plus the squared norm of the exact gradient, which
            no control changes.
    """

    value: Tensor
    variance: Tensor


def relax(
    f: Cost,
    q: Distribution,
    *,
    control: Cost,
    samples: int = 1,
    tau: float | Tensor = 0.5,
    tied: bool = True,
    generator: Generator | None = None,
) -> Tensor:
    r"""RELAX: the mean of `f`, with an unbiased gradient whose variance a control of your own reduces.

    $$\hat g = \big(f(b) - c(\tilde z)\big) \nabla \log q(b) + \nabla c(z) - \nabla c(\tilde z)$$

    The control may be a network in place of `f`, for an `f` that is a black box, or be added to it as in the paper,
    `control=lambda z: f(z) + network(z)`. Any control leaves the gradient unbiased; a good one is close to `f`. Learn
    it with `relax_with_variance`.

    Args:
        f: maps samples `(K, *batch, *event)` to costs `(K, *batch)`; its parameters receive the gradient of these costs
            alone.
        q: Bernoulli, OneHotCategorical, IndependentBernoulli, `Independent` of those, or with a method `relaxation()`.
        control: $c$, maps relaxed samples to costs as `f` does, and is called once with `2 K` of them; differentiable.
        samples: number of draws $K$.
        tau: temperature of the relaxed samples, a number or a tensor that broadcasts against `(*batch, *variables)`.
        tied: whether $\tilde z$ is equal to $z$, with another derivative, in place of independent of it given $b$.
        generator: for the noise.

    Returns:
        The mean cost, `(*batch)`.

    Raises:
        UnsupportedError: if `q` has no relaxation, or the control no derivative.
        ValueError: if `tau` is not positive, there is no draw, or `f` or the control returns another shape.

    Example:
        >>> logits = torch.zeros(2, requires_grad=True)
        >>> q = torch.distributions.Bernoulli(logits=logits)
        >>> value = relax(lambda b: 3.0 + 0 * b, q, control=lambda z: torch.tanh(z - 0.5), samples=8)
        >>> value.detach()
        tensor([3., 3.])

    References:
        | Backpropagation through the Void: Optimizing Control Variates (Grathwohl et al., 2018)
        | https://arxiv.org/abs/1711.00123v3
    """
    if not torch.is_grad_enabled():
        return _drawn(f, q, samples=samples, tau=tau, generator=generator).cost.mean(0)
    return estimate(f, q, control=control, samples=samples, tau=tau, tied=tied, generator=generator).value


def relax_with_variance(
    f: Cost,
    q: Distribution,
    *,
    control: Cost,
    samples: int = 1,
    tau: float | Tensor = 0.5,
    tied: bool = True,
    generator: Generator | None = None,
) -> ValueAndVariance:
    r"""`relax`, and from the same evaluation the variance that the control and `tau` are learned with.

    $$\nabla_{\phi} \mathrm{Var}[\hat g] = \mathbb{E}\big[\nabla_{\phi} \textstyle\sum_i \hat g_i^2\big]$$

    The gradient is taken at a copy of the logits, so that nothing of it reaches q, and the network behind the logits is
    walked once, for the value. Give the variance's gradient to the control and the temperature only,
    `torch.autograd.grad(variance.mean(), parameters)`: where the control uses `f`, it has one in the parameters of `f`.

    Args:
        f: maps samples `(K, *batch, *event)` to costs `(K, *batch)`.
        q: Bernoulli, OneHotCategorical, IndependentBernoulli, `Independent` of those, or with a method `relaxation()`.
        control: maps relaxed samples to costs as `f` does; twice differentiable.
        samples: number of draws $K$.
        tau: temperature, a number or a tensor that broadcasts against `(*batch, *variables)`.
        tied: whether $\tilde z$ is equal to $z$, with another derivative.
        generator: for the noise.

    Returns:
        What `relax` returns, and the variance to minimise, `(*batch)` each.

    Raises:
        UnsupportedError: if `q` has no relaxation, or the control no derivative.
        ValueError: if `tau` is not positive, there is no draw, or `f` or the control returns another shape.

    Example:
        >>> scale = torch.tensor(1.0, requires_grad=True)
        >>> q = torch.distributions.Bernoulli(logits=torch.zeros(2))
        >>> value, variance = relax_with_variance(lambda b: b, q, control=lambda z: scale * z, samples=8)
        >>> (slope,) = torch.autograd.grad(variance.mean(), scale)

    References:
        | Backpropagation through the Void: Optimizing Control Variates (Grathwohl et al., 2018)
        | https://arxiv.org/abs/1711.00123v3
    """
    return estimate(f, q, control=control, samples=samples, tau=tau, tied=tied, generator=generator, tune=True)


def estimate(
    f: Cost,
    q: Distribution,
    *,
    control: Cost,
    samples: int,
    tau: float | Tensor,
    tied: bool,
    generator: Generator | None,
    tune: bool = False,
) -> ValueAndVariance:
    """Draw, and evaluate `f` at hard samples and the control at soft ones; the variance has a gradient with `tune`."""
    p, u, cost = _drawn(f, q, samples=samples, tau=tau, generator=generator)
    v = p.tied(u) if tied else p.noise(samples, generator)
    g = gradients(cost, p, control=lambda z: evaluate(control, z, q), u=u, v=v, tau=tau, tune=tune)
    return ValueAndVariance(kernel(cost, p, g=g), p.event_sum(g.square()).mean(0))


def kernel(cost: Tensor, p: Relaxation, *, g: Tensor) -> Tensor:
    """The mean cost, with the mean of the gradients `g` of the draws as its gradient in the logits, `(*batch)`."""
    step = p.logits - p.logits.detach()  # (*batch, *event), zero
    return worth(cost.mean(0), p.event_sum(g.detach().mean(0) * step))


def gradients(
    cost: Tensor, p: Relaxation, *, control: Cost, u: Tensor, v: Tensor, tau: float | Tensor, tune: bool = False
) -> Tensor:
    r"""The estimator of the gradient in the logits for each draw, `(K, *batch, *event)`.

    $$\hat g = \big(f(b) - c(\sigma(\tilde z / \tau))\big) \nabla \log q(b) + \nabla c(\sigma(z / \tau))
    - \nabla c(\sigma(\tilde z / \tau)), \qquad z = g(l, u), \quad b = H(z), \quad \tilde z = \tilde g(l, v, b)$$

    Args:
        cost: $f(b)$ for the hard samples of `u`, `(K, *batch)`.
        p: the relaxation of q.
        control: $c$, from relaxed samples to `(K, *batch)`.
        u: uniform noise of the draws, `(K, *batch, *event)`.
        v: uniform noise of the scores given them, of the same shape.
        tau: temperature.
        tune: whether the result is differentiable in the control's parameters and `tau`.
    """
    K = len(u)
    with torch.enable_grad():
        logits = p.logits.detach().expand_as(u).clone().requires_grad_()  # (K, *batch, *event)
        p = p.at(logits)
        z = p.scores(u)
        b = p.harden(z.detach())
        c = control(p.soften(torch.cat([z, p.conditional(b, v)]), tau))  # (2 K, *batch)
        path = _derivative(c[:K] - c[K:], logits, tune)
    advantage = cost.detach() - (c[K:] if tune else c[K:].detach())  # (K, *batch)
    return advantage.reshape(*advantage.shape, *[1] * p.event_dims) * p.score(b) + path


class _Drawn(NamedTuple):
    p: Relaxation
    u: Tensor  # (K, *batch, *event)
    cost: Tensor  # (K, *batch), of the hard samples of u


def _drawn(f: Cost, q: Distribution, *, samples: int, tau: float | Tensor, generator: Generator | None) -> _Drawn:
    check_samples(samples)
    check_tau(tau)
    p = relaxation(q)
    u = p.noise(samples, generator)
    with torch.no_grad():
        b = p.harden(p.scores(u))
    return _Drawn(p, u, evaluate(f, b, q))


def _derivative(control: Tensor, logits: Tensor, tune: bool) -> Tensor:
    if not reaches(control, [logits]):
        raise UnsupportedError("the cost has no derivative at relaxed samples; use relax with a control that has one")
    (path,) = torch.autograd.grad(control.sum(), logits, create_graph=tune)
    return path
