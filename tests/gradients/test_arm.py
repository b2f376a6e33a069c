"""ARM, integrated exactly: f is constant and the noise linear between two breakpoints, where two Gauss nodes do."""

import math

import pytest
import torch
from torch.distributions import Bernoulli, Categorical, Independent
from torch.testing import assert_close

from jensen.distributions import IndependentBernoulli
from jensen.gradients._parts import UnsupportedError
from jensen.gradients.arm import arm, kernel
from jensen.gradients.binary import antithetic_pair

DOUBLE = torch.float64
Z_LIMIT = 4.56
TOYS = [
    (0.45, 0.0, 0.025, 2.0833333e-4),
    (0.499, 0.0, 5e-4, 8.333333e-8),
    (0.499, 1.5, 2.98292904e-4, 1.5894531e-7),
    (0.45, -1.0, 0.0196611933, 3.6453234e-4),
]


def nodes(logit):
    """Nodes and weights that integrate over u exactly what is cubic between the breakpoints of both draws."""
    p = torch.sigmoid(logit)
    edges = torch.stack([torch.zeros_like(p), torch.minimum(p, 1 - p), torch.maximum(p, 1 - p), torch.ones_like(p)])
    centre, half = (edges[1:] + edges[:-1]) / 2, (edges[1:] - edges[:-1]) / 2
    u = torch.cat([centre - half / math.sqrt(3), centre + half / math.sqrt(3)])
    return u, torch.cat([half, half])


def grid(logits, pairs=1):
    """Every combination of nodes over bits and pairs: noise `(pairs, N, D)` and its probability `(N,)`."""
    each = [nodes(logit) for logit in logits] * pairs
    u = torch.cartesian_prod(*[one for one, _ in each]).reshape(-1, pairs, len(logits)).movedim(1, 0)
    weight = torch.cartesian_prod(*[other for _, other in each]).reshape(u.shape[1], -1).prod(-1)
    return u, weight


def integrate(moments, estimator, logits, f, pairs=1):
    u, weight = grid(logits, pairs)
    repeated = logits.expand(u.shape[1], -1).clone().requires_grad_()
    draws = antithetic_pair(repeated.detach(), u)
    return moments(estimator(f(draws), repeated, u), repeated, weight)


def toy(t):
    return lambda b: (b[..., 0] - t) ** 2


@pytest.mark.parametrize(("t", "phi", "gradient", "variance"), TOYS)
def test_one_bit_is_unbiased_with_the_variance_of_the_tables(moments, t, phi, gradient, variance):
    logits = torch.tensor([phi], dtype=DOUBLE)
    found = integrate(moments, kernel, logits, toy(t))
    p = torch.sigmoid(logits[0])
    assert_close(found.value, p * (1 - t) ** 2 + (1 - p) * t**2, atol=1e-14, rtol=0)
    assert_close(found.gradient[0], (1 - 2 * t) * p * (1 - p), atol=1e-14, rtol=0)
    assert_close(found.gradient.item(), gradient, rtol=1e-8, atol=0)
    assert_close(found.variance.item(), variance, rtol=5e-8, atol=0)
    likely = torch.sigmoid(logits.abs()).item()  # of the likelier value
    closed = 2 / 3 * (1 / 8 - (likely - 0.5) ** 3) - (likely * (1 - likely)) ** 2
    assert_close(found.variance.item(), (1 - 2 * t) ** 2 * closed, rtol=1e-12, atol=0)


@pytest.mark.parametrize("t", [0.45, 0.2])
def test_at_even_odds_the_variance_is_the_squared_difference_over_48(moments, t):
    found = integrate(moments, kernel, torch.zeros(1, dtype=DOUBLE), toy(t))
    assert_close(found.variance.item(), (1 - 2 * t) ** 2 / 48, rtol=1e-12, atol=0)


def test_three_coupled_bits_are_unbiased(moments, three_bits, exact):
    found = integrate(moments, kernel, three_bits.logits, three_bits.f)
    value, gradient = exact(three_bits)
    assert_close(found.value, value, atol=1e-12, rtol=0)
    assert_close(found.gradient, gradient, atol=1e-12, rtol=0)
    assert_close(gradient, three_bits.gradient, atol=5e-6, rtol=0)


def test_two_pairs_halve_the_variance(moments):
    logits = torch.tensor([-1.0], dtype=DOUBLE)
    one, two = (integrate(moments, kernel, logits, toy(0.45), pairs) for pairs in (1, 2))
    assert_close(two.gradient, one.gradient, atol=1e-14, rtol=0)
    assert_close(two.value, one.value, atol=1e-14, rtol=0)
    assert_close(two.variance, one.variance / 2, atol=1e-14, rtol=0)


def test_a_value_that_sums_the_pairs_is_caught(moments, three_bits, exact):
    """The peer's fault: the right gradient on a value several times the expectation."""

    def twin(costs, logits, noise):
        return kernel(costs, logits, noise) - costs.mean((0, 1)).detach() + costs.sum((0, 1)).detach()

    value, gradient = exact(three_bits)
    found = integrate(moments, twin, three_bits.logits, three_bits.f)
    assert_close(found.gradient, gradient, atol=1e-12, rtol=0)
    assert_close(found.value, 2 * value, atol=1e-12, rtol=0)


def test_noise_that_is_not_centred_is_caught(moments, three_bits, exact):
    """u without its 1/2 adds half the difference of the two costs, zero in the mean: only the variance tells."""

    def twin(costs, logits, noise):
        return kernel(costs, logits, noise + 0.5)

    right, wrong = (integrate(moments, each, three_bits.logits, three_bits.f) for each in (kernel, twin))
    assert_close(wrong.gradient, right.gradient, atol=1e-12, rtol=0)
    assert wrong.variance > 2 * right.variance


def test_independent_draws_in_place_of_the_pair_are_caught(moments, three_bits, exact):
    def twin(costs, logits, noise):
        return kernel(torch.stack([costs[0], costs[1].roll(1, -1)]), logits, noise)

    gap = integrate(moments, twin, three_bits.logits, three_bits.f).gradient - exact(three_bits)[1]
    assert gap.abs().max() > 0.09


@pytest.mark.parametrize("shape", [(), (2,), (2, 1, 3)])
@pytest.mark.parametrize("family", [lambda p: Bernoulli(logits=p), lambda p: Bernoulli(p.sigmoid())])
def test_any_batch_shape_and_parametrisation(shape, family):
    logits = torch.linspace(-1, 1, max(1, math.prod(shape)), dtype=DOUBLE).reshape(shape).requires_grad_()
    value = arm(lambda b: (b - 0.3) ** 3, family(logits), samples=3)
    assert value.shape == shape
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    assert gradient.shape == shape


def test_the_driver_is_unbiased():
    n, logits = 40_000, torch.tensor([0.3, -0.6, 0.9], dtype=DOUBLE)
    repeated = logits.expand(n, 3).clone().requires_grad_()
    w = torch.tensor([0.9, -0.5, 0.7], dtype=DOUBLE)

    def f(b):
        return (b @ w - 0.4).abs() ** 3

    value = arm(f, IndependentBernoulli(repeated), samples=2, generator=torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad(value.sum(), repeated)
    every = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=DOUBLE)] * 3)
    exact_logits = logits.clone().requires_grad_()
    exact = (IndependentBernoulli(exact_logits).log_prob(every).exp() * f(every)).sum()
    (exact_gradient,) = torch.autograd.grad(exact, exact_logits)
    z = (gradient.mean(0) - exact_gradient) / (gradient.std(0) / math.sqrt(n))
    assert z.abs().max() < Z_LIMIT
    assert abs(value.mean() - exact) < Z_LIMIT * value.std() / math.sqrt(n)


def test_parameters_inside_f_get_the_mean_of_their_derivatives():
    scale = torch.tensor(2.0, dtype=DOUBLE, requires_grad=True)
    seen = []

    def f(b):
        seen.append(b)
        return scale * b.sum(-1)

    value = arm(f, IndependentBernoulli(torch.zeros(3, dtype=DOUBLE)), samples=5)
    value.backward()
    assert [each.shape for each in seen] == [(10, 3)]
    assert_close(scale.grad, seen[0].sum(-1).mean(), atol=1e-14, rtol=0)
    assert_close(value.detach(), 2 * scale.grad, atol=1e-14, rtol=0)


@pytest.mark.parametrize("size", [1e4, math.inf])
def test_extreme_logits_in_single_precision(size):
    logits = torch.tensor([size, -size, 0.5], requires_grad=True)
    q = IndependentBernoulli(logits)
    value = arm(lambda b: b.sum(-1), q, samples=4)
    value.backward()
    assert value.isfinite()
    assert logits.grad.isfinite().all()


def test_the_generator_alone_decides():
    state, place = torch.random.get_rng_state(), torch.arange(50.0)
    first, same, other = (
        arm(
            lambda b: (b @ place) ** 2,
            IndependentBernoulli(torch.zeros(50)),
            generator=torch.Generator().manual_seed(seed),
        )
        for seed in (1, 1, 2)
    )
    assert first == same
    assert first != other
    assert torch.equal(torch.random.get_rng_state(), state)


def test_bad_input_is_refused():
    bit = Independent(Bernoulli(torch.tensor([0.5, 0.5])), 1)
    with pytest.raises(UnsupportedError, match="Categorical is not a distribution over independent bits"):
        arm(lambda z: z.float(), Categorical(torch.ones(3)))
    with pytest.raises(ValueError, match="samples must be at least 1"):
        arm(lambda b: b.sum(-1), bit, samples=0)
    with pytest.raises(ValueError, match=r"shape \(2, 2\) for samples \(2, 2\); expected \(2,\)"):
        arm(lambda b: b, bit)
