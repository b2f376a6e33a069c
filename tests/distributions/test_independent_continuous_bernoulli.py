import math

import numpy as np
import pytest
import scipy.stats
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.distributions import ContinuousBernoulli, Independent, kl_divergence
from torch.testing import assert_close

from jensen.distributions import IndependentBernoulli, IndependentContinuousBernoulli

LOGITS = [0.0, 1e-6, 0.05, -0.2, 0.4, -3.0, 30.0, -300.0]
EDGES_OF_THE_SERIES = [0.1, 0.3, 0.5]


@pytest.fixture
def expectation():
    """E[f(x)] for one entry by Gauss-Legendre quadrature on pieces that crowd at the ends of [0, 1]."""
    nodes, weights = (torch.as_tensor(a) for a in np.polynomial.legendre.leggauss(40))
    cuts = torch.cat([torch.zeros(1), torch.logspace(-6, math.log10(0.5), 12)]).double()
    cuts = torch.cat([cuts, 1 - cuts[:-1].flip(0)])
    half = (cuts.diff() / 2).unsqueeze(1)
    x = (cuts[:-1].unsqueeze(1) + half * (1 + nodes)).flatten()
    weight = (half * weights).flatten()
    return lambda p, f: (weight * p.log_prob(x.unsqueeze(1).to(p.logits)).double().exp() * f(x)).sum().item()


@pytest.mark.parametrize("logit", LOGITS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
def test_the_density_has_integral_one_and_the_stated_moments(expectation, logit, dtype, tolerance):
    p = IndependentContinuousBernoulli(torch.tensor([logit], dtype=dtype))
    mean = expectation(p, lambda x: x)
    assert_close(expectation(p, torch.ones_like), 1.0, atol=tolerance, rtol=0)
    assert_close(p.mean.item(), mean, atol=tolerance, rtol=0)
    assert_close(p.variance.item(), expectation(p, lambda x: (x - mean) ** 2), atol=tolerance, rtol=0)
    surprise = expectation(p, lambda x: -p.log_prob(x.unsqueeze(1).to(dtype)).double())
    assert_close(p.entropy().item(), surprise, atol=5 * tolerance, rtol=0)


@pytest.mark.parametrize(("logit", "integral"), [(0.0, 0.5), (3.0, 0.3017)])
def test_the_cross_entropy_of_grey_pixels_is_no_density(expectation, logit, integral):
    twin = IndependentBernoulli(torch.tensor([logit]).double(), validate_args=False)
    assert_close(expectation(twin, torch.ones_like), integral, atol=1e-4, rtol=0)


def test_the_family_of_torch_loses_its_normaliser_at_large_logits(expectation):
    theirs = Independent(ContinuousBernoulli(logits=torch.tensor([30.0])), 1)
    theirs.logits = theirs.base_dist.logits
    assert expectation(theirs, torch.ones_like) < 0.6


def test_where_torch_is_exact_it_agrees(draw):
    p, x = IndependentContinuousBernoulli(draw(5, 3)), torch.sigmoid(draw(4, 1, 3))
    theirs = Independent(ContinuousBernoulli(logits=p.logits), 1)
    assert_close(p.log_prob(x), theirs.log_prob(x), atol=1e-8, rtol=0)
    for name in ("mean", "variance", "stddev"):
        assert_close(getattr(p, name), getattr(theirs, name), atol=1e-6, rtol=0)


@pytest.mark.parametrize("edge", EDGES_OF_THE_SERIES)
@pytest.mark.parametrize("name", ["mean", "variance", "log_normalizer"])
def test_series_and_closed_form_meet(edge, name):
    p = IndependentContinuousBernoulli(
        torch.tensor([edge - 1e-12, edge + 1e-12, -edge - 1e-12, -edge + 1e-12]).double()
    )
    value = p.log_normalizer() if name == "log_normalizer" else getattr(p, name)
    assert_close(value[0::2], value[1::2], atol=2e-12, rtol=0)


def test_derivatives_of_both_orders():
    logits = torch.tensor([0.0, 0.05, -0.2, 3.0, -40.0]).double().requires_grad_()
    x = torch.tensor([0.0, 0.2, 0.5, 1.0, 0.9]).double()
    for function in (
        lambda l: IndependentContinuousBernoulli(l).log_prob(x),
        lambda l: IndependentContinuousBernoulli(l).mean,
        lambda l: IndependentContinuousBernoulli(l).entropy(),
    ):
        assert gradcheck(function, logits)
        assert gradgradcheck(function, logits, atol=1e-4)


@pytest.mark.parametrize("logit", [0.0, 1.5, -4.0, 40.0])
@pytest.mark.parametrize(("shift", "fits"), [(0.0, True), (0.3, False)])
def test_draws_fit_the_density(logit, shift, fits):
    """Kolmogorov and Smirnov's test at the tail probability of |z| = 4.56, against the integral of the density."""
    torch.manual_seed(0)
    p = IndependentContinuousBernoulli(torch.tensor([logit]).double())
    x = IndependentContinuousBernoulli(p.logits * (1 + shift) + shift).sample((40_000,)).squeeze(1)

    def distribution_function(value):
        return value if logit == 0 else np.expm1(logit * value) / np.expm1(logit)

    result = scipy.stats.kstest(x.numpy(), distribution_function)
    assert (result.pvalue > 2 * scipy.stats.norm.sf(4.56)) == fits


def test_draws_are_reparameterised():
    logits = torch.tensor([1.0, -2.0]).double().requires_grad_()

    def draw(l):
        torch.manual_seed(3)
        return IndependentContinuousBernoulli(l).rsample((3,))

    assert gradcheck(draw, logits)


def test_expanding_repeats_the_logits_and_keeps_the_validation(draw):
    p = IndependentContinuousBernoulli(draw(3), validate_args=True).expand((2,))
    assert p.log_prob(torch.full((3,), 0.5).double()).shape == (2,)
    with pytest.raises(ValueError, match="support"):
        p.log_prob(torch.full((3,), 1.5).double())


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (torch.tensor(0.0), "scalar"),
        (torch.tensor([math.nan]), "parameter logits"),
        (torch.tensor([0, 1]), "int64; give floating-point"),
    ],
)
def test_bad_logits_are_refused(logits, message):
    with pytest.raises(ValueError, match=message):
        IndependentContinuousBernoulli(logits, validate_args=True)


@pytest.mark.parametrize("other", [0.0, 0.05, 4.0, -30.0])
@pytest.mark.parametrize("logit", LOGITS)
def test_divergence_is_the_integral(expectation, logit, other):
    q, p = (IndependentContinuousBernoulli(torch.tensor([each]).double()) for each in (logit, other))
    exact = expectation(q, lambda x: q.log_prob(x.unsqueeze(1)) - p.log_prob(x.unsqueeze(1)))
    assert_close(kl_divergence(q, p).item(), exact, atol=1e-11, rtol=1e-12)
    bits = kl_divergence(IndependentBernoulli(q.logits), IndependentBernoulli(p.logits)).item()
    assert (
        abs(logit - other) < 0.01 or abs(bits - exact) > 1e-7
    )  # that of the cross-entropies without their normalisers


def test_divergence_at_extreme_logits():
    logits, others = torch.tensor([1e4, -1e4, 1e4, 0.0]), torch.tensor([0.0, 0.0, 1e4, -1e4])
    exact = torch.tensor([math.log(1e4) - 1, math.log(1e4) - 1, 0.0, 5e3 - math.log(1e4)])
    for logit, other, expected in zip(logits, others, exact, strict=True):
        q, p = (IndependentContinuousBernoulli(each.reshape(1).requires_grad_()) for each in (logit, other))
        found = kl_divergence(q, p)
        assert_close(found, expected, atol=2e-6, rtol=1e-6)
        assert all(each.isfinite().all() for each in torch.autograd.grad(found, (q.logits, p.logits)))


def test_derivatives_of_the_divergence(draw):
    def divergence(l, r):
        return kl_divergence(IndependentContinuousBernoulli(l), IndependentContinuousBernoulli(r))

    logits = torch.tensor([[0.0, 0.05, 3.0], [0.7, -0.2, -4.0]]).double().requires_grad_(), draw(3).requires_grad_()
    assert gradcheck(divergence, logits)
    assert gradgradcheck(divergence, logits, atol=1e-4)


def test_divergence_of_other_sizes_is_refused():
    with pytest.raises(ValueError, match=r"shapes \(3,\) and \(1,\)"):
        kl_divergence(IndependentContinuousBernoulli(torch.zeros(3)), IndependentContinuousBernoulli(torch.zeros(1)))
