r"""Log-densities of drawn weights with their gradients in closed form, in few passes over the weights.

Beside `closed_forms`, for divergences that are estimated from draws: $\log q(w) - \log p(w)$.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import Function

from jensen._math import HALF_LOG_TWO_PI
from jensen.distributions import ScaleMixtureNormal
from jensen.layers.variational.closed_forms import plain_gradients, plainly
from jensen.layers.variational.parameterizations import Parameterization

__all__ = ["mixture_log_prob", "normal_log_prob"]


def normal_log_prob(mean: Tensor, free: Tensor, draws: Tensor, *, kind: Parameterization) -> Tensor:
    r"""$\sum_i \log \mathcal{N}(w_{ki}; \mu_i, \sigma_i^2)$ in nats, `(K,)`.

    With $z = (w - \mu) / \sigma$ its gradients are $-z / \sigma$ in $w$, $z / \sigma$ in $\mu$, and $z^2 - 1$ in
    $\log \sigma$.

    Args:
        mean: $\mu$, `(*shape)`.
        free: the free numbers of the scales, `(*shape)`.
        draws: $w$, `(K, *shape)`.
        kind: what makes the free numbers scales.
    """
    if plainly(mean):
        return _plain_normal_log_prob(kind, mean, free, draws)
    log_prob: Tensor = _NormalLogProb.apply(kind, mean, free, draws)  # type: ignore[no-untyped-call]
    return log_prob


def _plain_normal_log_prob(kind: Parameterization, mean: Tensor, free: Tensor, draws: Tensor) -> Tensor:
    """The formula of `normal_log_prob`."""
    log_scale = kind.log_scale(free)
    standard = (draws - mean) * (-log_scale).clamp_max(_most(mean)).exp()
    return (-0.5 * standard.square() - log_scale - HALF_LOG_TWO_PI).flatten(1).sum(1)


def _most(mean: Tensor) -> float:
    """The logarithm of the largest inverse scale."""
    return -math.log(torch.finfo(mean.dtype).tiny)


class _NormalLogProb(Function):
    @staticmethod
    def forward(ctx: Any, kind: Parameterization, mean: Tensor, free: Tensor, draws: Tensor) -> Tensor:
        ctx.kind = kind
        inverse = kind.fast_inverse(free)
        standard = (draws - mean).mul_(inverse)
        ctx.save_for_backward(mean, free, draws, inverse, standard)
        flat = standard.flatten(1)
        constant = kind.log_scale(free).sum() + mean.numel() * HALF_LOG_TWO_PI
        norm: Tensor = torch.linalg.vector_norm(flat, dim=1)
        return norm.square_().mul_(-0.5).sub_(constant)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        mean, free, draws, inverse, standard = ctx.saved_tensors
        if torch.is_grad_enabled():
            return plain_gradients(_plain_normal_log_prob, (ctx.kind, mean, free, draws), grad)
        weight = grad.reshape(-1, *[1] * mean.ndim)
        in_mean = (standard * inverse).mul_(weight)  # (K, *shape)
        in_log_scale = (standard.square().sub_(1.0)).mul_(weight).sum(0)
        return None, in_mean.sum(0), ctx.kind.log_gradient(free, in_log_scale), in_mean.neg()


def mixture_log_prob(weights: Tensor, *, mix: float, scale1: float, scale2: float) -> Tensor:
    r"""$\log (\pi \, \mathcal{N}(w; 0, \sigma_1^2) + (1 - \pi) \, \mathcal{N}(w; 0, \sigma_2^2))$ of each entry.

    Its gradient is $-w (r / \sigma_1^2 + (1 - r) / \sigma_2^2)$, with $r$ the first Gaussian's share of the density.

    Args:
        weights: $w$.
        mix: $\pi$.
        scale1: $\sigma_1$.
        scale2: $\sigma_2$.
    """
    if plainly(weights) or not 0 < mix < 1:
        return _plain_mixture_log_prob(mix, scale1, scale2, weights)
    log_prob: Tensor = _MixtureLogProb.apply(mix, scale1, scale2, weights)  # type: ignore[no-untyped-call]
    return log_prob


def _plain_mixture_log_prob(mix: float, scale1: float, scale2: float, weights: Tensor) -> Tensor:
    """The formula of `mixture_log_prob`."""
    parameters = weights.new_tensor([mix, scale1, scale2]).unbind()
    return ScaleMixtureNormal(*parameters, validate_args=False).log_prob(weights)


class _MixtureLogProb(Function):
    @staticmethod
    def forward(ctx: Any, mix: float, scale1: float, scale2: float, weights: Tensor) -> Tensor:
        ctx.mix, ctx.scale1, ctx.scale2 = mix, scale1, scale2
        ctx.save_for_backward(weights)
        square = weights.square()
        first = (square * (-0.5 / scale1**2)).add_(math.log(mix / scale1) - HALF_LOG_TWO_PI)
        second = square.mul_(-0.5 / scale2**2).add_(math.log((1 - mix) / scale2) - HALF_LOG_TWO_PI)
        return torch.logaddexp(first, second)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (weights,) = ctx.saved_tensors
        mix, scale1, scale2 = ctx.mix, ctx.scale1, ctx.scale2
        if torch.is_grad_enabled():
            return plain_gradients(_plain_mixture_log_prob, (mix, scale1, scale2, weights), grad)
        difference = scale2**-2 - scale1**-2
        odds = weights.square().mul_(0.5 * difference).add_(math.log(mix / (1 - mix) * scale2 / scale1))
        slope = odds.sigmoid_().mul_(difference).sub_(scale2**-2)
        return None, None, None, slope.mul_(weights).mul_(grad)
