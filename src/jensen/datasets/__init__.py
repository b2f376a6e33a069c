"""Real images with fixed splits and checksums, binarisation, and synthetic worlds with known answers."""

from jensen._contracts import Pairs
from jensen.datasets import (
    binarized_mnist,
    celegans,
    cifar10,
    diabetes,
    digits,
    frey,
    labelled,
    mnist,
    omniglot,
    pima,
    sprites,
    synthetic,
    targets,
    uci,
    worms,
)
from jensen.datasets._fetch import CorruptFileError, DownloadError
from jensen.datasets.binarize import DynamicBinarization, binarize, fixed_binarization
from jensen.datasets.images import Images, Labels
from jensen.datasets.registry import load, names
from jensen.datasets.supervised import Standardisation, Supervised
from jensen.datasets.tasks import at_hand, load_supervised, supervised_names

__all__ = [
    "CorruptFileError",
    "DownloadError",
    "DynamicBinarization",
    "Images",
    "Labels",
    "Pairs",
    "Standardisation",
    "Supervised",
    "at_hand",
    "binarize",
    "binarized_mnist",
    "celegans",
    "cifar10",
    "diabetes",
    "digits",
    "fixed_binarization",
    "frey",
    "labelled",
    "load",
    "load_supervised",
    "mnist",
    "names",
    "omniglot",
    "pima",
    "sprites",
    "supervised_names",
    "synthetic",
    "targets",
    "uci",
    "worms",
]
