r"""Laplace's method in many dimensions: the logarithm of an integral from the density at its mode.

With $\ell = \log \tilde p$, its mode $m$, $H = -\nabla^2 \ell(m)$ and $\Sigma = H^{-1}$,

$$\log \int e^{\ell(u)} du \approx \ell(m) + \frac{d}{2} \log 2\pi - \frac12 \log \lvert H \rvert + c, \qquad
c = \frac18 \ell_{ijkl} \Sigma_{ij} \Sigma_{kl} + \frac18 \ell_{ijk} \ell_{lmn} \Sigma_{ij} \Sigma_{kl} \Sigma_{mn}
+ \frac{1}{12} \ell_{ijk} \ell_{lmn} \Sigma_{il} \Sigma_{jm} \Sigma_{kn}.$$

Where $\ell$ grows like the number $n$ of observations, the leading part has an error of $O(1/n)$ and with $c$ one of
$O(1/n^2)$. In one dimension $c$ is the second term of `laplace_integral` with a constant $f$. In coordinates
$u = m + L z$, $L L^T = \Sigma$, every $\Sigma$ is the identity, and that is how it is computed.

References:
    | Laplace Approximation of High Dimensional Integrals (Shun & McCullagh, 1995)
    | https://doi.org/10.1111/j.2517-6161.1995.tb02060.x
    | Accurate Approximations for Posterior Moments and Marginal Densities (Tierney & Kadane, 1986)
    | https://doi.org/10.1080/01621459.1986.10478240
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from jensen._math import HALF_LOG_TWO_PI
from jensen.asymptotics.derivatives import gradient, hessian, higher_derivatives

__all__ = ["LogIntegral", "laplace_log_integral", "second_order_correction"]

LogDensity = Callable[[Tensor], Tensor]
"""Maps points `(N, d)` to logarithms of a density `(N,)`."""


class LogIntegral(NamedTuple):
    r"""Laplace's approximation of a log-integral.

    Attributes:
        log_value: the approximation of the order that was asked for, in nats.
        leading: that of order 1.
        hessian: of the log-density at the mode, `(d, d)`.
        gradient_norm: of the log-density there: zero at a mode.
        newton_decrement: $\sqrt{g^T H^{-1} g}$, the distance to the mode in posterior standard deviations.
        condition: the largest eigenvalue of the Hessian over the smallest.
    """

    log_value: float
    leading: float
    hessian: Tensor
    gradient_norm: float
    newton_decrement: float
    condition: float


def laplace_log_integral(log_density: LogDensity, mode: Tensor, *, order: int = 1) -> LogIntegral:
    r"""Laplace's approximation of $\log \int e^{\ell(u)} du$ at a given mode.

    Args:
        log_density: maps points `(N, d)` to $\ell$, `(N,)`; of torch, differentiable twice, for order 2 four times.
        mode: where it is largest, `(d,)`; every direction must bend downwards there.
        order: 1, or 2 for the correction of order $1/n$, which costs $d^2/2$ points.

    Returns:
        The value and what it rests on.

    Raises:
        ValueError: if the Hessian at `mode` is not negative definite, or `order` is neither 1 nor 2.

    Example:
        >>> def log_gamma_density(u):  # 5! in the coordinate log t
        ...     return (6 * u - torch.exp(u)).sum(-1)
        >>> mode = torch.tensor([6.0]).log().double()
        >>> orders = [laplace_log_integral(log_gamma_density, mode, order=order).log_value for order in (1, 2)]
        >>> [round(math.exp(value), 3) for value in orders]
        [118.346, 120.002]

    References:
        | Laplace Approximation of High Dimensional Integrals (Shun & McCullagh, 1995)
        | https://doi.org/10.1111/j.2517-6161.1995.tb02060.x
    """
    if order not in (1, 2):
        raise ValueError(f"order must be 1 or 2, got {order}")
    if mode.ndim != 1 or not len(mode):
        raise ValueError(f"mode has shape {tuple(mode.shape)}; expected (d,)")
    with torch.no_grad():
        top = float(log_density(mode[None]))
    H, slope = hessian(log_density, mode), gradient(log_density, mode)
    if not math.isfinite(top) or not bool(H.isfinite().all()):
        raise ValueError("the log-density or its second derivatives are not finite at the mode")
    eigenvalues, vectors = torch.linalg.eigh(-H)
    if not float(eigenvalues[0]) > 0:
        raise ValueError(
            f"the Hessian at the mode is not negative definite (largest eigenvalue {-float(eigenvalues[0]):.3g}): the "
            "point is no maximum, or the density is flat or on a boundary there"
        )
    leading = top + len(mode) * HALF_LOG_TWO_PI - 0.5 * float(eigenvalues.log().sum())
    correction = second_order_correction(log_density, mode, H) if order == 2 else 0.0
    return LogIntegral(
        leading + correction,
        leading,
        H,
        float(slope.norm()),
        float(((vectors.mT @ slope).square() / eigenvalues).sum().sqrt()),
        float(eigenvalues[-1] / eigenvalues[0]),
    )


def second_order_correction(log_density: LogDensity, mode: Tensor, hessian: Tensor) -> float:
    r"""The term $c$ of order $1/n$, in nats.

    Args:
        log_density: maps points `(N, d)` to $\ell$, `(N,)`, four times differentiable.
        mode: $m$, `(d,)`.
        hessian: $\nabla^2 \ell(m)$, `(d, d)`, negative definite.

    Raises:
        ValueError: if torch cannot differentiate the function four times.

    Example:
        >>> density = lambda u: (6 * u - torch.exp(u)).sum(-1)
        >>> round(second_order_correction(density, torch.tensor([6.0]).log(), torch.tensor([[-6.0]])) * 12 * 6, 4)
        1.0
    """
    eigenvalues, vectors = torch.linalg.eigh(-hessian)
    L = vectors / eigenvalues.sqrt()
    third, fourth = higher_derivatives(lambda z: log_density(mode + z @ L.mT), torch.zeros_like(mode))
    trace = third.diagonal(dim1=0, dim2=1).sum(-1)
    return float(fourth.sum() / 8 + trace.square().sum() / 8 + third.square().sum() / 12)
