import importlib
import itertools
import math
from functools import partial

import pytest
import torch
from torch.testing import assert_close

from jensen.bounds import iwae, jackknife

module = importlib.import_module("jensen.bounds.jackknife")
DOUBLE = torch.float64


def over_all_subsets(log_w, order):
    """The definition: a mean of iwae over every subset of each size, in no clever order."""
    K = len(log_w)
    estimate = 0
    for j in range(order + 1):
        subsets = list(itertools.combinations(range(K), K - j))
        mean = sum(iwae(log_w[list(subset)]) for subset in subsets) / len(subsets)
        estimate += (-1) ** j * (K - j) ** order / (math.factorial(order - j) * math.factorial(j)) * mean
    return estimate


def leave_one_out_oracle(log_w):
    """Order 1, each sum taken anew over the samples that stay."""
    log_w = log_w.double()
    K = len(log_w)
    stays = ~torch.eye(K, dtype=torch.bool)
    left = torch.stack([log_w[row].logsumexp(0) for row in stays])
    return K * iwae(log_w) - (K - 1) * (left.mean() - math.log(K - 1))


@pytest.mark.parametrize(("K", "order"), [(K, order) for K in range(1, 8) for order in range(min(K, 5))])
def test_equal_to_the_sum_over_all_subsets(K, order):
    log_w = 2 * torch.randn(K, 3, dtype=DOUBLE, generator=torch.Generator().manual_seed(K))
    scale = K**order
    assert_close(jackknife(log_w, order=order), over_all_subsets(log_w, order), rtol=0, atol=1e-15 * scale + 1e-12)


@pytest.mark.parametrize("chunk", [1, 7, 40])
def test_subsets_in_chunks_are_the_same_subsets(monkeypatch, chunk):
    log_w = torch.randn(7, 1, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(module, "_CHUNK_ELEMENTS", chunk)
    assert_close(jackknife(log_w, order=3), over_all_subsets(log_w, 3), rtol=0, atol=1e-11)


@pytest.mark.parametrize("order", range(5))
def test_the_coefficients_sum_to_one_and_annihilate_the_powers_of_one_over_K(order):
    K = 9
    coefficients = [module._sharot(K, order, j) for j in range(order + 1)]
    for power in range(order + 1):
        total = math.fsum(c / (K - j) ** power for j, c in enumerate(coefficients))
        assert_close(total, float(power == 0), rtol=0, atol=1e-12)
    assert abs(math.fsum(c / (K - j) ** (order + 1) for j, c in enumerate(coefficients))) > 1e-8


@pytest.mark.parametrize("position", [0, 2500, 4999])
def test_one_dominating_weight_among_5000_in_float32(position):
    K, low = 5000, -40.0
    log_w = torch.full((K,), low)
    log_w[position] = 0.0
    whole = math.log(1 + (K - 1) * math.exp(low)) - math.log(K)
    without_it = low
    without_another = math.log(1 + (K - 2) * math.exp(low)) - math.log(K - 1)
    exact = K * whole - (K - 1) * (without_it + (K - 1) * without_another) / K
    assert_close(jackknife(log_w).item(), exact, rtol=1e-6, atol=0)
    assert not math.isclose(by_difference(log_w), exact, rel_tol=1e-3)


def by_difference(log_w):
    """What order 1 must not do: take each weight away from the total."""
    K = len(log_w)
    left = log_w.logsumexp(0) + torch.log1p(-log_w.softmax(0))
    return (K * iwae(log_w) - (K - 1) * (left.mean() - math.log(K - 1))).item()


@pytest.mark.parametrize("level", [0.0, -750.0])
def test_a_spread_of_a_hundred_nats_among_5000_in_float32(level):
    spread = torch.linspace(-50, 50, 5000)[torch.randperm(5000, generator=torch.Generator().manual_seed(0))]
    log_w = spread + level
    assert_close(jackknife(log_w).double(), leave_one_out_oracle(log_w), rtol=1e-6, atol=0)


def test_order_one_makes_one_pass_and_no_subsets(monkeypatch):
    seen = []

    def counted(log_w):
        seen.append(tuple(log_w.shape))
        return passes(log_w)

    passes = module._leave_one_out
    monkeypatch.setattr(module, "_leave_one_out", counted)
    log_w = torch.randn(20_000, 2, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    estimate = jackknife(log_w)
    assert seen == [(1, 20_000, 2)]
    assert (estimate - iwae(log_w)).abs().max() < 1e-3
    jackknife(log_w[:6], order=2)
    assert seen[1:] == [(1, 6, 2), (6, 5, 2)]


@pytest.mark.parametrize("order", [1, 2, 3])
def test_gradient_is_the_derivative_where_one_weight_dominates(order):
    log_w = torch.tensor([[0.0, 1.0, -30.0, 0.3, -1.0], [20.0, -1.0, 0.5, 0.0, -20.0]], dtype=DOUBLE).T.requires_grad_()
    assert torch.autograd.gradcheck(partial(jackknife, order=order), log_w)


def test_no_more_live_weights_than_the_order_leave_no_estimate():
    log_w = torch.tensor([[0.0, 0.0, -math.inf], [-math.inf, 0.0, -math.inf], [-math.inf, -math.inf, -math.inf]])
    assert jackknife(log_w).tolist()[::2] == [math.inf, -math.inf]
    assert math.isfinite(jackknife(log_w)[1])
    assert jackknife(log_w, order=2).tolist() == [math.inf, math.inf, -math.inf]


@pytest.mark.parametrize("K", [2, 3, 5, 16])
def test_few_samples_lie_between_elbo_and_log_evidence(two_valued, K):
    single, fewer, more = (two_valued.bias(iwae, n) for n in (1, K - 1, K))
    assert single <= fewer < more < 0


def test_the_bias_of_iwae_has_the_known_first_two_terms(two_valued):
    relative_variance = two_valued.central_moment(2) / two_valued.mean**2
    relative_skew = two_valued.central_moment(3) / two_valued.mean**3
    first, second = -relative_variance / 2, relative_skew / 3 - 3 * relative_variance**2 / 4
    a, b, c = (K * two_valued.bias(iwae, K) for K in (16, 32, 64))
    assert_close((a - 6 * b + 8 * c) / 3, first, rtol=0, atol=1e-4)
    left = [K * (K * two_valued.bias(iwae, K) - first) for K in (16, 32, 64)]
    assert_close((left[0] - 6 * left[1] + 8 * left[2]) / 3, second, rtol=0.02, atol=0)


def test_order_one_leaves_minus_the_second_term(two_valued):
    variance, skew = (two_valued.central_moment(n) / two_valued.mean**n for n in (2, 3))
    second = skew / 3 - 3 * variance**2 / 4
    a, b, c = (K * (K - 1) * two_valued.bias(jackknife, K) for K in (16, 32, 64))
    assert_close((a - 6 * b + 8 * c) / 3, -second, rtol=0.02, atol=0)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_doubling_the_samples_divides_the_bias_by_two_to_the_order_plus_one(two_valued, order):
    estimate = partial(jackknife, order=order)
    smaller, larger = (two_valued.bias(estimate, K) for K in (30, 60))
    assert_close(smaller / larger, 2.0 ** (order + 1), rtol=0.12, atol=0)


def test_each_order_lessens_the_bias(two_valued):
    biases = [abs(two_valued.bias(partial(jackknife, order=order), 40)) for order in range(4)]
    assert all(later < earlier / 20 for earlier, later in itertools.pairwise(biases))


def test_coefficients_of_the_wrong_order_leave_the_bias(two_valued):
    def twin(log_w):
        K = len(log_w)
        return 2 * iwae(log_w) - module._iwae_without(log_w, 1) if K > 1 else iwae(log_w)

    smaller, larger = (two_valued.bias(twin, K) for K in (30, 60))
    assert_close(smaller / larger, 2.0, rtol=0.1, atol=0)


def test_it_is_an_estimate_and_no_bound():
    log_w = torch.tensor([0.0, -5.0], dtype=DOUBLE)
    assert jackknife(log_w) > log_w.amax()


@pytest.mark.parametrize(("K", "order"), [(1, 1), (3, 3), (3, 7), (3, -1)])
def test_an_order_that_the_samples_do_not_allow_is_refused(K, order):
    with pytest.raises(ValueError, match=rf"order {order}.*got {K}"):
        jackknife(torch.zeros(K, 2), order=order)
