import errno
import gzip
import hashlib
from types import SimpleNamespace

import pooch
import pytest
import requests

from jensen.datasets import CorruptFileError, DownloadError
from jensen.datasets._fetch import Source, fetch

CONTENT = b"forty-two grey levels\n" * 40
SHA256 = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
FIRST, SECOND = "https://first.example/file.bin", "http://second.example/file.bin"
SOURCE = Source("room/file.bin", (FIRST, SECOND), (SHA256,))


def put(folder, data, name="room/file.bin"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.fixture
def web(monkeypatch):
    """A pretended network: what each address answers, bytes or an exception, and the list of what was asked for."""
    answers, asked = {}, []

    def downloader():
        def download(address, output, caller):
            asked.append(address)
            answer = answers[address]
            if isinstance(answer, Exception):
                with open(output, "wb") as file:
                    file.write(CONTENT[:5])
                raise answer
            with open(output, "wb") as file:
                file.write(answer)

        return download

    monkeypatch.setattr(pooch, "HTTPDownloader", downloader)
    return SimpleNamespace(answers=answers, asked=asked)


def cached_files(tmp_path):
    return [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_a_file_in_the_folder_is_read_without_a_download(folder, no_network):
    put(folder, CONTENT)
    assert fetch(SOURCE) == CONTENT
    assert no_network == []


def test_a_gzipped_twin_in_the_folder_does_if_it_can_be_unpacked(folder):
    put(folder, gzip.compress(CONTENT), "room/file.bin.gz")
    assert fetch(Source(SOURCE.path, (), (SHA256,), gzip.decompress)) == CONTENT


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256"])
def test_one_of_several_checksums_is_enough(folder, algorithm):
    put(folder, CONTENT)
    right, wrong = f"{algorithm}:{hashlib.new(algorithm, CONTENT).hexdigest()}", "sha512:" + "0" * 128
    assert fetch(Source(SOURCE.path, (), (wrong, right))) == CONTENT
    with pytest.raises(CorruptFileError):
        fetch(Source(SOURCE.path, (), (wrong,)))


def test_git_calls_a_file_by_the_same_name(folder):
    put(folder, b"hello\n")
    assert fetch(Source(SOURCE.path, (), ("gitblob:ce013625030ba8dba906f756967f9e9ca394464a",))) == b"hello\n"


@pytest.mark.parametrize("damage", [CONTENT[:-1], b"", CONTENT[:100] + b"X" + CONTENT[101:], CONTENT + b"\n"])
def test_a_damaged_file_is_refused_with_what_to_do(folder, damage, no_network):
    path = put(folder, damage)
    with pytest.raises(CorruptFileError) as caught:
        fetch(SOURCE)
    message = str(caught.value)
    found = hashlib.sha256(damage).hexdigest()
    for part in (str(path), f"found sha256:{found}", f"expected {SHA256}", "delete it and run again", FIRST):
        assert part in message
    assert "\n" not in message
    assert isinstance(caught.value, ValueError)
    assert no_network == []
    assert path.read_bytes() == damage


def test_contents_that_cannot_be_unpacked_are_refused(folder):
    path = put(folder, gzip.compress(CONTENT)[:-9])
    with pytest.raises(CorruptFileError, match="cannot be read: EOFError") as caught:
        fetch(Source(SOURCE.path, (FIRST,), (SHA256,), gzip.decompress))
    assert str(path) in str(caught.value)


def test_a_file_without_address_is_to_be_copied_again(folder):
    put(folder, b"other")
    with pytest.raises(CorruptFileError, match="delete it and copy it again"):
        fetch(Source(SOURCE.path, (), (SHA256,)))


def test_a_download_is_kept_and_not_repeated(monkeypatch, web, tmp_path):
    monkeypatch.delenv("JENSEN_DATA", raising=False)
    web.answers[FIRST] = CONTENT
    assert fetch(SOURCE) == CONTENT
    assert fetch(SOURCE) == CONTENT
    assert web.asked == [FIRST]
    assert cached_files(tmp_path) == [tmp_path / "cache" / "jensen" / "room" / "file.bin"]


def test_the_folder_goes_before_the_cache(folder, tmp_path):
    put(tmp_path / "cache" / "jensen", b"stale")
    put(folder, CONTENT)
    assert fetch(SOURCE) == CONTENT


def test_a_damaged_cache_is_refused_by_its_name(folder, tmp_path, no_network):
    path = put(tmp_path / "cache" / "jensen", CONTENT[:-3])
    with pytest.raises(CorruptFileError) as caught:
        fetch(SOURCE)
    assert str(path) in str(caught.value)
    assert no_network == []


@pytest.mark.parametrize("answer", [CONTENT[:-1], b"<html>please log in</html>", requests.ConnectionError("reset")])
def test_the_second_address_helps_when_the_first_does_not(folder, web, tmp_path, answer):
    web.answers.update({FIRST: answer, SECOND: CONTENT})
    assert fetch(SOURCE) == CONTENT
    assert web.asked == [FIRST, SECOND]
    assert len(cached_files(tmp_path)) == 1


def test_a_damaged_download_never_reaches_the_cache(folder, web, tmp_path):
    web.answers.update({FIRST: CONTENT[:-1], SECOND: CONTENT[:-1]})
    with pytest.raises(CorruptFileError, match="Try again, or put the right file at") as caught:
        fetch(SOURCE)
    assert SECOND in str(caught.value)
    assert SHA256 in str(caught.value)
    assert cached_files(tmp_path) == []


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (requests.ConnectionError("HTTPConnectionPool(...): Max retries exceeded with url: ..."), "ConnectionError"),
        (requests.ReadTimeout("read timed out"), "ReadTimeout"),
        (requests.HTTPError("404", response=SimpleNamespace(status_code=404)), "HTTP status 404"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
    ],
)
def test_no_network_is_one_clear_line(folder, web, tmp_path, failure, reason):
    web.answers.update({FIRST: failure, SECOND: failure})
    with pytest.raises(DownloadError) as caught:
        fetch(SOURCE)
    message = str(caught.value)
    for part in ("room/file.bin", FIRST, SECOND, reason, "$JENSEN_DATA/room/file.bin", "Go online"):
        assert part in message
    assert "\n" not in message
    assert "Max retries" not in message
    assert isinstance(caught.value, OSError)
    assert cached_files(tmp_path) == []


def test_a_file_without_address_must_be_there(folder):
    with pytest.raises(DownloadError, match="it has no public address"):
        fetch(Source(SOURCE.path, (), (SHA256,)))


def test_a_mistyped_folder_is_an_error_and_no_download(monkeypatch, tmp_path, no_network):
    monkeypatch.setenv("JENSEN_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match=r"\$JENSEN_DATA is .*nowhere.*, which is no folder"):
        fetch(SOURCE)
    assert no_network == []


def test_an_empty_variable_is_no_folder(monkeypatch, web):
    monkeypatch.setenv("JENSEN_DATA", "")
    web.answers[FIRST] = CONTENT
    assert fetch(SOURCE) == CONTENT
