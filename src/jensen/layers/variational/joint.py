r"""A linear layer's output by local reparameterisation and its divergence, in one pass over the weights.

Both need $\sigma^2$, and both have a gradient in each weight. With $g$ the gradient in the mean and $G$ twice that in
the variance of a weight that come from the output, and $c$ the gradient in the divergence,

$$\frac{\partial}{\partial \mu} = g + \frac{c}{p^2} \mu, \qquad
\frac{\partial}{\partial \log \sigma} = \sigma^2 \Big(G + \frac{c}{p^2}\Big) - c$$
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import Function

from jensen.layers.variational import closed_forms
from jensen.layers.variational.parameterizations import PARAMETERIZATIONS, Parameterization

__all__ = ["local_linear_and_kl"]

_LOG = PARAMETERIZATIONS["log"]


def local_linear_and_kl(
    x: Tensor,
    weight: tuple[Tensor, Tensor],
    bias: tuple[Tensor, Tensor] | tuple[None, None],
    *,
    noise: Tensor,
    kind: Parameterization,
    prior_scale: float,
) -> tuple[Tensor, Tensor]:
    r"""What `closed_forms.local_linear` and `closed_forms.normal_kl` give, at once for scales kept as $\log \sigma$.

    Args:
        x: the inputs, `(B, in)`.
        weight: the means and the free numbers of the scales, `(out, in)` each.
        bias: the same of the bias, `(out,)` each; or None twice.
        noise: standard normal, `(B, out)`.
        kind: what makes the free numbers scales.
        prior_scale: $p$.

    Returns:
        The outputs `(B, out)` and the divergence in nats, summed over the weights, `()`. They may share one node of
        the graph, so that a backward pass of one that frees the graph frees it for both.
    """
    if kind is not _LOG or x.ndim != 2 or closed_forms.plainly(x):
        return _one_after_the_other(kind, prior_scale, x, noise, weight, bias)
    found: tuple[Tensor, Tensor] = _LocalLinearAndKL.apply(prior_scale, x, noise, *weight, *bias)  # type: ignore[no-untyped-call]
    return found


def _one_after_the_other(
    kind: Parameterization,
    prior_scale: float,
    x: Tensor,
    noise: Tensor,
    weight: tuple[Tensor, Tensor],
    bias: tuple[Tensor, Tensor] | tuple[None, None],
) -> tuple[Tensor, Tensor]:
    """The formulas of `local_linear_and_kl`."""
    means, free = zip(*(each for each in (weight, bias) if each[0] is not None), strict=True)
    kl = closed_forms.normal_kl(means, free, kind=kind, prior_scale=prior_scale)
    return closed_forms.local_linear(x, weight, bias, noise=noise, kind=kind), kl


def _plain(prior_scale: float, x: Tensor, noise: Tensor, *parameters: Any) -> tuple[Tensor, Tensor]:
    return _one_after_the_other(_LOG, prior_scale, x, noise, parameters[:2], parameters[2:])


class _LocalLinearAndKL(Function):
    @staticmethod
    def forward(
        ctx: Any,
        prior_scale: float,
        x: Tensor,
        noise: Tensor,
        weight: Tensor,
        log_scale: Tensor,
        bias: Tensor | None,
        log_bias_scale: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        ctx.prior_scale = prior_scale
        variances = _LOG.fast_variance(log_scale)
        in_bias = None if log_bias_scale is None else _LOG.fast_variance(log_bias_scale)
        squares = x.square()
        y, ratio = closed_forms.noisy_linear(
            x, noise, squares=squares, means=(weight, bias), variances=(variances, in_bias)
        )
        kl = _kl(prior_scale, weight, log_scale, variances)
        if bias is not None and log_bias_scale is not None and in_bias is not None:
            kl = kl + _kl(prior_scale, bias, log_bias_scale, in_bias)
        ctx.save_for_backward(x, noise, weight, log_scale, bias, log_bias_scale, squares, variances, in_bias, ratio)
        return y, kl

    @staticmethod
    def backward(ctx: Any, grad: Tensor, of_kl: Tensor) -> tuple[Tensor | None, ...]:
        *inputs, squares, variances, in_bias, ratio = ctx.saved_tensors
        if torch.is_grad_enabled():
            return closed_forms.plain_gradients(_plain, (ctx.prior_scale, *inputs), (grad, of_kl))
        x, _, weight, _, bias, _ = inputs
        _, of_x, _, of_weight, of_log_scale, of_bias, of_log_bias_scale = ctx.needs_input_grad
        spread = grad * ratio  # twice the gradient in the variances of the outputs, (B, out)
        pull = of_kl / ctx.prior_scale**2
        in_x = (grad @ weight).addcmul_(x, spread @ variances) if of_x else None
        in_weight = (grad.T @ x).addcmul_(weight, pull) if of_weight else None
        in_log_scale = in_bias_mean = in_log_bias_scale = None
        if of_log_scale:
            in_log_scale = _in_log_scale(spread.T @ squares, variances, of_kl=of_kl, pull=pull)
        if of_bias:
            in_bias_mean = grad.sum(0).addcmul_(bias, pull)
        if of_log_bias_scale:
            in_log_bias_scale = _in_log_scale(spread.sum(0), in_bias, of_kl=of_kl, pull=pull)
        return None, in_x, None, in_weight, in_log_scale, in_bias_mean, in_log_bias_scale


def _kl(prior_scale: float, mean: Tensor, log_scale: Tensor, variance: Tensor) -> Tensor:
    """The divergence in nats, summed, `()`."""
    flat = mean.reshape(-1)
    squares = variance.sum().add_(torch.dot(flat, flat))
    constant = mean.numel() * (math.log(prior_scale) - 0.5)
    return squares.mul_(0.5 / prior_scale**2).sub_(log_scale.sum()).add_(constant)


def _in_log_scale(gradient: Tensor, variance: Tensor, *, of_kl: Tensor, pull: Tensor) -> Tensor:
    r"""Both gradients in $\log \sigma$, from $G$, which it overwrites, $c$ and $c / p^2$."""
    return torch.addcmul(-of_kl, variance, gradient.add_(pull), out=gradient)
