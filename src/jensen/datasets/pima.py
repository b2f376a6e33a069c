"""Diabetes among 532 women of Pima heritage: whether they have it, and seven standardised measurements.

Below `$JENSEN_DATA` the file is `evidence/pima_indian.dat`: the complete rows of `Pima.tr` and `Pima.te` in Ripley's
`MASS`, standardised with divisor $n - 1$, as the authors of the learnt harmonic mean published it. No licence is stated
for the data.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from jensen.datasets._fetch import Source, fetch

__all__ = ["Pima", "load", "read_table"]

FEATURES = ("pregnancies", "glucose", "pressure", "skin", "mass", "pedigree", "age")
SOURCE = Source(
    "evidence/pima_indian.dat",
    (
        "https://raw.githubusercontent.com/astro-informatics/harmonic/"
        "dbb9feab66a71224a67b001314b926247abb2af3/examples/data/pima_indian.dat",
        "https://raw.githubusercontent.com/astro-informatics/harmonic/main/examples/data/pima_indian.dat",
    ),
    ("sha256:abc9d4165888b55f4042237a0b93703aa82237e24864f329453c63753e5a1e0b",),
)


class Pima(NamedTuple):
    """The women and their measurements, in float64.

    Attributes:
        diabetic: 1 for diabetes, else 0, `(N,)`.
        features: columns of mean 0 and variance 1, `(N, 7)`, named in `names`.
        names: pregnancies, glucose, pressure, skin, mass, pedigree, age.
    """

    diabetic: Tensor
    features: Tensor
    names: tuple[str, ...] = FEATURES


def load() -> Pima:
    """The 532 women: from `$JENSEN_DATA`, else the cache, else the public address, checksum verified.

    Raises:
        ValueError: if the file fails its checksum (`CorruptFileError`).
        DownloadError: if the file is neither in `$JENSEN_DATA` nor to be had from its address.

    References:
        | Using the ADAP Learning Algorithm to Forecast the Onset of Diabetes Mellitus (Smith et al., 1988)
        | https://pmc.ncbi.nlm.nih.gov/articles/PMC2245318/
        | Machine Learning Assisted Bayesian Model Comparison: Learnt Harmonic Mean Estimator (McEwen et al., 2021)
        | https://arxiv.org/abs/2111.12720
    """
    return read_table(fetch(SOURCE))


def read_table(data: bytes) -> Pima:
    r"""The women in a table of eight numbers a row: 0 or 1, then the seven measurements.

    Raises:
        ValueError: if a row has another length, holds no number, or begins with neither 0 nor 1.

    Example:
        >>> read_table(b"1.0 0.7 0.8 0.0 0.5 0.1 0.3 1.7\n").diabetic
        tensor([1.], dtype=torch.float64)
    """
    rows = [[float(word) for word in line.split()] for line in data.decode("ascii").splitlines() if line.strip()]
    width = 1 + len(FEATURES)
    if not rows or any(len(row) != width or row[0] not in {0.0, 1.0} for row in rows):
        raise ValueError(f"a table of Pima women has {width} numbers a row, the first of them 0 or 1")
    table = torch.tensor(rows, dtype=torch.float64)
    return Pima(table[:, 0], table[:, 1:])
