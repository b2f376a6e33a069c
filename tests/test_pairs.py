"""Inputs and targets that stay together."""

import pytest
import torch

from jensen import datasets
from jensen._contracts import Pairs


@pytest.fixture
def pairs():
    return Pairs(torch.arange(10.0).reshape(5, 2), torch.tensor([0, 1, 2, 3, 4]))


def test_inputs_and_targets_are_indexed_alike(pairs):
    for index in (torch.tensor([3, 1, 1]), slice(1, 4), torch.tensor([True, False, False, True, False])):
        part = pairs[index]
        assert torch.equal(part.inputs, pairs.inputs[index])
        assert torch.equal(part.targets, pairs.targets[index])
    assert len(pairs) == 5
    assert pairs.shape == (5, 2)
    assert len(pairs[torch.tensor([], dtype=torch.long)]) == 0


def test_a_floating_type_is_not_for_labels(pairs):
    for dtype in (torch.float64, torch.bfloat16):
        cast = pairs.to(dtype)
        assert cast.inputs.dtype == dtype
        assert torch.equal(cast.targets, pairs.targets)
        assert cast.targets.dtype == torch.long
    assert Pairs(torch.zeros(3), torch.zeros(3)).to(torch.float64).targets.dtype == torch.float64


def test_both_move_to_a_device(pairs):
    moved = pairs.to("meta", non_blocking=True)
    assert moved.inputs.device.type == moved.targets.device.type == moved.device.type == "meta"
    assert moved.targets.dtype == torch.long


def test_the_text_has_shapes_and_no_numbers(pairs):
    assert repr(pairs) == "Pairs(inputs=(5, 2), targets=(5,) torch.int64, device=cpu)"


@pytest.mark.parametrize(("inputs", "targets"), [((5, 2), (4,)), ((5, 2), ()), ((), ()), ((0, 2), (1,))], ids=str)
def test_an_input_without_a_target_is_refused(inputs, targets):
    with pytest.raises(ValueError, match="one target for each input"):
        Pairs(torch.zeros(inputs), torch.zeros(targets))


def test_a_single_pair_is_no_batch(pairs):
    with pytest.raises(ValueError, match=r"pairs\[2\] is no batch"):
        pairs[2]


def test_the_room_of_data_has_it():
    assert datasets.Pairs is Pairs
