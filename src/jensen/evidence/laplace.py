"""Log-evidence by Laplace's approximation: a Gaussian at the mode, with the full Hessian."""

import math

import torch
from torch import Tensor

from jensen._evidence import Diagnostic, Evidence
from jensen._targets import Target
from jensen.asymptotics.posterior import LogIntegral, laplace_log_integral, second_order_correction

__all__ = ["laplace"]

MOST = 20
"""The dimension up to which the second-order correction is computed as a yardstick."""

AWAY, LARGE = 0.1, 0.1
"""A mode missed by so many posterior standard deviations, and a correction of so many nats, deserve a warning."""


def laplace(target: Target, mode: Tensor, *, order: int = 1) -> Evidence:
    r"""Laplace's approximation in the unconstrained space.

    $$\log Z \approx \log \tilde p(m) + \frac{d}{2} \log 2\pi - \frac12 \log \lvert H \rvert \; (+\, c), \qquad
    H = -\nabla^2 \log \tilde p(m)$$

    Exact for a Gaussian posterior. With $n$ observations the error is $O(1/n)$; with the correction $c$ of order 2,
    from third and fourth derivatives, $O(1/n^2)$.

    Args:
        target: what has an evidence; torch must be able to differentiate it twice, for order 2 four times.
        mode: the posterior mode in real coordinates, `(d,)`, as `samplers.find_mode(target).point` gives it.
        order: 1, or 2 to add the correction, which costs $d^2/2$ points.

    Returns:
        An approximation, without a standard error. `diagnostics`: `gradient_norm` at the mode, `newton_decrement` (its
        distance from the true mode in posterior standard deviations), `condition` of the Hessian, `order`, and
        `second_order_correction` in nats, where `d` is at most 20 or `order` is 2: about what order 1 neglects.

    Raises:
        ValueError: if the Hessian is not negative definite, the shape of `mode` does not fit, or the target is not
            finite there.

    Example:
        >>> from torch.distributions import Normal
        >>> prior = Normal(torch.zeros(1).double(), 10.0)
        >>> y = torch.tensor([0.5, 1.5, 2.0, -0.3]).double()
        >>> target = Target(lambda mu: Normal(mu, 1.0).log_prob(y).sum(-1), prior)
        >>> print(laplace(target, (y.sum() / 4.01).reshape(1)))
        log Z ≈ -8.2608 (laplace)

    References:
        | Laplace Approximation of High Dimensional Integrals (Shun & McCullagh, 1995)
        | https://doi.org/10.1111/j.2517-6161.1995.tb02060.x
    """
    point = torch.as_tensor(mode, dtype=target.dtype, device=target.device).detach()
    if point.shape != (target.dim,):
        raise ValueError(f"mode has shape {tuple(point.shape)}; expected (d,) = ({target.dim},) in real coordinates")
    fit = laplace_log_integral(target.log_joint, point, order=order)
    correction = _correction(target, point, fit, order=order)
    diagnostics: dict[str, Diagnostic] = {
        "order": order,
        "gradient_norm": fit.gradient_norm,
        "newton_decrement": fit.newton_decrement,
        "condition": fit.condition,
    }
    if correction is not None:
        diagnostics["second_order_correction"] = correction
    return Evidence(
        fit.log_value,
        math.nan,
        diagnostics,
        method="laplace",
        kind="approximation",
        warnings=_warnings(fit, correction),
    )


def _correction(target: Target, point: Tensor, fit: LogIntegral, *, order: int) -> float | None:
    if order == 2:
        return fit.log_value - fit.leading
    if target.dim > MOST:
        return None
    try:
        correction = second_order_correction(target.log_joint, point, fit.hessian)
    except ValueError:
        return None
    return correction if math.isfinite(correction) else None


def _warnings(fit: LogIntegral, correction: float | None) -> tuple[str, ...]:
    found = ["An approximation: no standard error tells how far it is from log Z."]
    if correction is not None and not abs(correction) < LARGE:
        found.insert(0, f"The second-order correction is {correction:.2g} nats: the posterior is far from Gaussian.")
    if fit.newton_decrement > AWAY:
        found.insert(
            0, f"The point is {fit.newton_decrement:.2g} posterior standard deviations from the mode: find it better."
        )
    return tuple(found)
