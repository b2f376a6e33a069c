"""Stationary phase and steepest descent against Airy, Bessel and Struve functions, and the order of their error."""

import cmath
import math

import pytest
import torch
from scipy.special import airy, gamma, iv, j0, struve
from torch.testing import assert_close

from jensen.asymptotics.laplace import laplace_integral
from jensen.asymptotics.stationary_phase import stationary_phase
from jensen.asymptotics.steepest_descent import find_saddle, steepest_descent


def bessel_and_struve(x, order):
    """J_0 + i H_0: a stationary end at 0 and an end with a slope at pi / 2."""
    return stationary_phase(lambda t: 2 / math.pi, torch.cos, x, interval=(0, math.pi / 2), order=order)


def error(x, order):
    return abs(complex(bessel_and_struve(x, order).value) - (j0(x) + 1j * struve(0, x)))


@pytest.mark.parametrize(("order", "power"), [(1, 1.0), (2, 1.5), (4, 3.0)])
def test_bessel_and_struve_functions_with_the_order_of_the_error(order, power):
    x = 80.0
    assert bessel_and_struve(x, order).next_power == power
    assert math.log2(error(x, order) / error(2 * x, order)) == pytest.approx(power, abs=0.05)


def test_the_first_three_contributions_have_the_powers_of_both_kinds_of_points():
    series = bessel_and_struve(50.0, 3)
    assert series.powers[:3] == (0.5, 1.0, 1.5)
    lead = cmath.exp(1j * (50 - math.pi / 4)) * math.sqrt(2 / (50 * math.pi))
    assert complex(series.terms[0]) == pytest.approx(lead, rel=1e-12)
    assert complex(series.terms[1]) == pytest.approx(2 / math.pi / 50 * 1j, rel=1e-12)


def test_an_end_left_out_is_caught():
    """Without the end's term the error falls with the power 1, not 3/2."""
    wrong = []
    for x in (80.0, 160.0):
        terms = bessel_and_struve(x, 3).terms
        wrong.append(abs(complex(terms[0] + terms[2]) - (j0(x) + 1j * struve(0, x))))
    assert math.log2(wrong[0] / wrong[1]) == pytest.approx(1.0, abs=0.05)


def test_a_phase_of_the_wrong_sign_is_caught():
    x = 100.0
    wrong = cmath.exp(1j * (x + math.pi / 4)) * math.sqrt(2 / (x * math.pi))
    assert abs(wrong - (j0(x) + 1j * struve(0, x))) > 5 * error(x, 1)


@pytest.mark.parametrize("x", [10.0, 20.0, 40.0])
def test_an_inner_stationary_point_gives_airys_oscillations(x):
    series = stationary_phase(lambda t: 1.0, lambda t: t**3 / 3 - t, x, interval=(0, math.inf), order=4)
    scale = x ** (1 / 3) / math.pi
    assert abs(float(series.value.real) * scale - airy(-(x ** (2 / 3)))[0]) < 2 * series.truncation_error * scale


def test_a_flat_stationary_point():
    series = stationary_phase(lambda t: 1.0, lambda t: t**3, 50.0, order=1)
    assert complex(series.value) == pytest.approx(2 * gamma(4 / 3) * math.cos(math.pi / 6) / 50 ** (1 / 3), rel=1e-12)
    assert series.powers[0] == pytest.approx(1 / 3)


def test_ends_alone():
    series = stationary_phase(lambda t: 1.0, lambda t: t, 9.0, interval=(1, 3), order=3)
    assert complex(series.value) == pytest.approx((cmath.exp(27j) - cmath.exp(9j)) / 9j, rel=1e-12)
    assert series.truncation_error == 0


def airy_by_descent(x, order, **options):
    series = steepest_descent(
        lambda z: 1.0, lambda z: z**3 / 3 - z, x, saddle=0.9, direction=1j, order=order, **options
    )
    return complex(series.value) * x ** (1 / 3) / (2j * math.pi)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_airys_function_with_the_order_of_the_error(order):
    errors = [airy_by_descent(x, order).real / airy(x ** (2 / 3))[0] - 1 for x in (64.0, 128.0)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.05)
    assert abs(airy_by_descent(64.0, order).imag) < 1e-12 * abs(airy_by_descent(64.0, order).real)


@pytest.mark.parametrize("x", [10.0, 20.0])
def test_two_saddles_give_airys_oscillations(x):
    series = steepest_descent(
        lambda z: 1.0, lambda z: z**3 / 3 + z, x, saddle=[-0.9j, 1.1j], direction=[-1 + 1j, 1 + 1j], order=4
    )
    found = complex(series.value) * x ** (1 / 3) / (2j * math.pi)
    assert abs(found - airy(-(x ** (2 / 3)))[0]) < series.truncation_error
    wrong = steepest_descent(
        lambda z: 1.0, lambda z: z**3 / 3 + z, x, saddle=[-0.9j, 1.1j], direction=[1 - 1j, 1 + 1j], order=4
    )
    assert abs(complex(wrong.value) * x ** (1 / 3) / (2j * math.pi) - airy(-(x ** (2 / 3)))[0]) > 0.1


def test_on_the_real_line_it_is_laplaces_formula():
    real = laplace_integral(torch.exp, torch.cos, 9.0, interval=(-3, 3), order=4)
    saddle = steepest_descent(torch.exp, torch.cos, 9.0, saddle=0.2, order=4)
    assert_close(saddle.terms.real[:4], real.terms[:4], rtol=1e-12, atol=0)
    unit = steepest_descent(lambda z: 1.0, torch.cos, 20.0, saddle=0.2, order=4)
    assert complex(unit.value) == pytest.approx(2 * math.pi * iv(0, 20.0), rel=1e-5)


def test_a_saddle_is_found_exactly():
    assert find_saddle(lambda z: torch.exp(z) - z, 0.5 + 6.0j) == pytest.approx(2j * math.pi, abs=1e-12)


@pytest.mark.parametrize(
    ("phi", "options", "message"),
    [
        (lambda z: z**3 / 3 - z, {"saddle": 0.9, "direction": 1.0}, "across"),
        (lambda z: z, {"saddle": 0.9}, "no saddle"),
        (lambda z: z**3, {"saddle": 0.0}, "degenerate"),
        (lambda z: -(z**2), {"saddle": [0.0, 1.0], "direction": [1.0]}, "one direction each"),
    ],
)
def test_bad_saddles(phi, options, message):
    with pytest.raises(ValueError, match=message):
        steepest_descent(lambda z: 1.0, phi, 5.0, **options)


def test_bad_input():
    with pytest.raises(ValueError, match="x must be positive"):
        steepest_descent(lambda z: 1.0, torch.cos, -5.0, saddle=0.0)
    with pytest.raises(ValueError, match="x must be positive"):
        stationary_phase(lambda t: 1.0, torch.cos, math.inf)
    with pytest.raises(ValueError, match="no stationary point"):
        stationary_phase(lambda t: 1.0, lambda t: t, 3.0)
    with pytest.raises(ValueError, match="phi is constant"):
        stationary_phase(lambda t: 1.0, lambda t: 0 * t, 3.0, interval=(0, 1))
