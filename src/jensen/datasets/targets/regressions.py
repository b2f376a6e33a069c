"""Regressions whose evidence is in the literature: Radiata pine, Pima women, newborn turtles."""

import math

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Gamma, Normal
from torch.nn.functional import softplus

from jensen._math import HALF_LOG_TWO_PI
from jensen._priors import Factor
from jensen._targets import Target
from jensen.datasets import pima as pima_women
from jensen.datasets.targets._pieces import double, log_prob, zeros
from jensen.datasets.targets.beta_prime import BetaPrime
from jensen.datasets.targets.tables import CLUTCHES, PINE_ADJUSTED, PINE_DENSITY, PINE_STRENGTH

__all__ = ["pima", "radiata_pine", "turtles"]

PRECISIONS = (0.06, 6.0)
CENTRES = (3000.0, 185.0)
SHAPE, RATE = 3.0, 2 * 300.0**2

PIMA = {(1, 0.01): -257.23259418, (2, 0.01): -259.85760631}
"""Gauss-Hermite quadrature around the mode."""

TURTLES = (-156.478589811, -156.719732029)
"""Quadrature: Gauss-Hermite over the coefficients, trapezoidal over each clutch, Gauss-Legendre over the variance."""

COLUMNS = {1: [0, 1, 4, 5], 2: [0, 1, 4, 5, 6]}


def radiata_pine(regressor: str = "density") -> Target:
    r"""Strength of Radiata pine on its density, or on its density adjusted for resin: two models to choose from.

    $$y_i \sim N\big(\alpha + \beta (x_i - \bar x), \tau^{-1}\big), \quad \alpha \sim N(3000, (0.06 \tau)^{-1}), \quad
    \beta \sim N(185, (6 \tau)^{-1}), \quad \tau \sim \mathrm{Gamma}(3, 2 \cdot 300^2)$$

    Conjugate: with $X$ the regressors, $R = \mathrm{diag}(0.06, 6)$ and $M = X^\top X + R$,

    $$Z = (2 \pi)^{-n/2} \frac{\lvert R \rvert^{1/2}}{\lvert M \rvert^{1/2}} \frac{b^a}{\Gamma(a)}
    \frac{\Gamma(a + n/2)}{(b + c / 2)^{a + n/2}}, \qquad
    c = y^\top y + \mu_0^\top R \mu_0 - (X^\top y + R \mu_0)^\top M^{-1} (X^\top y + R \mu_0)$$

    Args:
        regressor: `density` ($x$) or `adjusted` ($z$).

    Raises:
        ValueError: if there is no such regressor.

    Example:
        >>> round(radiata_pine("density").exact, 7), round(radiata_pine("adjusted").exact, 7)
        (-310.1282855, -301.7046021)

    References:
        | Estimating the Evidence: A Review (Friel & Wyse, 2012)
        | https://doi.org/10.1111/j.1467-9574.2011.00515.x
    """
    if regressor not in ("density", "adjusted"):
        raise ValueError(f"regressor must be 'density' or 'adjusted', got {regressor!r}")
    y, x = _numbers(PINE_STRENGTH), _numbers(PINE_DENSITY if regressor == "density" else PINE_ADJUSTED)
    x = x - x.mean()

    def pointwise(precision: Tensor, intercept: Tensor, slope: Tensor) -> Tensor:
        mean = intercept[:, None] + slope[:, None] * x
        return log_prob(Normal(mean, precision[:, None].rsqrt()), y)

    prior: dict[str, Factor] = {
        "precision": Gamma(*double([SHAPE, RATE])),
        "intercept": lambda precision: Normal(CENTRES[0], (PRECISIONS[0] * precision).rsqrt()),
        "slope": lambda precision: Normal(CENTRES[1], (PRECISIONS[1] * precision).rsqrt()),
    }
    return Target(lambda **theta: pointwise(**theta).sum(-1), prior, pointwise=pointwise, exact=_conjugate(y, x))


def pima(model: int = 1, *, precision: float = 0.01) -> Target:
    r"""Logistic regression of diabetes on four measurements (model 1), or on these and age (model 2).

    $$y_i \sim \mathrm{Bernoulli}(\sigma(x_i^\top \theta)), \qquad \theta \sim N(0, I / \tau)$$

    The regressors are 1, pregnancies, glucose, mass and pedigree, then age. The data are downloaded.

    Args:
        model: 1 or 2.
        precision: $\tau$; the evidence is known for 0.01.

    Raises:
        ValueError: if there is no such model, or the file fails its checksum (`CorruptFileError`).
        DownloadError: if the file is neither in `$JENSEN_DATA` nor to be had from its address.

    References:
        | Estimating the Evidence: A Review (Friel & Wyse, 2012)
        | https://doi.org/10.1111/j.1467-9574.2011.00515.x
    """
    if model not in COLUMNS:
        raise ValueError(f"model must be 1 or 2, got {model!r}")
    women = pima_women.load()
    x = torch.cat([torch.ones_like(women.features[:, :1]), women.features[:, COLUMNS[model]]], 1)  # (M, d)

    sufficient = women.diabetic @ x  # (d,)

    def log_likelihood(theta: Tensor) -> Tensor:
        return theta @ sufficient - softplus(theta @ x.T).sum(-1)

    def pointwise(theta: Tensor) -> Tensor:
        return log_prob(Bernoulli(logits=theta @ x.T), women.diabetic)

    prior = Normal(zeros(x.shape[1]), 1 / math.sqrt(precision))
    return Target(log_likelihood, prior, pointwise=pointwise, exact=PIMA.get((model, precision)))


def turtles(hypothesis: int = 0) -> Target:
    r"""Survival of newborn turtles on their weight: without (0) or with (1) a difference between clutches.

    $$y_{ij} \sim \mathrm{Bernoulli}\big(\Phi(\alpha_0 + \alpha_1 x_{ij} + \sigma b_i)\big), \quad
    \alpha \sim N(0, 10 I), \quad b_i \sim N(0, 1), \quad p(\sigma^2) = (1 + \sigma^2)^{-2}$$

    The effects of the 31 clutches are standardised, which leaves the evidence as it is and spares samplers the funnel.
    The Bayes factor of 0 against 1 is 1.2727.

    Args:
        hypothesis: 0 or 1.

    Raises:
        ValueError: if there is no such hypothesis.

    Example:
        >>> turtles(1)
        Target(dim=34, parameters=intercept, slope, variance, clutch)

    References:
        | An Empirical Comparison of Methods for Computing Bayes Factors in Generalized Linear Mixed Models (Sinharay & Stern, 2005)
        | https://doi.org/10.1198/106186005X47471
    """  # noqa: E501
    if hypothesis not in (0, 1):
        raise ValueError(f"hypothesis must be 0 or 1, got {hypothesis!r}")
    weight, sign, clutches = _newborn()
    zero = zeros()

    def alike(intercept: Tensor, slope: Tensor) -> Tensor:
        return _log_ndtr(sign * (intercept[:, None] + slope[:, None] * weight))

    def different(intercept: Tensor, slope: Tensor, *, variance: Tensor, clutch: Tensor) -> Tensor:
        effect = (variance.sqrt()[:, None] * clutch)[:, clutches]
        return _log_ndtr(sign * (intercept[:, None] + slope[:, None] * weight + effect))

    pointwise = different if hypothesis else alike
    coefficient = Normal(zero, math.sqrt(10))
    prior: dict[str, Factor] = {"intercept": coefficient, "slope": coefficient}
    hierarchy: dict[str, Factor] = {"variance": BetaPrime(zero + 1, zero + 1), "clutch": Normal(zero.expand(31), 1.0)}
    return Target(
        lambda **theta: pointwise(**theta).sum(-1),
        {**prior, **hierarchy} if hypothesis else prior,
        pointwise=pointwise,
        exact=TURTLES[hypothesis],
    )


def _conjugate(y: Tensor, x: Tensor) -> float:
    design = torch.stack([torch.ones_like(x), x], 1)  # (n, 2)
    centre, prior = double(CENTRES), torch.diag(double(PRECISIONS))
    posterior = design.T @ design + prior
    pull = design.T @ y + prior @ centre
    rest = float(y @ y + centre @ prior @ centre - pull @ torch.linalg.solve(posterior, pull))
    n, a = len(y), SHAPE + len(y) / 2
    determinants = 0.5 * float(prior.logdet() - posterior.logdet())
    gammas = SHAPE * math.log(RATE) - math.lgamma(SHAPE) + math.lgamma(a) - a * math.log(RATE + rest / 2)
    return -n * HALF_LOG_TWO_PI + determinants + gammas


def _newborn() -> tuple[Tensor, Tensor, Tensor]:
    """Weights, 1 for a survivor and -1 for the others, and the number of the clutch, `(244,)` each."""
    clutches = [line.split() for line in CLUTCHES.split("\n") if line]
    words = [(number, word) for number, clutch in enumerate(clutches) for word in clutch]
    weight = double([float(word[:-1]) for _, word in words])
    sign = double([1.0 if word[-1] == "+" else -1.0 for _, word in words])
    return weight, sign, torch.tensor([number for number, _ in words])


def _log_ndtr(x: Tensor) -> Tensor:
    found: Tensor = torch.special.log_ndtr(x)
    return found


def _numbers(text: str) -> Tensor:
    return double([float(word) for word in text.split()])
