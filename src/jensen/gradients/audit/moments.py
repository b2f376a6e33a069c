"""Mean and variance of many rows, a chunk at a time."""

import torch
from torch import Tensor

__all__ = ["Moments"]


class Moments:
    r"""Running mean and variance of each column, in double precision, and its largest deviation.

    Attributes:
        count: the number of rows.
        mean: of each column, `(P,)`.
        reach: the largest distance of an entry from it, `(P,)`.

    Example:
        >>> moments = Moments()
        >>> moments.add(torch.tensor([[1.0], [2.0]]))
        >>> moments.add(torch.tensor([[6.0]]))
        >>> moments.mean, moments.variance
        (tensor([3.], dtype=torch.float64), tensor([7.], dtype=torch.float64))

    References:
        | Updating Formulae and a Pairwise Algorithm for Computing Sample Variances (Chan et al., 1979), eq. 2.1
        | http://i.stanford.edu/pub/cstr/reports/cs/tr/79/773/CS-TR-79-773.pdf
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.zeros(0, dtype=torch.float64)
        self._squares = torch.zeros(0, dtype=torch.float64)
        self.reach = torch.zeros(0, dtype=torch.float64)
        self._largest = 0.0

    def add(self, rows: Tensor) -> None:
        """Take in rows `(R, P)`."""
        rows = rows.detach().to("cpu", torch.float64)
        mean = rows.mean(0)
        squares = (rows - mean).square().sum(0)
        if self.count == 0:
            self.count, self.mean, self._squares = len(rows), mean, squares
            self.reach = torch.zeros_like(mean)
        else:
            total = self.count + len(rows)
            apart = mean - self.mean
            self._squares += squares + apart.square() * (self.count * len(rows) / total)
            self.mean = self.mean + apart * (len(rows) / total)
            self.count = total
        deviations = rows - self.mean
        self._largest = max(self._largest, float(deviations.square().sum(-1).max()))
        self.reach = torch.maximum(self.reach, deviations.abs().amax(0))

    @property
    def variance(self) -> Tensor:
        """The unbiased variance of each column, `(P,)`; zero after a single row."""
        return self._squares / max(self.count - 1, 1)

    @property
    def tail(self) -> float:
        """The share of the one farthest row in the total variance."""
        total = float(self._squares.sum())
        return self._largest / total if total > 0 else 0.0

    @property
    def std_error(self) -> Tensor:
        """The standard error of each mean, `(P,)`."""
        return (self.variance / max(self.count, 1)).sqrt()
