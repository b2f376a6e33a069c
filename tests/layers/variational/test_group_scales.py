"""Scales of groups: their divergences and moments against quadrature, under both priors."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Gamma, InverseGamma, LogNormal
from torch.testing import assert_close

from jensen.distributions import kl_log_uniform_exact
from jensen.layers.variational import HorseshoeScales, NormalJeffreysScales

DOUBLE = torch.float64


def gauss_hermite(points=60):
    nodes, weights = np.polynomial.hermite_e.hermegauss(points)
    return torch.from_numpy(nodes), torch.from_numpy(weights / weights.sum())


def jeffreys():
    scales = NormalJeffreysScales(3).to(DOUBLE)
    with torch.no_grad():
        scales.mean.copy_(torch.tensor([1.0, -0.3, 0.0]))
        scales.log_variance.copy_(torch.tensor([-4.0, 0.5, -1.0]))
    return scales


def horseshoe(global_scale=0.2):
    torch.manual_seed(0)
    scales = HorseshoeScales(2, global_scale=global_scale).to(DOUBLE)
    with torch.no_grad():
        scales.mean.add_(torch.randn(2, 3, dtype=DOUBLE))
        scales.log_variance.copy_(torch.randn(2, 3, dtype=DOUBLE) - 1)
    return scales


def test_normal_jeffreys_divergence_is_the_log_uniform_one():
    scales = jeffreys()
    log_alpha = torch.tensor([-4.0, 0.5 - 2 * math.log(0.3)], dtype=DOUBLE)
    assert_close(scales.log_alpha()[:2], log_alpha)
    exact = kl_log_uniform_exact(log_alpha).sum()
    assert abs(scales.kl() - exact) < 2 * 0.0095
    assert abs(scales.kl() - 3 * 0.63576 - exact) > 2 * 0.0095


def test_a_normal_jeffreys_scale_of_mean_zero_is_free_with_finite_gradients():
    scales = jeffreys()
    assert scales.log_alpha()[2] > 600
    scales.kl().backward()
    assert scales.mean.grad.isfinite().all()
    assert scales.mean.grad[2] == 0


def kl_by_quadrature(scales, global_scale):
    """E[log q - log p] of each of the four kinds of piece over Gauss-Hermite nodes of its logarithm."""
    nodes, mass = gauss_hermite(150)
    total = 0.0
    half = torch.tensor(0.5, dtype=DOUBLE)
    for piece in range(2):
        for group in range(3):
            mean, deviation = scales.mean[piece, group], (0.5 * scales.log_variance[piece, group]).exp()
            x = (mean + deviation * nodes).exp()
            rate = global_scale**-2 if group == 0 and piece == 0 else 1.0
            prior = Gamma(half, half * 2 * rate) if piece == 0 else InverseGamma(half, half * 2)
            total = total + mass @ (LogNormal(mean, deviation).log_prob(x) - prior.log_prob(x))
    return total


@pytest.mark.parametrize("global_scale", [0.2, 1.0])
def test_horseshoe_divergence_by_quadrature(global_scale):
    scales = horseshoe(global_scale)
    assert_close(scales.kl(), kl_by_quadrature(scales, global_scale), atol=1e-6, rtol=0)


@pytest.mark.parametrize("twin", ["scale not squared", "averaged", "both gamma"])
def test_another_horseshoe_divergence_is_caught(twin):
    scales = horseshoe()
    exact = kl_by_quadrature(scales, 0.2)
    with torch.no_grad():
        if twin == "scale not squared":
            scales.log_prior_scale.mul_(0.5)
        elif twin == "both gamma":
            scales.mean[1].neg_()
    found = scales.kl() / 3 if twin == "averaged" else scales.kl()
    assert abs(found - exact) > 0.1


def test_moments_by_quadrature():
    nodes, mass = gauss_hermite()
    scales = jeffreys()
    z = scales.from_noise(nodes.unsqueeze(-1).expand(-1, 3))  # (points, G)
    mean, variance = scales.moments()
    assert_close(mass @ z, mean)
    assert_close(mass @ z.square() - (mass @ z).square(), variance)

    scales = horseshoe()
    shared, own = (each.flatten() for each in torch.meshgrid(nodes, nodes, indexing="ij"))
    z = scales.from_noise(torch.stack((shared, own, own), -1))
    weight = torch.outer(mass, mass).flatten()
    mean, variance = scales.moments()
    assert_close(weight @ z, mean)
    assert_close(weight @ z.square() - (weight @ z).square(), variance)
    assert_close(scales.log_alpha(), (variance / mean.square()).log())


def test_horseshoe_scales_are_dependent_through_the_global_one():
    """Cov[log z_1, log z_2] = Var[log s] = (v_a + v_b) / 4; independent draws of s would have none."""
    scales = horseshoe()
    torch.manual_seed(1)
    log_z = scales.from_noise(torch.randn(100_000, scales.noise_size, dtype=DOUBLE)).log()
    centred = log_z - log_z.mean(0)
    products = centred[:, 0] * centred[:, 1]
    expected = scales.log_variance[:, 0].exp().sum() / 4
    assert abs(products.mean() - expected) < 4.56 * products.std() / math.sqrt(len(products))
    assert expected > 9 * products.std() / math.sqrt(len(products))


@pytest.mark.parametrize("global_scale", [1e-5, 1.0, 30.0])
def test_horseshoe_scales_begin_at_one_and_at_the_least_divergence(global_scale):
    scales = HorseshoeScales(4, global_scale=global_scale, initial_log_variance=-9).to(DOUBLE)
    assert_close(scales.from_noise(torch.zeros(5, dtype=DOUBLE)), torch.ones(4, dtype=DOUBLE), atol=1e-6, rtol=0)
    (gradient,) = torch.autograd.grad(scales.kl(), scales.mean)
    gradient[1, 0] = 0.0  # s_b makes up for tau_0
    assert gradient.abs().max() < 1e-3


def test_bad_numbers_are_refused():
    for kind in (NormalJeffreysScales, HorseshoeScales):
        with pytest.raises(ValueError, match="0 groups"):
            kind(0)
    for bad in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="global_scale"):
            HorseshoeScales(2, global_scale=bad)
