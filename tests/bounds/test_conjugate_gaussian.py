"""A model with known log p(x): the bounds lie where the theory puts them, and on it where q is the posterior."""

import math
from functools import partial
from itertools import pairwise

import pytest
import torch
from torch.distributions import MultivariateNormal, kl_divergence
from torch.testing import assert_close

from jensen.bounds import cubo, effective_sample_size, elbo, iwae, jackknife, renyi, sgvb_a

DOUBLE = torch.float64
BOUNDS = {
    "elbo": elbo,
    "iwae": iwae,
    "renyi(0.5)": partial(renyi, alpha=0.5),
    "renyi(1.01)": partial(renyi, alpha=1.01),
    "renyi(-inf)": partial(renyi, alpha=-math.inf),
    "cubo": cubo,
    "jackknife(1)": jackknife,
    "jackknife(2)": partial(jackknife, order=2),
}


@pytest.fixture
def one_weight(line, quadrature):
    """The law of a single log-weight under a q off the posterior: its values and their probabilities."""
    noise, mass = quadrature.grid(1)
    return line.log_weights(line.approximation(), noise).total[0].detach(), mass


@pytest.mark.parametrize("bound", BOUNDS.values(), ids=BOUNDS)
def test_every_draw_gives_log_evidence_where_q_is_the_posterior(plane, bound):
    q = plane.approximation(shift=0.0, stretch=1.0)
    noise = 3 * torch.randn(7, 50, 2, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    log_w = plane.log_weights(q, noise).total
    assert_close(bound(log_w), plane.log_evidence.expand(50), rtol=0, atol=1e-10)
    assert_close(effective_sample_size(log_w), torch.full((50,), 7.0, dtype=DOUBLE))


def test_a_posterior_that_is_slightly_off_is_seen_in_every_draw(plane):
    noise = torch.randn(7, 50, 2, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    log_w = plane.log_weights(plane.approximation(shift=1e-4, stretch=1.0), noise).total
    assert (iwae(log_w) - plane.log_evidence).abs().min() > 1e-7


def test_elbo_is_log_evidence_minus_the_divergence_from_the_posterior(plane, quadrature):
    q = plane.approximation()
    noise, mass = quadrature.grid(1, latent=2)
    log_weights = plane.log_weights(q, noise)
    exact = plane.log_evidence - kl_divergence(q.distribution, plane.posterior)
    assert_close((mass * elbo(log_weights.total)).sum(), exact, rtol=0, atol=1e-12)
    assert_close((mass * sgvb_a(log_weights)).sum(), exact, rtol=0, atol=1e-12)
    assert exact < plane.log_evidence - 0.05


def test_the_mean_weight_is_the_evidence(plane, quadrature):
    noise, mass = quadrature.grid(1, latent=2)
    log_w = plane.log_weights(plane.approximation(), noise).total[0]
    assert_close(torch.logsumexp(log_w + mass.log(), 0), plane.log_evidence, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("K", "points"), [(1, 40), (2, 40), (3, 40), (4, 24)])
def test_the_sum_over_all_noise_of_K_samples_agrees_with_the_integral_over_the_laplace_transform(
    line, one_weight, quadrature, K, points
):
    noise, mass = quadrature.grid(K, points=points)
    summed = (mass * iwae(line.log_weights(line.approximation(), noise).total)).sum()
    assert_close(quadrature.expected_iwae(*one_weight, K), summed.detach(), rtol=0, atol=1e-9)


def test_more_samples_are_tighter_and_never_reach_log_evidence(line, one_weight, quadrature):
    log_w, mass = one_weight
    counts = (1, 2, 3, 5, 8, 50, 500, 5000)
    bounds = [quadrature.expected_iwae(log_w, mass, K).item() for K in counts]
    gaps = [line.log_evidence.item() - bound for bound in bounds]
    assert_close(bounds[0], (mass * log_w).sum().item(), rtol=0, atol=1e-12)
    assert all(more < fewer for fewer, more in pairwise(gaps))
    assert gaps[-1] > 1e-6


def test_the_gap_times_K_tends_to_half_the_relative_variance_of_the_weights(line, one_weight, quadrature):
    log_w, mass = one_weight
    relative_variance = (mass * (2 * (log_w - line.log_evidence)).exp()).sum() - 1
    a, b = (K * (line.log_evidence - quadrature.expected_iwae(log_w, mass, K)) for K in (200, 400))
    assert_close(2 * b - a, relative_variance / 2, rtol=1e-4, atol=0)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_the_jackknife_removes_a_power_of_one_over_K_with_each_order(line, one_weight, quadrature, order):
    def bias(K):
        coefficients = [
            (-1) ** j * (K - j) ** order / (math.factorial(order - j) * math.factorial(j)) for j in range(order + 1)
        ]
        expected = sum(c * quadrature.expected_iwae(*one_weight, K - j) for j, c in enumerate(coefficients))
        return (expected - line.log_evidence).item()

    assert_close(bias(20) / bias(40), 2.0 ** (order + 1), rtol=0.15, atol=0)


def test_the_jackknife_of_two_samples_is_nearer_to_log_evidence_than_their_iwae(line, quadrature):
    noise, mass = quadrature.grid(2)
    log_w = line.log_weights(line.approximation(), noise).total.detach()
    of_two, of_one = ((mass * bound(log_w)).sum() - line.log_evidence for bound in (iwae, elbo))
    corrected = (mass * jackknife(log_w)).sum() - line.log_evidence
    assert_close(corrected, 2 * of_two - of_one, rtol=0, atol=1e-12)
    assert corrected.abs() < of_two.abs() / 2


def test_renyi_and_chi_bounds_lie_on_their_sides(line, one_weight, quadrature):
    noise, mass = quadrature.grid(3)
    log_w = line.log_weights(line.approximation(), noise).total.detach()
    between = [(mass * renyi(log_w, alpha=alpha)).sum().item() for alpha in (2.0, 1.0, 0.5, 0.0)]
    assert between == sorted(between)
    assert between[-1] < line.log_evidence
    single, weight = one_weight
    chi = 0.5 * torch.logsumexp(2 * single + weight.log(), 0)
    assert chi > line.log_evidence + 0.01


def test_the_stretch_that_is_tested_has_weights_of_finite_variance(line):
    q, p = line.approximation().distribution, line.posterior
    assert isinstance(p, MultivariateNormal)
    assert 2 * q.variance > p.variance
