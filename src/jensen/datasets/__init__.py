"""Real images with fixed splits and checksums, binarisation, and synthetic worlds with known answers."""

from jensen.datasets import binarized_mnist, celegans, digits, frey, mnist, omniglot, pima, synthetic, targets, worms
from jensen.datasets._fetch import CorruptFileError, DownloadError
from jensen.datasets.binarize import DynamicBinarization, binarize, fixed_binarization
from jensen.datasets.images import Images, Labels
from jensen.datasets.registry import load, names

__all__ = [
    "CorruptFileError",
    "DownloadError",
    "DynamicBinarization",
    "Images",
    "Labels",
    "binarize",
    "binarized_mnist",
    "celegans",
    "digits",
    "fixed_binarization",
    "frey",
    "load",
    "mnist",
    "names",
    "omniglot",
    "pima",
    "synthetic",
    "targets",
    "worms",
]
