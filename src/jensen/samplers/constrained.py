r"""Moves that leave the prior above a likelihood alone: slice sampling under a hard constraint, many walkers at once.

The stationary density is $p(u) \, 1[L(u) > L^*] / X(L^*)$. A move draws a level $\log y = \log p(u) + \log U$, a
direction $v$ and an interval of fixed width around $u$, placed at random; points of it are tried, and it shrinks
towards $u$, until one lies above both the level and $L^*$ (without stepping out). The width is generous and learned
between calls: too wide costs a few evaluations, logarithmically, and reaches other modes.

Walkers do not wait for one another: each starts its next move when its last one is done.

References:
    | Slice Sampling (Neal, 2003), sec. 4 and 5
    | https://doi.org/10.1214/aos/1056562461
    | PolyChord: next-generation nested sampling (Handley, Hobson & Lasenby, 2015)
    | https://arxiv.org/abs/1506.00171
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Generator, Tensor

__all__ = ["Directions", "Moved", "Walkers", "clean_terms", "learn_directions", "move"]

Terms = Callable[[Tensor], Tensor]
WHITENED, BETWEEN = 0, 1
SHARE_BETWEEN = 0.25
LEAST_BASIS = 64
NARROWEST = 1e-13


class Walkers(NamedTuple):
    """Points `(B, d)` with their log-likelihood and log-prior, `(B,)` each."""

    points: Tensor
    log_likelihood: Tensor
    log_prior: Tensor

    def take(self, index: Tensor) -> "Walkers":
        """Some of them, by position or by mask."""
        return Walkers(*(each[index] for each in self))

    def join(self, other: "Walkers") -> "Walkers":
        """These, then the others."""
        return Walkers(*(torch.cat(pair) for pair in zip(self, other, strict=True)))


class Directions(NamedTuple):
    r"""Two kinds of directions: the columns of $C Q$, and $v = u_j - u_k$.

    $C C^\top$ is a covariance and $Q$ a random orthonormal basis, which each walker goes through in turn: $d$ moves
    renew every coordinate once, where independent directions would leave $1/e$ of the start. The second kind knows
    modes and bends that a covariance does not.

    Attributes:
        points: points independent of the walkers, `(K, d)`.
        basis: the columns of $C Q$, one basis after the other, `(M, d)`.
        widths: the interval's width along each kind, in lengths of $v$, `(2,)`.
    """

    points: Tensor
    basis: Tensor
    widths: Tensor

    def draw(self, kind: Tensor, turn: Tensor, generator: Generator) -> Tensor:
        """One direction for each entry of `kind`, that of the basis at `turn`, `(B, d)`."""
        (B,), K = kind.shape, len(self.points)
        first = torch.randint(K, (B,), generator=generator, device=self.points.device)
        second = (first + torch.randint(1, K, (B,), generator=generator, device=self.points.device)) % K
        between = self.points[first] - self.points[second]
        return torch.where((kind == WHITENED).unsqueeze(-1), self.basis[turn % len(self.basis)], between)


class Moved(NamedTuple):
    """Where the walkers got, the widths for the next time, and the cost."""

    walkers: Walkers
    widths: Tensor
    evaluations: int
    not_finite: int


class _Slice(NamedTuple):
    """The move that each walker is in: level, direction, its kind, and the ends of the interval."""

    level: Tensor
    direction: Tensor
    kind: Tensor
    lower: Tensor
    upper: Tensor


def learn_directions(points: Tensor, widths: Tensor | None = None, *, generator: Generator) -> Directions:
    r"""Directions from points `(K, d)`, which must be independent of the walkers.

    Were a walker one of them, its own directions would favour the line through it and the mean, which shortens it. The
    covariance is shrunk to its diagonal by $\lambda = \sum \mathrm{Var}(r_{ij}) / \sum r_{ij}^2$ over pairs of
    coordinates, $\mathrm{Var}(r_{ij}) \approx (1 - r_{ij}^2)^2 / (K - 1)$.

    Raises:
        ValueError: if there are fewer than two points.

    References:
        | A Shrinkage Approach to Large-Scale Covariance Matrix Estimation (Schäfer & Strimmer, 2005)
        | https://doi.org/10.2202/1544-6115.1175
    """
    K, d = points.shape
    if K < 2:
        raise ValueError(f"directions need at least 2 points, got {K}")
    scale = points.std(0).clamp_min(torch.finfo(points.dtype).tiny)
    correlation = ((points - points.mean(0)) / scale).mT.cov().reshape(d, d)
    apart = correlation - correlation.diagonal().diag()
    doubt = (1 - apart.square()).square().sum() - d  # the diagonal counts nothing
    share = (doubt / ((K - 1) * apart.square().sum())).nan_to_num(1.0, 1.0).clamp(1e-3, 1.0)
    factor, info = torch.linalg.cholesky_ex((1 - share) * apart + torch.eye(d).to(apart))
    if info.item():
        factor = torch.eye(d).to(apart)
    z = torch.randn(-(-LEAST_BASIS // d), d, d, generator=generator, dtype=points.dtype, device=points.device)
    basis = (torch.linalg.qr(z)[0] @ factor.mT * scale).reshape(-1, d)
    start = points.new_tensor([2.0 * (d + 2) ** 0.5, 2.0])
    return Directions(points, basis, start if widths is None else widths)


def clean_terms(terms: Terms, points: Tensor) -> tuple[Tensor, Tensor, int]:
    r"""Log-likelihood and log-prior with NaN and $+\infty$ made $-\infty$, and at how many points that was."""
    log_likelihood, log_prior = terms(points)
    refused = (log_likelihood.isnan() | log_prior.isnan()) | (log_likelihood == torch.inf) | (log_prior == torch.inf)
    count = int(refused.sum())
    if count:
        log_likelihood = log_likelihood.masked_fill(refused, -torch.inf)
    return log_likelihood, log_prior, count


def move(
    terms: Terms, walkers: Walkers, *, above: float, directions: Directions, moves: int, generator: Generator
) -> Moved:
    r"""Move each walker a number of times within $L(u) > L^*$, the prior left invariant.

    Args:
        terms: maps points `(B, d)` to log-likelihood and log-prior, `(2, B)`.
        walkers: points with $L > L^*$.
        above: $\log L^*$.
        directions: what to move along, and how far to look.
        moves: how many slices each walker goes through.
        generator: the source of randomness.

    Returns:
        The walkers in the same order. Widths are twice the mean interval in which a point was accepted.

    Raises:
        ValueError: if `moves` is below 1.
    """
    if moves < 1:
        raise ValueError(f"a walker needs at least 1 move, got {moves}")
    result = Walkers(*(each.clone() for each in walkers))
    place = torch.arange(len(walkers.points), device=walkers.points.device)
    left = torch.full_like(place, moves)
    turn = torch.randint(len(directions.basis), place.shape, generator=generator, device=place.device)
    slices = _new_slices(walkers, turn, directions, generator)
    total, count = torch.zeros_like(directions.widths), torch.zeros_like(directions.widths)
    evaluations = not_finite = 0
    while len(place):
        t = slices.lower + (slices.upper - slices.lower) * _uniform(slices.lower, generator)
        points = torch.addcmul(walkers.points, t.unsqueeze(-1), slices.direction)
        log_likelihood, log_prior, refused = clean_terms(terms, points)
        evaluations, not_finite = evaluations + len(place), not_finite + refused
        inside = (log_likelihood > above) & (log_prior >= slices.level)
        trial = Walkers(points, log_likelihood, log_prior)
        walkers = Walkers(*(_where(inside, new, old) for new, old in zip(trial, walkers, strict=True)))
        is_left = t < 0
        length = slices.upper - slices.lower
        lower, upper = torch.where(is_left, t, slices.lower), torch.where(is_left, slices.upper, t)
        slices = slices._replace(lower=lower, upper=upper)
        ended = (inside | (length < NARROWEST * directions.widths[slices.kind])).nonzero().squeeze(-1)
        if not len(ended):
            continue
        kind = slices.kind[ended]
        total.index_add_(0, kind, length[ended])
        count.index_add_(0, kind, torch.ones_like(length[ended]))
        left[ended] -= 1
        turn[ended] += 1 - kind
        fresh = _new_slices(walkers.take(ended), turn[ended], directions, generator)
        for old, new in zip(slices, fresh, strict=True):
            old[ended] = new
        done = left == 0
        if bool(done.any()):
            for out, each in zip(result, walkers, strict=True):
                out[place[done]] = each[done]
            stay = ~done
            walkers, place, left, turn = walkers.take(stay), place[stay], left[stay], turn[stay]
            slices = _Slice(*(each[stay] for each in slices))
    widths = torch.where(count > 0, 2 * total / count.clamp_min(1), directions.widths)
    return Moved(result, widths, evaluations, not_finite)


def _new_slices(walkers: Walkers, turn: Tensor, directions: Directions, generator: Generator) -> _Slice:
    level = walkers.log_prior + _uniform(walkers.log_prior, generator).log()
    kind = (_uniform(level, generator) < SHARE_BETWEEN).long()
    width = directions.widths[kind]
    lower = -width * _uniform(level, generator)
    return _Slice(level, directions.draw(kind, turn, generator), kind, lower, lower + width)


def _uniform(like: Tensor, generator: Generator) -> Tensor:
    return torch.rand(like.shape, generator=generator, dtype=like.dtype, device=like.device)


def _where(mask: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(mask.reshape(-1, *[1] * (new.ndim - 1)), new, old)
