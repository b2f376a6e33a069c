import itertools
import math

import numpy as np
import pytest
import torch
from torch.distributions import (
    Bernoulli,
    Categorical,
    Gamma,
    Independent,
    MultivariateNormal,
    Normal,
    OneHotCategorical,
)
from torch.testing import assert_close

from jensen.distributions import DiagonalNormal, IndependentBernoulli, StandardNormal
from jensen.gradients._parts import UnsupportedError
from jensen.gradients.enumerate_exact import enumerate_exact
from jensen.gradients.measure_valued import (
    discrete_kernel,
    discrete_points,
    gaussian_kernel,
    gaussian_points,
    measure_valued,
)
from jensen.gradients.score_function import kernel as score_kernel
from jensen.gradients.score_function import mean_of_others
from jensen.gradients.states import log_prob_table

DOUBLE = torch.float64
LOC = torch.tensor([0.7, -0.4], dtype=DOUBLE)
SCALE = torch.tensor([1.3, 0.6], dtype=DOUBLE)


def legendre(ends, n=60):
    """Nodes and weights on the pieces between the ends."""
    nodes, weights = (torch.as_tensor(each) for each in np.polynomial.legendre.leggauss(n))
    pieces = list(itertools.pairwise(ends))
    where = torch.cat([(b - a) / 2 * nodes + (a + b) / 2 for a, b in pieces])
    return where, torch.cat([(b - a) / 2 * weights for a, b in pieces])


def hermite(n):
    nodes, weights = (torch.as_tensor(each) for each in np.polynomial.hermite_e.hermegauss(n))
    return nodes, weights / math.sqrt(2 * math.pi)


def gaussian(x):
    return torch.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)


def rayleigh(*breaks):
    r, weight = legendre([0.0, *breaks, 12.0])
    return r, weight * r * torch.exp(-0.5 * r * r)


def grid(*rules):
    """The product of one-dimensional rules: a tensor for each dimension, and the weights."""
    nodes = torch.meshgrid(*(node for node, _ in rules), indexing="ij")
    weights = torch.meshgrid(*(weight for _, weight in rules), indexing="ij")
    return [each.flatten() for each in nodes], torch.stack(weights).prod(0).flatten()


def mean_gradient(f, *, noise, weight, z, D):
    """Gradients in mean and scale, each point of the noise `(4, N)` a batch element, the draws `(N, D)`."""
    N = len(weight)
    loc = LOC[:D].expand(N, D).clone().requires_grad_()
    scale = SCALE[:D].expand(N, D).clone().requires_grad_()
    draws = (LOC[:D] + SCALE[:D] * z).expand(1, 1, 1, N, D)
    points = gaussian_points(draws, noise[:, None, :, None].expand(4, 1, N, D), loc=loc, scale=scale)
    assert points.shape == (4, D, 1, N, D)
    value = gaussian_kernel(f(draws[0, 0]), f(points).detach(), loc=loc, scale=scale)
    return tuple(weight @ each for each in torch.autograd.grad(value.sum(), (loc, scale)))


def coupling(f, D, others=4):
    """Integrates over Rayleigh noise for the means, Maxwell times uniform noise for the scales, and the other draws."""
    rules = [hermite(others)] * D
    (r, *z), weight = grid(rayleigh(), *rules)
    along_loc, _ = mean_gradient(f, noise=torch.stack([r, -r, 0 * r, 0 * r]), weight=weight, z=torch.stack(z, -1), D=D)
    node, mass = hermite(8)
    (m, u, *z), weight = grid((node, mass * node**2), legendre([0.0, 1.0], 8), *rules)
    _, along_scale = mean_gradient(
        f, noise=torch.stack([0 * m, 0 * m, m, m * u]), weight=weight, z=torch.stack(z, -1), D=D
    )
    return along_loc, along_scale


def test_the_gradient_of_a_smooth_cost_over_all_noise():
    """E (x^3 + x) = mu^3 + 3 mu sigma^2 + mu."""
    along_loc, along_scale = coupling(lambda z: (z**3 + z).sum(-1), 1)
    mu, sigma = LOC[0], SCALE[0]
    assert_close(along_loc[0], 3 * mu**2 + 3 * sigma**2 + 1, atol=1e-12, rtol=0)
    assert_close(along_scale[0], 6 * mu * sigma, atol=1e-12, rtol=0)


def test_one_coordinate_at_a_time_where_they_are_coupled():
    """E (x^2 y + x y^3)."""

    def exact(parameters):
        (x, y), (s, t) = parameters[:2], parameters[2:]
        return (x**2 + s**2) * y + x * (y**3 + 3 * y * t**2)

    wanted = torch.autograd.functional.jacobian(exact, torch.cat([LOC, SCALE]))
    found = torch.cat(coupling(lambda z: z[..., 0] ** 2 * z[..., 1] + z[..., 0] * z[..., 1] ** 3, 2))
    assert_close(found, wanted, atol=1e-11, rtol=0)


@pytest.mark.parametrize("jump", [1.5, -0.2])
def test_the_gradient_of_a_jump_over_all_noise(jump):
    """The chance of exceeding the jump, its derivative the density there."""
    a = (jump - LOC[0].item()) / SCALE[0].item()

    def exceeds(z):
        return (z[..., 0] > jump).double()

    r, weight = rayleigh(abs(a))
    zero = torch.zeros(len(r), 1, dtype=DOUBLE)
    along_loc, _ = mean_gradient(exceeds, noise=torch.stack([r, -r, r, r]), weight=weight, z=zero, D=1)
    m, density = legendre(sorted([-12.0, 0.0, a, 12.0]))
    zero = torch.zeros(len(m), 1, dtype=DOUBLE)
    sides = [
        mean_gradient(exceeds, noise=noise, weight=density * gaussian(m) * m**power, z=zero, D=1)[1]
        for noise, power in (
            (torch.stack([m, m, m, torch.full_like(m, -1e9)]), 2),
            (torch.stack([m, m, torch.full_like(m, -1e9), m]), 0),
        )
    ]
    there = gaussian(torch.tensor(a, dtype=DOUBLE)) / SCALE[0]
    assert_close(along_loc[0], there, atol=1e-12, rtol=0)
    assert_close((sides[0] + sides[1])[0], a * there, atol=1e-12, rtol=0)


def test_parts_of_another_shape_are_caught():
    """Half-normal in place of Rayleigh noise: 2 / pi of the slope of a line."""
    n, weight = legendre([0.0, 12.0])
    weight = 2 * weight * gaussian(n)
    zero = torch.zeros(len(n), 1, dtype=DOUBLE)
    along_loc, _ = mean_gradient(lambda z: z.sum(-1), noise=torch.stack([n, -n, n, n]), weight=weight, z=zero, D=1)
    assert_close(along_loc[0].item(), 2 / math.pi, atol=1e-12, rtol=0)


def test_maxwell_times_uniform_is_gaussian():
    node, mass = hermite(20)
    (m, u), weight = grid((node, mass * node**2), legendre([0.0, 1.0], 20))
    for power, moment in ((1, 0), (2, 1), (3, 0), (4, 3), (6, 15), (8, 105)):
        assert_close((weight @ (m * u) ** power).item(), float(moment), atol=1e-10, rtol=0)


def over_all_draws(f, make, logits):
    """The discrete estimator with each possible draw a batch element, the parameters' copies, the probabilities."""
    z, log_q = log_prob_table(make(logits))
    copies = logits.expand(len(z), *logits.shape).clone().requires_grad_()
    leaf = make(copies)
    while isinstance(leaf, Independent):
        leaf = leaf.base_dist
    values, log_p = log_prob_table(leaf)  # (C, N, *sites, *inner), (C, N, *sites)
    sites, inner = math.prod(log_p.shape[2:]), leaf.event_shape
    values, log_p = values.reshape(*values.shape[:2], sites, *inner), log_p.reshape(*log_p.shape[:2], sites)
    points = discrete_points(z.reshape(1, 1, 1, len(z), sites, *inner), values, log_p=log_p)
    assert points.shape == (len(values), sites, 1, len(z), sites, *inner)
    cost_at = f(points.reshape(*points.shape[:4], *z.shape[1:]))
    estimate = discrete_kernel(f(z).unsqueeze(0), cost_at, log_p=log_p)
    return estimate, copies, log_q.exp()


def test_value_and_gradient_over_all_draws(case, exact, moments):
    value, gradient = exact(case)
    found = moments(*over_all_draws(case.f, case.q, case.logits))
    assert_close(found.value, value, atol=1e-12, rtol=0)
    assert_close(found.gradient, gradient, atol=1e-12, rtol=0)


MATRIX = torch.tensor([[0.6, -0.4, 0.1], [-0.9, 1.2, 0.3]], dtype=DOUBLE)


def of_indices(z):
    return (z[..., 0] * 2.0 - z[..., 1] - 0.3).double() ** 3


def of_rows(z):
    return of_indices(z.argmax(-1))


@pytest.mark.parametrize(("family", "f"), [(Categorical, of_indices), (OneHotCategorical, of_rows)])
def test_products_of_categoricals_over_all_draws(family, f):
    def make(logits):
        return Independent(family(logits=logits), 1)

    estimate, copies, probability = over_all_draws(f, make, MATRIX)
    (found,) = torch.autograd.grad((probability * estimate).sum(), copies)
    logits = MATRIX.clone().requires_grad_()
    value = enumerate_exact(f, make(logits))
    assert_close((probability * estimate).sum(), value, atol=1e-12, rtol=0)
    assert_close(found.sum(0), torch.autograd.grad(value, logits)[0], atol=1e-12, rtol=0)


def test_a_negative_part_that_may_be_the_value_itself_is_caught(four, exact):
    """p_j (1 - p_j) (f(j) - E f) instead of the mean over the other values."""
    p, f = four.logits.softmax(-1), four.f(four.states)
    _, gradient = exact(four)
    without = [(p @ f - p[j] * f[j]) / (1 - p[j]) for j in range(4)]
    assert_close(p * (1 - p) * (f - torch.stack(without)), gradient, atol=1e-12, rtol=0)
    assert_close(p * (1 - p) * (f - p @ f), (1 - p) * gradient, atol=1e-12, rtol=0)


def test_one_coordinate_has_no_variance_and_three_have_less_than_a_pair_of_draws(
    four, three_bits, moments, over_all_tuples
):
    assert moments(*over_all_draws(four.f, four.q, four.logits)).variance.abs() < 1e-12
    found = moments(*over_all_draws(three_bits.f, three_bits.q, three_bits.logits)).variance
    others = over_all_tuples(three_bits, lambda c, l: score_kernel(c, l, baseline=mean_of_others(c)), 2).variance
    assert found < others / 2


def z_scores(gradient, exact):
    return (gradient.mean(0) - exact) / (gradient.std(0) / math.sqrt(len(gradient)))


@pytest.mark.parametrize("coupled", [True, False])
@pytest.mark.parametrize("family", ["normal", "independent", "ours"])
def test_the_driver_is_unbiased_for_gaussians(coupled, family):
    n = 20_000
    loc = LOC.expand(n, 2).clone().requires_grad_()
    log_scale = SCALE.log().expand(n, 2).clone().requires_grad_()
    q = {
        "normal": lambda: Normal(loc, log_scale.exp()),
        "independent": lambda: Independent(Normal(loc, log_scale.exp()), 1),
        "ours": lambda: DiagonalNormal(loc, log_scale),
    }[family]()
    joint = family != "normal"

    def f(z):
        return (z[..., 0] > 1) * z[..., 1] ** 2 if joint else (z > 1) + z**2

    value = measure_valued(f, q, samples=2, coupled=coupled, generator=torch.Generator().manual_seed(4))
    found = torch.cat(torch.autograd.grad(value.sum(), (loc, log_scale)), -1)

    def exact(parameters):
        loc, scale = parameters[:2], parameters[2:].exp()
        chance, square = 0.5 * torch.erfc((1 - loc) / scale / math.sqrt(2)), loc**2 + scale**2
        return chance[0] * square[1] if joint else (chance + square).sum()

    wanted = torch.autograd.functional.jacobian(exact, torch.cat([LOC, SCALE.log()]))
    assert z_scores(found, wanted).abs().max() < 4.56


@pytest.mark.parametrize("coupled", [True, False])
@pytest.mark.parametrize("ours", [True, False])
def test_the_driver_is_unbiased_for_bits(coupled, ours, three_bits, exact):
    n = 5_000
    logits = three_bits.logits.expand(n, 3).clone().requires_grad_()
    q = IndependentBernoulli(logits) if ours else three_bits.q(logits)
    value = measure_valued(three_bits.f, q, coupled=coupled, generator=torch.Generator().manual_seed(4))
    (found,) = torch.autograd.grad(value.sum(), logits)
    assert z_scores(found, exact(three_bits)[1]).abs().max() < 4.56


def spreads(f):
    """Variances of the gradients in mean and scale at N(0, 1), coupled and not."""
    found = []
    for coupled in (True, False):
        loc = torch.zeros(10_000, dtype=DOUBLE, requires_grad=True)
        scale = torch.ones(10_000, dtype=DOUBLE, requires_grad=True)
        generator = torch.Generator().manual_seed(0)
        value = measure_valued(f, Normal(loc, scale), coupled=coupled, generator=generator)
        found.append(torch.stack([each.var() for each in torch.autograd.grad(value.sum(), (loc, scale))]))
    return torch.stack(found)


def test_coupling_lowers_the_variance_but_of_a_line_in_the_mean():
    """For a line the parts of the mean differ by 2 R, of twice the variance of R + R'; for a square by nothing."""
    line, square = spreads(lambda z: z), spreads(lambda z: z**2)
    of_one = (2 - math.pi / 2) / (2 * math.pi)
    assert_close(line[:, 0], torch.tensor([4 * of_one, 2 * of_one], dtype=DOUBLE), rtol=0.05, atol=0)
    assert line[0, 1] < line[1, 1] / 2
    assert square[0, 0] == 0
    assert square[0, 1] < square[1, 1]


@pytest.mark.parametrize(
    "make",
    [
        lambda p: Normal(p, 1.0),
        lambda p: Independent(Normal(p, p.exp()), 1),
        lambda p: Independent(Normal(p, 1.0), 3),
        lambda p: DiagonalNormal(p, p),
        lambda p: Independent(DiagonalNormal(p, p), 1),
        lambda p: Bernoulli(logits=p),
        lambda p: Bernoulli(probs=p.sigmoid()),
        lambda p: Independent(Bernoulli(logits=p), 2),
        lambda p: IndependentBernoulli(p),
        lambda p: Independent(IndependentBernoulli(p), 1),
        lambda p: Categorical(logits=p),
        lambda p: Independent(Categorical(logits=p), 1),
        lambda p: Independent(OneHotCategorical(logits=p), 2),
    ],
)
@pytest.mark.parametrize("coupled", [True, False])
def test_shapes_evaluations_and_the_gradient_of_the_cost(make, coupled):
    parameter = torch.linspace(-1, 1, 30, dtype=DOUBLE).reshape(5, 2, 3).requires_grad_()
    weight = torch.tensor(2.0, dtype=DOUBLE, requires_grad=True)
    q, seen = make(parameter), []

    def f(z):
        event = z.ndim - len(q.event_shape)
        cost = weight * z.double().unsqueeze(-1).flatten(event).sum(-1) ** 2
        seen.append((z, cost.detach(), torch.is_grad_enabled()))
        return cost

    value = measure_valued(f, q, samples=4, coupled=coupled)
    assert value.shape == q.batch_shape
    assert torch.equal(value, seen[0][1].mean(0))
    (found, own) = torch.autograd.grad(value.sum(), (parameter, weight))
    assert found.isfinite().all()
    assert found.abs().max() > 0
    assert_close(own, seen[0][1].mean(0).sum() / 2)
    leaf, sites = q, math.prod(q.event_shape)
    while isinstance(leaf, Independent):
        leaf = leaf.base_dist
    values = 3 if isinstance(leaf, Categorical | OneHotCategorical) else 2
    if isinstance(leaf, OneHotCategorical):
        sites //= 3
    parts = 4 if isinstance(leaf, Normal | DiagonalNormal) else values
    assert [(len(z), graph) for z, _, graph in seen] == [(4, True), (4 * parts * sites, False)]
    q.log_prob(seen[1][0])  # with validation: the points are values of q


def test_coupling_shares_the_other_coordinates(three_bits):
    def cost(z):
        return 10 * z[..., 1:].sum(-1) + z[..., 0]

    spread = []
    for coupled in (True, False):
        logits = three_bits.logits.expand(2_000, 3).clone().requires_grad_()
        value = measure_valued(cost, three_bits.q(logits), coupled=coupled)
        spread.append(torch.autograd.grad(value.sum(), logits)[0][:, 0].var())
    assert spread[0] < 1e-20
    assert spread[1] > 1


def test_an_impossible_value_is_never_evaluated():
    logits = torch.tensor([0.0, -math.inf, 0.0], dtype=DOUBLE, requires_grad=True)
    table = torch.tensor([1.0, math.nan, 3.0], dtype=DOUBLE)
    value = measure_valued(lambda z: table[z], Categorical(logits=logits))
    (found,) = torch.autograd.grad(value, logits)
    assert value.item() in (1.0, 3.0)
    assert_close(found, torch.tensor([-0.5, 0.0, 0.5], dtype=DOUBLE))


def test_extreme_logits_in_single_precision():
    for make in (lambda l: Categorical(logits=l), lambda l: Bernoulli(logits=l)):
        logits = torch.tensor([1e4, -1e4], requires_grad=True)
        measure_valued(lambda z: z + 1.0, make(logits), samples=3).sum().backward()
        assert torch.equal(logits.grad, torch.zeros(2))


def test_a_gaussian_without_parameters_passes_the_gradient_of_the_cost():
    weight = torch.tensor(2.0, requires_grad=True)
    value = measure_valued(lambda z: weight * z.square().sum(-1), StandardNormal(torch.zeros(5, 2)), samples=3)
    value.sum().backward()
    assert_close(weight.grad * 2, value.sum().detach())


def test_a_cost_that_draws_does_not_follow_the_generator():
    draws = []

    def f(z):
        draws.append(torch.rand(3))
        return z

    for _ in range(2):
        measure_valued(f, Normal(0.0, 1.0), generator=torch.Generator().manual_seed(0))
    assert len({tuple(each.tolist()) for each in draws}) == 4


def test_the_generator_alone_decides():
    found = []
    for seed in (1, 1, 2):
        loc = torch.zeros((), requires_grad=True)
        value = measure_valued(lambda z: z**3, Normal(loc, 1.0), generator=torch.Generator().manual_seed(seed))
        found.append((value.item(), torch.autograd.grad(value, loc)[0].item()))
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize("q", [Gamma(1.0, 1.0), MultivariateNormal(torch.zeros(2), torch.eye(2))], ids=repr)
def test_what_has_no_weak_derivative_here_is_refused(q):
    with pytest.raises(UnsupportedError, match=f"{type(q).__name__} has no weak derivative here"):
        measure_valued(lambda z: z, q)


def test_no_sample_is_refused():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        measure_valued(lambda z: z, Normal(0.0, 1.0), samples=0)
