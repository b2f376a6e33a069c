r"""Doubly stochastic matrices by stick breaking, with their exact density.

Every row and every column is a stick of length one. Entries are broken off from left to right, row by row; at entry
$(m, n)$ what is left of the row and of the column, and what must be left for the others, bound it:

$$u_{mn} = \min\Big\{1 - \sum_{k < n} x_{mk},\; 1 - \sum_{k < m} x_{kn}\Big\}, \qquad
l_{mn} = \max\Big\{0,\; 1 - N + n - \sum_{k < n} x_{mk} + \sum_{k < m} \sum_{j > n} x_{kj}\Big\}$$

The four numbers that compete are the margins of a 2 x 2 table: rest of the row $r$ and of all rows below $s$, rest of
the column $c$ and of all columns to the right $S$, with $r + s = c + S$ and $u - l = \min(r, c, s, S)$. So the way
back needs neither recursion nor a subtraction:

$$x_{mn} - l_{mn} = \min\Big\{x_{mn}, \sum_{k > m} \sum_{j > n} x_{kj}\Big\}, \qquad
u_{mn} - x_{mn} = \min\Big\{\sum_{j > n} x_{mj}, \sum_{k > m} x_{kn}\Big\}$$
"""

import math

import torch
from torch import Generator, Size, Tensor
from torch.distributions import Distribution, constraints, register_kl
from torch.nn.functional import logsigmoid

from jensen._math import HALF_LOG_TWO_PI
from jensen.distributions._checks import check_same_event
from jensen.distributions.diagonal_normal import DiagonalNormal
from jensen.distributions.permutation_matrices import doubly_stochastic

__all__ = ["StickBreakingBirkhoff", "break_sticks", "broken_parts"]

_TIE = 1e-30


class StickBreakingBirkhoff(Distribution):
    r"""Logistic-normal fractions of sticks, a distribution on the inside of the Birkhoff polytope.

    $$\psi = \mu + \nu \odot \epsilon, \qquad \beta = \mathrm{sigmoid}(\psi / \tau), \qquad
    x_{mn} = l_{mn} + \beta_{mn} (u_{mn} - l_{mn})$$
    $$\log q(X) = \sum_{m, n < N} \log \mathcal{N}(\psi_{mn}; \mu_{mn}, \nu_{mn}^2) - \log (u_{mn} - l_{mn})
    - \log \frac{\beta_{mn} (1 - \beta_{mn})}{\tau}$$

    The density is with respect to the $(N - 1)^2$ entries outside the last row and column. As $\tau \to 0$ each
    fraction becomes 1 with probability $\Phi(\mu / \nu)$, not $\Phi(-\mu / \nu)$ as in the paper's supplement, and the
    matrix a permutation. Entries depend on those above and to the left, so the order of rows and columns matters.
    The divergence is that of the Gaussian log-odds $\psi / \tau$, at any two temperatures.

    Args:
        loc: $\mu$, `(*batch, N - 1, N - 1)`.
        scale: $\nu$, positive, of a shape that broadcasts with `loc`.
        tau: temperature, a positive number or a tensor that broadcasts with `(*batch)`.
        validate_args: whether to check parameters and values, as everywhere in `torch.distributions`.

    Raises:
        ValueError: if the shapes do not fit, or a parameter is out of its range.

    Example:
        >>> q = StickBreakingBirkhoff(torch.zeros(5, 2, 2), torch.ones(()), tau=0.5)
        >>> q.batch_shape, q.event_shape
        (torch.Size([5]), torch.Size([3, 3]))
        >>> q.rsample().sum(-1)[0]
        tensor([1.0000, 1.0000, 1.0000])

    References:
        | Reparameterizing the Birkhoff Polytope for Variational Permutation Inference (Linderman et al., 2018)
        | https://arxiv.org/abs/1710.09508v1
    """

    arg_constraints = {
        "loc": constraints.independent(constraints.real, 2),  # type: ignore[no-untyped-call]
        "scale": constraints.independent(constraints.positive, 2),  # type: ignore[no-untyped-call]
        "tau": constraints.positive,
    }
    support = doubly_stochastic
    has_rsample = True

    def __init__(self, loc: Tensor, scale: Tensor, *, tau: float | Tensor, validate_args: bool | None = None) -> None:
        if loc.ndim < 2 or loc.shape[-1] != loc.shape[-2]:
            raise ValueError(f"loc has shape {tuple(loc.shape)}; expected square matrices (*batch, N - 1, N - 1)")
        tau = torch.as_tensor(tau, dtype=loc.dtype, device=loc.device)
        shapes = f"{tuple(loc.shape)}, {tuple(scale.shape)} and {tuple(tau.shape)}"
        try:
            shape = torch.broadcast_shapes(loc.shape, scale.shape, (*tau.shape, 1, 1))  # type: ignore[no-untyped-call]
            self.loc, self.scale, self.tau = loc.expand(shape), scale.expand(shape), tau.expand(shape[:-2])
        except RuntimeError as error:
            raise ValueError(f"loc, scale and tau of shapes {shapes} do not broadcast") from error
        if self.loc.shape[-2:] != loc.shape[-2:]:
            raise ValueError(f"loc, scale and tau of shapes {shapes} do not broadcast to matrices of the size of loc")
        size = loc.shape[-1] + 1
        super().__init__(self.tau.shape, Size((size, size)), validate_args=validate_args)

    def expand(
        self, batch_shape: Size | list[int] | tuple[int, ...], _instance: object = None
    ) -> "StickBreakingBirkhoff":
        """The same distribution with its parameters expanded to `batch_shape`."""
        shape = (*batch_shape, *self.loc.shape[-2:])
        tau = self.tau.expand(tuple(batch_shape))
        new = StickBreakingBirkhoff(self.loc.expand(shape), self.scale.expand(shape), tau=tau, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def noise(self, sample_shape: Size | tuple[int, ...] = (), *, generator: Generator | None = None) -> Tensor:
        r"""Standard normal $\epsilon$ for `from_noise`, `(*sample_shape, *batch, N - 1, N - 1)`."""
        shape = (*sample_shape, *self.loc.shape)
        return torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device, generator=generator)

    def from_noise(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        r"""The draw that the noise stands for, and its log-density, in one pass and in log space.

        Both are finite at any finite parameters. Where entries underflow, `log_prob` of the draw can only know that
        they are small; here their logarithms are at hand.

        Returns:
            Matrices `(*sample, *batch, N, N)` and log-densities in nats `(*sample, *batch)`.

        Raises:
            ValueError: if the noise is of another shape than the parameters.
        """
        if noise.shape[-2:] != self.loc.shape[-2:]:
            expected = f"(*sample, {self.loc.shape[-2]}, {self.loc.shape[-1]})"
            raise ValueError(f"noise has shape {tuple(noise.shape)}; expected {expected}")
        tau = self.tau[..., None, None]
        logits = (self.loc + self.scale * noise) / tau
        log_beta, log_rest = logsigmoid(logits), logsigmoid(-logits)
        log_x, log_width = break_sticks(log_beta, log_rest)
        standard = -0.5 * noise.square() - HALF_LOG_TWO_PI - self.scale.log()
        return log_x.exp(), (standard - log_width - log_beta - log_rest + tau.log()).sum((-2, -1))

    def rsample(self, sample_shape: Size | list[int] | tuple[int, ...] = Size()) -> Tensor:
        """A reparameterised draw, `(*sample_shape, *batch, N, N)`."""
        return self.from_noise(self.noise(tuple(sample_shape)))[0]

    def inverse(self, value: Tensor) -> Tensor:
        r"""$\psi$ of a matrix `(*sample, *batch, N, N)`, `(*sample, *batch, N - 1, N - 1)`."""
        log_lower, log_upper = broken_parts(value)
        return self.tau[..., None, None] * (log_lower - log_upper)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density in nats, `(*sample, *batch)`; entries below the smallest normal number count as that number."""
        if self._validate_args:
            self._validate_sample(value)
        log_lower, log_upper = broken_parts(value)
        tau = self.tau[..., None, None]
        noise = (tau * (log_lower - log_upper) - self.loc) / self.scale
        standard = -0.5 * noise.square() - HALF_LOG_TWO_PI - self.scale.log()
        slope = log_lower + log_upper - torch.logaddexp(log_lower, log_upper) - tau.log()
        return (standard - slope).sum((-2, -1))


def broken_parts(x: Tensor) -> tuple[Tensor, Tensor]:
    r"""$\log(x - l)$ and $\log(u - x)$ of a doubly stochastic matrix, the way back from `break_sticks`.

    Their difference is the logit of the fraction $\beta$, the logarithm of their sum the width $\log (u - l)$.

    Args:
        x: matrices `(*batch, N, N)`.

    Returns:
        Two tensors `(*batch, N - 1, N - 1)`.

    Example:
        >>> lower, upper = broken_parts(torch.full((3, 3), 1 / 3))
        >>> (lower - upper).exp()
        tensor([[0.5000, 1.0000],
                [1.0000, 1.0000]])
    """
    x = x.clamp_min(torch.finfo(x.dtype).tiny)
    from_right, from_below = _suffix_sum(x, -1), _suffix_sum(x, -2)
    block = _suffix_sum(from_right, -2)[..., 1:, 1:]
    lower = torch.minimum(x[..., :-1, :-1], block)
    upper = torch.minimum(from_right[..., :-1, 1:], from_below[..., 1:, :-1])
    return lower.log(), upper.log()


def break_sticks(log_beta: Tensor, log_rest: Tensor) -> tuple[Tensor, Tensor]:
    r"""The logarithms of a doubly stochastic matrix's entries and of the widths $u - l$, from fractions of sticks.

    Sums of positive numbers wherever there is a choice: of the two equal differences of margins the one of smaller
    numbers is taken. What is lost to rounding are differences between sticks that agree in all digits.

    Args:
        log_beta: $\log \beta$, `(*batch, N - 1, N - 1)`.
        log_rest: $\log (1 - \beta)$, likewise.

    Returns:
        $\log x$, `(*batch, N, N)`, and $\log (u - l)$, `(*batch, N - 1, N - 1)`.

    Example:
        >>> half = torch.full((2, 2), math.log(0.5))
        >>> log_x, log_width = break_sticks(half, half)
        >>> log_x.exp()
        tensor([[0.5000, 0.2500, 0.2500],
                [0.2500, 0.3750, 0.3750],
                [0.2500, 0.3750, 0.3750]])
    """
    short = log_beta.shape[-1]
    whole = log_beta.new_zeros(log_beta.shape[:-2])
    columns = [whole] * (short + 1)
    rows, widths = [], []
    for m in range(short):
        to_the_right = _log_suffix_sums(columns)
        row, below = whole, whole + math.log(short - m)
        for n in range(short):
            margins = row, below, columns[n], to_the_right[n]
            width, x, row, columns[n], below = _cut(margins, log_beta[..., m, n], log_rest[..., m, n])
            widths.append(width)
            rows.append(x)
        rows.append(row)
        columns[-1] = below
    log_x = torch.stack([*rows, *columns], -1).reshape(*whole.shape, short + 1, short + 1)
    log_width = torch.stack(widths, -1).reshape(log_beta.shape) if widths else log_beta
    return log_x, log_width


def _cut(
    margins: tuple[Tensor, Tensor, Tensor, Tensor], log_beta: Tensor, log_rest: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Width, entry, and what it leaves of the row, of the column and of all else; all are logarithms."""
    row, below, column, right = margins
    width = torch.minimum(torch.minimum(row, column), torch.minimum(below, right))
    over, under = _differences((row, right), (column, below))
    wide, tall = _differences((row, column), (right, below))
    taken, left = log_beta + width, log_rest + width
    entry, rest = torch.logaddexp(over, taken), torch.logaddexp(under, taken)
    return width, entry, torch.logaddexp(wide, left), torch.logaddexp(tall, left), rest


def _differences(pair: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    r"""$\log \max(0, a - b)$ and $\log \max(0, b - a)$ from the logarithms of two pairs of the same difference."""
    smaller = torch.maximum(*other) < torch.maximum(*pair)
    a, b = (torch.where(smaller, second, first) for first, second in zip(pair, other, strict=True))
    gap = -(a - b).abs()
    apart = gap < -_TIE
    size = torch.maximum(a, b) + torch.log(-torch.expm1(torch.where(apart, gap, -1.0)))
    none = size.new_full((), -math.inf)
    return torch.where(apart & (a > b), size, none), torch.where(apart & (a < b), size, none)


def _log_suffix_sums(columns: list[Tensor]) -> list[Tensor]:
    """The logarithm of the sum of all later ones, for each but the last."""
    sums = [columns[-1]]
    for column in reversed(columns[1:-1]):
        sums.append(torch.logaddexp(column, sums[-1]))
    return sums[::-1]


def _suffix_sum(x: Tensor, dim: int) -> Tensor:
    return x.flip(dim).cumsum(dim).flip(dim)


@register_kl(StickBreakingBirkhoff, StickBreakingBirkhoff)  # type: ignore[no-untyped-call, untyped-decorator]
def _kl(q: StickBreakingBirkhoff, p: StickBreakingBirkhoff) -> Tensor:
    check_same_event(q.event_shape, p.event_shape)
    return _log_odds(q).kl_per_unit(_log_odds(p)).sum((-2, -1))


def _log_odds(q: StickBreakingBirkhoff) -> DiagonalNormal:
    """Of the fractions, one Gaussian for each, `(*batch, N - 1, N - 1)`."""
    tau = q.tau[..., None, None]
    return DiagonalNormal(q.loc / tau, q.scale.log() - tau.log(), validate_args=False)
