"""Hashes that are the same on every machine, in every process, in any order of rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]

# Strings of bytes are hashed by position; no byte's word is that of another position.
_BYTE_VALUES = 256


def mix(words: Hashes) -> Hashes:
    """Maps 64-bit words one to one onto words whose bits all depend on all of theirs.

    The finalizer of SplitMix64 (Steele, Lea and Flood, 2014).

    Args:
      words: uint64 of any shape.

    Returns:
      uint64 of the same shape.
    """
    words = words + np.uint64(0x9E3779B97F4A7C15)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def hash_bytes(data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> Hashes:
    """Hashes byte strings, all at once, by tabulation (Zobrist).

    Args:
      data: uint8 ``[bytes]``, the strings one after the other.
      offsets: int64 ``[strings + 1]``, where each begins; the last is the end.

    Returns:
      uint64 ``[strings]``.
    """
    lengths = np.diff(offsets)
    data = data[offsets[0] : offsets[-1]]
    position = np.arange(len(data)) - np.repeat(offsets[:-1] - offsets[0], lengths)
    words = mix(position.astype(np.uint64) * np.uint64(_BYTE_VALUES) + data)
    hashes = np.zeros(len(lengths), np.uint64)
    filled = lengths > 0
    if filled.any():
        # Empty strings are left out: reduceat would give them the next one's byte.
        starts = (offsets[:-1] - offsets[0])[filled]
        hashes[filled] = np.bitwise_xor.reduceat(words, starts)
    return mix(hashes ^ mix(lengths.astype(np.uint64)))


def seeded(hashes: Hashes, seed: int) -> Hashes:
    """Other hashes for another seed, each independent of the ones before."""
    return mix(hashes ^ mix(np.array([seed % 2**64], np.uint64)))


def combine(first: Hashes, second: Hashes) -> Hashes:
    """Hashes of pairs; the order within a pair matters."""
    return mix(mix(first) + second)


def piece(hashes: Hashes, pieces: int) -> npt.NDArray[np.int64]:
    """Which of equal ranges of the hash values each falls in, 0 to ``pieces - 1``.

    Ranges, not remainders: pieces one after the other are in the order of the hashes,
    however many there are.
    """
    high = hashes >> np.uint64(32)
    return ((high * np.uint64(pieces)) >> np.uint64(32)).astype(np.int64)


def fraction(hashes: Hashes) -> npt.NDArray[np.float64]:
    """The hashes as numbers from 0 up to, not including, 1."""
    return (hashes >> np.uint64(11)).astype(np.float64) / float(1 << 53)
