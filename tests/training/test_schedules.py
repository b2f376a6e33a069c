import itertools
import json
import math

import pytest

from jensen.training import BlundellWeights, Burda, Constant, Cosine, Linear, Product, describe
from jensen.training.schedules import as_schedule

STAGES = [1e-3, 7.2e-4, 5.2e-4, 3.7e-4, 2.7e-4, 1.9e-4, 1.4e-4, 1e-4]


def test_the_eight_stages_end_where_the_paper_says():
    assert Burda.ends() == [1, 4, 13, 40, 121, 364, 1093, 3280]


def test_every_epoch_of_the_eight_stages():
    schedule = Burda()
    rates = [schedule(epoch) for epoch in range(3280)]
    expected = [rate for stage, rate in enumerate(STAGES) for _ in range(3**stage)]
    assert rates == pytest.approx(expected, rel=1e-12)


def test_a_stage_changes_between_epochs_not_inside_one():
    schedule = Burda()
    assert schedule(3.999) == schedule(1.0)
    assert schedule(4.0) == pytest.approx(5.2e-4)


def test_a_short_run_is_the_first_stages_and_a_long_one_stays_in_the_last():
    schedule = Burda()
    assert sorted({schedule(epoch) for epoch in range(40)}, reverse=True) == pytest.approx(STAGES[:4])
    assert schedule(5000.0) == pytest.approx(1e-4)


def test_another_base_scales_all_stages():
    assert [Burda(base=2e-3)(end) / Burda()(end) for end in (0, 5, 3279)] == pytest.approx([2, 2, 2])


def test_linear_and_cosine_at_their_ends_and_middles():
    warm_up, wave = Linear(0.0, 1.0, epochs=4), Cosine(1.0, epochs=4, final=0.2)
    assert [warm_up(t) for t in (0, 1, 4, 9)] == [0.0, 0.25, 1.0, 1.0]
    assert [wave(t) for t in (0, 2, 4, 9)] == pytest.approx([1.0, 0.6, 0.2, 0.2])
    assert Linear(0.0, 1.0, epochs=0)(0.0) == 1.0


@pytest.mark.parametrize("schedule", [Constant(0.1), Linear(0.0, 1.0, 5), Cosine(0.1, 5), Burda()], ids=repr)
def test_a_schedule_is_a_value_that_json_can_hold(schedule):
    stored = json.loads(json.dumps(describe(schedule)))
    assert stored.pop("name") == type(schedule).__name__
    assert type(schedule)(**stored) == schedule


def test_a_number_is_a_constant_and_a_callable_is_itself():
    assert as_schedule(1) == Constant(1.0)
    assert as_schedule(max) is max


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_numbers_that_lead_nowhere_are_refused(value):
    with pytest.raises(ValueError, match="finite and not negative"):
        as_schedule(value)


def test_lengths_that_are_none_are_refused():
    with pytest.raises(ValueError, match="epochs must not be negative"):
        Linear(0.0, 1.0, epochs=-1)
    with pytest.raises(ValueError, match="epochs must be positive"):
        Cosine(1.0, epochs=0)


@pytest.mark.parametrize("M", [1, 2, 469, 1024, 5000])
def test_the_weights_of_an_epoch_count_the_divergence_once(M):
    """2^M overflows from M = 1024 on; the weights do not, and halve until they vanish."""
    weights = [BlundellWeights(M)(3 + i / M) for i in range(M)]
    assert math.fsum(weights) == pytest.approx(M, rel=1e-12)
    assert weights[0] == pytest.approx(M * 2 ** (M - 1) / (2**M - 1), rel=1e-14)
    assert all(half == one / 2 for one, half in itertools.pairwise(weights) if half > 1e-300)
    assert math.fsum(2 * weight for weight in weights) != pytest.approx(M)


def test_the_weights_follow_the_minibatches_of_every_epoch():
    """Progress is a quotient, whose rounding must not fall into the minibatch before."""
    for M in (3, 7, 49, 469, 4999):
        first = [BlundellWeights(M)(0 + i / M) for i in range(M)]
        for epoch in (1, 17, 599, 10_000):
            assert [BlundellWeights(M)(epoch + i / M) for i in range(M)] == first
    assert BlundellWeights(4)(2.4) == BlundellWeights(4)(2.25)


def test_a_product_is_one_schedule_times_another():
    schedule = Product(Linear(0.0, 1.0, 10), BlundellWeights(2))
    assert schedule(5.5) == pytest.approx(0.55 * 2 / 3)


@pytest.mark.parametrize("batches", [0, -1])
def test_an_epoch_without_minibatches_is_refused(batches):
    with pytest.raises(ValueError, match=f"at least one minibatch, got batches={batches}"):
        BlundellWeights(batches)
