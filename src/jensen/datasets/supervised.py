"""What every supervised data set is: three splits of inputs and targets, and how they were standardised."""

from dataclasses import dataclass

import torch
from torch import Tensor

from jensen._contracts import Pairs

__all__ = ["Standardisation", "Supervised", "standardised"]

ROUNDING = 1e-6
"""A standard deviation below so much of the largest value is taken for none."""


@dataclass(frozen=True, eq=False)
class Standardisation:
    r"""The map $x \mapsto (x - m) / s$ to mean 0 and variance 1, and its inverse.

    Attributes:
        mean: $m$, `(D,)` for inputs and `()` for targets.
        scale: $s$, of the same shape; 1 where all values were equal.

    Example:
        >>> unit = Standardisation.of(torch.tensor([[1.0, 5.0], [3.0, 5.0]]))
        >>> unit(torch.tensor([[4.0, 5.0]]))
        tensor([[2., 0.]])
        >>> unit.undo(torch.tensor([[2.0, 0.0]]))
        tensor([[4., 5.]])
    """

    mean: Tensor
    scale: Tensor

    @staticmethod
    def of(values: Tensor) -> "Standardisation":
        """Mean and standard deviation (divisor $N$) over the first axis; a column without spread has scale 1."""
        spread = values.std(0, correction=0)
        varies = spread > ROUNDING * values.abs().amax(0)
        return Standardisation(values.mean(0), torch.where(varies, spread, torch.ones_like(spread)))

    def __call__(self, values: Tensor) -> Tensor:
        """Standardised values."""
        return (values - self.mean) / self.scale

    def undo(self, values: Tensor) -> Tensor:
        """Values in their own units."""
        return values * self.scale + self.mean


@dataclass(frozen=True, eq=False, repr=False)
class Supervised:
    """Inputs and targets in three splits.

    Attributes:
        name: what the data are called.
        train: the pairs to fit to, inputs `(N, *event)`, targets long classes `(N,)` or floats `(N,)`.
        validation: the pairs to choose by.
        test: the pairs to report on.
        classes: how many classes there are; `None` for regression.
        shape: of the picture that an input is, `(height, width)`; `(D,)` where it is none.
        inputs: how the inputs were standardised, by the training split; `None` where they were not.
        targets: likewise the targets of a regression.

    Raises:
        ValueError: if a split is empty, holds NaN or infinity, has other inputs than the first, or a target that is no
            class.

    Example:
        >>> pairs = Pairs(torch.zeros(5, 4), torch.tensor([0, 1, 2, 1, 0]))
        >>> Supervised("tiny", pairs, pairs, pairs, classes=3, shape=(2, 2))
        Supervised('tiny', train=5, validation=5, test=5, inputs=(4,), classes=3)
    """

    name: str
    train: Pairs
    validation: Pairs
    test: Pairs
    classes: int | None = None
    shape: tuple[int, ...] = ()
    inputs: Standardisation | None = None
    targets: Standardisation | None = None

    def __post_init__(self) -> None:
        """Check every split once, so that nobody downstream has to."""
        event = self.train.inputs.shape[1:]
        for split in ("train", "validation", "test"):
            pairs: Pairs = getattr(self, split)
            where = f"{self.name}: {split}"
            if len(pairs) == 0:
                raise ValueError(f"{where} holds no pair; give at least one")
            if pairs.inputs.shape[1:] != event:
                found = tuple(pairs.inputs.shape[1:])
                raise ValueError(f"{where} inputs have shape {found}, those of the training split {tuple(event)}")
            _check_targets(where, pairs, self.classes)

    def __repr__(self) -> str:
        """The sizes, not the numbers."""
        sizes = f"train={len(self.train)}, validation={len(self.validation)}, test={len(self.test)}"
        kind = f"classes={self.classes}" if self.classes else "regression"
        return f"Supervised({self.name!r}, {sizes}, inputs={tuple(self.train.inputs.shape[1:])}, {kind})"

    def first(self, count: int) -> "Supervised":
        """The first `count` pairs of every split, standardised as before.

        Raises:
            ValueError: if `count` is below one.
        """
        if count < 1:
            raise ValueError(f"count must be at least 1, got {count}")
        part = slice(count)
        return Supervised(
            self.name,
            self.train[part],
            self.validation[part],
            self.test[part],
            self.classes,
            self.shape,
            self.inputs,
            self.targets,
        )


def standardised(name: str, train: Pairs, *, validation: Pairs, test: Pairs) -> Supervised:
    """A float32 regression: inputs `(N, D)` and targets `(N,)` of mean 0 and variance 1 over the training split.

    Args:
        name: what the data are called.
        train: the pairs that means and scales are taken from.
        validation: the pairs to choose by.
        test: the pairs to report on.

    Example:
        >>> pairs = Pairs(torch.tensor([[1.0], [3.0]]), torch.tensor([10.0, 30.0]))
        >>> standardised("line", pairs, validation=pairs, test=pairs).train.targets
        tensor([-1.,  1.])
    """
    inputs, targets = Standardisation.of(train.inputs), Standardisation.of(train.targets)
    splits = [_float32(inputs(pairs.inputs), targets(pairs.targets)) for pairs in (train, validation, test)]
    shape = tuple(train.inputs.shape[1:])
    return Supervised(name, splits[0], splits[1], splits[2], shape=shape, inputs=inputs, targets=targets)


def _float32(inputs: Tensor, targets: Tensor) -> Pairs:
    return Pairs(inputs.float(), targets.float())


def _check_targets(where: str, pairs: Pairs, classes: int | None) -> None:
    finite = [torch.isfinite(values).all() for values in (pairs.inputs, pairs.targets)]
    if not all(map(bool, finite)):
        raise ValueError(f"{where} holds NaN or infinity; clean the data first")
    if classes is None:
        return
    if pairs.targets.dtype != torch.int64 or pairs.targets.ndim != 1:
        found = f"{pairs.targets.dtype} {tuple(pairs.targets.shape)}"
        raise ValueError(f"{where} targets must be one int64 class an input, got {found}")
    low, high = int(pairs.targets.min()), int(pairs.targets.max())
    if low < 0 or high >= classes:
        raise ValueError(f"{where} targets must lie in 0..{classes - 1}, got {low}..{high}")
