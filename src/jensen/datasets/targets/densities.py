"""Densities of which the integral is known: plain ones, and the shapes that defeat one method or another."""

import math

import torch
from torch import Tensor
from torch.distributions import Normal, StudentT, Uniform

from jensen._math import HALF_LOG_TWO_PI
from jensen._targets import Target
from jensen.datasets.targets._pieces import double, log_prob, zeros

__all__ = [
    "bimodal",
    "correlated_normal",
    "funnel",
    "gaussian",
    "gaussian_2d",
    "gaussian_200d",
    "rosenbrock",
    "student_t",
]

ROSENBROCK = -7.149344013071
"""Quadrature over the box of its prior; over the plane it would be log(pi / 10) - log(400), larger by 2.4e-5."""


def gaussian_2d() -> Target:
    r"""$e^{-\lvert x \rvert^2 / 2}$ in the plane, without its constant: $Z = 2 \pi$.

    Example:
        >>> round(gaussian_2d().exact, 10)
        1.8378770664
    """
    return Target.from_density(lambda x: -x.square().sum(-1) / 2, Normal(zeros(2), 3.0), exact=2 * HALF_LOG_TWO_PI)


def gaussian_200d() -> Target:
    """A standard Gaussian likelihood under a standard Gaussian prior in 200 dimensions.

    Example:
        >>> round(gaussian_200d().exact, 7)
        -253.1024247
    """
    return gaussian(200)


def gaussian(dim: int) -> Target:
    r"""One observation 0 with unit variance in each dimension, of a mean with a standard Gaussian prior.

    $$\log Z = -\tfrac{d}{2} \log 4 \pi$$

    Args:
        dim: $d$.
    """
    return Target(
        lambda mean: log_prob(Normal(mean, 1.0), torch.zeros_like(mean)).sum(-1),
        Normal(zeros(dim), 1.0),
        pointwise=lambda mean: log_prob(Normal(mean, 1.0), torch.zeros_like(mean)),
        exact=-dim / 2 * math.log(4 * math.pi),
    )


def correlated_normal(dim: int, *, correlation: float, half_width: float) -> Target:
    r"""An equicorrelated Gaussian density as the likelihood, under a uniform prior on a box around it.

    $$Z = (2 h)^{-d} \, P(\lvert X_i \rvert < h \text{ for all } i)$$

    The probability is one integral over the common factor of $X_i = \sqrt{r} F + \sqrt{1 - r} E_i$. It is often taken
    for 1, which in 25 dimensions with $h = 5$ makes an error of 1e-5.

    Args:
        dim: $d$.
        correlation: $r$ between any two coordinates, from 0 to below 1.
        half_width: $h$.

    Raises:
        ValueError: if the correlation is outside its range.

    Example:
        >>> round(correlated_normal(25, correlation=0.4, half_width=5.0).exact, 4)
        -57.5646
    """
    if not 0 <= correlation < 1:
        raise ValueError(f"correlation must lie in [0, 1), got {correlation}")
    own, shared = 1 - correlation, 1 - correlation + dim * correlation
    log_determinant = (dim - 1) * math.log(own) + math.log(shared)

    def log_likelihood(x: Tensor) -> Tensor:
        along = x.sum(-1).square() / dim
        distance = (x.square().sum(-1) - along) / own + along / shared
        return -dim * HALF_LOG_TWO_PI - log_determinant / 2 - distance / 2

    edge = zeros(dim) + half_width
    exact = _log_box_probability(dim, correlation, half_width) - dim * math.log(2 * half_width)
    return Target(log_likelihood, Uniform(-edge, edge), exact=exact)


def rosenbrock() -> Target:
    r"""The banana $e^{-(1 - x)^2 - 100 (y - x^2)^2}$ under a uniform prior on $[-10, 10] \times [-5, 15]$.

    Example:
        >>> round(rosenbrock().exact, 7)
        -7.149344

    References:
        | Machine Learning Assisted Bayesian Model Comparison: Learnt Harmonic Mean Estimator (McEwen et al., 2021)
        | https://arxiv.org/abs/2111.12720
    """

    def log_likelihood(theta: Tensor) -> Tensor:
        x, y = theta.unbind(-1)
        return -((1 - x) ** 2) - 100 * (y - x**2) ** 2

    return Target(log_likelihood, Uniform(double([-10.0, -5.0]), double([10.0, 15.0])), exact=ROSENBROCK)


def funnel(dim: int = 10) -> Target:
    r"""Neal's funnel, normalised: a neck too narrow for any fixed step.

    $$v \sim N(0, 3^2), \qquad x_i \mid v \sim N(0, e^v), \qquad \log Z = 0$$

    The reference is a Student distribution, with tails heavier than the funnel's.

    Args:
        dim: how many coordinates there are, $v$ included, at least 2.

    Raises:
        ValueError: if `dim` is below 2.

    References:
        | Slice Sampling (Neal, 2003)
        | https://doi.org/10.1214/aos/1056562461
    """
    if dim < 2:
        raise ValueError(f"a funnel has at least 2 coordinates, got dim = {dim}")

    def log_density(v: Tensor, x: Tensor) -> Tensor:
        scale = (v / 2).exp()[:, None]
        return log_prob(Normal(0.0, 3.0), v) + log_prob(Normal(0.0, scale), x).sum(-1)

    reference = {"v": Normal(zeros(), 3.0), "x": StudentT(3 + zeros(), zeros(dim - 1), 3.0)}
    return Target.from_density(log_density, reference, exact=0.0)


def bimodal(dim: int = 2) -> Target:
    r"""Two well separated Gaussians, normalised and symmetric about the origin: $\log Z = 0$.

    $$\tilde p(x) = \tfrac{1}{2} N(x; -5 \cdot 1, I) + \tfrac{1}{2} N(x; 5 \cdot 1, I)$$

    Args:
        dim: how many coordinates there are.
    """

    def log_density(x: Tensor) -> Tensor:
        modes = torch.stack([log_prob(Normal(mean, 1.0), x).sum(-1) for mean in (-5.0, 5.0)])
        return modes.logsumexp(0) - math.log(2)

    return Target.from_density(log_density, Normal(zeros(dim), 6.0), exact=0.0)


def student_t(dim: int = 5, *, freedom: float = 5.0) -> Target:
    r"""The kernel of a multivariate Student distribution, of heavier tails than any Gaussian proposal.

    $$\tilde p(x) = \Big(1 + \frac{\lvert x \rvert^2}{\nu}\Big)^{-(\nu + d) / 2}, \qquad
    Z = \frac{\Gamma(\nu / 2)\, (\nu \pi)^{d / 2}}{\Gamma((\nu + d) / 2)}$$

    Args:
        dim: $d$.
        freedom: $\nu$.

    Example:
        >>> round(student_t(1, freedom=1.0).exact, 6), round(math.log(math.pi), 6)
        (1.14473, 1.14473)
    """
    power = (freedom + dim) / 2
    exact = math.lgamma(freedom / 2) + dim / 2 * math.log(freedom * math.pi) - math.lgamma(power)
    reference = StudentT(2 + zeros(), zeros(dim), 1.0)
    return Target.from_density(lambda x: -power * torch.log1p(x.square().sum(-1) / freedom), reference, exact=exact)


def _log_box_probability(dim: int, correlation: float, half_width: float) -> float:
    factor = torch.linspace(-12, 12, 4001, dtype=torch.float64)
    centre, scale = math.sqrt(correlation) * factor, math.sqrt(2 * (1 - correlation))
    outside = (torch.erfc((half_width - centre) / scale) + torch.erfc((half_width + centre) / scale)) / 2
    inside = log_prob(Normal(0.0, 1.0), factor) + dim * torch.log1p(-outside)
    return float(torch.logsumexp(inside, 0)) + math.log(24 / 4000)
