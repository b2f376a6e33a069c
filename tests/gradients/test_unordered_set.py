import itertools
import math

import pytest
import torch
from torch.distributions import Bernoulli, Categorical, Independent, Normal, OneHotCategorical
from torch.testing import assert_close

from jensen.gradients._parts import UnsupportedError
from jensen.gradients.leave_one_out_ratios import log_hazard, log_ratios
from jensen.gradients.unordered_set import kernel, unordered_set

DOUBLE = torch.float64
LOGITS = (0.6, -0.4, 0.1, -0.9)
COST = torch.tensor([0.49, 5.29, 7.29, 0.04], dtype=DOUBLE)
EXACT_GRADIENT = torch.tensor([-1.1989235, 0.36248516, 1.14964568, -0.31320734], dtype=DOUBLE)
CORNERS = torch.tensor(list(itertools.product((0.0, 1.0), repeat=3)), dtype=DOUBLE)
TOY_COST = (CORNERS - torch.tensor([0.6, 0.51, 0.48], dtype=DOUBLE)).square().sum(-1)


def categorical():
    logits = torch.tensor(LOGITS, dtype=DOUBLE, requires_grad=True)
    return logits, logits.log_softmax(-1), COST


def toy(eta):
    eta = torch.tensor([eta], dtype=DOUBLE, requires_grad=True)
    return eta, Independent(Bernoulli(logits=eta.expand(3)), 1).log_prob(CORNERS), TOY_COST


def every_set(log_p, k):
    """All sets of k values, the log-probability of what is not in them, and P(S) summed over the orders of drawing."""
    D = len(log_p)
    sets = torch.tensor(list(itertools.combinations(range(D), k))).T  # (k, C)
    p = log_p.detach().exp()
    outside = torch.ones(D, sets.shape[1], dtype=torch.bool).scatter_(0, sets, False)
    log_complement = torch.where(outside, log_p.detach().unsqueeze(1), -math.inf).logsumexp(0)
    orders = torch.tensor(list(itertools.permutations(range(k))))  # (k!, k)
    drawn = p[sets][orders]  # (k!, k, C)
    left = log_complement.exp() + drawn.flip(1).cumsum(1).flip(1)  # what is left before each draw
    return sets, log_complement, (drawn / left).prod(1).sum(0)


def moments(estimates, probability, parameters):
    """Expectation of value and gradient, and the trace of the gradient's covariance."""
    (gradients,) = torch.autograd.grad(
        estimates, parameters, torch.eye(len(estimates), dtype=DOUBLE), is_grads_batched=True, retain_graph=True
    )
    mean = probability @ gradients
    variance = probability @ gradients.square().sum(1) - mean.square().sum()
    return probability @ estimates.detach(), mean, variance


def exactly(case, k, estimator=kernel, **options):
    parameters, log_p, cost = case
    sets, log_complement, probability = every_set(log_p, k)
    assert_close(probability.sum(), torch.tensor(1.0, dtype=DOUBLE), rtol=0, atol=1e-13)
    return moments(estimator(cost[sets], log_p[sets], log_complement, **options), probability, parameters)


def sum_and_sample(case, k):
    """The trace variance of stochastic sum-and-sample: k - 1 different values summed, one more drawn from the rest."""
    parameters, log_p, cost = case
    D, p = len(log_p), log_p.detach().exp()
    sequences = torch.tensor(list(itertools.permutations(range(D), k)))  # (N, k)
    score = torch.stack([torch.autograd.grad(each, parameters, retain_graph=True)[0] for each in log_p])  # (D, d)
    drawn = p[sequences]
    left = 1 - drawn.cumsum(-1) + drawn
    left[:, -1] = torch.where(torch.tensor(k == D), drawn[:, -1], left[:, -1])
    weight = torch.cat((drawn[:, :-1], left[:, -1:]), -1) * cost[sequences]
    gradients = (weight.unsqueeze(-1) * score[sequences]).sum(1)
    probability = (drawn / left).prod(-1)
    mean = probability @ gradients
    return mean, probability @ gradients.square().sum(1) - mean.square().sum()


@pytest.mark.parametrize("k", [1, 2, 3, 4])
@pytest.mark.parametrize("baseline", ["built_in", None])
def test_unbiased(k, baseline):
    case = categorical()
    value, gradient, _ = exactly(case, k, baseline=baseline)
    exact = (case[1].exp() * COST).sum()
    (exact_gradient,) = torch.autograd.grad(exact, case[0])
    assert_close(value, exact.detach(), rtol=0, atol=1e-12)
    assert_close(gradient, exact_gradient, rtol=0, atol=1e-12)
    assert_close(gradient, EXACT_GRADIENT, rtol=0, atol=5e-8)


@pytest.mark.parametrize(
    ("k", "plain", "built_in", "stochastic"),
    [(1, 12.967450, 12.967450, 12.967450), (2, 3.707234, 3.514534, 5.388273), (3, 0.911937, 0.715749, 1.318576)],
)
def test_variance_on_the_categorical(k, plain, built_in, stochastic):
    assert_close(exactly(categorical(), k, baseline=None)[2].item(), plain, rtol=0, atol=6e-7)
    assert_close(exactly(categorical(), k)[2].item(), built_in, rtol=0, atol=6e-7)
    assert_close(sum_and_sample(categorical(), k)[1].item(), stochastic, rtol=0, atol=6e-7)


TABLE = [
    (0, 2, 3.2882e-1, 1.8789e-1, 6.1125e-3),
    (0, 3, 2.3487e-1, 1.0439e-1, 2.2625e-3),
    (0, 4, 1.5658e-1, 6.2631e-2, 1.1308e-3),
    (0, 5, 9.3947e-2, 3.7579e-2, 6.1050e-4),
    (0, 6, 4.6974e-2, 2.0877e-2, 3.1650e-4),
    (0, 7, 1.5658e-2, 8.9474e-3, 1.2917e-4),
    (-4, 2, 1.2779e-3, 1.2096e-3, 2.9782e-5),
    (-4, 3, 5.0875e-5, 4.0436e-5, 8.0711e-6),
    (-4, 4, 9.1384e-6, 5.1059e-6, 1.0555e-6),
    (-4, 5, 5.8425e-7, 4.1585e-7, 7.9696e-8),
    (-4, 6, 2.6329e-8, 2.0121e-8, 1.0248e-8),
    (-4, 7, 8.3626e-10, 5.2490e-10, 2.8549e-10),
]


@pytest.mark.parametrize(("eta", "k", "stochastic", "plain", "built_in"), TABLE)
def test_the_bernoulli_toy(eta, k, stochastic, plain, built_in):
    case = toy(eta)
    exact = torch.autograd.grad((case[1].exp() * TOY_COST).sum(), case[0], retain_graph=True)[0]
    for baseline, variance in ((None, plain), ("built_in", built_in)):
        _, gradient, found = exactly(case, k, baseline=baseline)
        assert_close(gradient, exact, rtol=0, atol=1e-12)
        assert_close(found.item(), variance, rtol=6e-5, atol=1e-16)
    mean, found = sum_and_sample(case, k)
    assert_close(mean, exact, rtol=0, atol=1e-12)
    assert_close(found.item(), stochastic, rtol=6e-5, atol=1e-16)


@pytest.mark.parametrize("k", [12, 13, 15])
def test_unbiased_with_large_sets(k):
    """Up to 12 values the ratios are sums over subsets, above that integrals."""
    logits = torch.linspace(-3.0, 3.0, 16, dtype=DOUBLE, requires_grad=True)
    cost = torch.linspace(-1.0, 2.0, 16, dtype=DOUBLE).exp().sin()
    log_p = logits.log_softmax(-1)
    outside = torch.tensor(list(itertools.combinations(range(16), 16 - k))).T
    inside = torch.ones(16, outside.shape[1], dtype=torch.bool).scatter_(0, outside, False)
    sets = inside.T.nonzero()[:, 1].reshape(-1, k).T  # (k, C)
    log_complement = log_p.detach()[outside].logsumexp(0)
    probability = log_ratios(log_p[sets], log_complement).log_prob.exp()
    assert_close(probability.sum().item(), 1.0, rtol=0, atol=1e-11)
    value = probability @ kernel(cost[sets], log_p[sets], log_complement)
    exact = log_p.exp() @ cost
    assert_close(value.detach(), exact.detach(), rtol=0, atol=1e-11)
    found, expected = (torch.autograd.grad(each, logits, retain_graph=True)[0] for each in (value, exact))
    assert_close(found, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("case", [categorical, lambda: toy(0.0), lambda: toy(-4.0)])
def test_variance_is_never_above_sum_and_sample_nor_one_sample(case):
    alone = exactly(case(), 1, baseline=None)[2]
    for k in range(2, 5):
        found = exactly(case(), k, baseline=None)[2]
        assert found <= alone * (1 + 1e-12)
        assert found <= sum_and_sample(case(), k)[1] + 1e-12


@pytest.mark.parametrize("eta", [0.0, -4.0])
def test_all_values_have_no_variance(eta):
    _, _, variance = exactly(toy(eta), 8)
    assert variance.abs() < 1e-15


@pytest.mark.parametrize(
    ("k", "ratio", "variance"),
    [(2, (1.079, 1.111, 1.018, 0.892), 3.527), (3, (1.036, 1.054, 1.001, 0.929), 0.699)],
)
def test_the_element_subtracted_twice_is_caught(k, ratio, variance):
    """A published implementation: the second ratio leaves out s twice, not s and s', and its axes are swapped."""

    def twin(cost, log_q, log_complement):
        x = torch.arange(-45.0, 8.0, 0.01, dtype=DOUBLE).reshape(-1, 1, 1)
        factor = log_hazard(x + (log_q - log_complement).detach())  # (N, k, C)
        whole = (factor.sum(1) + (x - x.exp()).squeeze(1)).unsqueeze(1)
        twice = (whole - 2 * factor).logsumexp(0) - (whole - factor).logsumexp(0)  # (k, C)
        p = log_q.detach().exp()
        weight = p * log_ratios(log_q, log_complement).first.exp()
        second = twice.exp().unsqueeze(0).expand(k, -1, -1).clone()
        second[range(k), range(k)] = 1.0
        baseline = (second * (p * cost).unsqueeze(0)).sum(1)
        score = (weight * (cost - baseline)).detach() * log_q
        return (weight * cost).sum(0) + (score - score.detach()).sum(0)

    _, gradient, found = exactly(categorical(), k, twin)
    assert_close(gradient / EXACT_GRADIENT, torch.tensor(ratio, dtype=DOUBLE), rtol=0, atol=6e-4)
    assert_close(found.item(), variance, rtol=0, atol=7e-4)


def test_a_gradient_through_the_weights_is_caught():
    def twin(cost, log_q, log_complement):
        return (log_q.exp() * log_ratios(log_q, log_complement).first.exp() * cost).sum(0)

    _, gradient, _ = exactly(categorical(), 2, twin)
    assert_close(gradient, exactly(categorical(), 2, baseline=None)[1], rtol=0, atol=1e-12)

    def worse(cost, log_q, log_complement):
        return ((log_q.detach() + log_ratios(log_q, log_complement).first).exp() * cost.detach() * log_q).sum(0)

    value, _, _ = exactly(categorical(), 2, worse)
    assert abs(value - 3.12468267) > 1


def test_parameters_inside_f_get_the_direct_gradient():
    scale = torch.tensor(2.0, dtype=DOUBLE, requires_grad=True)
    _, log_p, _ = categorical()
    sets, log_complement, probability = every_set(log_p, 2)
    value = probability @ kernel(scale * COST[sets], log_p[sets].detach(), log_complement)
    assert_close(torch.autograd.grad(value, scale)[0].item(), 3.12468267, rtol=0, atol=1e-8)


@pytest.mark.parametrize("k", [2, 5])
def test_more_samples_than_values_are_exact(k):
    q = {2: Bernoulli(logits=torch.tensor([0.3, -2.0], dtype=DOUBLE)), 5: Categorical(logits=torch.tensor(LOGITS))}[k]
    found = unordered_set(lambda z: (z - 0.3) ** 3, q, samples=k)
    values = q.enumerate_support()
    assert_close(found, (q.log_prob(values).exp() * (values - 0.3) ** 3).sum(0))


@pytest.mark.parametrize("parameter", ["logits", "probs"])
@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
def test_exact_over_all_values_whatever_the_shapes(parameter, batch):
    generator = torch.Generator().manual_seed(0)
    given = torch.rand(*batch, 2, 3, dtype=DOUBLE, generator=generator).requires_grad_()
    q = Independent(OneHotCategorical(**{parameter: given}), 1)
    w = torch.tensor([[1.0, -2.0, 3.0], [0.5, 0.1, -0.7]], dtype=DOUBLE)
    found = unordered_set(lambda z: ((z * w).sum((-1, -2)) - 0.3) ** 3, q, samples=9)
    p = q.base_dist.probs
    cost = (w[0][:, None] + w[1] - 0.3) ** 3
    exact = (p[..., 0, :, None] * p[..., 1, None, :] * cost).sum((-1, -2))
    assert found.shape == torch.Size(batch)
    assert_close(found, exact, rtol=0, atol=1e-12)
    (gradient,) = torch.autograd.grad(found.sum(), given, retain_graph=True)
    assert_close(gradient, torch.autograd.grad(exact.sum(), given)[0], rtol=0, atol=1e-12)


def test_driver_is_unbiased():
    """A z-test of driver, sampler and kernel together; 40000 replications, the false alarm budget of the suite."""
    logits = torch.tensor(LOGITS, dtype=DOUBLE).expand(40_000, 4).clone().requires_grad_()
    f = COST
    value = unordered_set(
        lambda z: f[z], Categorical(logits=logits), samples=2, generator=torch.Generator().manual_seed(0)
    )
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    for found, exact in ((value.detach().unsqueeze(1), 3.12468267), (gradient, EXACT_GRADIENT)):
        z = (found.mean(0) - exact) / found.std(0) * math.sqrt(len(found))
        assert z.abs().max() < 4.56
    assert_close(gradient.var(0).sum().item(), 3.514534, rtol=0.05, atol=0)


@pytest.mark.parametrize("extreme", [1e4, -1e4])
@pytest.mark.parametrize("samples", [1, 2, 4, 6])
def test_extreme_logits_in_single_precision(extreme, samples):
    logits = torch.tensor([extreme, 0.0, -1.0, 2.0], requires_grad=True)
    value = unordered_set(lambda z: (z + 1.0) ** 2, Categorical(logits=logits), samples=samples)
    value.backward()
    assert value.isfinite()
    assert logits.grad.isfinite().all()
    if extreme > 0:
        assert value == 1.0
        assert logits.grad.abs().max() == 0


def test_impossible_values_do_not_count():
    logits = torch.tensor([0.5, -math.inf, 0.1, -math.inf], dtype=DOUBLE, requires_grad=True)
    cost = torch.tensor([1.0, math.inf, 3.0, math.nan], dtype=DOUBLE)
    value = unordered_set(lambda z: cost[z], Categorical(logits=logits), samples=3)
    p = torch.tensor([0.5, 0.1], dtype=DOUBLE).softmax(0)
    assert_close(value.detach(), p[0] + 3 * p[1])
    (gradient,) = torch.autograd.grad(value, logits)
    assert_close(gradient[[0, 2]], p * (cost[[0, 2]] - value.detach()))
    assert gradient[[1, 3]].tolist() == [0.0, 0.0]


def test_bad_input_is_refused():
    q = Categorical(logits=torch.zeros(3))
    with pytest.raises(ValueError, match="samples must be at least 1, got 0"):
        unordered_set(lambda z: z.float(), q, samples=0)
    with pytest.raises(ValueError, match="baseline must be 'built_in' or None, got 'mean'"):
        unordered_set(lambda z: z.float(), q, samples=2, baseline="mean")
    with pytest.raises(ValueError, match=r"f returned costs of shape \(\) for samples \(2,\)"):
        unordered_set(lambda z: z.float().sum(), q, samples=2)
    with pytest.raises(UnsupportedError, match="Normal is continuous"):
        unordered_set(lambda z: z, Normal(0.0, 1.0), samples=2)
