"""Files from `$JENSEN_DATA` or the public address, and nothing that fails its checksum."""

import hashlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CorruptFileError", "DownloadError", "Source", "fetch", "is_here"]


class CorruptFileError(ValueError):
    """A file is not the published one: cut short, altered, or something else under its name."""


class DownloadError(OSError):
    """A file is neither in `$JENSEN_DATA` nor in the cache, and no address delivered it."""


@dataclass(frozen=True)
class Source:
    """One published file, where it lies and how it is known.

    Attributes:
        path: the place below `$JENSEN_DATA` and below the cache, such as `mnist/t10k-labels-idx1-ubyte.gz`.
        addresses: where the public can get it, tried in this order; empty if nowhere.
        checksums: `algorithm:digest`, any one of which will do; the algorithm is one of `hashlib`'s or `gitblob`, the
            name that git gives to a file.
        unpack: what makes the verified contents out of the file's bytes. The checksum is of these contents, so that
            two containers of the same contents are both accepted.
    """

    path: str
    addresses: tuple[str, ...]
    checksums: tuple[str, ...]
    unpack: Callable[[bytes], bytes] = bytes


def fetch(source: Source) -> bytes:
    """The verified contents of a file: from `$JENSEN_DATA`, else the cache, else the public address.

    In `$JENSEN_DATA` the file may also be there gzipped, with `.gz` after its name, if `source.unpack` can read that.

    Raises:
        CorruptFileError: if the file found, or the file sent, has another checksum.
        DownloadError: if there is no such file here and no address delivers it.
        ValueError: if `$JENSEN_DATA` is not a folder.
    """
    for place in _places(source):
        if place.is_file():
            return _verified(place.read_bytes(), source, place)
    return _download(source)


def is_here(source: Source) -> bool:
    """Whether `fetch` needs no network, wherever the file came from; it may still be damaged.

    Raises:
        ValueError: if `$JENSEN_DATA` is not a folder.
    """
    return any(place.is_file() for place in _places(source))


def _places(source: Source) -> list[Path]:
    folder = _data_folder()
    given = [] if folder is None else [folder / source.path, folder / f"{source.path}.gz"]
    return [*given, _cached(source)]


def _data_folder() -> Path | None:
    value = os.environ.get("JENSEN_DATA", "")
    if not value:
        return None
    folder = Path(value).expanduser()
    if not folder.is_dir():
        raise ValueError(f"$JENSEN_DATA is {value!r}, which is no folder; point it at one, or unset it to download")
    return folder


def _cached(source: Source) -> Path:
    import pooch

    return Path(pooch.os_cache("jensen")) / source.path


def _verified(data: bytes, source: Source, place: Path | str) -> bytes:
    remedy = _remedy(source, place)
    try:
        contents = source.unpack(data)
    except Exception as error:
        raise CorruptFileError(f"{place} ({len(data)} bytes) cannot be read: {_brief(error)}. {remedy}") from error
    found = [_checksum(contents, checksum.partition(":")[0]) for checksum in source.checksums]
    if not set(found) & set(source.checksums):
        raise CorruptFileError(
            f"{place} ({len(data)} bytes) is not the published file: found {' or '.join(found)}, "
            f"expected {' or '.join(source.checksums)}. {remedy}"
        )
    return contents


def _remedy(source: Source, place: Path | str) -> str:
    if isinstance(place, str):
        return f"Try again, or put the right file at $JENSEN_DATA/{source.path}"
    if not source.addresses:
        return "It is cut short or altered: delete it and copy it again"
    return f"It is cut short or altered: delete it and run again, or fetch it from {source.addresses[0]}"


def _checksum(data: bytes, algorithm: str) -> str:
    if algorithm == "gitblob":
        digest = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False)
    else:
        digest = hashlib.new(algorithm, data, usedforsecurity=False)
    return f"{algorithm}:{digest.hexdigest()}"


def _download(source: Source) -> bytes:
    failures, corrupt = [], None
    for address in source.addresses:
        try:
            return _download_from(address, source)
        except CorruptFileError as error:
            corrupt = error
        except OSError as error:
            failures.append(f"{address} failed ({_reason(error)})")
    if corrupt is not None:
        raise corrupt
    tried = "; ".join(failures) or "it has no public address"
    raise DownloadError(f"cannot get {source.path}: {tried}. Go online, or put the file at $JENSEN_DATA/{source.path}")


def _download_from(address: str, source: Source) -> bytes:
    import pooch

    path = _cached(source)
    path.parent.mkdir(parents=True, exist_ok=True)
    pooch.get_logger().info("Downloading %s", address)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        arriving = Path(folder) / path.name
        pooch.HTTPDownloader()(address, str(arriving), None)
        contents = _verified(arriving.read_bytes(), source, address)
        arriving.replace(path)
    return contents


def _reason(error: OSError) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is not None:
        return f"HTTP status {status}"
    return str(error) if error.errno else type(error).__name__


def _brief(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:100]}{'...' if len(text) > 100 else ''}"
