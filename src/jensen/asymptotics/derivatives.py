r"""Exact derivatives: Taylor coefficients of a function of one variable, and the first four of a function of many.

References:
    | Evaluating Derivatives: Principles and Techniques of Algorithmic Differentiation (Griewank & Walther, 2008)
    | https://doi.org/10.1137/1.9780898717761
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from jensen.asymptotics.jets import Jet, UnknownFunctionError

__all__ = ["HigherDerivatives", "gradient", "hessian", "higher_derivatives", "taylor"]

Function = Callable[[Tensor], Tensor]
"""A function of one real or complex number, made of functions of torch."""

NESTED = 10
"""The order up to which derivatives are taken one after the other."""

ROWS = 256
"""Points that are differentiated at a time."""


def taylor(f: Function, point: Tensor | complex, *, order: int) -> Tensor:
    r"""Taylor coefficients $f^{(k)}(c) / k!$ for $k = 0, \dots, n$.

    By jets, exact up to rounding at any order; for functions that jets have no rule for, by nested automatic
    differentiation, up to order 10.

    Args:
        f: a function of one number. At a complex point it must be analytic.
        point: $c$, real or complex.
        order: the highest power $n$.

    Returns:
        The coefficients `(n + 1,)`, float64 or complex128.

    Raises:
        ValueError: if `f` raises, returns more than one number, or is neither made of known functions nor of low enough
            order.

    Example:
        >>> taylor(lambda t: torch.exp(-t) / (1 + t), 0.0, order=3)
        tensor([ 1.0000, -2.0000,  2.5000, -2.6667], dtype=torch.float64)
    """
    if order < 0:
        raise ValueError(f"order must be at least 0, got {order}")
    is_complex = point.is_complex() if isinstance(point, Tensor) else isinstance(point, complex)
    c = torch.as_tensor(point, dtype=torch.complex128 if is_complex else torch.float64).detach()
    if c.numel() != 1:
        raise ValueError(f"point must be one number, got shape {tuple(c.shape)}")
    try:
        return _by_jets(f, c.reshape(()), order)
    except UnknownFunctionError as error:
        if order > NESTED:
            raise ValueError(
                f"jets have no rule for {error}, and nested differentiation ends at order {NESTED}; {order} is needed: "
                "ask for a lower order or write the function otherwise"
            ) from error
        return nested(f, c.reshape(()), order)


def _by_jets(f: Function, c: Tensor, order: int) -> Tensor:
    line = torch.zeros(order + 1, dtype=c.dtype, device=c.device)
    line[0] = c
    line[1:2] = 1
    try:
        result: object = f(Jet(line))  # type: ignore[arg-type]
        return Jet(line).like(result).coefficients
    except (TypeError, ValueError) as error:
        raise ValueError(f"the function must be made of torch's functions of one number: {error}") from error


def nested(f: Function, point: Tensor, order: int) -> Tensor:
    """Taylor coefficients by differentiating the derivative again and again; the cost grows exponentially."""
    z = point.clone().requires_grad_()
    found: list[Tensor] = []
    factorial = 1
    with torch.enable_grad():
        derivative = torch.as_tensor(f(z), dtype=z.dtype).reshape(())
        for k in range(order + 1):
            found.append(derivative.detach() / factorial)
            factorial *= k + 1
            if k < order:
                derivative = _differentiated(derivative, z)
    return torch.stack(found)


def _differentiated(value: Tensor, z: Tensor) -> Tensor:
    """The derivative; of an analytic function, the conjugate of torch's gradient of its real part."""
    if not value.requires_grad:
        return torch.zeros_like(z)
    real = value.real if value.is_complex() else value
    (slope,) = torch.autograd.grad(real, z, create_graph=True, allow_unused=True, materialize_grads=True)
    return slope.conj() if slope.is_complex() else slope


def gradient(f: Function, point: Tensor) -> Tensor:
    """Gradient at `(d,)` of a function that maps points `(N, d)` to numbers `(N,)`."""
    with torch.enable_grad():
        x = point.detach()[None].requires_grad_()
        return _next(f(x), x)[0].detach()


def hessian(f: Function, point: Tensor) -> Tensor:
    """Second derivatives `(d, d)` at `(d,)` of a function that maps points `(N, d)` to numbers `(N,)`.

    Row i is the gradient of the i-th derivative of the i-th of d copies of the point, all in one batch.

    Raises:
        ValueError: if torch cannot differentiate the function twice.

    Example:
        >>> hessian(lambda x: x[:, 0] ** 2 * x[:, 1], torch.tensor([1.0, 3.0]))
        tensor([[6., 2.],
                [2., 0.]])
    """
    parts = []
    for rows in torch.split(torch.arange(len(point), device=point.device), ROWS):
        with torch.enable_grad():
            x = point.detach().expand(len(rows), -1).clone().requires_grad_()
            first = _next(f(x), x)
            parts.append(_next(first.gather(1, rows[:, None]), x).detach())
    H = torch.cat(parts)
    return (H + H.mT) / 2


class HigherDerivatives(NamedTuple):
    r"""Derivatives of orders three and four of $f(z)$ at one point.

    Attributes:
        third: $\partial_i \partial_j \partial_k f$, `(d, d, d)`.
        fourth: $\partial_i^2 \partial_j^2 f$, `(d, d)`.
    """

    third: Tensor
    fourth: Tensor


def higher_derivatives(f: Function, point: Tensor) -> HigherDerivatives:
    """Third derivatives, and the fourth ones that come in pairs, for each pair of coordinates in one batch.

    Raises:
        ValueError: if torch cannot differentiate the function four times.

    Example:
        >>> higher_derivatives(lambda x: x[:, 0] ** 2 * x[:, 1] ** 2, torch.ones(2)).fourth
        tensor([[0., 4.],
                [4., 0.]])
    """
    d = len(point)
    i, j = torch.triu_indices(d, d, device=point.device)
    third, fourth = point.new_zeros(d, d, d), point.new_zeros(d, d)
    for rows, columns in zip(i.split(ROWS), j.split(ROWS), strict=True):
        with torch.enable_grad():
            x = point.detach().expand(len(rows), -1).clone().requires_grad_()
            second = _next(_next(f(x), x).gather(1, rows[:, None]), x)
            cube = _next(second.gather(1, columns[:, None]), x)
            last = _next(cube.gather(1, rows[:, None]), x).gather(1, columns[:, None]).squeeze(1)
        third[rows, columns] = third[columns, rows] = cube.detach()
        fourth[rows, columns] = fourth[columns, rows] = last.detach()
    return HigherDerivatives(third, fourth)


def _next(value: Tensor, x: Tensor) -> Tensor:
    """The gradient of the sum, differentiable once more; zero where nothing depends on `x`."""
    if not value.requires_grad:
        return torch.zeros_like(x)
    try:
        (slope,) = torch.autograd.grad(value.sum(), x, create_graph=True, allow_unused=True, materialize_grads=True)
    except RuntimeError as error:
        raise ValueError(f"torch cannot differentiate this function often enough: {error}") from error
    return slope
