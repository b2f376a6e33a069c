"""Reliability by hand and by enumeration; a calibrated forecaster, and twins that are not."""

import math
from itertools import product

import numpy as np
import pytest
import torch

from jensen.evaluation import Reliability, reliability

DOUBLE = torch.float64


def calibrated(N, *, seed=0, classes=4):
    """Probabilities of a made-up forecaster, and targets drawn from them."""
    generator = torch.Generator().manual_seed(seed)
    probabilities = (2 * torch.randn(N, classes, dtype=DOUBLE, generator=generator)).softmax(-1)
    targets = torch.multinomial(probabilities, 1, generator=generator).squeeze(-1)
    return probabilities, targets


def chi_square_z(found):
    """Sum of squared gaps in standard errors, standardised; about a standard normal where bins are full."""
    squares = sum((each.gap / each.std_error) ** 2 for each in found.bins)
    return (squares - len(found.bins)) / math.sqrt(2 * len(found.bins))


def test_a_diagram_by_hand():
    probabilities = [[0.9, 0.1], [0.2, 0.8], [0.55, 0.45], [0.45, 0.55], [1.0, 0.0]]
    found = reliability(probabilities, [0, 0, 0, 0, 0], bins=5)
    assert [(round(each.lower, 9), round(each.upper, 9), each.count) for each in found.bins] == [
        (0.4, 0.6, 2),
        (0.6, 0.8, 1),
        (0.8, 1.0, 2),
    ]
    assert [each.accuracy for each in found.bins] == [0.5, 0.0, 1.0]
    assert [each.confidence for each in found.bins] == pytest.approx([0.55, 0.8, 0.95])
    assert found.bins[0].std_error == pytest.approx(math.sqrt(2 * 0.55 * 0.45) / 2)
    assert found.expected_error == pytest.approx((2 * 0.05 + 0.8 + 2 * 0.05) / 5)
    assert found.maximum_error == pytest.approx(0.8)
    assert (found.data, found.accuracy, found.confidence) == (5, pytest.approx(0.6), pytest.approx(0.76))
    noise = (2 * math.sqrt(2 * 0.55 * 0.45) / 2 + math.sqrt(0.16) + 2 * math.sqrt(0.09) / 2) / 5
    assert found.expected_if_calibrated == pytest.approx(math.sqrt(2 / math.pi) * noise)


def test_edges_belong_to_the_bin_below():
    found = reliability([0.0, 0.25, 0.5, 0.75, 1.0], [0, 0, 0, 0, 0], bins=4)
    assert [(each.upper, each.count) for each in found.bins] == [(0.25, 2), (0.5, 1), (0.75, 1), (1.0, 1)]


def test_equal_mass_gives_equal_counts_and_keeps_ties_together():
    spread = reliability(np.linspace(0, 1, 12), np.zeros(12), bins=4, spacing="mass")
    assert [each.count for each in spread.bins] == [3, 3, 3, 3]
    assert [each.lower for each in spread.bins][1:] == [each.upper for each in spread.bins][:-1]
    tied = reliability([0.1, 0.7, 0.7, 0.7, 0.7, 0.9], [0, 1, 0, 1, 1, 1], bins=3, spacing="mass")
    assert [(each.count, each.accuracy) for each in tied.bins] == [(5, 0.6), (1, 1.0)]
    alone = reliability([0.3] * 5, [1, 0, 0, 1, 0], bins=3, spacing="mass")
    assert [each.count for each in alone.bins] == [5]
    certain = reliability([0.0] * 3 + [1.0] * 3, [0, 0, 0, 1, 1, 1], bins=2, spacing="mass")
    assert [each.count for each in certain.bins] == [3, 3]
    assert certain.expected_error == 0


def test_with_more_bins_than_data_each_datum_is_its_own_bin():
    for spacing in ("width", "mass"):
        found = reliability([0.1, 0.9], [0, 1], bins=50, spacing=spacing)
        assert [each.count for each in found.bins] == [1, 1]
        assert found.expected_error == pytest.approx(0.1)


def test_one_event_is_two_classes():
    probability = torch.tensor([0.9, 0.6, 0.75, 0.99], dtype=DOUBLE)
    happened = torch.tensor([1, 0, 1, 1])
    pair = torch.stack([1 - probability, probability], -1)
    assert reliability(pair, happened) == reliability(probability, happened)


def test_the_noise_is_the_mean_error_over_every_outcome():
    """All 2^8 outcomes of eight data in two bins; with four data in each the Gaussian formula is 3.5 per cent low."""
    confidence = torch.tensor([0.2, 0.3, 0.35, 0.4, 0.6, 0.65, 0.7, 0.75], dtype=DOUBLE)
    exact = 0.0
    for outcome in product((0.0, 1.0), repeat=8):
        happened = torch.tensor(outcome, dtype=DOUBLE)
        chance = (happened * confidence + (1 - happened) * (1 - confidence)).prod().item()
        exact += chance * reliability(confidence, happened, bins=2).expected_error
    found = reliability(confidence, torch.zeros(8), bins=2).expected_if_calibrated
    assert found == pytest.approx(0.965 * exact, rel=1e-3)


@pytest.mark.parametrize("spacing", ["width", "mass"])
def test_a_calibrated_forecaster_passes_and_others_do_not(spacing):
    """|z| < 4.56 of the sum of squared gaps: a false alarm in about 2e5; sharper or blunter forecasts fail it."""
    probabilities, targets = calibrated(20_000)
    found = reliability(probabilities, targets, bins=10, spacing=spacing)
    assert abs(chi_square_z(found)) < 4.56
    assert found.expected_error < 2 * found.expected_if_calibrated
    for power in (2.0, 0.5):
        twin = (power * probabilities.log()).softmax(-1)
        other = reliability(twin, targets, bins=10, spacing=spacing)
        assert chi_square_z(other) > 4.56
        assert other.expected_error > 5 * other.expected_if_calibrated
        assert (other.accuracy < other.confidence) == (power > 1)


def test_judging_another_class_than_the_likeliest_is_caught():
    probabilities, targets = calibrated(5_000)
    wrong = reliability(probabilities.max(-1).values, (targets == 0).double())
    assert wrong.expected_error > 0.2 > reliability(probabilities, targets).expected_error


def test_the_mean_error_of_a_calibrated_forecaster_is_its_noise():
    """Over 200 data sets of 300; the error without the noise is what a reader would take for miscalibration."""
    found = [reliability(*calibrated(300, seed=seed), bins=10) for seed in range(200)]
    difference = torch.tensor([each.expected_error - each.expected_if_calibrated for each in found], dtype=DOUBLE)
    assert abs(difference.mean()) < 0.003
    assert min(each.expected_if_calibrated for each in found) > 0.02


def test_arrays_of_any_kind():
    probabilities, targets = calibrated(50)
    expected = reliability(probabilities, targets)
    assert reliability(probabilities.numpy(), targets.numpy()) == expected
    assert reliability(probabilities.tolist(), targets.tolist()) == expected
    assert reliability(probabilities.requires_grad_(), targets) == expected
    reliability(probabilities.detach().float(), targets.int())


BAD = [
    ([[0.5, 0.5]], [0, 1], "1 rows of probabilities and 2 targets"),
    ([[2.0, -1.0]], [0], "softmax"),
    ([[1.0, 2.0]], [0], "softmax"),
    ([[1.0]], [0], "two classes"),
    ([[[0.5, 0.5]]], [0], r"\(1, 1, 2\)"),
    ([[0.5, 0.5]], [2], "from 0 to 1"),
    ([[0.5, 0.5]], [-1], "from 0 to 1"),
    ([[0.5, 0.5]], [0.5], "whole numbers"),
    ([[0.5, 0.5]], [[0]], r"targets has shape \(1, 1\)"),
    ([[math.nan, 0.5]], [0], "1 NaN"),
    ([], [], "empty"),
    ([0.5, 0.5], [0], "lengths differ"),
    ([1.5], [1], "between 0 and 1"),
    ([0.5], [2], "0 or 1"),
    ("text", [0], "no tensor"),
]


@pytest.mark.parametrize(("probabilities", "targets", "message"), BAD)
def test_bad_input_is_refused(probabilities, targets, message):
    with pytest.raises(ValueError, match=message):
        reliability(probabilities, targets)


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="bins is 0"):
        reliability([0.5], [1], bins=0)
    with pytest.raises(ValueError, match="'log'"):
        reliability([0.5], [1], spacing="log")
    with pytest.raises(ValueError, match="at least one bin"):
        Reliability(())
