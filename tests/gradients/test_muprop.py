import math

import pytest
import torch
from torch.distributions import Bernoulli, Categorical, Cauchy, Independent, Normal, OneHotCategorical
from torch.testing import assert_close

from jensen.distributions.conditional_bernoulli import ConditionalBernoulli
from jensen.distributions.plackett_luce import PlackettLuce
from jensen.gradients._parts import UnsupportedError
from jensen.gradients.baselines import MovingAverage
from jensen.gradients.muprop import Expansion, _expand, kernel, muprop
from jensen.gradients.score_function import mean_of_others

DOUBLE = torch.float64
Z_LIMIT = 4.56
TOYS = [
    (0.45, 0.0, 0.025, 1.5625e-2),
    (0.499, 0.0, 5e-4, 1.5625e-2),
    (0.499, 1.5, 2.98292904e-4, 4.55378817e-2),
    (0.45, -1.0, 0.0196611933, 3.30769439e-2),
]


def total(moments, tuples, case, K=1, *, f=None, baseline=None, estimator=kernel):
    """Exact moments over every K-tuple of draws."""
    f = f or case.f
    index = tuples(len(case.states), K)
    logits = case.logits.expand(index.shape[1], -1).clone().requires_grad_()
    q, z = case.q(logits), case.states[index]
    log_q, expansion = q.log_prob(z), _expand(f, q)
    residual = f(z) - expansion.at(z)
    residual = residual - (baseline(residual) if baseline else 0.0)
    term = estimator(residual, log_q, expansion)
    value = f(z).mean(0)
    return moments(value + term - term.detach(), logits, log_q.detach().sum(0).exp())


class Toy:
    """One bit, the squared distance to t."""

    def __init__(self, t, phi):
        self.logits = torch.tensor([phi], dtype=DOUBLE)
        self.states = torch.tensor([[0.0], [1.0]], dtype=DOUBLE)
        self.t = t

    def q(self, logits):
        return Independent(Bernoulli(logits=logits), 1)

    def f(self, z):
        return (z[..., 0] - self.t) ** 2


@pytest.mark.parametrize(("t", "phi", "gradient", "variance"), TOYS)
def test_one_bit_is_unbiased_with_the_variance_of_the_tables(moments, tuples, t, phi, gradient, variance):
    found = total(moments, tuples, Toy(t, phi))
    p = torch.sigmoid(torch.tensor(phi, dtype=DOUBLE))
    assert_close(found.gradient[0], (1 - 2 * t) * p * (1 - p), atol=1e-14, rtol=0)
    assert_close(found.gradient.item(), gradient, rtol=1e-8, atol=0)
    assert_close(found.variance.item(), variance, rtol=1e-8, atol=0)


def cubic(w):
    return lambda z: (z @ w - 0.3) ** 3 + (0.4 * z).exp().sum(-1)


@pytest.mark.parametrize("K", [1, 2, 3])
@pytest.mark.parametrize("baseline", [None, lambda r: 7.0, mean_of_others])
def test_unbiased_over_every_tuple(moments, tuples, case, exact, K, baseline):
    if baseline is mean_of_others and K == 1:
        return
    w = torch.tensor([1.0, -2.0, 3.0, 0.5], dtype=DOUBLE)[: case.states.shape[-1]]
    other = case._replace(f=cubic(w))
    value, gradient = exact(other)
    found = total(moments, tuples, other, K, baseline=baseline)
    assert_close(found.value, value, atol=1e-12, rtol=0)
    assert_close(found.gradient, gradient, atol=1e-12, rtol=0)


def test_without_the_term_through_the_mean_it_is_biased(moments, tuples, case, exact):
    def twin(residual, log_q, expansion):
        return (residual.detach() * log_q).mean(0)

    gradient = exact(case)[1]
    assert (total(moments, tuples, case, estimator=twin).gradient - gradient).abs().max() > 0.1


def test_an_expansion_that_keeps_its_gradient_is_caught(moments, tuples, case, exact):
    """The residual must be a constant: through the mean in it there is a term too many."""

    def twin(residual, log_q, expansion):
        left = residual + (expansion.slope * (expansion.mean.detach() - expansion.mean)).sum(-1)
        return (left * log_q).mean(0) + (expansion.slope * expansion.mean).sum(-1)

    gradient = exact(case)[1]
    assert (total(moments, tuples, case, estimator=twin).gradient - gradient).abs().max() > 0.1


def test_a_linear_cost_has_no_variance(moments, tuples, case, exact):
    w = torch.linspace(-1, 2, case.states.shape[-1], dtype=DOUBLE)
    linear = case._replace(f=lambda z: z @ w + 3)
    found = total(moments, tuples, linear)
    assert_close(found.gradient, exact(linear)[1], atol=1e-13, rtol=0)
    assert found.variance.abs() < 1e-13


def test_the_gaussian_by_quadrature():
    """Mean and scale, over the nodes of a 40-point Gauss-Hermite rule; the cost is a polynomial of degree four."""
    from numpy.polynomial.hermite_e import hermegauss

    nodes, weights = (torch.tensor(each, dtype=DOUBLE) for each in hermegauss(40))
    weights = weights / weights.sum()
    loc, scale = (torch.tensor(each, dtype=DOUBLE, requires_grad=True) for each in (0.7, 1.3))

    def f(z):
        return z**4 - 2 * z**3 + z

    q = Normal(loc.expand(40), scale.expand(40))
    z = (loc + scale * nodes).detach().unsqueeze(0)
    expansion = _expand(f, q)
    term = kernel(f(z) - expansion.at(z), q.log_prob(z), expansion)
    found = torch.autograd.grad((weights * term).sum(), (loc, scale))
    exact = torch.autograd.grad((weights * f(loc + scale * nodes)).sum(), (loc, scale))
    assert_close(found, exact, atol=1e-10, rtol=0)


def test_a_subset_with_its_marginals_as_mean(moments, tuples, exact, three_bits):
    q = ConditionalBernoulli(torch.tensor([0.6, -0.4, 0.1, -0.9], dtype=DOUBLE), 2)
    case = three_bits._replace(
        logits=q.logits, q=lambda l: ConditionalBernoulli(l, 2), states=q.enumerate_support(),
        f=cubic(torch.tensor([1.0, -2.0, 3.0, 0.5], dtype=DOUBLE)),
    )  # fmt: skip
    value, gradient = exact(case)
    found = total(moments, tuples, case, 2)
    assert_close(found.value, value, atol=1e-12, rtol=0)
    assert_close(found.gradient, gradient, atol=1e-12, rtol=0)


@pytest.mark.parametrize("baseline", [None, 3.0, "leave_one_out", "module"])
def test_the_driver_is_unbiased(case, exact, baseline):
    n = 20_000
    logits = case.logits.expand(n, -1).clone().requires_grad_()
    given = MovingAverage() if baseline == "module" else baseline
    value = muprop(case.f, case.q(logits), samples=3, baseline=given, generator=torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    exact_value, exact_gradient = exact(case)
    z = (gradient.mean(0) - exact_gradient) / (gradient.std(0) / math.sqrt(n))
    assert z.abs().max() < Z_LIMIT
    assert abs(value.mean() - exact_value) < Z_LIMIT * value.std() / math.sqrt(n)
    if baseline == "module":
        assert given() != 0


@pytest.mark.parametrize("shape", [(), (2,), (2, 1, 3)])
@pytest.mark.parametrize(
    "family",
    [
        lambda p: Bernoulli(p.sigmoid()),
        lambda p: Normal(p, 1.0),
        lambda p: Independent(Normal(p.unsqueeze(-1), 1.0), 1),
        lambda p: OneHotCategorical(torch.stack([p.sigmoid(), (-p).sigmoid()], -1)),
    ],
)
def test_any_batch_and_event_shape(shape, family):
    logits = torch.zeros(shape, dtype=DOUBLE, requires_grad=True)
    q = family(logits)

    def f(z):
        return (z**3).reshape(z.shape[0], *shape, -1).sum(-1)

    value = muprop(f, q, samples=2)
    assert value.shape == shape
    assert torch.autograd.grad(value.sum(), logits)[0].isfinite().all()


def test_parameters_inside_f_get_the_mean_of_their_derivatives_at_the_draws_alone():
    scale = torch.tensor(2.0, dtype=DOUBLE, requires_grad=True)
    seen = []

    def f(z):
        seen.append(z.detach())
        return (scale * z) ** 2

    value = muprop(f, Normal(torch.tensor(1.0, dtype=DOUBLE), 1.0), samples=5)
    value.backward()
    assert sorted(len(each) for each in seen) == [1, 5]
    draws = max(seen, key=len)
    assert_close(scale.grad, (2 * scale.detach() * draws**2).mean(), atol=1e-13, rtol=0)


def test_without_gradients_it_is_still_a_value():
    with torch.no_grad():
        value = muprop(lambda b: b + 1.0, Bernoulli(torch.tensor([0.0, 1.0])))
    assert value.tolist() == [1.0, 2.0]
    assert not value.requires_grad


@pytest.mark.parametrize("family", [Bernoulli, OneHotCategorical])
def test_extreme_logits_in_single_precision(family):
    logits = torch.tensor([1e4, -1e4, 0.0], requires_grad=True)
    value = muprop(lambda z: (z**2).reshape(4 if len(z) == 4 else 1, -1).sum(-1) if family is OneHotCategorical
                   else z**2, family(logits=logits), samples=4)  # fmt: skip
    value.sum().backward()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize(
    "q",
    [Categorical(torch.ones(3)), PlackettLuce(torch.zeros(3)), Cauchy(torch.zeros(2), 1.0)],
    ids=lambda q: type(q).__name__,
)
def test_a_distribution_without_a_mean_is_refused(q):
    with pytest.raises(UnsupportedError, match=f"{type(q).__name__} has no mean"):
        muprop(lambda z: z.double().sum(-1), q)


@pytest.mark.parametrize("f", [lambda b: (b > 0.5).float(), lambda b: b.detach() * 2, lambda b: b.new_ones(b.shape)])
def test_a_cost_without_a_derivative_is_refused(f):
    weight = torch.ones((), requires_grad=True)
    for cost in (f, lambda b: weight * f(b)):
        with pytest.raises(UnsupportedError, match="no derivative at the mean of Bernoulli"):
            muprop(cost, Bernoulli(torch.tensor([0.5])))


def test_bad_sample_counts_are_refused():
    q = Bernoulli(torch.tensor([0.5]))
    with pytest.raises(ValueError, match="samples must be at least 1"):
        muprop(lambda b: b, q, samples=0)
    with pytest.raises(ValueError, match="samples must be at least 2"):
        muprop(lambda b: b, q, baseline="leave_one_out")


def test_the_expansion_is_first_order():
    q = Independent(Bernoulli(torch.tensor([0.5, 0.25], dtype=DOUBLE)), 1)
    expansion = _expand(lambda z: (z**2).sum(-1), q)
    assert isinstance(expansion, Expansion)
    assert_close(expansion.slope, torch.tensor([1.0, 0.5], dtype=DOUBLE))
    assert_close(expansion.at(torch.ones(1, 2, dtype=DOUBLE)), torch.tensor([0.3125 + 0.5 + 0.375], dtype=DOUBLE))
