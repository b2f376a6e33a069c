import dataclasses
import gzip
import hashlib
import io
import tarfile

import numpy as np
import pytest
import torch

from jensen import datasets
from jensen.datasets import CorruptFileError, DownloadError, cifar10

RANDOM = np.random.default_rng(3)


def records(n):
    """Whole records: classes, pictures `(n, 32, 32, 3)`, and their bytes in the published layout."""
    classes = RANDOM.integers(0, 10, n).astype(np.uint8)
    pictures = RANDOM.integers(0, 256, (n, 32, 32, 3)).astype(np.uint8)
    planes = pictures.transpose(0, 3, 1, 2).reshape(n, -1)
    return classes, pictures, np.concatenate([classes[:, None], planes], axis=1).tobytes()


def archive(files):
    with tarfile.open(fileobj=(buffer := io.BytesIO()), mode="w:gz") as made:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            entry.size = len(content)
            made.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def published(folder, monkeypatch):
    """Five files of two images and a test file of three, in the published archive with their checksum."""
    made = {name: records(2) for name in cifar10.BATCHES} | {cifar10.TEST: records(3)}
    data = archive({name: content for name, (_, _, content) in made.items()})
    checksum = f"md5:{hashlib.md5(data, usedforsecurity=False).hexdigest()}"
    monkeypatch.setattr(cifar10, "ARCHIVE", dataclasses.replace(cifar10.ARCHIVE, checksums=(checksum,)))
    monkeypatch.setattr(cifar10, "VALIDATION", 4)
    path = folder / cifar10.ARCHIVE.path
    path.parent.mkdir()
    path.write_bytes(data)
    return path, made


def test_pictures_stand_upright_with_their_colours_side_by_side(published):
    images = datasets.load("cifar10")
    assert images.shape == (32, 32, 3)
    together = torch.cat([images.train, images.validation]).reshape(-1, 32, 32, 3)
    expected = np.concatenate([published[1][name][1] for name in cifar10.BATCHES])
    assert np.array_equal(together.mul(255).round().numpy(), expected)
    assert torch.cat(images.labels[:2]).tolist() == [c for name in cifar10.BATCHES for c in published[1][name][0]]
    assert np.array_equal(images.test.mul(255).round().numpy().reshape(-1, 32, 32, 3), published[1][cifar10.TEST][1])
    assert not np.array_equal(together.mul(255).round().numpy(), expected[..., ::-1])  # the control: blue first
    assert (len(images.train), len(images.validation), len(images.test)) == (6, 4, 3)


def test_the_subset_is_the_beginning_of_the_archive_where_its_own_files_are_missing(published, monkeypatch):
    for name, value in (("SUBSET_TRAIN", 5), ("SUBSET_VALIDATION", 2), ("SUBSET_TEST", 2)):
        monkeypatch.setattr(cifar10, name, value)
    images, whole = datasets.load("cifar10_subset"), datasets.load("cifar10")
    assert torch.equal(torch.cat([images.train, images.validation]), whole.train[:5])
    assert torch.equal(images.test, whole.test[:2])
    assert images.name == "cifar10_subset"


def test_an_altered_archive_is_refused(published):
    path = published[0]
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(CorruptFileError, match=r"is not the published file: found md5:.*kriz/cifar-10-binary"):
        datasets.load("cifar10")


def test_an_altered_subset_is_refused(folder):
    (folder / "cifar10_subset").mkdir()
    for source in cifar10.SUBSET:
        (folder / source.path).write_bytes(gzip.compress(records(2)[2]))
    with pytest.raises(CorruptFileError, match="is not the published file"):
        datasets.load("cifar10_subset")


def test_what_is_nowhere_is_said_so(folder, no_network):
    with pytest.raises(DownloadError, match=r"put the file at \$JENSEN_DATA/cifar10/cifar-10-binary.tar.gz"):
        datasets.load("cifar10_subset")
    assert no_network == list(cifar10.ARCHIVE.addresses)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "0 bytes are no whole records"),
        (records(2)[2][:-1], "no whole records of 3073"),
        (bytes([10]) + bytes(3072), "class 10; the ten are 0 to 9"),
    ],
)
def test_what_are_no_records_is_refused(data, message):
    with pytest.raises(ValueError, match=message):
        cifar10.read_records(data)


def test_the_published_subset(real):
    real("cifar10_subset/data_batch_1.bin.gz", "cifar10_subset/test_batch.bin.gz")
    images = datasets.load("cifar10_subset")
    assert (len(images.train), len(images.validation), len(images.test)) == (3500, 500, 1000)
    assert images.labels is not None
    assert images.labels.train[:10].tolist() == [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]
    assert images.labels.test[:10].tolist() == [3, 8, 8, 0, 6, 6, 1, 6, 3, 1]
    neighbours = images.train.reshape(-1, 32, 32, 3)
    across = (neighbours[:, :, 1:] - neighbours[:, :, :-1]).abs().mean()
    shuffled = images.train.reshape(-1, 3, 32, 32).permute(0, 2, 3, 1)  # the control: planes read as rows
    assert across < 0.7 * (shuffled[:, :, 1:] - shuffled[:, :, :-1]).abs().mean()
    above, below = (rows.mean((0, 1, 2)) for rows in neighbours[images.labels.train == 8].split(16, 1))  # ships
    red, green, blue = above.tolist()
    assert red < green < blue, "the sky is blue, and not with the channels the other way round"
    assert (above > below + 0.1).all(), "the sky is above the sea"
