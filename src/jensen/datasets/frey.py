"""Frey faces: 1965 frames of one man's face, 28x20, filmed in sequence.

Below `$JENSEN_DATA` the file is `frey/frey_rawface.mat`. No checksum of the published file is known, and copies in
other containers are about; so the contents are verified: the 1965x560 pixels of the variable `ff`, which agree in two
independent copies of the data. No licence is stated.
"""

import numpy as np
import torch

from jensen._names import check_choice
from jensen.datasets._fetch import Source, fetch
from jensen.datasets._matlab import read_matrices
from jensen.datasets.images import Images, in_three

__all__ = ["load", "read_faces"]

SIZES = (1565, 200, 200)
SHAPE = (28, 20)


def load(*, split: str = "standard") -> Images:
    """The 1965 Frey faces, 28x20, grey levels 0..255 divided by 255; no labels.

    The frames follow each other in a film, so a frame and its neighbour hardly differ. Drawn at random, as is the
    custom, held-out frames have near twins in the training set; `contiguous` holds out the end of the film instead.

    Args:
        split: 1565 train, 200 validation and 200 test images, in this order along
            `numpy.random.RandomState(0).permutation(1965)` for `standard`, along the film for `contiguous`.

    Raises:
        ValueError: if there is no such split, or the pixels fail their checksum (`CorruptFileError`).
        DownloadError: if the file is neither in `$JENSEN_DATA` nor to be had from its address.

    Example:
        >>> load(split="random")
        Traceback (most recent call last):
        ValueError: unknown split of frey 'random'; choose one of: standard, contiguous

    References:
        | Nonlinear Dimensionality Reduction by Locally Linear Embedding (Roweis & Saul, 2000)
        | https://doi.org/10.1126/science.290.5500.2323
        | VAE with a VampPrior (Tomczak & Welling, 2018), the sizes of the split
        | https://arxiv.org/abs/1705.07120
    """
    check_choice("split of frey", split, ["standard", "contiguous"])
    faces = np.frombuffer(fetch(SOURCE), dtype=np.uint8).reshape(-1, SHAPE[0] * SHAPE[1])
    order = np.random.RandomState(0).permutation(len(faces)) if split == "standard" else np.arange(len(faces))
    train, validation, test = in_three(torch.from_numpy(faces[order].astype(np.float32)).div_(255), SIZES)
    return Images("frey", train, validation, test, SHAPE)


def read_faces(data: bytes) -> bytes:
    """The pixels in a Matlab file of Frey faces, image after image, row after row.

    Args:
        data: the bytes of the `.mat` file, whose variable `ff` is a matrix of bytes `(560, N)`, one image a column.

    Raises:
        ValueError: if there is no such matrix.

    Example:
        >>> from io import BytesIO
        >>> from scipy.io import savemat
        >>> savemat(file := BytesIO(), {"ff": np.full((560, 2), 7, dtype=np.uint8)})
        >>> read_faces(file.getvalue()) == bytes([7]) * 1120
        True
    """
    (faces,) = read_matrices(data, "ff")
    if faces.dtype != np.uint8 or faces.shape[0] != SHAPE[0] * SHAPE[1]:
        raise ValueError(f"'ff' must be uint8 of shape (560, N), got {faces.dtype} {faces.shape}")
    return faces.T.tobytes()


SOURCE = Source(
    "frey/frey_rawface.mat",
    ("https://cs.nyu.edu/~roweis/data/frey_rawface.mat",),
    ("sha256:2438ba4f0d2a6bd8bac43de756141eaa33c8d248dd613d464bdb1210d9b7af78",),
    read_faces,
)
