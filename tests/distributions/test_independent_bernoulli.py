import math

import pytest
import scipy.stats
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.distributions import Bernoulli, Independent, kl_divergence
from torch.testing import assert_close

from jensen.distributions import IndependentBernoulli

SHAPES = [
    ((3,), ()),
    ((3,), (5,)),
    ((5, 3), ()),
    ((5, 3), (1,)),
    ((1, 3), (5,)),
    ((5, 3), (4, 5)),
    ((4, 1, 3), (2, 1, 5)),
]


def torch_twin(p):
    return Independent(Bernoulli(logits=p.logits), 1)


@pytest.mark.parametrize(("shape", "value_batch"), SHAPES)
def test_log_probability_is_that_of_torch_and_scipy(draw, shape, value_batch):
    p, x = IndependentBernoulli(draw(*shape)), (draw(*value_batch, 3) > 0).double()
    assert_close(p.log_prob(x), torch_twin(p).log_prob(x), atol=1e-12, rtol=0)
    scipys = scipy.stats.bernoulli.logpmf(x.numpy(), p.mean.numpy()).sum(-1)
    assert_close(p.log_prob(x), torch.as_tensor(scipys), atol=1e-12, rtol=0)


@pytest.mark.parametrize("shape", [(3,), (5, 3), (2, 5, 3)])
def test_moments_and_entropy_are_those_of_torch(draw, shape):
    p = IndependentBernoulli(draw(*shape))
    for name in ("batch_shape", "event_shape", "mean", "mode", "stddev", "variance"):
        assert_close(getattr(p, name), getattr(torch_twin(p), name))
    assert_close(p.entropy(), torch_twin(p).entropy(), atol=1e-12, rtol=0)


def test_probabilities_sum_to_one(draw):
    every = torch.cartesian_prod(*[torch.tensor([0.0, 1.0]).double()] * 3)
    p = IndependentBernoulli(3 * draw(3))
    log_p = p.log_prob(every)
    assert_close(log_p.exp().sum().item(), 1.0, atol=1e-14, rtol=0)
    assert_close(p.entropy(), -(log_p.exp() * log_p).sum(), atol=1e-13, rtol=0)


@pytest.mark.parametrize("shape", [(3,), (5, 3), (2, 5, 3)])
def test_all_values_are_listed_once_the_first_entry_changing_slowest(draw, shape):
    p = IndependentBernoulli(draw(*shape))
    every = torch.cartesian_prod(*[torch.tensor([0.0, 1.0]).double()] * 3)
    each = every.reshape(8, *(1 for _ in p.batch_shape), 3)
    assert p.has_enumerate_support
    assert p.support_size == 8
    assert torch.equal(p.enumerate_support(expand=False), each)
    assert torch.equal(p.enumerate_support(), each.expand(8, *shape))
    assert_close(p.log_prob(p.enumerate_support()).exp().sum(0), torch.ones(shape[:-1]).double())


@pytest.mark.parametrize("size", [21.0, 1e4])
def test_extreme_logits_are_finite_in_single_precision(size):
    p = IndependentBernoulli(torch.tensor([size, -size]).requires_grad_())
    log_probs = p.log_prob(torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]))
    assert_close(log_probs, torch.tensor([0.0, -size, -2 * size]), atol=1e-8, rtol=0)
    (gradient,) = torch.autograd.grad(log_probs[2], p.logits)
    assert_close(gradient, torch.tensor([-1.0, 1.0]))
    assert 0 <= p.entropy() < 1e-6
    assert ((p.variance > 0) == (size < 100)).all()


def test_entropy_keeps_its_digits_where_softplus_is_cut_off():
    exact = math.log1p(math.exp(-21)) + 21 / (1 + math.exp(21))
    assert_close(IndependentBernoulli(torch.tensor([-21.0]).double()).entropy().item(), exact, rtol=1e-6, atol=0)


def test_mode_at_even_odds_is_zero():
    assert torch.equal(IndependentBernoulli(torch.tensor([-1.0, 0.0, 1.0])).mode, torch.tensor([0.0, 0.0, 1.0]))


def test_derivatives_of_both_orders(draw):
    logits = draw(2, 3).requires_grad_()
    x = (draw(4, 1, 3) > 0).double()
    for function in (lambda l: IndependentBernoulli(l).log_prob(x), lambda l: IndependentBernoulli(l).entropy()):
        assert gradcheck(function, logits)
        assert gradgradcheck(function, logits)


def test_expanding_repeats_the_logits_and_keeps_the_validation(draw):
    p, x = IndependentBernoulli(draw(5, 3), validate_args=True), (draw(2, 5, 3) > 0).double()
    expanded = p.expand((2, 5))
    assert expanded.batch_shape == (2, 5)
    assert_close(expanded.log_prob(x), p.log_prob(x))
    with pytest.raises(ValueError, match="support"):
        expanded.log_prob(x / 2 + 0.25)


@pytest.mark.parametrize(("shift", "fits"), [(0.0, True), (0.05, False)])
def test_draws_fit_the_probabilities(shift, fits):
    """Pearson's statistic over all eight outcomes, 7 degrees of freedom, at the tail probability of |z| = 4.56."""
    torch.manual_seed(0)
    p, n = IndependentBernoulli(torch.tensor([-1.0, 0.3, 2.0]).double()), 100_000
    every = torch.cartesian_prod(*[torch.tensor([0.0, 1.0]).double()] * 3)
    x = IndependentBernoulli(p.logits + shift).sample((n,))
    observed = (x.unsqueeze(1) == every).all(-1).double().sum(0)
    expected = n * p.log_prob(every).exp()
    statistic = ((observed - expected) ** 2 / expected).sum().item()
    assert (scipy.stats.chi2.sf(statistic, 7) > 2 * scipy.stats.norm.sf(4.56)) == fits


def test_draws_are_independent_over_samples_and_batch():
    torch.manual_seed(0)
    x = IndependentBernoulli(torch.zeros(1, 50)).expand((40,)).sample((30,))
    assert x.shape == (30, 40, 50)
    n = 40 * 50
    agreement = (x[0] == x[1]).double().mean(), (x[:, 0] == x[:, 1]).double().mean()
    assert abs(agreement[0] - 0.5) < 4.56 * 0.5 / math.sqrt(n)
    assert abs(agreement[1] - 0.5) < 4.56 * 0.5 / math.sqrt(30 * 50)


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
        IndependentBernoulli(logits, validate_args=True)


@pytest.mark.parametrize("pixel", [math.nan, 0.5, 2.0])
def test_bad_values_are_refused_under_validation(pixel):
    x = torch.tensor([1.0, pixel])
    with pytest.raises(ValueError, match="support"):
        IndependentBernoulli(torch.zeros(2), validate_args=True).log_prob(x)
    IndependentBernoulli(torch.zeros(2), validate_args=False).log_prob(x)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
def test_it_is_a_function_of_its_logits_to_functorch(draw):
    logits, x = draw(4, 3), (draw(4, 3) > 0).double()

    def log_prob(l, v):
        return IndependentBernoulli(l, validate_args=False).log_prob(v)

    assert_close(torch.vmap(log_prob)(logits, x), log_prob(logits, x))
    hessian = torch.func.hessian(log_prob)(logits[0], x[0])
    assert_close(hessian, torch.diag(-IndependentBernoulli(logits[0]).variance), atol=1e-12, rtol=0)


@pytest.mark.parametrize(("shape", "other"), [((3,), (3,)), ((5, 3), (3,)), ((3,), (5, 3)), ((2, 1, 3), (5, 3))])
def test_divergence_is_that_of_enumeration_and_of_torch(draw, shape, other):
    q, p = IndependentBernoulli(2 * draw(*shape)), IndependentBernoulli(2 * draw(*other))
    every = torch.cartesian_prod(*[torch.tensor([0.0, 1.0]).double()] * 3)
    ranks = max(len(q.batch_shape), len(p.batch_shape))
    log_q, log_p = (each.log_prob(every.reshape(8, *[1] * ranks, 3)) for each in (q, p))
    found = kl_divergence(q, p)
    assert_close(found, (log_q.exp() * (log_q - log_p)).sum(0), atol=1e-12, rtol=0)
    batch = torch.broadcast_shapes(q.batch_shape, p.batch_shape)  # which torch's own fails to do
    assert_close(found, kl_divergence(*(torch_twin(each.expand(batch)) for each in (q, p))), atol=1e-10, rtol=0)
    assert (found - kl_divergence(p, q)).abs().max() > 1e-2


def test_divergence_at_extreme_logits():
    q, p = (IndependentBernoulli(torch.tensor(each).requires_grad_()) for each in ([1e4, -1e4, 0], [-1e4, -1e4, 1e4]))
    found = kl_divergence(q, p)
    assert_close(found.item(), 1e4 + 5e3 - math.log(2), atol=2e-3, rtol=0)
    assert all(each.isfinite().all() for each in torch.autograd.grad(found, (q.logits, p.logits)))
    certain, even = (IndependentBernoulli(torch.tensor(each)) for each in ([math.inf, -math.inf], [0.0, 0.0]))
    assert_close(kl_divergence(certain, even).item(), 2 * math.log(2))
    assert kl_divergence(even, certain) == math.inf
    assert kl_divergence(certain, certain) == 0


def test_derivatives_of_the_divergence(draw):
    def divergence(l, r):
        return kl_divergence(IndependentBernoulli(l), IndependentBernoulli(r))

    logits = draw(2, 3).requires_grad_(), draw(3).requires_grad_()
    assert gradcheck(divergence, logits)
    assert gradgradcheck(divergence, logits)


def test_divergence_of_other_sizes_is_refused():
    with pytest.raises(ValueError, match=r"shapes \(3,\) and \(1,\)"):
        kl_divergence(IndependentBernoulli(torch.zeros(3)), IndependentBernoulli(torch.zeros(1)))
