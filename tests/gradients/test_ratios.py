import itertools
import math

import pytest
import torch
from torch.testing import assert_close

from jensen.gradients.leave_one_out_ratios import (
    integrated_log_ratios,
    log_hazard,
    log_ratios,
    subset_log_ratios,
)

DOUBLE = torch.float64
P = torch.tensor([0.455054, 0.167405, 0.276004, 0.0607, 0.040837], dtype=DOUBLE)


def probability_of_a_set(p, total):
    """The sum over all orders in which it may be drawn, from values of mass `total` in all."""
    if len(p) == 0:
        return 1.0
    orders = torch.tensor(list(itertools.permutations(range(len(p)))))
    drawn = p[orders]
    return float((drawn / (total - drawn.cumsum(-1) + drawn)).prod(-1).sum())


def by_permutations(p, complement):
    total = float(p.sum() + complement)
    k = len(p)

    def without(*some):
        return probability_of_a_set(p[[i for i in range(k) if i not in some]], total - sum(float(p[i]) for i in some))

    first = torch.tensor([without(s) / without() for s in range(k)], dtype=DOUBLE)
    second = [[without(s, t) / without(s) if s != t else 1.0 for t in range(k)] for s in range(k)]
    return first, torch.tensor(second, dtype=DOUBLE), without()


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_recursion_is_the_sum_over_orders(k):
    p, complement = P[:k], 1 - P[:k].sum() + 0.05
    p, complement = p / (p.sum() + complement), complement / (p.sum() + complement)
    ratios = log_ratios(p.log(), complement.log())
    first, second, probability = by_permutations(p, complement)
    assert_close(ratios.first.exp(), first, rtol=1e-12, atol=0)
    assert_close(ratios.second.exp(), second, rtol=1e-12, atol=0)
    assert_close(ratios.log_prob.exp(), torch.tensor(probability, dtype=DOUBLE), rtol=1e-12, atol=0)


@pytest.mark.parametrize("k", [1, 2, 3, 7, 12])
@pytest.mark.parametrize("spread", [0.1, 3.0, 30.0])
def test_integral_agrees_with_the_recursion(k, spread):
    table = (spread * torch.randn(k + 3, 6, dtype=DOUBLE, generator=torch.Generator().manual_seed(k))).log_softmax(0)
    log_p, log_complement = table[:k], table[k:].logsumexp(0)
    for one, other in zip(
        integrated_log_ratios(log_p, log_complement), subset_log_ratios(log_p, log_complement), strict=True
    ):
        assert_close(one, other, rtol=0, atol=1e-11)


@pytest.mark.parametrize(("k", "n"), [(13, 20), (40, 41), (100, 1000)])
def test_large_sets_of_equal_values(k, n):
    log_p = torch.full((k,), -math.log(n), dtype=DOUBLE)
    ratios = log_ratios(log_p, torch.tensor((n - k) / n, dtype=DOUBLE).log())
    assert_close(ratios.log_prob.item(), -math.log(math.comb(n, k)), rtol=1e-12, atol=1e-11)
    assert_close(ratios.first, torch.full_like(log_p, math.log(n / k)), rtol=0, atol=1e-11)
    off_diagonal = ratios.second[0, 1:]
    assert_close(off_diagonal, torch.full_like(off_diagonal, math.log((n - 1) / (k - 1))), rtol=0, atol=1e-11)


def test_a_complement_by_subtraction_is_caught():
    """In single precision one minus the mass of a peaked set is 0, and the ratio of its second element 1, not 2."""
    log_p = torch.tensor([0.0, math.log(1e-9)])
    twin = torch.log1p(-log_p.exp().sum().clamp_max(1))
    assert_close(log_ratios(log_p, torch.tensor(math.log(1e-9))).first.exp(), torch.tensor([1.0, 2.0]))
    assert_close(log_ratios(log_p, twin).first.exp(), torch.tensor([1.0, 1.0]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("k", [3, 14])
def test_a_set_that_holds_almost_everything(dtype, k):
    log_p = torch.full((k,), -1e4, dtype=dtype)
    log_p[0] = 0.0
    ratios = log_ratios(log_p, torch.tensor(-2e4, dtype=dtype))
    assert_close(ratios.first, torch.zeros_like(log_p), rtol=0, atol=1e-5)
    assert_close(ratios.second, torch.zeros_like(ratios.second), rtol=0, atol=1e-5)


@pytest.mark.parametrize("k", [1, 3, 14])
def test_a_set_of_all_values_has_ratios_one(k):
    log_p = torch.linspace(-3, 0, k).log_softmax(0)
    log_p = torch.cat((log_p, torch.tensor([-math.inf, -math.inf])))
    ratios = log_ratios(log_p, torch.tensor(-math.inf))
    assert ratios.first.tolist() == [0.0] * (k + 2)
    assert (ratios.second == 0).all()


def test_the_batch_may_have_any_rank():
    table = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(0), dtype=DOUBLE).log_softmax(0)
    all_ = log_ratios(table[:3], table[3:].logsumexp(0))
    one = log_ratios(table[:3, 1, 2], table[3:, 1, 2].logsumexp(0))
    assert_close(all_.first[:, 1, 2], one.first)
    assert_close(all_.second[..., 1, 2], one.second)
    assert all_.log_prob.shape == (2, 3)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"log_p \(3, 2\) and log_complement \(3,\) do not fit"):
        log_ratios(torch.zeros(3, 2), torch.zeros(3))


def test_log_hazard_does_not_underflow():
    x = torch.tensor([-1e4, -40.0, -29.0, 0.0, 3.0, 1e4], dtype=DOUBLE)
    expected = [
        -1e4,
        -40.0,
        -29.0 + math.log1p(-math.exp(-29) / 2),
        math.log1p(-math.exp(-1)),
        -math.exp(-(math.e**3)),
        0.0,
    ]
    assert_close(log_hazard(x), torch.tensor(expected, dtype=DOUBLE), rtol=1e-8, atol=1e-15)
