import math

import pytest
import scipy.integrate
import scipy.stats
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.distributions import kl_divergence
from torch.distributions.relaxed_bernoulli import LogitRelaxedBernoulli as TorchsOwn
from torch.testing import assert_close

from jensen.distributions.logit_relaxed_bernoulli import LogitRelaxedBernoulli

DOUBLE = torch.float64
FALSE_ALARM = 2 * scipy.stats.norm.sf(4.56)


def numbers(*values):
    return torch.tensor(values, dtype=DOUBLE)


def test_log_density_is_that_of_torch_and_of_a_scaled_logistic(draw):
    tau, logits, y = draw(3).exp(), draw(5, 3), draw(4, 5, 3)
    p = LogitRelaxedBernoulli(tau, logits)
    assert p.batch_shape == (5, 3)
    assert_close(p.log_prob(y), TorchsOwn(tau, logits=logits).log_prob(y), atol=1e-12, rtol=0)
    scipys = scipy.stats.logistic.logpdf(y.numpy(), loc=(logits / tau).numpy(), scale=(1 / tau).numpy())
    assert_close(p.log_prob(y), torch.as_tensor(scipys), atol=1e-12, rtol=0)


@pytest.mark.parametrize("tau", [0.1, 0.5, 2.0])
def test_the_density_integrates_to_one(tau):
    p = LogitRelaxedBernoulli(tau, numbers(0.7))
    mass, _ = scipy.integrate.quad(
        lambda y: p.log_prob(numbers(y)).exp().item(), -60 / tau, 60 / tau, points=[0.7 / tau]
    )
    assert_close(mass, 1.0, atol=1e-8, rtol=0)


@pytest.mark.parametrize(("shift", "fits"), [(0.0, True), (0.05, False)])
@pytest.mark.parametrize("tau", [0.1, 1.0])
def test_draws_fit_the_density(tau, shift, fits):
    torch.manual_seed(0)
    y = LogitRelaxedBernoulli(tau, numbers(0.7) + shift).rsample((50_000,))[:, 0]
    law = scipy.stats.logistic(loc=0.7 / tau, scale=1 / tau)
    assert (scipy.stats.kstest(y.numpy(), law.cdf).pvalue > FALSE_ALARM) == fits


def test_positive_draws_are_as_frequent_as_the_bit():
    torch.manual_seed(0)
    y, p = LogitRelaxedBernoulli(0.1, numbers(0.7)).rsample((50_000,)), 1 / (1 + math.exp(-0.7))
    assert abs((y > 0).double().mean() - p) < 4.56 * math.sqrt(p * (1 - p) / 50_000)


@pytest.mark.parametrize("logit", [1e4, -1e4, 30.0, 0.0])
@pytest.mark.parametrize("tau", [0.01, 1.0])
def test_extreme_logits_in_single_precision(tau, logit):
    torch.manual_seed(0)
    logits = torch.full((1000,), logit, requires_grad=True)
    p = LogitRelaxedBernoulli(tau, logits)
    y = p.rsample()
    far = LogitRelaxedBernoulli(tau, torch.zeros(1000)).log_prob(y)
    for number in (y, p.log_prob(y), far, *torch.autograd.grad((p.log_prob(y) - far).sum(), logits)):
        assert number.isfinite().all()
    assert_close(p.log_prob(y).mean().item(), math.log(tau) - 2, atol=0.3, rtol=0)  # minus its entropy


def test_where_torch_fails():
    """Its draws are those of log-odds 16, far from its own density, which is zero there."""
    torch.manual_seed(0)
    theirs = TorchsOwn(torch.tensor(0.01), logits=torch.tensor([1e4]))
    y = theirs.rsample((100,))
    assert y.max() < 4000 < 1e6
    assert (theirs.log_prob(y) == -math.inf).all()
    ours = LogitRelaxedBernoulli(0.01, torch.tensor([1e4]))
    assert (ours.rsample((100,)) > 9e5).all()


@pytest.mark.parametrize("delta", [0.0, 1e-3, 0.0999, 0.1001, 2.0, -40.0])
def test_divergence_of_one_temperature(delta):
    q, p = LogitRelaxedBernoulli(0.5, numbers(0.7)), LogitRelaxedBernoulli(0.5, numbers(0.7 + delta))

    def integrand(y):
        return (q.log_prob(numbers(y)).exp() * (q.log_prob(numbers(y)) - p.log_prob(numbers(y)))).item()

    exact, _ = scipy.integrate.quad(integrand, -80, 80, points=[1.4], epsabs=1e-12, limit=200)
    assert_close(kl_divergence(q, p).item(), exact, atol=1e-9, rtol=1e-9)


def test_divergence_is_smooth_at_zero():
    logits = numbers(0.0, 0.05, 0.0999, 0.5).requires_grad_()

    def divergence(l):
        return kl_divergence(LogitRelaxedBernoulli(0.5, l), LogitRelaxedBernoulli(0.5, torch.zeros_like(l)))

    assert gradcheck(divergence, logits)
    assert gradgradcheck(divergence, logits)


def test_divergence_of_two_temperatures_is_refused():
    with pytest.raises(ValueError, match="two temperatures has no closed form"):
        kl_divergence(LogitRelaxedBernoulli(0.5, numbers(0.0)), LogitRelaxedBernoulli(0.6, numbers(0.0)))


def test_derivatives_of_both_orders(draw):
    tau, logits, y = draw(3).exp().requires_grad_(), draw(3).requires_grad_(), draw(4, 3)

    def function(tau, logits):
        return LogitRelaxedBernoulli(tau, logits).log_prob(y)

    assert gradcheck(function, (tau, logits))
    assert gradgradcheck(function, (tau, logits))


def test_expanding_repeats_the_parameters_and_keeps_the_validation(draw):
    p, y = LogitRelaxedBernoulli(0.5, draw(3), validate_args=True), draw(2, 5, 3)
    expanded = p.expand((5, 3))
    assert expanded.batch_shape == (5, 3)
    assert_close(expanded.log_prob(y), p.log_prob(y))
    with pytest.raises(ValueError, match="support"):
        expanded.log_prob(y * math.nan)


@pytest.mark.parametrize(
    ("tau", "logit", "message"),
    [
        (0.0, 0.0, "parameter tau"),
        (-1.0, 0.0, "parameter tau"),
        (1.0, math.nan, "parameter logits"),
        (0.5, math.inf, "parameter logits"),
        (0.5, -math.inf, "parameter logits"),
        (0.5, 1, "int64; give floating-point"),
    ],
)
def test_bad_parameters_are_refused(tau, logit, message):
    with pytest.raises(ValueError, match=message):
        LogitRelaxedBernoulli(tau, torch.tensor([logit]), validate_args=True)
    with pytest.raises(ValueError, match=message):
        LogitRelaxedBernoulli(tau, torch.tensor([logit]))
