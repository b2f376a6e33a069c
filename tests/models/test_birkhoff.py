import math

import pytest
import torch
from torch.distributions import Normal
from torch.nn.functional import one_hot
from torch.testing import assert_close

from jensen import bounds
from jensen.distributions.permutation_matrices import all_permutations
from jensen.models.birkhoff import (
    PermutationMatching,
    RoundedPosterior,
    RowPosterior,
    StickBreakingPosterior,
    bhattacharyya,
    mallows,
)

POSTERIORS = [StickBreakingPosterior, RoundedPosterior]


@pytest.fixture
def world():
    generator = torch.Generator().manual_seed(3)
    centres = torch.randn(2, 4, 2, dtype=torch.float64, generator=generator)
    y = centres.flip(1) + 0.3 * torch.randn(2, 4, 2, dtype=torch.float64, generator=generator)
    return centres, y


@pytest.fixture(params=POSTERIORS)
def model(request, world):
    posterior = request.param(size=4, problems=2, tau=0.6)
    return PermutationMatching(posterior=posterior, centres=world[0], sigma=0.4, eta=0.25).double()


def test_each_term_is_the_density_it_is_named_after(model, world):
    torch.manual_seed(0)
    q = model.posterior()
    noise = q.noise((5,))
    found = model.log_weights(world[1], 5, noise=noise)
    x, log_q = q.from_noise(noise)
    assert_close(found.log_posterior, log_q)
    assert_close(found.log_posterior, q.log_prob(x), atol=1e-8, rtol=1e-8)
    near = [Normal(mean, 0.25).log_prob(x).exp() for mean in (0.0, 1.0)]
    assert_close(found.log_prior, (0.5 * near[0] + 0.5 * near[1]).log().sum((-2, -1)))
    means = torch.einsum("kbmn,bnd->kbmd", x, world[0])
    assert_close(found.log_likelihood, Normal(means, 0.4).log_prob(world[1]).sum((-2, -1)))
    assert found.total.shape == (5, 2)


def test_the_exact_posterior_is_that_of_bayes(model, world):
    centres, y = world
    found = model.exact_posterior(y)
    joint = torch.stack(
        [
            Normal(centres[:, list(order)], 0.4).log_prob(y).sum((-2, -1)).exp()
            for order in all_permutations(4).tolist()
        ],
        -1,
    )
    assert_close(found, joint / joint.sum(-1, keepdim=True))
    best = all_permutations(4)[found.argmax(-1)]
    assert torch.equal(model.map_estimate(y), best)
    assert best.tolist() == [[3, 2, 1, 0]] * 2


def test_noise_levels_may_differ_between_problems(world):
    sigma = torch.tensor([0.2, 0.9], dtype=torch.float64)
    both = PermutationMatching(posterior=torch.nn.Identity(), centres=world[0], sigma=sigma)
    for b in range(2):
        one = PermutationMatching(posterior=torch.nn.Identity(), centres=world[0][b], sigma=float(sigma[b]))
        assert_close(both.exact_posterior(world[1])[b], one.exact_posterior(world[1][b : b + 1])[0])


def test_rounded_draws_are_counted_at_the_right_permutation(world):
    posterior = RoundedPosterior(size=4, problems=2, tau=0.5, scales=(1e-3, 2e-3)).double()
    model = PermutationMatching(posterior=posterior, centres=world[0], sigma=0.4).double()
    orders = all_permutations(4)[[5, 17]]
    with torch.no_grad():
        posterior.logits.copy_(4 * one_hot(orders, 4))
    frequency = model.rounded_posterior(20)
    assert frequency.argmax(-1).tolist() == [5, 17]
    assert_close(frequency.amax(-1), torch.ones(2, dtype=torch.float64))


def test_the_mean_weight_is_the_relaxed_evidence():
    """E[w] is the evidence of the relaxed model: for two things the same number from two different posteriors."""
    torch.manual_seed(0)
    n = 40_000
    centres = torch.tensor([[1.0, 0.3], [-0.8, 0.1]], dtype=torch.float64)
    y = torch.tensor([[[-0.6, 0.2], [0.9, 0.0]]], dtype=torch.float64)
    estimates = []
    for stay in (-0.5, 0.5):
        posterior = RoundedPosterior(size=2, tau=1.0, scales=(0.3, 0.9)).double()
        with torch.no_grad():
            posterior.logits[0, 0, 0] = stay
        model = PermutationMatching(posterior=posterior, centres=centres, sigma=0.8, eta=0.3).double()
        w = model.log_weights(y, n).total.detach().exp()
        estimates.append((w.mean(), w.var() / n))
    (one, first), (other, second) = estimates
    assert abs(one - other) < 4.56 * (first + second).sqrt()
    assert (first + second).sqrt() < 0.05 * one


@pytest.mark.parametrize("kind", POSTERIORS)
def test_the_fit_is_closer_to_the_posterior_than_where_it_began(kind):
    torch.manual_seed(0)
    centres = torch.randn(6, 4, 2)
    y = centres.flip(1) + 0.5 * torch.randn(6, 4, 2)
    model = PermutationMatching(posterior=kind(size=4, problems=6, tau=1.0), centres=centres, sigma=0.5)
    exact = model.exact_posterior(y)
    before = bhattacharyya(exact, model.rounded_posterior(500))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    for _ in range(40):
        optimizer.zero_grad()
        (-bounds.elbo(model.log_weights(y, 4).total).sum()).backward()
        optimizer.step()
    after = bhattacharyya(exact, model.rounded_posterior(500))
    assert after.mean() < 0.5 * before.mean()


@pytest.mark.parametrize("kind", POSTERIORS)
def test_every_parameter_gets_a_gradient(kind):
    torch.manual_seed(0)
    model = PermutationMatching(posterior=kind(size=4, problems=2), centres=torch.randn(4, 2), sigma=0.5)
    bounds.iwae(model.log_weights(model.sample(2), 3).total).sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())


def test_samples_are_the_centres_in_some_order():
    torch.manual_seed(0)
    centres = torch.randn(5, 2)
    model = PermutationMatching(posterior=RoundedPosterior(size=5), centres=centres, sigma=1e-4)
    y = model.sample(30)
    nearest = torch.cdist(y, centres).argmin(-1)
    assert torch.equal(nearest.sort(-1)[0], torch.arange(5).expand(30, 5))
    assert len(nearest.unique(dim=0)) > 20


def test_forbidden_matches_stay_forbidden():
    allowed = torch.eye(4, dtype=torch.bool) | torch.eye(4, dtype=torch.bool).roll(1, 0)
    q = RoundedPosterior(size=4, problems=3, allowed=allowed)()
    assert (q.sample((5,))[..., ~allowed] == 0).all()
    with pytest.raises(ValueError, match=r"allowed has shape \(2, 2\); expected \(4, 4\) or \(3, 4, 4\)"):
        RoundedPosterior(size=4, problems=3, allowed=allowed[:2, :2])


def test_the_distance_is_known_in_closed_form():
    p = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]], dtype=torch.float64)
    q = torch.tensor([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0]], dtype=torch.float64)
    assert_close(bhattacharyya(p, q), torch.tensor([0.0, math.inf], dtype=torch.float64))
    point = torch.tensor([1.0, 0.0, 0.0])
    assert_close(bhattacharyya(torch.tensor([0.7, 0.2, 0.1]), point), torch.tensor(-0.5 * math.log(0.7)))


def test_mallows_is_its_definition():
    found = mallows(torch.tensor([2, 0, 1]), 0.7)
    weight = torch.tensor([math.exp(-0.7 * sum(abs(a - b) for a, b in zip(order, (2, 0, 1), strict=True)))
                           for order in all_permutations(3).tolist()])  # fmt: skip
    assert_close(found, weight / weight.sum())
    assert all_permutations(3)[found.argmax()].tolist() == [2, 0, 1]


def test_bad_input(model, world):
    with pytest.raises(ValueError, match="samples is 0; draw at least one"):
        model.log_weights(world[1], 0)
    with pytest.raises(ValueError, match=r"y has shape \(1, 4, 2\); this posterior expects \(2, 4, d\)"):
        model.log_weights(world[1][:1])
    with pytest.raises(ValueError, match=r"centres has shape \(4,\)"):
        PermutationMatching(posterior=RoundedPosterior(size=4), centres=torch.zeros(4), sigma=1.0)


def test_the_rows_of_a_row_posterior_sum_to_one_and_its_columns_do_not():
    allowed = torch.tensor([[True, True, False], [True, True, True], [False, True, True]])
    posterior = RowPosterior(size=3, problems=1, allowed=allowed)
    with torch.no_grad():
        posterior.rounded.logits += torch.tensor([[2.0, 0.0, 0.0], [3.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    centre = posterior().centre
    assert_close(centre.sum(-1), torch.ones(1, 3))
    assert (centre.sum(-2) - 1).abs().max() > 0.5
    assert (centre[0][~allowed] == 0).all()
    assert_close(posterior.rounded().centre.sum(-2), torch.ones(1, 3), atol=0.05, rtol=0)
    assert all(each.requires_grad for each in posterior.parameters())
