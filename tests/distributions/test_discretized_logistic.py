import math

import pytest
import torch
from torch.testing import assert_close

from jensen.distributions import DiscretizedLogistic
from jensen.distributions.discretized_logistic import log_prob_of_bin


def reference(k, mean, log_scale, levels):
    """Differences of the distribution function in double precision, in the tail where they are smaller."""
    k, mean, log_scale = k.double(), mean.double(), log_scale.double()
    low = torch.where(k == 0, -math.inf, (k - 0.5) / (levels - 1) - mean) * torch.exp(-log_scale)
    high = torch.where(k == levels - 1, math.inf, (k + 0.5) / (levels - 1) - mean) * torch.exp(-log_scale)
    flip = low > 0
    low, high = torch.where(flip, -high, low), torch.where(flip, -low, high)
    return torch.log(torch.sigmoid(high) - torch.sigmoid(low))


@pytest.fixture
def cases():
    torch.manual_seed(0)
    k = torch.randint(0, 256, (4000,)).float()
    k[:500], k[500:1000] = 0, 255
    log_scale = torch.empty(4000).uniform_(-7, 3)
    return k, torch.empty(4000).uniform_(-0.5, 1.5), log_scale


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 1e-4)])
@pytest.mark.parametrize("levels", [2, 17, 256])
def test_the_levels_have_all_of_the_mass(levels, dtype, tolerance):
    mean = torch.tensor([-3.0, 0.0, 0.3, 0.5, 1.0, 9.0], dtype=dtype)  # 0.3 is the edge of two bins of 256
    for log_scale in (-40.0, -20.0, -8.0, -5.0, -2.0, 0.0, 3.0):
        pixels = DiscretizedLogistic(mean, torch.tensor(log_scale, dtype=dtype), levels=levels)
        total = pixels.log_prob_of_levels().double().exp().sum(-1)
        assert_close(total, torch.ones(6).double(), atol=tolerance, rtol=0)


def test_it_equals_differences_in_double_precision(cases):
    k, mean, log_scale = cases
    exact = reference(k, mean, log_scale, 256)
    sure = exact > -25
    assert sure.sum() > 2000
    single = log_prob_of_bin(k, mean, log_scale, levels=256).double()
    assert_close(single[sure], exact[sure], atol=2e-3, rtol=1e-4)
    double = log_prob_of_bin(k.double(), mean.double(), log_scale.double(), levels=256)
    assert_close(double[sure], exact[sure], atol=1e-5, rtol=1e-6)


def slipped(k, mean, log_scale, levels):
    """A twin whose bins are centred on their lower edges, as a pixel scaled by L instead of L - 1 has them."""
    return log_prob_of_bin(k + 0.5, mean, log_scale, levels=levels)


def without_open_edges(k, mean, log_scale, levels):
    """A twin that gives the first and the last level their own bin only."""
    return log_prob_of_bin(k + 1, mean + 1 / (levels + 1), log_scale, levels=levels + 2)


@pytest.mark.parametrize("twin", [slipped, without_open_edges])
def test_a_slip_of_the_bins_is_caught(cases, twin):
    k, mean, log_scale = cases
    exact = reference(k, mean, log_scale, 256)
    sure = exact > -25
    off = (twin(k, mean, log_scale, 256).double() - exact)[sure].abs()
    assert off.max() > 0.1


@pytest.mark.parametrize("distance", [1.0, 30.0, 100.0, 1000.0])
@pytest.mark.parametrize("sign", [-1, 1])
def test_the_gradient_is_finite_and_points_to_the_data_however_far_in_the_tail(distance, sign):
    log_scale = torch.tensor([-7.0], requires_grad=True)
    mean = (0.5 - sign * distance * log_scale.detach().exp()).requires_grad_()
    log_prob = DiscretizedLogistic(mean, log_scale, levels=257).log_prob(torch.tensor([0.5]))
    to_mean, to_scale = torch.autograd.grad(log_prob, (mean, log_scale))
    assert log_prob.isfinite()
    assert to_mean.isfinite()
    assert to_scale.isfinite()
    if distance > 10:
        assert_close(to_mean * log_scale.exp(), torch.tensor([float(sign)]), atol=1e-3, rtol=0)
        assert_close(to_scale, torch.tensor([distance]), rtol=1e-2, atol=2)


@pytest.mark.parametrize("log_scale", [60.0, 90.0, 120.0, 1e4])
def test_a_scale_without_bounds_has_a_finite_probability_and_a_gradient_back(log_scale):
    """As one unused component of a mixture may have: $e^{-s}$ underflows, and the bin has the mass of $1 / 4 s$."""
    log_scale = torch.full((3,), log_scale, requires_grad=True)
    log_prob = log_prob_of_bin(torch.tensor([0.0, 8.0, 16.0]), torch.full((3,), 0.3), log_scale, levels=17)
    assert_close(log_prob[1], -log_scale[1] - math.log(16 * 4))
    assert_close(log_prob[[0, 2]], torch.full((2,), 0.5).log())
    (gradient,) = torch.autograd.grad(log_prob.sum(), log_scale)
    assert_close(gradient, torch.tensor([0.0, -1.0, 0.0]), atol=1e-6, rtol=0)
    naive = torch.log(-torch.expm1(-torch.exp(-log_scale[1]) / 16))  # the control
    assert naive.isfinite() == (log_scale[1] < 100)


def test_gradients_equal_finite_differences():
    k = torch.arange(17.0).double()
    mean, log_scale = (torch.full((17,), v, dtype=torch.float64, requires_grad=True) for v in (0.3, -2.5))
    assert torch.autograd.gradcheck(lambda m, s: log_prob_of_bin(k, m, s, levels=17), (mean, log_scale))


def test_mean_and_draws_are_those_of_the_probabilities():
    torch.manual_seed(3)
    mean, log_scale = torch.tensor([-0.2, 0.1, 0.5, 0.97]), torch.tensor([-2.0, -4.0, -1.0, -2.0])
    pixels = DiscretizedLogistic(mean, log_scale, levels=17)
    levels, p = torch.arange(17.0) / 16, pixels.log_prob_of_levels().exp()
    assert_close(pixels.mean, p @ levels, atol=1e-5, rtol=0)
    n = 40_000
    draws = pixels.sample((n,))
    frequency = torch.stack([(draws * 16).round().eq(k).float().mean(0) for k in range(17)], -1)
    z = (frequency - p) / (p * (1 - p) / n).sqrt().clamp_min(1e-4)
    assert z.abs().max() < 4.56
    assert_close(pixels.log_prob(draws[:5]), pixels.expand((5,)).log_prob(draws[:5]))


def test_bad_parameters_and_values_are_refused():
    with pytest.raises(ValueError, match="levels is 1"):
        DiscretizedLogistic(torch.zeros(2), torch.zeros(2), levels=1)
    with pytest.raises(ValueError, match="do not broadcast"):
        DiscretizedLogistic(torch.zeros(2), torch.zeros(3))
    with pytest.raises(ValueError, match="scalars"):
        DiscretizedLogistic(torch.zeros(()), torch.zeros(()))
    with pytest.raises(ValueError, match="finite"):
        DiscretizedLogistic(torch.tensor([math.nan]), torch.zeros(1), validate_args=True)
    pixels = DiscretizedLogistic(torch.zeros(1), torch.zeros(1), levels=17, validate_args=True)
    for value in (0.51, -0.0625, 17 / 16):
        with pytest.raises(ValueError, match="levels k / 16"):
            pixels.log_prob(torch.tensor([value]))
    with pytest.raises(ValueError, match="levels k / 16"):
        pixels.log_prob(torch.tensor([math.nan]))
    with pytest.raises(ValueError, match="event_shape"):
        DiscretizedLogistic(torch.zeros(3), torch.zeros(3), validate_args=True).log_prob(torch.zeros(2, 1))
