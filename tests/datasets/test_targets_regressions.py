"""Radiata pine against a multivariate t, Pima and turtles against quadrature around the mode."""

import csv
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_t
from torch.distributions import Bernoulli, Normal

from jensen._targets import Target
from jensen.datasets.targets import regressions
from jensen.datasets.targets.beta_prime import BetaPrime
from jensen.datasets.targets.tables import CLUTCHES, PINE_ADJUSTED, PINE_DENSITY, PINE_STRENGTH

DOUBLE = torch.float64


def numbers(text):
    return np.array([float(word) for word in text.split()])


def hermite(points, dim):
    """Nodes of a standard Gaussian in `dim` dimensions with their log-weights."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(points)
    nodes, log_weights = torch.from_numpy(nodes), torch.from_numpy(weights / weights.sum()).log()
    grid = torch.cartesian_prod(*[nodes] * dim)
    return grid, torch.cartesian_prod(*[log_weights] * dim).sum(-1)


def mode(log_density, start):
    """Newton's method with the curvature made negative; the mode and a square root of the covariance."""
    point = start
    for _ in range(15):
        values, vectors = torch.linalg.eigh(torch.autograd.functional.hessian(log_density, point))
        gradient = vectors.T @ torch.func.grad(log_density)(point)
        step = vectors @ (gradient / values.abs())
        while log_density(point + step) < log_density(point) - 1e-9:
            step = step / 2
        point = point + step
        if step.abs().max() < 1e-5:
            break
    hessian = torch.autograd.functional.hessian(log_density, point)
    return point, torch.linalg.cholesky(torch.linalg.inv(-hessian))


def around_the_mode(log_density, start, *, points):
    """Gauss-Hermite rule for the logarithm of an integral; the mode is returned with it."""
    dim = len(start)
    centre, root = mode(lambda u: log_density(u[None])[0], start)
    z, log_weight = hermite(points, dim)
    log_g = -z.square().sum(-1) / 2 - dim / 2 * math.log(2 * math.pi)
    values = torch.cat([log_density(centre + each @ root.T) for each in z.split(20_000)])
    return float((values - log_g + log_weight).logsumexp(0) + root.logdet()), centre


@pytest.mark.parametrize(
    ("regressor", "text", "published"),
    [("density", PINE_DENSITY, -310.1282855), ("adjusted", PINE_ADJUSTED, -301.7046021)],
)
def test_pine_strengths_are_jointly_a_multivariate_t(regressor, text, published):
    y, x = numbers(PINE_STRENGTH), numbers(text)
    design = np.stack([np.ones(42), x - x.mean()], 1)
    spread = np.eye(42) + design @ np.diag([1 / 0.06, 1 / 6]) @ design.T
    exact = multivariate_t(design @ [3000, 185], 180_000 / 3 * spread, df=6).logpdf(y)
    assert regressions.radiata_pine(regressor).exact == pytest.approx(exact, abs=1e-9)
    assert exact == pytest.approx(published, abs=6e-8)


def test_pine_by_quadrature_of_the_target_itself():
    target = regressions.radiata_pine()
    start = torch.tensor([math.log(1e-5), 3000.0, 185.0], dtype=DOUBLE)
    found, _ = around_the_mode(target.log_joint, start, points=24)
    assert found == pytest.approx(target.exact, abs=1e-6)


def test_pine_with_a_prior_of_the_wrong_precision_is_caught():
    right = regressions.radiata_pine()
    prior = {**right.prior, "slope": lambda precision: Normal(185.0, (6 * precision).reciprocal().clamp(max=1e5))}
    twin = Target(right._log_likelihood, prior)
    start = torch.tensor([math.log(1e-5), 3000.0, 185.0], dtype=DOUBLE)
    found, _ = around_the_mode(twin.log_joint, start, points=16)
    assert abs(found - right.exact) > 0.1


@pytest.mark.parametrize(("model", "points"), [(1, 8), (2, 7)])
def test_pima_by_quadrature(real, model, points):
    real("evidence/pima_indian.dat")
    target = regressions.pima(model)
    found, _ = around_the_mode(target.log_joint, torch.zeros(target.dim, dtype=DOUBLE), points=points)
    assert found == pytest.approx(target.exact, abs=1e-6)
    assert found == pytest.approx({1: -257.23257, 2: -259.85761}[model], abs=4e-5)


def test_pima_with_a_standard_deviation_for_a_precision_is_caught(real):
    real("evidence/pima_indian.dat")
    right = regressions.pima()
    twin = Target(right._log_likelihood, Normal(torch.zeros(5, dtype=DOUBLE), 100.0))
    found, _ = around_the_mode(twin.log_joint, torch.zeros(5, dtype=DOUBLE), points=6)
    assert found < right.exact - 5


def test_pima_is_known_for_one_precision_only(real):
    real("evidence/pima_indian.dat")
    assert regressions.pima(1, precision=1.0).exact is None


def test_turtles_without_clutches_by_quadrature():
    target = regressions.turtles(0)
    found, _ = around_the_mode(target.log_joint, torch.tensor([-2.7, 0.4], dtype=DOUBLE), points=20)
    assert found == pytest.approx(target.exact, abs=1e-8)
    assert found == pytest.approx(-156.4785898, abs=6e-8)


def turtles_with_clutches(*, clutch_nodes, coefficient_nodes, variance_nodes):
    """Integral over the share s2 / (1 + s2), uniform under the prior; each effect summed out by a trapezoidal rule."""
    weight, sign, clutch = turtle_table()
    effect = torch.linspace(-8.5, 8.5, clutch_nodes, dtype=DOUBLE)
    log_weight = Normal(0.0, 1.0).log_prob(effect) + math.log(17 / (clutch_nodes - 1))
    shares, weights = np.polynomial.legendre.leggauss(variance_nodes)
    start, total = torch.tensor([-2.7, 0.376], dtype=DOUBLE), []
    for share, part in zip(shares, weights, strict=True):
        scale = math.sqrt((1 + share) / (1 - share))

        def log_joint(a, scale=scale):
            eta = a[:, :1] + a[:, 1:] * weight
            terms = torch.special.log_ndtr(sign[:, None] * (eta[..., None] + scale * effect))  # (P, 244, nodes)
            each = torch.zeros(len(a), 31, clutch_nodes, dtype=DOUBLE).index_add(1, clutch, terms)
            return (each + log_weight).logsumexp(-1).sum(-1) + Normal(0.0, math.sqrt(10)).log_prob(a).sum(-1)

        found, start = around_the_mode(log_joint, start, points=coefficient_nodes)
        total.append(found + math.log(part / 2))
    return float(np.logaddexp.reduce(total))


def turtle_table():
    lines = [line.split() for line in CLUTCHES.split("\n") if line]
    words = [(i, word) for i, line in enumerate(lines) for word in line]
    weight = torch.tensor([float(word[:-1]) for _, word in words], dtype=DOUBLE)
    sign = torch.tensor([{"+": 1.0, "-": -1.0}[word[-1]] for _, word in words], dtype=DOUBLE)
    return weight, sign, torch.tensor([i for i, _ in words])


def test_turtles_with_clutches_by_quadrature():
    found = turtles_with_clutches(clutch_nodes=61, coefficient_nodes=6, variance_nodes=16)
    assert regressions.turtles(1).exact == pytest.approx(found, abs=1e-6)
    assert found == pytest.approx(-156.7197320, abs=1e-6)


def test_the_bayes_factor_of_the_turtles():
    ratio = math.exp(regressions.turtles(0).exact - regressions.turtles(1).exact)
    assert ratio == pytest.approx(1.272702, abs=6e-7)


def test_the_terms_of_the_turtles_are_those_of_the_formula():
    target = regressions.turtles(1)
    weight, sign, clutch = turtle_table()
    b = torch.linspace(-1, 1, 31, dtype=DOUBLE)
    values = {
        name: torch.tensor(x, dtype=DOUBLE) for name, x in (("intercept", -1.0), ("slope", 0.2), ("variance", 0.5))
    }
    u = target.unconstrain({**{name: value[None] for name, value in values.items()}, "clutch": b[None]})
    probability = Normal(0.0, 1.0).cdf(-1.0 + 0.2 * weight + math.sqrt(0.5) * b[clutch])
    log_likelihood = Bernoulli(probability).log_prob((sign + 1) / 2).sum()
    coefficients = Normal(0.0, math.sqrt(10)).log_prob(torch.tensor([-1.0, 0.2], dtype=DOUBLE)).sum()
    log_prior = coefficients - 2 * math.log(1.5) + Normal(0.0, 1.0).log_prob(b).sum() + math.log(0.5)
    torch.testing.assert_close(target.log_terms(u)[:, 0], torch.stack([log_likelihood, log_prior]))


def test_the_embedded_tables_are_the_published_ones(real):
    real("evidence/turtles.csv", "evidence/radiata_pine.dat")
    folder = Path(os.environ["JENSEN_DATA"]) / "evidence"
    with (folder / "turtles.csv").open() as file:
        rows = [tuple(map(float, row)) for row in list(csv.reader(file))[1:]]
    weight, sign, clutch = turtle_table()
    found = zip(((sign + 1) / 2).tolist(), weight.tolist(), (clutch + 1).tolist(), strict=True)
    assert list(found) == rows
    pine = np.loadtxt(folder / "radiata_pine.dat")
    for column, text in enumerate((PINE_STRENGTH, PINE_DENSITY, PINE_ADJUSTED), start=1):
        np.testing.assert_array_equal(pine[:, column], numbers(text))


@pytest.mark.parametrize(("a", "b"), [(1.0, 1.0), (2.5, 0.7)])
def test_the_beta_prime_density_integrates_to_one_and_its_draws_follow_it(a, b):
    prior = BetaPrime(torch.tensor(a, dtype=DOUBLE), torch.tensor(b, dtype=DOUBLE))
    t = torch.linspace(-80, 80, 16_001, dtype=DOUBLE)
    log_density = prior.log_prob(t.exp()) + t
    assert float(log_density.logsumexp(0)) + math.log(0.01) == pytest.approx(0, abs=1e-9)
    below = float(log_density[t <= 0].logsumexp(0)) + math.log(0.01)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        share = float((prior.sample((40_000,)) <= 1).double().mean())
    assert abs(share - math.exp(below)) < 4.56 * 0.5 / 200


def test_a_beta_prime_outside_its_domain_is_refused():
    with pytest.raises(ValueError, match="first"):
        BetaPrime(torch.tensor(-1.0), torch.tensor(1.0), validate_args=True)
    with pytest.raises(ValueError, match="support"):
        BetaPrime(torch.tensor(1.0), torch.tensor(1.0), validate_args=True).log_prob(torch.tensor(-1.0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: regressions.radiata_pine("resin"), "must be 'density' or 'adjusted', got 'resin'"),
        (lambda: regressions.pima(3), "model must be 1 or 2, got 3"),
        (lambda: regressions.turtles(2), "hypothesis must be 0 or 1, got 2"),
    ],
)
def test_unknown_models_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
