import dataclasses

import pytest
import torch

from jensen.datasets import Images, Labels
from jensen.datasets.images import in_three

GREY = torch.tensor([[0.0, 0.25, 0.5, 1.0]])
NAN, LOW, HIGH = (torch.tensor([[0.0, 0.0, 0.0, value]]) for value in (float("nan"), -0.1, 1.1))


def images(shape=(2, 2), labels=None, **splits):
    return Images("toy", **({"train": GREY, "validation": GREY, "test": GREY} | splits), shape=shape, labels=labels)


def test_good_images_are_taken_as_they_are():
    toy = images((1, 2, 2), Labels(*[torch.tensor([3])] * 3))
    assert toy.train is GREY
    assert toy.pixels == 4
    assert repr(toy) == "Images('toy', train=1, validation=1, test=1, shape=(1, 2, 2), labels=True)"
    with pytest.raises(dataclasses.FrozenInstanceError):
        toy.name = "other"


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (NAN, "hold NaN"),
        (LOW, r"must lie in \[0, 1\], got \[-0.1, 0\]"),
        (HIGH, r"must lie in \[0, 1\], got \[0, 1.1\]"),
        (GREY[:0], "holds no image"),
        (GREY.double(), r"got torch.float64 \(1, 4\)"),
        (GREY.reshape(1, 2, 2), r"got torch.float32 \(1, 2, 2\)"),
        (GREY[:, :3], r"\(1, 3\) do not fit the image shape \(2, 2\)"),
    ],
)
def test_bad_images_are_refused_by_their_split(split, bad, message):
    with pytest.raises(ValueError, match=f"toy: {split} .*{message}"):
        images(**{split: bad})


@pytest.mark.parametrize("bad", [torch.tensor([1, 2]), torch.tensor([1.0]), torch.tensor([[1]])])
def test_labels_must_be_one_whole_number_an_image(bad):
    with pytest.raises(ValueError, match="toy: test labels must be one int64 an image"):
        images(labels=Labels(torch.tensor([1]), torch.tensor([1]), bad))


def test_pieces_must_add_up():
    with pytest.raises(ValueError, match="they add up to 5"):
        in_three(torch.zeros(4), (2, 2, 1))
