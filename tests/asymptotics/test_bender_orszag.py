"""Bender and Orszag's end-point example through the public names: order of the error, best order, warning."""

import math
import warnings

import pytest
import torch
from scipy.integrate import quad

from jensen import asymptotics

DOUBLE = torch.float64


def exact(x):
    return quad(lambda t: math.exp(-x * t) / (1 + t), 0, 10, epsabs=0, epsrel=1e-13, limit=300)[0]


def by_laplace(x, *, order=None):
    return asymptotics.laplace_integral(lambda t: 1 / (1 + t), lambda t: -t, x, interval=(0, 10), order=order)


def by_watson(x, *, order=None):
    return asymptotics.watson(lambda t: 1 / (1 + t), x, order=order)


def order_of(value, *, x=200.0):
    """The power of 1/x that the error falls with, from x to 2x."""
    return math.log2(abs((value(x) - exact(x)) / (value(2 * x) - exact(2 * x))))


@pytest.mark.parametrize("expand", [by_laplace, by_watson])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_error_is_of_the_order_that_the_series_says(expand, order):
    found = order_of(lambda x: float(expand(x, order=order).value))
    assert found == pytest.approx(expand(200.0, order=order).next_power, abs=0.02)
    assert found == pytest.approx(order + 1, abs=0.02)


@pytest.mark.parametrize(
    ("twin", "order"),
    [
        (lambda x: math.sqrt(2 * math.pi / x), 0.5),
        (lambda x: 1 / x + 1 / x**2, 2),
        (lambda x: 1 / x - 1 / (2 * x**2), 2),
    ],
)
def test_an_inner_maximum_a_sign_or_a_factorial_too_many_is_of_another_order(twin, order):
    found = order_of(twin)
    assert found == pytest.approx(order, abs=0.05)
    assert abs(found - 3) > 0.9


@pytest.mark.parametrize("expand", [by_laplace, by_watson])
@pytest.mark.parametrize("x", [5.0, 10.0, 20.0])
def test_at_its_best_the_error_is_exponentially_small(expand, x):
    series = expand(x)
    errors = (series.partial_sums - exact(x)).abs()
    assert series.order == int(errors.argmin()) + 1 == x
    assert float(errors.min()) == pytest.approx(math.exp(-x) * math.sqrt(math.pi / (2 * x)), rel=0.04)
    assert float(errors.min()) < series.truncation_error < 2.2 * float(errors.min())


CALLS = {
    "laplace_integral": lambda: by_laplace(5.0, order=12),
    "watson": lambda: by_watson(5.0, order=12),
    "stationary_phase": lambda: asymptotics.stationary_phase(
        lambda t: 1.0, lambda t: t.cos(), 1.0, interval=(0, math.pi), order=12
    ),
    "steepest_descent": lambda: asymptotics.steepest_descent(
        lambda z: 1.0, lambda z: z**3 / 3 - z, 1.0, saddle=0.9, direction=1j, order=12
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_warning_is_a_user_warning_at_the_callers_line(name):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        series = CALLS[name]()
    assert [each.category for each in caught] == [UserWarning]
    assert caught[0].filename == __file__
    assert str(caught[0].message) == series.warnings[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="12 terms go past the smallest one"):
            CALLS[name]()


def test_no_warning_up_to_the_best_order():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for order in (None, 1, 3, 5):
            assert by_laplace(5.0, order=order).warnings == ()
