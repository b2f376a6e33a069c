import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence
from torch.nn.functional import one_hot
from torch.testing import assert_close

from jensen.distributions.permutation_matrices import all_permutations, nearest_permutation
from jensen.distributions.rounded_birkhoff import RoundedBirkhoff
from jensen.distributions.sinkhorn import sinkhorn_iterations


def make(draw, size, tau, *batch):
    return RoundedBirkhoff(draw(*batch, size, size), 0.3 * draw(size, size).exp(), tau=tau)


@pytest.mark.parametrize("size", [1, 2, 3, 6])
@pytest.mark.parametrize("tau", [1.0, 0.5, 0.01])
def test_draws_are_reached_and_lead_back_to_their_noise(draw, size, tau):
    q = make(draw, size, tau)
    noise = draw(40, size, size)
    x, log_prob = q.from_noise(noise)
    psi = q.centre + q.scale * noise
    assert_close(nearest_permutation(x), nearest_permutation(psi))
    assert q.reachable(x).all()
    assert_close(q.inverse(x), psi, atol=1e-12, rtol=0)
    assert_close(q.log_prob(x), log_prob, atol=1e-9, rtol=0)
    by_torch = Normal(q.centre, q.scale).log_prob(psi).sum((-2, -1)) - size**2 * math.log(tau)
    assert_close(log_prob, by_torch)


def test_the_jacobian_is_that_of_autograd(draw):
    q = make(draw, 3, 0.4)
    for _ in range(5):
        noise = draw(3, 3)
        jacobian = torch.autograd.functional.jacobian(lambda e: q.from_noise(e)[0], noise).reshape(9, 9)
        expected = Normal(0.0, 1.0).log_prob(noise).sum() - jacobian.slogdet()[1]
        assert_close(q.log_prob(q.from_noise(noise)[0]), expected, atol=1e-10, rtol=0)


def test_the_middle_of_the_polytope_is_not_reached(draw):
    q = make(draw, 3, 0.5)
    middle = torch.full((3, 3), 1 / 3, dtype=torch.float64)
    assert q.log_prob(middle) == -math.inf
    assert make(draw, 3, 1.0).log_prob(middle).isfinite()


def integrals(q, n, seed):
    """Of the density, and of a twin that knows no hole, by draws from Gaussians around all permutations."""
    generator = torch.Generator().manual_seed(seed)
    size = q.event_shape[0]
    every = one_hot(all_permutations(size), size).double()
    spread = q.tau * q.scale.amax()
    centres = every + q.tau * (q.centre - every)
    place = torch.randint(len(every), (n,), generator=generator)
    x = centres[place] + spread * torch.randn(n, size, size, dtype=torch.float64, generator=generator)
    log_proposal = Normal(centres, spread).log_prob(x.unsqueeze(1)).sum((-2, -1)).logsumexp(1) - math.log(len(every))
    blind = Normal(q.centre, q.scale).log_prob(q.inverse(x)).sum((-2, -1)) - size**2 * math.log(q.tau)
    for log_density in (q.log_prob(x), blind):
        ratio = (log_density - log_proposal).exp()
        yield ratio.mean(), ratio.std() / n**0.5


@pytest.mark.parametrize(("size", "tau", "n"), [(2, 0.5, 10_000), (2, 0.8, 10_000), (3, 0.7, 10_000)])
def test_the_density_integrates_to_one_and_without_the_hole_to_more(draw, size, tau, n):
    q = RoundedBirkhoff(0.5 * draw(size, size), torch.full((), 0.4, dtype=torch.float64), tau=tau)
    (right, error), (blind, blind_error) = integrals(q, n, seed=size)
    assert error < 0.03
    assert abs(right - 1) < 4.56 * error
    assert (blind - 1) / blind_error > 10


def test_the_excess_without_the_hole_is_known_for_two_things(draw):
    """Which of two permutations is nearer depends on one Gaussian number."""
    q = RoundedBirkhoff(0.5 * draw(2, 2), torch.full((), 0.4, dtype=torch.float64), tau=0.5)
    sign = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)
    mean, width = (sign * q.centre).sum(), 0.8
    edge = 2 * (1 - q.tau) / q.tau
    exact = torch.special.ndtr((mean + edge) / width) + torch.special.ndtr((edge - mean) / width)
    _, (blind, error) = integrals(q, 20_000, seed=2)
    assert exact > 1.9
    assert abs(blind - exact) < 4.56 * error


def test_moments_under_the_density_are_those_of_the_sampler(draw):
    q = RoundedBirkhoff(0.5 * draw(2, 2), torch.full((), 0.4, dtype=torch.float64), tau=0.6)
    torch.manual_seed(0)
    n = 40_000
    drawn = q.sample((n,)).sin()
    centres = torch.stack([torch.eye(2), torch.eye(2).flip(0)]).double() * 0.4 + 0.6 * q.centre
    place = torch.randint(2, (n,))
    x = centres[place] + 0.5 * torch.randn(n, 2, 2, dtype=torch.float64)
    log_proposal = Normal(centres, 0.5).log_prob(x.unsqueeze(1)).sum((-2, -1)).logsumexp(1) - math.log(2)
    weighted = (q.log_prob(x) - log_proposal).exp()[:, None, None] * x.sin()
    gap = drawn.mean(0) - weighted.mean(0)
    error = ((drawn.var(0) + weighted.var(0)) / n).sqrt()
    assert (gap / error).abs().max() < 4.56


def test_gradients_pass_through_psi_and_not_through_the_rounding(draw):
    logits, scale = draw(3, 3).requires_grad_(), draw(3, 3).exp().requires_grad_()
    noise, weight = draw(4, 3, 3), draw(4, 3, 3)
    found = torch.autograd.grad(
        (weight * RoundedBirkhoff(logits, scale, tau=0.3).from_noise(noise)[0]).sum(), [logits, scale]
    )
    psi = sinkhorn_iterations(logits, 10) + scale * noise
    expected = torch.autograd.grad((weight * 0.3 * psi).sum(), [logits, scale])
    assert_close(found, expected)


def test_both_ways_to_the_density_have_the_same_total_derivative(draw):
    logits, scale = draw(3, 3).requires_grad_(), draw(3, 3).exp().requires_grad_()
    q = RoundedBirkhoff(logits, scale, tau=0.3)
    x, log_prob = q.from_noise(draw(4, 3, 3))
    one, other = (torch.autograd.grad(each.sum(), [scale], retain_graph=True) for each in (log_prob, q.log_prob(x)))
    assert_close(one, other, atol=1e-9, rtol=0)


def test_cold_draws_are_permutations(draw):
    x = make(draw, 4, 1e-6, 5).rsample((3,))
    assert_close(x, nearest_permutation(x), atol=1e-5, rtol=0)


def test_forbidden_matches_never_happen(draw):
    logits = draw(4, 4)
    forbidden = torch.tensor([[0, 1, 1, 0], [1, 0, 0, 1], [0, 0, 1, 1], [0, 0, 0, 0]]).bool()
    logits[forbidden] = -math.inf
    logits.requires_grad_()
    q = RoundedBirkhoff(logits, torch.full((), 2.0, dtype=torch.float64), tau=0.2)
    x, log_prob = q.from_noise(draw(200, 4, 4))
    assert (x[:, forbidden] == 0).all()
    assert_close(q.log_prob(x), log_prob, atol=1e-9, rtol=0)
    psi = q.inverse(x)[:, ~forbidden]
    by_torch = Normal(q.centre[~forbidden], 2.0).log_prob(psi).sum(-1) - 10 * math.log(0.2)
    assert_close(log_prob, by_torch)
    moved = x.detach() + 0.01 * forbidden
    assert (q.log_prob(moved) == -math.inf).all()
    (x.square().sum() + log_prob.sum()).backward()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("far", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize("tau", [1.0, 1e-3])
def test_extreme_logits(draw, dtype, far, tau):
    logits = (far * draw(3, 5, 5)).to(dtype).requires_grad_()
    q = RoundedBirkhoff(logits, torch.full((), 0.2, dtype=dtype), tau=tau)
    x, log_prob = q.from_noise(q.noise((4,)))
    assert q.reachable(x).all()
    assert_close(q.log_prob(x), log_prob, atol=1e-2 / tau if dtype == torch.float32 else 1e-8 / tau, rtol=1e-3)
    x.square().sum().backward()
    assert logits.grad.isfinite().all()


def test_batches_broadcast_and_expand(draw):
    q = RoundedBirkhoff(draw(5, 3, 3), draw(2, 1, 3, 3).exp(), tau=0.5)
    assert (q.batch_shape, q.event_shape) == ((2, 5), (3, 3))
    x = q.rsample((7,))
    assert x.shape == (7, 2, 5, 3, 3)
    one = RoundedBirkhoff(q.logits[1, 3], q.scale[1, 3], tau=0.5)
    assert_close(q.log_prob(x)[:, 1, 3], one.log_prob(x[:, 1, 3]))
    wide = one.expand((6, 2))
    assert wide.rsample().shape == (6, 2, 3, 3)
    assert_close(wide.log_prob(x[0, 1, 3]), one.log_prob(x[0, 1, 3]).expand(6, 2))


@pytest.mark.parametrize(
    ("logits", "scale", "tau", "message"),
    [
        (torch.zeros(2, 3), torch.ones(()), 1.0, r"logits has shape \(2, 3\); expected square"),
        (torch.zeros(2, 2), torch.ones(3, 3), 1.0, r"shapes \(2, 2\) and \(3, 3\) do not broadcast"),
        (torch.zeros(2, 2), torch.zeros(()), 1.0, "scale"),
        (torch.zeros(2, 2), torch.ones(()), 0.0, r"tau must be in \(0, 1\], got 0.0"),
        (torch.zeros(2, 2), torch.ones(()), 1.5, r"tau must be in \(0, 1\], got 1.5"),
        (torch.full((2, 2), math.nan), torch.ones(()), 1.0, "NaN"),
        (torch.full((2, 2), -math.inf), torch.ones(()), 1.0, "all -inf"),
    ],
)
def test_bad_parameters(logits, scale, tau, message):
    with pytest.raises(ValueError, match=message):
        RoundedBirkhoff(logits, scale, tau=tau)


def test_logits_that_allow_no_permutation_are_refused_at_the_draw():
    logits = torch.zeros(3, 3)
    logits[:2, :2] = -math.inf
    q = RoundedBirkhoff(logits, torch.ones(()), tau=0.5)
    with pytest.raises(ValueError, match="no nearest permutation: cost matrix is infeasible"):
        q.rsample()


def test_divergence_is_the_mean_of_the_densities_ratio(draw):
    """The log-ratio is quadratic in the noise, so that a grid of three nodes an entry has its exact mean."""
    q, p = (make(draw, 2, 0.6) for _ in range(2))
    root = math.sqrt(3.0)
    pick = torch.cartesian_prod(*[torch.arange(3)] * 4)
    noise = torch.tensor([-root, 0.0, root], dtype=torch.float64)[pick].reshape(-1, 2, 2)
    weight = (torch.tensor([1.0, 4.0, 1.0], dtype=torch.float64) / 6)[pick].prod(-1)
    x, log_q = q.from_noise(noise)
    assert_close(kl_divergence(q, p), weight @ (log_q - p.log_prob(x)), atol=1e-9, rtol=0)
    assert kl_divergence(q, p) > 0.1


def test_divergence_counts_allowed_matches_only(draw):
    barred = torch.zeros(3, 3, dtype=torch.float64)
    barred[0, 1] = -math.inf
    q, p = (RoundedBirkhoff(draw(3, 3) + barred, 0.3 * draw(3, 3).exp(), tau=0.5) for _ in range(2))
    each = kl_divergence(Normal(q.centre, q.scale), Normal(p.centre, p.scale))
    assert_close(kl_divergence(q, p), each.sum() - each[0, 1], atol=1e-12, rtol=0)
    for other in (make(draw, 3, 0.5), RoundedBirkhoff(p.logits, p.scale, tau=0.6)):
        with pytest.raises(ValueError, match="temperatures or the forbidden matches differ"):
            kl_divergence(q, other)
