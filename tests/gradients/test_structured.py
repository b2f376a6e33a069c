"""Orders, subsets and trees as q: every draw there is, the tabulated moments, and estimators unchanged."""

import itertools
import math
from typing import NamedTuple

import pytest
import torch
from torch.testing import assert_close

from jensen.distributions.conditional_bernoulli import ConditionalBernoulli
from jensen.distributions.plackett_luce import PlackettLuce
from jensen.distributions.spanning_tree import SpanningTree
from jensen.distributions.unordered_plackett_luce import UnorderedPlackettLuce, log_prob_of_subset
from jensen.gradients.importance_without_replacement import importance_without_replacement
from jensen.gradients.rao_blackwell import rao_blackwell
from jensen.gradients.score_function import kernel, leave_one_out, mean_of_others, score_function
from jensen.gradients.states import log_prob_table
from jensen.gradients.unordered_set import kernel as set_kernel
from jensen.gradients.unordered_set import unordered_set

DOUBLE = torch.float64
Z_LIMIT = 4.56
K4 = torch.tensor([[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]])


def numbers(*each):
    return torch.tensor(each, dtype=DOUBLE)


def distance(*w):
    return lambda z: (z @ numbers(*w) - 0.3) ** 2


def of_order(order):
    place = torch.arange(1.0, 5.0, dtype=DOUBLE)
    return ((numbers(1, -2, 3, 0.5)[order] * place).sum(-1) - 3) ** 2 / 10


class Structured(NamedTuple):
    q: object
    logits: torch.Tensor
    f: object
    value: float
    gradient: torch.Tensor
    variances: tuple  # REINFORCE, mean baseline, leave-one-out 2, 4, 8


CASES = {
    "order": Structured(
        PlackettLuce,
        numbers(0.6, -0.4, 0.1, -0.9),
        of_order,
        2.1348364031,
        numbers(-0.24746578, 1.05711923, -1.11169628, 0.30204284),
        (25.366260, 14.093235, 14.765274, 4.809751, 2.037321),
    ),
    "subset": Structured(
        lambda l: ConditionalBernoulli(l, 2),
        numbers(0.6, -0.4, 0.1, -0.9, 1.2),
        distance(1, -2, 3, 0.5, -1),
        3.8859315358,
        numbers(-0.41185006, 0.54523681, 0.87694994, -0.18761066, -0.82272604),
        (44.986612, 24.024991, 24.814591, 8.139930, 3.460342),
    ),
    "drawn subset": Structured(
        lambda l: UnorderedPlackettLuce(l, 2),
        numbers(0.6, -0.4, 0.1, -0.9, 1.2),
        distance(1, -2, 3, 0.5, -1),
        3.6698375393,
        numbers(-0.48371684, 0.71474588, 0.92305679, -0.16154209, -0.99254375),
        (60.728384, 32.729036, 31.809006, 10.756340, 4.642718),
    ),
    "tree": Structured(
        lambda l: SpanningTree(K4, l, nodes=4),
        numbers(0.6, -0.4, 0.1, -0.9, 1.2, 0.3),
        distance(1, -2, 3, 0.5, -1, 2),
        7.3577499749,
        numbers(-0.01666298, -1.78153351, 2.49524952, -0.07035695, -1.92055020, 1.29385412),
        (185.135513, 103.784207, 111.973644, 35.959642, 15.118795),
    ),
}


@pytest.fixture(params=CASES)
def structured(request):
    return CASES[request.param]


class Table(NamedTuple):
    """All states with their probabilities, costs and scores."""

    p: torch.Tensor  # (S,)
    cost: torch.Tensor  # (S,)
    score: torch.Tensor  # (S, P)


def table(case):
    states, log_p = log_prob_table(case.q(case.logits))
    score = torch.autograd.functional.jacobian(lambda l: case.q(l).log_prob(states), case.logits)
    return Table(log_p.exp(), case.f(states), score)


def trace(p, vectors):
    """Trace of the covariance of vectors `(S, P)` under `p`."""
    return p @ vectors.square().sum(-1) - (p @ vectors).square().sum()


def leave_one_out_variance(found, K):
    """By Hoeffding: the estimator is the mean over pairs of half the products of differences of costs and scores."""
    difference = (found.cost[:, None] - found.cost[None])[..., None] * (found.score[:, None] - found.score[None]) / 2
    one = trace(found.p, torch.einsum("t,stp->sp", found.p, difference))
    both = trace((found.p[:, None] * found.p).flatten(), difference.flatten(0, 1))
    return 2 / (K * (K - 1)) * (2 * (K - 2) * one + both)


def test_value_gradient_and_variances_are_the_tabulated_ones(structured):
    found = table(structured)
    mean = found.p @ found.cost
    assert_close(found.p.sum().item(), 1.0, atol=1e-12, rtol=0)
    assert_close(mean.item(), structured.value, atol=5e-11 + 5e-11, rtol=0)
    assert_close(found.p @ (found.cost[:, None] * found.score), structured.gradient, atol=6e-9, rtol=0)
    reinforce = trace(found.p, found.cost[:, None] * found.score)
    baseline = trace(found.p, (found.cost - mean)[:, None] * found.score)
    several = [leave_one_out_variance(found, K) for K in (2, 4, 8)]
    assert_close(torch.stack([reinforce, baseline, *several]), numbers(*structured.variances), atol=6e-7, rtol=0)


def total(moments, tuples, case, K, estimator):
    """Exact moments of `estimator(cost, log_q)` over every K-tuple of states."""
    states, _ = log_prob_table(case.q(case.logits))
    index = tuples(len(states), K)
    logits = case.logits.expand(index.shape[1], -1).clone().requires_grad_()
    log_q = case.q(logits).log_prob(states[index])
    return moments(estimator(case.f(states)[index], log_q), logits, log_q.detach().sum(0).exp())


def exact(case):
    logits = case.logits.clone().requires_grad_()
    states, log_p = log_prob_table(case.q(logits))
    value = (log_p.exp() * case.f(states)).sum()
    return value.detach(), torch.autograd.grad(value, logits)[0]


@pytest.mark.parametrize("K", [1, 2])
def test_the_score_function_is_unbiased_over_every_tuple(moments, tuples, structured, K):
    value, gradient = exact(structured)
    found = total(moments, tuples, structured, K, kernel)
    assert_close(found.value, value, atol=1e-12, rtol=0)
    assert_close(found.gradient, gradient, atol=1e-12, rtol=0)
    assert_close(found.variance.item(), structured.variances[0] / K, atol=6e-7, rtol=0)


def with_others(cost, log_q):
    return kernel(cost, log_q, baseline=mean_of_others(cost))


def test_leave_one_out_is_unbiased_over_every_pair(moments, tuples, structured):
    value, gradient = exact(structured)
    found = total(moments, tuples, structured, 2, with_others)
    assert_close(found.value, value, atol=1e-12, rtol=0)
    assert_close(found.gradient, gradient, atol=1e-12, rtol=0)
    assert_close(found.variance.item(), structured.variances[2], atol=6e-7, rtol=0)


def test_a_baseline_that_sees_its_own_cost_is_caught(moments, tuples, structured):
    def twin(cost, log_q):
        return kernel(cost, log_q, baseline=cost.mean(0))

    assert_close(total(moments, tuples, structured, 2, twin).gradient, exact(structured)[1] / 2, atol=1e-12, rtol=0)


def z_scores(estimator, case, n, **options):
    """Of value and gradient, over `n` independent batch elements."""
    logits = case.logits.expand(n, -1).clone().requires_grad_()
    value = estimator(case.f, case.q(logits), generator=torch.Generator().manual_seed(0), **options)
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    exact_value, exact_gradient = exact(case)
    each = torch.cat([value.detach()[:, None] - exact_value, gradient - exact_gradient], -1)
    return each.mean(0) / (each.std(0) / math.sqrt(n))


@pytest.mark.parametrize(
    ("estimator", "options"),
    [
        (score_function, {"samples": 2}),
        (leave_one_out, {"samples": 4}),
        (unordered_set, {"samples": 3}),
        (importance_without_replacement, {"samples": 3}),
        (rao_blackwell, {"categories": 3, "samples": 4}),
        (rao_blackwell, {"categories": 2, "samples": 4, "inner": leave_one_out}),
    ],
)
def test_the_drivers_are_unbiased(structured, estimator, options):
    assert z_scores(estimator, structured, 20_000, **options).abs().max() < Z_LIMIT


def test_a_driver_with_a_bias_is_caught(structured):
    def twin(f, q, *, generator):
        z = q.sample((2,))
        return kernel(f(z), q.log_prob(z), baseline=f(z).mean(0))

    assert z_scores(twin, structured, 20_000).abs().max() > 2 * Z_LIMIT


def over_all_sets(moments, case, k, **options):
    """Exact moments of the unordered-set estimator over every set of k states."""
    states, log_p = log_prob_table(case.q(case.logits))
    sets = torch.tensor(list(itertools.combinations(range(len(states)), k))).T  # (k, N)
    outside = log_p.repeat(sets.shape[1], 1).scatter(-1, sets.T, -torch.inf).logsumexp(-1)
    probability = log_prob_of_subset(log_p[sets].T, outside).exp()
    assert_close(probability.sum().item(), 1.0, atol=1e-12, rtol=0)
    logits = case.logits.expand(sets.shape[1], -1).clone().requires_grad_()
    log_q = case.q(logits).log_prob(states[sets])
    return moments(set_kernel(case.f(states)[sets], log_q, outside, **options), logits, probability)


@pytest.mark.parametrize("k", [2, 3])
def test_sets_without_replacement_are_unbiased_over_every_set(moments, structured, k):
    value, gradient = exact(structured)
    built_in, plain = (over_all_sets(moments, structured, k, baseline=each) for each in ("built_in", None))
    for found in (built_in, plain):
        assert_close(found.value, value, atol=1e-11, rtol=0)
        assert_close(found.gradient, gradient, atol=1e-11, rtol=0)
    assert built_in.variance < leave_one_out_variance(table(structured), k)
    assert plain.variance < structured.variances[0] / k


def test_all_states_at_once_are_exact(structured):
    value, gradient = exact(structured)
    logits = structured.logits.clone().requires_grad_()
    q = structured.q(logits)
    found = unordered_set(structured.f, q, samples=q.support_size)
    assert_close(found.detach(), value, atol=1e-11, rtol=0)
    assert_close(torch.autograd.grad(found, logits)[0], gradient, atol=1e-10, rtol=0)


def test_marginals_are_the_gradient_of_a_linear_cost(structured):
    """Where q has a mean, it is that of its states."""
    q = structured.q(structured.logits)
    if not isinstance(q, ConditionalBernoulli | SpanningTree):
        return
    states, log_p = log_prob_table(q)
    assert_close(q.mean, log_p.exp() @ states, atol=1e-13, rtol=0)
