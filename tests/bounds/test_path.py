r"""Gradients through the draws alone: every expectation is a sum over all noise, not a mean of draws."""

import pytest
import torch
from torch.testing import assert_close

from jensen._contracts import LogWeights
from jensen.bounds import dreg, elbo, iwae, normalized_weights, stl

DOUBLE = torch.float64


def some_noise(K, B, D):
    return torch.randn(K, B, D, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("variant", "parent", "K"), [(stl, elbo, 1), (dreg, iwae, 1), (dreg, iwae, 5)])
def test_value_is_the_parents(plane, variant, parent, K):
    q, noise = plane.approximation(), some_noise(K, 20, 2)
    found = variant(plane.log_weights(q, noise, path_derivative=True))
    assert_close(found, parent(plane.log_weights(q, noise).total), rtol=0, atol=1e-14)


@pytest.mark.parametrize("K", [1, 4])
def test_no_draw_has_a_gradient_where_q_is_the_posterior(plane, K):
    q = plane.approximation(shift=0.0, stretch=1.0)
    for bound in [dreg, stl] if K == 1 else [dreg]:
        values = bound(plane.log_weights(q, some_noise(K, 20, 2), path_derivative=True))
        for value in values:
            for gradient in torch.autograd.grad(value, q, retain_graph=True):
                assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-13)


def test_the_score_alone_makes_the_total_derivative_noisy_there(plane):
    q = plane.approximation(shift=0.0, stretch=1.0)
    (gradient,) = torch.autograd.grad(elbo(plane.log_weights(q, some_noise(1, 1, 2)).total)[0], q.loc)
    assert gradient.abs().max() > 0.1


@pytest.mark.parametrize("latent", ["line", "plane"])
def test_stl_has_the_expectation_of_the_elbos_gradient(latent, quadrature, request):
    model = request.getfixturevalue(latent)
    q = model.approximation()
    noise, mass = quadrature.grid(1, latent=len(model.eye))
    expected = quadrature.gradients(elbo(model.log_weights(q, noise).total), mass, q)
    found = quadrature.gradients(stl(model.log_weights(q, noise, path_derivative=True)), mass, q)
    assert_close(found, expected, rtol=0, atol=1e-10)


def test_a_mean_of_single_sample_bounds_along_the_path_is_unbiased_too(line, quadrature):
    q = line.approximation()
    noise, mass = quadrature.grid(3, points=20)
    expected = quadrature.gradients(elbo(line.log_weights(q, noise).total), mass, q)
    found = quadrature.gradients(elbo(line.log_weights(q, noise, path_derivative=True).total), mass, q)
    assert_close(found, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("K", [1, 2, 3])
def test_dreg_has_the_expectation_of_the_iwae_gradient(line, quadrature, K):
    q = line.approximation()
    noise, mass = quadrature.grid(K)
    expected = quadrature.gradients(iwae(line.log_weights(q, noise).total), mass, q)
    found = quadrature.gradients(dreg(line.log_weights(q, noise, path_derivative=True)), mass, q)
    assert_close(found, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("K", [2, 3])
def test_stl_used_by_hand_on_more_samples_is_biased(line, quadrature, K):
    q = line.approximation()
    noise, mass = quadrature.grid(K)
    expected = quadrature.gradients(iwae(line.log_weights(q, noise).total), mass, q)
    by_hand = quadrature.gradients(iwae(line.log_weights(q, noise, path_derivative=True).total), mass, q)
    assert (by_hand - expected).abs().min() > 0.1
    assert (by_hand / expected).min() > 2


def test_dreg_is_less_noisy_than_the_iwae_gradient(line, quadrature):
    q = line.approximation()
    noise, mass = quadrature.grid(3, points=20)

    def per_draw(bound, path_derivative):
        loc = q.loc.detach().expand(noise.shape[1], 1).clone().requires_grad_()
        log_weights = line.log_weights(q._replace(loc=loc), noise, path_derivative=path_derivative)
        return torch.autograd.grad(bound(log_weights).sum(), loc)[0][:, 0]

    single = per_draw(lambda log_weights: iwae(log_weights.total), path_derivative=False)
    double = per_draw(dreg, path_derivative=True)
    mean = (mass * double).sum()
    assert_close((mass * single).sum(), mean, rtol=0, atol=1e-8)
    assert (mass * (double - mean) ** 2).sum() < (mass * (single - mean) ** 2).sum() / 4


@pytest.mark.parametrize("K", [1, 2, 5])
def test_one_backward_pass_equals_the_papers_two(plane, K):
    q, noise = plane.approximation(), some_noise(K, 20, 2)
    plane.W.requires_grad_()
    found = torch.autograd.grad(dreg(plane.log_weights(q, noise, path_derivative=True)).sum(), [*q, plane.W])

    log_weights = plane.log_weights(q, noise, path_derivative=True)
    (z,), weights = log_weights.path, normalized_weights(log_weights.total).detach()
    (slope,) = torch.autograd.grad(log_weights.total.sum(), z, retain_graph=True)
    to_q = torch.autograd.grad(z, q, grad_outputs=weights.unsqueeze(-1) ** 2 * slope, retain_graph=True)
    (to_W,) = torch.autograd.grad((weights * log_weights.total).sum(), plane.W)
    for one, two in zip(found, [*to_q, to_W], strict=True):
        assert_close(one, two, rtol=0, atol=1e-13)


def test_the_model_gets_the_iwae_gradient_draw_by_draw(plane):
    q, noise = plane.approximation(), some_noise(5, 20, 2)
    plane.W.requires_grad_()
    (found,) = torch.autograd.grad(dreg(plane.log_weights(q, noise, path_derivative=True)).sum(), plane.W)
    (exact,) = torch.autograd.grad(iwae(plane.log_weights(q, noise).total).sum(), plane.W)
    assert_close(found, exact, rtol=0, atol=1e-13)


def test_the_gradient_of_a_loss_is_scaled_like_the_loss(plane):
    q, noise = plane.approximation(), some_noise(3, 4, 2)
    one, other = (
        torch.autograd.grad(scale * dreg(plane.log_weights(q, noise, path_derivative=True)).mean(), q.loc)[0]
        for scale in (1.0, -7.0)
    )
    assert_close(other, -7 * one)


def test_no_gradient_no_hook(plane):
    with torch.no_grad():
        log_weights = plane.log_weights(plane.approximation(), some_noise(3, 4, 2), path_derivative=True)
        assert dreg(log_weights).shape == (4,)


def test_stl_refuses_more_samples_and_names_the_unbiased_ones():
    zeros = torch.zeros(2, 3)
    with pytest.raises(ValueError, match=r"stl is biased.*\(2, 3\).*dreg.*elbo"):
        stl(LogWeights(zeros, zeros, zeros, path=(torch.zeros(2, 3, 1),)))


@pytest.mark.parametrize("variant", [stl, dreg])
def test_log_weights_without_their_path_are_refused(variant):
    zeros = torch.zeros(1, 3)
    with pytest.raises(ValueError, match="path_derivative=True"):
        variant(LogWeights(zeros, zeros, zeros))
