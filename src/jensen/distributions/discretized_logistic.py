"""A vector of independent pixels of so many levels, each a logistic cut into bins."""

import math

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints
from torch.nn.functional import logsigmoid

__all__ = ["DiscretizedLogistic", "check_levels", "level_of", "log_prob_of_bin", "mean_of_levels", "sample_level"]

OFF_GRID = 1e-2
"""How far a value may be from its level, in steps, when values are checked."""

TINY = -60.0
"""The logarithm of what no floating-point sum with one can tell from nothing, and single precision still holds."""


class DiscretizedLogistic(Distribution):
    r"""Vectors of levels $x_d = k / (L - 1)$ with independent entries, each a discretised logistic.

    $$P(x = k / (L - 1)) = \mathrm{sigmoid}\Big(\frac{x + h - \mu}{s}\Big) - \mathrm{sigmoid}\Big(\frac{x - h - \mu}{s}\Big),
    \qquad h = \frac{1}{2 (L - 1)}$$

    with $-\infty$ for the lower edge of the first bin and $\infty$ for the upper edge of the last, so that the levels
    have all of the mass. These are probabilities: $-\log P$ is a code length in nats.

    Args:
        mean: the logistic's $\mu$, `(*batch, D)`, on the scale of the levels, $[0, 1]$.
        log_scale: $\log s$, of a shape that broadcasts with `mean`.
        levels: how many levels $L$ an entry has.
        validate_args: whether to check parameters and values, as everywhere in `torch.distributions`.

    Raises:
        ValueError: if the shapes do not broadcast, or there are fewer than two levels.

    Example:
        >>> pixels = DiscretizedLogistic(torch.tensor([0.5]), torch.tensor([-2.0]), levels=3)
        >>> pixels.log_prob_of_levels().exp()
        tensor([[0.1362, 0.7276, 0.1362]])

    References:
        | PixelCNN++: Improving the PixelCNN with Discretized Logistic Mixture Likelihood (Salimans et al., 2017), eq. 2
        | https://arxiv.org/abs/1701.05517
    """  # noqa: E501

    arg_constraints = {"mean": constraints.real_vector, "log_scale": constraints.real_vector}
    support = constraints.independent(constraints.unit_interval, 1)  # type: ignore[no-untyped-call]

    def __init__(
        self, mean: Tensor, log_scale: Tensor, *, levels: int = 256, validate_args: bool | None = None
    ) -> None:
        check_levels(levels)
        try:
            self.loc, self.log_scale = torch.broadcast_tensors(mean, log_scale)  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            shapes = f"{tuple(mean.shape)} and {tuple(log_scale.shape)}"
            raise ValueError(f"mean and log_scale of shapes {shapes} do not broadcast") from error
        if self.loc.ndim == 0:
            raise ValueError("mean and log_scale are scalars; give at least one axis, (*batch, D)")
        self.levels = levels
        super().__init__(self.loc.shape[:-1], self.loc.shape[-1:], validate_args=False)
        self._validate_args = Distribution._validate_args if validate_args is None else validate_args
        if self._validate_args and not (self.loc.isfinite() & self.log_scale.isfinite()).all():
            raise ValueError("mean and log_scale must be finite")

    @property
    def mean(self) -> Tensor:
        """The expected level, not the logistic's own mean, `(*batch, D)`."""
        return mean_of_levels(self.loc, self.log_scale, self.levels)

    def expand(
        self, batch_shape: Size | list[int] | tuple[int, ...], _instance: object = None
    ) -> "DiscretizedLogistic":
        """The same distribution with its parameters expanded to `batch_shape`."""
        shape = (*batch_shape, *self.event_shape)
        new = DiscretizedLogistic(
            self.loc.expand(shape), self.log_scale.expand(shape), levels=self.levels, validate_args=False
        )
        new._validate_args = self._validate_args
        return new

    @torch.no_grad()
    def sample(self, sample_shape: Size | list[int] | tuple[int, ...] = Size()) -> Tensor:
        """A draw, `(*sample_shape, *batch, D)`."""
        shape = (*sample_shape, *self.loc.shape)
        return sample_level(self.loc.expand(shape), self.log_scale, self.levels)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-probability in nats, `(*sample, *batch)`; a value between two levels counts as the nearest."""
        k = level_of(value, self.levels, check=self._validate_args)
        if self._validate_args:
            self._validate_sample(value)
        return log_prob_of_bin(k, self.loc, self.log_scale, levels=self.levels).sum(-1)

    def log_prob_of_levels(self) -> Tensor:
        """Log-probability of every level of every entry in nats, `(*batch, D, L)`."""
        k = torch.arange(self.levels, dtype=self.loc.dtype, device=self.loc.device)
        return log_prob_of_bin(k, self.loc.unsqueeze(-1), self.log_scale.unsqueeze(-1), levels=self.levels)


def log_prob_of_bin(k: Tensor, mean: Tensor, log_scale: Tensor, *, levels: int) -> Tensor:
    r"""Log-probability of level $k$ under a discretised logistic in nats, of the shape that the arguments broadcast to.

    $$\log(\mathrm{sigmoid}(b) - \mathrm{sigmoid}(a)) = \log \mathrm{sigmoid}(b) + \log \mathrm{sigmoid}(-a)
    + \log(1 - e^{-(b - a)})$$

    Three terms that never cancel: in the tails, at tiny and at huge scales it keeps its digits and its gradient. The
    edges are taken in steps between levels, where those of neighbours are one number: together they have all the mass
    even at scales below the spacing of floating-point numbers.

    Args:
        k: whole numbers from 0 to `levels - 1`, floating.
        mean: $\mu$.
        log_scale: $\log s$.
        levels: $L$.

    Example:
        >>> log_prob_of_bin(torch.tensor([0.0, 1.0]), torch.zeros(2), torch.zeros(2), levels=2).exp()
        tensor([0.6225, 0.3775])
    """
    log_steepness = -log_scale - math.log(levels - 1)  # of a step
    steepness = log_steepness.exp()
    distance = k - mean * (levels - 1)
    first, last = k <= 0, k >= levels - 1
    above = logsigmoid((distance + 0.5) * steepness).masked_fill(last, 0.0)
    below = logsigmoid((0.5 - distance) * steepness).masked_fill(first, 0.0)
    width = _log_one_minus_exp_minus_exp(log_steepness).masked_fill(first | last, 0.0)
    return above + below + width


def _log_one_minus_exp_minus_exp(x: Tensor) -> Tensor:
    r"""$\log(1 - e^{-e^x})$, which is $x$ where $e^x$ is nothing beside one."""
    return torch.where(x < TINY, x, torch.log(-torch.expm1(-x.clamp_min(TINY).exp())))


def mean_of_levels(mean: Tensor, log_scale: Tensor, levels: int) -> Tensor:
    r"""The expected level, $\frac{1}{L - 1} \sum_{k \ge 1} P(K \ge k)$, of the shape of `mean`.

    Example:
        >>> mean_of_levels(torch.tensor([0.5, 9.0]), torch.tensor([1.0, -3.0]), levels=17)
        tensor([0.5000, 1.0000])
    """
    steepness = torch.exp(-log_scale)
    total = torch.zeros_like(mean)
    for k in range(1, levels):
        total = total + torch.sigmoid((mean - (k - 0.5) / (levels - 1)) * steepness)
    return total / (levels - 1)


def sample_level(mean: Tensor, log_scale: Tensor, levels: int) -> Tensor:
    """A draw of a discretised logistic as a level in $[0, 1]$, of the shape of `mean`."""
    uniform = torch.rand_like(mean).clamp_min(torch.finfo(mean.dtype).tiny)
    x = mean + log_scale.exp() * torch.logit(uniform)
    return (x * (levels - 1)).round().clamp(0, levels - 1) / (levels - 1)


def level_of(value: Tensor, levels: int, *, check: bool = False) -> Tensor:
    """The number of the level nearest to each value, as floating point.

    Args:
        value: in $[0, 1]$.
        levels: how many there are.
        check: look whether the values are levels.

    Raises:
        ValueError: if `check` is on and a value is none.

    Example:
        >>> level_of(torch.tensor([0.0, 0.5, 1.0]), 17)
        tensor([ 0.,  8., 16.])
    """
    scaled = value * (levels - 1)
    k = scaled.round()
    if check and not (((scaled - k).abs() <= OFF_GRID) & (k >= 0) & (k <= levels - 1)).all():
        raise ValueError(f"values must be levels k / {levels - 1} between 0 and 1")
    return k


def check_levels(levels: int) -> None:
    """Refuse fewer levels than two.

    Raises:
        ValueError: naming the number.
    """
    if levels < 2:
        raise ValueError(f"levels is {levels}; a pixel has at least two, 256 in most images")
