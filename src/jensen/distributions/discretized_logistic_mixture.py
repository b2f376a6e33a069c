"""Colour pixels of so many levels, each a mixture of discretised logistics in which channels depend on each other."""

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints

from jensen.distributions.discretized_logistic import (
    check_levels,
    level_of,
    log_prob_of_bin,
    mean_of_levels,
    sample_level,
)

__all__ = ["DiscretizedLogisticMixture"]


class DiscretizedLogisticMixture(Distribution):
    r"""Images of P positions and C channels, $x = k / (L - 1)$; a position is a mixture of M, its channels in turn.

    $$P(x_p) = \sum_m \pi_{pm} \prod_c P_\mathrm{logistic}\Big(x_{pc}; \;
    \mu_{pmc} + \sum_{j < c} a_{pmcj} (x_{pj} - \tfrac{1}{2}), \; s_{pmc}\Big)$$

    with the bins of `DiscretizedLogistic`. One component makes all channels of a position; given it, the mean of green
    depends linearly on red, that of blue on red and green. With one channel there is nothing to depend on.

    Args:
        logits: of the mixture weights $\pi$, `(*batch, P, M)`.
        means: $\mu$ on the scale of the levels, $[0, 1]$, `(*batch, P, M, C)`.
        log_scales: $\log s$, `(*batch, P, M, C)`.
        coefficients: $a$, row after row below the diagonal, `(*batch, P, M, C (C - 1) / 2)`: for three channels green
            on red, blue on red, blue on green.
        levels: how many levels $L$ a channel has.
        validate_args: whether to check parameters and values, as everywhere in `torch.distributions`.

    The event is flat and channels-last, `(P C,)`.

    Raises:
        ValueError: if the shapes do not fit, or there are fewer than two levels.

    Example:
        >>> logits, means, zeros = torch.zeros(4, 2), torch.full((4, 2, 3), 0.5), torch.zeros(4, 2, 3)
        >>> image = DiscretizedLogisticMixture(logits, means, zeros, coefficients=zeros, levels=256)
        >>> image.event_shape, image.log_prob(torch.zeros(12))
        (torch.Size([12]), tensor(-11.6743))

    References:
        | PixelCNN++: Improving the PixelCNN with Discretized Logistic Mixture Likelihood (Salimans et al., 2017), eq. 3
        | https://arxiv.org/abs/1701.05517
    """

    arg_constraints: dict[str, constraints.Constraint] = {}
    support = constraints.independent(constraints.unit_interval, 1)  # type: ignore[no-untyped-call]

    def __init__(
        self,
        logits: Tensor,
        means: Tensor,
        log_scales: Tensor,
        *,
        coefficients: Tensor,
        levels: int = 256,
        validate_args: bool | None = None,
    ) -> None:
        check_levels(levels)
        _check_shapes(logits, means, log_scales, coefficients)
        self.logits, self.means, self.log_scales, self.coefficients = logits, means, log_scales, coefficients
        self.levels, self.channels = levels, means.shape[-1]
        *batch, positions, _, channels = means.shape
        super().__init__(Size(batch), Size([positions * channels]), validate_args=False)
        self._validate_args = Distribution._validate_args if validate_args is None else validate_args

    @property
    def mean(self) -> Tensor:
        """The expected level, `(*batch, P C)`; of the second channel on, at the expectation of those before it.

        That is exact but for what the first and the last bin cut off from a channel that others depend on.
        """
        weight = self.logits.softmax(-1).unsqueeze(-1)
        expected: list[Tensor] = []
        for c in range(self.channels):
            expected.append(mean_of_levels(self._location(c, expected), self.log_scales[..., c], self.levels))
        return (weight * torch.stack(expected, -1)).sum(-2).flatten(-2)

    def expand(
        self, batch_shape: Size | list[int] | tuple[int, ...], _instance: object = None
    ) -> "DiscretizedLogisticMixture":
        """The same distribution with its parameters expanded to `batch_shape`."""
        n = len(self.batch_shape)
        parameters = (self.logits, self.means, self.log_scales, self.coefficients)
        logits, means, log_scales, coefficients = (each.expand(*batch_shape, *each.shape[n:]) for each in parameters)
        new = DiscretizedLogisticMixture(
            logits,
            means,
            log_scales,
            coefficients=coefficients,
            levels=self.levels,
            validate_args=False,
        )
        new._validate_args = self._validate_args
        return new

    @torch.no_grad()
    def sample(self, sample_shape: Size | list[int] | tuple[int, ...] = Size()) -> Tensor:
        """A draw, `(*sample_shape, *batch, P C)`: a component for each position, then one channel after another."""
        many = self.expand((*sample_shape, *self.batch_shape))
        gumbel = -torch.empty_like(many.logits, memory_format=torch.contiguous_format).exponential_().log()
        chosen = (many.logits + gumbel).argmax(-1, keepdim=True)  # (*sample, *batch, P, 1)
        drawn: list[Tensor] = []
        for c in range(self.channels):
            location = many._location(c, [x.unsqueeze(-1) for x in drawn]).gather(-1, chosen).squeeze(-1)
            log_scale = many.log_scales[..., c].gather(-1, chosen).squeeze(-1)
            drawn.append(sample_level(location, log_scale, self.levels))
        return torch.stack(drawn, -1).flatten(-2)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-probability in nats, `(*sample, *batch)`; a value between two levels counts as the nearest."""
        k = level_of(value, self.levels, check=self._validate_args)
        if self._validate_args:
            self._validate_sample(value)
        k = k.reshape(*k.shape[:-1], -1, 1, self.channels)
        return torch.logsumexp(self._log_joint(k), -1).sum(-1)

    def log_prob_of_levels(self) -> Tensor:
        """Log-probability of every level of every position in nats, `(*batch, P, L)`; of one channel only.

        Raises:
            ValueError: if there are several channels, which have no such table; ask `log_prob_of_channel`.
        """
        if self.channels > 1:
            raise ValueError(
                f"{self.channels} channels depend on each other; ask one after another: log_prob_of_channel(before)"
            )
        return self.log_prob_of_channel(self.means.new_zeros(*self.means.shape[:-2], 0))

    def log_prob_of_channel(self, before: Tensor) -> Tensor:
        r"""Log-probability of every level of a channel, given the channels before it, in nats, `(*batch, P, L)`.

        $$P(x_c \mid x_{<c}) = \sum_m P(m \mid x_{<c}) P_m(x_c \mid x_{<c})$$

        Args:
            before: the $c$ channels before, `(*batch, P, c)`; $c = 0$ for the first channel.

        Raises:
            ValueError: if there is no channel after them.
        """
        c = before.shape[-1]
        if c >= self.channels:
            raise ValueError(f"channels before are {c}; there are only {self.channels}")
        k = level_of(before, self.levels, check=self._validate_args)
        x = list((k / (self.levels - 1)).unsqueeze(-2).unbind(-1))  # (*batch, P, 1) each
        weight = self._log_joint(k.unsqueeze(-2)).log_softmax(-1).unsqueeze(-1)  # (*batch, P, M, 1)
        levels = torch.arange(self.levels, dtype=self.means.dtype, device=self.means.device)
        location, log_scale = self._location(c, x).unsqueeze(-1), self.log_scales[..., c].unsqueeze(-1)
        return torch.logsumexp(weight + log_prob_of_bin(levels, location, log_scale, levels=self.levels), -2)

    def _log_joint(self, k: Tensor) -> Tensor:
        r"""$\log \pi_m + \log P_m$ of the first channels, given as `(*sample, *batch, P, 1, c)`; `(..., P, M)`."""
        c = k.shape[-1]
        x = list((k / (self.levels - 1)).unbind(-1))
        log_pi = self.logits.log_softmax(-1)
        if c == 0:
            return log_pi
        steps = torch.broadcast_tensors(*(self._location(i, x[:i]) for i in range(c)))  # type: ignore[no-untyped-call]
        locations = torch.stack(steps, -1)
        return log_pi + log_prob_of_bin(k, locations, self.log_scales[..., :c], levels=self.levels).sum(-1)

    def _location(self, c: int, before: list[Tensor]) -> Tensor:
        """The mean of channel c of each component given the channels before it, `(..., P, M)`."""
        location, row = self.means[..., c], c * (c - 1) // 2
        for j, x in enumerate(before):
            location = location + self.coefficients[..., row + j] * (x - 0.5)
        return location


def _check_shapes(logits: Tensor, means: Tensor, log_scales: Tensor, coefficients: Tensor) -> None:
    channels = means.shape[-1] if means.ndim >= 3 else 0
    expected = (*logits.shape, channels), (*logits.shape, channels), (*logits.shape, channels * (channels - 1) // 2)
    found = tuple(tuple(each.shape) for each in (means, log_scales, coefficients))
    if logits.ndim < 2 or channels < 1 or found != expected:
        raise ValueError(
            f"logits {tuple(logits.shape)}, means, log_scales and coefficients {found} do not fit; expected "
            "(*batch, P, M), (*batch, P, M, C) twice, (*batch, P, M, C (C - 1) / 2)"
        )
