import itertools
import math

import numpy as np
import pytest
import torch
from torch.distributions import kl_divergence
from torch.nn.functional import logsigmoid, one_hot
from torch.testing import assert_close

from jensen.distributions.permutation_matrices import all_permutations, doubly_stochastic
from jensen.distributions.stick_breaking_birkhoff import StickBreakingBirkhoff, break_sticks, broken_parts

VOLUME = {3: 1 / 8, 4: 11 / 11340}
"""Of the polytope in the coordinates outside the last row and column."""


def by_the_paper(beta):
    """Entry by entry, the bounds as they are printed; one matrix."""
    n = len(beta) + 1
    x = torch.zeros(n, n, dtype=beta.dtype)
    width = torch.zeros_like(beta)
    for i in range(n - 1):
        for j in range(n - 1):
            upper = min(1 - x[i, :j].sum(), 1 - x[:i, j].sum())
            lower = max(torch.zeros(()), 1 - n + (j + 1) - x[i, :j].sum() + x[:i, j + 1 :].sum())
            width[i, j] = upper - lower
            x[i, j] = lower + beta[i, j] * width[i, j]
        x[i, n - 1] = 1 - x[i, : n - 1].sum()
    x[n - 1] = 1 - x[: n - 1].sum(0)
    return x, width


@pytest.mark.parametrize("size", [2, 3, 4, 6])
def test_entries_and_widths_are_those_of_the_paper(draw, size):
    logits = 2 * draw(20, size - 1, size - 1)
    log_x, log_width = break_sticks(logsigmoid(logits), logsigmoid(-logits))
    for k in range(20):
        x, width = by_the_paper(logits[k].sigmoid())
        assert_close(log_x[k].exp(), x, atol=1e-14, rtol=0)
        assert_close(log_width[k].exp(), width, atol=1e-14, rtol=0)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 6, 9])
def test_rows_and_columns_sum_to_one_and_the_way_back_is_right(draw, size):
    q = StickBreakingBirkhoff(draw(size - 1, size - 1), draw(size - 1, size - 1).exp(), tau=0.7)
    noise = q.noise((50,), generator=torch.Generator().manual_seed(0))
    x, log_prob = q.from_noise(noise)
    for dim in (-1, -2):
        assert_close(x.sum(dim), torch.ones(50, size, dtype=torch.float64), atol=1e-13, rtol=0)
    assert doubly_stochastic.check(x).all()
    assert_close(q.inverse(x), q.loc + q.scale * noise, atol=1e-7, rtol=1e-7)
    assert_close(q.log_prob(x), log_prob, atol=1e-7, rtol=0)


@pytest.mark.parametrize("size", [2, 3, 4, 6])
def test_the_jacobian_is_that_of_autograd(draw, size):
    shape = (size - 1, size - 1)
    q = StickBreakingBirkhoff(draw(*shape), draw(*shape).exp(), tau=0.8)
    for _ in range(5):
        noise = draw(*shape)
        jacobian = torch.autograd.functional.jacobian(lambda e: q.from_noise(e)[0][:-1, :-1], noise)
        expected = (
            -0.5 * (noise.square() + math.log(2 * math.pi)).sum() - jacobian.flatten(2).flatten(0, 1).slogdet()[1]
        )
        assert_close(q.from_noise(noise)[1], expected, atol=1e-10, rtol=0)
        assert_close(q.log_prob(q.from_noise(noise)[0]), expected, atol=1e-9, rtol=0)


def log_widths(beta):
    return break_sticks(beta.log(), torch.log1p(-beta))[1].sum((-2, -1))


def test_the_mean_jacobian_of_three_is_the_volume_by_quadrature():
    """Within a triangle of (b12, b21) on which one of four bounds is the smallest, the width is a polynomial."""
    nodes, weights = (torch.as_tensor(a) for a in np.polynomial.legendre.leggauss(8))
    nodes, weights = (nodes + 1) / 2, weights / 2
    total = torch.zeros((), dtype=torch.float64)
    a, r, y = torch.cartesian_prod(nodes, nodes, nodes).unbind(-1)
    weight = torch.cartesian_prod(weights, weights, weights).prod(-1)
    for one, other, swap in itertools.product((-1, 1), (-1, 1), (False, True)):
        near, far = 0.5 * r, 0.5 * r * y
        first, second = (far, near) if swap else (near, far)
        beta = torch.stack([a, 0.5 + one * first, 0.5 + other * second, torch.full_like(a, 0.3)], -1)
        total += (weight * 0.25 * r * log_widths(beta.unflatten(-1, (2, 2))).exp()).sum()
    assert_close(total, torch.tensor(VOLUME[3], dtype=torch.float64), atol=1e-13, rtol=0)


def uniform(n, size, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, size - 1, size - 1, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize(("size", "n"), [(3, 40_000), (4, 100_000)])
def test_the_mean_jacobian_is_the_volume(size, n):
    width = log_widths(uniform(n, size, 2)).exp()
    z = (width.mean() - VOLUME[size]) / (width.std() / n**0.5)
    assert abs(z) < 4.56


def test_upper_bounds_alone_are_caught_by_the_volume():
    """A twin without the lower bound has widths min(row, column) and a mean far from the volume."""
    beta = uniform(40_000, 3, 2)
    row, column = 1 - beta[:, 0, 0], 1 - beta[:, 0, 0]
    first = torch.minimum(1 - beta[:, 1, 0] * column, 1 - beta[:, 0, 1] * row)
    width = row * column * first
    assert width.mean() > 1.3 * VOLUME[3]


@pytest.mark.parametrize("tau", [0.5, 1.0])
def test_the_density_integrates_to_one_over_the_polytope(draw, tau):
    """Against uniform points from another source: nine entries of a cube's point, kept if none is negative."""
    q = StickBreakingBirkhoff(0.5 * draw(2, 2), torch.full((), 1.5, dtype=torch.float64), tau=tau)
    n = 200_000
    inner = uniform(n, 3, 3)
    right, below = 1 - inner.sum(-1, keepdim=True), 1 - inner.sum(-2, keepdim=True)
    x = torch.cat([torch.cat([inner, right], -1), torch.cat([below, 1 - right.sum(-2, keepdim=True)], -1)], -2)
    x = x[(x > 0).all(-1).all(-1)]
    assert abs(len(x) / n - VOLUME[3]) < 4.56 * (VOLUME[3] * (1 - VOLUME[3]) / n) ** 0.5
    density = torch.zeros(n, dtype=torch.float64)
    density[: len(x)] = q.log_prob(x).exp()
    z = (density.mean() - 1) / (density.std() / n**0.5)
    assert abs(z) < 4.56
    lower, upper = broken_parts(x)
    density[: len(x)] *= torch.logaddexp(lower, upper).sum((-2, -1)).exp()
    assert (density.mean() - 1) / (density.std() / n**0.5) < -4.56, "without the widths it does not"


def vertex_probabilities(plus):
    """Of the six permutations of three things, if fraction `i` is one with probability `plus[i]`, independently."""
    every = all_permutations(3)
    total = torch.zeros(6, dtype=torch.float64)
    for bits in itertools.product((0.0, 1.0), repeat=4):
        beta = torch.tensor(bits, dtype=torch.float64).reshape(2, 2)
        x, _ = by_the_paper(beta)
        place = (one_hot(every, 3) == x.round()).all(-1).all(-1).nonzero().item()
        total[place] += torch.where(beta == 1, plus, 1 - plus).prod()
    return total


def test_cold_draws_are_permutations_with_the_probabilities_of_the_limit(draw):
    loc, scale, n = draw(2, 2), draw(2, 2).exp(), 20_000
    q = StickBreakingBirkhoff(loc, scale, tau=1e-5)
    torch.manual_seed(0)
    x = q.sample((n,))
    assert torch.minimum(x, 1 - x).max(-1)[0].max(-1)[0].quantile(0.99) < 1e-3
    frequency = (x.round().unsqueeze(1) == one_hot(all_permutations(3), 3)).all(-1).all(-1).double().mean(0)
    plus = torch.special.ndtr(loc / scale)
    exact, slip = vertex_probabilities(plus), vertex_probabilities(1 - plus)
    spread = (exact * (1 - exact) / n).sqrt()
    assert ((frequency - exact) / spread).abs().max() < 4.56
    assert ((frequency - slip) / spread).abs().max() > 20, "the sign in the paper's supplement"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("tau", [1e-4, 1e-2, 1.0])
@pytest.mark.parametrize("far", [1.0, 100.0])
def test_far_out_everything_is_finite(dtype, tau, far):
    generator = torch.Generator().manual_seed(4)
    loc = (far * torch.randn(30, 4, 4, generator=generator).sign()).to(dtype).requires_grad_()
    scale = torch.ones(4, 4, dtype=dtype, requires_grad=True)
    q = StickBreakingBirkhoff(loc, scale, tau=tau)
    noise = q.noise((3,), generator=generator)
    x, log_prob = q.from_noise(noise)
    assert x.isfinite().all()
    assert log_prob.isfinite().all()
    assert doubly_stochastic.check(x).all()
    assert q.log_prob(x).isfinite().all()
    for gradient in torch.autograd.grad(x.square().sum() + log_prob.sum(), [loc, scale]):
        assert gradient.isfinite().all()


def test_single_precision_keeps_the_density(draw):
    loc, noise = draw(3, 3), draw(100, 3, 3)
    double = StickBreakingBirkhoff(loc, loc.exp(), tau=0.5).from_noise(noise)[1]
    single = StickBreakingBirkhoff(loc.float(), loc.exp().float(), tau=0.5).from_noise(noise.float())[1]
    assert_close(single.double(), double, atol=1e-3, rtol=1e-4)


def test_gradients_of_draw_and_density(draw):
    loc, scale, noise = draw(3, 3).requires_grad_(), draw(3, 3).exp().requires_grad_(), draw(2, 3, 3)
    assert torch.autograd.gradcheck(lambda m, v: StickBreakingBirkhoff(m, v, tau=0.6).from_noise(noise), (loc, scale))


def test_batches_broadcast_and_expand(draw):
    loc, scale, tau = draw(5, 3, 3), draw(2, 1, 3, 3).exp(), torch.tensor([[0.5], [1.0]], dtype=torch.float64)
    q = StickBreakingBirkhoff(loc, scale, tau=tau)
    assert (q.batch_shape, q.event_shape) == ((2, 5), (4, 4))
    x = q.rsample((7,))
    assert x.shape == (7, 2, 5, 4, 4)
    one = StickBreakingBirkhoff(loc[3], scale[1, 0], tau=1.0)
    assert_close(q.log_prob(x)[:, 1, 3], one.log_prob(x[:, 1, 3]))
    wide = one.expand((6, 2))
    assert wide.rsample().shape == (6, 2, 4, 4)
    assert_close(wide.log_prob(x[0, 1, 3]), one.log_prob(x[0, 1, 3]).expand(6, 2))
    assert StickBreakingBirkhoff(loc[0], scale[0, 0], tau=tau[:, 0]).batch_shape == (2,)


def test_validation_asks_for_doubly_stochastic_matrices(draw):
    loc = draw(2, 2)
    q = StickBreakingBirkhoff(loc, loc.exp(), tau=0.5, validate_args=True)
    with pytest.raises(ValueError, match="to be within the support"):
        q.log_prob(torch.full((3, 3), 0.5, dtype=torch.float64))
    assert q.log_prob(torch.eye(3, dtype=torch.float64)).isfinite()


@pytest.mark.parametrize(
    ("loc", "scale", "tau", "message"),
    [
        (torch.zeros(2, 3), torch.ones(()), 1.0, r"loc has shape \(2, 3\); expected square"),
        (torch.zeros(3), torch.ones(()), 1.0, r"loc has shape \(3,\); expected square"),
        (torch.zeros(2, 2), torch.ones(3, 3), 1.0, r"shapes \(2, 2\), \(3, 3\) and \(\) do not broadcast"),
        (torch.zeros(4, 2, 2), torch.ones(()), torch.ones(3), "do not broadcast"),
        (torch.zeros(2, 2), torch.zeros(()), 1.0, "scale"),
        (torch.zeros(2, 2), torch.ones(()), 0.0, "tau"),
        (torch.full((2, 2), math.nan), torch.ones(()), 1.0, "loc"),
    ],
)
def test_bad_parameters(loc, scale, tau, message):
    with pytest.raises(ValueError, match=message):
        StickBreakingBirkhoff(loc, scale, tau=tau)


def test_noise_of_another_shape_is_refused(draw):
    q = StickBreakingBirkhoff(draw(2, 2), torch.ones(()), tau=1.0)
    with pytest.raises(ValueError, match=r"noise has shape \(3, 3\); expected \(\*sample, 2, 2\)"):
        q.from_noise(torch.zeros(3, 3))


def corners(dimensions):
    """Nodes and weights that average polynomials of degree five over Gaussian noise."""
    root = math.sqrt(3.0)
    nodes = torch.tensor([-root, 0.0, root], dtype=torch.float64)
    weights = torch.tensor([1.0, 4.0, 1.0], dtype=torch.float64) / 6
    pick = torch.cartesian_prod(*[torch.arange(3)] * dimensions)
    return nodes[pick], weights[pick].prod(-1)


@pytest.mark.parametrize("taus", [(0.7, 0.7), (0.7, 1.1)])
def test_divergence_is_the_mean_of_the_densities_ratio(draw, taus):
    """The log-ratio is quadratic in the noise, so that a grid of three nodes an entry has its exact mean."""
    q, p = (StickBreakingBirkhoff(draw(2, 2), (0.3 * draw(2, 2)).exp(), tau=tau) for tau in taus)
    noise, weight = corners(4)
    x, log_q = q.from_noise(noise.reshape(-1, 2, 2))
    assert_close(kl_divergence(q, p), weight @ (log_q - p.log_prob(x)), atol=1e-8, rtol=0)
    assert_close(kl_divergence(q, q.expand((3,))), torch.zeros(3, dtype=torch.float64), atol=1e-12, rtol=0)
    blind = StickBreakingBirkhoff(p.loc, p.scale, tau=q.tau)
    assert (abs(kl_divergence(q, blind) - kl_divergence(q, p)) > 0.05) == (taus[0] != taus[1])


def test_divergence_of_other_sizes_is_refused(draw):
    q, p = (StickBreakingBirkhoff(draw(n, n), torch.ones(()), tau=1.0) for n in (1, 2))
    with pytest.raises(ValueError, match=r"shapes \(2, 2\) and \(3, 3\)"):
        kl_divergence(q, p)
