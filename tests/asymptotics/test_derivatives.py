"""Jets against nested differentiation and against series known in closed form; higher derivatives of many variables."""

import math

import pytest
import torch
from torch.testing import assert_close

from jensen.asymptotics.derivatives import gradient, hessian, higher_derivatives, nested, taylor
from jensen.asymptotics.jets import Jet

DOUBLE = torch.float64
EXACT = {"rtol": 1e-12, "atol": 1e-12}

FUNCTIONS = {
    "quotient": lambda t: torch.exp(-t) / (1 + t),
    "powers": lambda t: (
        (1 + t**2) ** 0.3 * t**3 - t**-2 + 2.0**t + (1 + t) ** t + t.sqrt() + t.rsqrt() + 1 / t.square()
    ),
    "circular": lambda t: torch.sin(2 * t) * t.cos() + torch.tan(t) - torch.asin(t / 2) + torch.acos(t / 3),
    "hyperbolic": lambda t: torch.sinh(t) - torch.cosh(t - 0.3) * torch.tanh(t) + torch.asinh(t) * torch.atanh(t / 3),
    "logarithms": lambda t: torch.log(2 + t) * torch.log1p(t) + torch.log2(1 + t) - torch.log10(3 - t) + t.exp2(),
    "logistic": lambda t: torch.sigmoid(3 * t) * torch.expm1(t) + torch.special.expit(t) + torch.atan(t),
    "softplus": lambda t: torch.nn.functional.softplus(t) - torch.nn.functional.logsigmoid(2 * t) + abs(t),
    "error function": lambda t: torch.erf(t) - torch.special.erfc(2 * t),
    "gamma functions": lambda t: torch.lgamma(1.5 + t) + torch.digamma(2 + t * t) + torch.special.gammaln(t),
    "tensors": lambda t: torch.tensor(3.0, dtype=DOUBLE) - t + torch.tensor(2.0, dtype=DOUBLE) / (1 + t) * torch.pi,
    "inverse cosine": lambda t: (
        torch.acosh(1.5 + t) + torch.ones_like(t) - torch.zeros_like(t) + torch.full_like(t, 2.0)
    ),
}
ANALYTIC = ("quotient", "powers", "circular", "hyperbolic", "logarithms")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_jets_agree_with_nested_differentiation(name):
    point = torch.tensor(0.37, dtype=DOUBLE)
    found = taylor(FUNCTIONS[name], 0.37, order=6)
    assert_close(found, nested(FUNCTIONS[name], point, 6), **EXACT)
    assert float(found[3:].abs().min()) > 0 or name == "tensors"


@pytest.mark.parametrize("name", ANALYTIC)
def test_jets_agree_with_nested_differentiation_in_the_complex_plane(name):
    point = torch.tensor(0.37 + 0.2j, dtype=torch.complex128)
    assert_close(taylor(FUNCTIONS[name], point, order=5), nested(FUNCTIONS[name], point, 5), **EXACT)


def test_series_in_closed_form_at_an_order_that_nesting_never_reaches():
    n = torch.arange(61, dtype=DOUBLE)
    assert_close(taylor(lambda t: 1 / (1 + t), 0.0, order=60), (-1.0) ** n, **EXACT)
    assert_close(taylor(torch.exp, 0.0, order=60), torch.exp(-torch.lgamma(n + 1)), **EXACT)
    assert_close(taylor(lambda t: -torch.log(1 - t), 0.0, order=60)[1:], 1 / n[1:], **EXACT)
    central = torch.tensor([math.comb(2 * k, k) / 4**k for k in range(61)], dtype=DOUBLE)
    assert_close(taylor(lambda t: (1 - t) ** -0.5, 0.0, order=60), central, **EXACT)


def test_constants_and_numbers_keep_double_precision():
    assert_close(taylor(lambda t: 0.1, 0.0, order=2), torch.tensor([0.1, 0.0, 0.0], dtype=DOUBLE), **EXACT)
    assert_close(taylor(lambda t: t * 0.1 + 0.3, 0.7, order=1), torch.tensor([0.37, 0.1], dtype=DOUBLE), **EXACT)
    assert_close(taylor(lambda t: 1j * t, 0.0, order=1), torch.tensor([0, 1j], dtype=torch.complex128), **EXACT)


def test_a_function_without_a_rule_is_differentiated_again_and_again_up_to_a_limit():
    found = taylor(torch.special.i0, 0.5, order=3)
    z = 0.5
    bessel = [
        sum((z / 2) ** (2 * k + n) / (math.factorial(k) * math.factorial(k + n)) for k in range(20)) for n in (0, 1)
    ]
    assert_close(found[:2], torch.tensor(bessel, dtype=DOUBLE), **EXACT)
    with pytest.raises(ValueError, match="no rule for i0"):
        taylor(torch.special.i0, 0.5, order=12)


@pytest.mark.parametrize(
    ("f", "options", "message"),
    [
        (lambda t: math.exp(t), {"order": 2}, "made of torch's functions"),
        (lambda t: t * torch.ones(3), {"order": 2}, "one number"),
        (torch.exp, {"order": -1}, "order must be"),
    ],
)
def test_bad_functions(f, options, message):
    with pytest.raises(ValueError, match=message):
        taylor(f, 0.0, **options)
    with pytest.raises(ValueError, match="point must be one number"):
        taylor(torch.exp, torch.zeros(2), order=1)


def test_a_jet_shows_itself():
    t = Jet(torch.tensor([1.0, 1.0]))
    assert repr(t**2) == "Jet([1.0, 2.0])"
    assert t.order == 1
    assert not hasattr(t, "_private")


def polynomial(x):
    return x[:, 0] ** 3 * x[:, 1] ** 2 + x[:, 0] * x[:, 1] * x[:, 2] - 2 * x[:, 2] ** 4


def test_first_four_derivatives_of_a_polynomial():
    a, b, c = 1.5, -0.5, 2.0
    point = torch.tensor([a, b, c], dtype=DOUBLE)
    expected = torch.tensor([3 * a**2 * b**2 + b * c, 2 * a**3 * b + a * c, a * b - 8 * c**3], dtype=DOUBLE)
    assert_close(gradient(polynomial, point), expected, **EXACT)
    H = [[6 * a * b**2, 6 * a**2 * b + c, b], [6 * a**2 * b + c, 2 * a**3, a], [b, a, -24 * c**2]]
    assert_close(hessian(polynomial, point), torch.tensor(H, dtype=DOUBLE), **EXACT)
    third, fourth = higher_derivatives(polynomial, point)
    assert_close(third, third.permute(1, 0, 2), **EXACT)
    assert_close(third, third.permute(2, 1, 0), **EXACT)
    assert_close(third[0, 0], torch.tensor([6 * b**2, 12 * a * b, 0], dtype=DOUBLE), **EXACT)
    assert_close(third[1, 2], torch.tensor([1.0, 0, 0], dtype=DOUBLE), **EXACT)
    assert_close(fourth, torch.tensor([[0, 12 * a, 0], [12 * a, 0, 0], [0, 0, -48.0]], dtype=DOUBLE), **EXACT)


def test_a_linear_function_has_no_second_derivatives():
    assert_close(hessian(lambda x: x.sum(-1), torch.ones(3)), torch.zeros(3, 3))
    assert_close(higher_derivatives(lambda x: (x**2).sum(-1), torch.ones(2)).fourth, torch.zeros(2, 2))


def test_more_points_than_one_batch_holds():
    point = torch.linspace(0.5, 1.5, 300, dtype=DOUBLE)
    assert_close(hessian(lambda x: (x**3).sum(-1), point), (6 * point).diag(), **EXACT)
