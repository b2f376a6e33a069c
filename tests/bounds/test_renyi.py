import math
from functools import partial

import pytest
import torch
from torch.testing import assert_close

from jensen.bounds import cubo, elbo, iwae, renyi

DOUBLE = torch.float64


@pytest.fixture
def log_w():
    return 3 * torch.randn(6, 4, dtype=DOUBLE, generator=torch.Generator().manual_seed(0)) - 94


@pytest.mark.parametrize("alpha", [-3.0, -0.5, 0.0, 0.5, 0.89, 0.91, 0.99, 1.01, 1.09, 1.11, 2.0, 7.0])
def test_the_power_mean_of_the_definition(log_w, alpha):
    defined = ((1 - alpha) * (log_w + 94)).exp().mean(0).log() / (1 - alpha) - 94
    assert_close(renyi(log_w, alpha=alpha), defined, rtol=0, atol=1e-11)


def test_its_neighbours(log_w):
    assert_close(renyi(log_w, alpha=0.0), iwae(log_w))
    assert_close(renyi(log_w, alpha=1.0), elbo(log_w))
    assert_close(renyi(log_w, alpha=-1.0), cubo(log_w))
    assert_close(renyi(log_w, alpha=-4.0), cubo(log_w, order=5.0))
    assert_close(cubo(log_w, order=1.0), iwae(log_w))


@pytest.mark.parametrize("alpha", [-math.inf, -2000.0])
def test_it_tends_to_the_largest_log_weight(log_w, alpha):
    assert_close(renyi(log_w, alpha=alpha), log_w.amax(0), rtol=0, atol=1e-3)


@pytest.mark.parametrize("alpha", [math.inf, 2000.0])
def test_it_tends_to_the_smallest_log_weight(log_w, alpha):
    assert_close(renyi(log_w, alpha=alpha), log_w.amin(0), rtol=0, atol=1e-3)


@pytest.mark.parametrize("step", [1e-8, -1e-8, 1e-12, -1e-12, 2.0**-52])
def test_it_passes_through_the_elbo_without_a_jump(log_w, step):
    log_w.requires_grad_()
    near, at = renyi(log_w, alpha=1 + step), elbo(log_w)
    assert_close(near, at, rtol=0, atol=1e-6)
    assert_close(*(torch.autograd.grad(value.sum(), log_w)[0] for value in (near, at)), rtol=0, atol=1e-6)


@pytest.mark.parametrize("step", [1e-6, -1e-6])
def test_in_float32_the_plain_form_is_noise_near_the_elbo_and_this_one_is_not(log_w, step):
    narrow = log_w.float()
    plain = torch.logsumexp(-step * narrow, 0).sub(math.log(6)) / -step
    exact = renyi(narrow.double(), alpha=1 + step)
    assert_close(renyi(narrow, alpha=1 + step).double(), exact, rtol=0, atol=1e-4)
    assert (plain.double() - exact).abs().max() > 1e-2


def test_the_slope_at_the_elbo_is_minus_half_the_variance(log_w):
    slope = (renyi(log_w, alpha=1 + 1e-4) - renyi(log_w, alpha=1 - 1e-4)) / 2e-4
    assert_close(slope, -log_w.var(0, correction=0) / 2, rtol=0, atol=1e-6)


@pytest.mark.parametrize("alpha", [0.9, 1.1])
def test_the_two_formulas_meet(log_w, alpha):
    below, above = renyi(log_w, alpha=alpha - 1e-9), renyi(log_w, alpha=alpha + 1e-9)
    assert_close(below, above, rtol=0, atol=1e-7)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("K", [1, 2, 10])
def test_a_lower_bound_in_expectation_for_orders_from_zero_up(two_valued, alpha, K):
    assert two_valued.bias(partial(renyi, alpha=alpha), K) < 0


@pytest.mark.parametrize("order", [2.0, 3.0])
def test_cubo_approaches_an_upper_bound_from_below(two_valued, order):
    moment = two_valued.p * two_valued.high**order + (1 - two_valued.p) * two_valued.low**order
    limit = math.log(moment) / order
    estimates = [two_valued.expectation(partial(cubo, order=order), K) for K in (1, 2, 4, 16, 64, 1000)]
    assert estimates == sorted(estimates)
    assert estimates[0] < math.log(two_valued.mean) < estimates[-1] < limit
    assert_close(estimates[-1], limit, rtol=0, atol=2e-3)


@pytest.mark.parametrize("K", [1, 3, 20])
def test_only_the_exponential_of_cubo_is_unbiased(two_valued, K):
    moment = two_valued.p * two_valued.high**2 + (1 - two_valued.p) * two_valued.low**2
    assert_close(two_valued.expectation(lambda log_w: (2 * cubo(log_w)).exp(), K), moment, rtol=1e-12, atol=0)


def test_an_order_that_is_no_number_is_refused(log_w):
    with pytest.raises(ValueError, match="alpha is NaN"):
        renyi(log_w, alpha=math.nan)


@pytest.mark.parametrize("order", [0.99, 0.0, -2.0, math.nan])
def test_an_order_that_gives_no_upper_bound_is_refused(log_w, order):
    with pytest.raises(ValueError, match=f"order of cubo is {order}"):
        cubo(log_w, order=order)


@pytest.mark.parametrize(("alpha", "extreme"), [(0.95, 1e5), (1.05, -1e5)])
def test_a_spread_beyond_all_exponentials_leaves_the_extreme_weight_alone(alpha, extreme):
    log_w = torch.tensor([0.0, extreme, 0.0, 0.0])
    assert_close(renyi(log_w, alpha=alpha).item(), extreme - math.log(4) / (1 - alpha), rtol=1e-6, atol=0)
