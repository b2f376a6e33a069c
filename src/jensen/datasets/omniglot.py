"""Omniglot characters at 28x28, as the importance-weighted autoencoder's authors prepared them.

Below `$JENSEN_DATA` the file is `omniglot/chardata.mat`; its checksum is the name that git gives to it in its authors'
repository. `omniglot/chardata_small.mat` is *derived* from the two small background sets of Omniglot (8 of the 50
alphabets; inverted, box-resized to 28x28, drawers 1-15 to train and 16-20 to test). Its numbers are not numbers on
Omniglot.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from jensen._names import check_choice
from jensen.datasets._fetch import Source, fetch
from jensen.datasets._matlab import read_matrices
from jensen.datasets.images import Images, Labels

__all__ = ["load", "load_small"]

VALIDATION = {"omniglot": 1345, "omniglot_small": 200}
FULL = Source(
    "omniglot/chardata.mat",
    ("https://github.com/yburda/iwae/raw/master/datasets/OMNIGLOT/chardata.mat",),
    ("gitblob:016a3536ffe5e1d38e42563a18d7a78bfaf643ec",),
)
SMALL = Source(
    "omniglot/chardata_small.mat",
    (),
    ("sha256:008ea40c1f3ce02583be29252bffaf123f50ba56e7d52aacdd764c615494500c",),
)


def load(*, split: str = "standard") -> Images:
    """Characters of 50 alphabets, 28x28, grey: 24,345 to fit to and choose by, 8,070 to report on.

    Args:
        split: `standard` and `burda` are the same here: the 24,345 are put in the order of
            `numpy.random.RandomState(123).permutation(24345)` and the last 1,345 are kept for validation, as in the
            authors' code.

    Returns:
        The images; the labels are the alphabets 0..49.

    Raises:
        ValueError: if there is no such split, or the file fails its checksum (`CorruptFileError`).
        DownloadError: if the file is neither in `$JENSEN_DATA` nor to be had from its address.

    Example:
        >>> load(split="end")
        Traceback (most recent call last):
        ValueError: unknown split of omniglot 'end'; choose one of: standard, burda

    References:
        | Human-level concept learning through probabilistic program induction (Lake, Salakhutdinov & Tenenbaum, 2015)
        | https://doi.org/10.1126/science.aab3050
        | Importance Weighted Autoencoders (Burda, Grosse & Salakhutdinov, 2016), the file and the split
        | https://github.com/yburda/iwae
    """
    return _load("omniglot", split, FULL)


def load_small(*, split: str = "standard") -> Images:
    """A small set *derived* from Omniglot: 8 alphabets, 3,630 to fit to and choose by, 1,210 to report on.

    It has the format of the full set and another content: never quote its numbers as numbers on Omniglot.

    Args:
        split: `standard` and `burda` are the same here: an order as in `load`, the last 200 for validation.

    Returns:
        The images; the labels are the alphabets 0..7.

    Raises:
        ValueError: if there is no such split, or the file fails its checksum (`CorruptFileError`).
        DownloadError: if the file is not in `$JENSEN_DATA`; it has no public address.

    Example:
        >>> load_small(split="end")
        Traceback (most recent call last):
        ValueError: unknown split of omniglot_small 'end'; choose one of: standard, burda
    """
    return _load("omniglot_small", split, SMALL)


def _load(name: str, split: str, source: Source) -> Images:
    check_choice(f"split of {name}", split, ["standard", "burda"])
    matrices = read_matrices(fetch(source), "data", "target", "testdata", "testtarget")
    fit, fit_labels, test, test_labels = (torch.from_numpy(_rows(matrix)) for matrix in matrices)
    order = torch.from_numpy(np.random.RandomState(123).permutation(len(fit)))
    train, held_out = order[: -VALIDATION[name]], order[-VALIDATION[name] :]
    classes = fit_labels.argmax(1)
    labels = Labels(classes[train], classes[held_out], test_labels.argmax(1))
    return Images(name, _upright(fit[train]), _upright(fit[held_out]), _upright(test), (28, 28), labels)


def _rows(matrix: NDArray[Any]) -> NDArray[np.float32]:
    return np.ascontiguousarray(matrix.T, dtype=np.float32)


def _upright(images: torch.Tensor) -> torch.Tensor:
    """From Matlab's column after column to row after row."""
    return images.reshape(-1, 28, 28).transpose(1, 2).reshape(-1, 784)
