"""Laplace's formula: Bender and Orszag's examples, Stirling's series, and the order of the error by doubling x."""

import math
import warnings

import pytest
import torch
from scipy.integrate import quad
from scipy.special import gamma, iv
from torch.testing import assert_close

from jensen.asymptotics.laplace import laplace_integral
from jensen.asymptotics.series import AsymptoticSeries

DOUBLE = torch.float64


def integral(f, low, high, **options):
    return quad(f, low, high, epsabs=0, epsrel=1e-12, limit=200, **options)[0]


def stieltjes(x, **options):
    return laplace_integral(lambda t: 1 / (1 + t), lambda t: -t, x, interval=(0, 10), **options)


def exact_stieltjes(x):
    return integral(lambda t: math.exp(-x * t) / (1 + t), 0, 10)


@pytest.mark.parametrize(("x", "best", "error"), [(5.0, 5, 2.1e-2), (10.0, 10, 1.9e-4), (20.0, 20, 1.2e-8)])
def test_the_end_point_maximum_of_bender_and_orszag_at_its_best_order(x, best, error):
    series = stieltjes(x)
    exact = exact_stieltjes(x)
    assert series.order == series.optimal_order == best
    assert abs(float(series.value) / exact - 1) == pytest.approx(error, rel=0.03)
    assert abs(float(series.value) - exact) < series.truncation_error
    assert series.truncation_error == pytest.approx(math.factorial(best) / x ** (best + 1), rel=1e-9)
    assert series.warnings == ()


def test_its_terms_are_factorials_and_the_first_is_one_over_x():
    series = stieltjes(10.0)
    expected = [(-1) ** n * math.factorial(n) / 10 ** (n + 1) for n in range(20)]
    assert_close(series.terms[:20], torch.tensor(expected, dtype=DOUBLE), rtol=1e-12, atol=0)
    assert series.powers[:3] == (1.0, 2.0, 3.0)
    for order, error in ((1, 9.2e-2), (2, 1.7e-2)):
        found = float(stieltjes(10.0, order=order).value)
        assert abs(found / 0.09156333393978806 - 1) == pytest.approx(error, rel=0.03)


def test_a_warning_past_the_smallest_term():
    with pytest.warns(UserWarning, match="12 terms go past the smallest one"):
        series = stieltjes(5.0, order=12)
    assert series.optimal_order == 5
    assert "5 terms are the best" in series.warnings[0]
    assert abs(float(series.value) / exact_stieltjes(5.0) - 1) > 0.1


@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_error_of_an_end_point_falls_with_the_next_power(order):
    errors = [float(stieltjes(x, order=order).value) - exact_stieltjes(x) for x in (100.0, 200.0)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order + 1, abs=0.05)


def test_an_end_point_treated_as_an_inner_maximum_is_caught():
    """The leading term of the wrong case, with the power -1/2, is off by more than half, ever more so."""
    for x in (100.0, 400.0):
        wrong = math.sqrt(2 * math.pi / x)
        assert abs(wrong / exact_stieltjes(x) - 1) > 10
        assert abs(float(stieltjes(x, order=1).value) / exact_stieltjes(x) - 1) < 1.1 / x


def bumpy(t):
    return 1 / (1 + t**2) + t


def fall(t):
    return -torch.cosh(t - 0.3) - (t - 0.3) ** 3 / 10


def bumpy_error(x, order, *, twist=1.0):
    """Relative error, times x to the power of the order; `twist` is 1 unless the correction is made wrong."""

    def integrand(t):
        return (1 / (1 + t * t) + t) * math.exp(x * (1 - math.cosh(t - 0.3) - (t - 0.3) ** 3 / 10))

    exact = integral(integrand, -3, 4, points=[0.3])
    series = laplace_integral(bumpy, fall, x, interval=(-3, 4), order=order)
    terms = series.terms[:order].tolist()
    value = terms[0] + twist * sum(terms[1:])
    return x**order * (value * math.exp(float(series.exponent) + x) / exact - 1)


def test_an_inner_maximum_has_the_errors_of_first_and_second_order():
    xs = (10.0, 20.0, 40.0, 80.0)
    first = [bumpy_error(x, 1) for x in xs]
    second = [bumpy_error(x, 2) for x in xs]
    assert first == pytest.approx([0.677, 0.667, 0.655, 0.647], abs=6e-4)
    assert second == pytest.approx([-0.008, 0.218, 0.396, 0.512], abs=6e-4)
    assert abs(bumpy_error(320.0, 3)) < 15


def test_a_correction_of_the_wrong_sign_is_caught():
    assert abs(bumpy_error(80.0, 2, twist=-1.0)) > 50


def test_the_second_term_is_bender_and_orszags_formula():
    c, x = 0.3, 7.0
    t = torch.tensor(c, dtype=DOUBLE, requires_grad=True)

    def derivatives(f, count):
        found = [f(t)]
        for _ in range(count):
            found.append(torch.autograd.grad(found[-1], t, create_graph=True, materialize_grads=True)[0])
        return [each.item() for each in found]

    f0, f1, f2 = derivatives(bumpy, 2)
    _, _, p2, p3, p4 = derivatives(fall, 4)
    second = -f2 / (2 * p2) + f0 * p4 / (8 * p2**2) + f1 * p3 / (2 * p2**2) - 5 * f0 * p3**2 / (24 * p2**3)
    series = laplace_integral(bumpy, fall, x, interval=(-3, 4), order=2)
    lead = math.sqrt(2 * math.pi / (-x * p2))
    assert_close(series.terms[:2], torch.tensor([lead * f0, lead * second / x], dtype=DOUBLE), rtol=1e-12, atol=0)


def test_stirlings_series():
    series = laplace_integral(lambda s: 1.0, lambda s: torch.log(s) - s, 5.0, interval=(0, math.inf))
    ratios = series.terms[:5] / series.terms[0] * 5.0 ** torch.arange(5)
    expected = torch.tensor([1, 1 / 12, 1 / 288, -139 / 51840, -571 / 2488320], dtype=DOUBLE)
    assert_close(ratios, expected, rtol=1e-9, atol=0)
    assert float(series.value) * 5**6 == pytest.approx(120, rel=1e-10)
    assert float(series.log_value) + 6 * math.log(5) == pytest.approx(math.lgamma(6), abs=1e-10)


def test_a_value_too_large_for_a_number_has_a_logarithm():
    x = 5000.0
    series = laplace_integral(lambda t: 1.0, lambda t: torch.cos(t), x, interval=(-3, 3), order=2)
    assert math.isinf(float(series.value))
    assert float(series.log_value) == pytest.approx(x + math.log(2 * math.pi / math.sqrt(2 * math.pi * x)), abs=1e-4)


def test_an_end_without_slope_gives_half_of_the_inner_maximum():
    whole = laplace_integral(lambda t: 1.0, lambda t: torch.cos(t), 20.0, interval=(-math.pi, math.pi), order=3)
    half = laplace_integral(lambda t: 1.0, lambda t: torch.cos(t), 20.0, interval=(0, math.pi), order=3)
    assert float(half.value) == pytest.approx(float(whole.value) / 2, rel=1e-12)
    assert float(half.value) == pytest.approx(math.pi * iv(0, 20.0), rel=1e-5)
    slanted = laplace_integral(lambda t: torch.exp(t), lambda t: -torch.cos(t), 20.0, interval=(0, math.pi), order=4)
    exact = integral(lambda t: math.exp(t - 20 * math.cos(t)), 0, math.pi)
    assert slanted.powers[:4] == (0.5, 1.0, 1.5, 2.0)
    assert abs(float(slanted.value) - exact) < 2 * slanted.truncation_error < 1e-2 * exact


def test_a_gaussian_is_exact_with_one_term():
    series = laplace_integral(lambda t: 3.0, lambda t: -2 * (t - 1) ** 2, 7.0, order=5)
    assert float(series.value) == pytest.approx(3 * math.sqrt(math.pi / 14), rel=1e-14)
    assert series.truncation_error == 0


def test_flat_maxima():
    quartic = laplace_integral(lambda t: 1.0, lambda t: -(t**4), 5.0)
    assert float(quartic.value) == pytest.approx(gamma(0.25) / 2 / 5**0.25, rel=1e-13)
    near = laplace_integral(torch.cos, lambda t: 1 + (t - 0.7) ** 2 / 2 - torch.cosh(t - 0.7), 50.0)
    exact = integral(lambda t: math.cos(t) * math.exp(50 * (1 + (t - 0.7) ** 2 / 2 - math.cosh(t - 0.7))), -8, 8)
    assert near.powers[:2] == (0.25, 0.75)
    assert float(near.value) == pytest.approx(exact, rel=1e-9)
    cubic_end = laplace_integral(lambda t: 1.0, lambda t: -(t**3), 5.0, interval=(0, 3))
    assert float(cubic_end.value) == pytest.approx(gamma(1 / 3) / 3 / 5 ** (1 / 3), rel=1e-13)


def test_equal_maxima_are_summed_and_a_lower_one_is_not():
    both = laplace_integral(torch.exp, lambda t: -((t**2 - 1) ** 2), 20.0, order=4)
    exact = integral(lambda t: math.exp(t - 20 * (t * t - 1) ** 2), -3, 3, points=[-1, 1])
    assert abs(float(both.value) - exact) < 2 * both.truncation_error < 1e-3
    tilted = laplace_integral(lambda t: 1.0, lambda t: -((t**2 - 1) ** 2) + 0.1 * t, 20.0, order=1)
    assert any("Other maxima" in sentence for sentence in tilted.warnings)


def test_an_end_too_near_is_said_to_be():
    series = laplace_integral(lambda t: 1.0, lambda t: -(t**2), 1.0, interval=(-0.5, 8.0), order=1)
    assert "an end of the interval" in series.warnings[0]


def test_an_f_that_vanishes_at_the_maximum():
    series = laplace_integral(lambda t: t**2, lambda t: -(t**2) / 2, 4.0)
    assert float(series.value) == pytest.approx(math.sqrt(2 * math.pi) / 8, rel=1e-13)
    assert series.powers[0] == 1.5


@pytest.mark.parametrize(
    ("phi", "x", "interval", "message"),
    [
        (lambda t: t, 3.0, (-math.inf, math.inf), "rises, or stays level"),
        (lambda t: -(t**2), 0.0, (-1, 1), "x must be positive"),
        (lambda t: -(t**2), 1.0, (1, -1), "from a smaller to a larger"),
        (lambda t: 0 * t, 1.0, (0, 1), "constant"),
        (lambda t: torch.log(t) * math.nan, 1.0, (0, 1), "must be finite"),
        (lambda t: -((t - 0.3) ** 2).sqrt(), 1.0, (-1, 1), "not smooth"),
        (lambda t: -abs(t - 0.2001), 1.0, (-1, 1), "not smooth"),
    ],
)
def test_bad_input(phi, x, interval, message):
    with pytest.raises(ValueError, match=message):
        laplace_integral(lambda t: 1.0, phi, x, interval=interval)


def test_bad_orders():
    with pytest.raises(ValueError, match="order must be at least 1"):
        stieltjes(5.0, order=0)
    with pytest.raises(ValueError, match="order must lie"):
        AsymptoticSeries(torch.ones(2), (1.0, 2.0), 3)
    with pytest.raises(ValueError, match="one power each"):
        AsymptoticSeries(torch.ones(2), (1.0,), 1)


def test_nothing_is_warned_of_without_reason():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert stieltjes(10.0, order=10).warnings == ()
