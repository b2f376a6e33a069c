"""Images to a stream and back, by the model that the stream names."""

import zlib
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from jensen.evaluation.coding.ans import Integers, Words
from jensen.evaluation.coding.codec import BitsBack, Coded, Progress
from jensen.evaluation.coding.stream import BLOCK, Header, Stream, checksum

__all__ = ["compress", "decompress"]

MOST_LEVELS = 256
"""Images come back in bytes."""


def compress(
    model: nn.Module,
    images: NDArray[Any],
    *,
    bits: int = 12,
    lanes: int = 1,
    progress: Progress | None = None,
) -> tuple[Stream, Coded]:
    """Code images by a model.

    Args:
        model: as for `BitsBack`.
        images: levels from 0 on, `(N, height, width)` or `(N, height, width, channels)`.
        bits: a latent unit has two to the power of this many bins.
        lanes: how many images pass through the networks together.
        progress: called with the number of images that were coded since its last call.

    Returns:
        What goes to a file, by `Stream.to_bytes`, and what it cost.

    Raises:
        ValueError: if the model cannot code images, or not these, or its pixels have more than 256 levels.

    Example:
        >>> vae = models.VAE(encoder=GaussianMLP(16, (8,), 2), decoder=BernoulliMLP(2, (8,), 16), latent=2)
        >>> images = np.random.default_rng(0).integers(0, 2, (30, 4, 4))
        >>> stream, coded = compress(vae, images)
        >>> restored = decompress(vae, Stream.from_bytes(stream.to_bytes()))
        >>> bool((restored == images).all()), restored.dtype
        (True, dtype('uint8'))
    """
    if images.ndim not in (3, 4):
        raise ValueError(f"images have shape {images.shape}; give (N, height, width) or (N, height, width, channels)")
    shape = tuple(int(size) for size in images.shape[1:])
    codec = BitsBack(model, pixels=prod(shape), bits=bits, lanes=lanes)
    if codec.levels > MOST_LEVELS:
        raise ValueError(f"a stream holds pixels of at most {MOST_LEVELS} levels, this model's have {codec.levels}")
    coded = codec.encode(images.reshape(len(images), -1), progress=progress)
    header = Header(
        model=checksum(model),
        shape=shape,
        count=len(images),
        levels=codec.levels,
        bits=bits,
        lanes=lanes,
        initial=coded.initial,
        moments=coded.moments,
        written=_here(model),
    )
    return Stream(header, coded.words, _checks(images.reshape(len(images), -1))), coded


def decompress(model: nn.Module, stream: Stream, *, progress: Progress | None = None) -> NDArray[np.uint8]:
    """The images of a stream.

    Args:
        model: the one that coded them.
        stream: what `Stream.from_bytes` read.
        progress: called with the number of images that were decoded since its last call.

    Returns:
        Levels, `(N, height, width)` or `(N, height, width, channels)`.

    Raises:
        ValueError: if the model is another one, or gives other numbers here than where the stream was written.
    """
    header = stream.header
    if (found := checksum(model)) != header.model:
        raise ValueError(
            f"the stream was written by the model {header.model[:12]}..., this one is {found[:12]}...; "
            "take the run that compressed it, with the weights it had then"
        )
    codec = BitsBack(model, pixels=prod(header.shape), bits=header.bits, lanes=header.lanes)
    if codec.levels != header.levels:
        raise ValueError(f"the stream has pixels of {header.levels} levels, the model of {codec.levels}")
    groups = codec.decode_groups(stream.words, header.count, initial=header.initial, moments=header.moments)
    images = np.empty((header.count, prod(header.shape)), dtype=np.uint8)
    done = checked = 0
    try:
        for group in groups:
            images[done : done + len(group)] = group
            done += len(group)
            checked = _check_blocks(images[:done], stream.blocks, checked, last=done == header.count)
            if progress is not None:
                progress(len(group))
    except ValueError as error:
        where = f"the stream comes from {header.written}, this is {_here(model)}"
        raise ValueError(f"{error}: the networks give other numbers here than at compression; {where}") from None
    return images.reshape(header.count, *header.shape)


def _check_blocks(images: NDArray[np.uint8], blocks: Words, checked: int, *, last: bool) -> int:
    """Compare the checksums of the blocks that are complete, from the block `checked` on; returns how many are."""
    complete = len(blocks) if last else len(images) // BLOCK
    for block in range(checked, complete):
        if _check(images[block * BLOCK : (block + 1) * BLOCK]) != blocks[block]:
            raise ValueError(
                f"images {block * BLOCK:,} to {min((block + 1) * BLOCK, len(images)) - 1:,} come out wrong"
            )
    return complete


def _checks(images: NDArray[Any] | Integers) -> Words:
    return np.array([_check(images[i : i + BLOCK]) for i in range(0, len(images), BLOCK)], dtype=np.uint32)


def _check(images: NDArray[Any]) -> int:
    return zlib.crc32(np.ascontiguousarray(images, dtype=np.uint8).tobytes())


def _here(model: nn.Module) -> str:
    """The versions and the device that the networks' numbers depend on."""
    device = next((parameter.device.type for parameter in model.parameters()), "cpu")
    return f"torch {torch.__version__.partition('+')[0]} on {device}"
