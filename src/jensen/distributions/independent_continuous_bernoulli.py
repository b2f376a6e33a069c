"""A vector of independent grey levels, kept by its logits."""

import math

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints, register_kl
from torch.nn.functional import binary_cross_entropy_with_logits

from jensen.distributions._checks import check_floating, check_same_event

__all__ = ["IndependentContinuousBernoulli"]


class IndependentContinuousBernoulli(Distribution):
    r"""Vectors in the unit cube with independent entries, each continuous Bernoulli.

    $$\log p(x) = \sum_d x_d l_d - \mathrm{softplus}(l_d) + \log C(l_d), \qquad C(l) = \frac{l}{\tanh(l / 2)}$$

    The family of `torch.distributions.ContinuousBernoulli(logits=logits)`, exact at all logits. There the normaliser
    comes from a clamped probability: in float32 its density integrates to 0.53 at $l = 30$, and black or white pixels
    drive logits that far.

    Args:
        logits: natural parameters $l$, `(*batch, D)`; `sigmoid(logits)` is the paper's $\lambda$.
        validate_args: whether to check parameters and values, as everywhere in `torch.distributions`.

    Raises:
        ValueError: if `logits` is a scalar, not floating point, or holds a NaN.

    Example:
        >>> pixels = IndependentContinuousBernoulli(torch.tensor([0.0, 30.0]))
        >>> pixels.mean
        tensor([0.5000, 0.9667])
        >>> pixels.log_prob(torch.tensor([0.2, 1.0]))
        tensor(3.4012)

    References:
        | The continuous Bernoulli: fixing a pervasive error in VAEs (Loaiza-Ganem & Cunningham, 2019)
        | https://arxiv.org/abs/1907.06845v5
    """

    arg_constraints = {"logits": constraints.real_vector}
    support = constraints.independent(constraints.unit_interval, 1)  # type: ignore[no-untyped-call]
    has_rsample = True

    def __init__(self, logits: Tensor, *, validate_args: bool | None = None) -> None:
        if logits.ndim == 0:
            raise ValueError("logits is a scalar; give at least one axis, (*batch, D)")
        check_floating(logits)
        self.logits = logits
        super().__init__(logits.shape[:-1], logits.shape[-1:], validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        r"""$\frac{1}{2} + \frac{1}{2} \coth \frac{l}{2} - \frac{1}{l}$, `(*batch, D)`."""
        l, near, series = self._near(0.3, (1 / 12, -1 / 720, 1 / 30240, -1 / 1209600))
        return 0.5 + torch.where(near, self.logits * series, 0.5 / torch.tanh(l / 2) - 1 / l)

    @property
    def variance(self) -> Tensor:
        r"""$\frac{1}{l^2} - \frac{1}{4} \sinh^{-2} \frac{l}{2}$, `(*batch, D)`."""
        l, near, series = self._near(0.5, (1 / 12, -1 / 240, 1 / 6048, -1 / 172800, 1 / 5322240))
        return torch.where(near, series, l.square().reciprocal() - (2 * torch.sinh(l / 2)).square().reciprocal())

    def expand(
        self, batch_shape: Size | list[int] | tuple[int, ...], _instance: object = None
    ) -> "IndependentContinuousBernoulli":
        """The same distribution with its parameters expanded to `batch_shape`."""
        logits = self.logits.expand(*batch_shape, *self.event_shape)
        new = IndependentContinuousBernoulli(logits, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def rsample(self, sample_shape: Size | list[int] | tuple[int, ...] = Size()) -> Tensor:
        """A reparameterised draw by the inverse distribution function, `(*sample_shape, *batch, D)`."""
        size = self.logits.abs().clamp_min(1e-6)
        uniform = torch.rand(*sample_shape, *self.logits.shape, dtype=size.dtype, device=size.device)
        below = (torch.log1p(uniform * torch.expm1(-size)) / -size).clamp(0, 1)
        return torch.where(self.logits > 0, 1 - below, below)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density in nats, `(*sample, *batch)`."""
        if self._validate_args:
            self._validate_sample(value)
        logits, value = torch.broadcast_tensors(self.logits, value)  # type: ignore[no-untyped-call]
        cross_entropy = binary_cross_entropy_with_logits(logits, value, reduction="none").sum(-1)
        return self.log_normalizer().sum(-1) - cross_entropy

    def log_normalizer(self) -> Tensor:
        r"""$\log C(l)$, what the binary cross-entropy lacks to be a log-density, `(*batch, D)`."""
        l, near, series = self._near(0.1, (1 / 12, -7 / 1440, 31 / 90720, -127 / 4838400))
        return torch.where(near, math.log(2) + self.logits.square() * series, torch.log(l / torch.tanh(l / 2)))

    def entropy(self) -> Tensor:
        r"""Differential entropy $-\mathbb{E}[\log p(x)]$ in nats, `(*batch)`; zero at $l = 0$, negative elsewhere."""
        cross_entropy = binary_cross_entropy_with_logits(self.logits, self.mean, reduction="none")
        return (cross_entropy - self.log_normalizer()).sum(-1)

    def _near(self, radius: float, series: tuple[float, ...]) -> tuple[Tensor, Tensor, Tensor]:
        """Logits away from zero for the closed form, where they are not, and the power series in their square there."""
        near = self.logits.abs() < radius
        square = torch.where(near, self.logits, 0.0).square()
        total = torch.zeros_like(square)
        for coefficient in reversed(series):
            total = total * square + coefficient
        return torch.where(near, 1.0, self.logits), near, total


@register_kl(IndependentContinuousBernoulli, IndependentContinuousBernoulli)  # type: ignore[no-untyped-call, untyped-decorator]
def _kl(q: IndependentContinuousBernoulli, p: IndependentContinuousBernoulli) -> Tensor:
    check_same_event(q.event_shape, p.event_shape)
    flip = 1 - 2 * (q.logits > 0).to(q.logits)  # of black and white, so that a mean near one keeps its digits
    mine, others = (IndependentContinuousBernoulli(flip * each.logits, validate_args=False) for each in (q, p))
    logits, mean = torch.broadcast_tensors(others.logits, mine.mean)  # type: ignore[no-untyped-call]
    cross_entropy = binary_cross_entropy_with_logits(logits, mean, reduction="none")
    return (cross_entropy - others.log_normalizer()).sum(-1) - mine.entropy()
