"""Variables out of a Matlab file that is held in memory."""

from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["read_matrices"]


def read_matrices(data: bytes, *names: str) -> list[NDArray[Any]]:
    """The named variables of a Matlab file (version 4 to 7.2), in the order asked for.

    Raises:
        ValueError: if one of them is not there or no numeric matrix.
    """
    from scipy.io import loadmat

    variables = loadmat(BytesIO(data), variable_names=names)
    for name in names:
        if name not in variables:
            raise ValueError(f"the Matlab file has no variable {name!r}")
        if variables[name].ndim != 2 or not np.issubdtype(variables[name].dtype, np.number):
            raise ValueError(f"{name!r} must be a numeric matrix, got {variables[name].dtype} {variables[name].shape}")
    return [variables[name] for name in names]
