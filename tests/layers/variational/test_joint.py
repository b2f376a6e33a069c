"""A layer's output and divergence in one pass over the weights, against both formulas one after the other."""

import pytest
import torch
from torch.testing import assert_close

from jensen.layers.variational import closed_forms, joint
from jensen.layers.variational.parameterizations import PARAMETERIZATIONS

DOUBLE = torch.float64
KINDS = list(PARAMETERIZATIONS.values())
by_kind = pytest.mark.parametrize("kind", KINDS, ids=list(PARAMETERIZATIONS))
by_bias = pytest.mark.parametrize("biased", [True, False])
by_scale = pytest.mark.parametrize("scale", [0.3, 1.0, 3.0])
LOG = PARAMETERIZATIONS["log"]


def double(*shape, seed=0, shift=0.0):
    noise = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)
    return (noise + shift).requires_grad_()


def inputs(*, biased):
    """Inputs, then means and free scales of the weight and of the bias."""
    bias = [double(2, seed=4), double(2, seed=5, shift=-1.0)] if biased else []
    return [double(5, 3), double(2, 3, seed=2), double(2, 3, seed=3, shift=-1.0), *bias]


NOISE = double(5, 2, seed=1).detach()


def both(x, w, v, *b, kind=LOG, scale=1.0, noise=NOISE):
    return joint.local_linear_and_kl(x, (w, v), b or (None, None), noise=noise, kind=kind, prior_scale=scale)


def one_after_the_other(x, w, v, *b, kind=LOG, scale=1.0):
    kl = closed_forms._plain_normal_kl(kind, scale, w, *b[:1], v, *b[1:])
    return closed_forms._plain_local_linear(kind, x, NOISE, w, v, *(b or (None, None))), kl


def gradients(outputs, tensors, weights):
    return torch.autograd.grad(sum((w * each).sum() for w, each in zip(weights, outputs, strict=True)), tensors)


@by_kind
@by_bias
@by_scale
@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.0, 1.0), (1.0, 0.01), (-0.7, 2.0)])
def test_values_and_gradients_are_those_of_the_formulas(kind, biased, scale, weights):
    tensors = inputs(biased=biased)
    found = both(*tensors, kind=kind, scale=scale)
    plain = one_after_the_other(*tensors, kind=kind, scale=scale)
    assert_close(found, plain)
    assert_close(gradients(found, tensors, weights), gradients(plain, tensors, weights))


def test_the_two_are_one_node_where_the_scales_are_kept_by_their_logarithm():
    y, kl = both(*inputs(biased=True))
    assert y.grad_fn is kl.grad_fn
    y, kl = both(*inputs(biased=True), kind=PARAMETERIZATIONS["softplus"])
    assert y.grad_fn is not kl.grad_fn


@by_bias
@by_scale
def test_gradients_are_finite_differences_and_differentiable_again(biased, scale):
    tensors = inputs(biased=biased)

    def function(*tensors):
        return both(*tensors, scale=scale)

    assert torch.autograd.gradcheck(function, tensors)
    assert torch.autograd.gradgradcheck(function, tensors)


@pytest.mark.parametrize("scale", [0.3, 3.0])
def test_the_gradient_of_a_standard_normal_prior_is_not_that_of_another(scale):
    tensors = inputs(biased=False)
    exact = gradients(one_after_the_other(*tensors, scale=scale), tensors, (0.0, 1.0))
    standard = gradients(both(*tensors), tensors, (0.0, 1.0))
    for found, expected in zip(standard[1:], exact[1:], strict=True):
        assert (found - expected).abs().max() > 0.1


def test_one_of_the_two_alone_takes_a_gradient():
    tensors = inputs(biased=True)
    for place in (0, 1):
        alone = torch.autograd.grad(both(*tensors)[place].sum(), tensors, allow_unused=True)
        plain = torch.autograd.grad(
            one_after_the_other(*tensors)[place].sum(), tensors, allow_unused=True, materialize_grads=True
        )
        assert_close(alone, plain)


@pytest.mark.parametrize("constant", range(5))
def test_a_constant_takes_no_gradient(constant):
    tensors = inputs(biased=True)
    tensors[constant] = tensors[constant].detach()
    free = [each.detach().requires_grad_() for each in tensors]
    sum(each.sum() for each in both(*tensors)).backward()
    sum(each.sum() for each in one_after_the_other(*free)).backward()
    for place, (found, plain) in enumerate(zip(tensors, free, strict=True)):
        if place == constant:
            assert found.grad is None
        else:
            assert_close(found.grad, plain.grad)


def test_transforms_of_functions_take_the_same_values():
    tensors = [each.detach() for each in inputs(biased=True)]

    def total(*tensors):
        return sum(each.sum() for each in both(*tensors))

    found = torch.func.grad(total, tuple(range(5)))(*tensors)
    leaves = inputs(biased=True)
    assert_close(found, torch.autograd.grad(total(*leaves), leaves))
    stacked = [torch.stack([each, 2 * each]) for each in tensors]
    each = [both(*(s[k] for s in stacked)) for k in range(2)]
    assert_close(torch.func.vmap(both)(*stacked), tuple(torch.stack(pair) for pair in zip(*each, strict=True)))


@pytest.mark.parametrize("log_scale", [-60.0, 4.0])
def test_scales_far_apart_stay_finite_in_single_precision(log_scale):
    tensors = [torch.ones(4, 3), torch.ones(2, 3), torch.full((2, 3), log_scale)]
    tensors = [each.requires_grad_() for each in tensors]
    exact = [each.detach().double().requires_grad_() for each in tensors]
    noise = torch.tensor([[1.0, -1.0]]).expand(4, 2)
    found, plain = both(*tensors, noise=noise), both(*exact, noise=noise.double())
    for single, reference in zip(found, plain, strict=True):
        assert_close(single.double(), reference, rtol=1e-5, atol=1e-6)
    for single, reference in zip(
        gradients(found, tensors, (1.0, 0.1)), gradients(plain, exact, (1.0, 0.1)), strict=True
    ):
        assert_close(single.double(), reference, rtol=1e-4, atol=1e-5)


def test_a_narrow_prior_costs_no_digits():
    tensors = [torch.randn(4, 3), 0.001 * torch.randn(2, 3), torch.full((2, 3), 0.0025).log()]
    tensors = [each.requires_grad_() for each in tensors]
    exact = [each.detach().double().requires_grad_() for each in tensors]
    found = gradients(both(*tensors, noise=NOISE[:4].float(), scale=0.0024), tensors, (0.0, 1.0))
    expected = gradients(both(*exact, noise=NOISE[:4], scale=0.0024), exact, (0.0, 1.0))
    assert_close([each.double() for each in found], list(expected), rtol=1e-4, atol=0)


def test_where_nothing_varies_the_gradient_is_finite():
    tensors = [torch.zeros(4, 3), torch.ones(2, 3), torch.full((2, 3), -3.0)]
    tensors = [each.requires_grad_() for each in tensors]
    y, kl = both(*tensors, noise=torch.ones(4, 2))
    in_x, _, in_log_scale = torch.autograd.grad(y.sum() + 0 * kl, tensors)
    assert_close(in_x, torch.full((4, 3), 2.0), atol=1e-4, rtol=0)
    assert_close(in_log_scale, torch.zeros(2, 3))
