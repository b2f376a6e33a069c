"""The Concrete distribution in log space, where no temperature makes it underflow."""

import math

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints, register_kl
from torch.nn.functional import logsigmoid

from jensen.distributions._checks import check_floating, check_same_event, finite_vector

__all__ = ["ExpRelaxedCategorical"]

_TOLERANCE = 1e-5
_TAIL, _STEP = 40.0, 0.25


class _LogSimplex(constraints.Constraint):
    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        return torch.logsumexp(value, -1).abs() < _TOLERANCE


class ExpRelaxedCategorical(Distribution):
    r"""Logarithm of a Gumbel-softmax vector, $y = \log \mathrm{softmax}((l + g) / \tau)$ with Gumbel noise $g$.

    $$\log p(y) = \log (n-1)! + (n - 1) \log \tau + \sum_k s_k, \qquad s = \log \mathrm{softmax}(l - \tau y)$$

    $e^y$ is the relaxed one-hot vector, and the one-hot vector of the largest $y_k$ is categorical with logits $l$ at
    any temperature. The density is that of the log-ratios $(y_1 - y_n, \ldots, y_{n-1} - y_n)$, whichever category
    comes last. A vector of the simplex itself, as in torch's RelaxedOneHotCategorical, underflows to zeros and has an
    infinite or undefined log-density where the temperature is low or the logits are far apart.

    The divergence of two of one temperature, with $d$ the difference of their logits and $E_k$ exponential, is

    $$\mathrm{KL} = n \, \mathbb{E} \log \frac{\sum_k e^{d_k} E_k}{\sum_k E_k} - \sum_k d_k, \qquad
    \mathbb{E} \log \frac{\sum_k e^{d_k} E_k}{\sum_k E_k} = \int_{-\infty}^{\infty} \prod_k \frac{1}{1 + e^x}
    - \prod_k \frac{1}{1 + e^{x + d_k}} \; dx,$$

    $d \coth(d / 2) - 2$ for two categories. Partial fractions solve the integral, but fail at ties; `kl_divergence`
    takes it to rounding by the trapezoid rule, at any logits. That of two temperatures is not closed.

    Args:
        tau: temperature, positive, a number or `(*batch)`.
        logits: log-probabilities up to a constant $l$, finite, `(*batch, n)`.
        validate_args: whether to check parameters and values, as everywhere in `torch.distributions`.

    Raises:
        ValueError: if `logits` is a scalar, not floating point or (validating) not finite, or `tau` is not positive.

    Example:
        >>> p = ExpRelaxedCategorical(0.5, torch.zeros(3))
        >>> p.log_prob(torch.full((3,), -math.log(3.0)))
        tensor(-3.9890)

    References:
        | The Concrete Distribution: A Continuous Relaxation of Discrete Random Variables (Maddison et al., 2017)
        | https://arxiv.org/abs/1611.00712v3
    """

    arg_constraints = {"tau": constraints.positive, "logits": finite_vector}
    support = _LogSimplex()
    has_rsample = True

    def __init__(self, tau: float | Tensor, logits: Tensor, *, validate_args: bool | None = None) -> None:
        if logits.ndim == 0:
            raise ValueError("logits is a scalar; give at least one axis, (*batch, n)")
        check_floating(logits)
        temperature = torch.as_tensor(tau, dtype=logits.dtype, device=logits.device)
        batch = torch.broadcast_shapes(temperature.shape, logits.shape[:-1])  # type: ignore[no-untyped-call]
        self.tau = temperature.expand(batch)
        self.logits = logits.expand(*batch, logits.shape[-1])
        super().__init__(batch, logits.shape[-1:], validate_args=validate_args)

    def expand(
        self, batch_shape: Size | list[int] | tuple[int, ...], _instance: object = None
    ) -> "ExpRelaxedCategorical":
        """The same distribution with its parameters expanded to `batch_shape`."""
        tau, logits = self.tau.expand(*batch_shape), self.logits.expand(*batch_shape, *self.event_shape)
        new = ExpRelaxedCategorical(tau, logits, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def rsample(self, sample_shape: Size | list[int] | tuple[int, ...] = Size()) -> Tensor:
        """A differentiable draw, `(*sample_shape, *batch, n)`, whose exponentials sum to one."""
        exponential = torch.empty(
            (*sample_shape, *self.logits.shape), dtype=self.logits.dtype, device=self.logits.device
        ).exponential_()
        gumbel = -exponential.clamp_min(torch.finfo(exponential.dtype).tiny).log()
        return torch.log_softmax((self.logits + gumbel) / self.tau.unsqueeze(-1), -1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density in nats, `(*sample, *batch)`."""
        if self._validate_args:
            self._validate_sample(value)
        n = self.event_shape[0]
        s = torch.log_softmax(self.logits - self.tau.unsqueeze(-1) * value, -1)
        return math.lgamma(n) + (n - 1) * self.tau.log() + s.sum(-1)


@register_kl(ExpRelaxedCategorical, ExpRelaxedCategorical)  # type: ignore[no-untyped-call, untyped-decorator]
def _kl(q: ExpRelaxedCategorical, p: ExpRelaxedCategorical) -> Tensor:
    check_same_event(q.event_shape, p.event_shape)
    if not torch.equal(*torch.broadcast_tensors(q.tau, p.tau)):  # type: ignore[no-untyped-call]
        raise ValueError("the divergence of two temperatures has no closed form; average log_prob(q) - log_prob(p)")
    d = p.logits - q.logits
    d = d - d.detach().amax(-1, keepdim=True)
    return d.shape[-1] * _mean_log_ratio(d) - d.sum(-1)


def _mean_log_ratio(d: Tensor) -> Tensor:
    """The integral, `(*batch)`, for differences of which none is above zero."""
    n = d.shape[-1]
    start = -_TAIL - math.log(n)
    x = start + _STEP * torch.arange(int((_TAIL - start) / _STEP) + 1, dtype=d.dtype, device=d.device)
    log_own = logsigmoid(-x - d.unsqueeze(-1)).sum(-2)  # (*batch, points)
    return _STEP * (log_own.exp() * torch.expm1(n * logsigmoid(-x) - log_own)).sum(-1)
