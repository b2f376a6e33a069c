r"""All temperatures of an annealing path at once, in one batch of Hamiltonian chains that exchange their states.

The ensemble has $T$ temperatures and $C$ columns. In each sweep every state above $\beta = 0$ makes a Hamiltonian
transition, those at 0 are replaced by independent draws, and neighbours within a column exchange their states with
probability

$$\min\big(1, \exp\big((\beta_{k+1} - \beta_k)(\ell_k - \ell_{k+1})\big)\big),$$

even and odd pairs in turn. Columns know nothing of each other, so they are replicates of the whole path.

Temperatures, metrics and first states come from one run of sequential Monte Carlo along the path.

References:
    | Markov Chain Monte Carlo Maximum Likelihood (Geyer, 1991)
    | https://hdl.handle.net/11299/58440
    | Non-Reversible Parallel Tempering: A Scalable Highly Parallel MCMC Scheme (Syed, Bouchard-Côté, Deligiannidis & Doucet, 2022)
    | https://arxiv.org/abs/1905.02939
"""  # noqa: E501

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from jensen._chains import split_r_hat
from jensen._random import seeded_generator
from jensen._targets import Draws, Target
from jensen.samplers._checks import CountedTerms, check_target, whole
from jensen.samplers.adaptation import adapt_step_size, add_points, begin_moments, begin_step_size, estimate_scale
from jensen.samplers.annealing import AnnealingPath, Reference, path_from_prior, path_from_reference
from jensen.samplers.kernel import Moves, hmc, start
from jensen.samplers.ladder import Ladder, build_ladder

__all__ = ["TemperedRun", "swap", "temper"]

QUARTER = math.pi / 2
"""The trajectory length, in standard deviations, after which a Gaussian has forgotten its start."""

MOST_STEPS = 32

MOST_CORRELATED = 3.5
"""Sweeps after which a column must have forgotten where it was, or the ensemble's first states still show."""


class TemperedRun(NamedTuple):
    r"""An ensemble's record, temperatures first, draws second, columns last.

    Attributes:
        betas: ascending from 0 to 1, `(T,)`.
        log_ratio: $\log L$ at every draw, or on the path from a reference $\log \tilde p - \log r$, `(T, S, C)`.
        draws: of the posterior, those at $\beta = 1$.
        r_hat: split $\hat R$ of the log-ratio at each temperature, `(T,)`; NaN where it is infinite at a draw.
        swap_rates: accepted share of the exchanges between neighbours, `(T - 1,)`.
        acceptance: mean probability of acceptance at each temperature, `(T,)`; 1 at 0, where draws are independent.
        step_size: `(T - 1,)`, of the temperatures above 0.
        divergences: kept transitions with an energy error above 1000 nats.
        not_finite: points of the kept sweeps, the draws at 0 among them, where a log-density was NaN or `+inf`.
        evaluations: points at which the log-likelihood was asked for, adaptation included.
    """

    betas: Tensor
    log_ratio: Tensor
    draws: Draws
    r_hat: Tensor
    swap_rates: Tensor
    acceptance: Tensor
    step_size: Tensor
    divergences: int
    not_finite: int
    evaluations: int

    def problems(self) -> tuple[str, ...]:
        r"""Reasons for doubt; none where nothing is known to be wrong.

        All columns start from one population of particles. Where they do not forget it, they share its error, which
        their spread does not show; the limit on $\hat R$ is what columns of 3.5 sweeps' autocorrelation time have.
        """
        limit = max(1.01, math.sqrt(1 + (MOST_CORRELATED - 1) / max(self.log_ratio.shape[1] // 2, 1)))
        slow = self.r_hat > limit
        if not bool(slow.any()):
            return ()
        where, worst = float(self.betas[slow].min()), float(self.r_hat[slow].max())
        return (
            f"The columns of the ladder mix slowly above beta = {where:.3g} (r_hat {worst:.3f}, above {limit:.3f}): "
            "the error is too small; run more sweeps.",
        )


def temper(
    target: Target,
    *,
    temperatures: int = 32,
    chains: int = 64,
    draws: int = 100,
    warmup: int = 100,
    betas: Tensor | Sequence[float] | None = None,
    reference: Reference | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> TemperedRun:
    """Sample all power posteriors of a target, or the path from a reference to it, in one ensemble.

    Args:
        target: likelihood and prior.
        temperatures: $T$, both ends included.
        chains: $C$, columns of the ensemble; from twenty on their spread alone tells the error of an evidence.
        draws: $S$, sweeps that are kept.
        warmup: sweeps before them, in which step sizes and metrics are adapted.
        betas: a schedule of your own, ascending from 0 to 1, such as `beta_quantiles(32)`; by default neighbours
            overlap equally all along the path.
        reference: a Gaussian in the prior's place at 0, by `fit_reference`.
        seed: of everything random.
        progress: called with sweeps done and their number.

    Raises:
        ValueError: if a number is out of its range, betas do not ascend from 0 to 1, or the likelihood is zero at all
            but one draw of the prior.

    Example:
        >>> from torch.distributions import Normal
        >>> target = Target(lambda x: -(x**2).sum(-1) / 2, Normal(torch.zeros(2).double(), 10.0))
        >>> run = temper(target, temperatures=5, chains=10, draws=20, warmup=20)
        >>> run.log_ratio.shape, run.draws.points.shape
        (torch.Size([5, 20, 10]), torch.Size([20, 10, 2]))

    References:
        | Markov Chain Monte Carlo Maximum Likelihood (Geyer, 1991)
        | https://hdl.handle.net/11299/58440
    """
    check_target(target)
    temperatures, chains = whole(temperatures=temperatures, chains=chains)
    draws, warmup = whole(draws=draws, warmup=warmup)
    if temperatures < 2 or chains < 1 or draws < 1 or warmup < 0:
        numbers = f"{temperatures} temperatures, {chains} chains, {draws} draws, warmup {warmup}"
        raise ValueError(f"take two temperatures, a chain and a draw at least, got {numbers}")
    generator = seeded_generator(seed, device=target.device)
    path = path_from_prior(target) if reference is None else path_from_reference(target, reference)
    ladder = build_ladder(path, temperatures, chains, betas=betas, generator=generator)
    ensemble = _Ensemble(path, ladder, generator)
    for sweep in range(warmup):
        ensemble.adapt(sweep / warmup)
        _tell(progress, sweep + 1, warmup + draws)
    return ensemble.record(draws, lambda done: _tell(progress, warmup + done, warmup + draws))


def swap(log_ratio: Tensor, betas: Tensor, *, parity: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Metropolis exchanges between neighbouring temperatures, each column on its own.

    Args:
        log_ratio: `(T, C)`, `-inf` allowed.
        betas: `(T,)`.
        parity: 0 for the pairs (0, 1), (2, 3), ..., 1 for (1, 2), (3, 4), ...
        generator: source of the uniform numbers.

    Returns:
        From which temperature each state comes, `(T, C)`, and which of the `T - 1` pairs were exchanged, `(T - 1, C)`.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> swap(torch.tensor([[3.0], [-9.0]]), torch.tensor([0.0, 1.0]), parity=0, generator=generator)
        (tensor([[1],
                [0]]), tensor([[True]]))
    """
    T, C = log_ratio.shape
    pairs = torch.arange(T - 1, device=log_ratio.device)
    log_alpha = betas.diff().unsqueeze(1) * (log_ratio[:-1] - log_ratio[1:])
    chance = torch.rand((T - 1, C), generator=generator, dtype=log_ratio.dtype, device=log_ratio.device).log()
    exchanged = (chance < log_alpha) & (pairs % 2 == parity).unsqueeze(1)
    nobody = torch.zeros_like(exchanged[:1])
    move = torch.cat([exchanged, nobody]).long() - torch.cat([nobody, exchanged]).long()
    return torch.arange(T, device=log_ratio.device).unsqueeze(1) + move, exchanged


def _tell(progress: Callable[[int, int], None] | None, done: int, total: int) -> None:
    if progress is not None:
        progress(done, total)


class _Ensemble:
    """The states of all temperatures, and how they move."""

    def __init__(self, path: AnnealingPath, ladder: Ladder, generator: Generator) -> None:
        self.terms = CountedTerms(path.terms)
        self.path, self.generator = path._replace(terms=self.terms), generator
        self.betas = ladder.betas.to(ladder.points)
        self.weights = path.weights(self.betas)
        self.scale = ladder.scale
        self.learning = begin_step_size(ladder.step_size)
        self.moments = begin_moments(ladder.scale)
        self.evaluations, self.sweeps = ladder.evaluations, 0
        first = start(self.terms, ladder.points, self.weights[:, 1:])
        self.points, self.values = self._with_fresh(first.points, first.terms)
        self.evaluations += ladder.points[..., 0].numel()

    def adapt(self, done: float) -> None:
        """A sweep of the warm-up, of which so much is done: metrics from its second quarter and third."""
        moves = self._move(self.learning.current)
        self.learning = adapt_step_size(self.learning, moves.acceptance)
        if 0.25 <= done < 0.6:
            self.moments = add_points(self.moments, self.points[1:])
        elif self.moments.draws > 0 and done >= 0.6:
            self.scale = estimate_scale(self.moments, self.scale)
            self.moments = begin_moments(self.scale)
            self.learning = begin_step_size(self.learning.average)
        self._exchange()

    def record(self, draws: int, tell: Callable[[int], None]) -> TemperedRun:
        """Sweeps that are kept."""
        T, C, d = self.points.shape
        step_size = self.learning.average
        step_size = step_size.clamp_max(QUARTER / self._steps(step_size))
        log_ratio = self.points.new_empty(T, draws, C)
        points, values = self.points.new_empty(draws, C, d), self.points.new_empty(2, draws, C)
        swaps, tried, acceptance = torch.zeros(2, T - 1), torch.zeros(2, 1), self.points.new_zeros(T - 1)
        divergences, before = 0, self.terms.not_finite
        for i in range(draws):
            moves = self._move(step_size)
            acceptance += moves.acceptance.mean(1) / draws
            divergences += int(moves.divergent.sum())
            parity = self.sweeps % 2
            swaps[parity] += self._exchange().double().mean(1).cpu()
            tried[parity] += 1
            log_ratio[:, i] = self.path.log_ratio(self.values)
            points[i], values[:, i] = self.points[-1], self.values[:2, -1]
            tell(i + 1)
        own = torch.arange(T - 1) % 2
        return TemperedRun(
            self.betas,
            log_ratio,
            Draws(points, *values),
            split_r_hat(log_ratio.permute(1, 2, 0)),
            swaps.gather(0, own.unsqueeze(0))[0] / tried[own, 0],
            torch.cat([acceptance.new_ones(1), acceptance]),
            step_size,
            divergences,
            self.terms.not_finite - before,
            self.evaluations,
        )

    def _steps(self, step_size: Tensor) -> int:
        return max(1, min(MOST_STEPS, math.ceil(QUARTER / float(step_size.median()))))

    def _move(self, step_size: Tensor) -> Moves:
        """A Hamiltonian transition above 0, and independent draws there."""
        steps, weights = self._steps(step_size), self.weights[:, 1:]
        jitter = 0.8 + 0.4 * float(torch.rand((), generator=self.generator, device=self.points.device))
        before = start(self.path.terms, self.points[1:], weights)
        after, moves = hmc(
            before,
            self.path.terms,
            weights,
            step_size=step_size * jitter,
            steps=steps,
            scale=self.scale,
            generator=self.generator,
        )
        self.points, self.values = self._with_fresh(after.points, after.terms)
        self.evaluations += (steps + 1) * after.points[..., 0].numel()
        return moves

    def _with_fresh(self, points: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        C = points.shape[1]
        fresh = self.path.sample(C, self.generator)
        terms = self.path.terms(fresh).nan_to_num(-math.inf, -math.inf, -math.inf)
        self.evaluations += C
        return torch.cat([fresh.unsqueeze(0), points]), torch.cat([terms.unsqueeze(1), values], 1)

    def _exchange(self) -> Tensor:
        """Neighbours exchange their states; which did, `(T - 1, C)`."""
        log_ratio = self.path.log_ratio(self.values)
        source, exchanged = swap(log_ratio, self.betas, parity=self.sweeps % 2, generator=self.generator)
        self.points = self.points.gather(0, source.unsqueeze(-1).expand_as(self.points))
        self.values = self.values.gather(1, source.expand_as(self.values))
        self.sweeps += 1
        return exchanged
