r"""What a relaxed estimator needs of q: noise, scores, hard and soft samples, and the noise given a hard sample.

A discrete sample is a step function of scores $z$ that depend smoothly on logits $l$ and on uniform noise $u$ without
parameters. A soft sample is a smooth function of the same scores, closer to the step the lower the temperature `tau`.

| | binary entries | one-hot rows |
|---|---|---|
| scores $z$ | $l + \log \frac{u}{1 - u}$ | $\log \mathrm{softmax}(l) - \log(-\log u)$ |
| hard sample $b$ | $1[z > 0]$ | one-hot of the largest score |
| soft sample | $\mathrm{sigmoid}(z / \tau)$ | $\mathrm{softmax}(z / \tau)$ |
| coordinates of the density | $z / \tau$ | $\log \mathrm{softmax}(z / \tau)$ |

`relaxation(q)` gives such an object for Bernoulli, OneHotCategorical, IndependentBernoulli, `Independent` of those, and
for anything with a method `relaxation()`. Its methods, with all tensors of the samples' shape `(K, *batch, *event)`:

- `noise(samples, generator)`: uniform numbers strictly between 0 and 1;
- `scores(noise)`, `harden(scores)`, `soften(scores, tau)`: differentiable in the logits but for `harden`;
- `conditional(hard, noise)`: scores given that they harden to `hard`; `harden` of them is `hard` whatever the noise;
- `tied(noise)`: the second noise that makes the conditional scores equal to the scores, `(u) -> v`;
- `coordinates(scores, tau)` and `log_density(coordinates, tau)`, which is `(K, *batch)`;
- `log_prob(hard)`, `(K, *batch)`, its derivative `score(hard)`, and `tangent(mean)`, worth zero, with the gradient of
  the mean where it is `mean`;
- `logits`, `(*batch, *event)`, `at(logits)`, the same relaxation with other logits, and `event_sum(tensor)`.

A temperature is a number, or a tensor that broadcasts against `(*batch, *variables)`, one entry for each binary entry
or row. All of it is finite in single precision at logits of 1e4; infinite logits are held at a large finite number.

References:
    | The Concrete Distribution: A Continuous Relaxation of Discrete Random Variables (Maddison et al., 2017)
    | https://arxiv.org/abs/1611.00712v3
    | REBAR: Low-variance, Unbiased Gradient Estimates for Discrete Latent Variable Models (Tucker et al., 2017)
    | https://arxiv.org/abs/1703.07370v4
"""

from dataclasses import dataclass, field
from typing import Protocol, Self

import torch
from torch import Generator, Tensor
from torch.distributions import Bernoulli, Distribution, Independent, OneHotCategorical

from jensen.distributions.exp_relaxed_categorical import ExpRelaxedCategorical
from jensen.distributions.independent_bernoulli import IndependentBernoulli
from jensen.distributions.logit_relaxed_bernoulli import LogitRelaxedBernoulli
from jensen.gradients._parts import UnsupportedError

__all__ = ["BinaryRelaxation", "CategoricalRelaxation", "Relaxation", "check_tau", "relaxation"]

SHORT = 16
"""On a CPU the softmax of torch takes three to six times as long as its formula for rows shorter than this."""


class Relaxation(Protocol):
    """What the module's docstring lists."""

    @property
    def logits(self) -> Tensor:
        """The parameters, `(*batch, *event)`, finite."""

    @property
    def event_dims(self) -> int:
        """How many of the last axes are one event."""

    def at(self, logits: Tensor) -> Self:
        """The same relaxation with other logits, `(*batch, *event)` or `(K, *batch, *event)`."""

    def noise(self, samples: int, generator: Generator | None = None) -> Tensor:
        """Uniform numbers strictly between 0 and 1, `(samples, *batch, *event)`."""

    def scores(self, noise: Tensor) -> Tensor:
        """The scores $z$ of uniform noise $u$."""

    def harden(self, scores: Tensor) -> Tensor:
        """The discrete sample of scores, without a gradient."""

    def soften(self, scores: Tensor, tau: float | Tensor) -> Tensor:
        """The relaxed sample of scores."""

    def conditional(self, hard: Tensor, noise: Tensor) -> Tensor:
        """Scores given that they harden to `hard`, from uniform noise $v$."""

    def tied(self, noise: Tensor) -> Tensor:
        """The noise $v$ with which the scores given the hard sample of $u$ equal those of $u$; without a gradient."""

    def coordinates(self, scores: Tensor, tau: float | Tensor) -> Tensor:
        """The relaxed sample in the unbounded coordinates of `log_density`."""

    def log_density(self, coordinates: Tensor, tau: float | Tensor) -> Tensor:
        """Log-density of a relaxed sample in nats, `(K, *batch)`."""

    def log_prob(self, hard: Tensor) -> Tensor:
        """Log-probability of a discrete sample in nats, `(K, *batch)`."""

    def score(self, hard: Tensor) -> Tensor:
        """The derivative of `log_prob` in the logits, `(K, *batch, *event)`, a constant."""

    def tangent(self, mean: Tensor) -> Tensor:
        """Zeros, with the derivative in the logits that the mean of the distribution has where it is `mean`."""

    def event_sum(self, each: Tensor) -> Tensor:
        """The sum over the event of a tensor that ends in `(*batch, *event)`."""


def relaxation(q: Distribution) -> Relaxation:
    """The relaxation of a distribution of binary entries or of one-hot rows.

    Args:
        q: Bernoulli, OneHotCategorical, IndependentBernoulli, `Independent` of those, or anything with a method
            `relaxation()`.

    Returns:
        The object that the module's docstring describes.

    Raises:
        UnsupportedError: if there is no relaxation of `q`.

    Example:
        >>> p = relaxation(torch.distributions.Bernoulli(logits=torch.zeros(2)))
        >>> p.soften(p.scores(torch.tensor([[0.5, 0.8]])), 1.0)
        tensor([[0.5000, 0.8000]])
    """
    own = getattr(q, "relaxation", None)
    if callable(own):
        made: Relaxation = own()
        return made
    if isinstance(q, Independent):
        inner = relaxation(q.base_dist)
        if isinstance(inner, BinaryRelaxation | CategoricalRelaxation):
            return type(inner)(inner.logits, inner.event_dims + q.reinterpreted_batch_ndims)
    if isinstance(q, Bernoulli):
        return BinaryRelaxation(_finite(q.logits), 0)
    if isinstance(q, IndependentBernoulli):
        return BinaryRelaxation(_finite(q.logits), 1)
    if isinstance(q, OneHotCategorical):
        return CategoricalRelaxation(_finite(q.logits), 1)
    raise UnsupportedError(
        f"{type(q).__name__} has no relaxation; use Bernoulli, or OneHotCategorical in place of Categorical, "
        "or an estimator that needs none, such as leave_one_out"
    )


def check_tau(tau: float | Tensor) -> None:
    """Refuse a temperature that is not positive.

    Raises:
        ValueError: naming the temperature.
    """
    if not (bool((tau > 0).all()) if isinstance(tau, Tensor) else tau > 0):
        raise ValueError(f"tau must be positive, got {tau}")


@dataclass(frozen=True)
class BinaryRelaxation:
    r"""Binary entries: a logistic score above zero.

    Given the hard sample, $v' = b (v \theta + 1 - \theta) + (1 - b) v (1 - \theta)$ is the noise, with
    $\theta = \mathrm{sigmoid}(l)$. Its score in closed form, which neither overflows nor crosses zero:

    $$\tilde z = \log(1 + v e^{l}) - \log(1 - v) \;\; (b = 1), \qquad
    \tilde z = \log v - \log(1 + (1 - v) e^{-l}) \;\; (b = 0)$$

    Attributes:
        logits: log-odds $l$, `(*batch, *event)`.
        event_dims: how many of the last axes are one event.
    """

    logits: Tensor
    event_dims: int

    def at(self, logits: Tensor) -> "BinaryRelaxation":
        """The same relaxation with other logits."""
        return BinaryRelaxation(logits, self.event_dims)

    def noise(self, samples: int, generator: Generator | None = None) -> Tensor:
        """Uniform numbers strictly between 0 and 1, `(samples, *batch, *event)`."""
        return _uniform(samples, self.logits, generator)

    def scores(self, noise: Tensor) -> Tensor:
        """Logistic scores."""
        return self.logits + torch.logit(noise)

    def harden(self, scores: Tensor) -> Tensor:
        """Ones where the score is positive."""
        return (scores > 0).to(scores)

    def soften(self, scores: Tensor, tau: float | Tensor) -> Tensor:
        """Numbers between 0 and 1."""
        return torch.sigmoid(scores / tau)

    def conditional(self, hard: Tensor, noise: Tensor) -> Tensor:
        """Positive scores where `hard` is one, negative ones where it is zero."""
        log_v, log_not_v, zero = noise.log(), torch.log1p(-noise), torch.zeros_like(noise)
        one = torch.logaddexp(self.logits + log_v, zero) - log_not_v
        none = log_v - torch.logaddexp(log_not_v - self.logits, zero)
        return torch.where(hard > 0, one, none)

    def tied(self, noise: Tensor) -> Tensor:
        """Where in its half of the unit interval the noise lies."""
        with torch.no_grad():
            one = 1 - (1 - noise) / torch.sigmoid(self.logits)
            none = noise / torch.sigmoid(-self.logits)
            return _inside(torch.where(self.scores(noise) > 0, one, none))

    def coordinates(self, scores: Tensor, tau: float | Tensor) -> Tensor:
        """Log-odds of the soft sample."""
        return scores / tau

    def log_density(self, coordinates: Tensor, tau: float | Tensor) -> Tensor:
        """Log-density of the log-odds in nats, `(K, *batch)`."""
        return self.event_sum(LogitRelaxedBernoulli(tau, self.logits, validate_args=False).log_prob(coordinates))

    def log_prob(self, hard: Tensor) -> Tensor:
        """Log-probability in nats, `(K, *batch)`."""
        return self.event_sum(-torch.logaddexp((1 - 2 * hard) * self.logits, torch.zeros_like(hard)))

    def score(self, hard: Tensor) -> Tensor:
        """The sample minus the mean."""
        return hard - torch.sigmoid(self.logits.detach())

    def tangent(self, mean: Tensor) -> Tensor:
        """Zeros with the derivative `mean * (1 - mean)`."""
        return mean.detach() * (1 - mean.detach()) * (self.logits - self.logits.detach())

    def event_sum(self, each: Tensor) -> Tensor:
        """The sum over the last `event_dims` axes."""
        return _sum_last(each, self.event_dims)


@dataclass(frozen=True)
class CategoricalRelaxation:
    r"""One-hot rows: the largest of Gumbel scores.

    Given that category $b$ is the largest, its score is a Gumbel number of its own and the others are Gumbel numbers
    cut off above it; with $E = -\log v$ and probabilities $p$,

    $$\tilde z_b = -\log E_b, \qquad \tilde z_k = -\log\Big(\frac{E_k}{p_k} + E_b\Big)$$

    Attributes:
        logits: log-probabilities up to a constant, `(*batch, *event)`; the last axis is the categories.
        event_dims: how many of the last axes are one event, the categories among them.
        log_p: log-probabilities, of the logits' shape.
    """

    logits: Tensor
    event_dims: int
    log_p: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "log_p", _log_softmax(self.logits))

    def at(self, logits: Tensor) -> "CategoricalRelaxation":
        """The same relaxation with other logits."""
        return CategoricalRelaxation(logits, self.event_dims)

    def noise(self, samples: int, generator: Generator | None = None) -> Tensor:
        """Uniform numbers strictly between 0 and 1, `(samples, *batch, *event)`."""
        return _uniform(samples, self.logits, generator)

    def scores(self, noise: Tensor) -> Tensor:
        """Log-probabilities plus Gumbel noise."""
        return self.log_p - _log_exponential(noise)

    def harden(self, scores: Tensor) -> Tensor:
        """One-hot rows at the largest score."""
        return torch.zeros_like(scores).scatter_(-1, scores.argmax(-1, keepdim=True), 1.0)

    def soften(self, scores: Tensor, tau: float | Tensor) -> Tensor:
        """Rows that sum to one."""
        return _softmax(scores / _per_row(tau))

    def conditional(self, hard: Tensor, noise: Tensor) -> Tensor:
        """Scores of which the largest is where `hard` is one."""
        log_e = _log_exponential(noise)
        log_e_b = (log_e * hard).sum(-1, keepdim=True)  # (K, *batch, ..., 1)
        others = -torch.logaddexp(log_e - self.log_p, log_e_b)
        below = torch.nextafter(-log_e_b, torch.full_like(log_e_b, -torch.inf))
        return torch.where(hard > 0, -log_e_b, torch.minimum(others, below))

    def tied(self, noise: Tensor) -> Tensor:
        """The distribution function of the largest score, and of each other score given the largest."""
        with torch.no_grad():
            z = self.scores(noise)
            top = z.amax(-1, keepdim=True)
            below_top = -noise.log() - torch.exp(self.log_p - top)
            exponential = torch.where(self.harden(z) > 0, torch.exp(-top), below_top)
            return _inside(torch.exp(-exponential))

    def coordinates(self, scores: Tensor, tau: float | Tensor) -> Tensor:
        """The logarithm of the soft sample."""
        return _log_softmax(scores / _per_row(tau))

    def log_density(self, coordinates: Tensor, tau: float | Tensor) -> Tensor:
        """Log-density of the log-ratios of the soft sample in nats, `(K, *batch)`."""
        each = ExpRelaxedCategorical(tau, self.logits, validate_args=False).log_prob(coordinates)
        return _sum_last(each, self.event_dims - 1)

    def log_prob(self, hard: Tensor) -> Tensor:
        """Log-probability in nats, `(K, *batch)`."""
        return self.event_sum(hard * self.log_p)

    def score(self, hard: Tensor) -> Tensor:
        """The sample minus the mean."""
        return hard - self.log_p.detach().exp()

    def tangent(self, mean: Tensor) -> Tensor:
        r"""Zeros with the derivative $\mathrm{diag}(m) - m m^\top$."""
        mean, step = mean.detach(), self.logits - self.logits.detach()
        return mean * (step - (mean * step).sum(-1, keepdim=True))

    def event_sum(self, each: Tensor) -> Tensor:
        """The sum over the last `event_dims` axes."""
        return _sum_last(each, self.event_dims)


def _finite(logits: Tensor) -> Tensor:
    bound = torch.finfo(logits.dtype).max ** 0.75
    return logits.clamp(-bound, bound)


def _uniform(samples: int, like: Tensor, generator: Generator | None) -> Tensor:
    shape = (samples, *like.shape)
    return _inside(torch.rand(shape, generator=generator, dtype=like.dtype, device=like.device))


def _inside(uniform: Tensor) -> Tensor:
    eps = torch.finfo(uniform.dtype).eps
    return uniform.clamp_(eps / 4, 1 - eps / 2)


def _log_exponential(noise: Tensor) -> Tensor:
    """Logarithms of exponential times, a constant."""
    return noise.detach().log().neg_().log_()


def _softmax(x: Tensor) -> Tensor:
    if x.shape[-1] >= SHORT or x.device.type != "cpu":
        return x.softmax(-1)
    odds = (x - x.detach().amax(-1, keepdim=True)).exp_()
    return odds * odds.sum(-1, keepdim=True).reciprocal()


def _log_softmax(x: Tensor) -> Tensor:
    if x.shape[-1] >= SHORT or x.device.type != "cpu":
        return x.log_softmax(-1)
    below = x - x.detach().amax(-1, keepdim=True)
    return below - below.exp().sum(-1, keepdim=True).log()


def _per_row(tau: float | Tensor) -> float | Tensor:
    return tau.unsqueeze(-1) if isinstance(tau, Tensor) and tau.ndim else tau


def _sum_last(each: Tensor, dims: int) -> Tensor:
    return each.flatten(each.ndim - dims).sum(-1) if dims else each
