import dataclasses
import hashlib
from io import BytesIO

import numpy as np
import pytest
import torch
from scipy.io import savemat

from jensen import datasets
from jensen.datasets import CorruptFileError, DownloadError, omniglot

ATTRIBUTES = {"omniglot": "FULL", "omniglot_small": "SMALL"}


def chardata():
    """Eight images to fit to and two to test, each 28x28 and asymmetric, in the layout of the published file."""
    random = np.random.default_rng(2)
    pictures, classes = random.random((10, 28, 28)).round(3), np.arange(10) % 3
    columns = np.stack([picture.reshape(-1, order="F") for picture in pictures], axis=1)
    one_hot = np.eye(3, dtype=np.uint8)[classes].T
    parts = {"data": columns[:, :8], "target": one_hot[:, :8], "testdata": columns[:, 8:], "testtarget": one_hot[:, 8:]}
    return pictures, classes, parts


@pytest.fixture(params=list(ATTRIBUTES))
def write(request, folder, monkeypatch):
    """Puts the given variables in the place of a published file, with or without their checksum."""
    name = request.param
    monkeypatch.setitem(omniglot.VALIDATION, name, 3)
    source = getattr(omniglot, ATTRIBUTES[name])
    (folder / "omniglot").mkdir()

    def put(variables, *, trusted=True):
        savemat(file := BytesIO(), variables)
        (folder / source.path).write_bytes(file.getvalue())
        if trusted:
            checksum = f"sha256:{hashlib.sha256(file.getvalue()).hexdigest()}"
            monkeypatch.setattr(omniglot, ATTRIBUTES[name], dataclasses.replace(source, checksums=(checksum,)))
        return name

    return put


def test_pictures_stand_upright_in_the_authors_order(write):
    pictures, classes, parts = chardata()
    images = datasets.load(write(parts))
    order = np.random.RandomState(123).permutation(8)
    assert np.allclose(images.train.reshape(-1, 28, 28), pictures[order[:5]], atol=1e-6)
    assert np.allclose(images.validation.reshape(-1, 28, 28), pictures[order[5:]], atol=1e-6)
    assert np.allclose(images.test.reshape(-1, 28, 28), pictures[8:], atol=1e-6)
    assert torch.cat(images.labels).tolist() == [*classes[order], *classes[8:]]
    assert not np.allclose(images.test.reshape(-1, 28, 28).mT, pictures[8:], atol=1e-6)


def test_burdas_split_is_the_standard_one(write):
    name = write(chardata()[2])
    assert torch.equal(datasets.load(name).train, datasets.load(name, split="burda").train)


def test_other_bytes_are_refused(write):
    name = write(chardata()[2], trusted=False)
    with pytest.raises(CorruptFileError, match="is not the published file"):
        datasets.load(name)


@pytest.mark.parametrize(("value", "message"), [(np.nan, "hold NaN"), (-1.0, "must lie in"), (255.0, "must lie in")])
def test_values_that_are_no_grey_levels_are_refused(write, value, message):
    parts = chardata()[2]
    parts["data"][5, 5] = value
    with pytest.raises(ValueError, match=message):
        datasets.load(write(parts))


def test_a_missing_variable_is_named(write):
    parts = chardata()[2]
    del parts["testtarget"]
    with pytest.raises(ValueError, match="has no variable 'testtarget'"):
        datasets.load(write(parts))


def test_the_full_set_has_an_address_and_the_derived_one_has_none(folder, no_network):
    with pytest.raises(DownloadError, match="yburda/iwae/raw/master"):
        datasets.load("omniglot")
    assert len(no_network) == 1
    with pytest.raises(DownloadError, match=r"chardata_small\.mat: it has no public address"):
        datasets.load("omniglot_small")
    assert len(no_network) == 1


def test_the_derived_small_set(real):
    real("omniglot/chardata_small.mat")
    images = datasets.load("omniglot_small")
    assert (images.train.shape, images.validation.shape, images.test.shape) == ((3430, 784), (200, 784), (1210, 784))
    assert torch.cat(images.labels).unique().tolist() == list(range(8))
    assert images.test.double().mean().item() == pytest.approx(0.0810749, abs=1e-6)


def test_the_published_full_set(real):
    real("omniglot/chardata.mat")
    images = datasets.load("omniglot")
    assert (images.train.shape, images.validation.shape, images.test.shape) == ((23_000, 784), (1345, 784), (8070, 784))
    assert torch.cat(images.labels).unique().tolist() == list(range(50))
