"""MNIST binarised once and for all: the same black and white pixels in every paper.

Below `$JENSEN_DATA` the files are `binarized_mnist/binarized_mnist_{train,valid,test}.amat`, plain or gzipped; the
checksum is of the plain text.
"""

import gzip

import numpy as np
import torch
from numpy.typing import NDArray

from jensen._names import check_choice
from jensen.datasets._fetch import Source, fetch
from jensen.datasets.images import Images

__all__ = ["load", "read_amat", "unzipped"]

ADDRESS = "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/"
FILES = {
    "binarized_mnist_train.amat": "sha256:ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d",
    "binarized_mnist_valid.amat": "sha256:1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2",
    "binarized_mnist_test.amat": "sha256:e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c",
}


def load(*, split: str = "standard") -> Images:
    """Larochelle's static binarisation of MNIST, 28x28, every pixel 0 or 1; no labels.

    It costs about 2 nats beside a binarisation that is drawn anew on every use, because a model can learn this one draw
    by heart; so numbers on the two are not comparable.

    Args:
        split: `standard`, the only one: 50,000 train, 10,000 validation, 10,000 test images, each split a file.

    Raises:
        ValueError: if there is no such split, or a file fails its checksum (`CorruptFileError`).
        DownloadError: if a file is neither in `$JENSEN_DATA` nor to be had from its address.

    Example:
        >>> load(split="burda")
        Traceback (most recent call last):
        ValueError: unknown split of binarized_mnist 'burda'; choose one of: standard

    References:
        | On the Quantitative Analysis of Deep Belief Networks (Salakhutdinov & Murray, 2008)
        | https://doi.org/10.1145/1390156.1390266
        | The Neural Autoregressive Distribution Estimator (Larochelle & Murray, 2011)
        | https://proceedings.mlr.press/v15/larochelle11a.html
    """
    check_choice("split of binarized_mnist", split, ["standard"])
    train, validation, test = (_read(file, checksum) for file, checksum in FILES.items())
    return Images("binarized_mnist", train, validation, test, (28, 28))


def read_amat(text: bytes, *, columns: int) -> NDArray[np.uint8]:
    r"""Zeros and ones of an `.amat` text: `columns` digits a line, one blank between two.

    Raises:
        ValueError: if the text is empty or is anything else, wherever it is.

    Example:
        >>> read_amat(b"0 1 1\n1 0 0\n", columns=3)
        array([[0, 1, 1],
               [1, 0, 0]], dtype=uint8)
    """
    if not text or len(text) % (2 * columns):
        raise ValueError(f"no .amat text: {len(text)} bytes are no whole number of lines of {columns} digits")
    pairs = np.frombuffer(text, dtype=np.uint8).reshape(-1, columns, 2)
    digits, separators = pairs[..., 0] - ord("0"), pairs[..., 1]
    wrong = (digits > 1).any() or (separators[:, :-1] != ord(" ")).any() or (separators[:, -1] != ord("\n")).any()
    if wrong:
        raise ValueError(f"no .amat text: expected lines of {columns} digits 0 or 1 with one blank between two")
    return digits


def unzipped(data: bytes) -> bytes:
    """The bytes themselves, or what is in them if they are a gzip file.

    Raises:
        OSError: if they begin as a gzip file and go on as something else.
        EOFError: if they are a gzip file that is cut short.

    Example:
        >>> unzipped(b"0 1"), unzipped(gzip.compress(b"0 1"))
        (b'0 1', b'0 1')
    """
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def _read(file: str, checksum: str) -> torch.Tensor:
    source = Source(f"binarized_mnist/{file}", (ADDRESS + file,), (checksum,), unzipped)
    return torch.from_numpy(read_amat(fetch(source), columns=784).astype(np.float32))
