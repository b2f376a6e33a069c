"""Permutation matrices, all of them or the nearest one, and the Birkhoff polytope whose vertices they are."""

import itertools

import numpy as np
import torch
from torch import Tensor
from torch.distributions import constraints
from torch.nn.functional import one_hot

__all__ = ["all_permutations", "doubly_stochastic", "nearest_permutation"]

LARGEST_LISTED = 9


class _DoublyStochastic(constraints.Constraint):
    """Square matrices of numbers that are not negative, rows and columns of which sum to one."""

    event_dim = 2

    def check(self, value: Tensor) -> Tensor:
        """Whether each matrix of `(*batch, N, N)` is doubly stochastic, to half the digits of its type."""
        if value.ndim < 2 or value.shape[-1] != value.shape[-2]:
            return value.new_zeros(value.shape[:-2], dtype=torch.bool)
        tolerance = torch.finfo(value.dtype).eps ** 0.5
        positive = (value >= 0).all(-1).all(-1)
        rows, columns = ((value.sum(dim) - 1).abs() <= tolerance for dim in (-1, -2))
        inside: Tensor = positive & rows.all(-1) & columns.all(-1)
        return inside


doubly_stochastic = _DoublyStochastic()
"""The constraint of the Birkhoff polytope: matrices `(*batch, N, N)`, rows and columns of which sum to one."""


def nearest_permutation(x: Tensor) -> Tensor:
    r"""The permutation matrix nearest to each matrix, by the Hungarian algorithm.

    $$\mathrm{round}(X) = \arg\min_P \lVert P - X \rVert^2 = \arg\max_P \sum_{m, n} p_{mn} x_{mn}$$

    It has no gradient: it is constant but for jumps. The work is scipy's, on the CPU, of order $N^3$ a matrix.

    Args:
        x: matrices `(*batch, N, N)`; entries `-inf` are not to be used.

    Returns:
        Zeros and ones of the type of `x`, `(*batch, N, N)`.

    Raises:
        ValueError: if the matrices are not square, hold NaN or `inf`, or no permutation avoids the entries `-inf`.

    Example:
        >>> nearest_permutation(torch.tensor([[0.9, 0.8], [0.7, 0.1]]))
        tensor([[0., 1.],
                [1., 0.]])
    """
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ValueError(f"x has shape {tuple(x.shape)}; expected square matrices (*batch, N, N)")
    from scipy.optimize import linear_sum_assignment

    size = x.shape[-1]
    matrices = x.detach().to("cpu", torch.float64).reshape(-1, size, size).numpy()
    columns = np.empty((len(matrices), size), dtype=np.int64)
    for k, matrix in enumerate(matrices):
        try:
            columns[k] = linear_sum_assignment(matrix, maximize=True)[1]
        except ValueError as error:
            raise ValueError(f"matrix {k} of {len(matrices)} has no nearest permutation: {error}") from error
    index = torch.from_numpy(columns).reshape(x.shape[:-1]).to(x.device)
    return one_hot(index, size).to(x.dtype)


def all_permutations(size: int) -> Tensor:
    """All permutations of `size` things in lexicographic order, a long tensor `(size!, size)`.

    Entry `[k, m]` is the column of the one in row `m`: `one_hot(all_permutations(N), N)` has all the matrices.

    Args:
        size: how many things, from 1 to 9.

    Raises:
        ValueError: if there are no things, or more than 9, of which there are millions of permutations.

    Example:
        >>> all_permutations(3).tolist()
        [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]
    """
    if not 1 <= size <= LARGEST_LISTED:
        raise ValueError(f"size must be from 1 to {LARGEST_LISTED} to list all permutations, got {size}")
    return torch.tensor(list(itertools.permutations(range(size))))
