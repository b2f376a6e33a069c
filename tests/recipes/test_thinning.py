"""A few data of every part of a file."""

import pytest
import torch

from jensen.datasets import Pairs
from jensen.recipes.thinning import thinned


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7, 9, 10, 11, None])
def test_so_many_are_left_and_are_spread_over_all(count):
    kept = thinned(torch.arange(10), count)
    steps = kept.diff()
    assert len(kept) == min(10, count or 10)
    assert kept[0] == 0
    assert kept[-1] > 9 - 10 / len(kept)
    assert len(steps) == 0 or steps.max() - steps.min() <= 1


def test_a_file_sorted_by_class_gives_every_class():
    sorted_by_class = Pairs(torch.zeros(1000, 2), torch.arange(10).repeat_interleave(100))
    assert thinned(sorted_by_class, 20).targets.bincount().tolist() == [2] * 10
    assert thinned(sorted_by_class, 700).targets.bincount().tolist() == [70] * 10
    assert sorted_by_class[:20].targets.unique().tolist() == [0]
