import gzip
import hashlib

import numpy as np
import pytest
import torch

from jensen import datasets
from jensen.datasets import CorruptFileError, DownloadError, mnist

FILES = list(mnist.MNIST_FILES)
TABLES = {"mnist": mnist.MNIST_FILES, "fashion_mnist": mnist.FASHION_FILES}


@pytest.fixture(params=["mnist", "fashion_mnist"])
def tiny(request, folder, idx, monkeypatch):
    """Ten and three images of 2x3 pixels in the published form, entered in the table of checksums."""
    name = request.param
    values = np.random.default_rng(0).integers(0, 256, (13, 2, 3)).astype(np.uint8)
    values[0] = [[0, 51, 255], [1, 2, 3]]
    labels = np.arange(13, dtype=np.uint8) % 10
    arrays = (values[:10], labels[:10], values[10:], labels[10:])
    (folder / name).mkdir()
    for file, array in zip(FILES, arrays, strict=True):
        data = idx(array)
        (folder / name / file).write_bytes(data)
        monkeypatch.setitem(TABLES[name], file, f"sha256:{hashlib.sha256(data).hexdigest()}")
    monkeypatch.setitem(mnist.VALIDATION, "standard", 4)
    monkeypatch.setitem(mnist.VALIDATION, "burda", 1)
    return name, values


@pytest.mark.parametrize(("split", "sizes"), [("standard", (6, 4, 3)), ("burda", (9, 1, 3))])
def test_the_pixels_and_labels_of_the_files(tiny, split, sizes):
    name, values = tiny
    images = datasets.load(name, split=split)
    assert (len(images.train), len(images.validation), len(images.test)) == sizes
    assert images.name == name
    assert images.shape == (2, 3)
    assert images.train[0].tolist() == pytest.approx([0, 0.2, 1, 1 / 255, 2 / 255, 3 / 255])
    together = torch.cat([images.train, images.validation, images.test]).mul(255).round().to(torch.uint8)
    assert np.array_equal(together.numpy().reshape(13, 2, 3), values)
    assert torch.cat(images.labels).tolist() == [*range(10), 0, 1, 2]


@pytest.mark.parametrize("file", FILES)
def test_one_wrong_bit_in_any_file_is_refused(tiny, folder, file):
    name, _ = tiny
    path = folder / name / file
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.write_bytes(data)
    with pytest.raises(
        CorruptFileError, match=r"is not the published file: found sha256:\w{64}, expected sha256:"
    ) as caught:
        datasets.load(name)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("file", FILES)
def test_a_file_cut_short_is_refused(tiny, folder, file):
    name, _ = tiny
    path = folder / name / file
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(CorruptFileError, match="delete it and run again, or fetch it from http"):
        datasets.load(name)


def test_a_missing_file_is_named_with_its_addresses(tiny, folder, no_network):
    name, _ = tiny
    (folder / name / FILES[2]).unlink()
    with pytest.raises(DownloadError, match=rf"\$JENSEN_DATA/{name}/{FILES[2]}"):
        datasets.load(name)
    assert len(no_network) == 2
    assert all(address.endswith(FILES[2]) for address in no_network)


def test_an_empty_set_is_refused(folder, idx, monkeypatch):
    (folder / "mnist").mkdir()
    for file in FILES:
        data = idx(np.zeros((0, 2, 3) if "images" in file else 0, dtype=np.uint8))
        (folder / "mnist" / file).write_bytes(data)
        monkeypatch.setitem(mnist.MNIST_FILES, file, f"sha256:{hashlib.sha256(data).hexdigest()}")
    with pytest.raises(ValueError, match="mnist: train holds no image"):
        datasets.load("mnist")


def test_read_idx_gives_back_what_was_written(idx):
    values = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    assert np.array_equal(mnist.read_idx(idx(values)), values)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "it begins with , expected 000008"),
        (b"\x01\x00\x08\x01\x00\x00\x00\x01\x07", "it begins with 01000801"),
        (b"\x00\x00\x0d\x01\x00\x00\x00\x01\x07\x07\x07\x07", "it begins with 00000d01"),
        (b"\x00\x00\x08\x02\x00\x00\x00\x01", "it is cut short or too long"),
        (b"\x00\x00\x08\x01\x00\x00\x00\x03\x07\x07", r"shape \(3,\) holds 2 values"),
        (b"\x00\x00\x08\x01\x00\x00\x00\x01\x07\x07", r"shape \(1,\) holds 2 values"),
        (b"\x00\x00\x08\x03\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x02\x07", "holds 1 values"),
    ],
)
def test_read_idx_refuses_what_is_no_idx_file(raw, message):
    with pytest.raises(ValueError, match=message):
        mnist.read_idx(gzip.compress(raw))


@pytest.mark.parametrize("data", [b"", b"plain", b"\x1f\x8b\x08", gzip.compress(b"\x00\x00\x08\x01" * 9)[:-4]])
def test_read_idx_refuses_what_is_no_whole_gzip_file(data):
    with pytest.raises(ValueError, match=r"no whole gzip file|it begins with"):
        mnist.read_idx(data)


def test_the_published_mnist(real):
    real(*(f"mnist/{file}" for file in FILES))
    images = datasets.load("mnist")
    assert images.train.shape == (50_000, 784)
    assert images.validation.shape == (10_000, 784)
    assert images.test.shape == (10_000, 784)
    assert images.labels.train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert images.labels.test[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    everything = torch.cat([images.train, images.validation])
    assert everything.double().mean().item() == pytest.approx(0.1306604, abs=1e-6)
    assert images.train[0, 152:156].mul(255).round().tolist() == [3, 18, 18, 18]


def test_the_published_mnist_in_burdas_split(real):
    real(*(f"mnist/{file}" for file in FILES))
    images = datasets.load("mnist", split="burda")
    assert (len(images.train), len(images.validation), len(images.test)) == (59_600, 400, 10_000)


def test_the_published_fashion_mnist(real):
    real(*(f"fashion_mnist/{file}" for file in FILES))
    images = datasets.load("fashion_mnist")
    assert images.train.shape == (50_000, 784)
    assert images.labels.train[:5].tolist() == [9, 0, 0, 3, 0]
    everything = torch.cat([images.train, images.validation])
    assert everything.double().mean().item() == pytest.approx(0.2860, abs=1e-4)
