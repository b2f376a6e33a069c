"""The scale mixture of two Gaussians: quadrature, the equal-scales Gaussian, far tails, draws."""

import math
from itertools import pairwise

import pytest
import torch
from scipy import integrate, stats
from torch.distributions import Categorical, MixtureSameFamily, Normal
from torch.testing import assert_close

from jensen.distributions import ScaleMixtureNormal

DOUBLE = torch.float64
SETTINGS = [(0.25, 1.0, math.exp(-6)), (0.5, math.exp(-1), math.exp(-7)), (0.75, math.exp(-2), math.exp(-8))]


def double(*numbers):
    return torch.tensor(numbers, dtype=DOUBLE)


def mixture(mix, scale1, scale2):
    return ScaleMixtureNormal(*(torch.tensor(each, dtype=DOUBLE) for each in (mix, scale1, scale2)))


def by_torch(mix, scale1, scale2):
    weights, scales = double(mix, 1 - mix), double(scale1, scale2)
    return MixtureSameFamily(Categorical(weights), Normal(torch.zeros_like(scales), scales))


def integral(f, scale1, scale2):
    """Over the real line, in pieces on the scales of both Gaussians."""
    marks = sorted({sign * width * scale for sign in (-1, 1) for width in (0, 1, 5, 40) for scale in (scale1, scale2)})
    pieces = (integrate.quad(f, a, b, epsabs=1e-13)[0] for a, b in pairwise(marks))
    return math.fsum(pieces)


@pytest.mark.parametrize("setting", SETTINGS)
def test_it_is_a_density_with_its_variance(setting):
    prior = mixture(*setting)

    def density(w):
        return prior.log_prob(torch.tensor(w, dtype=DOUBLE)).exp().item()

    assert integral(density, *setting[1:]) == pytest.approx(1, abs=1e-10)
    second = integral(lambda w: w * w * density(w), *setting[1:])
    assert second == pytest.approx(prior.variance.item(), rel=1e-9)
    assert prior.mean == 0
    assert prior.mode == 0
    assert prior.stddev == prior.variance.sqrt()


@pytest.mark.parametrize("setting", SETTINGS)
def test_it_is_torch_s_mixture(setting):
    value = torch.linspace(-3, 3, 41, dtype=DOUBLE)
    prior, other = mixture(*setting), by_torch(*setting)
    assert_close(prior.log_prob(value), other.log_prob(value), atol=1e-12, rtol=1e-13)
    assert_close(prior.cdf(value), other.cdf(value), atol=1e-14, rtol=0)
    mix, scale1, scale2 = setting
    reversed_order = mixture(1 - mix, scale2, scale1)
    assert_close(reversed_order.log_prob(value), other.log_prob(value), atol=1e-12, rtol=1e-13)
    for twin in (mixture(mix, scale1**2, scale2**2), mixture(mix, scale1, scale1), mixture(0.6, scale1, scale2)):
        assert (twin.log_prob(value) - other.log_prob(value)).abs().max() > 0.1


def test_of_equal_scales_or_of_one_alone_it_is_a_gaussian():
    value = torch.linspace(-4, 4, 9, dtype=DOUBLE)
    gaussian = Normal(double(0.0), double(0.7))
    for prior in (mixture(0.3, 0.7, 0.7), mixture(1.0, 0.7, 0.1), mixture(0.0, 0.1, 0.7)):
        assert_close(prior.log_prob(value), gaussian.log_prob(value))
        assert_close(prior.cdf(value), gaussian.cdf(value))


def test_the_tail_where_the_sum_of_densities_underflows():
    """At w = 1.4537 and a wide scale of 0.1 every density is zero in float32, and the logarithm of their sum -inf."""
    w = torch.tensor([1.4537, -1e6], requires_grad=True)
    prior = ScaleMixtureNormal(0.5, 0.1, math.exp(-6))
    found = prior.log_prob(w)
    expected = math.log(0.5) + stats.norm(scale=0.1).logpdf(w.detach().double().numpy())
    assert_close(found.detach().double(), torch.from_numpy(expected), rtol=1e-6, atol=0)
    found.sum().backward()
    assert_close(w.grad, -w.detach() / 0.1**2, rtol=1e-6, atol=0)

    def naive(value):
        return torch.log(
            0.5 * (Normal(0.0, 0.1).log_prob(value).exp() + Normal(0.0, math.exp(-6)).log_prob(value).exp())
        )

    assert naive(w.detach()).isneginf().all()


def test_gradients_agree_with_finite_differences():
    prior = [double(0.3, 0.6), double(0.8, 1.2), double(0.05, 0.2)]
    inputs = [each.requires_grad_() for each in (*prior, double(0.1, -0.7))]
    assert torch.autograd.gradcheck(lambda p, a, b, w: ScaleMixtureNormal(p, a, b).log_prob(w), inputs)


def test_draws_follow_its_distribution_function():
    """Kolmogorov and Smirnov at the level of 1e-5; the same draws under swapped weights must fail."""
    torch.manual_seed(0)
    prior = mixture(0.3, 1.0, 0.05)
    draws = prior.sample((20_000,))
    assert not draws.requires_grad

    def p_value(model):
        return stats.kstest(draws.numpy(), lambda x: model.cdf(torch.from_numpy(x)).numpy()).pvalue

    assert p_value(prior) > 1e-5
    assert p_value(mixture(0.7, 1.0, 0.05)) < 1e-5


def test_shapes_and_expansion():
    prior = ScaleMixtureNormal(0.5, torch.ones(3), torch.full((2, 1), 0.1))
    assert (prior.batch_shape, prior.event_shape) == ((2, 3), ())
    assert prior.sample((4,)).shape == (4, 2, 3)
    assert prior.log_prob(torch.zeros(5, 2, 3)).shape == (5, 2, 3)
    expanded = ScaleMixtureNormal(0.5, 1.0, 0.1).expand((4,))
    assert expanded.log_prob(torch.zeros(4)).shape == (4,)
    assert_close(expanded.variance, torch.full((4,), 0.505))


def test_numbers_as_parameters_take_values_of_any_type_and_device():
    prior = ScaleMixtureNormal(0.5, 1.0, 0.25, validate_args=False)
    assert prior.log_prob(torch.zeros(3, dtype=DOUBLE)).dtype == DOUBLE
    assert prior.log_prob(torch.zeros(3, device="meta")).device.type == "meta"


def test_it_refuses_what_is_no_mixture():
    for arguments in ((0.5, 0.0, 1.0), (0.5, 1.0, -1.0), (1.5, 1.0, 1.0), (0.5, math.nan, 1.0)):
        with pytest.raises(ValueError, match="to satisfy the constraint"):
            ScaleMixtureNormal(*arguments, validate_args=True)
    with pytest.raises(ValueError, match=r"\(2,\), \(3,\)"):
        ScaleMixtureNormal(torch.ones(2), torch.ones(3), 1.0)
    with pytest.raises(ValueError, match="nan"):
        ScaleMixtureNormal(0.5, 1.0, 0.1, validate_args=True).log_prob(torch.tensor(math.nan))
