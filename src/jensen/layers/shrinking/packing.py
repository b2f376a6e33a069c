r"""Tensors in as few bits as they need, without loss.

*Values* are written whole, in the smallest number format that holds every one of them exactly (`BitFormat`), or as
indices into a codebook of the distinct ones. *Places* of nonzero values are not written at all (dense), as one bit for
each entry, or as Elias and Fano do: of the $m$ sorted positions among $n$ the lower
$l = \lfloor \log_2 (n / m) \rfloor$ bits each, and the upper ones in unary, in all
$m (l + 1) + \lfloor n / 2^l \rfloor + 1$ bits, about half a bit a position more than the entropy. Whatever is shortest
is taken, so weights that were rounded, clustered or pruned shrink by themselves.

References:
    | Efficient Storage and Retrieval by Content and Address of Static Files (Elias, 1974)
    | https://doi.org/10.1145/321812.321820
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jensen.layers.shrinking.bits import BitFormat

__all__ = ["Code", "choose_code", "decode", "encode", "place_bits"]

Array = NDArray[Any]

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32, "float64": torch.float64}
LARGEST_CODEBOOK = 4096
LARGEST_TENSOR = 2**31


@dataclass(frozen=True)
class Code:
    """How a tensor is written.

    Attributes:
        dtype: the tensor's, such as "float32".
        shape: the tensor's.
        places: "dense", "bitmap" or "elias-fano".
        count: how many values are written.
        format: the number format of the values; None for whole values or a codebook.
        book: the size of the codebook; 0 for none.
    """

    dtype: str
    shape: tuple[int, ...]
    places: str
    count: int
    format: BitFormat | None
    book: int

    @property
    def size(self) -> int:
        """The number of entries."""
        return math.prod(self.shape)

    @property
    def width(self) -> int:
        """Bits of one value."""
        if self.book:
            return (self.book - 1).bit_length()
        return self.format.bits if self.format else self.whole

    @property
    def whole(self) -> int:
        """Bits of one value of the tensor's type."""
        return 8 * DTYPES[self.dtype].itemsize

    @property
    def bits(self) -> int:
        """Bits of the whole tensor, before each part is filled up to a byte."""
        return place_bits(self.places, self.size, self.count) + self.book * self.whole + self.count * self.width

    def to_list(self) -> list[Any]:
        """As JSON holds it."""
        form = [self.format.exponent, self.format.mantissa, self.format.top] if self.format else []
        return [self.dtype, list(self.shape), self.places, self.count, form, self.book]

    @classmethod
    def from_list(cls, saved: list[Any]) -> "Code":
        """From what `to_list` gave.

        Raises:
            ValueError: if it is no code.
        """
        dtype, shape, places, count, form, book = saved
        code = cls(dtype, tuple(shape), places, count, BitFormat(*form) if form else None, book)
        sizes = (*code.shape, count, book)
        if dtype not in DTYPES or any(not isinstance(each, int) or each < 0 for each in sizes):
            raise ValueError(f"{saved} describes no tensor")
        if places not in {"dense", "bitmap", "elias-fano"} or count > code.size or code.size > LARGEST_TENSOR:
            raise ValueError(f"{saved} describes no tensor of at most {LARGEST_TENSOR} entries")
        return code


def place_bits(places: str, size: int, count: int) -> int:
    """Bits that say where `count` of `size` entries are.

    Example:
        >>> place_bits("dense", 1000, 10), place_bits("bitmap", 1000, 10), place_bits("elias-fano", 1000, 10)
        (0, 1000, 86)
    """
    if places == "elias-fano":
        low = _low_bits(size, count)
        return count * low + count + (size >> low) + 1
    return size if places == "bitmap" else 0


def choose_code(tensor: Tensor) -> Code:
    """The shortest way to write a tensor.

    Raises:
        ValueError: if it is not of a floating type that a file can hold, or a value is not finite.

    Example:
        >>> choose_code(torch.tensor([0.0, 0.5, -0.25, 0.0])).bits
        10
    """
    dtype = str(tensor.dtype).removeprefix("torch.")
    if dtype not in DTYPES or not tensor.isfinite().all():
        raise ValueError(
            f"a tensor of type {dtype} with {int((~tensor.isfinite()).sum())} values not finite has no code"
        )
    every = _doubles(tensor)
    kept = every[every != 0]
    codes = [
        Code(dtype, tuple(tensor.shape), places, len(values), form, book)
        for places, values in (("dense", every), ("bitmap", kept), ("elias-fano", kept))
        for form, book in _value_codes(values)
    ]
    return min(codes, key=lambda code: code.bits)


def encode(tensor: Tensor, code: Code) -> bytes:
    """The bytes of a tensor: its places, its codebook and its values, each filled up to a whole byte."""
    every = _doubles(tensor)
    positions = np.flatnonzero(every)
    values = every if code.places == "dense" else every[positions]
    parts = [_encode_places(positions, code)]
    if code.book:
        book, values = np.unique(values, return_inverse=True)
        parts += [_whole(book, code.dtype), _pack(values, code.width)]
    elif code.format:
        parts.append(_pack(_to_integers(values, code.format), code.width))
    else:
        parts.append(_whole(values, code.dtype))
    return b"".join(parts)


def decode(content: bytes, code: Code) -> tuple[Tensor, int]:
    """The tensor at the beginning of `content`, and the number of bytes that it took.

    Raises:
        ValueError: if the content is too short, or says what cannot be.
    """
    reader = _Reader(content)
    positions = _decode_places(reader, code)
    if code.book:
        book = reader.whole(code.book, code.dtype)
        index = reader.integers(code.count, code.width)
        if len(index) and int(index.max()) >= code.book:
            raise ValueError("an index lies beyond its codebook")
        values = book[index.astype(np.int64)]
    elif code.format:
        values = _from_integers(reader.integers(code.count, code.width), code.format)
    else:
        values = reader.whole(code.count, code.dtype)
    every = np.zeros(code.size)
    every[positions] = values
    return torch.from_numpy(every).to(DTYPES[code.dtype]).reshape(code.shape), reader.at


@dataclass
class _Reader:
    content: bytes
    at: int = 0

    def take(self, size: int) -> bytes:
        piece = self.content[self.at : self.at + size]
        if len(piece) < size:
            raise ValueError(f"{size} bytes were announced and {len(piece)} are there")
        self.at += size
        return piece

    def bits(self, count: int) -> Array:
        piece = np.frombuffer(self.take(-(-count // 8)), np.uint8)
        return np.unpackbits(piece, count=count, bitorder="little")

    def integers(self, count: int, width: int) -> Array:
        bits = self.bits(count * width).reshape(count, width).astype(np.uint64)
        integers: Array = (bits << np.arange(width, dtype=np.uint64)).sum(1, dtype=np.uint64)
        return integers

    def whole(self, count: int, dtype: str) -> Array:
        kind = DTYPES[dtype]
        piece = torch.frombuffer(bytearray(self.take(count * kind.itemsize)), dtype=kind) if count else torch.zeros(0)
        return piece.double().numpy()


def _doubles(tensor: Tensor) -> Array:
    return tensor.detach().double().cpu().flatten().numpy()


def _whole(values: Array, dtype: str) -> bytes:
    if not len(values):
        return b""
    return torch.from_numpy(np.ascontiguousarray(values)).to(DTYPES[dtype]).view(torch.uint8).numpy().tobytes()


def _value_codes(values: Array) -> list[tuple[BitFormat | None, int]]:
    book = len(np.unique(values))
    codes: list[tuple[BitFormat | None, int]] = [(None, 0)]
    codes += [(None, book)] if 0 < book <= LARGEST_CODEBOOK else []
    form = _format_of(values)
    return codes + ([(form, 0)] if form else [])


def _format_of(values: Array) -> BitFormat | None:
    """The smallest format that holds every value exactly."""
    values = values[values != 0]
    if not len(values):
        return BitFormat(1, 0, 0)
    fraction, exponent = np.frexp(values)
    integer = np.ldexp(np.abs(fraction), 53).astype(np.int64)
    lowest = exponent - 53 + np.frexp((integer & -integer).astype(np.float64))[1] - 1
    exponent = exponent - 1
    top, found = int(exponent.max()), []
    for bits in range(1, 9):
        mantissa = int((np.maximum(exponent, top - 2**bits + 2) - lowest).max())
        if mantissa <= 52:
            found.append(BitFormat(bits, mantissa, top))
    return min(found, key=lambda form: form.bits, default=None)


def _to_integers(values: Array, form: BitFormat) -> Array:
    exponent = np.clip(np.frexp(values)[1] - 1, form.bottom, form.top)
    exponent = np.where(values == 0, form.bottom, exponent)
    digits = np.ldexp(np.abs(values), form.mantissa - exponent).astype(np.uint64)
    one = np.uint64(2**form.mantissa)
    has_one = digits >= one
    code = np.where(has_one, exponent - form.bottom + 1, 0).astype(np.uint64)
    sign = (values < 0).astype(np.uint64)
    shift = np.uint64(form.mantissa)
    integers: Array = (sign << np.uint64(form.bits - 1)) | (code << shift) | (digits - has_one * one).astype(np.uint64)
    return integers


def _from_integers(integers: Array, form: BitFormat) -> Array:
    one = np.uint64(2**form.mantissa)
    digits = integers & (one - np.uint64(1))
    code = (integers >> np.uint64(form.mantissa)) & np.uint64(2**form.exponent - 1)
    digits = np.where(code > 0, digits + one, digits).astype(np.float64)
    exponent = form.bottom + np.maximum(code.astype(np.int64) - 1, 0) - form.mantissa
    values: Array = np.where(integers >> np.uint64(form.bits - 1), -1.0, 1.0) * np.ldexp(digits, exponent)
    return values


def _pack(integers: Array, width: int) -> bytes:
    bits = (integers.astype(np.uint64)[:, None] >> np.arange(width, dtype=np.uint64)) & np.uint64(1)
    return np.packbits(bits.astype(np.uint8).ravel(), bitorder="little").tobytes()


def _low_bits(size: int, count: int) -> int:
    return (size // count).bit_length() - 1 if 0 < count <= size else size.bit_length()


def _encode_places(positions: Array, code: Code) -> bytes:
    if code.places == "dense":
        return b""
    if code.places == "bitmap":
        bits = np.zeros(code.size, np.uint8)
        bits[positions] = 1
        return np.packbits(bits, bitorder="little").tobytes()
    low = _low_bits(code.size, code.count)
    unary = np.zeros(code.count + (code.size >> low) + 1, np.uint8)
    unary[(positions >> low) + np.arange(code.count)] = 1
    return _pack(positions & (2**low - 1), low) + np.packbits(unary, bitorder="little").tobytes()


def _decode_places(reader: _Reader, code: Code) -> Array:
    if code.places == "dense":
        if code.count != code.size:
            raise ValueError(f"{code.count} values were announced for {code.size} entries")
        return np.arange(code.size)
    if code.places == "bitmap":
        positions = np.flatnonzero(reader.bits(code.size))
    else:
        low = _low_bits(code.size, code.count)
        lower = reader.integers(code.count, low).astype(np.int64)
        upper = np.flatnonzero(reader.bits(code.count + (code.size >> low) + 1))
        if len(upper) != code.count:
            raise ValueError(f"{code.count} positions were announced and {len(upper)} are there")
        positions = ((upper - np.arange(code.count)) << low) | lower
    if len(positions) != code.count or (len(positions) and positions.max() >= code.size):
        raise ValueError(f"{code.count} positions below {code.size} were announced; others are there")
    return positions
