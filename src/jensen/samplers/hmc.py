r"""Hamiltonian Monte Carlo over hundreds to thousands of chains at once.

While they warm up, the chains learn together: the step size by dual averaging of their acceptance, the trajectory
length by the ChEES criterion, the metric from the moments of all chains in windows that double. Then all is fixed. A
batch of a thousand gradients takes little longer than one, so that many chains of few draws come cheap.
"""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Literal, NamedTuple, get_args

import torch
from torch import Generator, Tensor

from jensen._chains import effective_sample_size, split_r_hat
from jensen._random import seeded_generator
from jensen._targets import Draws, Target
from jensen.samplers import adaptation, kernel
from jensen.samplers._checks import check_target, whole
from jensen.samplers.kernel import Ensemble, Moves

__all__ = ["Chains", "Metric", "Start", "hamiltonian"]

Metric = Literal["diagonal", "dense"]
"""Standard deviations only, or a whole covariance."""

Start = Literal["prior", "laplace"]
"""From draws of the prior, or of a Gaussian at the posterior's mode."""

Progress = Callable[[int, int], None]

WARM_CHAINS = 20_000
"""Chains times transitions that a warm-up should have, within 200 and 1000 transitions."""

MOST_STEPS = 512
"""Leapfrog steps of the longest trajectory; in the first windows of the warm-up, whose metric is poor, 16, 32, ..."""

ASTRAY, ASTRAY_SHARE = 20.0, 0.1
"""A chain so many interquartile ranges (of a nat or more) below the others is lost, if no more than this share are."""

ROUNDS = 20
"""How often starts at which the density is zero are drawn anew."""


class Chains(NamedTuple):
    r"""Draws of a posterior, and what tells whether they can be trusted.

    Attributes:
        draws: points in the unconstrained space with their log-densities.
        r_hat: split $\hat R$ of each coordinate, `(d,)`.
        effective_sample_size: of each coordinate, all chains together, `(d,)`.
        acceptance: mean probability of the Metropolis step.
        divergences: trajectories, after the warm-up, whose energy error was above 1000 nats or infinite.
        step_size: of a leapfrog step, in units of the metric.
        trajectory_length: the longest, in the same units; the others are evenly spread below it.
        not_finite: proposals, in all, at which a log-density was NaN or `+inf`; they were rejected.
        evaluations: points at which the density and its gradient were evaluated, in all.
        restarted: chains that did not move in the warm-up, were left far below all others' densities, or started
            where the density is zero, and were set on another.
        stuck: chains that never moved after the warm-up.
    """

    draws: Draws
    r_hat: Tensor
    effective_sample_size: Tensor
    acceptance: float
    divergences: int
    step_size: float
    trajectory_length: float
    not_finite: int
    evaluations: int
    restarted: int
    stuck: int

    def problems(self) -> tuple[str, ...]:
        r"""Reasons for doubt, the gravest first; none where nothing is known to be wrong.

        The limit on $\hat R$ is 1.01, or what chains of five draws' autocorrelation time have if they are short.
        """
        S, C, _ = self.draws.points.shape
        limit = max(1.01, math.sqrt(1 + 4 / max(S // 2, 1)))
        worst, least = float(self.r_hat.nan_to_num(math.inf).max()), float(self.effective_sample_size.min())
        found = []
        if worst > limit:
            found.append(f"The chains disagree: r_hat is {worst:.3f}, above {limit:.3f}; run a longer warm-up.")
        if not least >= 100:
            found.append(f"The draws are worth only {least:.0f} independent ones in one coordinate; draw more.")
        if self.stuck:
            found.append(f"{self.stuck} of {C} chains never moved after the warm-up.")
        if self.divergences:
            share = self.divergences / (S * C)
            found.append(f"{self.divergences} trajectories diverged ({share:.2%}); their region may be missed.")
        if self.not_finite:
            found.append(f"A log-density was NaN or infinite at {self.not_finite} proposals, which were rejected.")
        return tuple(found)

    def __repr__(self) -> str:
        """The sizes and the diagnostics in one line."""
        S, C, d = self.draws.points.shape
        worst, least = float(self.r_hat.max()), float(self.effective_sample_size.min())
        quality = f"r_hat={worst:.3f}, effective_sample_size={least:.0f}, acceptance={self.acceptance:.2f}"
        return f"Chains(draws={S}, chains={C}, dim={d}, {quality}, divergences={self.divergences})"


def hamiltonian(
    target: Target,
    *,
    chains: int = 256,
    draws: int = 50,
    warmup: int | None = None,
    metric: Metric = "diagonal",
    start: Start | Tensor = "prior",
    seed: int = 0,
    progress: Progress | None = None,
) -> Chains:
    r"""Draw from a posterior by Hamiltonian Monte Carlo, all chains in one batch.

    Args:
        target: what to draw from.
        chains: how many run side by side.
        draws: of each chain, after the warm-up.
        warmup: transitions before; 200 for 100 chains or more, up to 1000 for fewer.
        metric: `diagonal`; or `dense` where coordinates are strongly correlated and few.
        start: `prior`; `laplace`; or real coordinates `(d,)` or `(chains, d)`.
        seed: of all randomness.
        progress: called with the transitions done and their total.

    Raises:
        ValueError: if there are too few chains or draws, the start does not fit or has zero density everywhere, torch
            cannot differentiate the likelihood, or a function of the target's raises.

    Example:
        >>> from torch.distributions import Gamma, Poisson
        >>> counts = torch.tensor([3.0, 1.0, 4.0, 1.0, 5.0]).double()
        >>> def log_likelihood(rate):
        ...     return Poisson(rate.unsqueeze(-1)).log_prob(counts).sum(-1)
        >>> target = Target(log_likelihood, Gamma(torch.tensor(2.0).double(), 1.0))
        >>> run = hamiltonian(target, chains=100, draws=50)
        >>> rate = target.constrain(run.draws.points)
        >>> abs(rate.mean() - 16 / 6) < 0.1
        tensor(True)

    References:
        | An Adaptive-MCMC Scheme for Setting Trajectory Lengths in Hamiltonian Monte Carlo (Hoffman et al., 2021)
        | https://proceedings.mlr.press/v130/hoffman21a.html
    """
    check_target(target)
    chains, draws = whole(chains=chains, draws=draws)
    warmup = max(200, min(1000, WARM_CHAINS // max(chains, 1))) if warmup is None else whole(warmup=warmup)[0]
    _check(chains, draws, warmup, metric)
    target.require_gradient()
    generator = seeded_generator(seed, device=target.device)
    weights = torch.ones(2, 1, dtype=target.dtype, device=target.device)
    points, scale = _starts(target, chains, start, metric, generator, seed)
    run = _Run(target, points, weights, scale, generator)
    run.begin(is_from_prior=isinstance(start, str) and start == "prior")
    total = warmup + draws
    ends = _window_ends(warmup)
    halves = {(before + end) // 2 for before, end in pairwise([0, *ends])}
    for done in range(1, warmup + 1):
        run.learn(forget=done in halves, conclude=done in ends)
        if progress is not None:
            progress(done, total)
    run.fix()
    return run.collect(draws, progress, warmup)


class _Run:
    """The chains, what they have learned, and what is counted."""

    def __init__(self, target: Target, points: Tensor, weights: Tensor, scale: Tensor, generator: Generator) -> None:
        self.target, self.weights, self.scale, self.generator = target, weights, scale, generator
        self.chains = kernel.start(target.log_terms, points, weights)
        self.evaluations = points.shape[1]
        self.not_finite = self.transitions = self.restarted = 0
        self.moments = adaptation.begin_moments(scale)
        self.moved = torch.zeros_like(points[..., 0], dtype=torch.bool)
        self.windows = 0

    def begin(self, *, is_from_prior: bool) -> None:
        """Leave places where the density is zero, and find a step size."""
        for _ in range(ROUNDS if is_from_prior else 0):
            if not bool((bad := ~self._alive()).any()):
                break
            fresh = self.target.sample_prior(int(bad.sum()), generator=self.generator)
            self._replace(bad, kernel.start(self.target.log_terms, fresh.unsqueeze(0), self.weights))
            self.evaluations += len(fresh)
        if not bool(self._alive().any()):
            where = "draws of the prior" if is_from_prior else "starting points"
            raise ValueError(
                f"the log-density is -inf or NaN at all {self.evaluations} {where}; "
                "give a point where it is finite: start=target.unconstrain(parameters)"
            )
        self.restart(~self._alive())
        self.step = adaptation.begin_step_size(self.search(torch.ones_like(self.weights[0])))
        self.length = adaptation.begin_length(1.0)

    def _alive(self) -> Tensor:
        return kernel.log_density(self.chains.terms, self.weights) > -math.inf

    def _replace(self, where: Tensor, others: Ensemble) -> None:
        points, terms, gradient = (each.clone() for each in self.chains)
        points[where], gradient[where] = others.points[0], others.gradient[0]
        terms[:, where] = others.terms[:, 0]
        self.chains = Ensemble(points, terms, gradient)

    def restart(self, lost: Tensor) -> None:
        """Set lost chains `(1, C)` on others."""
        good = (~lost[0] & self._alive()[0]).nonzero()[:, 0]
        count = int(lost.sum())
        if not count or not len(good):
            return
        choice = good[torch.randint(len(good), (count,), generator=self.generator, device=good.device)]
        points, terms, gradient = self.chains
        self._replace(lost, Ensemble(points[:, choice], terms[:, :, choice], gradient[:, choice]))
        self.restarted += count

    def astray(self) -> Tensor:
        """Chains `(1, C)` still far out in the prior, whose few steps would set the metric and the step of all."""
        log_p = kernel.log_density(self.chains.terms, self.weights)
        low, high = log_p.quantile(0.25), log_p.quantile(0.75)
        lost = log_p < low - ASTRAY * (high - low).clamp_min(1.0)
        return lost & (lost.sum() <= ASTRAY_SHARE * lost.numel())

    def search(self, step_size: Tensor) -> Tensor:
        """Double or halve a step size until the acceptance of one leapfrog step passes 0.75."""
        rising: bool | None = None
        for _ in range(60):
            _, moves = self._transition(step_size, 1)
            easy = adaptation.common_acceptance(moves.acceptance, moves.outside).item() > 0.75
            if rising is not None and easy != rising:
                break
            rising = easy
            step_size = step_size * (2.0 if easy else 0.5)
        return step_size

    def _transition(self, step_size: Tensor, steps: int) -> tuple[Ensemble, Moves]:
        self.evaluations += steps * self.chains.points.shape[1]
        return kernel.hmc(
            self.chains,
            self.target.log_terms,
            self.weights,
            step_size=step_size,
            steps=steps,
            scale=self.scale,
            generator=self.generator,
        )

    def move(self, step_size: Tensor, length: float) -> tuple[Moves, float | None]:
        """One transition with a jittered length; its jitter, or None where the trajectory was cut short."""
        self.transitions += 1
        part, most = adaptation.van_der_corput(self.transitions), min(16 << self.windows, MOST_STEPS)
        steps = adaptation.leapfrog_steps(part * length, step_size, most=most)
        self.chains, moves = self._transition(step_size, steps)
        self.not_finite += int(moves.not_finite.sum())
        return moves, part if steps < most else None

    def learn(self, *, forget: bool, conclude: bool) -> None:
        """A transition of the warm-up, and what follows from it; the first half of a window is forgotten."""
        before = self.chains.points
        moves, part = self.move(self.step.current, self.length.current)
        self.moved |= moves.accepted
        if forget:
            self.restart(self.astray())
            self.moments = adaptation.begin_moments(self.scale)
        self.moments = adaptation.add_points(self.moments, self.chains.points)
        self.step = adaptation.adapt_step_size(self.step, moves.acceptance, outside=moves.outside)
        if self.windows and part is not None:
            self.length = adaptation.adapt_length(
                self.length, before, moves, centre=self.moments.mean, scale=self.scale, part=part
            )
        if conclude:
            self._conclude()

    def _conclude(self) -> None:
        """Lost chains are set on others, and the metric is that of the window."""
        self.restart(~self.moved)
        self.moved = torch.zeros_like(self.moved)
        self.scale = adaptation.estimate_scale(self.moments, self.scale)
        self.moments = adaptation.begin_moments(self.scale)
        self.step = adaptation.begin_step_size(self.search(self.step.average))
        self.length = adaptation.begin_length(min(self.length.average, 2.0))
        self.windows += 1

    def fix(self) -> None:
        """The step size and the length from here on."""
        self.step_size, self.trajectory = self.step.average, self.length.average

    def collect(self, draws: int, progress: Progress | None, warmup: int) -> Chains:
        """The draws."""
        _, C, d = self.chains.points.shape
        points = self.chains.points.new_empty(draws, C, d)
        terms = self.chains.terms.new_empty(draws, 2, C)
        moved, acceptance, divergent = torch.zeros_like(self.moved), 0.0, 0
        for s in range(draws):
            moves, _ = self.move(self.step_size, self.trajectory)
            points[s], terms[s] = self.chains.points[0], self.chains.terms[:, 0]
            moved |= moves.accepted
            acceptance += moves.acceptance.mean().item() / draws
            divergent += int(moves.divergent.sum())
            if progress is not None:
                progress(warmup + s + 1, warmup + draws)
        return Chains(
            Draws(points, terms[:, 0], terms[:, 1]),
            split_r_hat(points),
            effective_sample_size(points),
            acceptance,
            divergent,
            self.step_size.item(),
            self.trajectory,
            self.not_finite,
            self.evaluations,
            self.restarted,
            int((~moved).sum()),
        )


def _starts(
    target: Target, chains: int, start: Start | Tensor, metric: Metric, generator: Generator, seed: int
) -> tuple[Tensor, Tensor]:
    """Points `(1, C, d)` and the first metric."""
    d = target.dim
    if isinstance(start, Tensor):
        if start.shape not in {(d,), (chains, d)}:
            raise ValueError(f"start has shape {tuple(start.shape)}; expected ({d},) or ({chains}, {d})")
        points = start.detach().to(dtype=target.dtype, device=target.device).expand(chains, d)
    elif start == "prior":
        points = target.sample_prior(chains, generator=generator)
    elif start == "laplace":
        return _laplace(target, chains, metric, generator, seed)
    else:
        raise ValueError(f"start must be {' or '.join(map(repr, get_args(Start)))} or a tensor, got {start!r}")
    width = points.quantile(0.84, 0) - points.quantile(0.16, 0)
    width = torch.where(width > 0, width / 2, 1.0)
    return points.unsqueeze(0), (width if metric == "diagonal" else width.diag()).unsqueeze(0)


def _laplace(target: Target, chains: int, metric: Metric, generator: Generator, seed: int) -> tuple[Tensor, Tensor]:
    """Draws of a Gaussian at the mode; directions without curvature get that of the flattest with any."""
    from jensen.samplers.mode import find_mode

    mode = find_mode(target, space="real", seed=seed)
    curvature, axes = torch.linalg.eigh(-mode.hessian)
    floor = curvature.max().clamp_min(1e-12) * 1e-8
    flattest = curvature.where(curvature > floor, math.inf).min().clamp_max(1.0)
    variance = 1 / curvature.where(curvature > floor, flattest)
    covariance = (axes * variance) @ axes.mT
    noise = torch.randn(chains, target.dim, generator=generator, dtype=target.dtype, device=target.device)
    points = mode.point + noise * variance.sqrt() @ axes.mT
    scale = covariance.diagonal().sqrt() if metric == "diagonal" else torch.linalg.cholesky(covariance)
    return points.unsqueeze(0), scale.unsqueeze(0)


def _window_ends(warmup: int) -> list[int]:
    """Where the metric is learned anew: windows double, and the last quarter is for step size and length alone."""
    last = warmup - warmup // 4
    width, ends = max(5, warmup // 40), [0]
    while ends[-1] + 3 * width <= last:
        ends.append(ends[-1] + width)
        width *= 2
    return [*ends[1:], last]


def _check(chains: int, draws: int, warmup: int, metric: str) -> None:
    if chains < 1:
        raise ValueError(f"chains must be at least 1, got {chains}")
    if draws < 4:
        raise ValueError(f"draws must be at least 4, or there is no r_hat; got {draws}")
    if warmup < 20:
        raise ValueError(f"warmup must be at least 20 transitions, got {warmup}")
    if metric not in get_args(Metric):
        raise ValueError(f"metric must be one of {', '.join(get_args(Metric))}, got {metric!r}")
