"""Where to put the temperatures of an annealing path, and where chains at each of them start."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from jensen._targets import Draws
from jensen.samplers.adaptation import add_points, begin_moments, estimate_scale
from jensen.samplers.annealing import AnnealingPath
from jensen.samplers.smc import Stage, anneal

__all__ = ["Ladder", "beta_quantiles", "build_ladder", "equal_overlap"]

FEWEST, MOST = 500, 4000
"""Particles of the run that finds the temperatures."""


class Ladder(NamedTuple):
    """Temperatures, and what chains at those above 0 need to begin.

    Attributes:
        betas: ascending from 0 to 1, `(T,)`.
        points: `(T - 1, C, d)`.
        scale: the metric of each, `(T - 1, d)` or `(T - 1, d, d)`.
        step_size: `(T - 1,)`.
        draws: the particles that arrived at 1, as draws of the posterior.
        evaluations: points at which the log-likelihood was asked for.
    """

    betas: Tensor
    points: Tensor
    scale: Tensor
    step_size: Tensor
    draws: Draws
    evaluations: int


def build_ladder(
    path: AnnealingPath,
    temperatures: int,
    chains: int,
    *,
    betas: Tensor | Sequence[float] | None,
    generator: Generator,
) -> Ladder:
    """One run of sequential Monte Carlo along the path, its particles spread over the temperatures.

    Args:
        path: from 0 to 1.
        temperatures: how many, if `betas` is absent.
        chains: first states at each.
        betas: a schedule, or `None` for one of equal overlap.
        generator: source of randomness.

    Raises:
        ValueError: if betas do not ascend from 0 to 1.
    """
    schedule = None if betas is None else _checked(betas)
    temperatures = temperatures if schedule is None else len(schedule)
    particles = min(max(temperatures * chains, FEWEST), MOST) // 2 * 2
    stages, last, evaluations = anneal(path, particles=particles, generator=generator)
    chosen = (equal_overlap(stages, temperatures) if schedule is None else schedule).tolist()
    ending = last.points.new_ones(1)
    known = [*(stage.betas[0] for stage in stages), ending]
    places = [*(stage.points[0] for stage in stages), last.points[0]]
    ratios = [*(stage.log_ratio[0] for stage in stages), path.log_ratio(last.terms)[0]]
    steps = [*(stage.step_size for stage in stages), stages[-1].step_size]
    below = [max(i for i, base in enumerate(known) if float(base) <= beta) for beta in chosen[1:]]
    points, scales = [], []
    for beta, i in zip(chosen[1:], below, strict=True):
        log_w = torch.where(ratios[i] > -math.inf, (beta - float(known[i])) * ratios[i], -math.inf)
        drawn = torch.multinomial(log_w.softmax(0), particles + chains, replacement=True, generator=generator)
        points.append(places[i][drawn[:chains]])
        scales.append(_scale(places[i][drawn[chains:]]))
    return Ladder(
        torch.tensor(chosen, dtype=torch.float64),
        torch.stack(points),
        torch.cat(scales),
        torch.cat([steps[i] for i in below]),
        Draws(last.points.transpose(0, 1), *last.terms[:2].transpose(1, 2)),
        evaluations,
    )


def beta_quantiles(temperatures: int, *, alpha: float = 0.3) -> Tensor:
    r"""Quantiles of Beta($\alpha$, 1) at equal steps, $\beta_k = (k / (T - 1))^{1 / \alpha}$, crowded near 0.

    Raises:
        ValueError: if there are fewer than two temperatures, or `alpha` is not positive.

    Example:
        >>> beta_quantiles(5, alpha=0.5)
        tensor([0.0000, 0.0625, 0.2500, 0.5625, 1.0000], dtype=torch.float64)

    References:
        | Improving Marginal Likelihood Estimation for Bayesian Phylogenetic Model Selection (Xie, Lewis, Fan, Kuo & Chen, 2011)
        | https://doi.org/10.1093/sysbio/syq085
    """  # noqa: E501
    if temperatures < 2 or not alpha > 0:
        raise ValueError(f"a schedule has two temperatures or more and alpha > 0, got {temperatures} and {alpha}")
    return torch.linspace(0, 1, temperatures, dtype=torch.float64) ** (1 / alpha)


def equal_overlap(stages: list[Stage], temperatures: int) -> Tensor:
    r"""Temperatures at equal distances along an annealing run, so that all stepping stones vary alike.

    The distance between two close betas is $\sqrt{\log(1 + c^2)}$, with $c$ the coefficient of variation of
    $e^{\Delta\beta\, \ell}$ at the lower one: to first order $\Delta\beta \sqrt{\operatorname{Var}_\beta[\ell]}$. Each
    stage's particles measure it up to the next stage, weighted for the betas between.

    Args:
        stages: of a run of `anneal`.
        temperatures: how many, 0 and 1 included.
    """
    place, length = [torch.zeros(1, dtype=torch.float64)], [torch.zeros(1, dtype=torch.float64)]
    grid = torch.linspace(0, 1, 33, dtype=torch.float64) ** 2
    for stage in stages:
        low, high = (float(beta) for beta in stage.betas[:, 0])
        ratio = stage.log_ratio[0].cpu().double()
        at = (high - low) * grid
        place.append(low + at[1:])
        length.append(length[-1][-1] + _distances(at, ratio[ratio > -math.inf]).cumsum(0))
    return _at_equal_distances(torch.cat(place), torch.cat(length), temperatures)


def _distances(at: Tensor, log_ratio: Tensor) -> Tensor:
    r"""From each $\Delta\beta$ of `(n,)` to the next, by particles of the first, `(n - 1,)`."""

    def log_sum(step: Tensor) -> Tensor:
        return torch.logsumexp(step.unsqueeze(1) * log_ratio, 1)

    here, there = at[:-1], at[1:]
    return (log_sum(2 * there - here) + log_sum(here) - 2 * log_sum(there)).clamp_min(0).sqrt()


def _at_equal_distances(place: Tensor, length: Tensor, count: int) -> Tensor:
    """Where `length` has equal steps, by linear interpolation; a little of `place` keeps it growing."""
    total = float(length[-1])
    length = (length / total if total > 0 else length) + 1e-6 * place
    wanted = torch.linspace(0, float(length[-1]), count, dtype=torch.float64)[1:-1]
    upper = torch.searchsorted(length, wanted).clamp(1, len(length) - 1)
    share = (wanted - length[upper - 1]) / (length[upper] - length[upper - 1])
    inner = place[upper - 1] + share * (place[upper] - place[upper - 1])
    return torch.cat([place.new_zeros(1), inner, place.new_ones(1)])


def _checked(betas: Tensor | Sequence[float]) -> Tensor:
    try:
        schedule = torch.as_tensor(betas, dtype=torch.float64).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"betas must be numbers that ascend from 0 to 1, got {betas!r}") from error
    ends = schedule.ndim == 1 and len(schedule) >= 2 and float(schedule[0]) == 0 and float(schedule[-1]) == 1
    if not ends or not bool((schedule.diff() > 0).all()):
        raise ValueError(f"betas must ascend from 0 to 1, got {schedule.tolist()}")
    return schedule


def _scale(points: Tensor) -> Tensor:
    """The metric of points `(N, d)`, dense where there are ten for each dimension, with a leading axis of one."""
    n, d = points.shape
    spread = points.std(0, keepdim=True).clamp_min(1e-12)
    before = spread.diag_embed() if n >= 10 * d else spread
    return estimate_scale(add_points(begin_moments(before), points.unsqueeze(0)), before)
