"""The score function: over every tuple of draws, over its options, and what it refuses."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Bernoulli, Categorical, Distribution, Independent, Normal, OneHotCategorical
from torch.testing import assert_close

from jensen.gradients._parts import UnsupportedError, worth
from jensen.gradients.score_function import (
    higher_order_kernel,
    kernel,
    leave_one_out,
    mean_of_others,
    score_function,
)

DOUBLE = torch.float64


def with_others(cost, log_q):
    return kernel(cost, log_q, baseline=mean_of_others(cost))


def with_constant(cost, log_q):
    return kernel(cost, log_q, baseline=2.5)


def seeing_itself(cost, log_q):
    """A twin whose baseline is the mean of all costs, its own included."""
    return kernel(cost, log_q, baseline=cost.mean(0))


def through_the_cost(cost, log_q):
    """A twin that forgets to hold the cost constant where it multiplies the score."""
    return worth(cost.mean(0), (cost * log_q).mean(0))


KERNELS = [
    (kernel, 1), (kernel, 3), (with_constant, 1), (with_constant, 2), (with_others, 2), (with_others, 4),
    (higher_order_kernel, 1), (higher_order_kernel, 3),
]  # fmt: skip


@pytest.mark.parametrize(("estimator", "K"), KERNELS)
def test_value_and_gradient_are_unbiased(estimator, K, case, over_all_tuples, exact):
    value, gradient = exact(case)
    found = over_all_tuples(case, estimator, K)
    assert_close(found.value, value, atol=1e-12, rtol=0)
    assert_close(found.gradient, gradient, atol=1e-12, rtol=0)


@pytest.mark.parametrize("K", [2, 3])
def test_a_baseline_that_sees_its_own_cost_is_caught(K, case, over_all_tuples, exact):
    _, gradient = exact(case)
    assert_close(over_all_tuples(case, seeing_itself, K).gradient, (K - 1) / K * gradient, atol=1e-12, rtol=0)


def second_derivatives(estimator, case, K, tuples):
    """The mean Hessian over all tuples, with a parameter inside the cost too."""
    index = tuples(len(case.states), K)
    parameters = torch.cat([case.logits, torch.tensor([0.7], dtype=DOUBLE)])
    z = case.states[index]

    def mean_of_estimates(parameters):
        logits, power = parameters[:-1], parameters[-1]
        log_q = case.q(logits).log_prob(z)
        return (log_q.detach().sum(0).exp() * estimator(case.f(z) ** power, log_q)).sum()

    def enumerated(parameters):
        logits, power = parameters[:-1], parameters[-1]
        return (case.q(logits).log_prob(case.states).exp() * case.f(case.states) ** power).sum()

    exact = torch.autograd.functional.hessian(enumerated, parameters)
    return torch.autograd.functional.hessian(mean_of_estimates, parameters), exact


def higher_with_others(cost, log_q):
    return higher_order_kernel(cost, log_q, baseline=mean_of_others(cost))


def higher_with_constant(cost, log_q):
    return higher_order_kernel(cost, log_q, baseline=2.5)


@pytest.mark.parametrize(
    ("estimator", "K"), [(higher_order_kernel, 1), (higher_with_constant, 2), (higher_with_others, 3)]
)
def test_second_derivatives_are_unbiased_where_asked(estimator, K, case, tuples):
    found, exact = second_derivatives(estimator, case, K, tuples)
    assert_close(found, exact, atol=1e-11, rtol=0)


def test_second_derivatives_of_the_first_order_estimator_are_caught(four, tuples):
    found, exact = second_derivatives(kernel, four, 1, tuples)
    assert_close(found[-1, -1], exact[-1, -1], atol=1e-11, rtol=0)
    assert (found[:-1, :-1] - exact[:-1, :-1]).abs().max() > 0.5


def test_the_first_derivative_is_the_same_for_both_kernels(four, over_all_tuples):
    """Not only in the mean: the baseline counts with the same sign."""
    first, higher = (over_all_tuples(four, each, 2) for each in (with_others, higher_with_others))
    assert_close(first, higher, atol=1e-12, rtol=0)


def test_no_baseline_gets_a_gradient_of_any_order():
    level = torch.ones(4, requires_grad=True)
    logits = torch.zeros(4, 3, requires_grad=True)
    value = score_function(lambda z: z.float(), Categorical(logits=logits), baseline=level, higher_order=True)
    (gradient,) = torch.autograd.grad(value.sum(), logits, create_graph=True)
    assert torch.autograd.grad(gradient.square().sum(), level, allow_unused=True) == (None,)


def test_third_derivatives_are_unbiased_where_asked(four):
    def third(value):
        def derivative(x):
            first = torch.autograd.grad(value(x), x, create_graph=True)[0]
            second = torch.autograd.grad(first[1], x, create_graph=True)[0]
            return torch.autograd.grad(second[2], x)[0]

        return derivative(four.logits.clone().requires_grad_())

    f = four.f(four.states)

    def estimated(logits):
        log_q = four.q(logits).log_prob(four.states)
        return (log_q.detach().exp() * higher_order_kernel(f.unsqueeze(0), log_q.unsqueeze(0), baseline=1.5)).sum()

    assert_close(third(estimated), third(lambda l: l.softmax(-1) @ f), atol=1e-12, rtol=0)


def test_second_derivatives_of_one_estimator_inside_another():
    """x ~ Bernoulli(a), y ~ Bernoulli(b + x), all four outcomes."""
    x, y = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=DOUBLE)] * 2).T
    cost = torch.tensor([1.0, -2.0, 5.0, 0.5], dtype=DOUBLE)
    parameters = torch.tensor([0.4, -0.3], dtype=DOUBLE)

    def log_probs(p):
        return Bernoulli(logits=p[0].expand(4)).log_prob(x), Bernoulli(logits=p[1] + x).log_prob(y)

    def nested(p, *, inner=higher_order_kernel, outer=higher_order_kernel):
        log_q, log_r = log_probs(p)
        conditional = inner(cost.unsqueeze(0), log_r.unsqueeze(0), baseline=0.7)
        return ((log_q + log_r).detach().exp() * outer(conditional.unsqueeze(0), log_q.unsqueeze(0))).sum()

    def enumerated(p):
        return (sum(log_probs(p)).exp() * cost).sum()

    hessian = torch.autograd.functional.hessian
    wanted = hessian(enumerated, parameters)
    assert_close(hessian(nested, parameters), wanted, atol=1e-12, rtol=0)
    first_order = hessian(lambda p: nested(p, inner=kernel, outer=kernel), parameters)
    assert (first_order - wanted).abs().max() > 0.1


def test_parameters_inside_the_cost_get_their_own_gradient(case, tuples):
    index = tuples(len(case.states), 2)
    power = torch.tensor(0.7, dtype=DOUBLE, requires_grad=True)
    z = case.states[index]
    log_q = case.q(case.logits.clone().requires_grad_()).log_prob(z)
    probability = log_q.detach().sum(0).exp()
    exact = (case.q(case.logits).log_prob(case.states).exp() * case.f(case.states) ** power).sum()
    (wanted,) = torch.autograd.grad(exact, power)
    for estimator in (kernel, with_others, higher_order_kernel, higher_with_others):
        (found,) = torch.autograd.grad((probability * estimator(case.f(z) ** power, log_q)).sum(), power)
        assert_close(found, wanted, atol=1e-12, rtol=0)
    (twin,) = torch.autograd.grad((probability * through_the_cost(case.f(z) ** power, log_q)).sum(), power)
    assert (twin - wanted).abs() > 0.1


def test_the_value_is_the_mean_cost_whatever_the_baseline():
    table, q = torch.tensor([1.0, 5.0, -2.0]), Categorical(logits=torch.zeros(4, 3))
    seen = []

    def f(z):
        seen.append(table[z])
        return seen[-1]

    for baseline in (None, 3, 0.5, "leave_one_out", torch.zeros(4), torch.zeros(5, 1)):
        for higher_order in (False, True):
            value = score_function(f, q, samples=5, baseline=baseline, higher_order=higher_order)
            assert torch.equal(value, seen[-1].mean(0))
    assert len(seen) == 12
    assert all(cost.shape == (5, 4) for cost in seen)


class Constant(nn.Module):
    """A baseline without memory."""

    def __init__(self, level):
        super().__init__()
        self.level = nn.Parameter(level)

    def forward(self):
        return self.level


def replicates(q_of, logits, n):
    """`n` copies of the parameters, and a distribution over them as its batch."""
    copies = logits.expand(n, *logits.shape).clone().requires_grad_()
    return copies, q_of(copies)


@pytest.mark.parametrize(
    "options",
    [
        {"samples": 1},
        {"samples": 3, "baseline": 2.5},
        {"samples": 3, "baseline": "leave_one_out"},
        {"samples": 2, "baseline": Constant(torch.tensor(3.0))},
        {"samples": 2, "baseline": torch.tensor(3.0, requires_grad=True), "higher_order": True},
    ],
    ids=["plain", "number", "others", "module", "higher order"],
)
def test_the_driver_is_unbiased(options, case, exact):
    """A z-test, 20 000 replications in one batch."""
    n = 20_000
    logits, q = replicates(case.q, case.logits, n)
    value = score_function(case.f, q, generator=torch.Generator().manual_seed(3), **options)
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    wanted_value, wanted = exact(case)
    z = (gradient.mean(0) - wanted) / (gradient.std(0) / math.sqrt(n))
    assert z.abs().max() < 4.56
    assert abs((value.mean() - wanted_value) / (value.std() / math.sqrt(n))) < 4.56


def test_no_baseline_gets_a_gradient():
    level = torch.zeros(4, requires_grad=True)
    module = Constant(torch.tensor(1.0))
    logits = torch.zeros(4, 3, requires_grad=True)
    for baseline in (level, module):
        score_function(lambda z: z.float(), Categorical(logits=logits), baseline=baseline).sum().backward()
    assert level.grad is None
    assert module.level.grad is None


@pytest.mark.parametrize("form", ["logits", "probs"])
def test_both_forms_of_the_parameters_and_any_batch_shape(form, four, exact):
    p = four.logits.softmax(-1).expand(2, 5, 4)
    given = (p.log() if form == "logits" else p).clone().requires_grad_()
    q = OneHotCategorical(**{form: given})
    value = leave_one_out(four.f, q, samples=20_000, generator=torch.Generator().manual_seed(0))
    assert value.shape == (2, 5)
    (gradient,) = torch.autograd.grad(value.sum(), given)
    wanted = exact(four)[1] if form == "logits" else four.f(four.states) - exact(four)[0]
    bound = 4.56 * 8 / math.sqrt(20_000)  # no coordinate's standard deviation is above 8 for one draw
    assert (gradient - wanted).abs().max() < bound


def test_a_cost_may_call_an_estimator_itself():
    logits = torch.tensor([0.4, -0.3], dtype=DOUBLE, requires_grad=True)
    n = 20_000
    first, second = (each.expand(n).clone().requires_grad_() for each in logits.detach())
    generator = torch.Generator().manual_seed(5)

    def inner(x):
        return score_function(lambda y: (x + 2 * y) ** 2, Bernoulli(logits=second.expand(3, n)), generator=generator)

    value = score_function(inner, Bernoulli(logits=first), samples=3, generator=generator)
    found = torch.stack(torch.autograd.grad(value.sum(), (first, second)), -1)
    p, r = torch.sigmoid(logits)
    wanted = torch.autograd.grad(p + 4 * p * r + 4 * r, logits)[0]
    z = (found.mean(0) - wanted) / (found.std(0) / math.sqrt(n))
    assert z.abs().max() < 4.56


def test_a_continuous_q_gets_no_gradient_through_its_draws():
    loc = torch.tensor(0.5, dtype=DOUBLE, requires_grad=True)
    seen = []

    def f(z):
        seen.append(z)
        return z**2

    value = score_function(f, Normal(loc, 1.0), samples=4)
    z = seen[0]
    (gradient,) = torch.autograd.grad(value, loc)
    assert not z.requires_grad
    assert_close(gradient, (z**2 * (z - loc.detach())).mean())


def test_logits_of_minus_infinity_and_extreme_ones_give_finite_gradients():
    for logits in ([0.0, -math.inf, 1.0], [1e4, -1e4, 0.0]):
        parameter = torch.tensor(logits, requires_grad=True)
        value = leave_one_out(lambda z: z.float(), Categorical(logits=parameter), samples=16)
        value.backward()
        assert value.isfinite()
        assert parameter.grad.isfinite().all()
    for size in (1e4, -1e4):
        parameter = torch.full((3,), size, requires_grad=True)
        leave_one_out(lambda z: z.sum(-1), Independent(Bernoulli(logits=parameter), 1), samples=16).backward()
        assert torch.equal(parameter.grad, torch.zeros(3))


def test_the_generator_alone_decides(four):
    state = torch.random.get_rng_state()
    values = [
        score_function(four.f, four.q(four.logits), samples=50, generator=torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    ]
    assert values[0] == values[1] != values[2]
    assert torch.equal(torch.random.get_rng_state(), state)


def test_mean_of_others_is_a_constant():
    cost = torch.tensor([1.0, 2.0, 6.0], requires_grad=True)
    assert_close(mean_of_others(cost), torch.tensor([4.0, 3.5, 1.5]))
    assert not mean_of_others(cost).requires_grad
    with pytest.raises(ValueError, match="hold one draw"):
        mean_of_others(cost[:1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 0}, "at least 1, got 0"),
        ({"samples": 1, "baseline": "leave_one_out"}, r"at least 2 \(a draw needs others"),
        ({"samples": 4, "baseline": "average"}, "'average' is unknown; give 'leave_one_out'"),
        ({"samples": 4, "baseline": torch.zeros(4)}, r"shape \(4,\) for costs \(4, 5\)"),
        ({"samples": 4, "baseline": torch.zeros(1, 4, 5)}, r"shape \(1, 4, 5\) for costs \(4, 5\)"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        score_function(lambda z: z.float(), Categorical(logits=torch.zeros(5, 3)), **options)


def test_one_sample_has_no_others():
    with pytest.raises(ValueError, match="at least 2"):
        leave_one_out(lambda z: z.float(), Categorical(logits=torch.zeros(3)), samples=1)


def test_a_distribution_without_density_is_refused():
    class Sampler(Distribution):
        arg_constraints = {}

        def sample(self, sample_shape=()):
            return torch.zeros(sample_shape)

    with pytest.raises(UnsupportedError, match="Sampler has no log_prob"):
        score_function(lambda z: z, Sampler(validate_args=False))


@pytest.mark.parametrize("estimator", [score_function, leave_one_out])
def test_infinite_logits_of_bits_are_refused(estimator):
    logits = torch.tensor([math.inf, -math.inf, 0.3], requires_grad=True)
    with pytest.raises(ValueError, match="log-probability of NaN"):
        estimator(lambda z: z.sum(-1), Independent(Bernoulli(logits=logits), 1), samples=2)
