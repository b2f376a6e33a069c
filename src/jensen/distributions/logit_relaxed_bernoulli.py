"""The binary Concrete distribution in log-odds: a logistic number, scaled."""

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints, register_kl

from jensen.distributions._checks import check_floating, finite

__all__ = ["LogitRelaxedBernoulli"]


class LogitRelaxedBernoulli(Distribution):
    r"""Log-odds of a relaxed binary variable, $y = (l + \log \frac{u}{1 - u}) / \tau$ with uniform $u$.

    $$\log p(y) = \log \tau + d - 2 \log(1 + e^d), \qquad d = l - \tau y$$

    $\mathrm{sigmoid}(y)$ is the relaxed variable, and $1[y > 0]$ is Bernoulli with log-odds $l$ at any temperature.
    torch's class of this name cuts the logits of its draws off at 16 in single precision, so that they do not follow
    its density, and its density is zero where $d$ exceeds 88; here both hold at logits of 1e4. The divergence of two
    of one temperature is closed, $\mathrm{KL} = \delta \coth(\delta / 2) - 2$ with $\delta$ the difference of their
    logits; that of two temperatures is not.

    Args:
        tau: temperature, positive, a number or `(*batch)`.
        logits: log-odds $l$, `(*batch)`.
        validate_args: whether to check parameters and values, as everywhere in `torch.distributions`.

    Raises:
        ValueError: if `tau` is not positive, or a logit is not finite (validating), or not floating point.

    Example:
        >>> LogitRelaxedBernoulli(0.5, torch.zeros(2)).log_prob(torch.tensor([0.0, 20.0]))
        tensor([ -2.0794, -10.6932])

    References:
        | The Concrete Distribution: A Continuous Relaxation of Discrete Random Variables (Maddison et al., 2017)
        | https://arxiv.org/abs/1611.00712v3
    """

    arg_constraints = {"tau": constraints.positive, "logits": finite}
    support = constraints.real
    has_rsample = True
    tau: Tensor
    logits: Tensor

    def __init__(self, tau: float | Tensor, logits: Tensor, *, validate_args: bool | None = None) -> None:
        check_floating(logits)
        temperature = torch.as_tensor(tau, dtype=logits.dtype, device=logits.device)
        self.tau, self.logits = torch.broadcast_tensors(temperature, logits)  # type: ignore[no-untyped-call]
        super().__init__(self.logits.shape, validate_args=validate_args)

    def expand(
        self, batch_shape: Size | list[int] | tuple[int, ...], _instance: object = None
    ) -> "LogitRelaxedBernoulli":
        """The same distribution with its parameters expanded to `batch_shape`."""
        shape = torch.Size(batch_shape)
        new = LogitRelaxedBernoulli(self.tau.expand(shape), self.logits.expand(shape), validate_args=False)
        new._validate_args = self._validate_args
        return new

    def rsample(self, sample_shape: Size | list[int] | tuple[int, ...] = Size()) -> Tensor:
        """A differentiable draw, `(*sample_shape, *batch)`."""
        shape = (*sample_shape, *self.batch_shape)
        eps = torch.finfo(self.logits.dtype).eps
        uniform = torch.rand(shape, dtype=self.logits.dtype, device=self.logits.device)
        return (self.logits + torch.logit(uniform.clamp(eps / 4, 1 - eps / 2))) / self.tau

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density in nats, `(*sample, *batch)`."""
        if self._validate_args:
            self._validate_sample(value)
        d = self.logits - self.tau * value
        return self.tau.log() + d - 2 * torch.logaddexp(d, torch.zeros_like(d))


@register_kl(LogitRelaxedBernoulli, LogitRelaxedBernoulli)  # type: ignore[no-untyped-call, untyped-decorator]
def _kl(q: LogitRelaxedBernoulli, p: LogitRelaxedBernoulli) -> Tensor:
    if not torch.equal(*torch.broadcast_tensors(q.tau, p.tau)):  # type: ignore[no-untyped-call]
        raise ValueError("the divergence of two temperatures has no closed form; average log_prob(q) - log_prob(p)")
    delta = p.logits - q.logits
    near = delta.abs() < 0.1
    safe = torch.where(near, torch.ones_like(delta), delta)
    square = torch.where(near, delta, torch.zeros_like(delta)).square()
    series = square / 6 * (1 - square / 60 * (1 - square / 42 * (1 - square / 40)))
    return torch.where(near, series, safe / torch.tanh(safe / 2) - 2)
