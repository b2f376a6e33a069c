"""The standard splits of the UCI regressions: every row once, standardised, damaged files refused by name."""

import gzip
import hashlib
import os
import shutil
from pathlib import Path

import pytest
import torch

from jensen.datasets import CorruptFileError, DownloadError, at_hand, uci

SPLITS = {"protein": 5}
SIZES = {
    "boston": (506, 13),
    "concrete": (1030, 8),
    "energy": (768, 8),
    "kin8nm": (8192, 8),
    "naval": (11934, 16),
    "power-plant": (9568, 4),
    "protein": (45730, 9),
    "wine-red": (1599, 11),
    "yacht": (308, 6),
}


@pytest.fixture
def yacht(folder, monkeypatch):
    """A small table with one split, in place of the published files."""
    rows = [f"{i} {i % 3} {10 * i}" for i in range(40)]
    files = {
        "data": "\n".join(rows),
        "index_train_0": "\n".join(f"{i:.1f}" for i in range(39, 3, -1)),
        "index_test_0": "\n".join(map(str, range(4))),
    }
    place = folder / "uci" / "yacht" / "data"
    place.mkdir(parents=True)
    digests = {}
    for name, text in files.items():
        (place / f"{name}.txt").write_text(text)
        digests[f"uci/yacht/data/{name}.txt"] = hashlib.sha256(text.encode()).hexdigest()
    monkeypatch.setattr(uci, "_checksums", lambda: digests)
    return place


def test_every_published_file_has_a_checksum():
    for name in uci.names():
        assert uci.splits(name) == SPLITS.get(name, 20)
        for split in range(uci.splits(name)):
            for source in uci.sources(name, split=str(split)):
                algorithm, _, digest = source.checksums[0].partition(":")
                assert algorithm == "sha256"
                assert len(digest) == 64
                assert source.addresses[0].endswith(source.path.removeprefix("uci/"))


def test_the_last_tenth_of_the_training_rows_is_for_validation(yacht):
    data = uci.load("yacht")
    targets = [data.targets.undo(split.targets).round().tolist() for split in (data.train, data.validation, data.test)]
    assert targets[0] == [10.0 * i for i in range(39, 7, -1)]
    assert targets[1] == [10.0 * i for i in (7, 6, 5, 4)]
    assert targets[2] == [0.0, 10.0, 20.0, 30.0]
    assert data.train.inputs.shape == (32, 2)
    assert abs(float(data.train.inputs.mean())) < 1e-5
    assert abs(float(data.validation.inputs.mean())) > 0.1


def test_standard_is_the_first_split(yacht):
    assert torch.equal(uci.load("yacht").test.inputs, uci.load("yacht", split="0").test.inputs)


def test_a_damaged_file_is_named(yacht):
    path = yacht / "index_train_0.txt"
    path.write_text(path.read_text()[:-3])
    with pytest.raises(CorruptFileError, match=r"index_train_0\.txt .* is not the published file"):
        uci.load("yacht")


def test_a_missing_file_is_named_with_its_place(yacht, no_network):
    (yacht / "data.txt").unlink()
    assert not at_hand("yacht")
    with pytest.raises(DownloadError, match=r"cannot get uci/yacht/data/data\.txt.*\$JENSEN_DATA"):
        uci.load("yacht")
    assert no_network == [uci.ADDRESS + "yacht/data/data.txt"]


def test_rows_of_different_lengths_are_no_table(yacht, monkeypatch):
    text = "1 2 3\n4 5\n"
    (yacht / "data.txt").write_text(text)
    digests = {**uci._checksums(), "uci/yacht/data/data.txt": hashlib.sha256(text.encode()).hexdigest()}
    monkeypatch.setattr(uci, "_checksums", lambda: digests)
    with pytest.raises(ValueError, match="number of columns changed"):
        uci.load("yacht")


def test_a_gzipped_table_is_read_too(yacht):
    plain = (yacht / "data.txt").read_bytes()
    before = uci.load("yacht").train.inputs
    (yacht / "data.txt").unlink()
    (yacht / "data.txt.gz").write_bytes(gzip.compress(plain))
    assert torch.equal(uci.load("yacht").train.inputs, before)


@pytest.mark.parametrize("name", uci.names())
def test_the_published_splits(name, real):
    rows, columns = SIZES[name]
    folder = uci.FOLDERS[name]
    data_file = f"uci/{folder}/data/data.txt"
    real(f"{data_file}.gz" if name in ("kin8nm", "naval", "protein") else data_file)
    last = uci.load(name, split=str(uci.splits(name) - 1))
    for data in (uci.load(name), last):
        assert len(data.train) + len(data.validation) + len(data.test) == rows
        assert len(data.test) == pytest.approx(rows / 10, abs=1)
        assert data.train.inputs.shape[1] == columns
        assert torch.allclose(data.train.targets.std(correction=0), torch.tensor(1.0), atol=1e-4)
    assert not torch.equal(uci.load(name).test.inputs, last.test.inputs)


def test_the_numbers_of_the_yachts(real):
    real("uci/yacht/data/data.txt")
    data = uci.load("yacht")
    assert (len(data.train), len(data.validation), len(data.test)) == (249, 28, 31)
    everyone = torch.cat([data.train.targets, data.validation.targets, data.test.targets])
    assert float(data.targets.undo(everyone).max()) == pytest.approx(62.42, abs=1e-3)


def test_a_copy_with_one_byte_changed_is_refused(real, tmp_path, monkeypatch):
    real("uci/yacht/data/data.txt")
    source = Path(os.environ["JENSEN_DATA"]) / "uci" / "yacht"
    shutil.copytree(source, tmp_path / "uci" / "yacht")
    path = tmp_path / "uci" / "yacht" / "data" / "data.txt"
    path.write_bytes(path.read_bytes().replace(b"-2.3", b"-2.4", 1))
    monkeypatch.setenv("JENSEN_DATA", str(tmp_path))
    with pytest.raises(CorruptFileError, match=r"data\.txt .* is not the published file"):
        uci.load("yacht")
