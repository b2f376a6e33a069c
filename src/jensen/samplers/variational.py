r"""The Gaussian that is nearest to a posterior in the real coordinates, by stochastic gradients of the ELBO.

$$\mathcal{L}(m, S) = \mathbb{E}_{q}\big[\log \tilde p(u) - \log q(u)\big] \le \log Z, \qquad
q = N(m, S S^\top), \quad u = m + S \varepsilon$$

The gradient goes through the path $u$ alone, $g = \nabla_u \log \tilde p - \nabla_u \log q$, so that it has no variance
once $q$ is the posterior; draws come in pairs $\pm \varepsilon$. The mean moves in the coordinates that the curvature at
the mode makes round, the scale in units of that curvature's. With independent coordinates, a Gaussian posterior of
precision $\Lambda$ gets the variances $1 / \Lambda_{ii}$, which are smaller than its own, and the ELBO lies
$\tfrac{1}{2} (\sum_i \log \Lambda_{ii} - \log \lvert \Lambda \rvert)$ below $\log Z$.

References:
    | Automatic Differentiation Variational Inference (Kucukelbir et al., 2017)
    | https://arxiv.org/abs/1603.00788
    | Sticking the Landing: Simple, Lower-Variance Gradient Estimators for Variational Inference (Roeder, Wu & Duvenaud, 2017)
    | https://arxiv.org/abs/1703.09194
"""  # noqa: E501

import math
from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

import torch
from torch import Generator, Tensor

from jensen._math import HALF_LOG_TWO_PI
from jensen._random import seeded_generator
from jensen._targets import Target

__all__ = ["Drawn", "GaussianFit", "fit_gaussian"]

Covariance = Literal["diagonal", "full"]

STEP = 0.05
"""The largest step of Adam, in standard deviations of the start and in logarithms of its scale."""

SMALL = 0.1
"""A slope in nats per standard deviation of the start, below which steps shrink with it."""

SLACK = 0.01
"""What the ELBO may still rise, in nats, from the third to the last quarter of a fit that has converged."""


class Drawn(NamedTuple):
    """Points of a Gaussian, `(N, d)`, and its log-density there, `(N,)`."""

    points: Tensor
    log_q: Tensor


class GaussianFit(NamedTuple):
    r"""A Gaussian in the real coordinates of a target.

    Attributes:
        mean: $m$, `(d,)`.
        scale_tril: $S$, lower triangular, diagonal for independent coordinates, `(d, d)`.
        elbo: its noisy estimate in each iteration, in nats, `(T,)`.
        converged: whether the ELBO had stopped rising, and no draw met a density or gradient that is not finite.
        not_finite: how many draws met one; they are left out of the gradient.
        evaluations: points at which the density was evaluated, a gradient counted as one.
    """

    mean: Tensor
    scale_tril: Tensor
    elbo: Tensor
    converged: bool
    not_finite: int
    evaluations: int

    def draw(self, count: int, *, seed: int = 0) -> Drawn:
        """Points `(count, d)` with their log-densities, for importance weights.

        Raises:
            ValueError: if `count` is below 1.
        """
        if count < 1:
            raise ValueError(f"count must be at least 1, got {count}")
        generator = seeded_generator(seed, device=self.mean.device)
        noise = _randn(count, self.mean, generator)
        return Drawn(self.mean + noise @ self.scale_tril.T, self._log_density(noise))

    def log_prob(self, points: Tensor) -> Tensor:
        """Log-density at real coordinates `(N, d)`, `(N,)`."""
        noise = torch.linalg.solve_triangular(self.scale_tril, (points - self.mean).mT, upper=False).mT
        return self._log_density(noise)

    def _log_density(self, noise: Tensor) -> Tensor:
        log_scale = self.scale_tril.diagonal().log().sum()
        return -noise.square().sum(-1) / 2 - log_scale - noise.shape[-1] * HALF_LOG_TWO_PI


class _Start(NamedTuple):
    mean: Tensor
    root: Tensor
    evaluations: int


def fit_gaussian(
    target: Target,
    *,
    covariance: Covariance = "diagonal",
    samples: int = 64,
    iterations: int = 400,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> GaussianFit:
    r"""Maximise the ELBO over Gaussians, from the mode and its curvature.

    Steps are Adam's, falling as half a cosine; the parameters are averaged over the last quarter.

    Args:
        target: what has a posterior density that torch can differentiate.
        covariance: `diagonal`, independent real coordinates; or `full`.
        samples: draws for each gradient, an even number.
        iterations: how many gradients to take.
        seed: of the draws, and of the search for the mode.
        progress: called with the iterations done and their number.

    Raises:
        ValueError: if a setting is out of range, torch cannot differentiate the likelihood, or the density is finite at
            no draw.

    Example:
        >>> from torch.distributions import Normal
        >>> prior = Normal(torch.zeros(2).double(), 1.0)
        >>> target = Target(lambda x: Normal(x, 1.0).log_prob(torch.ones(2).double()).sum(-1), prior)
        >>> fit = fit_gaussian(target, iterations=20)
        >>> fit.mean, fit.scale_tril.diagonal() ** 2
        (tensor([0.5000, 0.5000], dtype=torch.float64), tensor([0.5000, 0.5000], dtype=torch.float64))

    References:
        | Automatic Differentiation Variational Inference (Kucukelbir et al., 2017)
        | https://arxiv.org/abs/1603.00788
    """
    if covariance not in get_args(Covariance):
        raise ValueError(f"covariance must be 'diagonal' or 'full', got {covariance!r}")
    if samples < 2 or samples % 2 or iterations < 8:
        raise ValueError(f"need an even number of samples and 8 iterations at least, got {samples} and {iterations}")
    target.require_gradient()
    generator = seeded_generator(seed, device=target.device)
    start = _from_mode(target, seed)
    frame = _Frame(start.mean, start.root, start.root if covariance == "full" else _conditional_scale(start.root))
    moves = _Moves(torch.zeros_like(start.mean), torch.eye(target.dim).to(start.mean))
    adam, late, elbos, lost = _Adam(), [], [], 0
    for t in range(iterations):
        noise = _randn(samples // 2, start.mean, generator)
        elbo, ascent, kept = _ascend(target, frame, moves, noise=torch.cat([noise, -noise]))
        if covariance == "diagonal":
            ascent = _Moves(ascent.shift, ascent.scale.diagonal().diag())
        moves = moves.stepped(adam.step(ascent, part=t / iterations))
        elbos.append(elbo)
        lost += samples - kept
        late += [moves] if t >= iterations - iterations // 4 else []
        if progress is not None:
            progress(t + 1, iterations)
    moves = _Moves(*(torch.stack(each).mean(0) for each in zip(*late, strict=True)))
    elbo = torch.stack(elbos)
    evaluations = start.evaluations + samples * iterations
    return GaussianFit(*frame.place(moves), elbo, _has_stopped(elbo) and lost == 0, lost, evaluations)


class _Moves(NamedTuple):
    """Shift `(d,)` and lower triangular scale `(d, d)` against the start; or what to add to them."""

    shift: Tensor
    scale: Tensor

    def stepped(self, step: "_Moves") -> "_Moves":
        """The diagonal of the scale moves in its logarithm, and stays positive."""
        factor = step.scale.diagonal().exp()
        diagonal = (self.scale.diagonal() * factor).diag()
        return _Moves(self.shift + step.shift, self.scale.tril(-1) + step.scale.tril(-1) + diagonal)


class _Frame(NamedTuple):
    """The start: its mean, a root of its covariance in which the mean moves, and the unit of the scale."""

    mean: Tensor
    root: Tensor
    unit: Tensor

    def place(self, moves: _Moves) -> tuple[Tensor, Tensor]:
        """Mean and scale in the target's coordinates."""
        return self.mean + self.root @ moves.shift, self.unit @ moves.scale


class _Adam:
    """Steps whose size hardly depends on that of a steep gradient, falling to zero as half a cosine."""

    def __init__(self) -> None:
        self.steps = 0
        self.first: Tensor | float = 0.0
        self.second: Tensor | float = 0.0

    def step(self, ascent: _Moves, *, part: float) -> _Moves:
        """What to add, after the share `part` of the iterations."""
        gradient = torch.cat([ascent.shift[:, None], ascent.scale], 1)
        self.steps += 1
        self.first = 0.9 * self.first + 0.1 * gradient
        self.second = 0.99 * self.second + 0.01 * gradient.square()
        first, second = self.first / (1 - 0.9**self.steps), self.second / (1 - 0.99**self.steps)
        size = STEP * 0.5 * (1 + math.cos(math.pi * part))
        step = size * first / (second.sqrt() + SMALL)
        return _Moves(step[:, 0], step[:, 1:])


def _ascend(target: Target, frame: _Frame, moves: _Moves, *, noise: Tensor) -> tuple[Tensor, _Moves, int]:
    r"""The ELBO, its gradient $E[g], E[g \varepsilon^\top]$ carried over to the moves, and the draws it rests on."""
    mean, scale = frame.place(moves)
    log_p, slope = _differentiate(target, mean + noise @ scale.T)
    finite = log_p.isfinite() & slope.isfinite().all(-1)
    if not bool(finite.any()):
        raise ValueError(f"log-density and gradient are finite at none of {len(noise)} draws of the Gaussian")
    noise, log_p, slope = noise[finite], log_p[finite], slope[finite]
    path = slope + torch.linalg.solve_triangular(scale.T, noise.T, upper=True).T  # (N, d): g
    pull = frame.unit.T @ path.T @ noise / len(noise)
    ascent = _Moves(frame.root.T @ path.mean(0), pull.tril(-1) + (pull.diagonal() * moves.scale.diagonal()).diag())
    entropy = noise.square().sum(-1) / 2 + scale.diagonal().log().sum() + len(mean) * HALF_LOG_TWO_PI
    return (log_p + entropy).mean(), ascent, len(noise)


def _differentiate(target: Target, points: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        u = points.detach().requires_grad_()
        log_p = target.log_joint(u)
        (slope,) = torch.autograd.grad(log_p.sum(), u)
    return log_p.detach(), slope


def _from_mode(target: Target, seed: int) -> _Start:
    """Laplace's Gaussian; where the mode has none, the middle of the prior."""
    from jensen.samplers.mode import find_mode

    mode = find_mode(target, seed=seed)
    if mode.is_interior and mode.is_negative_definite:
        root, failed = torch.linalg.cholesky_ex(torch.linalg.inv(-mode.hessian))
        if not int(failed) and bool(root.isfinite().all()):
            return _Start(mode.point, root, mode.evaluations)
    draws = target.sample_prior(1000, generator=seeded_generator(seed, device=target.device))
    middle = draws.median(0).values
    width = 1.4826 * (draws - middle).abs().median(0).values
    return _Start(middle, torch.where(width > 0, width, 1.0).diag(), mode.evaluations)


def _conditional_scale(root: Tensor) -> Tensor:
    r"""Standard deviation of each coordinate given the others, $\Lambda_{ii}^{-1/2}$, as a diagonal matrix."""
    return torch.cholesky_inverse(root).diagonal().rsqrt().diag()


def _has_stopped(elbo: Tensor) -> bool:
    """Whether the last quarter is not above the third by more than the slack and three standard errors."""
    quarter = len(elbo) // 4
    third, last = elbo[-2 * quarter : -quarter], elbo[-quarter:]
    error = float((third.var() + last.var()).sqrt()) / math.sqrt(quarter)
    return abs(float(last.mean() - third.mean())) < SLACK + 3 * error


def _randn(count: int, like: Tensor, generator: Generator) -> Tensor:
    return torch.randn(count, len(like), generator=generator, dtype=like.dtype, device=like.device)
