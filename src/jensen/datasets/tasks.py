"""Every supervised data set by its name."""

from collections.abc import Callable
from functools import partial

from jensen._names import check_choice
from jensen.datasets import diabetes, labelled, mnist, uci
from jensen.datasets._fetch import Source, is_here
from jensen.datasets.supervised import Supervised

__all__ = ["at_hand", "load_supervised", "supervised_names"]

CLASSES = ("digits", "mnist", "fashion_mnist")
LOADERS: dict[str, Callable[..., Supervised]] = {
    **{name: partial(labelled.load, name) for name in CLASSES},
    "diabetes": diabetes.load,
    **{name: partial(uci.load, name) for name in uci.names()},
}

SOURCES: dict[str, Callable[[], list[Source]]] = {
    **{name: partial(mnist.sources, name) for name in ("mnist", "fashion_mnist")},
    **{name: partial(uci.sources, name) for name in uci.names()},
}


def supervised_names() -> list[str]:
    """The names that `load_supervised` knows; `digits` and `diabetes` are there without a download.

    Example:
        >>> supervised_names()[:4]
        ['digits', 'mnist', 'fashion_mnist', 'diabetes']
    """
    return list(LOADERS)


def at_hand(name: str) -> bool:
    """Whether a data set can be had without a download; of the UCI regressions, the first split.

    Args:
        name: one of `supervised_names()`.

    Raises:
        ValueError: if there is no such supervised data set, or `$JENSEN_DATA` is no folder.

    Example:
        >>> at_hand("digits")
        True
    """
    check_choice("supervised data set", name, LOADERS)
    return name not in SOURCES or all(map(is_here, SOURCES[name]()))


def load_supervised(
    name: str = "digits", *, split: str = "standard", scale: float = 1.0, channels: bool = False
) -> Supervised:
    """Pairs of inputs and targets by their name.

    Args:
        name: one of `supervised_names()`.
        split: `standard`, or another that the data set knows: `burda` for MNIST, "0" to "19" for the UCI regressions.
        scale: multiplies grey levels in [0, 1]; only for images.
        channels: inputs `(N, 1, height, width)`; only for images.

    Raises:
        ValueError: if there is no such data set or split, `scale` or `channels` is given for what is no image, or a
            file fails its checksum (`CorruptFileError`).
        DownloadError: if a file is neither in `$JENSEN_DATA` nor to be had from its address.

    Example:
        >>> load_supervised("diabetes")
        Supervised('diabetes', train=310, validation=44, test=88, inputs=(10,), regression)
    """
    check_choice("supervised data set", name, LOADERS)
    if name in CLASSES:
        return LOADERS[name](split=split, scale=scale, channels=channels)
    if scale != 1.0 or channels:
        raise ValueError(f"{name} holds no images; leave out scale and channels, got {scale} and {channels}")
    return LOADERS[name](split=split)
