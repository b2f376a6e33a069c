"""CIFAR-10: small colour photographs of ten things, from the binary version's records.

A record is one byte of class and 3072 of pixels, a plane of 32x32 for each of red, green and blue. Below `$JENSEN_DATA`
lies the published archive, `cifar10/cifar-10-binary.tar.gz`, or in `cifar10_subset/` the beginnings of two of its
files. No licence is stated.
"""

import gzip
import tarfile
from io import BytesIO

import numpy as np
import torch
from numpy.typing import NDArray

from jensen._names import check_choice
from jensen.datasets._fetch import Source, fetch, is_here
from jensen.datasets.images import Images, Labels

__all__ = ["load", "load_subset", "read_records"]

SHAPE = (32, 32, 3)
RECORD = 3073
BATCHES = [f"data_batch_{i}.bin" for i in range(1, 6)]
TEST = "test_batch.bin"
VALIDATION = 5000
SUBSET_TRAIN, SUBSET_VALIDATION, SUBSET_TEST = 4000, 500, 1000


def load(*, split: str = "standard") -> Images:
    """The 60,000 photographs of 32x32 pixels in colour: 50,000 to fit to and choose by, 10,000 to report on.

    The archive is 170 MB; the pixels as floating-point numbers take 740 MB of memory.

    Args:
        split: `standard`, the only one: 45,000 train, the last 5,000 of the fifth file validation, 10,000 test images.

    Raises:
        ValueError: if there is no such split, or the archive fails its checksum (`CorruptFileError`).
        DownloadError: if it is neither in `$JENSEN_DATA` nor to be had from its address.

    Example:
        >>> load(split="half")
        Traceback (most recent call last):
        ValueError: unknown split of cifar10 'half'; choose one of: standard

    References:
        | Learning Multiple Layers of Features from Tiny Images (Krizhevsky, 2009)
        | https://www.cs.toronto.edu/~kriz/learning-features-2009-TR.pdf
    """
    check_choice("split of cifar10", split, ["standard"])
    return _images("cifar10", *_from_archive(ARCHIVE), validation=VALIDATION)


def load_subset(*, split: str = "standard") -> Images:
    """The first 4,000 training and the first 1,000 test photographs of CIFAR-10, in their order.

    For machines and minutes that the whole does not fit: no result on it is one on CIFAR-10. Taken from the small files
    in `$JENSEN_DATA/cifar10_subset` where they are, else from the archive that `load` reads.

    Args:
        split: `standard`, the only one: 3,500 train, 500 validation and 1,000 test images.

    Raises:
        ValueError: if there is no such split, or a file fails its checksum (`CorruptFileError`).
        DownloadError: if neither these files nor the archive are in `$JENSEN_DATA` or to be had.

    Example:
        >>> load_subset(split="half")
        Traceback (most recent call last):
        ValueError: unknown split of cifar10_subset 'half'; choose one of: standard
    """
    check_choice("split of cifar10_subset", split, ["standard"])
    if all(map(is_here, SUBSET)):
        fit, test = map(fetch, SUBSET)
    else:
        fit, test = _from_archive(ARCHIVE)
    return _images(
        "cifar10_subset", fit[: SUBSET_TRAIN * RECORD], test[: SUBSET_TEST * RECORD], validation=SUBSET_VALIDATION
    )


def read_records(data: bytes) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Pixels `(N, 3072)`, row by row with red, green and blue side by side, and classes `(N,)`.

    Raises:
        ValueError: if the bytes are no whole records, or a class is none of ten.

    Example:
        >>> red = bytes([255]) * 1024 + bytes(2048)
        >>> pixels, classes = read_records(bytes([7]) + red)
        >>> pixels[0, :6], classes
        (array([255,   0,   0, 255,   0,   0], dtype=uint8), array([7], dtype=uint8))
    """
    if not data or len(data) % RECORD:
        raise ValueError(f"{len(data)} bytes are no whole records of {RECORD}; the file is cut short or another one")
    records = np.frombuffer(data, dtype=np.uint8).reshape(-1, RECORD)
    if records[:, 0].max() > 9:
        raise ValueError(f"a record has the class {records[:, 0].max()}; the ten are 0 to 9, so these are no CIFAR-10")
    height, width, channels = SHAPE
    planes = records[:, 1:].reshape(-1, channels, height, width)
    return planes.transpose(0, 2, 3, 1).reshape(len(records), -1), records[:, 0]


def _from_archive(source: Source) -> tuple[bytes, bytes]:
    """The records to fit to and those to test, each file's after the other's."""
    with tarfile.open(fileobj=BytesIO(fetch(source)), mode="r:gz") as archive:
        fit = b"".join(_member(archive, name) for name in BATCHES)
        return fit, _member(archive, TEST)


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(f"cifar-10-batches-bin/{name}")
    if file is None:
        raise ValueError(f"the archive's {name} is no file")
    return file.read()


def _images(name: str, fit: bytes, test: bytes, *, validation: int) -> Images:
    (pixels, classes), (test_pixels, test_classes) = read_records(fit), read_records(test)
    cut = len(pixels) - validation
    labels = Labels(_long(classes[:cut]), _long(classes[cut:]), _long(test_classes))
    return Images(name, _grey(pixels[:cut]), _grey(pixels[cut:]), _grey(test_pixels), SHAPE, labels)


def _grey(pixels: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(pixels.astype(np.float32)).div_(255)


def _long(classes: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(classes.astype(np.int64))


ARCHIVE = Source(
    "cifar10/cifar-10-binary.tar.gz",
    ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
    ("md5:c32a1d4ab5d03f1284b67883e8d87530",),
)
SUBSET = (
    Source(
        "cifar10_subset/data_batch_1.bin.gz",
        (),
        ("sha256:0993cf8b8e43bc207603aef9787006995746513f5e3fa5a52e06d1b069926330",),
        gzip.decompress,
    ),
    Source(
        "cifar10_subset/test_batch.bin.gz",
        (),
        ("sha256:8314c96d7cd65618193bab23acdd5d4c4af15bf6dd00a1781d55beedf3be1ef5",),
        gzip.decompress,
    ),
)
