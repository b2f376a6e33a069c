"""Watson's lemma against Bessel, exponential-integral and error functions."""

import math

import pytest
import torch
from scipy.special import erfcx, exp1, kv
from torch.testing import assert_close

from jensen.asymptotics.laplace import laplace_integral
from jensen.asymptotics.watson import watson


def inverse(t):
    return 1 / (1 + t)


@pytest.mark.parametrize("x", [5.0, 10.0, 20.0])
def test_the_exponential_integral(x):
    series = watson(inverse, x)
    exact = math.exp(x) * exp1(x)
    assert abs(float(series.value) - exact) < series.truncation_error
    ends = laplace_integral(inverse, lambda t: -t, x, interval=(0, 10))
    assert_close(series.value, ends.value, rtol=1e-12, atol=0)
    assert series.order == ends.order == x


def test_a_bessel_function_by_a_power_at_zero():
    """K_0: the integral of exp(-xt) / sqrt(t (2 + t)), times exp(-x)."""
    series = watson(lambda t: (2 + t) ** -0.5, 20.0, alpha=-0.5)
    assert series.powers[:2] == (0.5, 1.5)
    assert float(series.value) == pytest.approx(math.exp(20) * kv(0, 20.0), rel=1e-12)


def test_a_function_of_the_root():
    r"""The integral of $e^{-xt} e^{-\sqrt t}$ is $1/x - \sqrt\pi\, \mathrm{erfcx}(1 / (2 \sqrt x)) / (2 x^{3/2})$."""
    x = 30.0
    series = watson(lambda s: torch.exp(-s), x, beta=0.5, order=12)
    exact = 1 / x - math.sqrt(math.pi) * erfcx(1 / (2 * math.sqrt(x))) / (2 * x**1.5)
    assert float(series.value) == pytest.approx(exact, rel=1e-9)
    assert series.powers[:3] == (1.0, 1.5, 2.0)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_error_falls_with_the_next_power(order):
    series = [watson(inverse, x, order=order) for x in (200.0, 400.0)]
    errors = [float(each.value) - watson(inverse, x).value for each, x in zip(series, (200.0, 400.0), strict=True)]
    assert math.log2(abs(errors[0] / errors[1])) == pytest.approx(series[0].next_power, abs=0.05)


def test_a_gamma_function_without_its_factorial_is_caught():
    terms = watson(inverse, 10.0).terms
    wrong = sum((-1) ** n / 10 ** (n + 1) for n in range(10))
    exact = math.exp(10) * exp1(10)
    assert abs(wrong - exact) > 5 * float(terms[9].abs())


def test_a_polynomial_ends():
    series = watson(lambda t: 1 + 3 * t**2, 2.0)
    assert float(series.value) == pytest.approx(1 / 2 + 3 * 2 / 8, rel=1e-14)
    assert series.truncation_error == 0


@pytest.mark.parametrize(
    ("f", "x", "options", "message"),
    [
        (inverse, -1.0, {}, "x > 0"),
        (inverse, 1.0, {"alpha": -1.0}, "alpha > -1"),
        (inverse, 1.0, {"beta": 0.0}, "beta > 0"),
        (inverse, 1.0, {"order": 0}, "order must be"),
        (lambda t: torch.sqrt(t), 1.0, {}, "take a power of t out of it"),
    ],
)
def test_bad_input(f, x, options, message):
    with pytest.raises(ValueError, match=message):
        watson(f, x, **options)


def test_a_warning_past_the_smallest_term():
    with pytest.warns(UserWarning, match="past the smallest"):
        watson(inverse, 3.0, order=9)
