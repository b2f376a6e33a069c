r"""Terms of independent Gaussian weights with their gradients in closed form, in few passes over the weights.

A training step of a Bayesian network waits for memory: each elementwise operation on the weights reads and writes all
of them. What is here does the arithmetic of the plain formula beside it in place, with the gradient written out. Under
`torch.func` transforms, under autocast, in compiled code and for second derivatives the plain formula is taken.

$$\mathrm{KL} = \sum_i \frac{\sigma_i^2 + \mu_i^2}{2 p^2} - \log \sigma_i + \log p - \frac{1}{2}, \qquad
\frac{\partial \mathrm{KL}}{\partial \mu_i} = \frac{\mu_i}{p^2}, \qquad
\frac{\partial \mathrm{KL}}{\partial \log \sigma_i} = \frac{\sigma_i^2}{p^2} - 1$$
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import Function
from torch.nn import functional as F

from jensen.distributions import kl_normal_normal
from jensen.layers.variational.parameterizations import PARAMETERIZATIONS, Parameterization

__all__ = [
    "kl_of_log_scale",
    "local_linear",
    "local_reparameterization",
    "noisy_linear",
    "normal_kl",
    "offset",
    "plain_gradients",
    "plainly",
    "variance",
]

_LOG = PARAMETERIZATIONS["log"]
_transforming: Callable[[], bool] = getattr(torch._C, "_are_functorch_transforms_active", lambda: True)


def plainly(tensor: Tensor) -> bool:
    """Whether the plain formulas are to be taken: compiled, under transforms of functions, and under autocast."""
    return torch.compiler.is_compiling() or _transforming() or torch.is_autocast_enabled(tensor.device.type)


def kl_of_log_scale(mean: Tensor, log_scale: Tensor, *, prior_scale: float) -> Tensor:
    r"""$\mathrm{KL}(\mathcal{N}(\mu, e^{2 s}) \,\|\, \mathcal{N}(0, p^2))$ in nats, summed over the weights, `()`.

    Example:
        >>> kl_of_log_scale(torch.ones(3), torch.zeros(3), prior_scale=1.0)
        tensor(1.5000)
    """
    return normal_kl([mean], [log_scale], kind=_LOG, prior_scale=prior_scale)


def normal_kl(means: Sequence[Tensor], free: Sequence[Tensor], *, kind: Parameterization, prior_scale: float) -> Tensor:
    r"""The divergence of independent Gaussians from $\mathcal{N}(0, p^2)$ in nats, summed over all weights, `()`.

    Args:
        means: the means of each parameter.
        free: the free numbers of the scales, in the same shapes.
        kind: what makes them scales.
        prior_scale: $p$.

    Example:
        >>> normal_kl([torch.ones(3)], [torch.full((3,), -1e3)], kind=PARAMETERIZATIONS["softplus"], prior_scale=1.0)
        tensor(3000.)
    """
    if plainly(means[0]):
        return _plain_normal_kl(kind, prior_scale, *means, *free)
    kl: Tensor = _NormalKL.apply(kind, prior_scale, *means, *free)  # type: ignore[no-untyped-call]
    return kl


def _plain_normal_kl(kind: Parameterization, prior_scale: float, *tensors: Tensor) -> Tensor:
    """The formula of `normal_kl` on the means and then the free numbers."""
    half = len(tensors) // 2
    pairs = zip(tensors[:half], tensors[half:], strict=True)
    terms = [kl_normal_normal(mean, kind.log_scale(free), prior_scale=prior_scale).sum() for mean, free in pairs]
    return torch.stack(terms).sum()


class _NormalKL(Function):
    @staticmethod
    def forward(ctx: Any, kind: Parameterization, prior_scale: float, *tensors: Tensor) -> Tensor:
        ctx.kind, ctx.prior_scale = kind, prior_scale
        half = len(tensors) // 2
        sums = [kind.sums(free) for free in tensors[half:]]
        ctx.save_for_backward(*tensors, *(kept for _, _, kept in sums))
        squares = _total([_square(mean) for mean in tensors[:half]] + [of_squares for of_squares, _, _ in sums])
        constant = sum(mean.numel() for mean in tensors[:half]) * (math.log(prior_scale) - 0.5)
        return squares * (0.5 / prior_scale**2) - _total([log_scales for _, log_scales, _ in sums]) + constant

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        half = len(ctx.saved_tensors) // 3
        tensors, kept = ctx.saved_tensors[: 2 * half], ctx.saved_tensors[2 * half :]
        if torch.is_grad_enabled():
            return plain_gradients(_plain_normal_kl, (ctx.kind, ctx.prior_scale, *tensors), grad)
        wanted = ctx.needs_input_grad[2:]
        weight = grad / ctx.prior_scale**2
        in_means = [mean * weight if want else None for mean, want in zip(tensors[:half], wanted, strict=False)]
        in_free = [
            ctx.kind.kl_gradient(free, each, weight=weight, grad=grad) if want else None
            for free, each, want in zip(tensors[half:], kept, wanted[half:], strict=True)
        ]
        return None, None, *in_means, *in_free


def variance(free: Tensor, *, kind: Parameterization) -> Tensor:
    r"""$\sigma^2$.

    Example:
        >>> variance(torch.tensor([0.5]).log(), kind=PARAMETERIZATIONS["log"])
        tensor([0.2500])
    """
    if plainly(free):
        return _plain_variance(kind, free)
    found: Tensor = _Variance.apply(kind, free)  # type: ignore[no-untyped-call]
    return found


def _plain_variance(kind: Parameterization, free: Tensor) -> Tensor:
    """The formula of `variance`."""
    return kind.scale(free).square()


class _Variance(Function):
    @staticmethod
    def forward(ctx: Any, kind: Parameterization, free: Tensor) -> Tensor:
        ctx.kind = kind
        found = kind.fast_variance(free)
        ctx.save_for_backward(free, found)
        return found

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        free, found = ctx.saved_tensors
        if torch.is_grad_enabled():
            return plain_gradients(_plain_variance, (ctx.kind, free), grad)
        return None, ctx.kind.variance_gradient(free, found, 2.0 * grad)


def offset(free: Tensor, noise: Tensor, *, kind: Parameterization) -> Tensor:
    r"""$\sigma \epsilon$, what noise adds to the mean.

    Example:
        >>> offset(torch.tensor([0.5]).log(), torch.tensor([2.0]), kind=PARAMETERIZATIONS["log"])
        tensor([1.])
    """
    if plainly(free):
        return _plain_offset(kind, free, noise)
    found: Tensor = _Offset.apply(kind, free, noise)  # type: ignore[no-untyped-call]
    return found


def _plain_offset(kind: Parameterization, free: Tensor, noise: Tensor) -> Tensor:
    """The formula of `offset`."""
    return kind.scale(free) * noise


class _Offset(Function):
    @staticmethod
    def forward(ctx: Any, kind: Parameterization, free: Tensor, noise: Tensor) -> Tensor:
        ctx.kind = kind
        found = kind.fast_scale(free) * noise
        ctx.save_for_backward(free, noise, found)
        return found

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        free, noise, found = ctx.saved_tensors
        if torch.is_grad_enabled():
            return plain_gradients(_plain_offset, (ctx.kind, free, noise), grad)
        return None, _unexpanded(ctx.kind.offset_gradient(free, grad, noise=noise, offset=found), free), None


def local_reparameterization(mean: Tensor, variance: Tensor, noise: Tensor) -> Tensor:
    r"""$\mathbb{E}[y] + \sqrt{\mathrm{Var}[y]} \, \epsilon$, with a finite gradient where the variance is 0.

    Args:
        mean: of the outputs.
        variance: of the outputs, in the same shape.
        noise: standard normal, in the same shape: one for each output of each example.

    Example:
        >>> local_reparameterization(torch.zeros(1), torch.tensor([4.0]), torch.ones(1))
        tensor([2.])

    References:
        | Variational Dropout and the Local Reparameterization Trick (Kingma, Salimans & Welling, 2015), eq. 6
        | https://arxiv.org/abs/1506.02557v2
    """
    return mean + variance.clamp_min(torch.finfo(variance.dtype).tiny).sqrt() * noise


def local_linear(
    x: Tensor,
    weight: tuple[Tensor, Tensor],
    bias: tuple[Tensor, Tensor] | tuple[None, None],
    *,
    noise: Tensor,
    kind: Parameterization,
) -> Tensor:
    r"""A linear layer by local reparameterisation, from noise for each output.

    $$y = M x + \mu_b + \sqrt{S x^2 + \sigma_b^2} \, \epsilon$$

    Args:
        x: the inputs, `(B, in)`.
        weight: the means $M$ and the free numbers of the scales, `(out, in)` each.
        bias: the same of the bias, `(out,)` each; or None twice.
        noise: $\epsilon$, `(B, out)`.
        kind: what makes the free numbers scales.
    """
    arguments = (kind, x, noise, *weight, *bias)
    if plainly(x) or x.ndim != 2:
        return _plain_local_linear(*arguments)
    y: Tensor = _LocalLinear.apply(*arguments)  # type: ignore[no-untyped-call]
    return y


def _plain_local_linear(
    kind: Parameterization,
    x: Tensor,
    noise: Tensor,
    weight: Tensor,
    free_weight: Tensor,
    bias: Tensor | None,
    free_bias: Tensor | None,
) -> Tensor:
    """The formula of `local_linear`."""
    in_bias = None if free_bias is None else _plain_variance(kind, free_bias)
    spread = F.linear(x.square(), _plain_variance(kind, free_weight), in_bias)
    return local_reparameterization(F.linear(x, weight, bias), spread, noise)


class _LocalLinear(Function):
    @staticmethod
    def forward(
        ctx: Any,
        kind: Parameterization,
        x: Tensor,
        noise: Tensor,
        weight: Tensor,
        free_weight: Tensor,
        bias: Tensor | None,
        free_bias: Tensor | None,
    ) -> Tensor:
        ctx.kind = kind
        variances = kind.fast_variance(free_weight)
        in_bias = None if free_bias is None else kind.fast_variance(free_bias)
        squares = x.square()
        y, ratio = noisy_linear(x, noise, squares=squares, means=(weight, bias), variances=(variances, in_bias))
        ctx.save_for_backward(x, noise, weight, free_weight, bias, free_bias, squares, variances, in_bias, ratio)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        *inputs, squares, variances, in_bias, ratio = ctx.saved_tensors
        if torch.is_grad_enabled():
            return plain_gradients(_plain_local_linear, (ctx.kind, *inputs), grad)
        x, _, weight, free_weight, _, free_bias = inputs
        _, of_x, _, of_weight, of_free_weight, of_bias, of_free_bias = ctx.needs_input_grad
        spread = grad * ratio  # twice the gradient in the variances of the outputs, (B, out)
        in_x = (grad @ weight).addcmul_(x, spread @ variances) if of_x else None
        in_weight = grad.T @ x if of_weight else None
        in_free = None
        if of_free_weight:
            in_free = ctx.kind.variance_gradient(free_weight, variances, spread.T @ squares)
        in_bias_mean = grad.sum(0) if of_bias else None
        in_bias_free = ctx.kind.variance_gradient(free_bias, in_bias, spread.sum(0)) if of_free_bias else None
        return None, in_x, None, in_weight, in_free, in_bias_mean, in_bias_free


def noisy_linear(
    x: Tensor,
    noise: Tensor,
    *,
    squares: Tensor,
    means: tuple[Tensor, Tensor | None],
    variances: tuple[Tensor, Tensor | None],
) -> tuple[Tensor, Tensor]:
    r"""`local_linear` without autograd, and what its gradient needs: $\epsilon / \sqrt{v}$, in the same shape.

    The smallest positive number in the bias keeps the outputs' variances $v$, sums of squares, above zero.

    Args:
        x: the inputs, `(B, in)`.
        noise: $\epsilon$, `(B, out)`.
        squares: those of the inputs.
        means: of the weight `(out, in)` and the bias `(out,)` or None.
        variances: theirs.
    """
    of_weight, of_bias = variances
    tiny = torch.finfo(of_weight.dtype).tiny
    floor = of_weight.new_full((len(of_weight),), tiny) if of_bias is None else of_bias.clamp_min(tiny)
    spread = F.linear(squares, of_weight, floor)
    ratio = spread.rsqrt().mul_(noise)
    return F.linear(x, *means).addcmul_(spread, ratio), ratio


def plain_gradients(
    plain: Callable[..., Tensor | tuple[Tensor, ...]], inputs: Sequence[Any], grad: Tensor | tuple[Tensor, ...]
) -> tuple[Tensor | None, ...]:
    """The gradients of the plain formula, which can be differentiated again."""
    places = [i for i, each in enumerate(inputs) if isinstance(each, Tensor) and each.requires_grad]
    found = torch.autograd.grad(plain(*inputs), [inputs[i] for i in places], grad, create_graph=True)
    gradients: list[Tensor | None] = [None] * len(inputs)
    for place, gradient in zip(places, found, strict=True):
        gradients[place] = gradient
    return tuple(gradients)


def _total(terms: list[Tensor]) -> Tensor:
    return functools.reduce(torch.add, terms)


def _square(x: Tensor) -> Tensor:
    """The sum of squares, in one pass."""
    flat = x.reshape(-1)
    return torch.dot(flat, flat)


def _unexpanded(gradient: Tensor, like: Tensor) -> Tensor:
    """The gradient summed over the axes that noise has and the parameter has not."""
    return gradient.sum(tuple(range(gradient.ndim - like.ndim))) if gradient.ndim > like.ndim else gradient
