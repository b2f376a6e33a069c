"""Bias and variance in powers of 1/K, against Gamma weights in closed form and discrete weights by enumeration."""

import math
from decimal import Decimal, localcontext
from functools import partial

import pytest
import torch
from scipy.special import digamma, polygamma
from torch.testing import assert_close

from jensen.bounds import iwae, jackknife
from jensen.bounds.expansions import iwae_bias, iwae_variance, jackknife_bias, relative_moments

DOUBLE = torch.float64


def gamma_moments(shape, highest):
    """Relative central moments of Gamma(a), by integrating its mass exactly: raw moments are rising factorials."""
    raw = [math.prod((shape + i) / shape for i in range(n)) for n in range(highest + 1)]
    central = [sum(math.comb(n, j) * raw[j] * (-1) ** (n - j) for j in range(n + 1)) for n in range(2, highest + 1)]
    return torch.tensor(central, dtype=DOUBLE)


def gamma_bias(shape, K):
    """Exact: the sum of K Gamma(a) weights is a Gamma(K a)."""
    return digamma(K * shape) - math.log(K * shape)


class Skewed:
    """Weights that are 3 with probability 0.3 and 1 otherwise: all K-tuples, K + 1 of them up to order."""

    mean = 1.6
    moments = torch.tensor([(0.3 * 1.4**n + 0.7 * (-0.6) ** n) / 1.6**n for n in range(2, 9)], dtype=DOUBLE)

    def moments_of_iwae(self, K):
        """Exact bias and variance, to fifty digits: a jackknife takes differences of them."""
        first = second = Decimal(0)
        for high in range(K + 1):
            probability = math.comb(K, high) * Decimal("0.3") ** high * Decimal("0.7") ** (K - high)
            error = (Decimal(2 * high + K) / K / Decimal("1.6")).ln()
            first, second = first + probability * error, second + probability * error * error
        return first, second - first * first

    def bias_of_jackknife(self, K, order):
        weights = [
            Decimal((-1) ** j * (K - j) ** order) / (math.factorial(j) * math.factorial(order - j))
            for j in range(order + 1)
        ]
        return sum(c * self.moments_of_iwae(K - j)[0] for j, c in enumerate(weights))


SKEWED = Skewed()


def order_of(error, K=150):
    """The power of 1/K that an error falls with, from K to 2 K."""
    with localcontext() as context:
        context.prec = 50
        return math.log2(abs(error(K) / error(2 * K)))


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_the_error_of_the_bias_is_of_the_next_order(order):
    def error(K):
        return SKEWED.moments_of_iwae(K)[0] - Decimal(iwae_bias(SKEWED.moments, K, order=order).item())

    assert order_of(error) == pytest.approx(order + 1, abs=0.1)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_the_error_of_the_variance_is_of_the_next_order(order):
    def error(K):
        return SKEWED.moments_of_iwae(K)[1] - Decimal(iwae_variance(SKEWED.moments, K, order=order).item())

    assert order_of(error) == pytest.approx(order + 1, abs=0.1)


@pytest.mark.parametrize(("order", "terms"), [(0, 1), (0, 2), (1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (3, 1)])
def test_the_error_of_the_jackknifes_bias_is_of_the_next_order(order, terms):
    def error(K):
        predicted = jackknife_bias(SKEWED.moments, K, order=order, terms=terms).item()
        return SKEWED.bias_of_jackknife(K, order) - Decimal(predicted)

    assert order_of(error) == pytest.approx(order + terms + 1, abs=0.25)


def test_the_predicted_bias_is_that_of_the_library(two_valued):
    moments = [two_valued.central_moment(n) / two_valued.mean**n for n in range(2, 8)]
    for order in range(3):
        predicted = jackknife_bias(torch.tensor(moments, dtype=DOUBLE), 40, order=order, terms=3).item()
        assert two_valued.bias(partial(jackknife, order=order), 40) == pytest.approx(predicted, rel=0.02)


@pytest.mark.parametrize("square", [0.0, -1 / 2])
def test_a_twin_with_another_second_coefficient_is_of_the_second_order(square):
    second, third = SKEWED.moments[:2].tolist()

    def error(K):
        twin = -second / (2 * K) + (third / 3 + square * second**2) / K**2
        return SKEWED.moments_of_iwae(K)[0] - Decimal(twin)

    assert order_of(error) == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("shape", [0.7, 1.0, 5.0])
def test_gamma_weights_have_the_asymptotic_series_of_digamma_and_trigamma(shape):
    K, n = 30, 30 * shape
    moments = gamma_moments(shape, 7)
    assert_close(iwae_bias(moments, K, order=1).item(), -1 / (2 * n), rtol=1e-12, atol=0)
    assert_close(iwae_bias(moments, K, order=3).item(), -1 / (2 * n) - 1 / (12 * n**2), rtol=1e-12, atol=0)
    series = -1 / (2 * n) - 1 / (12 * n**2) + 1 / (120 * n**4) - 1 / (252 * n**6)
    assert_close(iwae_bias(moments, K, order=6).item(), series, rtol=1e-12, atol=0)
    assert_close(iwae_variance(moments, K).item(), 1 / n + 1 / (2 * n**2), rtol=1e-12, atol=0)
    assert_close(iwae_variance(moments, K, order=3).item(), 1 / n + 1 / (2 * n**2) + 1 / (6 * n**3), rtol=1e-12, atol=0)


@pytest.mark.parametrize(("shape", "K"), [(1.0, 20), (5.0, 10)])
def test_gamma_weights_exactly(shape, K):
    moments = gamma_moments(shape, 7)
    assert_close(iwae_bias(moments, K, order=5).item(), float(gamma_bias(shape, K)), rtol=1e-6, atol=0)
    assert_close(iwae_variance(moments, K, order=5).item(), float(polygamma(1, K * shape)), rtol=1e-6, atol=0)


@pytest.mark.parametrize(("order", "K"), [(0, 1), (1, 2), (1, 50), (2, 3), (2, 50), (3, 9), (4, 9)])
def test_the_jackknifes_bias_is_the_divided_difference(order, K):
    """The same series summed with the jackknife's own weights, which cancel where the closed form does not."""
    moments = gamma_moments(1.0, 8)
    signs = [(-1) ** j / (math.factorial(j) * math.factorial(order - j)) for j in range(order + 1)]
    for terms in (1, 2):
        b = [iwae_bias(moments, 1, order=i) - (iwae_bias(moments, 1, order=i - 1) if i > 1 else 0) for i in range(1, 8)]
        series = sum(
            b[i - 1].item() * sum(c * (K - j) ** (order - i) for j, c in enumerate(signs))
            for i in range(order + 1, order + terms + 1)
        )
        assert_close(jackknife_bias(moments, K, order=order, terms=terms).item(), series, rtol=1e-9, atol=1e-18)


def test_order_zero_is_iwae():
    moments = gamma_moments(2.0, 6)
    for terms in (1, 2, 3):
        assert_close(jackknife_bias(moments, 7, order=0, terms=terms), iwae_bias(moments, 7, order=terms))


def test_moments_of_a_sample_whatever_its_level():
    log_w = torch.tensor([[0.0, -900.0], [math.log(3.0), -900.0 + math.log(3.0)]], dtype=DOUBLE)
    assert_close(relative_moments(log_w), torch.tensor([[0.25] * 2, [0.0] * 2, [0.0625] * 2], dtype=DOUBLE))
    assert_close(relative_moments(log_w.T, dim=1), relative_moments(log_w))
    assert_close(relative_moments(log_w, highest=2), relative_moments(log_w)[:1])


def test_a_weight_of_zero_is_a_weight():
    log_w = torch.tensor([-math.inf, math.log(2.0)], dtype=DOUBLE)
    assert_close(relative_moments(log_w), torch.tensor([1.0, 0.0, 1.0], dtype=DOUBLE))


def test_measured_bias_and_variance_of_draws_are_those_predicted_from_other_draws():
    draws = torch.Generator().manual_seed(0)
    log_w = 0.5 * torch.randn(400_000, generator=draws, dtype=DOUBLE)
    K = 20
    found = iwae(log_w.reshape(K, -1))
    moments = relative_moments(0.5 * torch.randn(400_000, generator=draws, dtype=DOUBLE), highest=4)
    error = found.std() / math.sqrt(len(found))
    assert abs(found.mean() - 0.125 - iwae_bias(moments, K, order=3)) < 4.56 * error
    assert abs(found.mean() - 0.125) > 4.56 * error
    assert_close(found.var(), iwae_variance(moments, K, order=3), rtol=0.05, atol=0)


@pytest.mark.parametrize("function", [iwae_bias, iwae_variance])
@pytest.mark.parametrize(
    ("moments", "samples", "order", "message"),
    [
        (torch.ones(2), 5, 3, r"shape \(2,\) are too few: 3 are needed, m_2 to m_4"),
        (torch.ones(2), 0, 1, "samples=0"),
        (torch.ones(2), 5, 0, "0 terms"),
        (torch.ones((), dtype=DOUBLE), 5, 1, "too few"),
        (torch.ones(3, dtype=torch.long), 5, 1, "too few"),
    ],
)
def test_bad_expansions_are_refused(function, moments, samples, order, message):
    with pytest.raises(ValueError, match=message):
        function(moments, samples, order=order)


def test_other_bad_input_is_refused():
    with pytest.raises(ValueError, match="order 3 needs order >= 0 and more than 3 samples, got 3"):
        jackknife_bias(torch.ones(5), 3, order=3)
    with pytest.raises(ValueError, match="3 are needed"):
        jackknife_bias(torch.ones(2), 9, order=2)
    with pytest.raises(ValueError, match="0 terms"):
        jackknife_bias(torch.ones(2), 9, terms=0)
    with pytest.raises(ValueError, match="highest=1"):
        relative_moments(torch.zeros(3), highest=1)
    with pytest.raises(ValueError, match="hold no sample"):
        relative_moments(torch.zeros(0))


@pytest.mark.parametrize("bad", [[0.0, math.nan], [-math.inf, -math.inf], [0.0, math.inf]])
def test_weights_without_moments_are_refused(bad):
    good = torch.tensor([-math.inf, 0.0], dtype=DOUBLE)
    assert relative_moments(good).isfinite().all()
    with pytest.raises(ValueError, match="have no relative moments"):
        relative_moments(torch.stack([good, torch.tensor(bad, dtype=DOUBLE)], 1))
