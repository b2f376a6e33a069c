r"""Conjugate models: the evidence is a ratio of two normalising constants, known in closed form."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Beta, Binomial, Gamma, Normal, Poisson

from jensen._math import HALF_LOG_TWO_PI
from jensen._targets import Target
from jensen.datasets.targets._pieces import double, log_prob, zeros

__all__ = ["beta_binomial", "constant", "linear_gaussian", "linkage", "normal_normal", "poisson_gamma"]


def constant(dim: int = 2) -> Target:
    r"""A likelihood of 1 under a standard Gaussian prior in `dim` dimensions: $\log Z = 0$, whatever the method.

    Args:
        dim: how many parameters there are.

    Example:
        >>> constant().exact
        0.0
    """
    return Target(lambda theta: 0 * theta[:, 0], Normal(zeros(dim), 1.0), exact=0.0)


def beta_binomial(successes: int = 2, trials: int = 10, *, prior: tuple[float, float] = (1.0, 1.0)) -> Target:
    r"""Successes in independent trials of unknown probability.

    $$k \sim \mathrm{Binomial}(n, \theta), \quad \theta \sim \mathrm{Beta}(a, b), \qquad
    Z = \binom{n}{k} \frac{B(k + a, n - k + b)}{B(a, b)}$$

    With a uniform prior every number of successes is as probable as any other, $Z = 1 / (n + 1)$.

    Args:
        successes: $k$.
        trials: $n$.
        prior: $a$ and $b$.

    Example:
        >>> round(beta_binomial().exact, 10), round(-math.log(11), 10)
        (-2.3978952728, -2.3978952728)

    References:
        | A Tutorial on Bridge Sampling (Gronau et al., 2017)
        | https://arxiv.org/abs/1703.05984
    """
    (a, b), k = prior, double([float(successes)])[0]
    exact = _log_choose(trials, successes) + _log_beta(successes + a, trials - successes + b) - _log_beta(a, b)
    return Target(lambda p: log_prob(Binomial(trials, p), k), Beta(*double([a, b])), exact=exact)


def normal_normal(observed: Sequence[float] = (0.5, 1.5, 2.0, -0.3), *, prior_variance: float = 100.0) -> Target:
    r"""Gaussian observations of known variance 1 and unknown mean.

    $$y_i \sim N(\mu, 1), \quad \mu \sim N(0, v), \qquad y \sim N(0, I + v 1 1^\top)$$

    Args:
        observed: $y$.
        prior_variance: $v$.

    Example:
        >>> round(normal_normal().exact, 10)
        -8.2607523028
    """
    y, n = double(observed), len(observed)
    total, squares = math.fsum(observed), math.fsum(each**2 for each in observed)
    shrunk = total**2 * prior_variance / (1 + n * prior_variance)
    exact = -n * HALF_LOG_TWO_PI - 0.5 * math.log1p(n * prior_variance) - 0.5 * (squares - shrunk)

    def pointwise(mean: Tensor) -> Tensor:
        return log_prob(Normal(mean[:, None], 1.0), y)

    prior = Normal(zeros(), math.sqrt(prior_variance))
    return Target(lambda mean: pointwise(mean).sum(-1), prior, pointwise=pointwise, exact=exact)


def poisson_gamma(observed: Sequence[int] = (3, 1, 4, 1, 5), *, shape: float = 2.0, rate: float = 1.0) -> Target:
    r"""Counts at an unknown rate; the posterior is a gamma distribution, as gamma Laplus assumes.

    $$y_i \sim \mathrm{Poisson}(\lambda), \quad \lambda \sim \mathrm{Gamma}(a, b), \qquad
    Z = \frac{b^a}{\Gamma(a)} \frac{\Gamma(a + \sum_i y_i)}{(b + n)^{a + \sum_i y_i}} \prod_i \frac{1}{y_i!}$$

    Args:
        observed: $y$.
        shape: $a$.
        rate: $b$.

    Example:
        >>> round(poisson_gamma().exact, 10)
        -10.5261851662
    """
    y, a = double(observed), shape + sum(observed)
    posterior = math.lgamma(a) - a * math.log(rate + len(observed))
    prior = math.lgamma(shape) - shape * math.log(rate)
    exact = posterior - prior - math.fsum(math.lgamma(each + 1) for each in observed)

    def pointwise(rates: Tensor) -> Tensor:
        return log_prob(Poisson(rates[:, None]), y)

    return Target(
        lambda rates: pointwise(rates).sum(-1), Gamma(*double([shape, rate])), pointwise=pointwise, exact=exact
    )


def linear_gaussian(observed: float = 1.5) -> Target:
    r"""One Gaussian observation of a Gaussian latent: the model that importance-weighted bounds are tried on.

    $$z \sim N(0, 1), \quad x \mid z \sim N(z, 1), \qquad x \sim N(0, 2)$$

    Args:
        observed: $x$.

    Example:
        >>> round(linear_gaussian().exact, 10)
        -1.8280121235
    """
    x = double([observed])[0]
    exact = -HALF_LOG_TWO_PI - 0.5 * math.log(2) - observed**2 / 4
    return Target(lambda z: log_prob(Normal(z, 1.0), x), Normal(zeros(), 1.0), exact=exact)


def linkage(counts: tuple[int, int, int, int] = (125, 18, 20, 34)) -> Target:
    r"""Genetic linkage: animals of four kinds, whose shares depend on one recombination parameter.

    $$p = \Big(\tfrac{1}{2} + \tfrac{\theta}{4}, \tfrac{1 - \theta}{4}, \tfrac{1 - \theta}{4}, \tfrac{\theta}{4}\Big),
    \qquad Z = \int_0^1 (2 + \theta)^{y_1} (1 - \theta)^{y_2 + y_3} \theta^{y_4} \, d\theta$$

    The likelihood is that of the literature, four times the probability for each animal: the evidence of the counts
    themselves is $\log Z - n \log 4$ and the logarithm of the multinomial coefficient. Expanded in powers of
    $\theta$, $Z$ is a sum of beta functions.

    Args:
        counts: animals of each kind, $y$.

    Example:
        >>> round(linkage().exact, 10)
        65.3300671205

    References:
        | A Monte Carlo Implementation of the EM Algorithm and the Poor Man's Data Augmentation Algorithms (Wei & Tanner, 1990)
        | https://doi.org/10.1080/01621459.1990.10474930
    """  # noqa: E501
    first, second, third, fourth = counts
    beta = [
        _log_choose(first, k) + (first - k) * math.log(2) + _log_beta(fourth + k + 1, second + third + 1)
        for k in range(first + 1)
    ]
    exact = max(beta) + math.log(math.fsum(math.exp(each - max(beta)) for each in beta))
    kinds = torch.arange(4).repeat_interleave(torch.tensor(counts))

    def pointwise(theta: Tensor) -> Tensor:
        other = torch.log1p(-theta)
        return torch.stack([torch.log(2 + theta), other, other, theta.log()], -1)[:, kinds]

    return Target(lambda theta: pointwise(theta).sum(-1), Beta(*double([1, 1])), pointwise=pointwise, exact=exact)


def _log_choose(n: int, k: int) -> float:
    return math.log(math.comb(n, k))


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
