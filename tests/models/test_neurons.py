import pytest
import torch
from torch.distributions import Normal
from torch.nn.functional import one_hot
from torch.testing import assert_close

from jensen import bounds
from jensen.distributions.permutation_matrices import nearest_permutation
from jensen.models.birkhoff import RoundedPosterior
from jensen.models.neurons import NeuronIdentities, point_estimate, recording_moments


def ring(size):
    """A graph in which neighbours on a circle, and a few others, are in contact."""
    graph = torch.eye(size, dtype=torch.bool).roll(1, 0)
    graph[0, 3] = graph[2, 5] = True
    return graph | graph.T


def worm(size, worms, instants):
    torch.manual_seed(0)
    upper = torch.randn(size, size).triu(1) * ring(size)
    weights = upper - upper.T
    weights = 0.95 * weights / torch.linalg.eigvals(weights).abs().amax()
    y = torch.zeros(worms, instants, size)
    for t in range(1, instants):
        y[:, t] = y[:, t - 1] @ weights.T + torch.randn(worms, size)
    order = torch.stack([torch.randperm(size) for _ in range(worms)])
    return y.gather(-1, order.unsqueeze(1).expand_as(y)), order, weights


def test_the_likelihood_from_moments_is_that_of_every_instant():
    y, order, weights = worm(6, 2, 30)
    model = NeuronIdentities(posterior=torch.nn.Identity(), connected=ring(6), sigma=0.7).double()
    y, weights = y.double(), weights.double()
    x = torch.stack([one_hot(order, 6).double(), 0.5 * one_hot(order, 6).double() + 0.08])  # (K, J, N, N)
    found = model.log_likelihood(recording_moments(y), x, weights.expand(2, 6, 6))
    for k in range(2):
        for j in range(2):
            system = x[k, j] @ weights @ x[k, j].T
            each = Normal(y[j, :-1] @ system.T, 0.7).log_prob(y[j, 1:]).sum()
            assert_close(found[k, j], each)


def test_the_true_order_is_likeliest():
    y, order, weights = worm(8, 1, 2000)
    model = NeuronIdentities(posterior=torch.nn.Identity(), connected=ring(8))
    right = one_hot(order, 8).float()
    wrong = right[:, [1, 0, *range(2, 8)]]
    x = torch.stack([right, wrong, right.mT])
    found = model.log_likelihood(recording_moments(y), x, weights.expand(3, 8, 8))
    assert (found[0] > found[1:] + 10).all()


def test_weights_are_free_where_there_is_a_contact_only():
    model = NeuronIdentities(posterior=torch.nn.Identity(), connected=ring(6))
    entries = torch.arange(1.0, 1 + len(model.edges))
    matrix = model.matrix(entries.expand(3, -1))
    assert matrix.shape == (3, 6, 6)
    assert torch.equal(matrix[1][ring(6)], entries)
    assert (matrix[1][~ring(6)] == 0).all()


def test_names_are_found():
    y, order, _ = worm(8, 2, 3000)
    allowed = torch.ones(2, 8, 8, dtype=torch.bool)
    for j in range(2):
        for m in (0, 2, 4, 6):
            allowed[j, m] = False
            allowed[j, :, order[j, m]] = False
            allowed[j, m, order[j, m]] = True
    posterior = RoundedPosterior(size=8, problems=2, tau=1.0, scales=(0.02, 0.1), allowed=allowed)
    model = NeuronIdentities(posterior=posterior, connected=ring(8))
    moments = recording_moments(y)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    torch.manual_seed(0)
    for _ in range(100):
        optimizer.zero_grad()
        (-bounds.elbo(model.log_weights(moments).total).sum() / moments.steps).backward()
        optimizer.step()
    found = nearest_permutation(model.posterior().centre.masked_fill(~allowed, -torch.inf)).argmax(-1)
    assert torch.equal(found, order)


def test_the_terms_are_densities_and_every_parameter_gets_a_gradient():
    y, _, _ = worm(6, 2, 30)
    allowed = torch.ones(6, 6, dtype=torch.bool)
    allowed[0, 1:] = allowed[1:, 0] = False
    model = NeuronIdentities(
        posterior=RoundedPosterior(size=6, problems=2, allowed=allowed), connected=ring(6), weight_scale=2.0
    )
    torch.manual_seed(3)
    found = model.log_weights(recording_moments(y), 4)
    torch.manual_seed(3)
    q = model.posterior()
    x = q.rsample((4,))
    w = model.weight_posterior().rsample((4,))
    assert_close(found.log_posterior[:, 0], q.log_prob(x).sum(-1) + model.weight_posterior().log_prob(w).sum(-1))
    near = sum(0.5 * Normal(mean, 0.3).log_prob(x).exp() for mean in (0.0, 1.0)).log()
    prior = near[..., allowed].sum((-2, -1)) + Normal(0.0, 2.0).log_prob(w).sum(-1)
    assert_close(found.log_prior[:, 0], prior)
    assert found.total.shape == (4, 1)
    bounds.elbo(found.total).sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())


def test_bad_input():
    with pytest.raises(ValueError, match=r"connected has shape \(2, 3\)"):
        NeuronIdentities(posterior=torch.nn.Identity(), connected=torch.ones(2, 3).bool())
    with pytest.raises(ValueError, match=r"y has shape \(5, 3\); expected \(J, T, N\)"):
        recording_moments(torch.zeros(5, 3))
    with pytest.raises(ValueError, match="at least two instants"):
        recording_moments(torch.zeros(1, 1, 3))
    model = NeuronIdentities(posterior=RoundedPosterior(size=6, problems=2), connected=ring(6))
    with pytest.raises(ValueError, match=r"moments have shape \(1, 6, 6\) for a posterior of \(2, 6, 6\)"):
        model.log_weights(recording_moments(torch.zeros(1, 3, 6)))
    with pytest.raises(ValueError, match="samples is 0"):
        model.log_weights(recording_moments(torch.zeros(2, 3, 6)), 0)


def test_the_point_estimate_finds_names_among_few_candidates():
    y, order, _ = worm(8, 3, 4000)
    allowed = one_hot(order, 8).bool()
    allowed[:, 2:] |= one_hot(order, 8).bool()[:, [3, 2, 5, 4, 7, 6]]  # pairs that may be exchanged, two that are known
    found = point_estimate(recording_moments(y), connected=ring(8), allowed=allowed, rounds=5).argmax(-1)
    assert (found == order).all()


def test_the_point_estimate_keeps_to_what_is_allowed():
    y, order, _ = worm(8, 2, 200)
    wrong = one_hot(order.roll(1, -1), 8).bool()
    found = point_estimate(recording_moments(y), connected=ring(8), allowed=wrong, rounds=2)
    assert torch.equal(found.bool(), wrong)


def test_a_point_estimate_of_shapes_that_do_not_fit():
    y, _, _ = worm(8, 2, 20)
    allowed = torch.ones(1, 8, 8, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"have shapes \(2, 8, 8\), \(1, 8, 8\) and \(8, 8\); expected"):
        point_estimate(recording_moments(y), connected=ring(8), allowed=allowed)
