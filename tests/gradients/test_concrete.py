import math

import numpy as np
import pytest
import torch
from torch.distributions import Bernoulli, Categorical, Independent, OneHotCategorical, kl_divergence
from torch.nn.functional import logsigmoid
from torch.testing import assert_close

from jensen.gradients._parts import UnsupportedError
from jensen.gradients.concrete import concrete, kernel, log_ratio
from jensen.gradients.gumbel_softmax import gumbel_softmax
from jensen.gradients.relaxation import relaxation

DOUBLE = torch.float64
GRID = np.array([0, 0.1, 0.4, 0.8, 1.6, 3.2, 6, 10, 15, 20, 30])
EDGES = np.concatenate([-GRID[:0:-1], GRID])
TAU, PRIOR_TAU = 0.7, 0.5


def bit(logit):
    return Independent(Bernoulli(logits=torch.tensor([logit], dtype=DOUBLE)), 1)


def noise_of_a_bit():
    """Noise `(N, 1)` of one bit and its weight."""
    x, w = np.polynomial.legendre.leggauss(20)
    half, middle = np.diff(EDGES)[:, None] / 2, (EDGES[1:] + EDGES[:-1])[:, None] / 2
    u = torch.sigmoid(torch.from_numpy((middle + half * x).ravel()))
    return u.unsqueeze(-1), torch.from_numpy((half * w).ravel()) * u * (1 - u)


def cost(z):
    """Minus a log-likelihood of two observations."""
    return -(logsigmoid(4 * z - 1) + 2 * z).sum(-1)


def expectation(function):
    u, weight = noise_of_a_bit()
    return weight @ function(u)


def relaxed_log_evidence(prior, tau):
    p = relaxation(prior)
    return expectation(lambda u: torch.exp(-kernel(cost, p, u=u, tau=tau))).log()


def relaxed_bound(logit, prior, tau, prior_tau):
    q, p = relaxation(bit(logit)), relaxation(prior)
    return -expectation(lambda u: kernel(cost, q, u=u, tau=tau) + log_ratio(q, p, u=u, tau=tau, prior_tau=prior_tau))


LOGITS = torch.linspace(-4, 6, 41).tolist()


@pytest.mark.parametrize("taus", [(0.5, 0.5), (0.7, 0.5), (0.6, 0.66)])
def test_minus_the_value_is_below_the_relaxed_log_evidence(taus):
    evidence = relaxed_log_evidence(bit(0.0), taus[1])
    gaps = torch.stack([evidence - relaxed_bound(logit, bit(0.0), *taus) for logit in LOGITS])
    assert (gaps > 0).all()
    assert gaps.min() < 0.2


def test_the_divergence_of_the_discrete_distributions_gives_no_bound():
    prior = bit(0.0)
    evidence = relaxed_log_evidence(prior, 1.0)
    wrong = []
    for logit in LOGITS:
        q = bit(logit)
        u, weight = noise_of_a_bit()
        mean_cost = weight @ kernel(cost, relaxation(q), u=u, tau=1.0)
        wrong.append(-mean_cost - kl_divergence(q, prior))
    excess = max(wrong) - evidence
    assert_close(excess.item(), 0.3184, atol=1e-4, rtol=0)


@pytest.mark.parametrize("difference", [0.05, 1.0, -3.0])
def test_the_divergence_of_one_temperature_is_closed(difference):
    q, p = relaxation(bit(0.4)), relaxation(bit(0.4 + difference))
    found = expectation(lambda u: log_ratio(q, p, u=u, tau=TAU, prior_tau=TAU))
    assert_close(found.item(), difference / math.tanh(difference / 2) - 2, atol=1e-10, rtol=0)


def mean_log_of_a_sum(a):
    r"""$\mathbb{E} \log \sum_k a_k E_k$ of exponentials of distinct scales."""
    others = [[a[k] / (a[k] - a[j]) for j in range(len(a)) if j != k] for k in range(len(a))]
    return -np.euler_gamma + sum(math.log(a[k]) * math.prod(others[k]) for k in range(len(a)))


def test_the_divergence_of_rows_of_one_temperature_is_that_of_sums_of_exponentials():
    logits, d, n = torch.tensor([0.6, -0.4, 0.1], dtype=DOUBLE), [0.5, -1.0, 0.0], 50_000
    q, p = (relaxation(OneHotCategorical(logits=l)) for l in (logits, logits + torch.tensor(d, dtype=DOUBLE)))
    u = q.noise(n, torch.Generator().manual_seed(0))
    ratio = log_ratio(q, p, u=u, tau=TAU, prior_tau=TAU)
    exact = -sum(d) + 3 * (mean_log_of_a_sum([math.exp(each) for each in d]) - (1.5 - np.euler_gamma))
    assert abs(ratio.mean() - exact) < 4.56 * ratio.std() / math.sqrt(n)
    assert exact > 0.3


def test_the_driver_estimates_that_expectation_and_its_gradient():
    logits = torch.full((20_000, 1), 0.4, dtype=DOUBLE, requires_grad=True)
    q, generator = Independent(Bernoulli(logits=logits), 1), torch.Generator().manual_seed(0)
    value = concrete(cost, q, tau=TAU, prior=bit(-0.2), prior_tau=PRIOR_TAU, generator=generator)
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    steps = [relaxed_bound(0.4 + step, bit(-0.2), TAU, PRIOR_TAU) for step in (0.0, 1e-5, -1e-5)]
    for found, exact in ((value.detach(), -steps[0]), (gradient[:, 0], -(steps[1] - steps[2]) / 2e-5)):
        z = (found.mean() - exact) / (found.std() / math.sqrt(len(found)))
        assert z.abs() < 4.56


def test_without_a_prior_it_is_gumbel_softmax(case):
    q = case.q(case.logits)
    one = concrete(case.f, q, tau=0.3, samples=4, generator=torch.Generator().manual_seed(0))
    other = gumbel_softmax(case.f, q, tau=0.3, samples=4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(one, other)


def test_rows_against_themselves_cost_nothing():
    q = Independent(OneHotCategorical(logits=torch.randn(5, 2, 3, dtype=DOUBLE)), 1)
    value = concrete(lambda z: 0 * z.sum((-1, -2)), q, tau=0.5, prior=q, samples=3)
    assert_close(value, torch.zeros(5, dtype=DOUBLE), atol=1e-12, rtol=0)
    prior = Independent(OneHotCategorical(logits=torch.zeros(2, 3, dtype=DOUBLE)), 1)
    value = concrete(lambda z: 0 * z.sum((-1, -2)), q, tau=0.5, prior=prior, samples=200)
    assert (value > 0).all()


@pytest.mark.parametrize("tau", [0.01, 0.1])
def test_extreme_logits_and_low_temperatures_in_single_precision(tau):
    logits = torch.tensor([1e4, -1e4, 30.0, 0.0], requires_grad=True)
    for make in (lambda l: Independent(Bernoulli(logits=l), 1), lambda l: OneHotCategorical(logits=l)):
        prior = make(torch.zeros(4))
        value = concrete(lambda b: b.square().sum(-1), make(logits), tau=tau, prior=prior, samples=5)
        (gradient,) = torch.autograd.grad(value, logits)
        assert value.isfinite()
        assert gradient.isfinite().all()


@pytest.mark.parametrize(
    ("prior", "shown"),
    [
        (OneHotCategorical(logits=torch.zeros(3)), r"OneHotCategorical of batch shape \(\) and event shape \(3,\)"),
        (Independent(Bernoulli(logits=torch.zeros(2)), 1), r"event shape \(2,\), and q Independent"),
        (Independent(Bernoulli(logits=torch.zeros(4, 3)), 1), r"batch shape \(4,\) and event shape \(3,\), and q"),
    ],
)
def test_a_prior_of_another_kind_or_shape_is_refused(prior, shown):
    with pytest.raises(ValueError, match=shown):
        concrete(lambda z: z.sum(-1), Independent(Bernoulli(logits=torch.zeros(3)), 1), tau=0.5, prior=prior)


@pytest.mark.parametrize(
    ("q", "options", "message"),
    [
        (Categorical(logits=torch.zeros(3)), {"tau": 0.5}, "Categorical has no relaxation"),
        (Bernoulli(logits=torch.zeros(3)), {"tau": 0.0}, "tau must be positive"),
        (Bernoulli(logits=torch.zeros(3)), {"tau": 0.5, "prior_tau": 0.5}, "prior_tau is given without a prior"),
        (Bernoulli(logits=torch.zeros(3)), {"tau": 0.5, "samples": 0}, "samples must be at least 1"),
    ],
)
def test_bad_input_is_refused(q, options, message):
    with pytest.raises(ValueError, match=message):
        concrete(lambda z: z, q, **options)


def test_a_cost_without_a_derivative_is_refused():
    with pytest.raises(UnsupportedError, match="not differentiable in its sample"):
        concrete(lambda z: z.detach(), Bernoulli(logits=torch.zeros(3, requires_grad=True)), tau=0.5)
