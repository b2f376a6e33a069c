import math

import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.distributions import RelaxedOneHotCategorical, kl_divergence
from torch.distributions.relaxed_categorical import ExpRelaxedCategorical as TorchsOwn
from torch.testing import assert_close

from jensen.distributions.exp_relaxed_categorical import ExpRelaxedCategorical
from jensen.distributions.logit_relaxed_bernoulli import LogitRelaxedBernoulli

DOUBLE = torch.float64
FALSE_ALARM = 2 * scipy.stats.norm.sf(4.56)
LOGITS = torch.tensor([0.6, -0.4, 0.1], dtype=DOUBLE)


def from_log_ratios(*t):
    """The point of the log-simplex whose log-ratios to its last entry are `t`."""
    return torch.log_softmax(torch.tensor([*t, 0.0], dtype=DOUBLE), -1)


def test_log_density_is_that_of_torch(draw):
    tau, logits = draw(5).exp(), draw(5, 3)
    p = ExpRelaxedCategorical(tau, logits)
    y = p.rsample((4,))
    theirs = torch.stack(
        [TorchsOwn(each, logits=row).log_prob(y[:, k]) for k, (each, row) in enumerate(zip(tau, logits, strict=True))],
        1,
    )
    assert p.batch_shape == (5,)
    assert p.event_shape == (3,)
    assert_close(p.log_prob(y), theirs, atol=1e-10, rtol=0)
    simplex = RelaxedOneHotCategorical(tau[0], logits=logits[0])
    assert_close(p.log_prob(y)[:, 0] - y[:, 0].sum(-1), simplex.log_prob(y[:, 0].exp()), atol=1e-9, rtol=0)


def test_two_categories_are_the_binary_one(draw):
    t = draw(7)
    y = torch.stack([torch.nn.functional.logsigmoid(t), torch.nn.functional.logsigmoid(-t)], -1)
    one = ExpRelaxedCategorical(0.4, torch.tensor([0.9, 0.2], dtype=DOUBLE)).log_prob(y)
    assert_close(one, LogitRelaxedBernoulli(0.4, torch.tensor(0.7, dtype=DOUBLE)).log_prob(t), atol=1e-12, rtol=0)


@pytest.mark.parametrize("tau", [0.3, 1.0, 2.0])
def test_the_density_of_two_categories_integrates_to_one(tau):
    p = ExpRelaxedCategorical(tau, LOGITS[:2])
    mass, _ = scipy.integrate.quad(
        lambda t: p.log_prob(from_log_ratios(t)).exp().item(), -60 / tau, 60 / tau, points=[1 / tau]
    )
    assert_close(mass, 1.0, atol=1e-8, rtol=0)


@pytest.mark.parametrize("tau", [0.5, 1.5])
def test_the_density_of_three_categories_integrates_to_one(tau):
    """The trapezoid rule, which converges geometrically for a smooth density on the whole plane."""
    t = torch.arange(-40, 40, 0.25, dtype=DOUBLE) / tau
    grid = torch.cartesian_prod(t, t)
    y = torch.log_softmax(torch.cat([grid, torch.zeros(len(grid), 1, dtype=DOUBLE)], -1), -1)
    mass = ExpRelaxedCategorical(tau, LOGITS).log_prob(y).exp().sum() * (0.25 / tau) ** 2
    assert_close(mass.item(), 1.0, atol=1e-9, rtol=0)
    wrong = (ExpRelaxedCategorical(tau, LOGITS).log_prob(y) - y.sum(-1)).exp().sum() * (0.25 / tau) ** 2
    assert wrong > 2  # the density of the simplex itself, without its Jacobian


@pytest.mark.parametrize(("shift", "fits"), [(0.0, True), (0.1, False)])
@pytest.mark.parametrize("tau", [0.2, 1.0])
def test_draws_fit_the_density(tau, shift, fits):
    """The expected log-density over draws against its integral over the plane, and the law of every log-ratio."""
    torch.manual_seed(0)
    p, n = ExpRelaxedCategorical(tau, LOGITS), 50_000
    y = ExpRelaxedCategorical(tau, LOGITS + torch.tensor([shift, 0.0, 0.0], dtype=DOUBLE)).rsample((n,))
    assert_close(torch.logsumexp(y, -1), torch.zeros(n, dtype=DOUBLE), atol=1e-12, rtol=0)
    good = []
    for i, j in ((0, 1), (0, 2)):
        law = scipy.stats.logistic(loc=((LOGITS[i] - LOGITS[j]) / tau).item(), scale=1 / tau)
        good.append(scipy.stats.kstest((y[:, i] - y[:, j]).numpy(), law.cdf).pvalue > FALSE_ALARM)
    assert all(good) == fits
    if fits:
        t = torch.arange(-40, 40, 0.25, dtype=DOUBLE) / tau
        grid = torch.cartesian_prod(t, t)
        log_p = p.log_prob(torch.log_softmax(torch.cat([grid, torch.zeros(len(grid), 1, dtype=DOUBLE)], -1), -1))
        expected = (log_p.exp() * log_p).sum() * (0.25 / tau) ** 2
        found = p.log_prob(y)
        assert abs(found.mean() - expected) < 4.56 * found.std() / math.sqrt(n)


def test_the_largest_entry_is_categorical():
    torch.manual_seed(0)
    n = 50_000
    winners = ExpRelaxedCategorical(0.1, LOGITS).rsample((n,)).argmax(-1).bincount(minlength=3)
    assert scipy.stats.chisquare(winners.numpy(), (n * LOGITS.softmax(-1)).numpy()).pvalue > FALSE_ALARM


@pytest.mark.parametrize("logits", [[0.0, 1.0, -1.0], [30.0, 0.0, -30.0], [1e4, -1e4, 0.0]])
def test_finite_where_the_relaxed_simplex_underflows(logits):
    torch.manual_seed(0)
    logits = torch.tensor(logits, requires_grad=True)
    p, prior = ExpRelaxedCategorical(0.01, logits), ExpRelaxedCategorical(0.01, torch.zeros(3))
    y = p.rsample((200,))
    ratio = p.log_prob(y) - prior.log_prob(y)
    (gradient,) = torch.autograd.grad(ratio.sum(), logits)
    for number in (y, ratio, gradient):
        assert number.isfinite().all()
    theirs = RelaxedOneHotCategorical(torch.tensor(0.01), logits=logits.detach(), validate_args=False)
    assert not theirs.log_prob(theirs.rsample((200,))).isfinite().all()


def test_derivatives_of_both_orders(draw):
    tau, logits = draw(2).exp().requires_grad_(), draw(2, 3).requires_grad_()
    y = torch.log_softmax(draw(4, 2, 3), -1)

    def function(tau, logits):
        return ExpRelaxedCategorical(tau, logits).log_prob(y)

    assert gradcheck(function, (tau, logits))
    assert gradgradcheck(function, (tau, logits))


def test_expanding_repeats_the_parameters_and_keeps_the_validation(draw):
    p, y = ExpRelaxedCategorical(0.5, draw(5, 3), validate_args=True), torch.log_softmax(draw(2, 5, 3), -1)
    expanded = p.expand((2, 5))
    assert expanded.batch_shape == (2, 5)
    assert expanded.rsample().shape == (2, 5, 3)
    assert_close(expanded.log_prob(y), p.log_prob(y))
    with pytest.raises(ValueError, match="support"):
        expanded.log_prob(y + 0.01)


def test_temperatures_and_logits_broadcast():
    p = ExpRelaxedCategorical(torch.ones(4, 1), torch.zeros(5, 3))
    assert p.batch_shape == (4, 5)
    assert p.rsample((2,)).shape == (2, 4, 5, 3)


def pair(d, tau=0.5):
    """Two of one temperature, whose logits differ by `d`."""
    d = torch.tensor(d, dtype=DOUBLE)
    logits = torch.linspace(-1, 1, len(d), dtype=DOUBLE)
    return ExpRelaxedCategorical(tau, logits), ExpRelaxedCategorical(tau, logits + d)


@pytest.mark.parametrize("tau", [0.5, 1.5])
@pytest.mark.parametrize("d", [[0.5, -1.0, 0.3], [0.0, 0.0, 2.0], [1.0, 1.0, 1.0]])
def test_divergence_is_the_integral_over_the_plane(tau, d):
    q, p = pair(d, tau)
    t = torch.arange(-45, 45, 0.25, dtype=DOUBLE) / tau
    grid = torch.cartesian_prod(t, t)
    y = torch.log_softmax(torch.cat([grid, torch.zeros(len(grid), 1, dtype=DOUBLE)], -1), -1)
    log_q, log_p = q.log_prob(y), p.log_prob(y)
    exact = (log_q.exp() * (log_q - log_p)).sum() * (0.25 / tau) ** 2
    assert_close(kl_divergence(q, p), exact, atol=1e-10, rtol=0)
    if d[0] != d[2]:
        discrete = torch.distributions.Categorical(logits=q.logits), torch.distributions.Categorical(logits=p.logits)
        assert kl_divergence(q, p) - kl_divergence(*discrete) > 0.05  # the peer that takes the categories' divergence


def by_partial_fractions(d):
    r"""$n (\mathbb{E} \log \sum_k a_k E_k - \psi(n)) - \sum_k \log a_k$ for distinct $a_k = e^{d_k}$."""
    a, n = [math.exp(each) for each in d], len(d)
    others = [math.prod(a[k] / (a[k] - a[j]) for j in range(n) if j != k) for k in range(n)]
    mean = sum(math.log(a[k]) * others[k] for k in range(n)) - np.euler_gamma
    return n * (mean - scipy.special.digamma(n)) - sum(d)


@pytest.mark.parametrize("d", [[0.5, -1.0], [0.5, -1.0, 0.0, 2.0, 1.1], [-3.0, 4.0, 0.2, 9.0, -8.0, 2.0]])
def test_divergence_is_that_of_partial_fractions(d):
    assert_close(kl_divergence(*pair(d)).item(), by_partial_fractions(d), atol=1e-11, rtol=1e-12)


def test_partial_fractions_fail_near_ties():
    d = [3.0 + each for each in (0.0, 1e-5, 2e-5, 3e-5, 1.0, 1.00001)]
    tied = kl_divergence(*pair([0.0, 0.0, 0.0, 0.0, 1.0, 1.0])).item()
    assert_close(kl_divergence(*pair(d)).item(), tied, atol=1e-4, rtol=0)
    assert abs(by_partial_fractions(d) - tied) > 0.1


@pytest.mark.parametrize("delta", [0.0, 1e-3, 2.0, -40.0, 3e4])
def test_divergence_of_two_categories_is_that_of_the_binary_one(delta):
    binary = [LogitRelaxedBernoulli(0.5, torch.tensor(each, dtype=DOUBLE)) for each in (0.0, delta)]
    assert_close(kl_divergence(*pair([delta, 0.0])), kl_divergence(*binary), atol=1e-13, rtol=1e-13)


@pytest.mark.parametrize("n", [3, 30, 1000])
def test_divergence_of_many_categories_is_never_negative_and_right_to_second_order(n):
    """Near zero it is half the Fisher information, (n / (n + 1)) (sum d^2 - (sum d)^2 / n) / 2."""
    d = 1e-3 * torch.linspace(-1, 2, n, dtype=DOUBLE) ** 2
    expected = 0.5 * n / (n + 1) * (d.square().sum() - d.sum() ** 2 / n)
    assert_close(kl_divergence(*pair(d.tolist())), expected, atol=1e-12, rtol=1e-2)
    assert_close(kl_divergence(*pair([0.7] * n)).item(), 0.0, atol=1e-12, rtol=0)


def test_divergence_in_single_precision():
    q, p = pair([1e4, -1e4, 0.0])
    single = [ExpRelaxedCategorical(0.5, each.logits.float().requires_grad_()) for each in (q, p)]
    found = kl_divergence(*single)
    assert_close(found.item(), kl_divergence(q, p).item(), atol=0, rtol=1e-6)
    assert torch.autograd.grad(found, single[1].logits)[0].isfinite().all()


def test_derivatives_of_the_divergence(draw):
    def divergence(l, r):
        return kl_divergence(ExpRelaxedCategorical(0.5, l), ExpRelaxedCategorical(0.5, r))

    tied = torch.tensor([0.3, 0.3, -0.2], dtype=DOUBLE)
    for logits in (draw(2, 3), tied.clone()):
        arguments = logits.requires_grad_(), tied.clone().requires_grad_()
        assert gradcheck(divergence, arguments)
        assert gradgradcheck(divergence, arguments)


def test_divergences_that_are_not_closed_are_refused():
    q = ExpRelaxedCategorical(0.5, LOGITS)
    with pytest.raises(ValueError, match="two temperatures has no closed form"):
        kl_divergence(q, ExpRelaxedCategorical(0.6, LOGITS))
    with pytest.raises(ValueError, match=r"shapes \(3,\) and \(2,\)"):
        kl_divergence(q, ExpRelaxedCategorical(0.5, LOGITS[:2]))


@pytest.mark.parametrize(
    ("tau", "logits", "message"),
    [
        (0.0, torch.zeros(3), "parameter tau"),
        (1.0, torch.tensor([0.0, math.nan]), "parameter logits"),
        (0.5, torch.tensor([0.0, -math.inf, 1.0]), "parameter logits"),
        (0.5, torch.tensor([[0.0, 1.0], [math.inf, 1.0]]), "parameter logits"),
        (0.5, torch.tensor([0, 1]), r"int64; give floating-point"),
        (1.0, torch.tensor(0.0), "logits is a scalar"),
    ],
)
def test_bad_parameters_are_refused(tau, logits, message):
    with pytest.raises(ValueError, match=message):
        ExpRelaxedCategorical(tau, logits, validate_args=True)
    with pytest.raises(ValueError, match=message):
        ExpRelaxedCategorical(tau, logits)
