"""Scores by hand, against scikit-learn, and proper: no forecast beats the truth on average."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import brier_score_loss, log_loss, zero_one_loss

from jensen.evaluation import MeanScore, brier_score, error_rate, mean_score, negative_log_likelihood

DOUBLE = torch.float64


@pytest.fixture
def forecasts():
    generator = torch.Generator().manual_seed(1)
    probabilities = torch.randn(200, 3, dtype=DOUBLE, generator=generator).softmax(-1)
    return probabilities, torch.randint(3, (200,), generator=generator)


def log_prob(probabilities, targets):
    return probabilities[torch.arange(len(targets)), targets].log()


def test_scores_by_hand():
    probabilities, targets = [[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]], [0, 1]
    first, second = 0.3**2 + 0.2**2 + 0.1**2, 0.1**2 + 0.7**2 + 0.6**2
    found = brier_score(probabilities, targets)
    assert found.value == pytest.approx((first + second) / 2)
    assert found.std_error == pytest.approx((second - first) / 2)
    assert error_rate(probabilities, targets) == MeanScore(0.5, 0.5, 2)
    assert negative_log_likelihood([math.log(0.7), math.log(0.3)]).value == pytest.approx(-0.5 * math.log(0.21))


def test_they_are_scikit_learn_s(forecasts):
    probabilities, targets = forecasts
    assert error_rate(*forecasts).value == pytest.approx(zero_one_loss(targets, probabilities.argmax(-1)))
    assert negative_log_likelihood(log_prob(*forecasts)).value == pytest.approx(log_loss(targets, probabilities))
    event, happened = probabilities[:, 1], (targets == 1).long()
    pair = torch.stack([1 - event, event], -1)
    assert brier_score(pair, happened).value == pytest.approx(2 * brier_score_loss(happened, event))


@pytest.mark.parametrize("score", [brier_score, lambda p, y: negative_log_likelihood(log_prob(p, y))])
def test_they_are_proper(score):
    """In expectation, the outcomes enumerated, the true probabilities beat others; the error rate is indifferent."""
    truth = torch.tensor([0.5, 0.3, 0.2], dtype=DOUBLE)

    def expected(score, forecast):
        return sum(truth[c].item() * score(forecast[None], torch.tensor([c])).value for c in range(3))

    others = [(power * truth.log()).softmax(-1) for power in (0.3, 0.9, 1.1, 3.0)]
    assert all(expected(score, each) > expected(score, truth) + 1e-4 for each in others)
    assert all(expected(error_rate, each) == pytest.approx(expected(error_rate, truth)) for each in others)


def test_the_standard_error_covers():
    """The mean over 2000 samples of 50 lies within its standard errors as often as a t variable would."""
    draws = torch.randn(2000, 50, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    found = [mean_score(each) for each in draws]
    inside = np.mean([abs(each.value) < 2.0096 * each.std_error for each in found])
    assert abs(inside - 0.95) < 4.56 * math.sqrt(0.95 * 0.05 / 2000)


def test_one_datum_has_no_error_and_an_impossible_target_an_infinite_score():
    assert math.isnan(mean_score([1.0]).std_error)
    found = negative_log_likelihood([-math.inf, 0.0])
    assert found.value == math.inf
    assert math.isnan(found.std_error)
    assert error_rate([[0.5, 0.5]], [0]).value == 0


def test_bad_input_is_refused():
    for score in (brier_score, error_rate):
        with pytest.raises(ValueError, match="softmax"):
            score([[3.0, 1.0]], [0])
    for numbers, message in (([], "empty"), ([[1.0]], r"\(1, 1\)"), ([math.nan], "NaN"), ([1j], "complex")):
        with pytest.raises(ValueError, match=message):
            negative_log_likelihood(numbers)
