import functools
import itertools
import math
import sys

import pytest
import torch
from torch.distributions import Bernoulli, Categorical, Independent, Normal, OneHotCategorical, Poisson
from torch.testing import assert_close

from jensen.distributions.finite import Finite
from jensen.gradients import products, remainder
from jensen.gradients._parts import UnsupportedError
from jensen.gradients.enumerate_exact import enumerate_exact
from jensen.gradients.importance_without_replacement import importance_without_replacement
from jensen.gradients.measure_valued import measure_valued
from jensen.gradients.muprop import muprop
from jensen.gradients.rao_blackwell import optimal_categories, rao_blackwell
from jensen.gradients.rebar import rebar
from jensen.gradients.relax import relax
from jensen.gradients.score_function import kernel as score_function_kernel
from jensen.gradients.score_function import leave_one_out, score_function
from jensen.gradients.unordered_set import unordered_set

DOUBLE = torch.float64
rao_blackwell_module = sys.modules["jensen.gradients.rao_blackwell"]
LOGITS = (0.6, -0.4, 0.1, -0.9)
COST = torch.tensor([0.49, 5.29, 7.29, 0.04], dtype=DOUBLE)
EXACT_GRADIENT = torch.tensor([-1.1989235, 0.36248516, 1.14964568, -0.31320734], dtype=DOUBLE)
CORNERS = torch.tensor(list(itertools.product((0.0, 1.0), repeat=3)), dtype=DOUBLE)
TARGET = torch.tensor([0.6, 0.51, 0.48], dtype=DOUBLE)


def categorical():
    logits = torch.tensor(LOGITS, dtype=DOUBLE, requires_grad=True)
    return logits, Categorical(logits=logits), lambda z: COST[z], torch.arange(4)


def toy(eta):
    eta = torch.tensor([eta], dtype=DOUBLE, requires_grad=True)
    q = Independent(Bernoulli(logits=eta.expand(3)), 1)
    return eta, q, lambda z: (z - TARGET).square().sum(-1), CORNERS


def bits():
    logits = torch.tensor([0.3, -0.6, 0.9], dtype=DOUBLE, requires_grad=True)
    w = torch.tensor([0.9, -0.5, 0.7], dtype=DOUBLE)
    q = Independent(Bernoulli(logits=logits), 1)
    return logits, q, lambda z: (z @ w - 0.4) ** 3 + (z - TARGET).square().sum(-1), CORNERS


class EveryDraw:
    """The score function on all tuples that the rest may give, and how probable each is."""

    def __init__(self, states):
        self.states = states
        self.probability = None

    def __call__(self, f, rest, *, samples, generator):
        log_r = rest.log_prob(self.states)
        possible = log_r.isfinite().nonzero().squeeze(1)
        if isinstance(rest, remainder.Remainder):
            drawn = rest.sample((2000,)).unique(dim=0)
            possible = torch.tensor([i for i, each in enumerate(self.states) if (drawn == each).all(-1).any()])
        draws = torch.tensor(list(itertools.product(possible.tolist(), repeat=samples))).T  # (n, N)
        self.probability = log_r.detach()[draws].sum(0).exp()
        assert_close(self.probability.sum().item(), 1.0, rtol=0, atol=1e-12)
        return score_function_kernel(f(self.states)[draws], log_r[draws])


def moments(case, **options):
    parameters, q, f, states = case
    inner = EveryDraw(states)
    estimates = rao_blackwell(f, q, inner=inner, **options)
    probability = inner.probability if estimates.ndim else torch.ones(1, dtype=DOUBLE)
    estimates = estimates.reshape(-1)
    rows = torch.eye(len(estimates), dtype=DOUBLE)
    (gradients,) = torch.autograd.grad(estimates, parameters, rows, is_grads_batched=True)
    mean = probability @ gradients
    return probability @ estimates.detach(), mean, probability @ gradients.square().sum(1) - mean.square().sum()


def exact(case):
    parameters, q, f, states = case
    value = (q.log_prob(states).exp() * f(states)).sum()
    return value.detach(), torch.autograd.grad(value, parameters)[0]


@pytest.mark.parametrize("draws", [1, 2])
@pytest.mark.parametrize("categories", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("make", [categorical, bits])
def test_unbiased(make, categories, draws):
    value, gradient, _ = moments(make(), categories=categories, samples=categories + draws)
    exact_value, exact_gradient = exact(make())
    assert_close(value, exact_value, rtol=0, atol=1e-12)
    assert_close(gradient, exact_gradient, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "k", "variance"),
    [
        (categorical, 1, 12.967450),
        (categorical, 2, 5.215880),
        (categorical, 3, 0.469027),
        (lambda: toy(0.0), 1, 0.438420188),
        (lambda: toy(-4.0), 1, 0.0335567667),
        (lambda: toy(-4.0), 2, 5.0625e-5),
        (lambda: toy(-4.0), 5, 3.7693e-8),
    ],
)
def test_variance_of_one_draw_from_the_rest(make, k, variance):
    assert_close(moments(make(), categories=k - 1, samples=k)[2].item(), variance, rtol=2e-5, atol=0)


@pytest.mark.parametrize("make", [categorical, bits, lambda: toy(-4.0)])
def test_variance_is_never_above_the_score_function(make):
    plain = moments(make(), categories=0, samples=1)[2]
    before = plain
    for k in range(1, 4):
        variance = moments(make(), categories=k, samples=k + 1)[2]
        assert variance <= before * (1 + 1e-12)
        before = variance
    assert before < plain


def test_the_last_value_alone_is_sampled_without_variance():
    assert moments(categorical(), categories=3, samples=4)[2].abs() < 1e-12


def test_a_mass_without_gradient_is_caught(monkeypatch):
    """The bias is the gradient of one minus the mass, times the mean cost of the rest."""
    right = rao_blackwell_module.kernel
    monkeypatch.setattr(
        rao_blackwell_module,
        "kernel",
        lambda cost, log_q, rest, *, log_rest: right(cost, log_q, rest, log_rest=log_rest.detach()),
    )
    _, gradient, _ = moments(categorical(), categories=2, samples=3)
    logits, q, _, _ = categorical()
    p = q.probs[[1, 3]]
    missing = torch.autograd.grad(p.sum(), logits, retain_graph=True)[0] * ((p * COST[[1, 3]]).sum() / p.sum()).detach()
    assert_close(gradient, EXACT_GRADIENT - missing, rtol=0, atol=1e-8)
    assert missing.abs().max() > 0.3


@pytest.mark.parametrize("categories", [1, 2, 5])
def test_products_that_are_not_listed(categories, monkeypatch):
    monkeypatch.setattr(rao_blackwell_module, "TABLE", 1)
    value, gradient, _ = moments(bits(), categories=categories, samples=categories + 1)
    exact_value, exact_gradient = exact(bits())
    assert_close(value, exact_value, rtol=0, atol=1e-12)
    assert_close(gradient, exact_gradient, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("T", "V", "k"), [(4, 3, 7), (5, 2, 32), (7, 4, 50), (1, 6, 6), (2, 5, 11)])
def test_the_best_of_a_product(T, V, k):
    log_p = torch.randn(5, T, V, dtype=DOUBLE, generator=torch.Generator().manual_seed(0)).log_softmax(-1)
    numbers, score = remainder.most_probable(log_p, k)
    assert numbers.shape == (5, k, T)
    table = products.table(log_p)
    assert_close(score, table.topk(k, 1).values)
    place = (numbers * V ** torch.arange(T - 1, -1, -1)).sum(-1)
    assert_close(table.gather(1, place), score)
    found = remainder.take(log_p, numbers)
    assert_close(found.log_prob, score)
    assert_close(found.log_mass.exp().sum((1, 2, 3)) + score.exp().sum(1), torch.ones(5, dtype=DOUBLE))


def test_fewer_possible_values_than_are_asked_for():
    log_p = torch.tensor([[[0.75, 0.25, 0.0]] + [[0.0, 1.0, 0.0]] * 4], dtype=DOUBLE).log()
    numbers, score = remainder.most_probable(log_p, 4)
    assert_close(score.exp(), torch.tensor([[0.75, 0.25, 0.0, 0.0]], dtype=DOUBLE))
    assert numbers[0, :2].tolist() == [[0, 1, 1, 1, 1], [1, 1, 1, 1, 1]]
    logits = log_p[0].clone().requires_grad_()
    q = Independent(Categorical(logits=logits.expand(2, 5, 3)), 1)
    value = rao_blackwell(lambda z: (z[..., 0] + 1.0) ** 2, q, categories=4, samples=5)
    assert_close(value, torch.full((2,), 1.75, dtype=DOUBLE))
    value.sum().backward()
    assert logits.grad.isfinite().all()


def test_frequencies_of_the_remainder():
    n = 40_000
    logits = torch.tensor([[2.0, 0.0, -1.0], [1.5, 0.3, 0.0]], dtype=DOUBLE)
    q = Independent(Categorical(logits=logits), 1)
    product = products.factors(q)
    log_p = product.log_prob.unsqueeze(0)
    rest = remainder.Remainder(q, product, remainder.take(log_p, remainder.most_probable(log_p, 3)[0]))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        drawn = rest.sample((n,))
    p = products.table(log_p).flatten().exp()
    p[p.topk(3).indices] = 0.0
    p = p / p.sum()
    counts = torch.bincount(drawn[:, 0] * 3 + drawn[:, 1], minlength=9)
    assert counts[p == 0].sum() == 0
    keep = p > 0
    assert ((counts - n * p) / (n * p * (1 - p)).sqrt())[keep].abs().max() < 4.56


def test_a_product_of_twenty_categories_that_is_almost_certain():
    logits = torch.zeros(6, 20, 10)
    logits[..., 3] = 30.0
    logits.requires_grad_()
    q = Independent(OneHotCategorical(logits=logits), 1)
    value = rao_blackwell(lambda z: (z[..., 3].sum(-1) - 20).square() + 1.0, q, categories=3, samples=5)
    assert_close(value, torch.ones(6))
    value.sum().backward()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("samples", [4, 7])
def test_enough_evaluations_are_exact(samples):
    logits, q, f, _ = categorical()
    value = rao_blackwell(f, q, samples=samples)
    assert_close(value.item(), 3.12468267, rtol=0, atol=5e-9)
    assert_close(torch.autograd.grad(value, logits)[0], EXACT_GRADIENT, rtol=0, atol=5e-9)


@pytest.mark.parametrize("inner", [unordered_set, enumerate_exact])
@pytest.mark.parametrize("categories", [1, 2])
def test_an_exact_inner_estimator_makes_it_exact(inner, categories):
    logits, q, f, _ = categorical()
    value = rao_blackwell(f, q, categories=categories, samples=4, inner=inner)
    assert_close(value.item(), 3.12468267, rtol=0, atol=5e-9)
    assert_close(torch.autograd.grad(value, logits)[0], EXACT_GRADIENT, rtol=0, atol=5e-9)


@pytest.mark.parametrize("parameter", ["logits", "probs"])
def test_each_element_of_the_batch_has_its_own_best_values(parameter):
    table = torch.tensor([[[0.7, 0.1, 0.15, 0.05]], [[0.1, 0.6, 0.1, 0.2]], [[0.2, 0.2, 0.5, 0.1]]], dtype=DOUBLE)
    given = (table if parameter == "probs" else table.log()).requires_grad_()
    q = OneHotCategorical(**{parameter: given})
    w = torch.tensor([1.0, -2.0, 3.0, 0.5], dtype=DOUBLE)
    seen = []

    def f(z):
        seen.append(z)
        return (z @ w - 0.3) ** 2

    value = rao_blackwell(f, q, categories=1, samples=4, inner=unordered_set)
    assert value.shape == (3, 1)
    assert seen[0].argmax(-1).flatten().tolist() == [0, 1, 2]
    exact_value = (table * (w - 0.3) ** 2).sum(-1)
    assert_close(value, exact_value, rtol=0, atol=1e-12)
    (gradient,) = torch.autograd.grad(value.sum(), given, retain_graph=True)
    (expected,) = torch.autograd.grad((q.probs * (w - 0.3) ** 2).sum(), given)
    assert_close(gradient, expected, rtol=0, atol=1e-12)


def test_driver_is_unbiased():
    logits = torch.tensor(LOGITS, dtype=DOUBLE).expand(40_000, 4).clone().requires_grad_()
    value = rao_blackwell(
        lambda z: COST[z],
        Categorical(logits=logits),
        categories=1,
        samples=2,
        generator=torch.Generator().manual_seed(0),
    )
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    for found, expected in ((value.detach().unsqueeze(1), 3.12468267), (gradient, EXACT_GRADIENT)):
        z = (found.mean(0) - expected) / found.std(0) * math.sqrt(len(found))
        assert z.abs().max() < 4.56


def test_impossible_and_extreme_values():
    inf = math.inf
    logits = torch.tensor([[0.5, -inf, 0.1, -inf], [1e4, 0.0, -1e4, 2.0], [0.0, 0.0, 0.0, 0.0]], requires_grad=True)
    value = rao_blackwell(lambda z: (z + 1.0) ** 2, Categorical(logits=logits), categories=2, samples=3)
    value.sum().backward()
    p = torch.tensor([0.5, 0.1]).softmax(0)
    assert_close(value[0].item(), (p[0] + 9 * p[1]).item())
    assert value[1] == 1.0
    assert logits.grad.isfinite().all()


def test_parameters_inside_f_get_the_direct_gradient():
    scale = torch.tensor(2.0, dtype=DOUBLE, requires_grad=True)
    _, q, _, states = categorical()
    inner = EveryDraw(states)
    value = rao_blackwell(lambda z: scale * COST[z], q, categories=2, samples=3, inner=inner)
    found = torch.autograd.grad((inner.probability * value).sum(), scale)[0]
    assert_close(found.item(), 3.12468267, rtol=0, atol=5e-9)


@pytest.mark.parametrize("N", [1, 2, 3, 5, 8, 9])
def test_optimal_number_of_categories(N):
    log_p = torch.randn(8, 50, dtype=DOUBLE, generator=torch.Generator().manual_seed(0)).mul(2).log_softmax(0)
    found = optimal_categories(log_p, N)
    sorted_ = log_p.exp().sort(0, descending=True).values
    for element, k in zip(sorted_.T.tolist(), found.tolist(), strict=True):
        if N >= 8:
            assert k == 8
            continue
        shares = [(1 - sum(element[:j])) / (N - j) for j in range(N)]
        assert k == shares.index(min(shares))


def test_the_optimal_number_is_used():
    sizes = []

    def f(z):
        sizes.append(len(z))
        return COST[z]

    rao_blackwell(f, Categorical(torch.tensor([0.9, 0.06, 0.03, 0.01])), samples=3)
    assert sizes == [2, 1]
    sizes.clear()
    rao_blackwell(f, Categorical(torch.ones(4)), samples=2)
    assert sizes in ([2], [1, 1])


@pytest.mark.parametrize("N", [2, 4, 9])
def test_nothing_is_summed_where_no_value_is_above_one_in_n(N):
    """The shortcut of large products agrees with the rule."""
    log_p = torch.randn(200, 50, dtype=DOUBLE, generator=torch.Generator().manual_seed(0)).mul(1.3).log_softmax(1)
    diffuse = log_p.exp().amax(1) <= 1 / N
    assert diffuse.any()
    assert (optimal_categories(log_p.T, N)[diffuse] == 0).all()


def test_bad_input_is_refused():
    _, q, f, _ = categorical()
    with pytest.raises(ValueError, match="give more than categories=2"):
        rao_blackwell(f, q, categories=2, samples=2)
    with pytest.raises(ValueError, match="categories must be at least 0"):
        rao_blackwell(f, q, categories=-1, samples=2)
    for other in (Normal(0.0, 1.0), Poisson(torch.tensor(3.0))):
        with pytest.raises(UnsupportedError, match=type(other).__name__):
            rao_blackwell(f, other, samples=2)


def test_a_listed_distribution():
    q = Finite(torch.tensor([3.0, -1.0, 7.0]), torch.tensor([0.2, 0.5, 0.3]).log())
    assert_close(rao_blackwell(lambda z: z, q, samples=3), torch.tensor(2.2))


W = torch.tensor([1.0, -2.0, 3.0, 0.5], dtype=DOUBLE)
INNER = [
    score_function,
    unordered_set,
    functools.partial(rebar, tau=0.5),
    functools.partial(muprop, baseline=2.0),
    functools.partial(relax, control=lambda z: (z @ W).tanh()),
    importance_without_replacement,
    measure_valued,
]


@pytest.mark.parametrize("inner", INNER)
def test_any_unbiased_estimator_may_be_the_inner_one_of_a_category(inner):
    n = 40_000  # |z| < 4.56 on four coordinates and the value
    row = torch.tensor(LOGITS, dtype=DOUBLE)
    logits = row.expand(n, 4).clone().requires_grad_()
    q = OneHotCategorical(logits=logits)
    value = rao_blackwell(lambda z: (z @ W - 0.3) ** 3, q, categories=2, samples=3, inner=inner,
                          generator=torch.Generator().manual_seed(0))  # fmt: skip
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    exact = enumerate_exact(lambda z: (z @ W - 0.3) ** 3, OneHotCategorical(logits=row.requires_grad_()))
    (slope,) = torch.autograd.grad(exact, row)
    for found, expected in ((gradient, slope), (value.detach().unsqueeze(1), exact.detach())):
        error = found.std(0) / n**0.5
        assert ((found.mean(0) - expected).abs() < 4.56 * error + 1e-12).all()


@pytest.mark.parametrize("cost_there", [torch.inf, torch.nan])
@pytest.mark.parametrize("categories", [1, 2, 3, 4])
def test_what_f_says_of_an_impossible_value_does_not_matter(cost_there, categories):
    cost = torch.tensor([1.0, cost_there, 2.0, 4.0], dtype=DOUBLE)
    found = []
    for costs in (cost, torch.tensor([1.0, 0.0, 2.0, 4.0], dtype=DOUBLE)):
        logits = torch.tensor([0.5, -torch.inf, 0.2, 0.0], dtype=DOUBLE, requires_grad=True)
        value = rao_blackwell(lambda z, costs=costs: costs[z], Categorical(logits=logits), categories=categories,
                              samples=5, generator=torch.Generator().manual_seed(0))  # fmt: skip
        value.backward()
        found.append((value.detach(), logits.grad))
    assert_close(*found, rtol=0, atol=1e-15)


def test_too_few_evaluations_for_the_inner_estimator_are_named():
    q = Categorical(probs=torch.tensor([0.7, 0.2, 0.05, 0.03, 0.02]))
    with pytest.raises(ValueError, match="given 1 of 3 evaluations"):
        rao_blackwell(lambda z: z.float(), q, categories=2, samples=3, inner=leave_one_out)
    with pytest.raises(ValueError, match="categories must be"):
        rao_blackwell(lambda z: z.float(), q, categories="best", samples=3)
