"""The Gaussian rate-distortion function: closed forms, its slope, and that nothing linear beats it."""

import math

import pytest
import torch

from jensen.evaluation import gaussian_rate

SPECTRUM = torch.tensor([4.0, 2.0, 1.0, 0.5, 0.25, 0.12, 0.06, 0.03])


def test_one_variance():
    """R = log(sigma / sqrt D)."""
    point = gaussian_rate(torch.tensor([9.0]), 1.0)
    assert point == (pytest.approx(math.log(3.0)), pytest.approx(1.0), pytest.approx(0.5))


def test_the_three_smallest_directions_are_given_up():
    point = gaussian_rate(SPECTRUM, 1.0)
    level = (1.0 - 0.12 - 0.06 - 0.03) / 5
    assert point.level == pytest.approx(level)
    assert point.rate == pytest.approx(0.5 * math.log(4 * 2 * 1 * 0.5 * 0.25 / level**5))
    assert point.multiplier == pytest.approx(1 / (2 * level))


@pytest.mark.parametrize("distortion", [1e-3, 0.2, 0.24, 1.0, 3.0, 7.5, 7.9])
def test_water_fills_to_the_distortion_and_the_multiplier_is_minus_the_slope(distortion):
    point = gaussian_rate(SPECTRUM, distortion)
    assert torch.minimum(SPECTRUM.double(), torch.tensor(point.level)).sum().item() == pytest.approx(distortion)
    below, above = (gaussian_rate(SPECTRUM, distortion * factor).rate for factor in (1 - 1e-5, 1 + 1e-5))
    assert (below - above) / (2e-5 * distortion) == pytest.approx(point.multiplier, rel=1e-3)


def test_all_of_the_variance_needs_no_rate_and_zeros_and_order_do_not_matter():
    assert gaussian_rate(SPECTRUM, float(SPECTRUM.double().sum())).rate == pytest.approx(0.0, abs=1e-6)
    shuffled = torch.cat([SPECTRUM.flip(0), torch.zeros(3)])
    assert gaussian_rate(shuffled, 1.0) == pytest.approx(gaussian_rate(SPECTRUM, 1.0))


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_no_other_split_of_the_distortion_needs_less(share):
    """Distortions that are not level: moved from the largest direction to the smallest that is coded."""
    best = gaussian_rate(SPECTRUM, 1.0)
    distortions = torch.minimum(SPECTRUM.double(), torch.tensor(best.level))
    moved = share * (0.25 - best.level)
    distortions[0] -= moved
    distortions[4] += moved
    rate = 0.5 * (SPECTRUM / distortions).log().sum().item()
    assert rate >= best.rate - 1e-6
    assert (rate > best.rate + 1e-3) == (share > 0)


@pytest.mark.parametrize("distortion", [0.0, -1.0, 8.0, math.nan])
def test_distortions_out_of_range_are_refused(distortion):
    with pytest.raises(ValueError, match=r"above 0 and at most the sum of the variances 7\.96"):
        gaussian_rate(SPECTRUM, distortion)


@pytest.mark.parametrize(
    "variances", [torch.ones(2, 2), torch.tensor([1.0, -1.0]), torch.tensor([math.nan]), torch.tensor([math.inf])]
)
def test_variances_that_are_none_are_refused(variances):
    with pytest.raises(ValueError, match="variances are a vector"):
        gaussian_rate(variances, 0.5)
