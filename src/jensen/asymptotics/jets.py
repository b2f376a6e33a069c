r"""Arithmetic of truncated Taylor series: a function called with a jet returns its own Taylor coefficients.

$$a(t) = \sum_{k=0}^{n} a_k (t - c)^k, \qquad (ab)_k = \sum_j a_j b_{k-j}, \qquad
y' = g(y)\, a' \;\Rightarrow\; k\, y_k = \sum_{j=1}^{k} j\, a_j\, g(y)_{k-j}$$

Order $n$ costs $O(n^2)$ for each elementary function, where derivatives taken one after the other cost exponentially.

References:
    | Evaluating Derivatives (Griewank & Walther, 2008), ch. 13
    | https://doi.org/10.1137/1.9780898717761
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["Jet", "UnknownFunctionError"]


class UnknownFunctionError(Exception):
    """A function of torch that jets have no rule for."""


class Jet:
    """A truncated Taylor series with the arithmetic of a tensor.

    Args:
        coefficients: `(n + 1,)`, real or complex, the value first.

    Example:
        >>> t = Jet(torch.tensor([0.0, 1.0, 0.0, 0.0]).double())
        >>> (1 / (1 + t)).coefficients, torch.exp(-2 * t).coefficients
        (tensor([ 1., -1.,  1., -1.], dtype=torch.float64), tensor([ 1.0000, -2.0000,  2.0000, -1.3333], dtype=torch.float64))
    """  # noqa: E501

    __array_ufunc__ = None

    def __init__(self, coefficients: Tensor) -> None:
        self.coefficients = coefficients

    @property
    def value(self) -> Tensor:
        """The function's value, the coefficient of order 0."""
        return self.coefficients[0]

    @property
    def order(self) -> int:
        """The highest power that is kept."""
        return len(self.coefficients) - 1

    def like(self, constant: Any) -> "Jet":
        """A constant as a jet of the same order; a jet as it is."""
        if isinstance(constant, Jet):
            return constant
        kind = self.coefficients.dtype
        if isinstance(constant, complex) or (isinstance(constant, Tensor) and constant.is_complex()):
            kind = torch.complex128
        given = torch.as_tensor(constant, dtype=kind, device=self.coefficients.device)
        if given.numel() != 1:
            raise ValueError(f"a jet is one number, it cannot be joined with a tensor of shape {tuple(given.shape)}")
        series = torch.zeros(self.order + 1, dtype=kind, device=self.coefficients.device)
        series[0] = given.reshape(())
        return Jet(series)

    @classmethod
    def __torch_function__(
        cls, function: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Find the rule of a function of torch by its name."""
        return _rule(getattr(function, "__name__", str(function)))(*args, **(kwargs or {}))

    def __getattr__(self, name: str) -> Any:
        """A tensor's methods, by the same rules."""
        if name.startswith("__") or name not in RULES:
            raise AttributeError(f"a jet has no {name!r}") if name.startswith("_") else UnknownFunctionError(name)
        return functools.partial(RULES[name], self)

    def __add__(self, other: Any) -> "Jet":
        return _add(self, other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> "Jet":
        return _add(self, -self.like(other))

    def __rsub__(self, other: Any) -> "Jet":
        return _add(-self, other)

    def __neg__(self) -> "Jet":
        return Jet(-self.coefficients)

    def __abs__(self) -> "Jet":
        return self * torch.sign(self.value)

    def __pos__(self) -> "Jet":
        return self

    def __mul__(self, other: Any) -> "Jet":
        return _multiply(self, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> "Jet":
        return _divide(self, other)

    def __rtruediv__(self, other: Any) -> "Jet":
        return _divide(self.like(other), self)

    def __pow__(self, exponent: Any) -> "Jet":
        return _power(self, exponent)

    def __rpow__(self, base: Any) -> "Jet":
        return _power(self.like(base), self)

    def __repr__(self) -> str:
        """The coefficients."""
        return f"Jet({self.coefficients.tolist()})"


def _rule(name: str) -> Callable[..., Jet]:
    name = name.strip("_").removeprefix("special_")
    if name not in RULES:
        raise UnknownFunctionError(name)
    return RULES[name]


def _pair(a: Any, b: Any) -> tuple[Jet, Jet]:
    jet: Jet = a if isinstance(a, Jet) else b
    return jet.like(a), jet.like(b)


def _add(a: Any, b: Any, *, alpha: float = 1) -> Jet:
    left, right = _pair(a, b)
    return Jet(left.coefficients + alpha * right.coefficients)


def _subtract(a: Any, b: Any, *, alpha: float = 1) -> Jet:
    return _add(a, b, alpha=-alpha)


def _multiply(a: Any, b: Any) -> Jet:
    left, right = (each.coefficients for each in _pair(a, b))
    kind = torch.promote_types(left.dtype, right.dtype)
    left, right = left.to(kind), right.to(kind)
    return Jet(torch.stack([left[: k + 1] @ right[: k + 1].flip(0) for k in range(len(left))]))


def _divide(a: Any, b: Any) -> Jet:
    left, right = (each.coefficients for each in _pair(a, b))
    kind = torch.promote_types(left.dtype, right.dtype)
    left, right = left.to(kind), right.to(kind)
    quotient: list[Tensor] = []
    for k in range(len(left)):
        known = torch.stack(quotient) @ right[1 : k + 1].flip(0) if k else torch.zeros_like(left[0])
        quotient.append((left[k] - known) / right[0])
    return Jet(torch.stack(quotient))


def _power(a: Any, exponent: Any) -> Jet:
    base, power = _pair(a, exponent)
    if bool((power.coefficients[1:] != 0).any()):
        return _exp(power * _log(base))
    p: complex = power.value.item()
    if p.imag == 0 and p.real == int(p.real) and p.real >= 0:
        return _natural_power(base, int(p.real))
    y = [base.value**p]
    for k in range(1, base.order + 1):
        j = torch.arange(1, k + 1, dtype=torch.float64)
        factor = ((p + 1) * j - k) * base.coefficients[1 : k + 1]
        y.append(factor @ torch.stack(y[::-1]).to(factor.dtype) / (k * base.value))
    return Jet(torch.stack(y))


def _natural_power(base: Jet, p: int) -> Jet:
    result = base.like(1.0)
    while p:
        result = result * base if p % 2 else result
        base, p = base * base, p // 2
    return result


def _derivative(a: Jet) -> Tensor:
    """The coefficients of $a'$, one fewer."""
    return a.coefficients[1:] * torch.arange(1, a.order + 1)


def _flow(value: Tensor, a: Jet, g: Callable[[Jet], Jet]) -> Jet:
    """The solution of $y' = g(y) a'$ with this value."""
    slope = _derivative(a)
    y, rates = [value], []
    for k in range(1, a.order + 1):
        rates.append(g(Jet(torch.stack(y))).coefficients[-1])
        y.append(slope[:k] @ torch.stack(rates[::-1]) / k)
    return Jet(torch.stack(y))


def _integral(value: Tensor, a: Jet, g: Jet) -> Jet:
    """The solution of $y' = g(t) a'$ with this value."""
    whole = g * Jet(torch.cat([_derivative(a), a.coefficients[:1] * 0]))
    rest = whole.coefficients[: a.order] / torch.arange(1, a.order + 1)
    return Jet(torch.cat([value.reshape(1).to(rest.dtype), rest]))


def _exp(a: Jet) -> Jet:
    return _flow(a.value.exp(), a, lambda y: y)


def _expm1(a: Jet) -> Jet:
    return _flow(a.value.expm1(), a, lambda y: y + 1)


def _log(a: Jet) -> Jet:
    return _integral(a.value.log(), a, 1 / a)


def _circle(a: Jet, sign: int) -> tuple[Jet, Jet]:
    """Sine and cosine for `sign` -1, their hyperbolic kin for 1."""
    names = ("sin", "cos") if sign < 0 else ("sinh", "cosh")
    s, c = ([getattr(a.value, name)()] for name in names)
    slope = _derivative(a)
    for k in range(1, a.order + 1):
        new_s = slope[:k] @ torch.stack(c[::-1]) / k
        c.append(sign * (slope[:k] @ torch.stack(s[::-1])) / k)
        s.append(new_s)
    return Jet(torch.stack(s)), Jet(torch.stack(c))


def _sigmoid(a: Jet) -> Jet:
    return _flow(a.value.sigmoid(), a, lambda y: y - y * y)


def _softplus(a: Jet) -> Jet:
    value = a.value
    return _integral(value.clamp_min(0) + torch.log1p(torch.exp(-value.abs())), a, _sigmoid(a))


def _erf(a: Jet) -> Jet:
    return _integral(torch.erf(a.value), a, 2 / math.sqrt(math.pi) * _exp(-(a * a)))


def _polygamma(order: int, a: Jet) -> Jet:
    """The outer function's Taylor series, composed with the inner one by Horner's rule."""
    scale = [math.factorial(k) for k in range(a.order + 1)]
    outer = [
        torch.lgamma(a.value) if order + k < 0 else torch.special.polygamma(order + k, a.value)
        for k in range(a.order + 1)
    ]
    inner = a - a.value
    result = a.like(0.0)
    for coefficient, factorial in zip(reversed(outer), reversed(scale), strict=True):
        result = result * inner + coefficient / factorial
    return result


RULES: dict[str, Callable[..., Jet]] = {
    "add": _add,
    "radd": _add,
    "sub": _subtract,
    "subtract": _subtract,
    "rsub": lambda a, b: _subtract(b, a),
    "mul": _multiply,
    "multiply": _multiply,
    "rmul": _multiply,
    "div": _divide,
    "divide": _divide,
    "true_divide": _divide,
    "truediv": _divide,
    "rdiv": lambda a, b: _divide(b, a),
    "rtruediv": lambda a, b: _divide(b, a),
    "neg": lambda a: -a,
    "negative": lambda a: -a,
    "positive": lambda a: a,
    "pow": _power,
    "rpow": lambda a, b: _power(b, a),
    "square": lambda a: a * a,
    "sqrt": lambda a: _power(a, 0.5),
    "rsqrt": lambda a: _power(a, -0.5),
    "reciprocal": lambda a: 1 / a,
    "exp": _exp,
    "expm1": _expm1,
    "exp2": lambda a: _exp(a * math.log(2)),
    "log": _log,
    "log2": lambda a: _log(a) / math.log(2),
    "log10": lambda a: _log(a) / math.log(10),
    "log1p": lambda a: _integral(a.value.log1p(), a, 1 / (1 + a)),
    "sin": lambda a: _circle(a, -1)[0],
    "cos": lambda a: _circle(a, -1)[1],
    "tan": lambda a: _flow(a.value.tan(), a, lambda y: 1 + y * y),
    "sinh": lambda a: _circle(a, 1)[0],
    "cosh": lambda a: _circle(a, 1)[1],
    "tanh": lambda a: _flow(a.value.tanh(), a, lambda y: 1 - y * y),
    "asin": lambda a: _integral(a.value.asin(), a, _power(1 - a * a, -0.5)),
    "acos": lambda a: _integral(a.value.acos(), a, -_power(1 - a * a, -0.5)),
    "atan": lambda a: _integral(a.value.atan(), a, 1 / (1 + a * a)),
    "asinh": lambda a: _integral(a.value.asinh(), a, _power(1 + a * a, -0.5)),
    "acosh": lambda a: _integral(a.value.acosh(), a, _power(a * a - 1, -0.5)),
    "atanh": lambda a: _integral(a.value.atanh(), a, 1 / (1 - a * a)),
    "sigmoid": _sigmoid,
    "expit": _sigmoid,
    "softplus": _softplus,
    "logsigmoid": lambda a: -_softplus(-a),
    "erf": _erf,
    "erfc": lambda a: 1 - _erf(a),
    "lgamma": lambda a: _polygamma(-1, a),
    "gammaln": lambda a: _polygamma(-1, a),
    "digamma": lambda a: _polygamma(0, a),
    "ones_like": lambda a, **_: a.like(1.0),
    "zeros_like": lambda a, **_: a.like(0.0),
    "full_like": lambda a, value, **_: a.like(value),
    "abs": abs,
}
"""What is known of each function of torch, by its name."""
