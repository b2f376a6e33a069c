"""Detection by counting pairs, against Gaussians in closed form, and with the sign or the classes swapped."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from scipy import stats

from jensen.evaluation import detection


def by_pairs(inside, outside):
    return np.mean([(b > a) + 0.5 * (b == a) for a, b in product(inside, outside)])


def average_precision(positive, negative):
    """Precision at each threshold, weighted by the recall it adds."""
    total, before = 0.0, 0.0
    for threshold in sorted(set(positive) | set(negative), reverse=True):
        hits = sum(each >= threshold for each in positive)
        flagged = hits + sum(each >= threshold for each in negative)
        total += (hits / len(positive) - before) * hits / flagged
        before = hits / len(positive)
    return total


def false_positives(positive, negative, tpr):
    thresholds = [t for t in positive if np.mean([each >= t for each in positive]) >= tpr]
    return min(np.mean([each >= t for each in negative]) for t in thresholds)


CASES = [
    ([0.1, 0.2, 0.3, 0.4], [0.35, 0.8]),
    ([1, 1, 2, 3, 3], [1, 2, 2, 3, 3, 3, 4]),
    ([0.0] * 5, [0.0] * 3),
    ([3.0, 4.0], [1.0, 2.0]),
    ([1.0, -math.inf], [math.inf, 0.5]),
]


@pytest.mark.parametrize(("inside", "outside"), CASES)
@pytest.mark.parametrize("tpr", [0.95, 0.5, 1.0])
def test_it_is_what_counting_gives(inside, outside, tpr):
    found = detection(inside, outside, tpr=tpr)
    swapped = [-each for each in inside], [-each for each in outside]
    assert found.auroc == pytest.approx(by_pairs(inside, outside))
    assert found.aupr_outside == pytest.approx(average_precision(outside, inside))
    assert found.aupr_inside == pytest.approx(average_precision(*swapped))
    assert found.false_alarms == pytest.approx(false_positives(outside, inside, tpr))
    assert found.missed_outside == pytest.approx(false_positives(*swapped, tpr))
    assert (found.inside, found.outside, found.tpr) == (len(inside), len(outside), tpr)


def test_perfect_useless_and_inverted_scores():
    perfect = detection([0.0, 1.0], [2.0, 3.0])
    assert (perfect.auroc, perfect.aupr_outside, perfect.aupr_inside) == (1, 1, 1)
    assert (perfect.false_alarms, perfect.missed_outside) == (0, 0)
    inverted = detection([2.0, 3.0], [0.0, 1.0])
    assert (inverted.auroc, inverted.false_alarms, inverted.missed_outside) == (0, 1, 1)
    useless = detection([1.0] * 30, [1.0] * 10)
    assert (useless.auroc, useless.aupr_outside, useless.aupr_inside) == (0.5, 0.25, 0.75)


def test_two_gaussians_in_closed_form():
    r"""|z| < 4.56 against $\Phi(d / \sqrt{2})$ and the rates at the quantiles; the two rates are not each other's."""
    generator = torch.Generator().manual_seed(0)
    inside = torch.randn(6000, dtype=torch.float64, generator=generator)
    outside = 1.5 + 2 * torch.randn(4000, dtype=torch.float64, generator=generator)
    found = detection(inside, outside)
    exact = stats.norm.cdf(1.5 / math.sqrt(5))
    assert abs(found.auroc - exact) < 4.56 * found.auroc_std_error
    assert abs(1 - found.auroc - exact) > 4.56 * found.auroc_std_error
    alarms = stats.norm.sf(stats.norm(1.5, 2).ppf(0.05))
    missed = stats.norm(1.5, 2).cdf(stats.norm.ppf(0.95))
    assert found.false_alarms == pytest.approx(alarms, abs=0.02)
    assert found.missed_outside == pytest.approx(missed, abs=0.03)
    assert abs(alarms - missed) > 0.3


def test_the_error_of_the_area_is_its_spread():
    generator = torch.Generator().manual_seed(1)
    found = [
        detection(torch.randn(40, generator=generator), 1 + torch.randn(60, generator=generator)) for _ in range(600)
    ]
    spread = np.std([each.auroc for each in found])
    assert np.mean([each.auroc_std_error for each in found]) == pytest.approx(spread, rel=0.1)
    assert math.isnan(detection([1.0], [0.0, 2.0]).auroc_std_error)


def test_only_the_order_counts_and_any_array_will_do():
    generator = torch.Generator().manual_seed(2)
    inside, outside = torch.rand(2, 50, dtype=torch.float64, generator=generator)
    found = detection(inside, outside)
    assert detection(inside.logit(), outside.logit()) == found
    assert detection(inside.numpy(), outside.tolist()) == found


@pytest.mark.parametrize(
    ("inside", "outside", "tpr", "message"),
    [
        ([], [1.0], 0.95, "inside of shape"),
        ([1.0], [], 0.95, "outside of shape"),
        ([math.nan], [1.0], 0.95, "NaN"),
        ([[1.0]], [1.0], 0.95, r"\(1, 1\)"),
        ([1.0], [2.0], 0.0, "tpr"),
        ([1.0], [2.0], 1.1, "tpr"),
    ],
)
def test_bad_input_is_refused(inside, outside, tpr, message):
    with pytest.raises(ValueError, match=message):
        detection(inside, outside, tpr=tpr)
