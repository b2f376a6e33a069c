"""Every data set of images by its name."""

from jensen._names import check_choice
from jensen.datasets import binarized_mnist, cifar10, digits, frey, mnist, omniglot
from jensen.datasets.images import Images

__all__ = ["load", "names"]

LOADERS = {
    "digits": digits.load,
    "mnist": mnist.load,
    "fashion_mnist": mnist.load_fashion,
    "binarized_mnist": binarized_mnist.load,
    "omniglot": omniglot.load,
    "omniglot_small": omniglot.load_small,
    "frey": frey.load,
    "cifar10": cifar10.load,
    "cifar10_subset": cifar10.load_subset,
}


def names() -> list[str]:
    """The names that `load` knows; `digits` is there without a download.

    Example:
        >>> names()[:5]
        ['digits', 'mnist', 'fashion_mnist', 'binarized_mnist', 'omniglot']
    """
    return list(LOADERS)


def load(name: str = "digits", *, split: str = "standard") -> Images:
    """A data set by its name: from `$JENSEN_DATA`, else the cache, else its public address, checksums verified.

    Args:
        name: one of `names()`.
        split: `standard`, or another one that the data set's own `load` describes, such as `burda` for MNIST.

    Raises:
        ValueError: if there is no such data set or split, or a file fails its checksum (`CorruptFileError`).
        DownloadError: if a file is neither in `$JENSEN_DATA` nor to be had from its address.

    Example:
        >>> load("digits").train.shape
        torch.Size([1297, 64])
    """
    check_choice("data set", name, LOADERS)
    return LOADERS[name](split=split)
