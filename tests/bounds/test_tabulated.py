"""Biases and signal-to-noise ratios known in closed form or tabulated, for Gamma weights and for a Gaussian."""

import math

import numpy as np
import pytest
import torch
from scipy.special import digamma, polygamma
from torch.testing import assert_close

from jensen.bounds import LogWeights, dreg, iwae
from jensen.bounds.jackknife import _sharot

DOUBLE = torch.float64

GAMMA = [  # shape a, K, bias of the bound, of the first jackknife, of the second
    (1.0, 1, -0.57721566, None, None),
    (1.0, 2, -0.27036285, 3.649e-2, None),
    (1.0, 5, -0.10332024, 4.106e-3, 9.824e-5),
    (1.0, 10, -0.05083250, 9.229e-4, 3.814e-6),
    (1.0, 32, -0.01570637, 8.398e-5, 2.707e-8),
    (1.0, 50, -0.01003333, 3.401e-5, 4.337e-9),
    (0.1, 2, -3.67960198, 0.7620, None),
    (0.1, 5, -1.27036285, 0.2286, 0.09848),
    (0.1, 10, -0.57721566, 0.07394, 0.01442),
    (0.1, 32, -0.16431192, 8.164e-3, 2.342e-4),
    (0.1, 50, -0.10332024, 3.361e-3, 4.076e-5),
]


@pytest.mark.parametrize(("a", "K", "bound", "first", "second"), GAMMA)
def test_gamma_weights(a, K, bound, first, second):
    """The mean of K weights of Gamma(a) is a Gamma(K a), divided by K."""

    def bias(order):
        left = [(K - j) * a for j in range(order + 1)]
        return sum(_sharot(K, order, j) * (digamma(n) - math.log(n)) for j, n in enumerate(left))

    assert bias(0) == pytest.approx(bound, abs=6e-9)
    for order, expected in ((1, first), (2, second)):
        if expected is not None:
            assert bias(order) == pytest.approx(expected, rel=6e-4)


@pytest.mark.parametrize(("K", "variance"), [(1, 1.64493407), (2, 0.64493407), (5, 0.22132296), (50, 0.02020133)])
def test_variance_and_bias_of_gamma_weights_by_draws(K, variance):
    w = torch.distributions.Gamma(torch.tensor(1.0, dtype=DOUBLE), 1.0)
    torch.manual_seed(0)
    found = iwae(w.sample((K, 200_000)).log())
    assert polygamma(1, K) == pytest.approx(variance, abs=6e-9)
    error = math.sqrt(variance / 200_000)
    assert abs(found.mean().item() - (digamma(K) - math.log(K))) < 4.56 * error
    assert found.var().item() == pytest.approx(variance, rel=0.05)


def moments(K, estimator):
    """Mean and standard deviation of the gradient in the posterior's mean: z ~ N(.7, 1), x = 1.3 ~ N(z, 1)."""
    points = {1: 40, 2: 40, 4: 18}[K]
    nodes, weights = (torch.from_numpy(each) for each in np.polynomial.hermite_e.hermegauss(points))
    noise = torch.cartesian_prod(*[nodes] * K).reshape(-1, K).T  # (K, B)
    mass = torch.cartesian_prod(*[weights / weights.sum()] * K).reshape(-1, K).prod(-1)
    scale = math.sqrt(2 / 3)
    mean = torch.full(mass.shape, 1.05, dtype=DOUBLE, requires_grad=True)
    path = (mean + scale * noise).unsqueeze(-1)
    z = path.squeeze(-1)

    def log_normal(x, loc, width):
        return -0.5 * ((x - loc) / width) ** 2 - math.log(width) - 0.5 * math.log(2 * math.pi)

    centre = mean if estimator is ordinary else mean.detach()
    terms = LogWeights(log_normal(1.3, z, 1.0), log_normal(z, 0.7, 1.0), log_normal(z, centre, scale), (path,))
    (gradient,) = torch.autograd.grad(estimator(terms).sum(), mean)
    expected = mass @ gradient
    return expected.item(), (mass @ gradient.square() - expected**2).sqrt().item()


def ordinary(terms):
    return iwae(terms.total)


def sticking(terms):
    """`stl` with more than one sample, which the library refuses."""
    return iwae(terms.total)


@pytest.mark.parametrize(("K", "plain", "doubly"), [(1, 0.061, 0.245), (4, 0.026, 0.434)])
def test_signal_to_noise_of_gradients(K, plain, doubly):
    mean, deviation = moments(K, ordinary)
    assert abs(mean) / deviation == pytest.approx(plain, abs=1.5e-3)
    twice, less = moments(K, dreg)
    assert_close(twice, mean, rtol=0, atol=1e-8)
    assert abs(twice) / less == pytest.approx(doubly, abs=1.5e-3)


def test_sticking_the_landing_is_biased_for_more_than_one_sample():
    assert moments(1, sticking)[0] == pytest.approx(moments(1, ordinary)[0], abs=1e-12)
    assert moments(4, sticking)[0] == pytest.approx(-0.0794, abs=2e-4)
    assert moments(4, ordinary)[0] == pytest.approx(-0.0171, abs=2e-4)
