r"""Expectation maximisation, exact and by Monte Carlo, and the information that the missing data cost.

$$Q(\theta \mid \theta_t) = \mathbb{E}_{p(z \mid y, \theta_t)}[\log p(y, z \mid \theta)] + \log p(\theta), \qquad
\theta_{t+1} = \arg\max_\theta Q(\theta \mid \theta_t)$$

climbs $\log p(y \mid \theta) + \log p(\theta)$: the likelihood where the M-step maximises the first term alone, the
posterior where it adds the log-prior. With a mean over draws in the place of the expectation nothing promises that a
step climbs, and the iterates wander about the mode unless the number of draws grows, or they are averaged.

The mode of a posterior depends on the parameters in which it is looked for.

References:
    | Maximum Likelihood from Incomplete Data via the EM Algorithm (Dempster, Laird & Rubin, 1977)
    | https://doi.org/10.1111/j.2517-6161.1977.tb01600.x
    | A Monte Carlo Implementation of the EM Algorithm and the Poor Man's Data Augmentation Algorithms (Wei & Tanner, 1990)
    | https://doi.org/10.1080/01621459.1990.10474930
"""  # noqa: E501

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from jensen._random import seeded, seeded_generator

__all__ = [
    "EMResult",
    "LouisInformation",
    "MCEMResult",
    "expectation_maximization",
    "growing_samples",
    "louis_information",
    "monte_carlo_em",
]

LogDensity = Callable[[Tensor], Tensor]


class EMResult(NamedTuple):
    r"""Where EM came to rest, and the way there.

    Attributes:
        parameters: the last iterate, of the shape of the start.
        history: every iterate, the start first, `(T + 1, *shape)`.
        log_density: the observed-data log-density of each iterate, `(T + 1,)`; NaN where no function was given.
        rate: the ratio of the last two steps; near the mode, the largest share of the information that is missing. NaN
            before there are two steps to compare.
        iterations: T.
        converged: whether the estimated distance to the limit is below the tolerance.
    """

    parameters: Tensor
    history: Tensor
    log_density: Tensor
    rate: float
    iterations: int
    converged: bool


class MCEMResult(NamedTuple):
    r"""The iterates of Monte Carlo EM and their average.

    Attributes:
        parameters: the mean of the iterates after the first `average_from`, each weighted by its number of draws.
        std_error: Monte Carlo standard error of `parameters`, of their shape: its distance to the mode, not to the truth.
        history: every iterate, the start first, `(T + 1, *shape)`.
        log_density: the observed-data log-density of each iterate, `(T + 1,)`; NaN where no function was given.
        samples: draws of the latent data in each iteration, `(T,)`.
        falls: in how many iterations the log-density fell; 0 where it is not known.
        iterations: T.
        seed: what the draws came from.
    """  # noqa: E501

    parameters: Tensor
    std_error: Tensor
    history: Tensor
    log_density: Tensor
    samples: Tensor
    falls: int
    iterations: int
    seed: int


class LouisInformation(NamedTuple):
    r"""What the observed data tell of the parameters, and what the latent data would have added.

    Attributes:
        complete: $I_c$, what the complete data would tell on average, `(p, p)`.
        missing: $I_m$, the covariance of their score, `(p, p)`.
        observed: $I = I_c - I_m$, `(p, p)`.
        std_error: square roots of the diagonal of $I^{-1}$, `(p,)`.
        rate: the largest eigenvalue of $I_c^{-1} I_m$: the rate at which EM converges.
    """

    complete: Tensor
    missing: Tensor
    observed: Tensor
    std_error: Tensor
    rate: float


def expectation_maximization(
    e_step: Callable[[Tensor], Any],
    m_step: Callable[[Any], Tensor],
    start: Tensor | float | EMResult,
    *,
    log_density: LogDensity | None = None,
    tolerance: float = 1e-10,
    max_iterations: int = 1000,
) -> EMResult:
    r"""Maximise a likelihood or a posterior with latent data, by exact expectations.

    EM converges linearly: with steps $s_t$ and their ratio $r$, what is left is about $s_t \, r / (1 - r)$. The
    iteration ends when this is below the tolerance, not when the step is.

    Args:
        e_step: from parameters to whatever the M-step needs: the expected sufficient statistics given the data.
        m_step: from these to the parameters that maximise the expected complete-data log-density, the log-prior added
            for a posterior mode.
        start: the first parameters, of any shape; or an earlier result, which is continued.
        log_density: $\log p(y \mid \theta)$, plus $\log p(\theta)$ if the M-step has a prior. Every step must raise it.
        tolerance: relative to $1 + \max \lvert \theta \rvert$.
        max_iterations: how many more steps to take at most.

    Raises:
        ValueError: if the log-density falls, so that one of the steps is wrong; if the M-step returns another shape or
            numbers that are not finite; or if the settings are not positive.

    Example:
        >>> half = torch.tensor(0.5, dtype=torch.float64)
        >>> found = expectation_maximization(
        ...     lambda t: 125 * t / (2 + t), lambda x: (x + 34) / (x + 34 + 38), half
        ... )
        >>> round(found.parameters.item(), 10), round(found.rate, 4)
        (0.6268214979, 0.1328)

    References:
        | Maximum Likelihood from Incomplete Data via the EM Algorithm (Dempster, Laird & Rubin, 1977)
        | https://doi.org/10.1111/j.2517-6161.1977.tb01600.x
    """
    if tolerance <= 0 or max_iterations < 1:
        raise ValueError(f"tolerance and max_iterations must be positive, got {tolerance} and {max_iterations}")
    history, values = _begin(start, log_density)
    converged = False
    while not converged and max_iterations > 0:
        with _blaming("e_step"):
            expected = e_step(history[-1])
        with _blaming("m_step"):
            following = m_step(expected)
        history.append(_checked(following, history))
        values.append(_value(log_density, history[-1]))
        _check_ascent(values)
        converged = _distance_left(history) <= tolerance * (1 + float(history[-1].abs().max()))
        max_iterations -= 1
    rate = _rate(history)
    return EMResult(history[-1], torch.stack(history), _stacked(values), rate, len(history) - 1, converged)


def monte_carlo_em(
    sample_latents: Callable[[Tensor, int], Tensor],
    m_step: Callable[[Tensor], Tensor],
    start: Tensor | float | MCEMResult,
    *,
    samples: Sequence[int],
    average_from: int | None = None,
    log_density: LogDensity | None = None,
    seed: int = 0,
) -> MCEMResult:
    r"""EM with the expectation replaced by a mean over draws of the latent data.

    $$\theta_{t+1} = \arg\max_\theta \frac{1}{M_t} \sum_{m=1}^{M_t} \log p(y, z_m \mid \theta) + \log p(\theta), \qquad
    z_m \sim p(z \mid y, \theta_t)$$

    With $M$ draws in every iteration the iterates come to vary about the mode with variance
    $\sigma^2 / (M (1 - r^2))$, where $r$ is the rate of EM and $\sigma^2 / M$ the variance of one M-step; the mean
    of many of them varies less. Their ascent is counted, not asked for.

    Args:
        sample_latents: from parameters and a number of draws $M$ to draws, `(M, *latent)`. It follows `seed` with any
            of torch's own random functions; the global generator is left alone.
        m_step: from draws `(M, *latent)` to the parameters that maximise the mean complete-data log-density.
        start: the first parameters; or an earlier result, which is continued as if it had not been interrupted.
        samples: $M_t$, one number for each iteration; `growing_samples` makes such a list.
        average_from: how many iterates are left out of the average, those of an earlier result counted; half if not
            given.
        log_density: of the observed data, as for `expectation_maximization`; it is recorded.
        seed: where the draws come from; that of the earlier result if there is one.

    Raises:
        ValueError: if the numbers of draws are not positive, `average_from` leaves nothing to average, or a step
            returns another shape or numbers that are not finite.

    Example:
        >>> def latents(theta, count):
        ...     return torch.distributions.Binomial(125, theta / (2 + theta)).sample((count,))
        >>> half = torch.tensor(0.5, dtype=torch.float64)
        >>> found = monte_carlo_em(
        ...     latents, lambda x: (x.mean() + 34) / (x.mean() + 72), half, samples=growing_samples(20, most=2000)
        ... )
        >>> abs(found.parameters.item() - 0.62682) < 4 * found.std_error.item()
        True

    References:
        | A Monte Carlo Implementation of the EM Algorithm and the Poor Man's Data Augmentation Algorithms (Wei & Tanner, 1990)
        | https://doi.org/10.1080/01621459.1990.10474930
    """  # noqa: E501
    if not len(samples) or min(samples) < 1:
        raise ValueError(f"samples must be positive numbers, one for each iteration, got {list(samples)}")
    counts = [int(each) for each in samples]
    if isinstance(start, MCEMResult):
        counts, seed = start.samples.tolist() + counts, start.seed
    history, values = _begin(start, log_density)
    skipped = len(counts) // 2 if average_from is None else average_from
    if not 0 <= skipped < len(counts):
        raise ValueError(f"average_from must lie between 0 and {len(counts) - 1}, got {skipped}")
    seeds = [torch.randint(2**62, (), generator=source).item() for source in [seeded_generator(seed)] for _ in counts]
    for t in range(len(history) - 1, len(counts)):
        with _blaming("sample_latents"), seeded(seeded_generator(int(seeds[t]))):
            latents = sample_latents(history[-1], counts[t])
        with _blaming("m_step"):
            following = m_step(latents)
        history.append(_checked(following, history))
        values.append(_value(log_density, history[-1]))
    log_densities, iterates, draws = _stacked(values), torch.stack(history), torch.tensor(counts)
    mean, std_error = _average(iterates[1 + skipped :], draws[skipped:])
    falls = int((log_densities.diff() < 0).sum())
    return MCEMResult(mean, std_error, iterates, log_densities, draws, falls, len(counts), seed)


def growing_samples(iterations: int, *, first: int = 10, most: int = 10_000) -> tuple[int, ...]:
    r"""Numbers of draws that grow geometrically to `most` in two thirds of the iterations, and then stay.

    Args:
        iterations: how many numbers to make.
        first: the first of them.
        most: the last.

    Raises:
        ValueError: if a number is below 1, or `most` is below `first`.

    Example:
        >>> growing_samples(9, first=10, most=1000)
        (10, 25, 63, 158, 398, 1000, 1000, 1000, 1000)
    """
    if iterations < 1 or not 1 <= first <= most:
        raise ValueError(f"need iterations >= 1 and 1 <= first <= most, got {iterations}, {first} and {most}")
    rise = max(2 * iterations // 3 - 1, 1)
    return tuple(round(first * (most / first) ** min(t / rise, 1.0)) for t in range(iterations))


def louis_information(
    complete_log_density: Callable[[Tensor, Tensor], Tensor],
    parameters: Tensor,
    latents: Tensor,
    *,
    weights: Tensor | None = None,
) -> LouisInformation:
    r"""The observed information by Louis' identity, with derivatives by autodiff.

    $$I = \underbrace{\mathbb{E}\big[-\nabla^2 \log p(y, z \mid \theta)\big]}_{I_c}
    - \underbrace{\mathrm{Cov}\big[\nabla \log p(y, z \mid \theta)\big]}_{I_m}$$

    under $p(z \mid y, \theta)$. It is asked for at the mode, where $I$ is positive definite. With all values of the
    latent data and their probabilities it is exact, with draws an estimate. With the log-prior in the density it is
    the information of the posterior.

    Args:
        complete_log_density: from $\theta$, `(p,)`, and latent data `(L, *latent)` to $\log p(y, z \mid \theta)$, `(L,)`.
        parameters: $\theta$, `(p,)` or a single number.
        latents: values or draws of $z$ given the data and $\theta$, `(L, *latent)`.
        weights: the probability of each, `(L,)`, brought to a sum of 1; equal if not given.

    Raises:
        ValueError: if a shape does not fit, a weight is negative or not finite, there is a single draw and no weight, or
            $I$ is not positive definite: the point is no maximum.

    Example:
        >>> x = torch.arange(126.0, dtype=torch.float64)
        >>> mode = torch.tensor(0.6268214978709824, dtype=torch.float64)
        >>> chance = torch.distributions.Binomial(125, mode / (2 + mode)).log_prob(x).exp()
        >>> louis = louis_information(
        ...     lambda t, x: (x + 34) * t.log() + 38 * torch.log1p(-t), mode, x, weights=chance
        ... )
        >>> round(louis.std_error.item(), 7), round(louis.rate, 7)
        (0.0514673, 0.1327787)

    References:
        | Finding the Observed Information Matrix when Using the EM Algorithm (Louis, 1982)
        | https://doi.org/10.1111/j.2517-6161.1982.tb01203.x
    """  # noqa: E501
    weight = _weights(latents, weights).to(parameters)
    shape, flat = parameters.shape, parameters.detach().flatten()
    if parameters.ndim > 1:
        raise ValueError(f"parameters have shape {tuple(shape)}; expected (p,) or ()")

    def log_density(theta: Tensor) -> Tensor:
        with _blaming("complete_log_density"):
            value = complete_log_density(theta.reshape(shape), latents)
        if value.shape != weight.shape:
            raise ValueError(f"complete_log_density returned {tuple(value.shape)}; expected {tuple(weight.shape)}")
        return value

    score, curvature = _derivatives(log_density, flat, weight)
    centred = score - weight @ score
    complete, missing = -curvature, centred.T @ (weight[:, None] * centred)
    observed = complete - missing
    std_error = _std_error(observed)
    shares = torch.linalg.eigvals(torch.linalg.solve(complete, missing)).real
    return LouisInformation(complete, missing, observed, std_error, float(shares.max()))


def _begin(start: object, log_density: LogDensity | None) -> tuple[list[Tensor], list[Tensor]]:
    if isinstance(start, EMResult | MCEMResult):
        return list(start.history), list(start.log_density)
    start = start if isinstance(start, Tensor) else _numbers(start, "the start")
    if not start.is_floating_point() or not bool(start.isfinite().all()):
        raise ValueError(f"the start must hold finite floating point numbers, got {start.dtype}: {start.tolist()}")
    return [start.detach().clone()], [_value(log_density, start)]


@contextmanager
def _blaming(function: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise ValueError(f"{function} raised {type(error).__name__}: {error}") from error


def _numbers(value: object, what: str) -> Tensor:
    try:
        return torch.as_tensor(value, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{what} must be a tensor or a number, got {value!r}") from error


def _checked(parameters: object, history: list[Tensor]) -> Tensor:
    before = history[-1]
    found = parameters if isinstance(parameters, Tensor) else _numbers(parameters, "what m_step returns")
    parameters = found.detach()
    if parameters.shape != before.shape:
        raise ValueError(f"m_step returned {tuple(parameters.shape)}; expected {tuple(before.shape)}, as the start")
    if not bool(parameters.isfinite().all()):
        raise ValueError(f"iteration {len(history)} went from {before.tolist()} to {parameters.tolist()}")
    return parameters.to(before.dtype)


def _value(log_density: LogDensity | None, parameters: Tensor) -> Tensor:
    if log_density is None:
        return torch.full((), math.nan, dtype=torch.float64)
    with torch.no_grad(), _blaming("log_density"):
        value = torch.as_tensor(log_density(parameters))
    if value.numel() != 1:
        raise ValueError(f"log_density returned {tuple(value.shape)}; expected one number for one set of parameters")
    return value.detach().double().reshape(())


def _stacked(values: list[Tensor]) -> Tensor:
    return torch.stack([each.cpu() for each in values])


def _check_ascent(values: list[Tensor]) -> None:
    before, now = float(values[-2]), float(values[-1])
    if now < before - 1e-9 * (1 + abs(before)):
        raise ValueError(
            f"the log-density fell from {before:.10g} to {now:.10g} in iteration {len(values) - 1}, which an exact EM "
            "step cannot do: check both steps, and that log_density has a prior exactly if the M-step has one"
        )


def _steps(history: list[Tensor]) -> list[float]:
    last = history[-3:]
    return [float(torch.linalg.vector_norm(b - a)) for a, b in itertools.pairwise(last)]


def _distance_left(history: list[Tensor]) -> float:
    *earlier, last = _steps(history)
    floor = 4 * torch.finfo(history[-1].dtype).eps * (1 + float(history[-1].abs().max()))
    if last <= floor:
        return 0.0
    ratio = last / earlier[0] if earlier else 1.0
    return last * max(ratio / (1 - ratio), 1.0) if ratio < 1 else math.inf


def _rate(history: list[Tensor]) -> float:
    """The ratio of the last two steps of which the first is well above rounding."""
    floor = math.sqrt(torch.finfo(history[-1].dtype).eps) * (1 + float(history[-1].abs().max()))
    for end in range(len(history), 2, -1):
        before, after = _steps(history[:end])
        if before > floor:
            return after / before
    return math.nan


def _average(iterates: Tensor, samples: Tensor) -> tuple[Tensor, Tensor]:
    r"""Mean weighted by the numbers of draws; its error as of a first-order autoregression of variance $v / M$."""
    weight = samples.to(iterates).reshape(-1, *[1] * (iterates.ndim - 1))
    mean = (weight * iterates).sum(0) / weight.sum()
    if len(iterates) < 3:
        return mean, torch.full_like(mean, math.nan)
    scaled = weight.sqrt() * (iterates - mean)  # (T, *shape): of one variance
    variance = scaled.square().sum(0) / (len(iterates) - 1)
    correlation = (scaled[1:] * scaled[:-1]).sum(0) / scaled.square().sum(0)
    correlation = correlation.nan_to_num(0.0).clamp(0.0, 0.99)
    inflation = (1 + correlation) / (1 - correlation)
    return mean, (variance * inflation / weight.sum()).sqrt()


def _weights(latents: Tensor, weights: Tensor | None) -> Tensor:
    if weights is None:
        if len(latents) < 2:
            raise ValueError(
                f"the missing information is a spread: give two draws or more, or weights; got {len(latents)}"
            )
        return torch.full((len(latents),), 1 / len(latents), dtype=torch.float64)
    if weights.shape != latents.shape[:1] or not bool((weights >= 0).all() & weights.isfinite().all()):
        raise ValueError(f"weights have shape {tuple(weights.shape)}; expected {len(latents)} numbers from 0 on")
    return weights / weights.sum()


def _derivatives(log_density: LogDensity, point: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The gradient of each log-density, `(L, p)`, and the Hessian of their weighted sum, `(p, p)`."""
    theta = point.clone().requires_grad_()
    value = log_density(theta)
    if not value.requires_grad:
        raise ValueError("complete_log_density does not depend on the parameters in a way that torch can differentiate")
    probe = torch.zeros_like(value).requires_grad_()
    (pull,) = torch.autograd.grad((probe * value).sum(), theta, create_graph=True)
    (slope,) = torch.autograd.grad((weight * value).sum(), theta, create_graph=True)
    score = torch.stack([_gradient(each, probe) for each in pull], 1)
    return score, torch.stack([_gradient(each, theta) for each in slope])


def _gradient(value: Tensor, point: Tensor) -> Tensor:
    if not value.requires_grad:
        return torch.zeros_like(point)
    return torch.autograd.grad(value, point, retain_graph=True, materialize_grads=True)[0]


def _std_error(information: Tensor) -> Tensor:
    finite = bool(information.isfinite().all())
    least = float(torch.linalg.eigvalsh(information).min()) if finite else math.nan
    if not least > 0:
        raise ValueError(
            f"the observed information has the eigenvalue {least:.4g}, where at a maximum all are positive: the point "
            "is no maximum, or the draws are too few"
        )
    variance: Tensor = torch.linalg.inv(information).diagonal()
    return variance.sqrt()
