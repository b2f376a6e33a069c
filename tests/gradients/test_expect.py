"""`expect` takes what suits f and q, by name what is asked for, and never a biased estimator of its own accord."""

import numpy
import pytest
import torch
from torch.distributions import (
    Bernoulli,
    Categorical,
    Gamma,
    Independent,
    Normal,
    OneHotCategoricalStraightThrough,
    Poisson,
    RelaxedOneHotCategorical,
)
from torch.testing import assert_close

from jensen.gradients.expect import choose, expect
from jensen.gradients.registry import ESTIMATORS, UnsupportedError

DOUBLE = torch.float64


def square(z):
    return (z - 0.5).square()


def step(z):
    return (z > 0.2).to(DOUBLE)


def bits(D):
    return Independent(Bernoulli(logits=torch.linspace(-1, 1, D, dtype=DOUBLE)), 1)


def total(z):
    return z.sum(-1).square()


@pytest.mark.parametrize(
    ("q", "f", "samples", "method"),
    [
        (Categorical(torch.ones(64)), square, 1, "enumerate_exact"),
        (Categorical(torch.ones(65)), square, 1, "score_function"),
        (Categorical(torch.ones(65)), square, 2, "unordered_set"),
        (Categorical(torch.ones(100)), square, 100, "enumerate_exact"),
        (Categorical(torch.ones(65)), square, 9, "leave_one_out"),
        (bits(6), total, 1, "enumerate_exact"),
        (bits(8), total, 4, "unordered_set"),
        (bits(9), total, 4, "leave_one_out"),
        (bits(200), total, 1, "score_function"),
        (Poisson(torch.ones(2)), square, 1, "score_function"),
        (Poisson(torch.ones(2)), square, 2, "leave_one_out"),
        (Normal(torch.zeros(2), torch.ones(2)), square, 4, "pathwise"),
        (Gamma(torch.ones(2), torch.ones(2)), square, 1, "pathwise"),
        (Normal(torch.zeros(2), torch.ones(2)), step, 1, "score_function"),
        (Normal(torch.zeros(2), torch.ones(2)), step, 2, "leave_one_out"),
        (RelaxedOneHotCategorical(torch.tensor(0.5), torch.ones(3)), total, 2, "pathwise"),
        (OneHotCategoricalStraightThrough(torch.ones(65)), total, 4, "unordered_set"),
    ],
)
def test_the_choice(q, f, samples, method):
    choice = choose(f, q, samples)
    assert choice.method == method
    assert choice.reason
    assert ESTIMATORS[choice.method].unbiased


@pytest.mark.parametrize("samples", [1, 4])
def test_what_is_chosen_is_what_is_computed(samples):
    for q, f in [
        (Categorical(logits=torch.zeros(70, requires_grad=True)), square),
        (Normal(torch.zeros(3, requires_grad=True), 1.0), square),
        (Normal(torch.zeros(3, requires_grad=True), 1.0), step),
        (Poisson(torch.ones(3, requires_grad=True)), square),
    ]:
        function = ESTIMATORS[choose(f, q, samples).method].function
        ours = expect(f, q, samples=samples, generator=torch.Generator().manual_seed(3))
        named = function(f, q, samples=samples, generator=torch.Generator().manual_seed(3))
        assert_close(ours, named)


def test_a_cost_with_parameters_and_a_jump_keeps_both_gradients():
    loc = torch.zeros((), dtype=DOUBLE, requires_grad=True)
    weight = torch.tensor(2.0, dtype=DOUBLE, requires_grad=True)
    q = Normal(loc.expand(50_000), torch.ones((), dtype=DOUBLE))
    expect(lambda z: weight * step(z), q, samples=2, generator=torch.Generator().manual_seed(0)).mean().backward()
    density = Normal(0.0, 1.0).log_prob(torch.tensor(0.2)).exp()
    assert abs(float(loc.grad) - 2 * float(density)) < 0.02
    assert abs(float(weight.grad) - (1 - float(Normal(0.0, 1.0).cdf(torch.tensor(0.2))))) < 0.01


def test_by_a_name_with_options():
    logits = torch.zeros(4, dtype=DOUBLE, requires_grad=True)
    q = Categorical(logits=logits)
    cost = torch.tensor([1.0, 2.0, 3.0, 5.0], dtype=DOUBLE)
    found = expect(lambda z: cost[z], q, samples=1, method="score_function", baseline=2.75)
    assert found in cost
    assert_close(expect(lambda z: cost[z], q, method="enumerate_exact"), torch.tensor(2.75, dtype=DOUBLE))


def test_expectations_nest():
    inner = torch.tensor([0.3, -0.2, 0.5], dtype=DOUBLE, requires_grad=True)
    outer = torch.tensor([0.1, 0.4], dtype=DOUBLE, requires_grad=True)

    def f(z):
        table = torch.stack([inner, 2 * inner])[z]
        return expect(lambda y: (y + 1.0).square() * (z + 1), Categorical(logits=table))

    found = expect(f, Categorical(logits=outer))
    p = outer.softmax(-1)
    squares = torch.tensor([1.0, 4.0, 9.0], dtype=DOUBLE)
    exact = p[0] * (inner.softmax(-1) @ squares) + p[1] * 2 * ((2 * inner).softmax(-1) @ squares)
    assert_close(found, exact, atol=1e-12, rtol=0)
    ours, true = (torch.autograd.grad(each, [inner, outer]) for each in (found, exact))
    for one, other in zip(ours, true, strict=True):
        assert_close(one, other, atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", [name for name, each in ESTIMATORS.items() if not each.needs])
def test_the_value_does_not_depend_on_whether_gradients_are_on(name, four, three_bits):
    case = three_bits if name in {"arm", "disarm"} else four
    q, f = case.q(case.logits.clone().requires_grad_()), case.f
    if name == "pathwise":
        q, f = Normal(case.logits.clone().requires_grad_(), 1.0), square
    with torch.enable_grad():
        on = expect(f, q, samples=2, method=name, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        off = expect(f, q, samples=2, method=name, generator=torch.Generator().manual_seed(1))
    assert_close(on.detach(), off, atol=1e-14, rtol=0)


def test_the_probe_leaves_the_global_state_alone():
    state = torch.random.get_rng_state()
    choose(square, Normal(0.0, 1.0), 2)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_options_without_a_name_are_refused():
    with pytest.raises(ValueError, match="method='auto' takes no options, got baseline"):
        expect(square, Normal(0.0, 1.0), baseline=1.0)


def test_a_named_method_that_does_not_apply_is_refused():
    with pytest.raises(UnsupportedError, match="rsample"):
        expect(square, Categorical(torch.ones(3)), method="pathwise")


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match="did you mean 'leave_one_out'"):
        expect(square, Normal(0.0, 1.0), method="leave-one-out")


def test_no_sample_is_refused():
    with pytest.raises(ValueError, match="samples must be at least 1, got 0"):
        expect(square, Poisson(torch.ones(2)), samples=0)


@pytest.mark.parametrize("f", [torch.sign, torch.round, lambda z: torch.from_numpy(numpy.sign(z.numpy()))])
def test_a_cost_that_is_a_step_gets_the_score_function(f):
    loc = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    assert choose(f, Normal(loc, 1.0), 1000).method == "leave_one_out"
    expect(f, Normal(loc, 1.0), samples=10_000, generator=torch.Generator().manual_seed(0)).backward()
    assert abs(float(loc.grad)) > 0.3


@pytest.mark.parametrize(("method", "needs"), [("relax", "control"), ("concrete", "tau")])
def test_what_a_method_needs_is_named(method, needs):
    with pytest.raises(ValueError, match=f"{method} needs {needs}="):
        expect(lambda z: z, Bernoulli(logits=torch.zeros(2)), method=method)


class OnlyDraws:
    """Sample, log-probability and shapes: no base class, nothing else."""

    batch_shape = event_shape = torch.Size()

    def __init__(self, logits):
        self.inner = Categorical(logits=logits)
        self.sample, self.log_prob = self.inner.sample, self.inner.log_prob


NOTHING_ELSE = ["auto", "score_function", "leave_one_out", "unordered_set", "importance_without_replacement"]


@pytest.mark.parametrize("method", NOTHING_ELSE)
def test_what_is_not_asked_for_need_not_be_there(method):
    q = OnlyDraws(torch.tensor([0.1, 0.2, 0.3], requires_grad=True))
    assert expect(lambda z: torch.tensor([1.0, 2.0, 5.0])[z], q, samples=2, method=method).requires_grad


@pytest.mark.parametrize("method", [name for name in ESTIMATORS if name not in NOTHING_ELSE])
def test_what_is_missing_is_said(method):
    options = {"relax": {"control": torch.sum}, "concrete": {"tau": 0.5}}.get(method, {})
    with pytest.raises(UnsupportedError, match="OnlyDraws"):
        expect(lambda z: z.float(), OnlyDraws(torch.zeros(3)), samples=2, method=method, **options)
