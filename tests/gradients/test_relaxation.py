import math

import numpy as np
import pytest
import scipy.stats
import torch
from torch.distributions import Bernoulli, Categorical, Independent, Normal, OneHotCategorical
from torch.testing import assert_close

from jensen.distributions import IndependentBernoulli
from jensen.gradients._parts import UnsupportedError
from jensen.gradients.relaxation import check_tau, relaxation

DOUBLE = torch.float64
FALSE_ALARM = 2 * scipy.stats.norm.sf(4.56)  # once in 2e5: the suite's budget of 1e-3 over 200 tests
EDGES = np.array([0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6, 10, 15, 20, 30])
BITS = torch.tensor([0.3, -0.6, 0.9], dtype=DOUBLE)
ROWS = torch.tensor([[0.6, -0.4, 0.1, -0.9], [2.0, 0.0, -1.0, 0.5]], dtype=DOUBLE)
QS = {
    "bernoulli": lambda: Bernoulli(logits=BITS),
    "bernoulli probs": lambda: Bernoulli(probs=BITS.sigmoid()),
    "independent bernoulli": lambda: Independent(Bernoulli(logits=BITS.reshape(1, 3).expand(2, 3)), 1),
    "matrix of bits": lambda: Independent(Bernoulli(logits=BITS.reshape(1, 3).expand(2, 3)), 2),
    "ours": lambda: IndependentBernoulli(BITS),
    "nested": lambda: Independent(IndependentBernoulli(BITS.expand(5, 2, 3)), 1),
    "one-hot": lambda: OneHotCategorical(logits=ROWS[0]),
    "one-hot batch": lambda: OneHotCategorical(probs=ROWS.softmax(-1)),
    "one-hot rows": lambda: Independent(OneHotCategorical(logits=ROWS), 1),
}


def panels(edges, nodes=20):
    """Gauss-Legendre nodes and weights between consecutive edges."""
    x, w = np.polynomial.legendre.leggauss(nodes)
    half, middle = np.diff(edges)[:, None] / 2, (edges[1:] + edges[:-1])[:, None] / 2
    return torch.from_numpy((middle + half * x).ravel()), torch.from_numpy((half * w).ravel())


def halves(logit):
    """Noise and its weights on either side of the step, `(2, N)`: zeros, then ones."""
    positive, weight = panels(EDGES)
    z = torch.stack([-positive, positive])
    return torch.sigmoid(z - logit), weight * torch.sigmoid(z - logit) * torch.sigmoid(logit - z)


@pytest.mark.parametrize("name", QS)
def test_shapes_and_values_are_those_of_the_distribution(name):
    q = QS[name]()
    p = relaxation(q)
    u = p.noise(7, torch.Generator().manual_seed(0))
    z = p.scores(u)
    b = p.harden(z)
    shape = (7, *q.batch_shape, *q.event_shape)
    assert u.shape == z.shape == b.shape == p.soften(z, 0.5).shape == p.conditional(b, u).shape == shape
    assert b.dtype == q.sample().dtype
    assert_close(p.log_prob(b), q.log_prob(b), atol=1e-12, rtol=0)
    assert p.log_density(p.coordinates(z, 0.5), 0.5).shape == shape[: 1 + len(q.batch_shape)]
    assert p.event_sum(z).shape == shape[: 1 + len(q.batch_shape)]
    assert torch.equal(p.harden(p.coordinates(z, 0.5)), b)


@pytest.mark.parametrize("name", QS)
def test_scores_given_a_sample_harden_to_it_and_tied_noise_gives_the_scores_back(name):
    p = relaxation(QS[name]())
    generator = torch.Generator().manual_seed(0)
    u, v = p.noise(2000, generator), p.noise(2000, generator)
    z = p.scores(u)
    b = p.harden(z)
    assert torch.equal(p.harden(p.conditional(b, v)), b)
    assert_close(p.conditional(b, p.tied(u)), z, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("name", QS)
def test_the_score_is_the_derivative_of_the_log_probability(name):
    p = relaxation(QS[name]())
    b = p.harden(p.scores(p.noise(5, torch.Generator().manual_seed(0))))
    p = p.at(p.logits.detach().expand(b.shape).clone().requires_grad_())
    (derivative,) = torch.autograd.grad(p.log_prob(b).sum(), p.logits)
    assert_close(p.score(b), derivative, atol=1e-12, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("width", [2, 10, 16])
def test_softmax_of_short_rows(dtype, width):
    logits = torch.randn(50, width, dtype=dtype, generator=torch.Generator().manual_seed(0)).mul(5)
    logits[0] *= 2000
    p = relaxation(OneHotCategorical(logits=torch.zeros(width, dtype=dtype)))
    assert_close(p.soften(logits, 0.5), torch.softmax(logits / 0.5, -1))
    assert_close(p.coordinates(logits, 0.5), torch.log_softmax(logits / 0.5, -1))


@pytest.mark.parametrize("tau", [0.1, 0.5, 2.0])
def test_a_low_temperature_softens_less(tau):
    p = relaxation(QS["one-hot batch"]())
    z = p.scores(p.noise(50))
    assert_close(p.soften(z, tau), torch.softmax(z / tau, -1))
    assert_close(p.soften(z, torch.full((2,), tau, dtype=DOUBLE)), torch.softmax(z / tau, -1))
    assert_close(p.soften(z, 1e-6), p.harden(z))
    assert_close(p.coordinates(z, tau).exp(), p.soften(z, tau))


@pytest.mark.parametrize("logit", [0.0, 1.5, -1.0])
def test_half_the_noise_is_as_probable_as_its_bit(logit):
    u, weight = halves(torch.tensor(logit, dtype=DOUBLE))
    theta = 1 / (1 + math.exp(-logit))
    assert_close(weight.sum(-1), torch.tensor([1 - theta, theta], dtype=DOUBLE), atol=1e-11, rtol=0)
    assert_close(relaxation(Bernoulli(logits=torch.tensor(logit, dtype=DOUBLE))).harden(torch.logit(u) + logit)[:, 0],
                 torch.tensor([0.0, 1.0], dtype=DOUBLE))  # fmt: skip


FUNCTIONS = {
    "soft": lambda z: torch.sigmoid(z / 0.5),
    "mean": lambda z: z,
    "square": lambda z: z.square(),
    "tail": lambda z: torch.sigmoid(3 * (z - 2)),
}


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("logit", [0.0, 1.5, -1.0])
def test_bits_averaged_over_the_hard_sample_the_conditional_scores_have_the_law_of_the_scores(logit, function):
    h, p = FUNCTIONS[function], relaxation(Bernoulli(logits=torch.tensor(logit, dtype=DOUBLE)))
    u, weight = halves(p.logits)
    v, v_weight = panels(np.concatenate([-EDGES[:0:-1], EDGES]))
    v, v_weight = torch.sigmoid(v), v_weight * torch.sigmoid(v) * torch.sigmoid(-v)
    expected = (weight * h(p.scores(u))).sum()
    given = [(v_weight * h(p.conditional(torch.full_like(v, bit), v))).sum() for bit in (0.0, 1.0)]
    assert_close(weight.sum(-1) @ torch.stack(given), expected, atol=1e-9, rtol=0)
    wrong = (v_weight * h(torch.logit(v))).sum()  # a conditional that ignores b, and the logits
    assert logit == 0 or abs(wrong - expected) > 1e-2


@pytest.mark.parametrize("logits", [[0.6, -0.4, 0.1, -0.9], [5.0, 0.0, -3.0, 0.0]])
def test_rows_averaged_over_the_hard_sample_the_conditional_scores_have_the_law_of_the_scores(logits):
    """Kolmogorov's test of each score against its Gumbel law, and of differences against the logistic one."""
    q = OneHotCategorical(logits=torch.tensor(logits, dtype=DOUBLE))
    p, generator, n = relaxation(q), torch.Generator().manual_seed(0), 50_000
    b = p.harden(p.scores(p.noise(n, generator)))
    z = p.conditional(b, p.noise(n, generator)).numpy()
    ignoring_b = p.conditional(q.enumerate_support()[0].expand_as(b), p.noise(n, generator)).numpy()
    for k in range(4):
        law = scipy.stats.gumbel_r(loc=q.logits[k].item())
        assert scipy.stats.kstest(z[:, k], law.cdf).pvalue > FALSE_ALARM
        assert scipy.stats.kstest(ignoring_b[:, k], law.cdf).pvalue < FALSE_ALARM or q.probs[0] > 0.9
        other = (k + 1) % 4
        logistic = scipy.stats.logistic(loc=(q.logits[k] - q.logits[other]).item())
        assert scipy.stats.kstest(z[:, k] - z[:, other], logistic.cdf).pvalue > FALSE_ALARM


@pytest.mark.parametrize("name", ["one-hot batch", "independent bernoulli"])
def test_tied_noise_is_uniform_given_the_hard_sample(name):
    p = relaxation(QS[name]())
    u = p.noise(40_000, torch.Generator().manual_seed(0))
    b, v = p.harden(p.scores(u)), p.tied(u)
    for row in range(2):
        for k in range(p.logits.shape[-1]):
            given = v[:, row][b[:, row, k] > 0]
            for j in range(p.logits.shape[-1]):
                assert scipy.stats.kstest(given[:, j].numpy(), "uniform").pvalue > FALSE_ALARM


def test_conditional_scores_have_the_derivative_of_their_closed_form():
    for q in (Bernoulli(logits=BITS), OneHotCategorical(logits=ROWS)):
        p = relaxation(q)
        u, v = p.noise(3), p.noise(3)
        b = p.harden(p.scores(u))

        def conditional(logits, p=p, b=b, v=v):
            return p.at(logits).conditional(b, v)

        assert torch.autograd.gradcheck(conditional, p.logits.clone().requires_grad_())
        assert torch.autograd.gradgradcheck(conditional, p.logits.clone().requires_grad_())


def test_binary_conditional_is_that_of_the_paper():
    p, v = relaxation(Bernoulli(logits=BITS)), torch.rand(100, 3, dtype=DOUBLE)
    theta = BITS.sigmoid()
    for b in (torch.zeros_like(v), torch.ones_like(v)):
        noise = b * (v * theta + 1 - theta) + (1 - b) * v * (1 - theta)
        assert_close(p.conditional(b, v), BITS + torch.logit(noise), atol=1e-10, rtol=1e-10)


EXTREME = torch.tensor([1e4, -1e4, 0.0, 30.0, -math.inf])


@pytest.mark.parametrize("q", [Bernoulli(logits=EXTREME), OneHotCategorical(logits=EXTREME)], ids=["bits", "row"])
@pytest.mark.filterwarnings("error")
def test_extreme_logits_and_noise_are_finite_in_single_precision(q):
    p = relaxation(q)
    eps = torch.finfo(torch.float32).eps
    levels = torch.tensor([eps / 4, 0.3, 1 - eps / 2])
    u = torch.cartesian_prod(*[levels] * 5)
    p = p.at(p.logits.clone().requires_grad_())
    z = p.scores(u)
    b = p.harden(z)
    assert torch.equal(p.harden(p.conditional(b, u)), b)
    for hard in torch.eye(5):
        given = p.conditional(hard.expand_as(u), u)
        assert torch.equal(p.harden(given), hard.expand_as(u))
        (gradient,) = torch.autograd.grad(p.soften(given, 0.01).square().sum(), p.logits, retain_graph=True)
        assert gradient.isfinite().all()
    y = p.coordinates(z, 0.01)
    for number in (z, p.soften(z, 0.01), p.log_prob(b), p.tied(u)):
        assert number.isfinite().all()
    assert (p.tied(u) > 0).all()
    assert (p.tied(u) < 1).all()
    finite = p.log_prob(b) > -1e6
    assert finite.all()
    assert not p.log_density(y, 0.01).isnan().any()
    (gradient,) = torch.autograd.grad(p.soften(z, 0.01).square().sum() + p.log_prob(b).sum(), p.logits)
    assert gradient.isfinite().all()


def test_noise_stays_inside_the_unit_interval_and_follows_its_generator():
    p = relaxation(Bernoulli(logits=torch.zeros(1000)))
    u, same = (p.noise(1000, torch.Generator().manual_seed(1)) for _ in range(2))
    assert u.min() > 0
    assert u.max() < 1
    assert torch.equal(u, same)


def test_tangent_is_worth_zero_and_has_the_derivative_of_the_mean():
    for q, mean in (
        (Bernoulli(logits=BITS), torch.sigmoid),
        (OneHotCategorical(logits=ROWS[0]), lambda l: l.softmax(-1)),
    ):
        logits = relaxation(q).logits.clone().requires_grad_()
        p = relaxation(q).at(logits)
        weight = torch.arange(1.0, 1 + len(logits), dtype=DOUBLE)
        tangent = p.tangent(mean(logits))
        assert (tangent == 0).all()
        (found,) = torch.autograd.grad((weight * tangent).sum(), logits)
        (expected,) = torch.autograd.grad((weight * mean(logits)).sum(), logits)
        assert_close(found, expected, atol=1e-14, rtol=0)


def test_a_distribution_may_bring_its_own():
    class Mine(Normal):
        def relaxation(self):
            return "mine"

    assert relaxation(Mine(0.0, 1.0)) == "mine"


@pytest.mark.parametrize(
    "q", [Categorical(logits=torch.zeros(3)), Normal(0.0, 1.0), Independent(Normal(torch.zeros(2), 1.0), 1)]
)
def test_what_has_no_relaxation_is_refused(q):
    name = type(q.base_dist if isinstance(q, Independent) else q).__name__
    with pytest.raises(
        UnsupportedError, match=f"{name} has no relaxation; use Bernoulli, or OneHotCategorical in place"
    ):
        relaxation(q)


@pytest.mark.parametrize("tau", [0.0, -1.0, math.nan, torch.tensor([0.5, 0.0])])
def test_a_temperature_that_is_not_positive_is_refused(tau):
    with pytest.raises(ValueError, match="tau must be positive"):
        check_tau(tau)
