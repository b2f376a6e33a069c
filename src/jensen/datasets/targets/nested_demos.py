"""The demonstrations of nested sampling: thin shells and a field of peaks, under uniform priors."""

import math

import torch
from torch import Tensor
from torch.distributions import Uniform

from jensen._math import HALF_LOG_TWO_PI
from jensen._targets import Target

__all__ = ["eggbox", "gaussian_shells"]

EGGBOX = 235.8559403323
"""Gauss-Legendre quadrature over the square."""

CENTRE, RADIUS, WIDTH, EDGE = 3.5, 2.0, 0.1, 6.0


def gaussian_shells(dim: int = 2) -> Target:
    r"""Two thin spherical shells of radius 2 and width 0.1, at $\pm 3.5$ on the first axis, in the box $[-6, 6]^d$.

    $$L(\theta) = \sum_{\pm} N(\lvert \theta - c_\pm \rvert; r, w^2), \quad \rho \sim N(r, w^2), \qquad
    Z = \frac{2}{12^d} \frac{2 \pi^{d / 2}}{\Gamma(d / 2)} \, \mathbb{E}\big[\rho^{d - 1}\big]$$

    What lies outside the box, or at negative radius, is below $10^{-9}$ of it.

    Args:
        dim: $d$, at least 2.

    Raises:
        ValueError: if `dim` is below 2.

    Example:
        >>> [round(gaussian_shells(dim).exact, 6) for dim in (2, 5, 10, 20, 30)]
        [-1.745642, -5.673601, -14.590491, -36.086548, -60.127767]

    References:
        | MultiNest: An Efficient and Robust Bayesian Inference Tool (Feroz, Hobson & Bridges, 2009)
        | https://arxiv.org/abs/0809.3437
    """
    if dim < 2:
        raise ValueError(f"a shell has at least 2 dimensions, got dim = {dim}")
    centres = torch.zeros(2, 1, dim, dtype=torch.float64)
    centres[:, 0, 0] = torch.tensor([-CENTRE, CENTRE])
    log_constant = -HALF_LOG_TWO_PI - math.log(WIDTH)

    def log_likelihood(theta: Tensor) -> Tensor:
        radius = torch.linalg.vector_norm(theta - centres, dim=-1)  # (2, N)
        return log_constant + torch.logsumexp(-(((radius - RADIUS) / WIDTH) ** 2) / 2, 0)

    log_sphere = math.log(2) + dim / 2 * math.log(math.pi) - math.lgamma(dim / 2)
    exact = math.log(2) - dim * math.log(2 * EDGE) + log_sphere + math.log(_moment(dim - 1))
    edge = torch.full((dim,), EDGE, dtype=torch.float64)
    return Target(log_likelihood, Uniform(-edge, edge), exact=exact)


def eggbox() -> Target:
    r"""A field of 18 peaks of equal height, $\log L = (2 + \cos \tfrac{x}{2} \cos \tfrac{y}{2})^5$ on $[0, 10 \pi]^2$.

    Example:
        >>> eggbox().exact
        235.8559403323

    References:
        | MultiNest: An Efficient and Robust Bayesian Inference Tool (Feroz, Hobson & Bridges, 2009)
        | https://arxiv.org/abs/0809.3437
    """
    edge = torch.full((2,), 10 * math.pi, dtype=torch.float64)
    return Target(
        lambda theta: (2 + (theta / 2).cos().prod(-1)) ** 5, Uniform(torch.zeros_like(edge), edge), exact=EGGBOX
    )


def _moment(order: int) -> float:
    r"""$E[\rho^k]$ of a Gaussian, by $m_k = r m_{k-1} + (k - 1) w^2 m_{k-2}$."""
    before, moment = 0.0, 1.0
    for k in range(1, order + 1):
        before, moment = moment, RADIUS * moment + (k - 1) * WIDTH**2 * before
    return moment
