import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Bernoulli, Independent, Normal
from torch.testing import assert_close

from jensen.gradients._parts import UnsupportedError
from jensen.gradients.rebar import rebar
from jensen.gradients.relax import gradients, kernel, relax, relax_with_variance
from jensen.gradients.relaxation import relaxation

DOUBLE = torch.float64
EDGES = np.array([0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6, 10, 15, 20, 30])


class Network(nn.Module):
    """Ten tanh units of the log-odds-free sample, as in the paper's toy."""

    def __init__(self, dims):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(dims, 10), nn.Tanh(), nn.Linear(10, 1)).double()

    def forward(self, z):
        return self.layers(2 * z - 1).squeeze(-1)


@pytest.fixture
def network():
    def make(dims):
        torch.manual_seed(0)
        return Network(dims)

    return make


def noise_of_a_bit(logit):
    """Tied noise `(N,)` on either side of the step, and its weight."""
    x, w = np.polynomial.legendre.leggauss(20)
    half, middle = np.diff(EDGES)[:, None] / 2, (EDGES[1:] + EDGES[:-1])[:, None] / 2
    positive, weight = torch.from_numpy((middle + half * x).ravel()), torch.from_numpy((half * w).ravel())
    u = torch.sigmoid(torch.cat([-positive, positive]) - logit)
    return u, relaxation(Bernoulli(logits=torch.tensor(logit, dtype=DOUBLE))).tied(u), weight.repeat(2) * u * (1 - u)


@pytest.mark.parametrize("tau", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("logit", [0.0, -1.0])
def test_any_control_leaves_it_unbiased(network, moments, logit, tau):
    u, v, weight = noise_of_a_bit(logit)
    logits = torch.full_like(u, logit).unsqueeze(-1).requires_grad_()  # (N, 1)
    p = relaxation(Independent(Bernoulli(logits=logits), 1))
    u, v = u.reshape(1, -1, 1), v.reshape(1, -1, 1)
    cost = (p.harden(p.scores(u).detach()) - 0.45).square().sum(-1)
    g = gradients(cost, p, control=network(1), u=u, v=v, tau=tau)
    found = moments(kernel(cost, p, g=g), logits, weight)
    theta = 1 / (1 + math.exp(-logit))
    assert_close(found.value.item(), theta * 0.55**2 + (1 - theta) * 0.45**2, atol=1e-10, rtol=0)
    assert_close(found.gradient.item(), 0.1 * theta * (1 - theta), atol=1e-9, rtol=0)


@pytest.mark.parametrize("added", [False, True])
@pytest.mark.parametrize("tied", [False, True])
def test_the_driver_is_unbiased(case, exact, network, added, tied):
    net = network(case.states.shape[-1])
    control = (lambda z: case.f(z) + net(z)) if added else net
    logits = case.logits.expand(20_000, -1).clone().requires_grad_()
    generator = torch.Generator().manual_seed(0)
    (g,) = torch.autograd.grad(
        relax(case.f, case.q(logits), control=control, tied=tied, generator=generator).sum(), logits
    )
    z = (g.mean(0) - exact(case)[1]) / (g.std(0) / math.sqrt(len(g)))
    assert z.abs().max() < 4.56


def test_with_the_cost_as_control_it_is_rebar(case):
    q = case.q(case.logits.clone().requires_grad_())
    one, other = (
        estimate(generator=torch.Generator().manual_seed(0), samples=4, tau=0.3, q=q, f=case.f)
        for estimate in (rebar, lambda **options: relax(control=lambda z: 0.7 * case.f(z), **options))
    )
    assert_close(one, other)
    one = rebar(case.f, q, eta=0.7, tau=0.3, samples=4, generator=torch.Generator().manual_seed(0))
    for left, right in zip(*(torch.autograd.grad(each, parameter(q)) for each in (one, other)), strict=True):
        assert_close(left, right, atol=1e-12, rtol=0)


def parameter(q):
    return q.base_dist._param if isinstance(q, Independent) else q._categorical._param


def test_a_black_box_is_seen_at_hard_samples_only(network):
    seen = []

    def black_box(b):
        seen.append(b)
        return (b.detach().sum(-1) > 1).double()

    q = Independent(Bernoulli(logits=torch.zeros(3, dtype=DOUBLE, requires_grad=True)), 1)
    relax(black_box, q, control=network(3), samples=4).backward()
    assert [set(z.unique().tolist()) for z in seen] == [{0.0, 1.0}]
    assert len(seen[0]) == 4


def test_the_control_is_learned_from_the_variance_and_nothing_else_moves(network):
    logits = torch.tensor([0.3, -0.6, 0.9], dtype=DOUBLE, requires_grad=True)
    scale = torch.tensor(1.0, dtype=DOUBLE, requires_grad=True)
    net, q = network(3), Independent(Bernoulli(logits=logits), 1)

    def f(b):
        return scale * (b.sum(-1) - 0.7) ** 2

    value, variance = relax_with_variance(f, q, control=net, samples=16)
    value.backward(retain_graph=True)
    assert all(each.grad is None for each in net.parameters())
    logits.grad, scale.grad = None, None
    variance.backward()
    assert all((each.grad is not None) for each in list(net.parameters())[:3])
    assert logits.grad is None
    assert scale.grad is None

    optimiser = torch.optim.Adam(net.parameters(), lr=0.02)
    before = relax_with_variance(f, q, control=net, samples=20_000, generator=torch.Generator().manual_seed(1)).variance
    generator = torch.Generator().manual_seed(2)
    for _ in range(150):
        optimiser.zero_grad()
        relax_with_variance(f, q, control=net, samples=64, generator=generator).variance.backward()
        optimiser.step()
    after = relax_with_variance(f, q, control=net, samples=20_000, generator=torch.Generator().manual_seed(1)).variance
    assert after < 0.6 * before


@pytest.mark.parametrize(
    ("control", "error", "message"),
    [
        (lambda z: torch.zeros(z.shape[:-1]), UnsupportedError, "no derivative at relaxed samples"),
        (lambda z: z, ValueError, r"costs of shape \(2, 3\)"),
    ],
)
def test_a_control_of_another_kind_is_refused(control, error, message):
    with pytest.raises(error, match=message):
        relax(lambda b: b.sum(-1), Independent(Bernoulli(logits=torch.zeros(3)), 1), control=control)


def test_a_distribution_without_relaxation_is_refused():
    with pytest.raises(UnsupportedError, match="Normal has no relaxation"):
        relax(lambda b: b, Normal(torch.zeros(3), 1.0), control=lambda z: z)
