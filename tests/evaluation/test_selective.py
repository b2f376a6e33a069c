"""The risk-coverage curve by enumeration of every order, its optimum, and twins that sort the wrong way."""

from itertools import pairwise, permutations

import numpy as np
import pytest
import torch

from jensen.evaluation import risk_coverage


def by_every_order(uncertainty, loss):
    """The selective risks averaged over all orders of the data that do not contradict the uncertainty."""
    orders = [
        order
        for order in permutations(range(len(loss)))
        if all(uncertainty[a] <= uncertainty[b] for a, b in pairwise(order))
    ]  # fmt: skip
    counts = np.arange(1, len(loss) + 1)
    return np.mean([np.cumsum([loss[i] for i in order]) / counts for order in orders], axis=0)


@pytest.mark.parametrize("uncertainty", [[1, 2, 3, 4, 5], [1, 1, 1, 1, 1], [2, 1, 2, 1, 3], [5, 4, 4, 2, 1]])
def test_the_curve_is_the_mean_over_the_orders(uncertainty):
    loss = [0.0, 3.0, 1.0, 0.0, 7.0]
    found = risk_coverage(uncertainty, loss)
    assert found.risk == pytest.approx(by_every_order(uncertainty, loss))
    assert found.area == pytest.approx(np.mean(found.risk))
    assert found.optimal_area == pytest.approx(min(_areas(loss)))
    assert found.area <= max(_areas(loss)) + 1e-12


def _areas(loss):
    counts = np.arange(1, len(loss) + 1)
    return [np.mean(np.cumsum(order) / counts) for order in permutations(loss)]


def test_knowing_all_nothing_and_the_contrary():
    loss = torch.tensor([0.0] * 70 + [1.0] * 30)
    best, none, worst = (risk_coverage(u, loss) for u in (loss, torch.zeros(100), -loss))
    assert best.excess == 0
    assert none.area == pytest.approx(0.3)
    assert worst.area > none.area > best.area
    error = 0.3
    assert best.optimal_area == pytest.approx(error + (1 - error) * np.log(1 - error), abs=2e-3)
    assert best.coverage_at(0.0) == 0.7
    assert worst.coverage_at(0.0) == 0.0
    assert [each.risk_at(1.0) for each in (best, none, worst)] == pytest.approx([0.3] * 3)


def test_only_the_order_counts():
    generator = torch.Generator().manual_seed(0)
    uncertainty, loss = torch.rand(2, 200, dtype=torch.float64, generator=generator)
    shuffled = torch.randperm(200, generator=generator)
    found = risk_coverage(uncertainty, loss)
    assert risk_coverage(uncertainty.logit(), loss) == found
    assert risk_coverage(uncertainty[shuffled], loss[shuffled]).risk == pytest.approx(found.risk)
    infinite = torch.where(uncertainty == uncertainty.max(), torch.inf, uncertainty)
    assert risk_coverage(infinite, loss) == found


def test_random_uncertainty_has_the_mean_loss_as_its_area():
    """|z| < 4.56 over 400 random orders; the losses themselves as uncertainty fail."""
    generator = torch.Generator().manual_seed(1)
    loss = (torch.rand(100, generator=generator) < 0.2).double()
    areas = torch.tensor([risk_coverage(torch.rand(100, generator=generator), loss).area for _ in range(400)])
    z = (areas.mean() - loss.mean()) / areas.std() * 20
    assert abs(z) < 4.56
    assert (risk_coverage(loss, loss).area - loss.mean()) / areas.std() * 20 < -4.56


def test_points_of_the_curve():
    found = risk_coverage(range(1, 11), [0] * 5 + [1] * 5)
    assert found.coverage == tuple(i / 10 for i in range(1, 11))
    assert [found.risk_at(c) for c in (0.01, 0.5, 0.51, 0.7, 1.0)] == pytest.approx([0, 0, 1 / 6, 2 / 7, 0.5])
    assert found.coverage_at(0.3) == 0.7
    assert found.coverage_at(0.5) == 1.0


def test_bad_input_is_refused():
    bad = [
        (([1.0], [1.0, 2.0]), "uncertainty 1, loss 2"),
        (([], []), "empty"),
        (([float("nan")], [1.0]), "NaN"),
        (([1.0], [float("inf")]), "infinite"),
        (([[1.0]], [1.0]), r"\(1, 1\)"),
    ]
    for arguments, message in bad:
        with pytest.raises(ValueError, match=message):
            risk_coverage(*arguments)
    for coverage in (0.0, 1.1):
        with pytest.raises(ValueError, match="coverage"):
            risk_coverage([1.0], [1.0]).risk_at(coverage)
