"""Pairs in three splits: standardised by the training split, refused when something is wrong."""

import pytest
import torch

from jensen.datasets import Pairs, Standardisation, Supervised, at_hand, labelled, load_supervised, supervised_names
from jensen.datasets.supervised import standardised


def regression(n, shift=0.0):
    generator = torch.Generator().manual_seed(n)
    inputs = torch.randn(n, 3, generator=generator, dtype=torch.float64) * torch.tensor([1.0, 50.0, 0.0]) + 7
    return Pairs(inputs, torch.randn(n, generator=generator, dtype=torch.float64) * 4 + shift)


def test_standardised_values_have_mean_zero_and_variance_one_over_the_training_split_alone():
    data = standardised("toy", regression(200), validation=regression(50), test=regression(60, shift=9.0))
    assert data.train.inputs.dtype == data.test.targets.dtype == torch.float32
    assert torch.allclose(data.train.inputs.mean(0), torch.zeros(3), atol=1e-5)
    assert torch.allclose(data.train.inputs[:, :2].std(0, correction=0), torch.ones(2), atol=1e-5)
    assert abs(float(data.train.targets.mean())) < 1e-5
    assert float(data.test.targets.mean()) > 1.5, "the test split keeps its shift"
    assert torch.allclose(data.targets.undo(data.test.targets).double(), regression(60, shift=9.0).targets, atol=1e-4)


def test_a_column_without_spread_stays_finite():
    data = standardised("toy", regression(200), validation=regression(50), test=regression(60))
    assert torch.equal(data.train.inputs[:, 2], torch.zeros(200))
    constant = torch.full((1000, 1), 0.998, dtype=torch.float64)
    assert Standardisation.of(constant).scale == 1, "rounding of the mean is no spread"


def test_a_twin_that_standardises_by_all_splits_is_caught():
    train, test = regression(200), regression(60, shift=9.0)
    both = Standardisation.of(torch.cat([train.targets, test.targets]))
    assert abs(float(both(train.targets).mean())) > 0.3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: Supervised("x", p, p[:0], p, classes=3), "x: validation holds no pair"),
        (lambda p: Supervised("x", p, p, p, classes=2), r"x: train targets must lie in 0..1, got 0..2"),
        (lambda p: Supervised("x", p, p, Pairs(p.inputs, p.targets.int()), classes=3), "one int64 class an input"),
        (lambda p: Supervised("x", p, p, Pairs(p.inputs[:, :2], p.targets), classes=3), r"inputs have shape \(2,\)"),
        (lambda p: Supervised("x", p, p, Pairs(p.inputs / 0, p.targets), classes=3), "x: test holds NaN or infinity"),
        (lambda p: Supervised("x", p, p, p, classes=3).first(0), "count must be at least 1, got 0"),
    ],
)
def test_splits_that_make_no_data_set_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make(Pairs(torch.ones(5, 4), torch.tensor([0, 1, 2, 0, 1])))


def test_the_first_pairs_keep_their_scales():
    data = load_supervised("diabetes")
    part = data.first(7)
    assert [len(split) for split in (part.train, part.validation, part.test)] == [7, 7, 7]
    assert part.targets is data.targets
    assert torch.equal(part.test.inputs, data.test.inputs[:7])


def test_labelled_digits_are_the_digits_in_the_same_order():
    from jensen.datasets import digits

    images, pairs = digits.load(), labelled.load("digits")
    assert torch.equal(pairs.train.inputs, images.train)
    assert torch.equal(pairs.test.targets, images.labels.test)
    assert (pairs.classes, pairs.shape) == (10, (8, 8))


def test_grey_levels_are_scaled_and_shaped_as_asked():
    plain, scaled = labelled.load("digits"), labelled.load("digits", scale=255 / 126, channels=True)
    assert scaled.train.inputs.shape == (1297, 1, 8, 8)
    assert torch.allclose(scaled.train.inputs.reshape(-1, 64), plain.train.inputs * 255 / 126)


def test_diabetes_is_split_by_a_frozen_permutation():
    data = load_supervised("diabetes")
    assert [len(split) for split in (data.train, data.validation, data.test)] == [310, 44, 88]
    assert data.targets.undo(data.test.targets)[:3].tolist() == pytest.approx([72.0, 107.0, 54.0], abs=1e-3)
    assert torch.equal(load_supervised("diabetes").test.inputs, data.test.inputs)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "digist"}, "unknown supervised data set 'digist'; did you mean 'digits'"),
        ({"name": "digits", "split": "odd"}, "unknown split of digits 'odd'"),
        ({"name": "diabetes", "split": "1"}, "unknown split of diabetes '1'"),
        ({"name": "diabetes", "channels": True}, "diabetes holds no images; leave out scale and channels"),
        ({"name": "yacht", "scale": 2.0}, "yacht holds no images"),
        ({"name": "yacht", "split": "20"}, "unknown split of yacht '20'"),
    ],
)
def test_what_is_not_there_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        load_supervised(**arguments)


def test_what_needs_no_download_is_at_hand(folder):
    assert [name for name in supervised_names() if at_hand(name)] == ["digits", "diabetes"]
