"""DisARM, exactly: a bit's pair of draws takes three values, so that a sum over them is the expectation."""

import math

import pytest
import torch
from torch.distributions import Bernoulli, Categorical, Independent, OneHotCategorical
from torch.testing import assert_close

from jensen.distributions import IndependentBernoulli
from jensen.gradients._parts import UnsupportedError
from jensen.gradients.arm import kernel as arm_kernel
from jensen.gradients.binary import antithetic_pair
from jensen.gradients.disarm import disarm, kernel

DOUBLE = torch.float64
Z_LIMIT = 4.56
TOYS = [
    (0.45, 0.0, 0.025, 0.0),
    (0.499, 0.0, 5e-4, 0.0),
    (0.499, 1.5, 2.98292904e-4, 1.5489801e-7),
    (0.45, -1.0, 0.0196611933, 3.32111679e-4),
]


def every_pair(logits, pairs=1):
    """All pairs of draws `(2, pairs, N, D)` and their probabilities `(N,)`, one noise for each of three intervals."""
    p = torch.sigmoid(logits)
    edges = torch.stack([torch.zeros_like(p), torch.minimum(p, 1 - p), torch.maximum(p, 1 - p), torch.ones_like(p)])
    centre, length = (edges[1:] + edges[:-1]) / 2, edges[1:] - edges[:-1]  # (3, D)
    places = torch.cartesian_prod(*[torch.arange(3)] * (pairs * len(logits))).reshape(-1, pairs, len(logits))
    bits = torch.arange(len(logits))
    noise = centre[places, bits].movedim(1, 0)  # (pairs, N, D)
    return antithetic_pair(logits, noise), length[places, bits].flatten(1).prod(-1)


def total(moments, estimator, logits, f, pairs=1):
    draws, probability = every_pair(logits, pairs)
    repeated = logits.expand(len(probability), -1).clone().requires_grad_()
    return moments(estimator(f(draws), repeated, draws), repeated, probability)


def toy(t):
    return lambda b: (b[..., 0] - t) ** 2


@pytest.mark.parametrize(("t", "phi", "gradient", "variance"), TOYS)
def test_one_bit_is_unbiased_with_the_variance_of_the_tables(moments, t, phi, gradient, variance):
    logits = torch.tensor([phi], dtype=DOUBLE)
    found = total(moments, kernel, logits, toy(t))
    p = torch.sigmoid(logits[0])
    assert_close(found.value, p * (1 - t) ** 2 + (1 - p) * t**2, atol=1e-14, rtol=0)
    assert_close(found.gradient[0], (1 - 2 * t) * p * (1 - p), atol=1e-14, rtol=0)
    assert_close(found.gradient.item(), gradient, rtol=1e-8, atol=0)
    assert_close(found.variance.item(), variance, rtol=2e-8, atol=1e-17)
    apart = 2 * torch.sigmoid(-logits.abs()).item()
    closed = ((1 - 2 * t) * torch.sigmoid(logits.abs()).item() / 2) ** 2 * apart * (1 - apart)
    assert_close(found.variance.item(), closed, rtol=1e-10, atol=1e-17)


@pytest.mark.parametrize("pairs", [1, 2])
def test_three_coupled_bits_are_unbiased(moments, three_bits, exact, pairs):
    found = total(moments, kernel, three_bits.logits, three_bits.f, pairs)
    value, gradient = exact(three_bits)
    assert_close(found.value, value, atol=1e-12, rtol=0)
    assert_close(found.gradient, gradient, atol=1e-12, rtol=0)
    one = total(moments, kernel, three_bits.logits, three_bits.f)
    assert_close(found.variance, one.variance / pairs, atol=1e-12, rtol=0)


def test_it_is_arm_averaged_over_the_noise_of_each_pair(three_bits):
    """Both are linear in a weight for each bit, so ARM at the mean noise of an interval is its conditional mean."""
    draws, _ = every_pair(three_bits.logits)
    p = torch.sigmoid(three_bits.logits)
    mean_noise = 0.5 + 0.5 * (draws[0] - draws[1]) * torch.maximum(p, 1 - p)
    costs = three_bits.f(draws)
    gradients = []
    for estimator, last in ((kernel, draws), (arm_kernel, mean_noise)):
        repeated = three_bits.logits.expand(draws.shape[2], -1).clone().requires_grad_()
        gradients += torch.autograd.grad(estimator(costs, repeated, last).sum(), repeated)
    assert_close(gradients[0], gradients[1], atol=1e-14, rtol=0)


def test_variance_is_below_that_of_arm(moments, three_bits):
    """ARM over two Gauss nodes in each interval, where its square is integrated exactly: 0.0930 against 0.0732."""
    p = torch.sigmoid(three_bits.logits)
    edges = torch.stack([torch.zeros_like(p), torch.minimum(p, 1 - p), torch.maximum(p, 1 - p), torch.ones_like(p)])
    centre, half = (edges[1:] + edges[:-1]) / 2, (edges[1:] - edges[:-1]) / 2
    each = torch.cat([centre - half / math.sqrt(3), centre + half / math.sqrt(3)])  # (6, D)
    noise = torch.cartesian_prod(*each.T).unsqueeze(0)  # (1, N, D)
    probability = torch.cartesian_prod(*half.repeat(2, 1).T).prod(-1)
    repeated = three_bits.logits.expand(len(probability), -1).clone().requires_grad_()
    costs = three_bits.f(antithetic_pair(three_bits.logits, noise))
    arm = moments(arm_kernel(costs, repeated, noise), repeated, probability)
    found = total(moments, kernel, three_bits.logits, three_bits.f)
    assert_close(found.gradient, arm.gradient, atol=1e-12, rtol=0)
    assert found.variance < 0.8 * arm.variance


def test_a_weight_by_the_probability_in_place_of_that_of_the_likelier_value_is_caught(moments, three_bits, exact):
    """sigma(phi) for sigma(|phi|): right for positive logits, wrong for the others, here by a factor 0.549."""

    def twin(costs, logits, pairs):
        wrong = 0.5 * (pairs[0] - pairs[1]) * torch.sigmoid(logits)
        return costs.mean((0, 1)) + ((costs[0] - costs[1]).detach() * (wrong.detach() * logits).sum(-1)).mean(0)

    gradient = total(moments, twin, three_bits.logits, three_bits.f).gradient
    right = exact(three_bits)[1]
    assert_close(gradient[[0, 2]], right[[0, 2]], atol=1e-12, rtol=0)
    assert_close(gradient[1], right[1] * math.exp(-0.6), atol=1e-12, rtol=0)


def test_a_gradient_for_bits_that_agree_is_caught(moments, three_bits, exact):
    """It is zero in the mean: only the variance tells, 0.161 in place of 0.073."""

    def twin(costs, logits, pairs):
        wrong = (pairs[0] - 0.5) * torch.sigmoid(logits.abs())
        return costs.mean((0, 1)) + ((costs[0] - costs[1]).detach() * (wrong.detach() * logits).sum(-1)).mean(0)

    right, wrong = (total(moments, each, three_bits.logits, three_bits.f) for each in (kernel, twin))
    assert_close(wrong.gradient, exact(three_bits)[1], atol=1e-12, rtol=0)
    assert wrong.variance > 2 * right.variance


@pytest.mark.parametrize("shape", [(), (2,), (2, 1, 3)])
@pytest.mark.parametrize("family", [lambda p: Bernoulli(logits=p), lambda p: Bernoulli(p.sigmoid())])
def test_a_single_bit_at_even_odds_is_exact_in_any_shape(shape, family):
    logits = torch.zeros(shape, dtype=DOUBLE, requires_grad=True)
    value = disarm(lambda b: (b - 0.3) ** 2, family(logits), samples=3)
    assert_close(value.detach(), torch.full(shape, 0.29, dtype=DOUBLE), atol=1e-14, rtol=0)
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    assert_close(gradient, torch.full(shape, 0.1, dtype=DOUBLE), atol=1e-14, rtol=0)


def test_the_driver_is_unbiased(three_bits, exact):
    n = 40_000
    repeated = three_bits.logits.expand(n, 3).clone().requires_grad_()
    q = IndependentBernoulli(repeated)
    value = disarm(three_bits.f, q, samples=2, generator=torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad(value.sum(), repeated)
    exact_value, exact_gradient = exact(three_bits)
    z = (gradient.mean(0) - exact_gradient) / (gradient.std(0) / math.sqrt(n))
    assert z.abs().max() < Z_LIMIT
    assert abs(value.mean() - exact_value) < Z_LIMIT * value.std() / math.sqrt(n)


def test_probabilities_get_the_gradient_through_the_logits():
    probs = torch.tensor([0.5, 0.5], dtype=DOUBLE, requires_grad=True)
    disarm(lambda b: b, Bernoulli(probs), samples=1).sum().backward()
    assert_close(probs.grad, torch.ones(2, dtype=DOUBLE), atol=1e-13, rtol=0)


def test_parameters_inside_f_get_the_mean_of_their_derivatives():
    scale = torch.tensor(2.0, dtype=DOUBLE, requires_grad=True)
    value = disarm(lambda b: scale * b, Bernoulli(logits=torch.zeros((), dtype=DOUBLE)), samples=5)
    value.backward()
    assert_close(scale.grad, torch.tensor(0.5, dtype=DOUBLE), atol=1e-14, rtol=0)


@pytest.mark.parametrize("size", [1e4, math.inf])
def test_extreme_logits_in_single_precision(size):
    logits = torch.tensor([size, -size, 0.0], requires_grad=True)
    value = disarm(lambda b: b.sum(-1), IndependentBernoulli(logits), samples=4)
    value.backward()
    assert value == 1.5
    assert_close(logits.grad, torch.tensor([0.0, 0.0, 0.25]))


def test_bad_input_is_refused():
    for q in (Categorical(torch.ones(3)), OneHotCategorical(torch.ones(3))):
        with pytest.raises(UnsupportedError, match="is not a distribution over independent bits"):
            disarm(lambda z: z.float(), q)
    with pytest.raises(ValueError, match="samples must be at least 1"):
        disarm(lambda b: b.sum(-1), Independent(Bernoulli(torch.tensor([0.5])), 1), samples=0)


def test_a_cost_that_writes_into_its_draws_changes_nothing():
    found = []
    for f in (lambda b: b.mul_(3).sum(-1), lambda b: (3 * b).sum(-1)):
        logits = torch.tensor([0.3, -0.5], requires_grad=True)
        q = torch.distributions.Independent(torch.distributions.Bernoulli(logits=logits), 1)
        disarm(f, q, samples=5, generator=torch.Generator().manual_seed(0)).backward()
        found.append(logits.grad)
    assert torch.equal(*found)
