r"""The bytes of a compressed set of images, and what is refused.

| bytes | what |
|---|---|
| 8 | magic, with line ends that a transfer in text mode would damage |
| 8 | length of everything, so that a truncated stream is known as one |
| 4 | length of the header |
| | header: JSON, deflated with the dictionary `USUAL` |
| 4 each | CRC-32 of every `BLOCK` images' levels |
| 4 each | words of the stack, the topmost last |
| 4 | CRC-32 of everything above |

Numbers are unsigned and little-endian. The header names the model by the SHA-256 of its weights. Nothing is unpickled.
"""

import base64
import hashlib
import json
import struct
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from jensen.evaluation.coding.ans import Words
from jensen.evaluation.coding.chain import Moments

__all__ = ["BLOCK", "Header", "Stream", "checksum"]

BLOCK = 512
"""So many images share a checksum; a wrong one ends decompression."""

MAGIC = b"\x89JBITS\r\n"
LENGTHS = struct.Struct("<QI")
LONGEST_HEADER = 1 << 24
USUAL = (
    b'"written":"torch 2.13.0 on cuda"}"written":"torch 2.13.0 on cpu"}'
    b'"shape":[28,28],"count":10000,"levels":256,"levels":2,"bits":12,"lanes":1,"initial":9,"moments":[],{"model":"'
)
"""What most headers are made of: a dictionary for deflate, part of the format."""


@dataclass(frozen=True)
class Header:
    """What a decoder has to know besides the model.

    Attributes:
        model: SHA-256 of the weights, 64 hexadecimal digits.
        shape: `(height, width)` or `(height, width, channels)` of an image.
        count: how many images there are.
        levels: how many levels a pixel has.
        bits: a latent unit has two to the power of this many bins.
        lanes: how many images pass through the networks together.
        initial: how many words lay on the stack before the first image.
        moments: where the units lie of every layer whose bins are fitted to the images.
        written: by which versions and on which device, in words.
    """

    model: str
    shape: tuple[int, ...]
    count: int
    levels: int
    bits: int
    lanes: int
    initial: int
    moments: tuple[Moments, ...]
    written: str


@dataclass(frozen=True, eq=False)
class Stream:
    """A header, a stack and a checksum of every block of images.

    Attributes:
        header: what a decoder has to know.
        words: the stack, `(n,)`.
        blocks: CRC-32 of every `BLOCK` images, `(ceil(count / BLOCK),)`.

    Example:
        >>> header = Header("0" * 64, (2, 2), 3, 2, 12, 1, 1, (), "torch 2.6 on cpu")
        >>> stream = Stream(header, np.array([7], np.uint32), np.array([1], np.uint32))
        >>> Stream.from_bytes(stream.to_bytes()).header == header
        True
        >>> Stream.from_bytes(stream.to_bytes()[:-1])
        Traceback (most recent call last):
        ValueError: the stream is truncated: it has 59 of 60 bytes
    """

    header: Header
    words: Words
    blocks: Words

    def to_bytes(self) -> bytes:
        """The file."""
        packer = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=USUAL)
        header = packer.compress(json.dumps(_plain(self.header), separators=(",", ":")).encode()) + packer.flush()
        arrays = [np.ascontiguousarray(each, dtype="<u4").tobytes() for each in (self.blocks, self.words)]
        body = b"".join([header, *arrays])
        total = len(MAGIC) + LENGTHS.size + len(body) + 4
        content = MAGIC + LENGTHS.pack(total, len(header)) + body
        return content + struct.pack("<I", zlib.crc32(content))

    @staticmethod
    def from_bytes(content: bytes) -> "Stream":
        """What `to_bytes` wrote.

        Raises:
            ValueError: if it is no such stream, truncated, damaged, or longer than it says.
        """
        start = len(MAGIC) + LENGTHS.size
        if content[: len(MAGIC)] != MAGIC:
            raise ValueError("this is no stream of `jensen compress`, or its first bytes are damaged")
        if len(content) < start:
            raise ValueError(f"the stream is truncated: it has {len(content)} bytes, not even its lengths")
        total, length = LENGTHS.unpack_from(content, len(MAGIC))
        if len(content) < total:
            raise ValueError(f"the stream is truncated: it has {len(content):,} of {total:,} bytes")
        if len(content) > total:
            raise ValueError(f"the stream is followed by {len(content) - total:,} bytes that do not belong to it")
        if total < start + length + 4 or zlib.crc32(content[:-4]) != struct.unpack("<I", content[-4:])[0]:
            raise ValueError("the stream is damaged: its checksum is wrong; copy it again")
        header = _parsed(content[start : start + length])
        numbers = np.frombuffer(content[start + length : -4], dtype="<u4").astype(np.uint32)
        blocks = -(-header.count // BLOCK)
        if len(numbers) < blocks:
            raise ValueError("the stream is damaged: it holds no checksum of its images")
        return Stream(header, numbers[blocks:], numbers[:blocks])


def checksum(model: nn.Module) -> str:
    """SHA-256 of the names, types, shapes and values of a model's weights, 64 hexadecimal digits, on any device.

    Example:
        >>> checksum(nn.Linear(2, 1)) == checksum(nn.Linear(2, 1))
        False
    """
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _plain(header: Header) -> dict[str, Any]:
    """The header as JSON, the digest in as few letters as it needs."""
    model = base64.b85encode(bytes.fromhex(header.model)).decode()
    return {**vars(header), "model": model, "moments": [list(map(list, each)) for each in header.moments]}


def _parsed(deflated: bytes) -> Header:
    try:
        unpacker = zlib.decompressobj(-15, zdict=USUAL)
        text = unpacker.decompress(deflated, LONGEST_HEADER)
        entries = json.loads(text)
        numbers = {name: int(entries[name]) for name in ("count", "levels", "bits", "lanes", "initial")}
        return Header(
            model=base64.b85decode(entries["model"]).hex(),
            shape=tuple(map(int, entries["shape"])),
            moments=tuple(Moments(tuple(map(int, mean)), tuple(map(int, scale))) for mean, scale in entries["moments"]),
            written=str(entries["written"]),
            **numbers,
        )
    except (zlib.error, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"the stream has a header of another version ({type(error).__name__})") from None
