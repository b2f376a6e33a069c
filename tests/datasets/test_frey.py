import dataclasses
import hashlib
from io import BytesIO

import numpy as np
import pytest
import torch
from scipy.io import savemat

from jensen import datasets
from jensen.datasets import CorruptFileError, frey

FACES = np.random.default_rng(1).integers(0, 256, (560, 7)).astype(np.uint8)


def matlab(**variables):
    savemat(file := BytesIO(), variables)
    return file.getvalue()


@pytest.fixture
def path(folder, monkeypatch):
    """Seven faces in the published form, the checksum of their pixels, and the path of the file."""
    checksum = f"sha256:{hashlib.sha256(FACES.T.tobytes()).hexdigest()}"
    monkeypatch.setattr(frey, "SOURCE", dataclasses.replace(frey.SOURCE, checksums=(checksum,)))
    monkeypatch.setattr(frey, "SIZES", (4, 2, 1))
    path = folder / "frey" / "frey_rawface.mat"
    path.parent.mkdir()
    path.write_bytes(matlab(ff=FACES))
    return path


def test_contiguous_faces_are_the_columns_in_their_order(path):
    images = datasets.load("frey", split="contiguous")
    together = torch.cat([images.train, images.validation, images.test])
    assert np.array_equal(together.mul(255).round().numpy(), FACES.T)
    assert images.shape == (28, 20)
    assert images.labels is None


def test_the_standard_split_holds_the_same_faces_in_a_fixed_other_order(path):
    shuffled, film = datasets.load("frey"), datasets.load("frey", split="contiguous")
    order = np.random.RandomState(0).permutation(7)
    assert order.tolist() != list(range(7))
    film = torch.cat([film.train, film.validation, film.test])
    assert torch.equal(torch.cat([shuffled.train, shuffled.validation, shuffled.test]), film[order])


def test_another_container_of_the_same_pixels_is_accepted(path):
    path.write_bytes(matlab(comment="a copy", ff=FACES, other=np.eye(2)))
    assert len(datasets.load("frey").train) == 4


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"ff": FACES ^ np.uint8(1)}, "is not the published file: found sha256"),
        ({"ff": FACES[:, ::-1]}, "is not the published file: found sha256"),
        ({"ff": FACES.T}, r"must be uint8 of shape \(560, N\)"),
        ({"ff": FACES.astype(float)}, "got float64"),
        ({"ff": np.full((560, 7), np.nan)}, "got float64"),
        ({"ff": "a text"}, "must be a numeric matrix"),
        ({"faces": FACES}, "has no variable 'ff'"),
    ],
)
def test_other_contents_are_refused(path, variables, message):
    path.write_bytes(matlab(**variables))
    with pytest.raises(CorruptFileError, match=message) as caught:
        datasets.load("frey")
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("size", [0, 10, 130, 200, 2000, -1])
def test_a_file_cut_short_is_refused(path, size):
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(CorruptFileError, match=r"fetch it from https://cs\.nyu\.edu"):
        datasets.load("frey")


def test_the_published_faces(real):
    real("frey/frey_rawface.mat")
    images = datasets.load("frey", split="contiguous")
    assert (images.train.shape, images.validation.shape, images.test.shape) == ((1565, 560), (200, 560), (200, 560))
    assert images.train[0, :5].mul(255).round().tolist() == [81, 136, 167, 185, 187]
    shuffled = datasets.load("frey")
    assert (len(shuffled.train), len(shuffled.validation), len(shuffled.test)) == (1565, 200, 200)


def nearest(images):
    return torch.cdist(images.test, images.train).amin(1).mean()


def test_held_out_frames_have_near_twins_unless_the_split_is_contiguous(real):
    real("frey/frey_rawface.mat")
    assert nearest(datasets.load("frey")) < 0.8 * nearest(datasets.load("frey", split="contiguous"))
