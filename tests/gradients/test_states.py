import math

import pytest
import torch
from torch.distributions import (
    Bernoulli,
    Binomial,
    Categorical,
    Distribution,
    Geometric,
    Independent,
    Normal,
    OneHotCategorical,
    Poisson,
)
from torch.testing import assert_close

from jensen.distributions import IndependentBernoulli
from jensen.gradients._parts import UnsupportedError
from jensen.gradients.states import domain_size, log_prob_table, states

DOUBLE = torch.float64


def normal(*shape):
    return torch.randn(*shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(2))


FAMILIES = {
    "bernoulli": (lambda: Bernoulli(logits=normal(5)), 2),
    "scalar bernoulli": (lambda: Bernoulli(probs=torch.tensor(0.3, dtype=DOUBLE)), 2),
    "categorical": (lambda: Categorical(logits=normal(3)), 3),
    "batch of categoricals": (lambda: Categorical(probs=normal(5, 2, 3).softmax(-1)), 3),
    "one-hot": (lambda: OneHotCategorical(logits=normal(5, 3)), 3),
    "binomial": (lambda: Binomial(4, logits=normal(5)), 5),
    "bits": (lambda: Independent(Bernoulli(logits=normal(5, 3)), 1), 8),
    "image of bits": (lambda: Independent(Bernoulli(logits=normal(5, 2, 3)), 2), 64),
    "digits": (lambda: Independent(Categorical(logits=normal(2, 3)), 1), 9),
    "one-hot rows": (lambda: Independent(OneHotCategorical(logits=normal(5, 2, 3)), 1), 9),
    "one-hot matrix": (lambda: Independent(OneHotCategorical(logits=normal(2, 2, 3)), 2), 81),
    "counts": (lambda: Independent(Binomial(2, logits=normal(5, 3)), 1), 27),
    "nested": (lambda: Independent(Independent(Bernoulli(logits=normal(5, 2, 3)), 1), 1), 64),
    "nothing reinterpreted": (lambda: Independent(Categorical(logits=normal(5, 3)), 0), 3),
    "ours": (lambda: IndependentBernoulli(normal(5, 3)), 8),
    "rows of ours": (lambda: Independent(IndependentBernoulli(normal(5, 2, 3)), 1), 64),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_all_values_are_there_once_and_their_probabilities_sum_to_one(name):
    make, size = FAMILIES[name]
    q = make()
    values, log_prob = log_prob_table(q)
    assert domain_size(q) == size
    assert values.shape == (size, *q.batch_shape, *q.event_shape)
    assert len(values.reshape(size, -1).unique(dim=0)) == size
    assert log_prob.shape == (size, *q.batch_shape)
    assert_close(log_prob.exp().sum(0), torch.ones(q.batch_shape, dtype=DOUBLE), atol=1e-13, rtol=0)


@pytest.mark.parametrize("name", FAMILIES)
def test_values_have_the_type_of_draws(name):
    q = FAMILIES[name][0]()
    assert states(q).dtype == q.sample().dtype
    same = (states(q)[:, None] == q.sample((50,))).unsqueeze(-1).flatten(2 + len(q.batch_shape)).all(-1)
    assert same.any(0).all()


def test_the_first_entry_changes_slowest():
    q = Independent(Categorical(logits=torch.zeros(2, 3)), 1)
    assert states(q).tolist() == [[i, j] for i in range(3) for j in range(3)]
    twice = Independent(Independent(Bernoulli(torch.zeros(1, 2)), 1), 1)
    assert states(twice).tolist() == [[[i, j]] for i in (0, 1) for j in (0, 1)]


def test_nesting_is_reinterpreting_at_once():
    base = OneHotCategorical(logits=normal(4, 2, 2, 3))
    assert torch.equal(states(Independent(Independent(base, 1), 1)), states(Independent(base, 2)))


def test_the_order_is_that_of_our_own_bits():
    logits = normal(5, 4)
    theirs = Independent(Bernoulli(logits=logits), 1)
    assert torch.equal(states(IndependentBernoulli(logits)), states(theirs))


def test_batch_elements_share_memory():
    values = states(Independent(Bernoulli(logits=torch.zeros(1000, 3)), 1))
    assert values.stride(1) == 0


def test_a_value_of_logit_minus_infinity_is_impossible_and_without_gradient():
    logits = torch.tensor([0.3, -math.inf, 0.1], dtype=DOUBLE, requires_grad=True)
    _, log_prob = log_prob_table(Categorical(logits=logits))
    assert log_prob[1] == -math.inf
    (gradient,) = torch.autograd.grad(log_prob[0], logits)
    assert gradient[1] == 0
    assert gradient.isfinite().all()


def test_no_number_is_no_probability():
    with pytest.raises(ValueError, match="not numbers"):
        log_prob_table(Bernoulli(logits=torch.tensor(-math.inf)))


def test_size_is_known_where_no_memory_would_hold_the_values():
    q = Independent(Bernoulli(torch.full((784,), 0.5)), 1)
    assert domain_size(q) == 2**784
    assert domain_size(IndependentBernoulli(torch.zeros(784))) == 2**784
    with pytest.raises(UnsupportedError, match=r"about 10\^236 values, more than limit=65536"):
        states(q)
    with pytest.raises(UnsupportedError, match="about 32 values, more than limit=31"):
        states(IndependentBernoulli(torch.zeros(5)), limit=31)
    assert len(states(IndependentBernoulli(torch.zeros(5)), limit=32)) == 32


@pytest.mark.parametrize(
    "q",
    [
        Normal(0.0, 1.0),
        Independent(Normal(torch.zeros(2), 1.0), 1),
        Poisson(1.0),
        Geometric(0.5),
        Binomial(torch.tensor([1, 2]), torch.tensor([0.5, 0.5])),
    ],
    ids=repr,
)
def test_what_cannot_be_listed_is_refused(q):
    assert domain_size(q) is None
    with pytest.raises(UnsupportedError, match="cannot be listed"):
        states(q)


class Die(Distribution):
    """A distribution of a user's own, by torch's API."""

    arg_constraints = {}
    has_enumerate_support = True

    def enumerate_support(self, expand=True):
        return torch.arange(1.0, 7.0)

    def log_prob(self, value):
        return torch.full_like(value, -math.log(6))


def test_a_class_of_ones_own_takes_part():
    values, log_prob = log_prob_table(Die(validate_args=False))
    assert domain_size(Die(validate_args=False)) == 6
    assert values.tolist() == [1, 2, 3, 4, 5, 6]
    assert_close(log_prob.exp().sum().item(), 1.0)


def test_a_class_may_offer_its_own_table():
    class Loaded(Die):
        support_log_prob = torch.tensor([1.0, 1.0, 1.0, 1.0, 1.0, 5.0]).div(10).log()

    _, log_prob = log_prob_table(Loaded(validate_args=False))
    assert log_prob is Loaded.support_log_prob
