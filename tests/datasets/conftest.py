import gzip
import os
from pathlib import Path

import pooch
import pytest
import requests


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
    """No test here downloads or fills a real cache; the downloads that a test allows are in the list it is given."""
    asked = []

    def refuse():
        def download(address, output, caller):
            asked.append(address)
            raise requests.ConnectionError("HTTPConnectionPool: Max retries exceeded")

        return download

    monkeypatch.setattr(pooch, "HTTPDownloader", refuse)
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache" / name)
    return asked


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """An empty `$JENSEN_DATA`."""
    path = tmp_path / "data"
    path.mkdir()
    monkeypatch.setenv("JENSEN_DATA", str(path))
    return path


@pytest.fixture
def real():
    """Skips unless `$JENSEN_DATA` holds the published files that a test reads."""

    def need(*files):
        folder = os.environ.get("JENSEN_DATA")
        if not folder:
            pytest.skip("JENSEN_DATA is not set")
        for file in files:
            if not (Path(folder) / file).is_file():
                pytest.skip(f"JENSEN_DATA holds no {file}")

    return need


@pytest.fixture
def idx():
    """Writes an array as a gzipped idx file."""

    def write(array, *, kind=8):
        lengths = b"".join(length.to_bytes(4, "big") for length in array.shape)
        return gzip.compress(bytes([0, 0, kind, array.ndim]) + lengths + array.tobytes())

    return write
