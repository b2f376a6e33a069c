import gzip
import hashlib

import numpy as np
import pytest
import torch

from jensen import datasets
from jensen.datasets import CorruptFileError, binarized_mnist

FILES = list(binarized_mnist.FILES)


def amat(digits):
    return "".join(" ".join(map(str, row)) + "\n" for row in digits.tolist()).encode()


@pytest.fixture
def tiny(folder, monkeypatch):
    """Three, two and one images as the published texts, entered in the table of checksums."""
    digits = np.random.default_rng(3).integers(0, 2, (6, 784))
    (folder / "binarized_mnist").mkdir()
    for file, rows in zip(FILES, (digits[:3], digits[3:5], digits[5:]), strict=True):
        text = amat(rows)
        (folder / "binarized_mnist" / file).write_bytes(text)
        monkeypatch.setitem(binarized_mnist.FILES, file, f"sha256:{hashlib.sha256(text).hexdigest()}")
    return digits


def check(digits):
    images = datasets.load("binarized_mnist")
    assert (len(images.train), len(images.validation), len(images.test)) == (3, 2, 1)
    assert np.array_equal(torch.cat([images.train, images.validation, images.test]).numpy(), digits)
    assert images.labels is None


def test_plain_texts(tiny):
    check(tiny)


def test_gzipped_texts_under_the_name_with_and_without_gz(tiny, folder):
    place = folder / "binarized_mnist"
    for file in FILES[:2]:
        (place / f"{file}.gz").write_bytes(gzip.compress((place / file).read_bytes()))
        (place / file).unlink()
    (place / FILES[2]).write_bytes(gzip.compress((place / FILES[2]).read_bytes()))
    check(tiny)


@pytest.mark.parametrize("file", FILES)
def test_one_other_pixel_is_refused(tiny, folder, file):
    path = folder / "binarized_mnist" / file
    text = bytearray(path.read_bytes())
    text[100] ^= 1
    path.write_bytes(text)
    with pytest.raises(CorruptFileError, match=f"{file} .* is not the published file"):
        datasets.load("binarized_mnist")


@pytest.mark.parametrize("size", [-1, -20, 30, 3])
def test_a_gzip_file_cut_short_is_refused(tiny, folder, size):
    path = folder / "binarized_mnist" / FILES[0]
    path.write_bytes(gzip.compress(path.read_bytes())[:size])
    with pytest.raises(CorruptFileError, match="cannot be read"):
        datasets.load("binarized_mnist")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"0 1 0",
        b"0 1 2\n",
        b"0 1 0 ",
        b"0,1,0\n",
        b"0 1\n1 0\n",
        b"0 1 0\n0 1\n",
        b"-1 0 \n",
        b"\n\n\n\n\n\n",
        b"nan 0\n",
    ],
)
def test_read_amat_refuses_anything_else(text):
    with pytest.raises(ValueError, match=r"no \.amat text"):
        binarized_mnist.read_amat(text, columns=3)


def test_read_amat_gives_back_what_was_written():
    digits = np.random.default_rng(4).integers(0, 2, (5, 9))
    assert np.array_equal(binarized_mnist.read_amat(amat(digits), columns=9), digits)


def test_the_published_set(real):
    real(*(f"binarized_mnist/{file}.gz" for file in FILES))
    images = datasets.load("binarized_mnist")
    splits = (images.train, images.validation, images.test)
    assert [tuple(split.shape) for split in splits] == [(50_000, 784), (10_000, 784), (10_000, 784)]
    assert [round(split.double().mean().item(), 5) for split in splits] == [0.13056, 0.13113, 0.13251]
    assert all(split.unique().tolist() == [0, 1] for split in splits)
