"""Closed-form terms against plain formulas, torch, quadrature and finite differences."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Laplace, Normal, kl_divergence
from torch.testing import assert_close

from jensen.layers.variational import closed_forms
from jensen.layers.variational.parameterizations import PARAMETERIZATIONS
from jensen.layers.variational.priors import LaplacePrior, NormalPrior

DOUBLE = torch.float64
KINDS = list(PARAMETERIZATIONS.values())
by_kind = pytest.mark.parametrize("kind", KINDS, ids=list(PARAMETERIZATIONS))


def double(*shape, seed=0, shift=0.0):
    noise = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)
    return (noise + shift).requires_grad_()


def by_quadrature(mean, scale, log_prior, *, points=200):
    nodes, weights = (torch.from_numpy(each) for each in np.polynomial.hermite_e.hermegauss(points))
    w = mean + scale * nodes.reshape(-1, *[1] * mean.ndim)
    log_ratio = Normal(mean, scale).log_prob(w) - log_prior(w)
    return torch.tensordot(weights / weights.sum(), log_ratio, 1).sum()


def kl_of(kind, means, free, scale):
    return closed_forms.normal_kl(means, free, kind=kind, prior_scale=scale)


@by_kind
@pytest.mark.parametrize("scale", [0.1, 1.0, 3.0])
def test_the_divergence_is_torchs_and_the_integral(kind, scale):
    means, free = [double(3, 2), double(2, seed=1)], [double(3, 2, seed=2, shift=-2.0), double(2, seed=3, shift=-1.0)]
    found = kl_of(kind, means, free, scale)
    prior = Normal(torch.tensor(0.0, dtype=DOUBLE), scale)
    pairs = list(zip(means, free, strict=True))
    assert_close(found, sum(kl_divergence(Normal(m, kind.scale(v)), prior).sum() for m, v in pairs))
    assert_close(found, sum(by_quadrature(m, kind.scale(v), prior.log_prob) for m, v in pairs))
    assert_close(found, closed_forms._plain_normal_kl(kind, scale, *means, *free))


def test_the_laplace_divergence_is_the_integral():
    mean, log_scale = double(3, 2), double(3, 2, seed=1, shift=-1.0)
    w = torch.linspace(-30, 30, 600_001, dtype=DOUBLE)
    for m, s in zip(mean.flatten(), log_scale.exp().flatten(), strict=True):
        q, p = Normal(m, s), Laplace(torch.tensor(0.0, dtype=DOUBLE), 0.7)
        exact = torch.trapezoid(q.log_prob(w).exp() * (q.log_prob(w) - p.log_prob(w)), w)
        assert_close(LaplacePrior(0.7).kl(m, s.log()), exact, atol=1e-8, rtol=0)


def test_an_averaged_divergence_and_one_of_a_variance_taken_for_a_scale_are_caught():
    mean, log_scale = double(3, 2), double(3, 2, seed=1, shift=-1.0)
    exact = by_quadrature(mean, log_scale.exp(), Normal(torch.tensor(0.0, dtype=DOUBLE), 0.5).log_prob)
    entries = NormalPrior(0.5).kl(mean, log_scale)
    assert_close(entries.sum(), exact)
    assert_close(exact / entries.mean(), torch.tensor(6.0, dtype=DOUBLE))
    assert abs(NormalPrior(0.25).kl(mean, log_scale).sum() - exact) > 1
    assert abs(NormalPrior(0.5).kl(mean, 2 * log_scale).sum() - exact) > 1


@by_kind
def test_gradients_are_finite_differences_and_differentiable_again(kind):
    tensors = [double(3, 2), double(2, seed=1), double(3, 2, seed=2, shift=-1.0), double(2, seed=3)]

    def kl(*tensors):
        return kl_of(kind, tensors[:2], tensors[2:], 0.7)

    noise = double(4, 3, 2, seed=4).detach()
    for function, inputs in (
        (kl, tensors),
        (lambda v: closed_forms.variance(v, kind=kind), tensors[2:3]),
        (lambda v: closed_forms.offset(v, noise, kind=kind), tensors[2:3]),
    ):
        assert torch.autograd.gradcheck(function, inputs)
        assert torch.autograd.gradgradcheck(function, inputs)


@by_kind
@pytest.mark.parametrize("biased", [True, False])
def test_the_local_layer_is_its_formula(kind, biased):
    x, noise = double(5, 3), double(5, 2, seed=1).detach()
    weight = double(2, 3, seed=2), double(2, 3, seed=3, shift=-1.0)
    bias = (double(2, seed=4), double(2, seed=5)) if biased else (None, None)
    inputs = [x, *weight, *(each for each in bias if each is not None)]

    def layer(x, w, v, *b):
        return closed_forms.local_linear(x, (w, v), b or (None, None), noise=noise, kind=kind)

    assert_close(layer(*inputs), closed_forms._plain_local_linear(kind, x, noise, *weight, *bias))
    assert torch.autograd.gradcheck(layer, inputs)
    assert torch.autograd.gradgradcheck(layer, inputs)


@by_kind
def test_transforms_of_functions_take_the_same_values(kind):
    mean, free = double(6, 3), double(6, 3, seed=1)

    def kl(mean, free):
        return kl_of(kind, [mean], [free], 1.0)

    each = torch.stack([kl(m, v) for m, v in zip(mean, free, strict=True)])
    assert_close(torch.func.vmap(kl)(mean, free), each)
    gradients = torch.func.grad(kl, (0, 1))(mean.detach(), free.detach())
    assert_close(gradients, torch.autograd.grad(kl(mean, free), (mean, free)))


def test_a_constant_input_takes_no_gradient():
    mean, free = double(3).detach(), double(3, seed=1)
    kl_of(KINDS[0], [mean], [free], 1.0).backward()
    assert mean.grad is None
    assert_close(free.grad, (2 * free).exp().detach() - 1)


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
@pytest.mark.parametrize("rho", [-1000.0, -100.0, -21.0, -19.0, 0.0, 19.0, 21.0, 100.0, 1000.0])
def test_a_softplus_is_safe_at_any_rho(rho, dtype):
    kind = PARAMETERIZATIONS["softplus"]
    mean, free = torch.ones(3, dtype=dtype, requires_grad=True), torch.full((3,), rho, dtype=dtype, requires_grad=True)
    log_scale = rho - math.exp(rho) / 2 if rho < -30 else math.log(rho if rho > 100 else math.log1p(math.exp(rho)))
    slope = 1 / (1 + math.exp(-rho)) if rho > -500 else 0.0
    scale = math.exp(log_scale)
    ratio = slope / scale if rho > -500 else 1.0
    kl = kl_of(kind, [mean], [free], 1.0)
    expected = 3 * ((scale**2 + 1) / 2 - log_scale - 0.5)
    assert kl.item() == pytest.approx(expected, rel=1e-6)
    kl.backward()
    assert free.grad[0].item() == pytest.approx((scale**2 - 1) * ratio, rel=1e-5, abs=1e-6)
    for value, exact in (
        (kind.scale(free), scale),
        (kind.log_scale(free), log_scale),
        (closed_forms.variance(free, kind=kind), scale**2),
        (closed_forms.offset(free, torch.ones(3, dtype=dtype), kind=kind), scale),
    ):
        assert value[0].item() == pytest.approx(exact, rel=1e-5, abs=1e-30)
        (gradient,) = torch.autograd.grad(value.sum(), free)
        assert gradient.isfinite().all()


def test_where_nothing_varies_the_gradient_is_finite():
    free = torch.full((2, 3), -3.0, requires_grad=True)
    x = torch.zeros(4, 3, requires_grad=True)
    y = closed_forms.local_linear(x, (torch.ones(2, 3), free), (None, None), noise=torch.ones(4, 2), kind=KINDS[0])
    y.sum().backward()
    assert_close(x.grad, torch.full((4, 3), 2.0), atol=1e-4, rtol=0)
    assert_close(free.grad, torch.zeros(2, 3))


def test_the_fast_exponential_is_exact_to_single_precision():
    x = torch.linspace(-20, 3, 10_001)
    exact = x.double().exp()
    assert ((KINDS[0].fast_scale(x).double() / exact - 1).abs() < 2e-6).all()
    assert ((KINDS[0].fast_scale(x.double()) / exact - 1).abs() < 1e-14).all()


def test_under_autocast_the_terms_are_those_of_the_plain_formula():
    x, weight, free = torch.randn(4, 3), torch.randn(2, 3), torch.full((2, 3), -3.0, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        y = closed_forms.local_linear(x, (weight, free), (None, None), noise=torch.zeros(4, 2), kind=KINDS[0])
    assert_close(y.float(), x @ weight.T, atol=0.1, rtol=0.05)
    y.float().sum().backward()
    assert free.grad.isfinite().all()
