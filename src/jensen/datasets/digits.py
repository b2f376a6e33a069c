"""Handwritten digits of 8x8 pixels that come with scikit-learn: real data without a download.

| Optical Recognition of Handwritten Digits (Alpaydin & Kaynak, 1998), its test set
| https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits
"""

import numpy as np
import torch

from jensen._names import check_choice
from jensen.datasets.images import Images, Labels, in_three

__all__ = ["load"]

SIZES = (1297, 200, 300)
WHITE = 16


def load(*, split: str = "standard") -> Images:
    """The 1797 digits of scikit-learn, 8x8, grey levels 0..16 divided by 16.

    Args:
        split: `standard`, the only one: 1297 train, 200 validation and 300 test images, in this order along
            `numpy.random.RandomState(0).permutation(1797)`, a stream that numpy keeps frozen.

    Raises:
        ValueError: if there is no such split.

    Example:
        >>> load()
        Images('digits', train=1297, validation=200, test=300, shape=(8, 8), labels=True)

    References:
        | Optical Recognition of Handwritten Digits (Alpaydin & Kaynak, 1998)
        | https://doi.org/10.24432/C50P49
    """
    check_choice("split of digits", split, ["standard"])
    from sklearn.datasets import load_digits

    grey, classes = load_digits(return_X_y=True)
    order = np.random.RandomState(0).permutation(len(grey))
    train, validation, test = in_three(torch.from_numpy((grey[order] / WHITE).astype(np.float32)), SIZES)
    labels = Labels(*in_three(torch.from_numpy(classes[order].astype(np.int64)), SIZES))
    return Images("digits", train, validation, test, (8, 8), labels)
