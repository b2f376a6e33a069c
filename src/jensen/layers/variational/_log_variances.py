r"""Terms of Gaussian weights kept by their log-variance, with gradients in closed form, in few passes over the weights.

The divergence from the log-uniform prior is, by Molchanov's approximation,

$$\mathrm{KL} = \sum_i k_1 - k_1 \mathrm{sigmoid}(k_2 + k_3 \log \alpha_i) + \tfrac{1}{2} \log (1 + \alpha_i^{-1}),
\qquad \log \alpha_i = \log \sigma_i^2 - \log \theta_i^2$$

The gradient is known in closed form and costs no more logarithm or exponential, so the forward pass leaves it behind:

$$\frac{d\, \mathrm{KL}}{d \log \alpha} = -k_1 k_3 s (1 - s) - \tfrac{1}{2} (1 - t), \qquad
s = \mathrm{sigmoid}(k_2 + k_3 \log \alpha), \quad t = \mathrm{sigmoid}(\log \alpha),$$

and $d \log \alpha / d \theta = -2 / \theta$, of which the product goes to zero with $\theta$.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from jensen.distributions.log_uniform import K1, K2, K3

__all__ = ["CLIP", "clipped_log_alpha", "summed_kl_log_uniform", "variances"]

CLIP = 8.0
LOG2_E = 1 / math.log(2)


def variances(log_sigma2: Tensor) -> Tensor:
    r"""$\sigma^2$, by `exp2`, whose kernel on a CPU is three times as fast as that of `exp`."""
    sigma2: Tensor = _Exp.apply(log_sigma2)  # type: ignore[no-untyped-call]
    return sigma2


def clipped_log_alpha(theta: Tensor, log_sigma2: Tensor) -> Tensor:
    r"""$\log \sigma^2 - \log \theta^2$ clipped to $[-8, 8]$, with a finite gradient also at $\theta = 0$."""
    return (log_sigma2 - _safe_square(theta).log()).clamp(-CLIP, CLIP)


def summed_kl_log_uniform(theta: Tensor, log_sigma2: Tensor) -> Tensor:
    """The divergence in nats, summed over the weights, `()`; its backward pass is not differentiable again."""
    kl: Tensor = _SummedKL.apply(theta, log_sigma2)[0]  # type: ignore[no-untyped-call]
    return kl


class _Exp(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return (x * LOG2_E).exp2_()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        exponential: Tensor = ctx.saved_tensors[0]
        return gradient * exponential


class _SummedKL(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(theta: Tensor, log_sigma2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        square = _safe_square(theta)
        log_r = square.log().sub_(log_sigma2)  # minus log alpha
        s = torch.mul(log_r, -K3).add_(K2).sigmoid_()
        noise = log_r.sigmoid()  # 1 - t
        softplus = log_r.clamp_min_(0).sum() - _sum_of_logs((noise - 0.5).abs_().add_(0.5))
        kl = K1 * (s.numel() - s.sum()) + 0.5 * softplus
        slope = s.addcmul_(s, s, value=-1).add_(noise, alpha=0.5 / (K1 * K3))
        return kl, torch.div(theta, square).mul_(slope), slope

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: tuple[Tensor, Tensor, Tensor]) -> None:
        ctx.save_for_backward(*output[1:])
        ctx.mark_non_differentiable(*output[1:])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor, Tensor]:
        by_theta, by_log_sigma2 = ctx.saved_tensors
        unit = K1 * K3 * gradient
        return by_theta * (2 * unit), by_log_sigma2 * -unit


def _safe_square(theta: Tensor) -> Tensor:
    return theta.square().clamp_min(torch.finfo(theta.dtype).tiny)


def _sum_of_logs(t: Tensor) -> Tensor:
    """Logarithms of products of eight, each factor in [1/2, 1], so that no product underflows."""
    flat = t.flatten()
    rows = flat.numel() // 8
    return flat[: 8 * rows].view(8, rows).prod(0).log_().sum() + flat[8 * rows :].log().sum()
