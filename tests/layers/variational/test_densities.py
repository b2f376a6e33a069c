"""Closed-form log-densities against torch's, finite differences, and far in the tails."""

import math

import pytest
import torch
from torch.distributions import MixtureSameFamily, Normal
from torch.testing import assert_close

from jensen.layers.variational import densities
from jensen.layers.variational.parameterizations import PARAMETERIZATIONS

DOUBLE = torch.float64
by_kind = pytest.mark.parametrize("kind", PARAMETERIZATIONS.values(), ids=list(PARAMETERIZATIONS))


def double(*shape, seed=0, shift=0.0):
    noise = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)
    return (noise + shift).requires_grad_()


@by_kind
def test_the_posterior_density_is_torchs_with_its_gradients(kind):
    mean, free, draws = double(3, 2), double(3, 2, seed=1, shift=-1.0), double(4, 3, 2, seed=2)

    def log_prob(mean, free, draws):
        return densities.normal_log_prob(mean, free, draws, kind=kind)

    found = log_prob(mean, free, draws)
    assert_close(found, Normal(mean, kind.scale(free)).log_prob(draws).sum((1, 2)))
    assert_close(found, densities._plain_normal_log_prob(kind, mean, free, draws))
    assert torch.autograd.gradcheck(log_prob, (mean, free, draws))
    assert torch.autograd.gradgradcheck(log_prob, (mean, free, draws))
    batched = torch.func.vmap(log_prob, (None, None, 0))(mean, free, draws.unsqueeze(1))
    assert_close(batched.squeeze(1), found)


@by_kind
@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
@pytest.mark.parametrize("value", [-1000.0, -50.0, 50.0])
def test_the_posterior_density_of_its_own_draws_is_finite_at_any_scale(kind, value, dtype):
    mean, free = torch.zeros(3, dtype=dtype), torch.full((3,), value, dtype=dtype, requires_grad=True)
    noise = torch.tensor([[1.0, -2.0, 0.5]], dtype=dtype)
    draws = mean + kind.scale(free) * noise
    found = densities.normal_log_prob(mean, free, draws.detach(), kind=kind)
    found.sum().backward()
    assert found.isfinite().all()
    assert free.grad.isfinite().all()


@pytest.mark.parametrize(("mix", "scale1", "scale2"), [(0.25, 1.0, math.exp(-6)), (0.5, 0.3, 2.0), (0.75, 1.0, 1.0)])
def test_the_mixtures_density_is_torchs_with_its_gradient(mix, scale1, scale2):
    w = double(20)

    def log_prob(w):
        return densities.mixture_log_prob(w, mix=mix, scale1=scale1, scale2=scale2)

    weights = torch.tensor([mix, 1 - mix], dtype=DOUBLE)
    parts = Normal(torch.zeros(2, dtype=DOUBLE), torch.tensor([scale1, scale2], dtype=DOUBLE))
    exact = MixtureSameFamily(torch.distributions.Categorical(weights), parts)
    assert_close(log_prob(w), exact.log_prob(w))
    assert_close(torch.autograd.grad(log_prob(w).sum(), w), torch.autograd.grad(exact.log_prob(w).sum(), w))
    moderate = (w / 20).detach().requires_grad_()
    assert torch.autograd.gradcheck(log_prob, moderate, eps=1e-7, rtol=1e-4)
    assert torch.autograd.gradgradcheck(log_prob, moderate, eps=1e-7, rtol=1e-3)


@pytest.mark.parametrize("mix", [0.0, 1.0])
def test_a_mixture_of_one_is_a_gaussian(mix):
    w = double(5)
    found = densities.mixture_log_prob(w, mix=mix, scale1=1.0, scale2=0.1)
    assert_close(found, Normal(torch.tensor(0.0, dtype=DOUBLE), 1.0 if mix else 0.1).log_prob(w))


@pytest.mark.parametrize("w", [1.4537, -30.0, 1e4])
def test_the_mixture_is_exact_where_both_densities_underflow(w):
    weight = torch.tensor([w], requires_grad=True)
    found = densities.mixture_log_prob(weight, mix=0.5, scale1=0.1, scale2=math.exp(-6))
    found.backward()
    assert found.item() == pytest.approx(-0.5 * (w / 0.1) ** 2 - math.log(0.2) - 0.5 * math.log(2 * math.pi), rel=1e-5)
    assert weight.grad.item() == pytest.approx(-w / 0.01, rel=1e-5)
