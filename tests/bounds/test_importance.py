import math

import pytest
import torch
from torch.testing import assert_close

from jensen.bounds import effective_sample_size, iwae, normalized_weights, sgvb_b

DOUBLE = torch.float64


@pytest.fixture
def log_w():
    return (3 * torch.randn(6, 4, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))).requires_grad_()


def surrogate(log_w, weights):
    return (weights * log_w).sum(0)


def gradient(value, log_w):
    return torch.autograd.grad(value.sum(), log_w)[0]


def test_gradient_is_that_of_the_surrogate_with_detached_weights(log_w):
    weights = normalized_weights(log_w).detach()
    assert_close(gradient(iwae(log_w), log_w), weights, rtol=0, atol=1e-15)
    assert_close(gradient(surrogate(log_w, weights), log_w), weights, rtol=0, atol=1e-15)


def test_the_surrogate_is_not_the_bound_but_above_it_by_log_K_minus_the_entropy_of_the_weights(log_w):
    weights = normalized_weights(log_w)
    entropy = -(weights * weights.log()).sum(0)
    excess = surrogate(log_w, weights) - iwae(log_w)
    assert_close(excess, math.log(6) - entropy, rtol=0, atol=1e-14)
    assert (excess > 0.1).all()


def test_weights_that_are_not_detached_change_the_surrogates_gradient(log_w):
    weights = normalized_weights(log_w)
    value = surrogate(log_w, weights)
    found = gradient(value, log_w)
    assert_close(found, (weights * (1 + log_w - value)).detach(), rtol=0, atol=1e-14)
    assert (found - gradient(iwae(log_w), log_w)).abs().max() > 0.1


def test_without_subtracting_the_maximum_float32_is_wrong_at_minus_103_and_nothing_at_minus_104():
    def naive(log_w):
        return log_w.exp() / log_w.exp().sum(0)

    exact = torch.tensor([0.7310586, 0.2689414])
    at_103, at_104 = torch.tensor([-103.0, -104.0]), torch.tensor([-104.0, -105.0])
    assert_close(normalized_weights(at_103), exact)
    assert_close(normalized_weights(at_104), exact)
    assert (naive(at_103) - exact).abs().max() > 0.2
    assert naive(at_104).isnan().all()


def test_in_float64_the_same_happens_below_minus_745():
    log_w = torch.tensor([-746.0, -747.0], dtype=DOUBLE)
    assert log_w.exp().sum() == 0
    assert_close(iwae(log_w), torch.tensor(-746 + math.log((1 + math.exp(-1)) / 2), dtype=DOUBLE))


def test_the_closed_form_of_the_divergence_inside_the_k_sample_bound_is_no_bound(quadrature, stray_gaussian):
    noise, mass = quadrature.grid(1, points=100)
    log_likelihood, log_weight = (
        stray_gaussian.log_likelihood(noise[0, :, 0]),
        stray_gaussian.log_weight(noise[0, :, 0]),
    )
    of_five = quadrature.expected_iwae(log_likelihood, mass, 5) - stray_gaussian.kl
    of_many = quadrature.expected_iwae(log_likelihood, mass, 20_000) - stray_gaussian.kl
    assert_close(of_five.item(), -2.139, rtol=0, atol=5e-4)
    assert_close(of_many.item(), stray_gaussian.limit_with_kl, rtol=0, atol=1e-4)
    assert_close(stray_gaussian.limit_with_kl, -2.033, rtol=0, atol=5e-4)
    assert of_five > stray_gaussian.log_evidence + 0.1
    assert quadrature.expected_iwae(log_weight, mass, 5) < stray_gaussian.log_evidence
    assert (
        mass * sgvb_b(log_likelihood[None], torch.full_like(mass, stray_gaussian.kl))
    ).sum() < stray_gaussian.log_evidence


def test_weights_sum_to_one_and_are_those_of_the_definition(log_w):
    weights = normalized_weights(log_w)
    assert_close(weights.sum(0), torch.ones(4, dtype=DOUBLE))
    assert_close(weights, log_w.exp() / log_w.exp().sum(0))
    assert_close(normalized_weights(log_w.T, dim=1), weights.T)


def test_weights_of_zero_are_zero():
    assert normalized_weights(torch.tensor([0.0, -math.inf, 0.0])).tolist() == [0.5, 0.0, 0.5]


def test_effective_sample_size_lies_between_one_and_K():
    assert_close(effective_sample_size(torch.full((8,), -94.0)), torch.tensor(8.0))
    assert_close(effective_sample_size(torch.tensor([0.0, -200.0, -300.0])), torch.tensor(1.0))


def test_effective_sample_size_of_some_equal_weights_is_their_number():
    log_w = torch.tensor([[3.0, -math.inf], [3.0, -2.0], [-math.inf, -math.inf], [3.0, -math.inf]])
    assert_close(effective_sample_size(log_w), torch.tensor([3.0, 1.0]))
    assert_close(effective_sample_size(log_w.T, dim=-1), torch.tensor([3.0, 1.0]))


def test_effective_sample_size_does_not_depend_on_the_scale_of_the_weights(log_w):
    assert_close(effective_sample_size(log_w - 5000), effective_sample_size(log_w))


def test_not_a_number_is_not_hidden():
    assert effective_sample_size(torch.tensor([0.0, math.nan])).isnan()
    assert normalized_weights(torch.tensor([0.0, math.nan])).isnan().all()
