r"""Sequential Monte Carlo along an annealing path, several independent runs in one batch.

Particles start at $\beta = 0$ as independent draws. A stage raises $\beta$ as far as the weights
$e^{\Delta\beta\, \ell}$ keep a given effective size, resamples, and moves every particle by Hamiltonian transitions
that leave $\pi_\beta$ as it is until they have forgotten where they were. The mean weights of the stages multiply to
an estimate of $Z$,

$$\hat Z = \prod_s \frac{1}{N} \sum_i e^{\Delta\beta_s\, \ell_i}.$$

It would be unbiased with temperatures and moves fixed in advance; chosen from the particles themselves they leave a
bias of order $1/N$.

References:
    | Sequential Monte Carlo Samplers (Del Moral, Doucet & Jasra, 2006)
    | https://doi.org/10.1111/j.1467-9868.2006.00553.x
    | On Adaptive Resampling Strategies for Sequential Monte Carlo Methods (Del Moral, Doucet & Jasra, 2012)
    | https://arxiv.org/abs/1203.0464
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from jensen._math import log_mean_exp
from jensen._random import seeded_generator
from jensen._targets import Draws, Target
from jensen.samplers._checks import CountedTerms, check_target, whole
from jensen.samplers.adaptation import add_points, begin_moments, common_acceptance, estimate_scale
from jensen.samplers.annealing import AnnealingPath, Reference, path_from_prior, path_from_reference
from jensen.samplers.kernel import Ensemble, hmc, start

__all__ = ["SMCRun", "Stage", "anneal", "next_step", "sequential_monte_carlo", "systematic_resampling"]

QUARTER = math.pi / 2
"""The trajectory length, in standard deviations, after which a Gaussian has forgotten its start."""

MOST_STAGES, MOST_STEPS = 2000, 32
CORRELATION = 0.1
"""Between where particles were and where they are, in the worst coordinate; below it, and what chance adds to it, they
have moved enough."""


class SMCRun(NamedTuple):
    """Independent runs, the last axis of every array; a run that is done has increments of zero.

    Attributes:
        log_increments: logarithm of the mean weight of each stage, `(K, R)`.
        betas: temperatures, the one at the start included, `(K + 1, R)`.
        ancestors: which particle at the start each particle at the end descends from, `(N, R)`.
        effective_sample_size: of the weights of each stage, `(K, R)`; zero once a run is done.
        acceptance: mean probability of acceptance of each stage's last transition, `(K, R)`; NaN once a run is done.
        draws: the particles at the end, as draws `(N, R, d)` of the posterior.
        divergences: transitions with an energy error above 1000 nats.
        not_finite: evaluated points, the first draws among them, where a log-density was NaN or `+inf`.
        evaluations: points at which the log-likelihood was asked for.
    """

    log_increments: Tensor
    betas: Tensor
    ancestors: Tensor
    effective_sample_size: Tensor
    acceptance: Tensor
    draws: Draws
    divergences: int
    not_finite: int
    evaluations: int


class Stage(NamedTuple):
    """The particles of all runs before a stage, and how it went.

    Attributes:
        points: particles before it, `(R, N, d)`.
        log_ratio: of these, `(R, N)`.
        betas: before and after it, `(2, R)`.
        log_increment: `(R,)`.
        effective_sample_size: `(R,)`.
        acceptance: `(R,)`.
        step_size: after it, `(R,)`.
    """

    points: Tensor
    log_ratio: Tensor
    betas: Tensor
    log_increment: Tensor
    effective_sample_size: Tensor
    acceptance: Tensor
    step_size: Tensor


def sequential_monte_carlo(
    target: Target,
    *,
    particles: int = 1000,
    runs: int = 8,
    threshold: float = 0.5,
    reference: Reference | None = None,
    most_moves: int = 20,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> SMCRun:
    """Adaptive tempering from the prior, or from a reference, to the posterior.

    All runs go side by side in one batch, each with temperatures, metric and step sizes of its own, so that they are
    independent replicates.

    Args:
        target: likelihood and prior.
        particles: $N$ in each run, an even number: each half of them is moved with the metric of the other.
        runs: $R$; four at least, for an error to be seen.
        threshold: effective share of the particles that a stage keeps; more means more stages.
        reference: a Gaussian to start from in the prior's place.
        most_moves: the largest number of transitions in a stage.
        seed: of everything random.
        progress: called with the smallest beta in percent, and 100.

    Raises:
        ValueError: if a number is out of its range, or the likelihood is zero at all but one of a run's particles.

    Example:
        >>> from torch.distributions import Normal
        >>> prior = Normal(torch.zeros(2).double(), 10.0)
        >>> run = sequential_monte_carlo(Target(lambda x: -(x**2).sum(-1) / 2, prior), particles=200, runs=4)
        >>> run.draws.points.shape
        torch.Size([200, 4, 2])
        >>> bool((run.log_increments.sum(0).mean() + math.log(101)).abs() < 0.3)
        True

    References:
        | Sequential Monte Carlo Samplers (Del Moral, Doucet & Jasra, 2006)
        | https://doi.org/10.1111/j.1467-9868.2006.00553.x
    """
    check_target(target)
    particles, runs, most_moves = whole(particles=particles, runs=runs, most_moves=most_moves)
    if particles < 10 or particles % 2 or runs < 1 or not 0 < threshold < 1 or most_moves < 1:
        numbers = f"{particles} particles, {runs} runs, threshold {threshold}, most_moves {most_moves}"
        raise ValueError(
            "take an even number of particles from 10 on, a run and a move at least and a threshold between 0 and 1; "
            f"got {numbers}"
        )
    path = path_from_prior(target) if reference is None else path_from_reference(target, reference)
    sampler = _Annealing(path, particles, runs, generator=seeded_generator(seed, device=target.device))
    stages = sampler.run(threshold=threshold, most_moves=most_moves, progress=progress)
    return SMCRun(
        torch.stack([stage.log_increment for stage in stages]),
        torch.stack([stages[0].betas[0], *(stage.betas[1] for stage in stages)]),
        sampler.ancestors.T,
        torch.stack([stage.effective_sample_size for stage in stages]),
        torch.stack([stage.acceptance for stage in stages]),
        Draws(sampler.ensemble.points.transpose(0, 1), *sampler.ensemble.terms[:2].transpose(1, 2)),
        sampler.divergences,
        sampler.terms.not_finite,
        sampler.evaluations,
    )


def anneal(
    path: AnnealingPath, *, particles: int, generator: Generator, threshold: float = 0.5, most_moves: int = 5
) -> tuple[list[Stage], Ensemble, int]:
    """One run along a path: its stages, the particles at its end, and the evaluations it took.

    Args:
        path: from 0 to 1.
        particles: $N$, even.
        generator: source of randomness.
        threshold: effective share of the particles that a stage keeps.
        most_moves: the largest number of transitions in a stage.
    """
    sampler = _Annealing(path, particles, 1, generator=generator)
    stages = sampler.run(threshold=threshold, most_moves=most_moves, progress=None)
    return stages, sampler.ensemble, sampler.evaluations


def next_step(log_ratio: Tensor, beta: Tensor, *, threshold: float) -> Tensor:
    r"""The largest $\Delta\beta \le 1 - \beta$ at which weights $e^{\Delta\beta\, \ell}$ keep their effective size.

    Args:
        log_ratio: $\ell$ of equally weighted particles, `(R, N)`. Those at `-inf` are lost at any step.
        beta: where each run is, `(R,)`.
        threshold: the effective share of the others to keep, which bisection meets.

    Returns:
        `(R,)`.

    Example:
        >>> ell = torch.tensor([[0.0, -2.0, -4.0], [0.0, 0.0, 0.0]]).double()
        >>> next_step(ell, torch.zeros(2).double(), threshold=0.8)
        tensor([0.3217, 1.0000], dtype=torch.float64)
    """
    wanted = threshold * (log_ratio > -math.inf).sum(1)
    low, high = torch.zeros_like(beta), 1 - beta
    done = _effective(high, log_ratio) >= wanted
    for _ in range(60):
        middle = (low + high) / 2
        enough = _effective(middle, log_ratio) >= wanted
        low, high = torch.where(enough, middle, low), torch.where(enough, high, middle)
    return torch.where(done, 1 - beta, low)


def systematic_resampling(log_weights: Tensor, *, generator: Generator) -> Tensor:
    """Which particles survive, and how often: one uniform number places $N$ equally spaced points under the weights.

    Args:
        log_weights: of each run's particles, `(R, N)`.
        generator: source of the uniform numbers.

    Returns:
        Indices `(R, N)`, ascending. A particle of weight $W$ is taken $NW$ times, rounded up or down at random.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> systematic_resampling(torch.tensor([[0.5, 0.0, 0.25, 0.25]]).log(), generator=generator)
        tensor([[0, 0, 2, 3]])
    """
    R, N = log_weights.shape
    share = log_weights.softmax(1).cumsum(1)
    share = (share / share[:, -1:]).contiguous()
    first = torch.rand((R, 1), generator=generator, dtype=share.dtype, device=share.device)
    places = (torch.arange(N, device=share.device) + first) / N
    return torch.searchsorted(share, places.contiguous(), right=True).clamp_max(N - 1)


def _effective(step: Tensor, log_ratio: Tensor) -> Tensor:
    r"""$(\sum w)^2 / \sum w^2$ of weights $e^{\Delta\beta\, \ell}$, `(R,)`."""
    log_w = torch.where(log_ratio > -math.inf, step.unsqueeze(1) * log_ratio, -math.inf)
    return (2 * log_w.logsumexp(1) - (2 * log_w).logsumexp(1)).exp()


class _Annealing:
    """All runs on their way."""

    def __init__(self, path: AnnealingPath, particles: int, runs: int, *, generator: Generator) -> None:
        self.terms = CountedTerms(path.terms)
        self.path, self.generator = path._replace(terms=self.terms), generator
        points = path.sample(runs * particles, generator)
        values = self.terms(points)
        self.evaluations = runs * particles
        self.divergences = 0
        clean = values.nan_to_num(-math.inf, -math.inf, -math.inf).view(-1, runs, particles)
        points = points.view(runs, particles, -1)
        self.ensemble = Ensemble(points, clean, torch.zeros_like(points))
        self.beta = points.new_zeros(runs)
        self.step_size = points.new_full((runs,), 1.2 * points.shape[-1] ** -0.25)
        self.ancestors = torch.arange(particles, device=points.device).expand(runs, particles)
        alive = (path.log_ratio(clean) > -math.inf).sum(1)
        if int(alive.min()) < 2:
            raise ValueError(
                f"the likelihood is zero at {particles - int(alive.min())} of a run's {particles} first particles; "
                "take more of them, or a reference that covers the posterior"
            )

    def run(self, *, threshold: float, most_moves: int, progress: Callable[[int, int], None] | None) -> list[Stage]:
        stages: list[Stage] = []
        while bool((self.beta < 1).any()):
            if len(stages) == MOST_STAGES:
                raise ValueError(
                    f"beta is still {float(self.beta.min()):.3g} after {MOST_STAGES} stages; lower threshold"
                )
            stages.append(self.stage(threshold, most_moves))
            if progress is not None:
                progress(int(100 * self.beta.min()), 100)
        return stages

    def stage(self, threshold: float, most_moves: int) -> Stage:
        points, log_ratio = self.ensemble.points, self.path.log_ratio(self.ensemble.terms)
        step = next_step(log_ratio, self.beta, threshold=threshold)
        active = step > 0
        log_w = torch.where(active.unsqueeze(1), step.unsqueeze(1) * log_ratio, 0.0)
        before, self.beta = self.beta, torch.where(step >= 1 - self.beta, torch.ones_like(self.beta), self.beta + step)
        effective = torch.where(active, _effective(step, log_ratio), 0.0)
        acceptance = self._resample_and_move(active.nonzero().squeeze(1), log_w, most_moves)
        betas = torch.stack([before, self.beta])
        return Stage(points, log_ratio, betas, log_mean_exp(log_w, dim=1), effective, acceptance, self.step_size)

    def _resample_and_move(self, runs: Tensor, log_w: Tensor, most_moves: int) -> Tensor:
        """The runs that are not done get new particles; their acceptance, NaN for the others."""
        chosen = systematic_resampling(log_w[runs], generator=self.generator)
        points = self.ensemble.points[runs].gather(1, chosen.unsqueeze(-1).expand_as(self.ensemble.points[runs]))
        self.ancestors = self.ancestors.clone()
        self.ancestors[runs] = self.ancestors[runs].gather(1, chosen)
        moved, accepted, step_size = self._move(points, self.beta[runs], self.step_size[runs], most_moves)
        self.step_size = self.step_size.index_copy(0, runs, step_size)
        kept = self.ensemble
        self.ensemble = Ensemble(
            kept.points.index_copy(0, runs, moved.points),
            kept.terms.index_copy(1, runs, moved.terms),
            kept.gradient.index_copy(0, runs, moved.gradient),
        )
        return torch.full_like(self.beta, math.nan).index_copy(0, runs, accepted)

    def _move(self, points: Tensor, betas: Tensor, step_size: Tensor, most: int) -> tuple[Ensemble, Tensor, Tensor]:
        """Transitions until the particles have forgotten where they were; the step size follows the acceptance."""
        R, N, d = points.shape
        halves = points.reshape(2 * R, N // 2, d)
        weights = self.path.weights(betas).repeat_interleave(2, 1)
        chains, scale = start(self.path.terms, halves, weights), _scale_of_other_half(halves)
        self.evaluations += R * N
        first = self._features(chains, R)
        for _ in range(most):
            jitter = 0.8 + 0.4 * float(torch.rand((), generator=self.generator, device=points.device))
            steps = max(1, min(MOST_STEPS, math.ceil(QUARTER / float(step_size.median()))))
            tried = (step_size * jitter).repeat_interleave(2)
            chains, moves = hmc(
                chains, self.path.terms, weights, step_size=tried, steps=steps, scale=scale, generator=self.generator
            )
            self.evaluations += R * N * steps
            self.divergences += int(moves.divergent.sum())
            acceptance = moves.acceptance.view(R, N)
            step_size = step_size * (common_acceptance(acceptance) - 0.75).exp()
            if float(_correlation(first, self._features(chains, R)).max()) < CORRELATION + 3 / math.sqrt(N):
                break
        J = len(chains.terms)
        merged = Ensemble(chains.points.view(R, N, d), chains.terms.view(J, R, N), chains.gradient.view(R, N, d))
        return merged, acceptance.mean(1), step_size.clamp_max(QUARTER)

    def _features(self, chains: Ensemble, runs: int) -> Tensor:
        """What particles must forget: their coordinates and their log-ratio, `(R, N, d + 1)`."""
        features = torch.cat([chains.points, self.path.log_ratio(chains.terms).unsqueeze(-1)], -1)
        return features.view(runs, -1, features.shape[-1])


def _scale_of_other_half(halves: Tensor) -> Tensor:
    """For each half of a run's particles, `(2R, N / 2, d)`, the metric that the other half suggests.

    A metric that holds a particle's own place would pull it there, a dense one of $d$ dimensions by a part $d / N$.
    It is dense where a half has five particles for each dimension, else diagonal.
    """
    groups, n, d = halves.shape
    spread = halves.std(1).clamp_min(1e-12)
    before = spread.diag_embed() if n >= 5 * d else spread
    scale = estimate_scale(add_points(begin_moments(before), halves), before)
    return scale.view(groups // 2, 2, *scale.shape[1:]).flip(1).view_as(scale)


def _correlation(x: Tensor, y: Tensor) -> Tensor:
    """Between the columns of `(R, N, m)`, `(R, m)`; 0 where a column is constant."""
    x, y = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
    norms = (x.square().sum(1) * y.square().sum(1)).sqrt()
    return torch.where(norms > 0, (x * y).sum(1) / norms, 0.0)
