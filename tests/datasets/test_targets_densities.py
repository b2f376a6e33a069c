"""Integrals of densities and of the demonstrations of nested sampling, by quadrature."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.special import gammaln, ndtr
from torch.distributions import MultivariateNormal

from jensen.datasets.targets import densities, nested_demos

DOUBLE = torch.float64


def grid(low, high, points):
    """Gauss-Legendre nodes and log-weights."""
    nodes, weights = (torch.from_numpy(each) for each in np.polynomial.legendre.leggauss(points))
    return (high + low) / 2 + (high - low) / 2 * nodes, (weights * (high - low) / 2).log()


def over_plane(target, x, y):
    """Product rule over a rectangle of the model's own space; each axis is `(low, high, points)`."""
    (a, log_a), (b, log_b) = grid(*x), grid(*y)
    points = torch.cartesian_prod(a, b)
    named = dict(zip(target.names, points.unsqueeze(-1).unbind(1), strict=False)) if target.is_named else None
    value = {"v": points[:, 0], "x": points[:, 1:]} if named else points
    u = target.unconstrain(value)
    log_density = target.log_joint(u) - target.log_jacobian(u)
    return float((log_density + torch.cartesian_prod(log_a, log_b).sum(-1)).logsumexp(0))


def test_gaussian_2d():
    target = densities.gaussian_2d()
    assert target.exact == pytest.approx(over_plane(target, (-9, 9, 60), (-9, 9, 60)), abs=1e-9)
    assert target.exact == pytest.approx(math.log(2 * math.pi), abs=1e-12)


def test_a_density_whose_scale_is_doubled_is_caught():
    target = densities.gaussian_2d()
    assert abs(over_plane(target, (-2, 2, 60), (-2, 2, 60)) - target.exact) > 0.01


def test_gaussian_200d():
    marginal = MultivariateNormal(torch.zeros(200, dtype=DOUBLE), 2 * torch.eye(200, dtype=DOUBLE))
    assert densities.gaussian_200d().exact == pytest.approx(float(marginal.log_prob(torch.zeros(200))), abs=1e-9)
    assert densities.gaussian_200d().exact == pytest.approx(-253.1024247, abs=6e-8)


@pytest.mark.parametrize(("dim", "correlation"), [(3, 0.95), (25, 0.4), (2, 0.0)])
def test_the_correlated_likelihood_is_a_multivariate_normal(dim, correlation):
    target = densities.correlated_normal(dim, correlation=correlation, half_width=5.0)
    covariance = torch.full((dim, dim), correlation, dtype=DOUBLE) + (1 - correlation) * torch.eye(dim, dtype=DOUBLE)
    x = 2 * torch.rand(7, dim, dtype=DOUBLE, generator=torch.Generator().manual_seed(0)) - 1
    found = target.log_terms(target.unconstrain(x))[0]
    torch.testing.assert_close(found, MultivariateNormal(torch.zeros(dim, dtype=DOUBLE), covariance).log_prob(x))


def test_the_box_cuts_off_what_quadrature_says():
    target = densities.correlated_normal(2, correlation=0.6, half_width=1.5)
    assert target.exact == pytest.approx(over_plane(target, (-1.5, 1.5, 80), (-1.5, 1.5, 80)), abs=1e-9)


def test_25_dimensions_by_an_adaptive_rule_and_the_published_figure():
    def inside(factor):
        scale = math.sqrt(0.6)
        low, high = (-5 - math.sqrt(0.4) * factor) / scale, (5 - math.sqrt(0.4) * factor) / scale
        return math.exp(-(factor**2) / 2) / math.sqrt(2 * math.pi) * (ndtr(high) - ndtr(low)) ** 25

    probability, _ = quad(inside, -12, 12, epsabs=1e-12, points=[-5, 0, 5])
    target = densities.correlated_normal(25, correlation=0.4, half_width=5.0)
    assert target.exact == pytest.approx(math.log(probability) - 25 * math.log(10), abs=1e-9)
    assert -25 * math.log(10) - target.exact == pytest.approx(1.42e-5, abs=2e-7)
    wide = densities.correlated_normal(3, correlation=0.95, half_width=10.0)
    assert wide.exact == pytest.approx(-3 * math.log(20), abs=1e-9)


def test_rosenbrock():
    def strip(x):
        below, above = (math.sqrt(200) * (edge - x**2) for edge in (-5, 15))
        return math.exp(-((1 - x) ** 2)) * math.sqrt(math.pi / 100) * (ndtr(above) - ndtr(below))

    integral, _ = quad(strip, -10, 10, points=[-3.87, 1, 3.87], epsabs=1e-14, limit=500)
    target = densities.rosenbrock()
    assert target.exact == pytest.approx(math.log(integral) - math.log(400), abs=1e-8)
    assert target.exact == pytest.approx(-7.1493440, abs=6e-8)
    assert abs(target.exact - math.log(math.pi / 10) + math.log(400)) > 1e-5


def test_funnel():
    target = densities.funnel(2)
    assert over_plane(target, (-14, 14, 120), (-1, 1, 10)) < -0.5
    v = grid(-18, 18, 90)
    total = [over_plane_strip(target, each) + weight for each, weight in zip(*v, strict=True)]
    assert float(torch.tensor(total).logsumexp(0)) == pytest.approx(0, abs=1e-7)


def over_plane_strip(target, v):
    """The funnel's slice at one `v`, by a rule that is as wide as the slice."""
    width = 9 * math.exp(float(v) / 2)
    x, log_weight = grid(-width, width, 60)
    u = target.unconstrain({"v": v.expand(60), "x": x[:, None]})
    return float((target.log_joint(u) + log_weight).logsumexp(0))


def test_bimodal():
    target = densities.bimodal(2)
    assert target.exact == pytest.approx(over_plane(target, (-14, 14, 120), (-14, 14, 120)), abs=1e-9)
    u = torch.tensor([[5.0] * 10, [-5.0] * 10], dtype=DOUBLE)
    height = -math.log(2) - 5 * math.log(2 * math.pi)
    torch.testing.assert_close(densities.bimodal(10).log_joint(u), torch.full((2,), height, dtype=DOUBLE))


@pytest.mark.parametrize(("dim", "freedom"), [(1, 1.0), (5, 5.0), (20, 3.0)])
def test_student_t_by_its_radius(dim, freedom):
    def shell(t):
        return math.exp(dim * t - (freedom + dim) / 2 * math.log1p(math.exp(2 * t) / freedom))

    radial, _ = quad(shell, -40, 40, points=[0, 1, 2], epsrel=1e-12, epsabs=0, limit=500)
    sphere = math.log(2) + dim / 2 * math.log(math.pi) - gammaln(dim / 2)
    assert densities.student_t(dim, freedom=freedom).exact == pytest.approx(math.log(radial) + sphere, abs=1e-8)


def test_gaussian_shells_in_the_plane():
    target = nested_demos.gaussian_shells(2)
    assert target.exact == pytest.approx(over_plane(target, (-6, 6, 900), (-6, 6, 700)), abs=1e-7)


@pytest.mark.parametrize(
    ("dim", "published"), [(2, -1.745642), (5, -5.673601), (10, -14.590491), (20, -36.086548), (30, -60.127767)]
)
def test_gaussian_shells_by_their_radius(dim, published):
    def shell(radius):
        return radius ** (dim - 1) * math.exp(-(((radius - 2) / 0.1) ** 2) / 2) / (0.1 * math.sqrt(2 * math.pi))

    radial, _ = quad(shell, 0, 4, points=[1.5, 2, 2.5], epsrel=1e-12, epsabs=0, limit=500)
    sphere = math.log(2) + dim / 2 * math.log(math.pi) - gammaln(dim / 2)
    exact = math.log(2) + sphere + math.log(radial) - dim * math.log(12)
    assert nested_demos.gaussian_shells(dim).exact == pytest.approx(exact, abs=1e-9)
    assert exact == pytest.approx(published, abs=6e-7)


def test_eggbox():
    target = nested_demos.eggbox()
    edge = 10 * math.pi
    assert target.exact == pytest.approx(over_plane(target, (0, edge, 700), (0, edge, 700)), abs=1e-8)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: densities.funnel(1), "at least 2 coordinates, got dim = 1"),
        (lambda: nested_demos.gaussian_shells(1), "at least 2 dimensions, got dim = 1"),
        (lambda: densities.correlated_normal(2, correlation=1.0, half_width=1.0), r"must lie in \[0, 1\), got 1.0"),
    ],
)
def test_impossible_sizes_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
