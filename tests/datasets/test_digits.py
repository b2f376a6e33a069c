import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from jensen import datasets


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits")


def test_sizes(digits):
    assert (len(digits.train), len(digits.validation), len(digits.test)) == (1297, 200, 300)
    assert digits.shape == (8, 8)
    assert digits.pixels == 64


def test_every_digit_of_the_source_is_in_exactly_one_split_with_its_label(digits):
    grey, classes = load_digits(return_X_y=True)
    source = sorted((row.tobytes(), label) for row, label in zip(grey.astype(np.uint8), classes, strict=True))
    pixels = torch.cat([digits.train, digits.validation, digits.test]).mul(16)
    labels = torch.cat(digits.labels)
    ours = sorted(
        (row.tobytes(), label) for row, label in zip(pixels.numpy().astype(np.uint8), labels.numpy(), strict=True)
    )
    assert ours == source
    assert torch.equal(pixels, pixels.round())


def test_the_split_never_moves(digits):
    assert digits.labels.train[:10].tolist() == [2, 8, 2, 6, 6, 7, 1, 9, 8, 5]
    again = datasets.digits.load()
    assert torch.equal(again.train, digits.train)
    assert torch.equal(again.test, digits.test)


def test_every_class_is_in_every_split(digits):
    for labels in digits.labels:
        assert labels.unique().tolist() == list(range(10))


def test_no_global_generator_moves():
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    datasets.load("digits")
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002


def test_the_only_split_is_the_standard_one():
    with pytest.raises(ValueError, match="unknown split of digits 'burda'; choose one of: standard"):
        datasets.load("digits", split="burda")
