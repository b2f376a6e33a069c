"""Closed forms against quadrature in the coordinates of the samplers, and against published digits."""

import math

import pytest
import torch
from torch.distributions import Binomial, Multinomial, MultivariateNormal, Normal

from jensen._targets import Target
from jensen.datasets.targets import conjugate, phylogenetic

TARGETS = {
    "beta-binomial": (conjugate.beta_binomial, -math.log(11)),
    "normal-normal": (conjugate.normal_normal, -8.2607523028),
    "poisson-gamma": (conjugate.poisson_gamma, -10.5261851662),
    "linear-gaussian": (conjugate.linear_gaussian, -1.8280121235),
    "linkage": (conjugate.linkage, 65.3300671205),
    "jc69-pair": (phylogenetic.jc69_pair, -1712.8943621),
}


def by_quadrature(target, *, low=-60.0, high=60.0, points=240_001):
    """Trapezoidal rule over the one real coordinate, the Jacobian included."""
    u = torch.linspace(low, high, points, dtype=torch.float64)
    return float(target.log_joint(u[:, None]).nan_to_num(-math.inf).logsumexp(0)) + math.log(
        (high - low) / (points - 1)
    )


@pytest.mark.parametrize("name", TARGETS)
def test_the_exact_value_is_the_integral_and_the_published_one(name):
    make, published = TARGETS[name]
    target = make()
    assert target.exact == pytest.approx(by_quadrature(target), abs=1e-9)
    assert target.exact == pytest.approx(published, abs=1e-7 if name == "jc69-pair" else 6e-11)


@pytest.mark.parametrize(
    "target",
    [
        conjugate.beta_binomial(7, 9, prior=(2.5, 0.7)),
        conjugate.normal_normal((3.0, -1.0), prior_variance=0.3),
        conjugate.poisson_gamma((0, 7), shape=0.6, rate=3.0),
        conjugate.linear_gaussian(-2.0),
        conjugate.linkage((14, 0, 1, 5)),
        phylogenetic.jc69_pair(50, 3, rate=2.0),
    ],
)
def test_other_data_have_their_own_value(target):
    assert target.exact == pytest.approx(by_quadrature(target), abs=1e-8)


def test_a_standard_deviation_in_the_place_of_a_variance_is_caught():
    right = conjugate.normal_normal()
    twin = Target(right._log_likelihood, Normal(torch.zeros((), dtype=torch.float64), 100.0))
    assert abs(by_quadrature(twin, low=-900, high=900) - right.exact) > 2


def test_a_dropped_constant_is_caught():
    right = conjugate.beta_binomial()
    twin = Target(lambda p: 2 * p.log() + 8 * torch.log1p(-p), right.prior)
    assert by_quadrature(twin) - right.exact == pytest.approx(-math.log(math.comb(10, 2)), abs=1e-9)


def test_normal_observations_are_jointly_normal():
    y = torch.tensor([0.5, 1.5, 2.0, -0.3], dtype=torch.float64)
    marginal = MultivariateNormal(torch.zeros_like(y), torch.eye(4, dtype=torch.float64) + 100)
    assert conjugate.normal_normal().exact == pytest.approx(float(marginal.log_prob(y)), abs=1e-12)


def test_any_number_of_successes_is_as_probable_under_a_uniform_prior():
    assert [conjugate.beta_binomial(k, 10).exact for k in range(11)] == pytest.approx([-math.log(11)] * 11, abs=1e-12)


def test_the_binomial_keeps_its_coefficient():
    p = torch.tensor([0.3], dtype=torch.float64)
    target = conjugate.beta_binomial(2, 10)
    terms = target.log_terms(target.unconstrain(p))
    assert float(terms[0]) == pytest.approx(
        float(Binomial(10, p).log_prob(torch.tensor(2.0, dtype=torch.float64))), abs=1e-12
    )


def test_the_evidence_of_the_linkage_counts_adds_the_constants_in_the_docstring():
    counts = torch.tensor([12.0, 2.0, 1.0, 3.0], dtype=torch.float64)
    theta = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
    p = torch.stack([0.5 + theta / 4, (1 - theta) / 4, (1 - theta) / 4, theta / 4], -1)
    n = int(counts.sum())
    whole = Multinomial(n, p).log_prob(counts).exp().mean().log()
    coefficient = math.lgamma(n + 1) - sum(math.lgamma(float(each) + 1) for each in counts)
    exact = conjugate.linkage((12, 2, 1, 3)).exact - n * math.log(4) + coefficient
    assert exact == pytest.approx(float(whole), abs=1e-8)


def test_a_constant_likelihood_has_evidence_one():
    target = conjugate.constant(3)
    assert target.exact == 0
    assert target.log_terms(torch.randn(5, 3, dtype=torch.float64))[0].tolist() == [0] * 5


def test_more_differences_than_sites_are_refused():
    with pytest.raises(ValueError, match="number of sites 10, got 11"):
        phylogenetic.jc69_pair(10, 11)
