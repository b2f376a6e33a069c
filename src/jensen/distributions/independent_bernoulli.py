"""A vector of independent binary entries, kept by its logits."""

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints, register_kl
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from jensen.distributions._checks import check_floating, check_same_event
from jensen.distributions._discrete import divergence

__all__ = ["IndependentBernoulli"]


class IndependentBernoulli(Distribution):
    r"""Binary vectors with independent entries, $\prod_d \mathrm{Bernoulli}(x_d; \mathrm{sigmoid}(l_d))$.

    $$\log p(x) = \sum_d x_d l_d - \mathrm{softplus}(l_d)$$

    The distribution of `Independent(Bernoulli(logits=logits), 1)`, for the inner loop: a third of its calls, and one
    pass over the logits.

    Args:
        logits: log-odds $l$, `(*batch, D)`.
        validate_args: whether to check parameters and values, as everywhere in `torch.distributions`.

    Raises:
        ValueError: if `logits` is a scalar, not floating point, or holds a NaN.

    Example:
        >>> pixels = IndependentBernoulli(torch.zeros(3, 4))
        >>> pixels.log_prob(torch.ones(4))
        tensor([-2.7726, -2.7726, -2.7726])
    """

    arg_constraints = {"logits": constraints.real_vector}
    support = constraints.independent(constraints.boolean, 1)  # type: ignore[no-untyped-call]
    has_enumerate_support = True

    def __init__(self, logits: Tensor, *, validate_args: bool | None = None) -> None:
        if logits.ndim == 0:
            raise ValueError("logits is a scalar; give at least one axis, (*batch, D)")
        check_floating(logits)
        self.logits = logits
        super().__init__(logits.shape[:-1], logits.shape[-1:], validate_args=validate_args)

    @property
    def support_size(self) -> int:
        r"""The number of values, $2^D$."""
        return 1 << self.logits.shape[-1]

    @property
    def mean(self) -> Tensor:
        r"""Probabilities of one, $\mathrm{sigmoid}(l)$, `(*batch, D)`."""
        return torch.sigmoid(self.logits)

    @property
    def mode(self) -> Tensor:
        """The more probable value of each entry, `(*batch, D)`; zero at even odds."""
        return (self.logits > 0).to(self.logits)

    @property
    def variance(self) -> Tensor:
        r"""$p (1 - p)$, `(*batch, D)`."""
        return torch.sigmoid(self.logits) * torch.sigmoid(-self.logits)

    def expand(
        self, batch_shape: Size | list[int] | tuple[int, ...], _instance: object = None
    ) -> "IndependentBernoulli":
        """The same distribution with its parameters expanded to `batch_shape`."""
        new = IndependentBernoulli(self.logits.expand(*batch_shape, *self.event_shape), validate_args=False)
        new._validate_args = self._validate_args
        return new

    def sample(self, sample_shape: Size | list[int] | tuple[int, ...] = Size()) -> Tensor:
        """A draw of zeros and ones, `(*sample_shape, *batch, D)`."""
        with torch.no_grad():
            return torch.bernoulli(self.mean.expand(*sample_shape, *self.logits.shape))

    def enumerate_support(self, *, expand: bool = True) -> Tensor:  # type: ignore[override]
        """All binary vectors, the first entry changing slowest, `(2^D, *batch, D)`; batch axes of 1 if not expanded."""
        D = self.logits.shape[-1]
        place = torch.arange(D - 1, -1, -1, device=self.logits.device)
        every = (torch.arange(2**D, device=self.logits.device).unsqueeze(-1) >> place & 1).to(self.logits)
        every = every.reshape(-1, *(1 for _ in self.batch_shape), D)
        return every.expand(-1, *self.batch_shape, D) if expand else every

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-probability in nats, `(*sample, *batch)`; finite at any finite logits."""
        if self._validate_args:
            self._validate_sample(value)
        logits = self.logits
        if value.shape == logits.shape[-value.ndim :]:
            value = value.expand_as(logits)
        else:
            logits, value = torch.broadcast_tensors(logits, value)  # type: ignore[no-untyped-call]
        return binary_cross_entropy_with_logits(logits, value, reduction="none").sum(-1).neg()

    def entropy(self) -> Tensor:
        r"""$\sum_d \mathrm{softplus}(l_d) - p_d l_d$ in nats, `(*batch)`."""
        return binary_cross_entropy_with_logits(self.logits, self.mean, reduction="none").sum(-1)


@register_kl(IndependentBernoulli, IndependentBernoulli)  # type: ignore[no-untyped-call, untyped-decorator]
def _kl(q: IndependentBernoulli, p: IndependentBernoulli) -> Tensor:
    check_same_event(q.event_shape, p.event_shape)
    log_q, log_p = (torch.stack([logsigmoid(each.logits), logsigmoid(-each.logits)], -1) for each in (q, p))
    return divergence(log_q, log_p, dim=-1).sum(-1)
