import math

import pytest
import torch
from torch.testing import assert_close

from jensen.distributions.gumbel_sinkhorn import GumbelSinkhorn
from jensen.distributions.permutation_matrices import nearest_permutation
from jensen.distributions.sinkhorn import stochastic_error


@pytest.fixture
def q(draw):
    return GumbelSinkhorn(draw(3, 5, 5), tau=0.3)


def test_draws_are_doubly_stochastic(q):
    torch.manual_seed(0)
    x = q.rsample((7,))
    assert x.shape == (7, 3, 5, 5)
    assert stochastic_error(x).max() < 1e-6
    assert q.support.check(x).all()


def test_cold_soft_matchings_are_the_hard_ones(q):
    noise = q.noise((20,), generator=torch.Generator().manual_seed(0))
    hard = q.matching_from_noise(noise)
    far = [(GumbelSinkhorn(q.logits, tau=tau).from_noise(noise) - hard).abs().mean() for tau in (1.0, 0.1, 0.01)]
    assert far[0] > far[1] > far[2]
    assert far[2] < 0.01
    assert torch.equal(nearest_permutation(GumbelSinkhorn(q.logits, tau=0.01).from_noise(noise)), hard)


def test_how_often_two_things_stay_in_place(draw):
    """Four Gumbel numbers make two logistic ones: their sum is integrated by quadrature."""
    logits = draw(2, 2)
    gain = logits[0, 0] + logits[1, 1] - logits[0, 1] - logits[1, 0]
    u = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
    exact = (gain + u.logit()).sigmoid().mean()
    torch.manual_seed(1)
    n = 20_000
    found = GumbelSinkhorn(logits, tau=1.0).sample_matching((n,))[:, 0, 0].mean()
    spread = (exact * (1 - exact) / n).sqrt()
    assert abs(found - exact) < 4.56 * spread
    without_second_logistic = gain.sigmoid()
    assert abs(found - without_second_logistic) > 4.56 * spread


def test_the_gradient_of_a_draw_is_that_of_a_finite_difference(draw):
    logits, noise, weight = draw(4, 4).requires_grad_(), draw(4, 4), draw(4, 4)

    def f(logits):
        return (weight * GumbelSinkhorn(logits, tau=0.4, tolerance=1e-13).from_noise(noise)).sum()

    assert torch.autograd.gradcheck(f, logits, atol=1e-5)


def test_there_is_no_density(q):
    with pytest.raises(ValueError, match="GumbelSinkhorn has no density; StickBreakingBirkhoff and RoundedBirkhoff"):
        q.log_prob(q.sample())


def test_the_likeliest_match_is_what_large_logits_give(draw):
    q = GumbelSinkhorn(200 * draw(4, 6, 6), tau=1.0)
    torch.manual_seed(0)
    assert torch.equal(q.sample_matching(), q.likeliest_match)


def test_expand_and_reproducible_noise(q):
    wide = q.expand((2, 3))
    assert wide.batch_shape == (2, 3)
    noise = [q.noise((4,), generator=torch.Generator().manual_seed(5)) for _ in range(2)]
    assert torch.equal(*noise)
    assert_close(wide.from_noise(noise[0][:2]), q.from_noise(noise[0][:2]))


def test_single_precision_far_out():
    logits = torch.tensor([[1e4, 0.0, -1e4], [0.0, 1e4, 0.0], [-1e4, 5.0, 1e4]], requires_grad=True)
    x = GumbelSinkhorn(logits, tau=0.1).rsample((3,))
    assert_close(x, torch.eye(3).expand(3, 3, 3))
    x.sum().backward()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize(
    ("logits", "tau", "message"),
    [
        (torch.zeros(2, 3), 1.0, r"logits has shape \(2, 3\)"),
        (torch.zeros(3), 1.0, r"logits has shape \(3,\)"),
        (torch.zeros(2, 2), 0.0, "tau must be a positive number, got 0.0"),
        (torch.zeros(2, 2), math.inf, "tau must be a positive number, got inf"),
        (torch.full((2, 2), math.nan), 1.0, "logits"),
    ],
)
def test_bad_input(logits, tau, message):
    with pytest.raises(ValueError, match=message):
        GumbelSinkhorn(logits, tau=tau)
