r"""Paths of densities from one that can be drawn from to a posterior.

A path from the prior has the power posteriors $L^\beta p$, and one from a Gaussian reference $r$, fitted to the
posterior, has $\tilde p^\beta r^{1 - \beta}$. Both are weighted sums of terms known at every point,

$$\log \pi_\beta = \beta \log L + \log p, \qquad \log \pi_\beta = \beta \log L + \beta \log p + (1 - \beta) \log r,$$

and change with $\beta$ by the log-ratio $\log L$, or $\log L + \log p - \log r$, whose exponential has the mean $Z$ at
$\beta = 0$.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from jensen._math import HALF_LOG_TWO_PI
from jensen._targets import Draws, Target
from jensen.samplers.kernel import Terms

__all__ = ["AnnealingPath", "Reference", "both_paths", "fit_reference", "path_from_prior", "path_from_reference"]


class Reference(NamedTuple):
    """A Gaussian in the unconstrained space.

    Attributes:
        mean: `(d,)`.
        scale_tril: lower Cholesky factor of the covariance, `(d, d)`.
    """

    mean: Tensor
    scale_tril: Tensor

    def log_prob(self, points: Tensor) -> Tensor:
        """Normalised log-density at `(N, d)`, `(N,)`."""
        white = torch.linalg.solve_triangular(self.scale_tril, (points - self.mean).mT, upper=False)  # (d, N)
        volume = self.scale_tril.diagonal().log().sum() + len(self.mean) * HALF_LOG_TWO_PI
        log_prob: Tensor = -white.square().sum(0) / 2 - volume
        return log_prob

    def sample(self, count: int, *, generator: Generator) -> Tensor:
        """Independent draws, `(count, d)`."""
        size = (count, len(self.mean))
        noise = torch.randn(size, generator=generator, dtype=self.mean.dtype, device=self.mean.device)
        return self.mean + noise @ self.scale_tril.mT


class AnnealingPath(NamedTuple):
    r"""Densities $\pi_\beta$ between one that is drawn from, at 0, and the posterior, at 1.

    Attributes:
        terms: maps points `(B, d)` to `(J, B)`, log-likelihood and log-prior first.
        slopes: $s_j$ of each term's weight $w_j(\beta) = o_j + s_j \beta$, `(J,)`.
        offsets: $o_j$, `(J,)`.
        sample: independent draws at $\beta = 0$: a number and a generator to `(count, d)`.
    """

    terms: Terms
    slopes: Tensor
    offsets: Tensor
    sample: Callable[[int, Generator], Tensor]

    def weights(self, betas: Tensor) -> Tensor:
        """Weights of the terms at betas `(G,)`, `(J, G)`."""
        return self.offsets.unsqueeze(-1) + self.slopes.unsqueeze(-1) * betas

    def log_ratio(self, values: Tensor) -> Tensor:
        """What the log-density gains with beta, from terms `(J, *)` to `(*)`; `-inf` where it is not a number."""
        parts = [slope * value for slope, value in zip(self.slopes.tolist(), values, strict=True) if slope]
        return torch.stack(parts).sum(0).nan_to_num(-math.inf, math.inf, -math.inf)


def path_from_prior(target: Target) -> AnnealingPath:
    """Power posteriors.

    Example:
        >>> from torch.distributions import Normal
        >>> path = path_from_prior(Target(lambda x: -(x**2), Normal(0.0, 1.0)))
        >>> path.weights(torch.tensor([0.0, 0.5, 1.0]))
        tensor([[0.0000, 0.5000, 1.0000],
                [1.0000, 1.0000, 1.0000]])
    """
    one = torch.eye(2, dtype=target.dtype, device=target.device)
    return AnnealingPath(
        target.log_terms, one[0], one[1], lambda n, generator: target.sample_prior(n, generator=generator)
    )


def path_from_reference(target: Target, reference: Reference) -> AnnealingPath:
    """The geometric path from a Gaussian in the unconstrained space.

    Raises:
        ValueError: if the reference has another dimension.
    """
    mean, tril = (each.to(target.device, target.dtype) for each in reference)
    d = target.dim
    if mean.shape != (d,) or tril.shape != (d, d):
        shapes = f"mean {tuple(mean.shape)} and scale_tril {tuple(tril.shape)}"
        raise ValueError(f"the reference's {shapes} do not fit a target of dimension {d}")
    gaussian = Reference(mean, tril)

    def terms(points: Tensor) -> Tensor:
        return torch.cat([target.log_terms(points), gaussian.log_prob(points).unsqueeze(0)])

    slopes = mean.new_tensor([1.0, 1.0, -1.0])
    offsets = mean.new_tensor([0.0, 0.0, 1.0])
    return AnnealingPath(terms, slopes, offsets, lambda n, generator: gaussian.sample(n, generator=generator))


def both_paths(target: Target, reference: Reference) -> tuple[AnnealingPath, AnnealingPath]:
    """The paths from the prior and from a reference, over the same three terms.

    Raises:
        ValueError: if the reference has another dimension.
    """
    plain, general = path_from_prior(target), path_from_reference(target, reference)
    none = plain.slopes.new_zeros(1)
    slopes, offsets = torch.cat([plain.slopes, none]), torch.cat([plain.offsets, none])
    return AnnealingPath(general.terms, slopes, offsets, plain.sample), general


def fit_reference(draws: Draws) -> Reference:
    """The Gaussian with the mean and the covariance of draws of a posterior, in the unconstrained space.

    For positive parameters it is a multivariate lognormal in their own space, where the product of gamma densities of
    the same means and variances is the custom for branch lengths of trees; any normalised reference is exact, and this
    one keeps the correlations. With fewer than three draws per dimension it has none.

    Raises:
        ValueError: if there are fewer than two draws, or one is not finite.

    Example:
        >>> points = torch.tensor([[[0.0]], [[2.0]]])
        >>> fit_reference(Draws(points, points[..., 0], points[..., 0]))
        Reference(mean=tensor([1.]), scale_tril=tensor([[1.4142]]))
    """
    points = draws.points.flatten(0, -2)
    n, d = points.shape
    if n < 2 or not bool(points.isfinite().all()):
        raise ValueError(f"a reference is fitted to two finite draws or more, got points {tuple(draws.points.shape)}")
    mean = points.mean(0)
    centred = points - mean
    covariance = centred.mT @ centred / (n - 1)
    tril, failed = torch.linalg.cholesky_ex(covariance)
    if n < 3 * d or int(failed):
        tril = covariance.diagonal().clamp_min(torch.finfo(points.dtype).tiny).sqrt().diag()
    return Reference(mean, tril)
