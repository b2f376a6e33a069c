r"""Densities on a line, in one batch of Hamiltonian chains that exchange their states.

The line is one arm, from $\beta = 0$ to the posterior at 1, or two that meet there: up to the posterior on one path and
down from it on another,

$$\pi_g \propto \exp \sum_j w_{jg}\, \ell_j, \qquad g = 1, \ldots, G,$$

with common terms $\ell_j$. It has $C$ columns. In each sweep the states of all densities make a Hamiltonian transition,
but for those at $\beta = 0$, which are replaced by independent draws; then neighbours within a column exchange their
states with probability

$$\min\Big(1, \exp \sum_j (w_{j,g+1} - w_{jg})(\ell_j(x_g) - \ell_j(x_{g+1}))\Big),$$

even and odd pairs in turn. Between power posteriors that is $(\beta_{g+1} - \beta_g)(\log L_g - \log L_{g+1})$. Columns
know nothing of each other, so they are replicates of the whole line.

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

from jensen.samplers._checks import CountedTerms
from jensen.samplers.adaptation import adapt_step_size, add_points, begin_moments, begin_step_size, estimate_scale
from jensen.samplers.annealing import AnnealingPath
from jensen.samplers.kernel import Moves, hmc, start
from jensen.samplers.ladder import Ladder

__all__ = ["Arm", "Kept", "Line", "exchange_log_odds", "swap"]

QUARTER = math.pi / 2
"""The trajectory length, in standard deviations, after which a Gaussian has forgotten its start."""

MOST_STEPS = 32


class Arm(NamedTuple):
    """A path to the posterior, the temperatures on it, and what chains there begin with.

    Attributes:
        path: of terms that all arms of a line have in common.
        ladder: by `build_ladder`.
    """

    path: AnnealingPath
    ladder: Ladder


class Kept(NamedTuple):
    """What was kept of every density on a line.

    Attributes:
        terms: at every draw, `(J, G, S, C)`.
        points: draws of the posterior, `(S, C, d)`.
        swap_rates: accepted share of the exchanges between neighbours, `(G - 1,)`.
        acceptance: mean probability of acceptance, `(G,)`; 1 at an end, where draws are independent.
        step_size: `(G,)`; NaN at an end.
        divergences: transitions with an energy error above 1000 nats, `(G,)`.
        not_finite: points where a log-density was NaN or `+inf`, `(G,)`.
    """

    terms: Tensor
    points: Tensor
    swap_rates: Tensor
    acceptance: Tensor
    step_size: Tensor
    divergences: Tensor
    not_finite: Tensor


def exchange_log_odds(terms: Tensor, weights: Tensor) -> Tensor:
    r"""How much an exchange of each two neighbours raises the log-density of them together, `(G - 1, C)`.

    $$\sum_j (w_{j,g+1} - w_{jg})(\ell_j(x_g) - \ell_j(x_{g+1}))$$

    A term that two neighbours weigh alike does not count, though it be infinite. NaN, by which nothing is accepted,
    stands where neither state is possible.

    Args:
        terms: at the state of each density, `(J, G, C)`; `-inf` allowed.
        weights: of the terms in each density, `(J, G)`.

    Example:
        >>> terms = torch.tensor([[[-torch.inf], [-1.0]], [[-torch.inf], [-2.0]]])
        >>> exchange_log_odds(terms, torch.tensor([[1.0, 0.5], [1.0, 1.0]]))
        tensor([[inf]])
    """
    step = weights.diff(dim=1).unsqueeze(-1)  # (J, G - 1, 1)
    odds: Tensor = (step * (terms[:, :-1] - terms[:, 1:])).masked_fill(step == 0, 0.0).sum(0)
    return odds


def swap(terms: Tensor, weights: Tensor, *, parity: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Metropolis exchanges between neighbouring densities, each column on its own.

    Args:
        terms: at the state of each density, `(J, G, C)`; `-inf` allowed.
        weights: of the terms in each density, `(J, G)`.
        parity: 0 for the pairs (0, 1), (2, 3), ..., 1 for (1, 2), (3, 4), ...
        generator: source of the uniform numbers.

    Returns:
        From which density each state comes, `(G, C)`, and which of the `G - 1` pairs were exchanged, `(G - 1, C)`.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> terms, weights = torch.tensor([[[3.0], [-9.0]]]), torch.tensor([[0.0, 1.0]])
        >>> swap(terms, weights, parity=0, generator=generator)
        (tensor([[1],
                [0]]), tensor([[True]]))
    """
    _, G, C = terms.shape
    log_alpha = exchange_log_odds(terms, weights)
    chance = torch.rand((G - 1, C), generator=generator, dtype=terms.dtype, device=terms.device).log()
    pairs = torch.arange(G - 1, device=terms.device)
    exchanged = (chance < log_alpha) & (pairs % 2 == parity).unsqueeze(1)
    nobody = torch.zeros_like(exchanged[:1])
    move = torch.cat([exchanged, nobody]).long() - torch.cat([nobody, exchanged]).long()
    return torch.arange(G, device=terms.device).unsqueeze(1) + move, exchanged


class Line:
    """The states of all densities on a line, and how they move.

    Args:
        arms: one, or two that have the posterior in common; the first gives its states, metric and step size.
        generator: source of randomness.
    """

    def __init__(self, arms: Sequence[Arm], *, generator: Generator) -> None:
        self.arms, self.generator = tuple(arms), generator
        ladders = [arm.ladder for arm in arms]
        first = _along([ladder.points for ladder in ladders])
        weights = [arm.path.weights(arm.ladder.betas.to(first)).T for arm in arms]
        self.weights = _along(weights).T.contiguous()  # (J, G)
        self.inner = slice(1, len(first) + 1)
        self.scale = _along(_alike([ladder.scale for ladder in ladders]))
        self.learning = begin_step_size(_along([ladder.step_size for ladder in ladders]))
        self.moments = begin_moments(self.scale)
        terms = arms[0].path.terms
        self.terms, self.fresh_terms = CountedTerms(terms, groups=len(first)), CountedTerms(terms, groups=len(arms))
        self.sweeps, self.moved, self.drawn = 0, first.shape[1], 0
        begun = start(self.terms, first, self.weights[:, self.inner])
        self.points, self.values = self._with_fresh(begun.points, begun.terms)

    def evaluations(self, arms: Sequence[int]) -> int:
        """Points at which these arms asked for the log-likelihood, their ladders included, the posterior's once."""
        ladders = [self.arms[arm].ladder for arm in arms]
        densities = 1 + sum(len(ladder.betas) - 2 for ladder in ladders)
        return sum(ladder.evaluations for ladder in ladders) + densities * self.moved + len(arms) * self.drawn

    def places(self, arm: int) -> Tensor:
        """Where the densities of an arm lie on the line, from 0 to 1, `(T,)`."""
        T, G = len(self.arms[arm].ladder.betas), self.weights.shape[1]
        return torch.arange(T) if arm == 0 else G - 1 - torch.arange(T)

    def adapt(self, done: float) -> None:
        """A sweep of the warm-up, of which so much is done: metrics from its second quarter and third."""
        moves = self._move(self.learning.current)
        self.learning = adapt_step_size(self.learning, moves.acceptance)
        if 0.25 <= done < 0.6:
            self.moments = add_points(self.moments, self.points[self.inner])
        elif self.moments.draws > 0 and done >= 0.6:
            self.scale = estimate_scale(self.moments, self.scale)
            self.moments = begin_moments(self.scale)
            self.learning = begin_step_size(self.learning.average)
        self._exchange()

    def record(self, draws: int, tell: Callable[[int], None]) -> Kept:
        """Sweeps that are kept."""
        G, C, d = self.points.shape
        posterior = len(self.arms[0].ladder.betas) - 1
        step_size = self.learning.average
        step_size = step_size.clamp_max(QUARTER / self._steps(step_size))
        terms, points = self.values.new_empty(len(self.values), G, draws, C), self.points.new_empty(draws, C, d)
        swaps, tried = torch.zeros(2, G - 1), torch.zeros(2, 1)
        acceptance, divergences = self.points.new_ones(G), torch.zeros(G, dtype=torch.long)
        before, accepted = self._not_finite(), torch.zeros_like(step_size)
        for i in range(draws):
            moves = self._move(step_size)
            accepted += moves.acceptance.mean(1) / draws
            divergences[self.inner] += moves.divergent.sum(1).cpu()
            parity = self.sweeps % 2
            swaps[parity] += self._exchange().double().mean(1).cpu()
            tried[parity] += 1
            terms[:, :, i], points[i] = self.values, self.points[posterior]
            tell(i + 1)
        acceptance[self.inner] = accepted
        own = torch.arange(G - 1) % 2
        rates = swaps.gather(0, own.unsqueeze(0))[0] / tried[own, 0]
        steps = torch.full_like(acceptance, math.nan)
        steps[self.inner] = step_size
        return Kept(terms, points, rates, acceptance, steps, divergences, self._not_finite() - before)

    def _steps(self, step_size: Tensor) -> int:
        return max(1, min(MOST_STEPS, math.ceil(QUARTER / float(step_size.median()))))

    def _not_finite(self) -> Tensor:
        """How many points of each density so far, `(G,)`."""
        ends = self.fresh_terms.by_group.cpu()
        return torch.cat([ends[:1], self.terms.by_group.cpu(), ends[1:]])

    def _move(self, step_size: Tensor) -> Moves:
        """A Hamiltonian transition above 0, and independent draws there."""
        steps, weights = self._steps(step_size), self.weights[:, self.inner]
        jitter = 0.8 + 0.4 * float(torch.rand((), generator=self.generator, device=self.points.device))
        before = start(self.terms, self.points[self.inner], weights)
        after, moves = hmc(
            before,
            self.terms,
            weights,
            step_size=step_size * jitter,
            steps=steps,
            scale=self.scale,
            generator=self.generator,
        )
        self.points, self.values = self._with_fresh(after.points, after.terms)
        self.moved += (steps + 1) * after.points.shape[1]
        return moves

    def _with_fresh(self, points: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """States of all densities: independent draws at the ends, and these between."""
        C = points.shape[1]
        fresh = torch.cat([arm.path.sample(C, self.generator) for arm in self.arms])
        terms = self.fresh_terms(fresh).nan_to_num(-math.inf, -math.inf, -math.inf)
        self.drawn += C
        (first, *last), (low, *high) = fresh.view(-1, 1, *points.shape[1:]), terms.view(len(values), -1, 1, C).unbind(1)
        return torch.cat([first, points, *last]), torch.cat([low, values, *high], 1)

    def _exchange(self) -> Tensor:
        """Neighbours exchange their states; which did, `(G - 1, C)`."""
        source, exchanged = swap(self.values, self.weights, parity=self.sweeps % 2, generator=self.generator)
        self.points = self.points.gather(0, source.unsqueeze(-1).expand_as(self.points))
        self.values = self.values.gather(1, source.expand_as(self.values))
        self.sweeps += 1
        return exchanged


def _along(arms: Sequence[Tensor]) -> Tensor:
    """What belongs to the densities of each arm, from 0 to 1, along the whole line, the posterior's from the first."""
    first, *second = arms
    return torch.cat([first, *(each[:-1].flip(0) for each in second)])


def _alike(scales: Sequence[Tensor]) -> list[Tensor]:
    """Metrics of one form: dense, if one of them is."""
    dense = any(scale.ndim == 3 for scale in scales)
    return [scale.diag_embed() if dense and scale.ndim == 2 else scale for scale in scales]
