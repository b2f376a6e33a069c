r"""A stack of bits that symbols are pushed onto and popped from: asymmetric numeral systems.

A symbol $s$ of probability $p(s)$ costs $-\log_2 p(s)$ bits, and popping a symbol from bits that nobody chose is
drawing it from $p$. Whoever pushes what he popped, under the same probabilities, has the stack that he had.

Probabilities are multiples of $2^{-20}$, so that two machines whose floating-point numbers differ in the last digit
build the same integers, and none of them is zero.

References:
    | Asymmetric numeral systems (Duda, 2009)
    | https://arxiv.org/abs/0902.0271
"""

from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["PROBABILITY_BITS", "WORD", "Stack", "random_words", "round_probability"]

PROBABILITY_BITS = 20
"""Probabilities of a bit are multiples of two to the power of minus this."""

WORD = 32
"""Bits in a word of the stack."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int32]
Words = NDArray[np.uint32]


class Stack:
    r"""Bits to push symbols onto and to pop symbols from, last in, first out.

    Arrays are pushed so that popping gives them in the same order.

    Args:
        words: what lies on the stack, `(n,)`, the last word on top and not zero; nothing where None.

    Attributes:
        content: $-\sum \log_2 p$ over all symbols pushed, less that of all symbols popped: what they are worth in bits.

    Raises:
        ValueError: if the topmost word is zero.
        ModuleNotFoundError: if `constriction` is not installed.

    Example:
        >>> stack = Stack()
        >>> stack.push_bits(np.array([1, 0, 1]), np.array([0.5, 0.25, 0.125]))
        >>> round(stack.content, 3)
        4.415
        >>> stack.pop_bits(np.array([0.5, 0.25, 0.125])), stack.bits
        (array([1, 0, 1], dtype=int32), 0)
    """

    def __init__(self, words: Words | None = None) -> None:
        coding = _constriction()
        if words is not None and len(words) and words[-1] == 0:
            raise ValueError("the topmost word of a stack must not be zero")
        self._coder = coding.stack.AnsCoder() if words is None else coding.stack.AnsCoder(words)
        self._bit = coding.model.Bernoulli(perfect=False)
        self._level = coding.model.Categorical(perfect=False)
        self._uniform = coding.model.Uniform
        self.content = 0.0

    @property
    def bits(self) -> int:
        """How many bits lie on the stack."""
        return int(self._coder.num_valid_bits())

    @property
    def words(self) -> Words:
        """What lies on the stack, `(n,)`."""
        found: Words = self._coder.get_compressed()
        return found

    def push_bits(self, bits: NDArray[Any], probability: Floats) -> None:
        """Put zeros and ones on the stack.

        Args:
            bits: `(n,)`.
            probability: of a one, `(n,)`; `round_probability` decides what is coded with.
        """
        ones, p = _as_symbols(bits, 2), round_probability(probability)
        self._coder.encode_reverse(ones, self._bit, p)
        self.content += _worth(np.where(ones == 1, p, 1.0 - p))

    def pop_bits(self, probability: Floats) -> Integers:
        """Take zeros and ones from the stack, `(n,)`, each a one with its `probability` `(n,)`."""
        p = round_probability(probability)
        ones: Integers = self._coder.decode(self._bit, p)
        self.content -= _worth(np.where(ones == 1, p, 1.0 - p))
        return ones

    def push_levels(self, levels: NDArray[Any], weights: Floats) -> None:
        """Put one of L levels for each entry on the stack.

        Args:
            levels: numbers from 0 to L - 1, `(n,)`.
            weights: positive whole numbers that the probabilities are proportional to, `(n, L)`.
        """
        symbols = _as_symbols(levels, weights.shape[-1])
        self._coder.encode_reverse(symbols, self._level, weights)
        self.content += _worth(_share(symbols, weights))

    def pop_levels(self, weights: Floats) -> Integers:
        """Take one of L levels for each entry from the stack, `(n,)`; `weights` as for `push_levels`."""
        symbols: Integers = self._coder.decode(self._level, weights)
        self.content -= _worth(_share(symbols, weights))
        return symbols

    def push_uniform(self, indices: NDArray[Any], bits: int) -> None:
        """Put numbers `(n,)` below $2^b$, all equally probable, on the stack."""
        self._coder.encode_reverse(_as_symbols(indices, 1 << bits), self._uniform(1 << bits))
        self.content += bits * indices.size

    def pop_uniform(self, count: int, bits: int) -> Integers:
        """Take so many numbers below $2^b$, all equally probable, from the stack, `(count,)`."""
        indices: Integers = self._coder.decode(self._uniform(1 << bits), count)
        self.content -= bits * count
        return indices


def round_probability(probability: Floats) -> Floats:
    r"""The nearest multiple of $2^{-20}$ that is neither 0 nor 1, of the same shape.

    Example:
        >>> round_probability(np.array([0.0, 0.5, 1.0])) * 2.0**20
        array([1.000000e+00, 5.242880e+05, 1.048575e+06])
    """
    grid = float(1 << PROBABILITY_BITS)
    rounded: Floats = np.clip(np.rint(probability * grid), 1.0, grid - 1.0) / grid
    return rounded


def random_words(count: int, seed: int = 0) -> Words:
    """Words that nobody chose, none of them zero, the same everywhere (SplitMix64): what a stack begins with.

    Example:
        >>> len(random_words(3)), bool((random_words(5)[:3] == random_words(3)).all())
        (3, True)
    """
    state = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    words = ((state ^ (state >> np.uint64(31))) >> np.uint64(32)).astype(np.uint32)
    return np.maximum(words, np.uint32(1))


def _as_symbols(values: NDArray[Any], count: int) -> Integers:
    symbols = np.ascontiguousarray(values, dtype=np.int32)
    if symbols.size and not 0 <= symbols.min() <= symbols.max() < count:
        raise ValueError(f"symbols must be numbers from 0 to {count - 1}, got {symbols.min()} to {symbols.max()}")
    return symbols


def _share(symbols: Integers, weights: Floats) -> Floats:
    chosen: Floats = weights[np.arange(len(symbols)), symbols] / weights.sum(-1)
    return chosen


def _worth(probability: Floats) -> float:
    return -float(np.log2(probability).sum())


def _constriction() -> ModuleType:
    try:
        from constriction import stream
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "bits-back coding needs the package constriction: pip install jensen[compress]"
        ) from error
    found: ModuleType = stream
    return found
