import itertools
import math

import pytest
import torch
from torch.distributions import (
    Bernoulli,
    Categorical,
    Distribution,
    Geometric,
    Independent,
    Normal,
    OneHotCategorical,
)
from torch.testing import assert_close

from jensen.distributions.finite import Finite
from jensen.distributions.independent_bernoulli import IndependentBernoulli
from jensen.gradients import prefixes, products
from jensen.gradients._parts import UnsupportedError
from jensen.gradients.distinct import distinct
from jensen.gradients.products import digits, first_different, table

DOUBLE = torch.float64
Z_LIMIT = 4.56  # a false alarm once in 2e5 two-sided tests: the suite's budget of 1e-3 over 200
N = 20_000

DIFFUSE = torch.tensor([[0.3, -0.1, 0.0], [0.1, 0.2, -0.2]], dtype=DOUBLE)  # no value above 1/6
PEAKED = torch.tensor([[2.0, -0.5, 0.3], [0.1, 1.7, -1.0]], dtype=DOUBLE)


class Opaque(Distribution):
    """It can be sampled and knows its probabilities; nothing else is known of it."""

    arg_constraints = {}

    def __init__(self, base):
        self.base = base
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    @property
    def support(self):
        return self.base.support

    def sample(self, sample_shape=()):
        return self.base.sample(sample_shape)

    def log_prob(self, value):
        return self.base.log_prob(value)


def product(logits):
    return Independent(Categorical(logits=logits.expand(N, *logits.shape)), 1)


def chi_square(sequences, p):
    """How far the counts of ordered sequences (k, N) of states are from their law, as a z-score."""
    k, S = len(sequences), len(p)
    index = (sequences * S ** torch.arange(k - 1, -1, -1).unsqueeze(1)).sum(0)
    counts = torch.bincount(index, minlength=S**k)
    possible = torch.tensor([len(set(each)) == k for each in itertools.product(range(S), repeat=k)])
    assert counts[~possible].sum() == 0
    drawn = p[torch.tensor(list(itertools.product(range(S), repeat=k)))[possible]]  # (M, k)
    expected = N * (drawn / (1 - drawn.cumsum(-1) + drawn)).prod(-1)
    degrees = len(expected) - 1
    return (((counts[possible] - expected).square() / expected).sum() - degrees) / math.sqrt(2 * degrees)


def uniformity(u):
    """Kolmogorov's distance from the uniform distribution, times the root of the sample size."""
    grid = torch.arange(1, len(u) + 1) / len(u)
    return float((u.sort().values - grid).abs().max() * math.sqrt(len(u)))


def check_law(drawn, p):
    """Order, keys, log-probabilities and complement of a sample of numbers (k, N)."""
    assert abs(chi_square(drawn.values, p)) < Z_LIMIT
    arrival = (-drawn.perturbed).exp()  # (k, N): the times of an exponential race
    taken = p[drawn.values]
    assert_close(drawn.log_prob.exp(), taken, rtol=1e-9, atol=0)
    assert_close(drawn.log_complement.exp(), 1 - taken.sum(0), rtol=1e-9, atol=1e-12)
    assert uniformity((-arrival[0]).exp()) < 2.2  # the first key is a standard Gumbel variable
    for i in range(1, len(arrival)):
        left = 1 - taken[:i].sum(0)
        assert uniformity((-(arrival[i] - arrival[i - 1]) * left).exp()) < 2.2


def numbers(drawn, S):
    """The same sample, pairs of digits as numbers."""
    return drawn._replace(values=drawn.values[..., 0] * S + drawn.values[..., 1])


@pytest.mark.parametrize("k", [1, 2, 3])
def test_law_of_the_table(k):
    p = torch.tensor([0.455054, 0.167405, 0.276005, 0.101536], dtype=DOUBLE)
    check_law(distinct(Categorical(p.expand(N, 4)), k, generator=torch.Generator().manual_seed(k)), p)


@pytest.mark.parametrize(("logits", "k"), [(DIFFUSE, 2), (DIFFUSE, 3), (PEAKED, 2), (PEAKED, 3)])
def test_law_of_a_product_that_is_listed(logits, k):
    drawn = distinct(product(logits), k, generator=torch.Generator().manual_seed(k))
    p = logits.softmax(-1)
    check_law(numbers(drawn, 3), (p[0].unsqueeze(-1) * p[1]).flatten())


@pytest.mark.parametrize("logits", [DIFFUSE, PEAKED])
@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("way", ["_by_rejection", "_by_prefixes"])
def test_law_of_a_large_product(logits, k, way, monkeypatch):
    monkeypatch.setattr(products, "_by_table", getattr(products, way))
    p = logits.softmax(-1)
    drawn = distinct(product(logits), k, generator=torch.Generator().manual_seed(k))
    check_law(numbers(drawn, 3), (p[0].unsqueeze(-1) * p[1]).flatten())


BITS = torch.tensor([[1.5, 0.0], [-0.4, 0.3], [0.0, 0.9]], dtype=DOUBLE).log_softmax(-1)  # (T, V)


@pytest.mark.parametrize("k", [2, 3, 8])
def test_law_of_the_prefixes(k):
    """Three places deep, the sequences of the first three values and the mass that each draw leaves."""
    generator = torch.Generator().manual_seed(k)
    log_p = BITS.expand(N, 3, 2)
    free = products.InverseCdf(log_p)(k, generator).transpose(1, 2)
    found, left = prefixes.one_by_one(log_p, free, generator=generator)
    p = table(BITS.unsqueeze(0)).flatten().exp()
    index = (found * torch.tensor([4, 2, 1])).sum(-1).T  # (k, N)
    assert abs(chi_square(index[:3], p)) < Z_LIMIT
    assert_close(left[:, 1:].exp(), 1 - p[index].cumsum(0).T, rtol=0, atol=1e-12)
    assert (left[:, -1] == -math.inf).all() or k < 8


def test_numbers_beyond_a_branch_that_are_not_drawn_anew_are_caught():
    generator = torch.Generator().manual_seed(0)
    log_p = BITS.expand(N, 3, 2)
    free = products.InverseCdf(log_p)(1, generator).transpose(1, 2).expand(N, 2, 3)
    found, _ = prefixes.one_by_one(log_p, free, generator=generator)
    index = (found * torch.tensor([4, 2, 1])).sum(-1).T
    assert abs(chi_square(index, table(BITS.unsqueeze(0)).flatten().exp())) > 5 * Z_LIMIT


def test_the_way_follows_from_the_probabilities(monkeypatch):
    used = []
    for way in ("_by_rejection", "_by_prefixes"):
        right = getattr(products, way)
        monkeypatch.setattr(products, way, lambda *a, way=way, right=right: used.append(way) or right(*a))
    diffuse = torch.zeros(3, 20, 10)
    distinct(Independent(Categorical(logits=diffuse), 1), 4)
    diffuse[1, :, 0] = 20.0
    distinct(Independent(Categorical(logits=diffuse), 1), 4)
    assert used == ["_by_rejection", "_by_prefixes"]


def test_each_element_of_the_batch_has_its_own_law(monkeypatch):
    monkeypatch.setattr(products, "TABLE", 1)
    both = torch.stack((DIFFUSE, PEAKED)).repeat(N // 2, 1, 1)
    drawn = distinct(Independent(Categorical(logits=both), 1), 2, generator=torch.Generator().manual_seed(0))
    p = both.softmax(-1)
    p = (p[:, 0].unsqueeze(-1) * p[:, 1].unsqueeze(-2)).flatten(1)  # (N, 9)
    found = numbers(drawn, 3)
    taken = p.T.gather(0, found.values)
    assert_close(found.log_prob.exp(), taken)
    assert_close(found.log_complement.exp(), 1 - taken.sum(0))
    for i in (0, 1):
        counts = torch.bincount(found.values[0, i::2], minlength=9)
        z = (counts - N / 2 * p[i]) / (N / 2 * p[i] * (1 - p[i])).sqrt()
        assert z.abs().max() < Z_LIMIT


@pytest.mark.parametrize("k", [1, 2, 3])
def test_law_of_what_can_only_be_sampled(k):
    p = torch.tensor([0.455054, 0.167405, 0.276005, 0.101536], dtype=DOUBLE)
    check_law(distinct(Opaque(Categorical(p.expand(N, 4))), k, generator=torch.Generator().manual_seed(k)), p)


def test_starting_again_after_a_repeat_is_caught():
    """The twin draws all values again where two are equal: the law is then q(a) q(b) / norm, and not sequential."""
    p = torch.tensor([0.455054, 0.167405, 0.276005, 0.101536], dtype=DOUBLE)
    generator = torch.Generator().manual_seed(0)
    values = torch.multinomial(p, 2 * N * 10, replacement=True, generator=generator).reshape(2, -1)
    twin = values[:, values[0] != values[1]][:, :N]
    assert chi_square(twin, p) > 5 * Z_LIMIT


def test_the_stream_keeps_the_first_of_each_value():
    rounds = iter(
        [torch.tensor([[0, 5], [0, 6], [0, 5]]), torch.tensor([[1, 7], [0, 0], [2, 0]]), torch.tensor([[3], [3], [3]])]
    )
    found = first_different(lambda: next(rounds).unsqueeze(-1), 3).squeeze(-1)
    assert found.T.tolist() == [[0, 1, 2], [5, 6, 7]]


KINDS = {
    "bernoulli": lambda x: Bernoulli(logits=x[..., 0]),
    "bits": lambda x: Independent(Bernoulli(logits=x), 1),
    "our bits": IndependentBernoulli,
    "categorical": lambda x: Categorical(logits=x),
    "categoricals": lambda x: Independent(Categorical(logits=x), len(x.shape) - 1),
    "one-hot": lambda x: OneHotCategorical(logits=x),
    "one-hots": lambda x: Independent(Independent(OneHotCategorical(logits=x), 1), 1),
    "listed": lambda x: Finite(torch.arange(4.0, dtype=DOUBLE).reshape(4, 1, 1, 1).expand(4, 1, 1, 2), x),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [1, 2, 7])
def test_values_look_like_samples_and_log_prob_is_that_of_q(kind, k):
    logits = torch.randn(2, 3, 4, dtype=DOUBLE, generator=torch.Generator().manual_seed(0)).requires_grad_()
    q = KINDS[kind](logits)
    drawn = distinct(q, k, generator=torch.Generator().manual_seed(0))
    sample = q.sample()
    K = len(drawn.values)
    assert drawn.values.shape == (K, *sample.shape)
    assert drawn.values.dtype == sample.dtype
    assert drawn.log_prob.shape == drawn.perturbed.shape == (K, *q.batch_shape)
    assert drawn.log_complement.shape == q.batch_shape
    assert (drawn.perturbed[:-1] >= drawn.perturbed[1:]).all()
    assert_close(drawn.log_prob, q.log_prob(drawn.values), rtol=1e-12, atol=1e-12)
    ours, theirs = (torch.autograd.grad(each.sum(), logits, retain_graph=True)[0] for each in (
        drawn.log_prob, q.log_prob(drawn.values)
    ))  # fmt: skip
    assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    flat = drawn.values.reshape(K, q.batch_shape.numel(), -1)
    for element in flat.unbind(1):
        assert len({tuple(row) for row in element.tolist()}) == K


def test_all_values_and_no_more():
    drawn = distinct(Independent(Bernoulli(logits=torch.tensor([0.3, -0.2, 1.0])), 1), 20)
    assert drawn.values.unique(dim=0).shape == (8, 3)
    assert drawn.log_complement == -math.inf


def test_impossible_values_come_last():
    drawn = distinct(Categorical(logits=torch.tensor([0.0, -math.inf, 1.0, -math.inf])), 4)
    assert sorted(drawn.values[:2].tolist()) == [0, 2]
    assert drawn.perturbed[2:].tolist() == drawn.log_prob[2:].tolist() == [-math.inf] * 2
    assert drawn.log_complement == -math.inf


@pytest.mark.parametrize("scale", [1e4, 30.0])
def test_the_complement_of_a_peaked_product_in_single_precision(scale):
    """Twenty factors that are almost certain: what is left is far below the rounding of one."""
    logits = torch.zeros(5, 20, 10)
    logits[..., 3] = scale
    drawn = distinct(Independent(OneHotCategorical(logits=logits), 1), 4)
    assert drawn.log_prob.isfinite().all()
    assert_close(drawn.log_prob[0], torch.zeros(5))
    assert_close(drawn.log_prob[1:], torch.full((3, 5), -scale))
    assert_close(drawn.log_complement, torch.full((5,), -scale + math.log(180 - 3)))
    assert (drawn.values[1:, ..., 3].sum(-1) == 19).all()


def test_the_table_is_the_product():
    log_p = torch.randn(2, 3, 4, dtype=DOUBLE, generator=torch.Generator().manual_seed(0)).log_softmax(-1)
    all_ = table(log_p)  # (B, 64)
    index = torch.tensor([[57, 6], [0, 63]])
    found = digits(index, (3, 4))
    assert found.tolist() == [[[3, 2, 1], [0, 1, 2]], [[0, 0, 0], [3, 3, 3]]]
    assert_close(log_p.gather(2, found.mT).sum(1), all_.gather(1, index))
    assert_close(all_.exp().sum(-1), torch.ones(2, dtype=DOUBLE))


def test_a_class_can_bring_its_own_way():
    class Mine(Opaque):
        def distinct(self, k, *, generator):
            return ("mine", k, generator)

    assert distinct(Mine(Categorical(torch.ones(2))), 3) == ("mine", 3, None)


def test_the_generator_alone_decides():
    state = torch.random.get_rng_state()
    for q in (product(PEAKED), Opaque(Geometric(torch.full((50,), 0.3)))):
        first, same, other = (
            distinct(q, 3, generator=torch.Generator().manual_seed(seed)).values for seed in (1, 1, 2)
        )
        assert torch.equal(first, same)
        assert not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_infinitely_many_values():
    drawn = distinct(Geometric(torch.full((50,), 0.3, dtype=DOUBLE)), 4)
    assert drawn.values.sort(0).values.diff(dim=0).min() > 0
    assert_close(drawn.log_complement.exp(), 1 - drawn.log_prob.exp().sum(0))


def test_too_few_values_to_be_found_are_an_error():
    with pytest.raises(ValueError, match=r"fewer than 3 different values in 200 rounds"):
        distinct(Opaque(Bernoulli(torch.tensor(0.5))), 3)


def test_bad_input_is_refused():
    with pytest.raises(UnsupportedError, match="Normal is continuous"):
        distinct(Normal(0.0, 1.0), 2)
    with pytest.raises(ValueError, match="samples must be at least 1"):
        distinct(Categorical(torch.ones(2)), 0)


class Undeclared(Distribution):
    """Knows its draws and their density, and does not say where they lie."""

    arg_constraints: dict = {}

    def __init__(self, inner):
        self.inner = inner
        super().__init__(inner.batch_shape, inner.event_shape, validate_args=False)

    def sample(self, sample_shape=()):
        return self.inner.sample(sample_shape)

    def log_prob(self, value):
        return self.inner.log_prob(value)


def test_draws_that_look_continuous_are_refused():
    with pytest.raises(UnsupportedError, match="must declare it"):
        distinct(Undeclared(Normal(torch.zeros(2), 1.0)), 3)


def test_a_discrete_distribution_need_not_declare_its_support():
    found = distinct(Undeclared(Categorical(logits=torch.zeros(2, 5))), 3)
    assert found.values.shape == (3, 2)
