"""MNIST and Fashion-MNIST from their original files in the idx format.

Below `$JENSEN_DATA` the four files lie in `mnist/` and `fashion_mnist/` under their published names.
"""

import gzip
import math
import zlib
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from jensen._names import check_choice
from jensen.datasets._fetch import Source, fetch
from jensen.datasets.images import Images, Labels

__all__ = ["load", "load_fashion", "read_idx", "sources"]

VALIDATION = {"standard": 10_000, "burda": 400}

MNIST_ADDRESSES = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/")
MNIST_FILES = {
    "train-images-idx3-ubyte.gz": "sha256:440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "sha256:3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "sha256:8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "sha256:f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}

FASHION_ADDRESSES = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
)
FASHION_FILES = {
    "train-images-idx3-ubyte.gz": "sha256:3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte.gz": "sha256:a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte.gz": "sha256:346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte.gz": "sha256:67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}


def load(*, split: str = "standard") -> Images:
    """Handwritten digits of 28x28 pixels: 60,000 to fit to and choose by, 10,000 to report on.

    Args:
        split: where the 60,000 are cut, in the order of the file: `standard` keeps the last 10,000 for validation,
            `burda` the last 400, as the importance-weighted autoencoder's authors did.

    Raises:
        ValueError: if there is no such split, or a file fails its checksum (`CorruptFileError`).
        DownloadError: if a file is neither in `$JENSEN_DATA` nor to be had from its address.

    Example:
        >>> load(split="bruda")
        Traceback (most recent call last):
        ValueError: unknown split of mnist 'bruda'; did you mean 'burda'? Choose one of: standard, burda

    References:
        | Gradient-Based Learning Applied to Document Recognition (LeCun, Bottou, Bengio & Haffner, 1998)
        | https://doi.org/10.1109/5.726791
        | Importance Weighted Autoencoders (Burda, Grosse & Salakhutdinov, 2016), the split `burda`
        | https://github.com/yburda/iwae
    """
    return _load("mnist", split, MNIST_ADDRESSES, MNIST_FILES)


def load_fashion(*, split: str = "standard") -> Images:
    """Pictures of clothes in the format and the sizes of MNIST, ten classes.

    Args:
        split: `standard` or `burda`, as in `load`.

    Raises:
        ValueError: if there is no such split, or a file fails its checksum (`CorruptFileError`).
        DownloadError: if a file is neither in `$JENSEN_DATA` nor to be had from its addresses.

    Example:
        >>> load_fashion(split="half")
        Traceback (most recent call last):
        ValueError: unknown split of fashion_mnist 'half'; choose one of: standard, burda

    References:
        | Fashion-MNIST: a Novel Image Dataset for Benchmarking (Xiao, Rasul & Vollgraf, 2017)
        | https://arxiv.org/abs/1708.07747
    """
    return _load("fashion_mnist", split, FASHION_ADDRESSES, FASHION_FILES)


def sources(name: str) -> list[Source]:
    """The four files of `mnist` or `fashion_mnist`.

    Raises:
        ValueError: if it is neither.

    Example:
        >>> [source.path for source in sources("mnist")][1]
        'mnist/train-labels-idx1-ubyte.gz'
    """
    known = {"mnist": (MNIST_ADDRESSES, MNIST_FILES), "fashion_mnist": (FASHION_ADDRESSES, FASHION_FILES)}
    check_choice("data set of idx files", name, known)
    return _sources(name, *known[name])


def read_idx(data: bytes) -> NDArray[np.uint8]:
    """The array of unsigned bytes in a gzipped idx file.

    An idx file is a magic number (two zero bytes, the type 8 for bytes, the number of axes), the length of every axis
    as a big-endian 32-bit integer, and the values, the last axis fastest.

    Args:
        data: the bytes of the `.gz` file.

    Raises:
        ValueError: if the bytes are no gzip, the magic number is another one, or there are more or fewer values than
            the lengths say.

    Example:
        >>> read_idx(gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 3, 5, 0, 4])))
        array([5, 0, 4], dtype=uint8)
    """
    try:
        raw = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"no whole gzip file ({error}); fetch it again") from error
    if len(raw) < 4 or raw[:3] != b"\0\0\x08":
        raise ValueError(f"no idx file of bytes: it begins with {raw[:4].hex()}, expected 000008 and the axes' number")
    start = 4 + 4 * raw[3]
    shape = tuple(int.from_bytes(raw[i : i + 4], "big") for i in range(4, start, 4))
    values = np.frombuffer(raw[start:], dtype=np.uint8)
    if len(raw) < start or values.size != math.prod(shape):
        raise ValueError(f"an idx file of shape {shape} holds {values.size} values; it is cut short or too long")
    return values.reshape(shape)


def _load(name: str, split: str, addresses: tuple[str, ...], files: dict[str, str]) -> Images:
    check_choice(f"split of {name}", split, VALIDATION)
    fit, fit_labels, test, test_labels = (read_idx(fetch(each)) for each in _sources(name, addresses, files))
    cut = len(fit) - VALIDATION[split]
    pixels, classes = _grey(fit), _classes(fit_labels)
    labels = Labels(classes[:cut], classes[cut:], _classes(test_labels))
    return Images(name, pixels[:cut], pixels[cut:], _grey(test), (fit.shape[1], fit.shape[2]), labels)


def _sources(name: str, addresses: tuple[str, ...], files: dict[str, str]) -> list[Source]:
    return [
        Source(f"{name}/{file}", tuple(address + file for address in addresses), (checksum,))
        for file, checksum in files.items()
    ]


def _grey(images: NDArray[np.uint8]) -> torch.Tensor:
    values: NDArray[Any] = images.reshape(len(images), math.prod(images.shape[1:])).astype(np.float32)
    return torch.from_numpy(values).div_(255)


def _classes(labels: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(labels.astype(np.int64))
