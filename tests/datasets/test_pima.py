import dataclasses
import hashlib

import pytest
import torch

from jensen.datasets import CorruptFileError, DownloadError, pima
from jensen.datasets.targets import regressions

TABLE = b"1.0 0.5 0.25 0 0 0 0 1\n\n0.0 -0.5 -0.25 0 0 0 0 -1\n"


@pytest.fixture
def women(folder, monkeypatch):
    """Two women in the published form."""
    checksum = f"sha256:{hashlib.sha256(TABLE).hexdigest()}"
    monkeypatch.setattr(pima, "SOURCE", dataclasses.replace(pima.SOURCE, checksums=(checksum,)))
    (folder / "evidence").mkdir()
    (folder / pima.SOURCE.path).write_bytes(TABLE)
    return folder


def test_the_columns_are_those_of_the_table(women):
    table = pima.load()
    assert table.diabetic.tolist() == [1, 0]
    assert table.features.tolist() == [[0.5, 0.25, 0, 0, 0, 0, 1], [-0.5, -0.25, 0, 0, 0, 0, -1]]
    assert table.names[1] == "glucose"
    assert table.features.dtype == torch.float64


def test_the_models_read_their_columns(women):
    theta = torch.tensor([[0.1, 1.0, 2.0, 3.0, 4.0]], dtype=torch.float64)
    eta = torch.tensor([0.1 + 0.5 + 0.5, 0.1 - 0.5 - 0.5], dtype=torch.float64)
    expected = torch.sigmoid(torch.stack([eta[0], -eta[1]])).log()
    torch.testing.assert_close(regressions.pima(1).pointwise(theta)[0], expected)
    older = torch.tensor([[0.1, 1.0, 2.0, 3.0, 4.0, 10.0]], dtype=torch.float64)
    expected = torch.sigmoid(torch.stack([eta[0] + 10, -eta[1] + 10])).log()
    torch.testing.assert_close(regressions.pima(2).pointwise(older)[0], expected)


def test_another_file_is_refused(women):
    (women / pima.SOURCE.path).write_bytes(TABLE + b"0 0 0 0 0 0 0 0\n")
    with pytest.raises(CorruptFileError, match="is not the published file"):
        pima.load()


def test_without_a_file_the_public_addresses_are_asked(folder, no_network):
    with pytest.raises(DownloadError, match=r"\$JENSEN_DATA/evidence/pima_indian.dat"):
        pima.load()
    assert no_network == list(pima.SOURCE.addresses)


@pytest.mark.parametrize("data", [b"", b"1 2 3\n", b"2 0 0 0 0 0 0 0\n"])
def test_another_table_is_refused(data):
    with pytest.raises(ValueError, match="8 numbers a row, the first of them 0 or 1"):
        pima.read_table(data)


def test_the_published_women(real):
    real("evidence/pima_indian.dat")
    table = pima.load()
    assert table.features.shape == (532, 7)
    assert table.diabetic.sum() == 177
    torch.testing.assert_close(table.features.mean(0), torch.zeros(7, dtype=torch.float64), atol=1e-5, rtol=0)
    torch.testing.assert_close(table.features.var(0), torch.ones(7, dtype=torch.float64), atol=1e-5, rtol=0)
