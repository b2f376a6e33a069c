r"""Annealed importance sampling: chains along a path of densities, from draws of one end to weights for the other.

Along $\beta_0, \ldots, \beta_T$ each chain starts at an exact draw of $\pi_{\beta_0}$, is weighted, and moves:

$$\log w = \sum_{t=1}^{T} \log \frac{\tilde\pi_{\beta_t}(z_{t-1})}{\tilde\pi_{\beta_{t-1}}(z_{t-1})}, \qquad
z_t \sim \mathcal{T}_{\beta_t}(\cdot \mid z_{t-1}), \qquad \mathbb{E}[w] = \frac{Z_{\beta_T}}{Z_{\beta_0}},$$

where $\mathcal{T}_\beta$, a Hamiltonian transition, leaves $\pi_\beta$ as it is. The identity holds for ascending and
descending temperatures: from the prior up, $\log \frac1C \sum_c w_c$ is a lower bound on $\log Z$ in expectation; from
an exact draw of the posterior down, minus the same is an upper bound. It asks that a transition's step size and metric
do not depend on the chain that it moves, so they are learned by other chains beforehand and then fixed.

All chains of all groups (the data of a decoder) move in one batch; every group has step sizes and metrics of its own.

References:
    | Annealed Importance Sampling (Neal, 2001)
    | https://arxiv.org/abs/physics/9803008
    | Sandwiching the Marginal Likelihood Using Bidirectional Monte Carlo (Grosse, Ghahramani & Adams, 2015)
    | https://arxiv.org/abs/1511.02543
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from jensen.samplers._checks import whole
from jensen.samplers.annealing import AnnealingPath
from jensen.samplers.kernel import Moves, hmc, start

__all__ = ["AnnealedRun", "Transitions", "annealed_importance", "learn_transitions", "sigmoid_betas"]

RATE, SETTLE = 0.3, 25
"""How fast a log-step-size follows the acceptance, and how many transitions go before the first that is recorded."""

WINDOW = 10
"""Temperatures over which a metric is averaged."""

JITTER = 0.2
"""The step sizes of a transition are multiplied by one number for each group, uniform within this of 1."""

Progress = Callable[[int, int], None]


class Transitions(NamedTuple):
    r"""Step sizes and metrics of Hamiltonian transitions along a path, for each of G groups.

    Between temperatures their logarithms are linear.

    Attributes:
        betas: ascending, `(P,)`.
        log_step_size: `(P, G)`.
        log_scale: logarithms of the metric's standard deviations, `(P, G, d)`.
        steps: leapfrog steps of each transition.
        evaluations: points at which the density was asked for to learn them.
    """

    betas: tuple[float, ...]
    log_step_size: Tensor
    log_scale: Tensor
    steps: int
    evaluations: int = 0

    def at(self, beta: float) -> tuple[Tensor, Tensor]:
        """Step sizes `(G,)` and standard deviations `(G, d)` at any temperature.

        Example:
            >>> ends = Transitions((0.0, 1.0), torch.tensor([[0.0], [-2.0]]), torch.zeros(2, 1, 3), steps=5)
            >>> ends.at(0.5)[0].log()
            tensor([-1.])
        """
        upper = min(max(bisect_right(self.betas, beta), 1), len(self.betas) - 1)
        lower = max(upper - 1, 0)
        width = self.betas[upper] - self.betas[lower]
        part = min(max((beta - self.betas[lower]) / width, 0.0), 1.0) if width else 0.0
        step_size, scale = (
            torch.lerp(each[lower], each[upper], part).exp() for each in (self.log_step_size, self.log_scale)
        )
        return step_size, scale


class AnnealedRun(NamedTuple):
    r"""What chains brought back.

    Attributes:
        log_weights: $\log w$ in double precision, `(G, C)`: $\mathbb{E}[w]$ is the normaliser at the last temperature
            over that at the first.
        points: where the chains ended, `(G, C, d)`.
        acceptance: mean probability of acceptance over the chains of a group, at each temperature between the ends,
            `(T - 2, G)`.
        divergences: transitions with an energy error above 1000 nats, or a gradient that was not finite.
        evaluations: points at which the density and its gradient were asked for.
    """

    log_weights: Tensor
    points: Tensor
    acceptance: Tensor
    divergences: int
    evaluations: int


def sigmoid_betas(temperatures: int, *, sharpness: float = 4.0) -> tuple[float, ...]:
    r"""Temperatures that lie dense at both ends.

    $$\beta_t = \frac{\sigma_t - \sigma_0}{\sigma_T - \sigma_0}, \qquad
    \sigma_t = \frac{1}{1 + e^{-\delta (2 t / T - 1)}}$$

    Args:
        temperatures: how many, both ends included.
        sharpness: $\delta$; towards 0 they become equidistant.

    Raises:
        ValueError: if there are fewer than two, or $\delta$ is not positive.

    Example:
        >>> [round(beta, 4) for beta in sigmoid_betas(5)]
        [0.0, 0.105, 0.5, 0.895, 1.0]

    References:
        | Sandwiching the Marginal Likelihood Using Bidirectional Monte Carlo (Grosse, Ghahramani & Adams, 2015)
        | https://arxiv.org/abs/1511.02543
    """
    (temperatures,) = whole(temperatures=temperatures)
    if temperatures < 2 or not 0 < sharpness < math.inf:
        raise ValueError(f"take two temperatures at least and a positive sharpness, got {temperatures} and {sharpness}")
    last = temperatures - 1
    heights = [1 / (1 + math.exp(-sharpness * (2 * t / last - 1))) for t in range(temperatures)]
    betas = [(height - heights[0]) / (heights[-1] - heights[0]) for height in heights]
    return (0.0, *betas[1:-1], 1.0)


@torch.no_grad()
def annealed_importance(
    path: AnnealingPath,
    points: Tensor,
    betas: Sequence[float],
    *,
    transitions: Transitions,
    generator: Generator,
    progress: Progress | None = None,
) -> AnnealedRun:
    r"""Move chains from one end of a path to the other, and weigh them.

    At $\beta_t$ a chain is weighted first, for the way to $\beta_{t+1}$, and then moved by a transition of
    $\beta_{t+1}$; at the last temperature no move is needed. A transition costs `transitions.steps` gradients, and one
    for the change of temperature.

    Args:
        path: densities $\pi_\beta$; its terms get all points of group 0, then all of group 1, and so on.
        points: exact draws of $\pi_{\beta_0}$, `(G, C, d)`. Chains of a group may start at the same draw: each weight
            alone keeps its expectation.
        betas: ascending or descending, at least two.
        transitions: step sizes and metrics, which must not depend on these chains.
        generator: of momenta, acceptances and jitter.
        progress: called with the temperatures passed and their number.

    Raises:
        ValueError: if the shapes do not fit or the temperatures are not monotone.

    Example:
        >>> from jensen._targets import Target
        >>> from jensen.samplers.annealing import path_from_prior
        >>> from torch.distributions import Normal
        >>> path = path_from_prior(Target(lambda z: -(z**2) / 2, Normal(torch.tensor(0.0).double(), 1.0)))
        >>> draw, betas = torch.Generator().manual_seed(0), sigmoid_betas(20)
        >>> fixed = learn_transitions(path, path.sample(16, draw).unsqueeze(0), betas, generator=draw)
        >>> up = annealed_importance(
        ...     path, path.sample(400, draw).unsqueeze(0), betas, transitions=fixed, generator=draw
        ... )
        >>> abs(up.log_weights.exp().mean() - 0.5**0.5) < 0.05
        tensor(True)
    """
    _check(points, betas)
    G, C, _ = points.shape
    log_w = torch.zeros(G, C, dtype=_wide(points), device=points.device)
    acceptance = points.new_full((max(len(betas) - 2, 0), G), math.nan)
    divergences = torch.zeros((), dtype=torch.long, device=points.device)
    evaluations, last = 0, len(betas) - 2
    for t, (before, after) in enumerate(pairwise(betas)):
        weights = path.weights(points.new_full((G,), after))
        chains = start(path.terms, points, weights)
        log_w += (after - before) * path.log_ratio(chains.terms).to(log_w.dtype)
        evaluations += G * C
        if t < last:
            step_size, scale = transitions.at(after)
            jitter = 1 - JITTER + 2 * JITTER * _uniform(step_size, generator)
            chains, moves = hmc(
                chains,
                path.terms,
                weights,
                step_size=step_size * jitter,
                steps=transitions.steps,
                scale=scale,
                generator=generator,
            )
            points, acceptance[t] = chains.points, moves.acceptance.mean(1)
            divergences += moves.divergent.sum()
            evaluations += G * C * transitions.steps
        if progress is not None:
            progress(t + 1, last + 1)
    return AnnealedRun(log_w, points, acceptance, int(divergences), evaluations)


@torch.no_grad()
def learn_transitions(
    path: AnnealingPath,
    points: Tensor,
    betas: Sequence[float],
    *,
    steps: int = 10,
    acceptance: float = 0.65,
    generator: Generator,
    progress: Progress | None = None,
) -> Transitions:
    r"""Step sizes and metrics for `annealed_importance`, from chains that are then forgotten.

    The chains go up the path with one transition at each temperature. After it every group's $\log \epsilon$ moves by
    $0.3 \, (\bar a - a^*)$, $\bar a$ being its chains' mean acceptance, and its metric towards their standard
    deviations. With fewer than two chains the metric stays the identity.

    Args:
        path: the densities.
        points: exact draws at `betas[0]`, `(G, C, d)`.
        betas: ascending; a quarter of the temperatures that are used later is enough.
        steps: leapfrog steps of each transition.
        acceptance: $a^*$, what is aimed at.
        generator: of all that is random.
        progress: called with the temperatures passed and their number.

    Raises:
        ValueError: if the shapes do not fit, the temperatures do not ascend, or the acceptance is not between 0 and 1.

    Example:
        >>> from jensen._targets import Target
        >>> from jensen.samplers.annealing import path_from_prior
        >>> from torch.distributions import Normal
        >>> path = path_from_prior(Target(lambda z: -50 * z**2, Normal(torch.tensor(0.0).double(), 1.0)))
        >>> draw = torch.Generator().manual_seed(0)
        >>> points = path.sample(100, draw).unsqueeze(0)
        >>> narrow = learn_transitions(path, points, sigmoid_betas(200), generator=draw).at(1.0)[1]
        >>> 0.08 < narrow < 0.12
        tensor([[True]])

    References:
        | On the Quantitative Analysis of Decoder-Based Models (Wu, Burda, Salakhutdinov & Grosse, 2017), section 3
        | https://arxiv.org/abs/1611.04273
    """
    _check(points, betas)
    (steps,) = whole(steps=steps)
    if betas[0] > betas[1] or steps < 1 or not 0 < acceptance < 1:
        said = f"betas from {betas[0]:g} to {betas[-1]:g}, {steps} steps, acceptance {acceptance:g}"
        raise ValueError(f"give ascending betas, a leapfrog step at least and an acceptance below 1, got {said}")
    pilot = _Pilot(path, points, steps=steps, acceptance=acceptance, generator=generator)
    for _ in range(SETTLE):
        pilot.move(betas[1])
    kept = []
    for t, beta in enumerate(betas[1:]):
        pilot.move(beta)
        kept.append((pilot.log_step_size, pilot.variance.log() / 2))
        if progress is not None:
            progress(t + 1, len(betas) - 1)
    log_step_size, log_scale = (torch.stack(each) for each in zip(*kept, strict=True))
    return Transitions(tuple(betas[1:]), log_step_size, log_scale, steps, pilot.evaluations)


class _Pilot:
    """Chains that adapt while they go up, which is why their weights are good for nothing."""

    def __init__(
        self, path: AnnealingPath, points: Tensor, *, steps: int, acceptance: float, generator: Generator
    ) -> None:
        self.path, self.points, self.generator = path, points, generator
        self.steps, self.acceptance = steps, acceptance
        G, _, d = points.shape
        self.variance = points.new_ones(G, d)
        self.log_step_size = points.new_full((G,), -math.log(steps))
        self.evaluations = 0

    def move(self, beta: float) -> None:
        """One transition, and what follows from it."""
        G, C, _ = self.points.shape
        weights = self.path.weights(self.points.new_full((G,), beta))
        chains, moves = hmc(
            start(self.path.terms, self.points, weights),
            self.path.terms,
            weights,
            step_size=self.log_step_size.exp(),
            steps=self.steps,
            scale=self.variance.sqrt(),
            generator=self.generator,
        )
        self.points = chains.points
        self.evaluations += G * C * (self.steps + 1)
        self._learn(moves)

    def _learn(self, moves: Moves) -> None:
        self.log_step_size = self.log_step_size + RATE * (moves.acceptance.mean(1) - self.acceptance)
        if self.points.shape[1] > 1:
            floor = torch.finfo(self.points.dtype).tiny
            self.variance = self.variance.lerp(self.points.var(1), 1 / WINDOW).clamp_min(floor)


def _uniform(like: Tensor, generator: Generator) -> Tensor:
    return torch.rand(like.shape, generator=generator, dtype=like.dtype, device=like.device)


def _wide(points: Tensor) -> torch.dtype:
    return torch.float32 if points.device.type == "mps" else torch.float64


def _check(points: Tensor, betas: Sequence[float]) -> None:
    if points.ndim != 3 or 0 in points.shape:
        raise ValueError(
            f"points have shape {tuple(points.shape)}; expected (groups, chains, dimension), none of them 0"
        )
    pairs = list(pairwise(betas))
    if not pairs or not (all(a < b for a, b in pairs) or all(a > b for a, b in pairs)):
        raise ValueError(
            f"betas must ascend or descend, two at least, got {len(betas)} from {betas[:1]} to {betas[-1:]}"
        )
