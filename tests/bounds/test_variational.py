import itertools
import math

import pytest
import torch
from torch.distributions import kl_divergence
from torch.testing import assert_close

from jensen._contracts import LogWeights
from jensen.bounds import elbo, minibatch, sgvb_a, sgvb_b

DOUBLE = torch.float64


@pytest.mark.parametrize("L", [1, 2])
def test_estimators_a_and_b_have_the_elbo_as_their_expectation(plane, quadrature, L):
    q = plane.approximation()
    noise, mass = quadrature.grid(L, latent=2, points=10)
    log_weights = plane.log_weights(q, noise)
    kl = kl_divergence(q.distribution, plane.prior)
    exact = plane.log_evidence - kl_divergence(q.distribution, plane.posterior)
    a, b = sgvb_a(log_weights), sgvb_b(log_weights.log_likelihood, kl.expand(len(mass)))
    assert_close((mass * a).sum(), exact, rtol=0, atol=1e-12)
    assert_close((mass * b).sum(), exact, rtol=0, atol=1e-12)
    assert (a - b).abs().max() > 0.1


def test_their_gradients_have_the_same_expectation(plane, quadrature):
    q = plane.approximation()
    noise, mass = quadrature.grid(1, latent=2, points=20)
    kl = kl_divergence(q.distribution, plane.prior).expand(len(mass))
    log_weights = plane.log_weights(q, noise)
    exact = torch.autograd.grad(-kl_divergence(q.distribution, plane.posterior), q, retain_graph=True)
    exact = torch.cat([gradient.reshape(-1) for gradient in exact])
    for bound in (sgvb_a(log_weights), sgvb_b(log_weights.log_likelihood, kl)):
        found = torch.autograd.grad((mass * bound).sum(), q, retain_graph=True)
        assert_close(torch.cat([gradient.reshape(-1) for gradient in found]), exact, rtol=0, atol=1e-10)


def test_a_divergence_of_the_wrong_sign_is_caught(plane, quadrature):
    q = plane.approximation()
    noise, mass = quadrature.grid(1, latent=2, points=10)
    kl = kl_divergence(q.distribution, plane.prior)
    twin = sgvb_b(plane.log_weights(q, noise).log_likelihood, -kl.expand(len(mass)))
    exact = plane.log_evidence - kl_divergence(q.distribution, plane.posterior)
    assert_close((mass * twin).sum() - exact, 2 * kl, rtol=0, atol=1e-12)


def test_more_samples_average_the_bound_and_do_not_tighten_it(two_valued):
    single = two_valued.expectation(elbo, 1)
    for K in (2, 5, 40):
        assert_close(two_valued.expectation(elbo, K), single, rtol=0, atol=1e-13)
    assert single < math.log(two_valued.mean)


def test_estimator_a_is_the_elbo_of_the_total():
    parts = torch.randn(3, 4, 2, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    assert_close(sgvb_a(LogWeights(*parts)), (parts[0] + parts[1] - parts[2]).mean(0))


def test_estimator_b_takes_one_divergence_for_each_datum():
    log_likelihood = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    assert sgvb_b(log_likelihood, torch.tensor([10.0, 20.0])).tolist() == [-8.0, -16.0]


@pytest.mark.parametrize(
    ("log_likelihood", "kl"), [((3, 2), (3,)), ((3, 2), (3, 2)), ((3, 2), ()), ((3, 2), (1,)), ((0, 2), (2,)), ((), ())]
)
def test_shapes_that_do_not_belong_together_are_refused(log_likelihood, kl):
    with pytest.raises(ValueError, match=r"kl of shape|no sample"):
        sgvb_b(torch.zeros(log_likelihood), torch.zeros(kl))


def test_estimator_a_refuses_no_sample():
    empty = torch.zeros(0, 2)
    with pytest.raises(ValueError, match="hold no sample"):
        sgvb_a(LogWeights(empty, empty, empty))


@pytest.mark.parametrize("M", [1, 2, 3, 5, 6])
def test_over_all_minibatches_the_estimate_is_the_bound_on_the_whole(M):
    bound = torch.randn(6, dtype=DOUBLE, generator=torch.Generator().manual_seed(0)) - 90
    every = [minibatch(bound[list(chosen)], dataset_size=6) for chosen in itertools.combinations(range(6), M)]
    assert_close(torch.stack(every).mean(), bound.sum(), rtol=0, atol=1e-11)


def test_an_estimate_that_is_not_scaled_up_is_caught():
    bound = torch.full((6,), -90.0)
    assert minibatch(bound[:2], dataset_size=6) == bound.sum() == 3 * bound[:2].sum()


@pytest.mark.parametrize(
    ("bound", "dataset_size"),
    [
        (torch.zeros(0), 6),
        (torch.zeros(7), 6),
        (torch.zeros(2, 3), 6),
        (torch.tensor(0.0), 6),
        (torch.zeros(2), 0),
        (torch.zeros(2), -2),
        (torch.zeros(2, dtype=torch.long), 6),
    ],
)
def test_what_is_no_minibatch_is_refused(bound, dataset_size):
    with pytest.raises(ValueError, match="minibatch"):
        minibatch(bound, dataset_size=dataset_size)
