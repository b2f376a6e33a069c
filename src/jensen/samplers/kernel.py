r"""One Hamiltonian Monte Carlo transition of many chains at once, in groups that differ in their density.

Group $g$ has the log-density $\log \pi_g(x) = \sum_j w_{jg}\, \ell_j(x)$ of common terms $\ell_j$: a posterior is one
group of weights $(1, 1)$ on log-likelihood and log-prior, and the power posteriors of an annealing path are one group
each of weights $(\beta, 1)$. All chains of all groups go through the terms in one call.

With $S$ the group's scale and $\epsilon$ its step size, a leapfrog step from $(x, p)$, $p \sim N(0, I)$, is

$$p \leftarrow p + \tfrac{\epsilon}{2} S^T \nabla \log \pi(x), \quad x \leftarrow x + \epsilon S p, \quad
p \leftarrow p + \tfrac{\epsilon}{2} S^T \nabla \log \pi(x).$$

It is reversible and keeps volume whatever vector stands for the gradient, so a gradient that is not finite counts as
zero and the draws stay exact. A place that is not finite is never passed on: the trajectory stops before it and is
rejected.

References:
    | MCMC Using Hamiltonian Dynamics (Neal, 2011)
    | https://arxiv.org/abs/1206.1901
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Generator, Tensor

__all__ = ["DIVERGENCE", "Ensemble", "Moves", "Terms", "hmc", "log_density", "start"]

Terms = Callable[[Tensor], Tensor]
"""Maps points `(B, d)` to the terms of their log-densities, `(J, B)`."""

DIVERGENCE = 1000.0
"""The energy error, in nats, from which a trajectory counts as divergent."""

Drift = Callable[[Tensor, Tensor], Tensor]
Kick = Callable[[Tensor, Tensor, float], Tensor]


class Ensemble(NamedTuple):
    r"""Where the chains are.

    Attributes:
        points: `(G, C, d)`.
        terms: the terms there, `(J, G, C)`; NaN and `+inf` made `-inf`.
        gradient: of each group's own log-density, `(G, C, d)`; zero where it is not finite.
    """

    points: Tensor
    terms: Tensor
    gradient: Tensor


class Moves(NamedTuple):
    r"""How a transition went, chain by chain.

    Attributes:
        acceptance: probability of the Metropolis step, `(G, C)`.
        divergent: whether the energy error was above `DIVERGENCE`, or a place or a gradient on the way not finite,
            `(G, C)`.
        proposal: end of the trajectory, accepted or not, `(G, C, d)`; always finite.
        velocity: $dx/dt$ there, `(G, C, d)`.
        accepted: `(G, C)`.
        not_finite: whether a term was NaN or `+inf` at the proposal, `(G, C)`.
        outside: whether the density was zero there, `(G, C)`.
    """

    acceptance: Tensor
    divergent: Tensor
    proposal: Tensor
    velocity: Tensor
    accepted: Tensor
    not_finite: Tensor
    outside: Tensor


def start(terms: Terms, points: Tensor, weights: Tensor) -> Ensemble:
    """Chains at given points, with what the first transition needs to know: one evaluation for each.

    Args:
        terms: maps `(B, d)` to `(J, B)`.
        points: `(G, C, d)`, finite.
        weights: of each term in each group's log-density, `(J, G)`.

    Raises:
        ValueError: if the shapes do not fit, or a point is not finite.

    Example:
        >>> normal = lambda x: -(x**2).sum(-1).unsqueeze(0) / 2
        >>> start(normal, torch.ones(1, 2, 3), torch.ones(1, 1)).terms
        tensor([[[-1.5000, -1.5000]]])
    """
    _check(points, weights)
    if not bool(points.isfinite().all()):
        raise ValueError("a chain cannot start at a point that is not finite")
    G, C, d = points.shape
    flat = points.detach().reshape(G * C, d)
    values, gradient = _differentiate(terms, flat, _spread(weights, C))
    values = _clean(values).reshape(-1, G, C)
    return Ensemble(points.detach(), values, gradient.nan_to_num(0.0, 0.0, 0.0).view(G, C, d))


def log_density(terms: Tensor, weights: Tensor) -> Tensor:
    r"""$\sum_j w_{jg}\, \ell_j$ of terms `(J, G, C)`, `(G, C)`: a term of weight 0 is left out, though it be infinite.

    Args:
        terms: `(J, G, C)`.
        weights: `(J, G)`.

    Example:
        >>> log_density(torch.tensor([[[-torch.inf]], [[-1.0]]]), torch.tensor([[0.0], [1.0]]))
        tensor([[-1.]])
    """
    w = weights.unsqueeze(-1)
    return _clean((w * terms).masked_fill_(w == 0, 0.0).sum(0))


@torch.no_grad()
def hmc(
    ensemble: Ensemble,
    terms: Terms,
    weights: Tensor,
    *,
    step_size: Tensor,
    steps: int,
    scale: Tensor,
    generator: Generator,
) -> tuple[Ensemble, Moves]:
    r"""One transition of every chain: fresh momenta, `steps` leapfrog steps, a Metropolis step.

    It costs `steps` evaluations of every chain.

    Args:
        ensemble: the chains, by `start` or a transition before, under the same weights.
        terms: maps `(B, d)` to `(J, B)`.
        weights: of each term in each group's log-density, `(J, G)`.
        step_size: $\epsilon$, `(G,)`.
        steps: leapfrog steps, the same for all groups.
        scale: standard deviations `(G, d)`, or lower Cholesky factors of covariances `(G, d, d)`.
        generator: source of the momenta and of the acceptances.

    Returns:
        The chains after it, and how it went.

    Raises:
        ValueError: if the shapes do not fit.

    Example:
        >>> normal = lambda x: -(x**2).sum(-1).unsqueeze(0) / 2
        >>> one, generator = torch.ones(1, 1), torch.Generator().manual_seed(0)
        >>> chains = start(normal, torch.zeros(1, 500, 1), one)
        >>> settings = {"step_size": one[0], "steps": 2, "scale": one, "generator": generator}
        >>> chains, moves = hmc(chains, normal, one, **settings)
        >>> moves.acceptance.shape
        torch.Size([1, 500])
    """
    points, values, gradient = ensemble
    _check(points, weights)
    G, C, d = points.shape
    _check_settings(points, step_size, steps, scale)
    drift, kick = _leapfrog(points, step_size, scale)
    spread = _spread(weights, C)
    p = torch.randn(points.shape, generator=generator, dtype=points.dtype, device=points.device)
    log_ratio = p.square().sum(-1).div_(2).sub_(log_density(values, weights))  # (G, C)
    kick(p, gradient, 0.5)
    x, force, ends, stopped, rough = points, gradient, values, None, None
    for step in range(1, steps + 1):
        x, left = _advance(x, drift(x, p))
        ends, force = _differentiate(terms, x.view(G * C, d), spread)
        force, wild = _finite(force.view(G, C, d))
        stopped, rough = _either(stopped, left), _either(rough, wild)
        kick(p, force, 1.0 if step < steps else 0.5)
    raw = ends.view(-1, G, C)
    ends = _clean(raw)
    arrived = log_density(ends, weights)
    log_ratio.add_(arrived).sub_(p.square().sum(-1).div_(2))
    if stopped is not None:
        log_ratio.masked_fill_(stopped, -math.inf)
        p.masked_fill_(stopped.unsqueeze(-1), 0.0)
    log_ratio.nan_to_num_(-math.inf, math.inf, -math.inf)
    chance = torch.rand((G, C), generator=generator, dtype=points.dtype, device=points.device)
    accepted = chance.log_() < log_ratio
    divergent = log_ratio < -DIVERGENCE
    divergent = divergent if rough is None else divergent | rough
    velocity = drift(torch.zeros_like(x), p).div_(step_size.view(G, 1, 1))
    acceptance = log_ratio.clamp_(max=0.0).exp_()
    here = accepted.unsqueeze(-1)
    moved = Ensemble(
        torch.where(here, x, points), torch.where(accepted, ends, values), torch.where(here, force, gradient)
    )
    return moved, Moves(acceptance, divergent, x, velocity, accepted, (raw != ends).any(0), arrived == -math.inf)


def _leapfrog(points: Tensor, step_size: Tensor, scale: Tensor) -> tuple[Drift, Kick]:
    """The two halves of a step: a new place, and a momentum changed where it lies."""
    G = len(points)
    if scale.ndim == 2:
        width = (step_size.unsqueeze(-1) * scale).unsqueeze(1).expand_as(points).contiguous()
        return (
            lambda x, p: torch.addcmul(x, width, p),
            lambda p, force, part: p.addcmul_(width, force, value=part),
        )
    factor = step_size.view(G, 1, 1) * scale
    return (
        lambda x, p: torch.baddbmm(x, p, factor.mT),
        lambda p, force, part: p.baddbmm_(force, factor, alpha=part),
    )


def _differentiate(terms: Terms, x: Tensor, spread: Tensor) -> tuple[Tensor, Tensor]:
    """The terms at `(B, d)`, and the gradient of their sum weighted by `(J, B)`."""
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        values = terms(x)
        if values.shape != spread.shape:
            shapes = f"{tuple(values.shape)} for points {tuple(x.shape)}; expected {tuple(spread.shape)}"
            raise ValueError(f"terms returned {shapes}")
        if not values.requires_grad:
            return values, torch.zeros_like(x)
        seeds = spread.to(values.dtype)
        (gradient,) = torch.autograd.grad(values, x, seeds, allow_unused=True, materialize_grads=True)
    return values.detach(), gradient


def _advance(old: Tensor, new: Tensor) -> tuple[Tensor, Tensor | None]:
    """The new places, the old one where the new is not finite, and where that was, `(G, C)`."""
    if math.isfinite(new.sum().item()):
        return new, None
    stopped = ~new.isfinite().all(-1)
    return torch.where(stopped.unsqueeze(-1), old, new), stopped


def _finite(force: Tensor) -> tuple[Tensor, Tensor | None]:
    """The force, zero where it is not finite, and where that was, `(G, C)`."""
    if math.isfinite(force.sum().item()):
        return force, None
    return force.nan_to_num(0.0, 0.0, 0.0), ~force.isfinite().all(-1)


def _either(before: Tensor | None, now: Tensor | None) -> Tensor | None:
    return now if before is None else before if now is None else before | now


def _clean(values: Tensor) -> Tensor:
    return values.nan_to_num(-math.inf, -math.inf, -math.inf)


def _spread(weights: Tensor, chains: int) -> Tensor:
    """Weights of each point, `(J, G)` to `(J, G * C)`."""
    return weights.repeat_interleave(chains, 1)


def _check(points: Tensor, weights: Tensor) -> None:
    if points.ndim != 3 or weights.ndim != 2 or weights.shape[1] != points.shape[0]:
        shapes = f"points {tuple(points.shape)} and weights {tuple(weights.shape)}"
        raise ValueError(f"{shapes} do not fit; give (G, C, d) and (J, G)")


def _check_settings(points: Tensor, step_size: Tensor, steps: int, scale: Tensor) -> None:
    G, _, d = points.shape
    if steps < 1:
        raise ValueError(f"a trajectory has at least one leapfrog step, got {steps}")
    if step_size.shape != (G,) or scale.shape not in {(G, d), (G, d, d)}:
        shapes = f"step_size {tuple(step_size.shape)} and scale {tuple(scale.shape)}"
        raise ValueError(f"{shapes} do not fit; give ({G},), and ({G}, {d}) or ({G}, {d}, {d})")
