"""Laplace's method in many dimensions: Gaussians, Stirling's series, quadrature in the plane, order of the error."""

import math

import pytest
import torch
from torch.testing import assert_close

from jensen.asymptotics.derivatives import higher_derivatives
from jensen.asymptotics.laplace import laplace_integral
from jensen.asymptotics.posterior import laplace_log_integral, second_order_correction

DOUBLE = torch.float64


def vector(*values):
    return torch.tensor(values, dtype=DOUBLE)


@pytest.mark.parametrize("d", [1, 2, 7, 30])
def test_a_gaussian_is_exact(d):
    torch.manual_seed(d)
    factor = torch.randn(d, d, dtype=DOUBLE) + 2 * torch.eye(d, dtype=DOUBLE)
    precision = factor @ factor.mT
    mode = torch.randn(d, dtype=DOUBLE)
    exact = 3.0 + d / 2 * math.log(2 * math.pi) - float(torch.linalg.slogdet(precision).logabsdet) / 2

    def log_density(u):
        return 3.0 - ((u - mode) @ precision * (u - mode)).sum(-1) / 2

    for order in (1, 2):
        assert laplace_log_integral(log_density, mode, order=order).log_value == pytest.approx(exact, abs=1e-10)


def factorials(n):
    """The integral of exp(n u - exp(u)) over u is Gamma(n), for each coordinate."""
    n = vector(*n)
    return (lambda u: (n * u - u.exp()).sum(-1)), n.log(), float(torch.lgamma(n).sum())


@pytest.mark.parametrize("n", [(5.0,), (5.0, 9.0), (4.0, 30.0, 7.0)])
def test_stirlings_correction_is_the_sum_of_one_over_12_n(n):
    density, mode, exact = factorials(n)
    first, second = (laplace_log_integral(density, mode, order=order) for order in (1, 2))
    assert second.leading == first.log_value == first.leading
    assert second.log_value - first.log_value == pytest.approx(sum(1 / (12 * each) for each in n), rel=1e-10)
    assert abs(second.log_value - exact) < 0.05 * abs(first.log_value - exact)


def test_a_rotation_changes_nothing():
    density, mode, _ = factorials((5.0, 9.0, 3.0))
    torch.manual_seed(1)
    A = torch.randn(3, 3, dtype=DOUBLE)
    first = laplace_log_integral(density, mode, order=2)
    there = torch.linalg.solve(A, mode)
    mixed = laplace_log_integral(lambda v: density(v @ A.mT), there, order=2)
    assert mixed.log_value + float(torch.linalg.slogdet(A).logabsdet) == pytest.approx(first.log_value, abs=1e-10)


def entangled(u):
    """A density in the plane with third and fourth derivatives of every kind."""
    x, y = u[:, 0], u[:, 1]
    return (
        -(x**2)
        - 0.7 * y**2
        - 0.5 * x * y
        + 0.3 * x**2 * y
        - 0.2 * x * y**2
        + 0.1 * x**3
        - x**4 / 5
        - y**4 / 7
        - (x * y) ** 2 / 3
    )


def by_quadrature(n):
    x = torch.linspace(-8, 8, 801, dtype=DOUBLE) / math.sqrt(n) * 1.5
    grid = torch.cartesian_prod(x, x)
    return float((n * entangled(grid)).logsumexp(0)) + 2 * math.log(float(x[1] - x[0]))


def errors(n, correction=None):
    origin = torch.zeros(2, dtype=DOUBLE)

    def density(u):
        return n * entangled(u)

    leading = laplace_log_integral(density, origin)
    c = (
        second_order_correction(density, origin, leading.hessian)
        if correction is None
        else correction(density, leading)
    )
    exact = by_quadrature(n)
    return leading.log_value - exact, leading.log_value + c - exact


def test_errors_in_the_plane_are_of_first_and_second_order():
    here, there = errors(40.0), errors(80.0)
    assert math.log2(here[0] / there[0]) == pytest.approx(1, abs=0.1)
    assert math.log2(here[1] / there[1]) == pytest.approx(2, abs=0.2)


@pytest.mark.parametrize("wrong", ["sign", "no mixed term"])
def test_a_wrong_correction_is_caught(wrong):
    def twin(density, leading):
        L = torch.linalg.inv(torch.linalg.cholesky(-leading.hessian)).mT
        third, fourth = higher_derivatives(lambda z: density(z @ L.mT), torch.zeros(2, dtype=DOUBLE))
        trace = third.diagonal(dim1=0, dim2=1).sum(-1)
        cubes = float(trace.square().sum() / 8 + third.square().sum() / 12)
        return float(fourth.sum() / 8) - cubes if wrong == "sign" else float(fourth.diagonal().sum() / 8) + cubes

    here, there = errors(40.0, twin), errors(80.0, twin)
    assert math.log2(here[1] / there[1]) == pytest.approx(1, abs=0.2)


def test_in_one_dimension_it_is_the_second_term_of_laplaces_formula():
    def phi(t):
        return -torch.cosh(t - 0.3) - (t - 0.3) ** 3 / 10

    x = 12.0
    series = laplace_integral(lambda t: 1.0, phi, x, order=2)
    several = laplace_log_integral(lambda u: x * phi(u[:, 0]), vector(0.3), order=2)
    assert several.leading == pytest.approx(math.log(float(series.terms[0])) + float(series.exponent), abs=1e-12)
    ratio = float(series.terms[1] / series.terms[0])
    assert several.log_value - several.leading == pytest.approx(ratio, rel=1e-10)


def test_what_it_rests_on_is_told():
    density, mode, _ = factorials((4.0, 100.0))
    fit = laplace_log_integral(density, mode + vector(0.01, 0.0))
    assert_close(fit.hessian, torch.diag(vector(-4 * math.exp(0.01), -100.0)), rtol=1e-10, atol=1e-10)
    assert fit.gradient_norm == pytest.approx(4 * math.expm1(0.01), rel=1e-6)
    assert fit.newton_decrement == pytest.approx(0.02, rel=0.02)
    assert fit.condition == pytest.approx(25 / math.exp(0.01), rel=1e-6)


@pytest.mark.parametrize(
    ("density", "mode", "order", "message"),
    [
        (lambda u: (u**2).sum(-1), vector(0.0), 1, "not negative definite"),
        (lambda u: -(u[:, 0] ** 2), vector(0.0, 0.0), 1, "not negative definite"),
        (lambda u: -(u**2).sum(-1), vector(0.0), 3, "order must be 1 or 2"),
        (lambda u: -(u**2).sum(-1), vector(0.0)[None], 1, "mode has shape"),
        (lambda u: u.log().sum(-1), vector(0.0), 1, "not finite"),
    ],
)
def test_bad_input(density, mode, order, message):
    with pytest.raises(ValueError, match=message):
        laplace_log_integral(density, mode, order=order)


def test_a_function_that_cannot_be_differentiated_often_enough():
    def cubic_distance(u):
        return -torch.cdist(u[:, None], torch.ones(len(u), 1, 2, dtype=DOUBLE), p=3.0).flatten() - (u**2).sum(-1)

    with pytest.raises(ValueError, match="often enough"):
        laplace_log_integral(cubic_distance, vector(0.2, 0.1))
