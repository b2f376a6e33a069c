import pytest
import torch
from torch.distributions import Bernoulli, Categorical, Independent, OneHotCategorical
from torch.testing import assert_close

from jensen.gradients._parts import UnsupportedError
from jensen.gradients.reinmax import kernel, reinmax
from jensen.gradients.relaxation import relaxation

DOUBLE = torch.float64


def over_all_states(case, f, moments, *, tau=1.0, make=kernel):
    logits = case.logits.expand(len(case.states), -1).clone().requires_grad_()
    q = case.q(logits)
    estimate = make(f, relaxation(q), b=case.states.unsqueeze(0), tau=tau)
    return moments(estimate, logits, q.log_prob(case.states).exp().detach())


def enumerated(case, f):
    logits = case.logits.clone().requires_grad_()
    value = case.q(logits).log_prob(case.states).exp() @ f(case.states)
    return value.detach(), torch.autograd.grad(value, logits)[0]


def test_exact_for_a_quadratic_cost(case, exact, moments):
    found = over_all_states(case, case.f, moments)
    value, gradient = exact(case)
    assert_close(found.value, value, atol=1e-12, rtol=0)
    assert_close(found.gradient, gradient, atol=1e-12, rtol=0)
    assert_close(found.gradient, case.gradient, atol=1e-5, rtol=0)


def first_order(f, p, *, b, tau):
    """Straight-through with the mean: Euler's method."""
    return f(b + p.tangent(p.soften(p.logits, tau))).mean(0)


def without_the_second_term(f, p, *, b, tau):
    return f(b + p.tangent((b + p.soften(p.logits, tau)) / 2)).mean(0)


@pytest.mark.parametrize("twin", [first_order, without_the_second_term])
def test_a_plausible_bug_is_caught(case, exact, moments, twin):
    found = over_all_states(case, case.f, moments, make=twin)
    assert_close(found.value, exact(case)[0], atol=1e-12, rtol=0)
    assert (found.gradient - exact(case)[1]).abs().max() > 0.01


def test_bias_on_a_cubic_cost(four, moments):
    w = torch.tensor([1.0, -2.0, 3.0, 0.5], dtype=DOUBLE)

    def f(z):
        return (z @ w - 0.3) ** 3

    bias = over_all_states(four, f, moments).gradient - enumerated(four, f)[1]
    assert_close(
        bias, torch.tensor([0.52890838, -4.04898628, 3.60911231, -0.08903441], dtype=DOUBLE), atol=1e-8, rtol=0
    )


def test_bias_of_a_bit_on_a_cubic_cost(moments):
    r"""The trapezoid of $3 t^2$ on the unit interval is 3/2 where the integral is 1: half of p (1 - p) too much."""
    logits = torch.tensor([[0.3], [0.3]], dtype=DOUBLE, requires_grad=True)
    p = relaxation(Independent(Bernoulli(logits=logits), 1))
    b = torch.tensor([[[0.0], [1.0]]], dtype=DOUBLE)
    theta = torch.sigmoid(torch.tensor(0.3, dtype=DOUBLE))
    found = moments(kernel(lambda z: z.sum(-1) ** 3, p, b=b, tau=1.0), logits, torch.stack([1 - theta, theta]))
    assert_close(found.gradient[0], 1.5 * theta * (1 - theta), atol=1e-12, rtol=0)


def test_another_temperature_is_biased_even_for_a_quadratic_cost(four, exact, moments):
    bias = over_all_states(four, four.f, moments, tau=1.5).gradient - exact(four)[1]
    assert_close(
        bias, torch.tensor([0.25001614, -0.23384930, 0.10417565, -0.12034249], dtype=DOUBLE), atol=1e-8, rtol=0
    )


def test_a_row_of_two_categories_is_a_bit():
    logits = torch.tensor([0.7], dtype=DOUBLE, requires_grad=True)
    w = torch.tensor([0.0, 1.0], dtype=DOUBLE)
    of_row = relaxation(OneHotCategorical(logits=torch.cat([torch.zeros_like(logits), logits])))
    of_bit = relaxation(Independent(Bernoulli(logits=logits), 1))

    def gradients(bit, tau):
        row, single = torch.tensor([[1 - bit, bit]], dtype=DOUBLE), torch.tensor([[bit]], dtype=DOUBLE)
        one = kernel(lambda z: torch.sin(z @ w), of_row, b=row, tau=tau)
        other = kernel(lambda z: torch.sin(z.sum(-1)), of_bit, b=single, tau=tau)
        return [torch.autograd.grad(each, logits, retain_graph=True)[0] for each in (one, other)]

    for bit in (0.0, 1.0):
        for tau in (1.0, 2.0):
            assert_close(*gradients(bit, tau), atol=1e-14, rtol=0)
        assert abs(gradients(bit, 1.0)[0] - gradients(bit, 2.0)[0]) > 1e-3


def test_value_and_parameters_of_the_cost_are_those_of_hard_samples(case):
    scale, seen = torch.tensor(2.0, dtype=DOUBLE, requires_grad=True), []

    def f(z):
        seen.append(z.detach())
        return scale * case.f(z)

    q = case.q(case.logits.expand(5, -1).clone().requires_grad_())
    value = reinmax(f, q, samples=3, generator=torch.Generator().manual_seed(0))
    assert value.shape == (5,)
    assert set(seen[0].unique().tolist()) == {0.0, 1.0}
    assert torch.equal(value.detach(), 2 * case.f(seen[0]).mean(0))
    (gradient,) = torch.autograd.grad(value.sum(), scale)
    assert_close(gradient, case.f(seen[0]).mean(0).sum())


def test_extreme_logits_in_single_precision():
    logits = torch.tensor([1e4, -1e4, -torch.inf, 0.0], requires_grad=True)
    for q in (Independent(Bernoulli(logits=logits), 1), OneHotCategorical(logits=logits)):
        (gradient,) = torch.autograd.grad(reinmax(lambda b: (b.sum(-1) - b[..., 0] - 0.3) ** 2, q, samples=5), logits)
        assert gradient.isfinite().all()


@pytest.mark.parametrize(
    ("q", "f", "options", "message"),
    [
        (Categorical(logits=torch.zeros(3)), lambda b: b, {}, "Categorical has no relaxation"),
        (Bernoulli(logits=torch.zeros(3)), lambda b: b, {"tau": -1.0}, "tau must be positive"),
        (Bernoulli(logits=torch.zeros(3)), lambda b: b, {"samples": 0}, "samples must be at least 1"),
        (Bernoulli(logits=torch.zeros(3)), lambda b: b.sum(-1), {}, r"costs of shape \(1,\)"),
    ],
)
def test_bad_input_is_refused(q, f, options, message):
    with pytest.raises(ValueError, match=message):
        reinmax(f, q, **options)


def test_a_cost_without_a_derivative_is_refused():
    with pytest.raises(UnsupportedError, match="not differentiable in its sample; use score_function"):
        reinmax(lambda b: (b > 0).float(), Bernoulli(logits=torch.zeros(3, requires_grad=True)))
