"""Progression of diabetes in 442 patients, a regression that comes with scikit-learn: no download.

| Least Angle Regression (Efron, Hastie, Johnstone & Tibshirani, 2004), section 1
| https://arxiv.org/abs/math/0406456
"""

import numpy as np
import torch

from jensen._contracts import Pairs
from jensen._names import check_choice
from jensen.datasets.images import in_three
from jensen.datasets.supervised import Supervised, standardised

__all__ = ["load"]

SIZES = (310, 44, 88)


def load(*, split: str = "standard") -> Supervised:
    """Ten measurements of 442 patients and the progression of their disease a year later, standardised.

    Args:
        split: `standard`, the only one: 310 train, 44 validation and 88 test patients, in this order along
            `numpy.random.RandomState(0).permutation(442)`, a stream that numpy keeps frozen.

    Raises:
        ValueError: if there is no such split.

    Example:
        >>> load()
        Supervised('diabetes', train=310, validation=44, test=88, inputs=(10,), regression)

    References:
        | Least Angle Regression (Efron, Hastie, Johnstone & Tibshirani, 2004)
        | https://arxiv.org/abs/math/0406456
    """
    check_choice("split of diabetes", split, ["standard"])
    from sklearn.datasets import load_diabetes

    features, progression = load_diabetes(return_X_y=True, scaled=False)
    order = np.random.RandomState(0).permutation(len(features))
    inputs = in_three(torch.from_numpy(features[order]), SIZES)
    targets = in_three(torch.from_numpy(progression[order]), SIZES)
    train, validation, test = (Pairs(x, y) for x, y in zip(inputs, targets, strict=True))
    return standardised("diabetes", train, validation=validation, test=test)
