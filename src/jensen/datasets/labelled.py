"""Images with their classes: the splits of `digits`, `mnist` and `fashion_mnist` as pairs."""

from jensen._contracts import Pairs
from jensen._names import check_choice
from jensen.datasets import digits, mnist
from jensen.datasets.supervised import Supervised

__all__ = ["load"]

LOADERS = {"digits": digits.load, "mnist": mnist.load, "fashion_mnist": mnist.load_fashion}


def load(name: str = "digits", *, split: str = "standard", scale: float = 1.0, channels: bool = False) -> Supervised:
    """Images of ten classes.

    Args:
        name: `digits`, `mnist` or `fashion_mnist`.
        split: `standard` or, for the 28x28 ones, `burda`: 59,600 to fit to, 400 to choose by.
        scale: multiplies the grey levels, which lie in [0, 1]; 255 / 126 divides those of the file by 126.
        channels: inputs `(N, 1, height, width)` for convolutions, in place of rows `(N, pixels)`.

    Raises:
        ValueError: if there is no such data set or split, or a file fails its checksum (`CorruptFileError`).
        DownloadError: if a file is neither in `$JENSEN_DATA` nor to be had from its address.

    Example:
        >>> load("digits", channels=True)
        Supervised('digits', train=1297, validation=200, test=300, inputs=(1, 8, 8), classes=10)
    """
    check_choice("data set of labelled images", name, LOADERS)
    images = LOADERS[name](split=split)
    if images.labels is None:
        raise ValueError(f"{name} has no labels; take one of: {', '.join(LOADERS)}")
    event = (1, *images.shape) if channels else (images.pixels,)
    splits = [
        Pairs((pixels * scale).reshape(-1, *event), classes)
        for pixels, classes in zip((images.train, images.validation, images.test), images.labels, strict=True)
    ]
    return Supervised(name, splits[0], splits[1], splits[2], classes=10, shape=images.shape)
