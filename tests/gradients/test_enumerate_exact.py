import math

import pytest
import torch
from torch.distributions import Bernoulli, Categorical, Independent, Normal, OneHotCategorical
from torch.testing import assert_close

from jensen.distributions import IndependentBernoulli
from jensen.gradients._parts import UnsupportedError
from jensen.gradients.enumerate_exact import enumerate_exact, kernel

DOUBLE = torch.float64


def test_the_sum_over_all_values_by_hand(case):
    """Against a loop over the values and the derivative of a product of probabilities."""
    logits = case.logits.clone().requires_grad_()
    value = enumerate_exact(case.f, case.q(logits), samples=3)
    (gradient,) = torch.autograd.grad(value, logits)
    assert_close(value.item(), case.value, atol=6e-6, rtol=0)
    assert_close(gradient, case.gradient, atol=6e-6, rtol=0)
    step = 1e-5
    for i in range(len(logits)):
        ends = []
        for sign in (1, -1):
            moved = case.logits.clone()
            moved[i] += sign * step
            q = case.q(moved)
            ends.append(sum(q.log_prob(z).exp() * case.f(z.unsqueeze(0))[0] for z in case.states))
        assert_close(gradient[i], (ends[0] - ends[1]) / (2 * step), atol=1e-8, rtol=0)


def test_derivatives_of_both_orders(case):
    def value(logits):
        return enumerate_exact(case.f, case.q(logits))

    logits = case.logits.clone().requires_grad_()
    assert torch.autograd.gradcheck(value, logits)
    assert torch.autograd.gradgradcheck(value, logits)


@pytest.mark.parametrize("batch", [(), (1,), (5,), (2, 5), (2, 1, 3)])
def test_any_batch_shape(batch, case, exact):
    logits = case.logits.expand(*batch, -1).clone().requires_grad_()
    shapes = []

    def f(z):
        shapes.append(tuple(z.shape))
        return case.f(z)

    value = enumerate_exact(f, case.q(logits))
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    assert shapes == [(len(case.states), *batch, *case.states.shape[1:])]
    assert_close(value, exact(case)[0].expand(batch))
    assert_close(gradient, exact(case)[1].expand_as(logits))


def test_indices_one_hot_rows_and_bits_of_ours_give_the_same(four, three_bits, exact):
    table = four.f(four.states)
    logits = four.logits.clone().requires_grad_()
    value = enumerate_exact(lambda z: table[z], Categorical(logits=logits))
    assert_close(torch.autograd.grad(value, logits)[0], exact(four)[1])
    logits = three_bits.logits.clone().requires_grad_()
    value = enumerate_exact(three_bits.f, IndependentBernoulli(logits))
    assert_close(torch.autograd.grad(value, logits)[0], exact(three_bits)[1])


def test_probabilities_as_parameters(four):
    """The derivative along the simplex: f minus its mean."""
    probs = four.logits.softmax(-1).requires_grad_()
    value = enumerate_exact(four.f, OneHotCategorical(probs=probs))
    f = four.f(four.states)
    assert_close(torch.autograd.grad(value, probs)[0], f - value.detach(), atol=1e-12, rtol=0)


def test_parameters_inside_the_cost():
    weight = torch.tensor([1.0, 2.0, 3.0], dtype=DOUBLE, requires_grad=True)
    p = torch.tensor([0.2, 0.3, 0.5], dtype=DOUBLE)
    enumerate_exact(lambda z: weight[z], Categorical(probs=p)).backward()
    assert_close(weight.grad, p)


@pytest.mark.parametrize("wild", [math.inf, -math.inf, math.nan])
def test_an_impossible_value_may_cost_anything(wild):
    table = torch.tensor([1.0, wild, 3.0], dtype=DOUBLE)
    logits = torch.tensor([0.0, -math.inf, 0.0], dtype=DOUBLE, requires_grad=True)
    log_q = Categorical(logits=logits).log_prob(torch.arange(3))
    for value in (kernel(table, log_q), enumerate_exact(lambda z: table[z], Categorical(logits=logits))):
        (gradient,) = torch.autograd.grad(value, logits)
        assert_close(value.item(), 2.0)
        assert_close(gradient, torch.tensor([-0.5, 0.0, 0.5], dtype=DOUBLE))


def test_a_sum_that_forgets_it_is_caught():
    logits = torch.tensor([0.0, -math.inf, 0.0], dtype=DOUBLE)
    assert (logits.softmax(-1) * torch.tensor([1.0, math.inf, 3.0])).sum().isnan()


def test_the_cost_never_sees_an_impossible_value():
    """Whose logarithm would send a NaN to the parameters inside."""
    logits = torch.tensor([[0.0, -math.inf, 1.0], [-math.inf, 0.0, 1.0]], dtype=DOUBLE)
    weight = torch.tensor([1.0, 0.0, 3.0], dtype=DOUBLE, requires_grad=True)
    seen = []

    def f(z):
        seen.append(z)
        return weight[z].log()

    value = enumerate_exact(f, Categorical(logits=logits[:1]))
    value.sum().backward()
    assert weight.grad.isfinite().all()
    enumerate_exact(lambda z: seen.append(z) or z.double(), Categorical(logits=logits))
    assert 1 not in seen[1][:, 0]
    assert 0 not in seen[1][:, 1]
    one_hot = OneHotCategorical(logits=logits)
    enumerate_exact(lambda z: seen.append(z) or z[..., 0], one_hot)
    assert torch.equal(seen[2].argmax(-1), seen[1])
    assert (seen[2].sum(-1) == 1).all()


def test_extreme_logits_in_single_precision():
    logits = torch.tensor([1e4, -1e4, 0.0], requires_grad=True)
    value = enumerate_exact(lambda z: z + 5.0, Categorical(logits=logits))
    value.backward()
    assert value == 5
    assert torch.equal(logits.grad, torch.zeros(3))
    bits = torch.tensor([1e4, -1e4], requires_grad=True)
    enumerate_exact(lambda z: z.sum(-1), Independent(Bernoulli(logits=bits), 1)).backward()
    assert torch.equal(bits.grad, torch.zeros(2))


def test_a_cost_may_enumerate_itself():
    logits = torch.tensor([0.4, -0.3], dtype=DOUBLE, requires_grad=True)

    def inner(x):
        return enumerate_exact(lambda y: (x + 2 * y) ** 2, Bernoulli(logits=logits[1].expand(x.shape)))

    found = torch.autograd.grad(enumerate_exact(inner, Bernoulli(logits=logits[0])), logits)[0]
    p, r = torch.sigmoid(logits)
    assert_close(found, torch.autograd.grad(p + 4 * p * r + 4 * r, logits)[0], atol=1e-13, rtol=0)


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_by_chunks_it_is_the_same(chunk, case, exact):
    logits = case.logits.expand(2, -1).clone().requires_grad_()
    sizes = []

    def f(z):
        sizes.append(len(z))
        return case.f(z)

    value = enumerate_exact(f, case.q(logits), chunk=chunk)
    S = len(case.states)
    assert (sum(sizes), max(sizes)) == (S, min(chunk, S))
    assert_close(torch.autograd.grad(value.sum(), logits)[0], exact(case)[1].expand(2, -1), atol=1e-12, rtol=0)


def test_an_empty_chunk_is_refused():
    with pytest.raises(ValueError, match="chunk must be at least 1, got 0"):
        enumerate_exact(lambda z: z.float(), Categorical(logits=torch.zeros(3)), chunk=0)


@pytest.mark.parametrize("checked", [True, False])
def test_with_and_without_validation(checked, four, exact):
    logits = four.logits.clone().requires_grad_()
    value = enumerate_exact(four.f, OneHotCategorical(logits=logits, validate_args=checked))
    assert_close(torch.autograd.grad(value, logits)[0], exact(four)[1])


def test_what_cannot_be_listed_is_refused():
    with pytest.raises(UnsupportedError, match="Normal cannot be listed"):
        enumerate_exact(lambda z: z, Normal(0.0, 1.0))
    with pytest.raises(UnsupportedError, match="more than limit=4"):
        enumerate_exact(lambda z: z.sum(-1), IndependentBernoulli(torch.zeros(3)), limit=4)


def test_costs_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"expected \(3, 5\)"):
        enumerate_exact(lambda z: z.sum(0).float(), Categorical(logits=torch.zeros(5, 3)))
