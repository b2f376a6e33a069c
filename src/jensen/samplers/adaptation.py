r"""What chains that run side by side learn from each other while they warm up: step size, trajectory length and metric.

Each is a state that is replaced, for groups of chains `(G, C)` as in `kernel`: every group has a step size and a metric
of its own, and all share the length of the trajectory, measured in units of the metric.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from jensen.samplers.kernel import Moves

__all__ = [
    "Length",
    "Moments",
    "StepSize",
    "adapt_length",
    "adapt_step_size",
    "add_points",
    "begin_length",
    "begin_moments",
    "begin_step_size",
    "common_acceptance",
    "estimate_scale",
    "leapfrog_steps",
    "van_der_corput",
]

FLOOR = 0.2
"""The least acceptance that a chain counts with, so that a stuck one does not stop all others."""

PRIOR_DRAWS = 5
"""How many draws the metric before counts for."""


class StepSize(NamedTuple):
    r"""Dual averaging of $\log \epsilon$, `(G,)` each.

    Attributes:
        log_step: what to try next.
        log_mean: the average, to be used when all is learned.
        error: mean shortfall of acceptance.
        centre: where $\log \epsilon$ is drawn to.
        updates: how many so far.
    """

    log_step: Tensor
    log_mean: Tensor
    error: Tensor
    centre: Tensor
    updates: int

    @property
    def current(self) -> Tensor:
        """The step sizes to try next, `(G,)`."""
        return self.log_step.exp()

    @property
    def average(self) -> Tensor:
        """The step sizes learned, `(G,)`."""
        return self.log_mean.exp()


def begin_step_size(step_size: Tensor) -> StepSize:
    """Dual averaging from step sizes `(G,)`."""
    log_step = step_size.log()
    return StepSize(log_step, log_step, torch.zeros_like(log_step), log_step + math.log(2), 0)


def common_acceptance(acceptance: Tensor, outside: Tensor | None = None) -> Tensor:
    """Harmonic mean over a group's chains, `(G, C)` to `(G,)`: it asks that every chain moves, not only most.

    Args:
        acceptance: probabilities, of which those below 0.2 count as 0.2.
        outside: trajectories that ended where the density is zero, `(G, C)`. A shorter step would not keep them from
            crossing the edge of the support, so that they are left out, unless they are more than three quarters.

    Example:
        >>> common_acceptance(torch.tensor([[1.0, 0.5]]))
        tensor([0.6667])
        >>> common_acceptance(torch.tensor([[1.0, 0.0]]), torch.tensor([[False, True]]))
        tensor([1.])
    """
    cost = acceptance.clamp_min(FLOOR).reciprocal_()
    if outside is None or not bool(outside.any()):
        return cost.mean(-1).reciprocal_()
    inside = ~outside
    few = 4 * inside.sum(-1, keepdim=True) < outside.shape[-1]
    weight = (inside | few).to(cost.dtype)
    return weight.sum(-1) / (weight * cost).sum(-1)


def adapt_step_size(
    state: StepSize, acceptance: Tensor, *, outside: Tensor | None = None, target: float = 0.75
) -> StepSize:
    r"""One update of dual averaging, with $t_0 = 10$, $\gamma = 0.05$ and $\kappa = 0.75$.

    Args:
        state: what is known.
        acceptance: probabilities of a transition, `(G, C)`.
        outside: trajectories that left the support, `(G, C)`.
        target: the harmonic mean over chains that is aimed at.

    Example:
        >>> state = begin_step_size(torch.ones(1))
        >>> adapt_step_size(state, torch.full((1, 8), 0.1)).current < adapt_step_size(state, torch.ones(1, 8)).current
        tensor([True])

    References:
        | The No-U-Turn Sampler: Adaptively Setting Path Lengths in Hamiltonian Monte Carlo (Hoffman & Gelman, 2014)
        | https://arxiv.org/abs/1111.4246
    """
    t = state.updates + 1
    share = 1 / (t + 10)
    error = (1 - share) * state.error + share * (target - common_acceptance(acceptance, outside))
    log_step = state.centre - math.sqrt(t) / 0.05 * error
    weight = t**-0.75
    log_mean = weight * log_step + (1 - weight) * state.log_mean
    return StepSize(log_step, log_mean, error, state.centre, t)


class Length(NamedTuple):
    r"""The trajectory length $T$ that all groups share, as Adam sees its logarithm.

    Attributes:
        log_length: what to try next.
        log_mean: the average, to be used when all is learned.
        square: moving mean of the squared gradient.
        updates: how many so far.
    """

    log_length: float
    log_mean: float
    square: float
    updates: int

    @property
    def current(self) -> float:
        """The length to try next."""
        return math.exp(self.log_length)

    @property
    def average(self) -> float:
        """The length learned."""
        return math.exp(self.log_mean)


def begin_length(length: float) -> Length:
    """Adaptation from a length."""
    return Length(math.log(length), math.log(length), 0.0, 0)


def adapt_length(state: Length, before: Tensor, moves: Moves, *, centre: Tensor, scale: Tensor, part: float) -> Length:
    r"""One step of Adam up the gradient of the ChEES criterion, the expected change in squared distance from the mean.

    $$\mathrm{ChEES} = \tfrac14 \mathbb{E}\Big[\big(\lVert x' - \mu \rVert^2 - \lVert x - \mu \rVert^2\big)^2\Big],
    \qquad \frac{\partial}{\partial \log T} \approx t\, \big(\lVert x' - \mu \rVert^2 - \lVert x - \mu \rVert^2\big)
    (x' - \mu)^T v'$$

    with $t = uT$ the jittered length and $v'$ the velocity at its end, averaged over chains by their acceptance, in
    units of the metric. In these no direction is wider than $\sqrt d$, and $T$ stays below $4 \sqrt d$.

    Args:
        state: what is known.
        before: the chains before the transition, `(G, C, d)`.
        moves: the transition.
        centre: estimate of the mean, `(G, d)`.
        scale: the metric, `(G, d)` or `(G, d, d)`.
        part: the jitter $u$ in (0, 1].

    References:
        | An Adaptive-MCMC Scheme for Setting Trajectory Lengths in Hamiltonian Monte Carlo (Hoffman et al., 2021)
        | https://proceedings.mlr.press/v130/hoffman21a.html
    """
    here, there = _whiten(before - centre.unsqueeze(1), scale), _whiten(moves.proposal - centre.unsqueeze(1), scale)
    change = there.square().sum(-1) - here.square().sum(-1)  # (G, C)
    slope = (there * _whiten(moves.velocity, scale)).sum(-1)
    weight = moves.acceptance / moves.acceptance.sum(-1, keepdim=True).clamp_min(1e-30)
    each = weight * change * slope
    gradient = part * state.current * each.where(weight > 0, 0.0).sum().item()
    if not math.isfinite(gradient):
        return state
    t = state.updates + 1
    square = 0.95 * state.square + 0.05 * gradient**2
    step = gradient / (math.sqrt(square / (1 - 0.95**t)) + 1e-12)
    longest = math.log(4) + 0.5 * math.log(before.shape[-1])
    log_length = min(state.log_length + 0.05 * max(-1.0, min(step, 1.0)), longest)
    share = max(0.1, 1 / t)
    return Length(log_length, (1 - share) * state.log_mean + share * log_length, square, t)


def van_der_corput(n: int) -> float:
    """The n-th number, from 1 on, of the sequence that fills (0, 1) evenly in base 2.

    Example:
        >>> [van_der_corput(n) for n in (1, 2, 3, 4)]
        [0.5, 0.25, 0.75, 0.125]
    """
    value, place = 0.0, 0.5
    while n:
        value, place, n = value + place * (n & 1), place / 2, n >> 1
    return value


def leapfrog_steps(length: float, step_size: Tensor, *, most: int = 1000) -> int:
    r"""$\lceil t / \epsilon \rceil$ with the geometric mean of the groups' step sizes `(G,)`, between 1 and `most`.

    Args:
        length: the jittered length $t$ of the trajectory.
        step_size: `(G,)`.
        most: the largest number.

    Example:
        >>> leapfrog_steps(1.5, torch.tensor([0.4]))
        4
    """
    return max(1, min(most, math.ceil(length / math.exp(step_size.log().mean().item()))))


class Moments(NamedTuple):
    """Running moments of all chains of a group.

    Attributes:
        draws: how many of each group.
        mean: `(G, d)`.
        scatter: sum of squared deviations, `(G, d)`; or of their products, `(G, d, d)`.
    """

    draws: int
    mean: Tensor
    scatter: Tensor


def begin_moments(scale: Tensor) -> Moments:
    """No draws yet, for a metric `(G, d)` or `(G, d, d)`."""
    return Moments(0, torch.zeros_like(scale[:, 0] if scale.ndim == 3 else scale), torch.zeros_like(scale))


def add_points(moments: Moments, points: Tensor) -> Moments:
    """Welford's update by a batch of points `(G, C, d)`.

    Example:
        >>> moments = add_points(begin_moments(torch.ones(1, 1)), torch.tensor([[[1.0], [3.0]]]))
        >>> moments.mean, moments.scatter
        (tensor([[2.]]), tensor([[2.]]))
    """
    C = points.shape[1]
    count = moments.draws + C
    mean = points.mean(1)
    apart = points - mean.unsqueeze(1)
    shift = mean - moments.mean
    between = moments.draws * C / count
    if moments.scatter.ndim == 2:
        scatter = moments.scatter + apart.square().sum(1) + between * shift.square()
    else:
        scatter = moments.scatter + apart.mT @ apart + between * shift.unsqueeze(-1) * shift.unsqueeze(-2)
    return Moments(count, moments.mean + shift * (C / count), scatter)


def estimate_scale(moments: Moments, before: Tensor) -> Tensor:
    r"""The metric that draws suggest: standard deviations `(G, d)`, or a Cholesky factor of a covariance `(G, d, d)`.

    Variances are pulled to those of the metric before as by 5 draws more, correlations to 0 as by $d$ draws more, so
    that few draws do no harm.

    Args:
        moments: of the draws.
        before: the metric so far, in the same form.

    Example:
        >>> moments = add_points(begin_moments(torch.ones(1, 1)), torch.tensor([[[-3.0], [3.0]] * 500]))
        >>> estimate_scale(moments, torch.ones(1, 1))
        tensor([[2.9934]])
    """
    n = moments.draws
    if before.ndim == 2:
        return ((moments.scatter + PRIOR_DRAWS * before.square()) / (n + PRIOR_DRAWS)).sqrt()
    d = before.shape[-1]
    covariance = (moments.scatter + PRIOR_DRAWS * before @ before.mT) / (n + PRIOR_DRAWS)
    spread = covariance.diagonal(dim1=-2, dim2=-1).sqrt()
    unit = covariance / spread.unsqueeze(-1) / spread.unsqueeze(-2)
    eye = torch.eye(d, dtype=before.dtype, device=before.device)
    for share in (d / (n + d), 0.5, 1.0):
        factor, failed = torch.linalg.cholesky_ex((1 - share) * unit + share * eye)
        if not bool(failed.any()):
            break
    found: Tensor = spread.unsqueeze(-1) * factor
    return found


def _whiten(x: Tensor, scale: Tensor) -> Tensor:
    """Points `(G, C, d)` in units of the metric."""
    if scale.ndim == 2:
        return x / scale.unsqueeze(1)
    white: Tensor = torch.linalg.solve_triangular(scale, x.mT, upper=False).mT
    return white
