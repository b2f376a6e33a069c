"""What other lossless coders make of the same images.

| coder | settings |
|---|---|
| PNG | Pillow, `optimize`, one bit a pixel where that is enough |
| WebP | Pillow, lossless, method 6, quality 100 |
| gzip, bz2 | level 9 |
| xz | preset 9, extreme |
| zstd | level 22 |

Each is given the images one by one, and all of them in one file: the picture formats a strip, image below image, or a
square sheet, the others a byte for each pixel or, where pixels are binary, eight pixels in a byte. The shortest counts.
"""

import bz2
import gzip
import io
import lzma
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from math import ceil, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jensen._names import check_choice

__all__ = ["PEERS", "Peer", "weigh_peer"]

PEERS = ("PNG", "WebP", "gzip", "bz2", "xz", "zstd")
"""The coders that images are weighed with."""

PICTURES: dict[str, dict[str, Any]] = {
    "PNG": {"optimize": True},
    "WebP": {"lossless": True, "method": 6, "quality": 100},
}
LONGEST_SIDE = {"PNG": 1 << 30, "WebP": 16383}

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Peer:
    """What one coder makes of a set of images.

    Attributes:
        name: of the coder.
        apart: bits of all images, each a file of its own.
        together: bits of one file with all images.
        apart_as: in which form the images were given one by one: `bits`, `bytes` or `picture`.
        together_as: in which form they were given in one file: `bits`, `bytes`, `strip` or `sheet`.
    """

    name: str
    apart: int
    together: int
    apart_as: str
    together_as: str


def weigh_peer(name: str, images: NDArray[Any], *, levels: int) -> Peer:
    """The length of images by another coder.

    Args:
        name: one of `PEERS`.
        images: levels from 0 to `levels` - 1, `(N, height, width)` or `(N, height, width, channels)` of 3 channels.
        levels: how many levels a pixel has, at most 256.

    Raises:
        ValueError: if there are more than 256 levels or no such coder.
        ModuleNotFoundError: if `zstandard` or `pillow` is absent.

    Example:
        >>> weigh_peer("gzip", np.zeros((3, 4, 4), np.uint8), levels=2)
        Peer(name='gzip', apart=528, together=184, apart_as='bits', together_as='bits')
    """
    if not 2 <= levels <= 256:
        raise ValueError(f"other coders are given pixels of 2 to 256 levels, got {levels}")
    check_choice("coder", name, PEERS)
    pixels = images.astype(np.uint8)
    if name in PICTURES:
        return _picture_peer(name, _picture_coder(name, binary=levels == 2), pixels)
    return _general_peer(name, _coder(name), pixels.reshape(len(pixels), -1), binary=levels == 2)


def _general_peer(name: str, code: Callable[[bytes], bytes], rows: Bytes, *, binary: bool) -> Peer:
    forms = {"bytes": rows, **({"bits": np.packbits(rows, axis=1)} if binary else {})}
    apart = {form: sum(len(code(row.tobytes())) for row in given) for form, given in forms.items()}
    together = {form: len(code(given.tobytes())) for form, given in forms.items()}
    return _best(name, apart, together)


def _picture_peer(name: str, code: Callable[[Bytes], bytes], images: Bytes) -> Peer:
    apart = sum(len(code(image)) for image in images)
    layouts = {form: picture for form, picture in _layouts(images) if max(picture.shape[:2]) <= LONGEST_SIDE[name]}
    together = {form: len(code(picture)) for form, picture in layouts.items()}
    return _best(name, {"picture": apart}, together or {"picture": apart})


def _best(name: str, apart: dict[str, int], together: dict[str, int]) -> Peer:
    alone, all_in_one = min(apart, key=apart.__getitem__), min(together, key=together.__getitem__)
    return Peer(name, 8 * apart[alone], 8 * together[all_in_one], alone, all_in_one)


def _layouts(images: Bytes) -> Iterator[tuple[str, Bytes]]:
    """All images in one picture, the empty places of the sheet zero."""
    count, height, width = images.shape[:3]
    yield "strip", images.reshape(count * height, width, *images.shape[3:])
    columns = ceil(sqrt(count * height / width))
    rows = ceil(count / columns)
    sheet = np.zeros((rows * columns, *images.shape[1:]), dtype=np.uint8)
    sheet[:count] = images
    sheet = sheet.reshape(rows, columns, *images.shape[1:]).swapaxes(1, 2)
    yield "sheet", sheet.reshape(rows * height, columns * width, *images.shape[3:])


def _picture_coder(name: str, *, binary: bool) -> Callable[[Bytes], bytes]:
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{name} needs the package pillow: pip install jensen[compress]") from error

    def code(picture: Bytes) -> bytes:
        image = Image.fromarray(picture * 255 if binary else picture)
        if binary and name == "PNG":
            image = image.convert("1")
        file = io.BytesIO()
        image.save(file, name, **PICTURES[name])
        return file.getvalue()

    return code


def _coder(name: str) -> Callable[[bytes], bytes]:
    if name == "zstd":
        try:
            import zstandard
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError("zstd needs the package zstandard: pip install jensen[compress]") from error
        return zstandard.ZstdCompressor(level=22).compress
    coders: dict[str, Callable[[bytes], bytes]] = {
        "gzip": partial(gzip.compress, compresslevel=9, mtime=0),
        "bz2": partial(bz2.compress, compresslevel=9),
        "xz": _xz,
    }
    return coders[name]


def _xz(content: bytes) -> bytes:
    """With a dictionary no larger than the content, which is as good and for a small one a thousand times faster."""
    size = min(max(len(content), 1 << 12), 1 << 26)
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": size}]
    return lzma.compress(content, format=lzma.FORMAT_XZ, filters=filters)
