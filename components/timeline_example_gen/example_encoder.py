"""Columns to serialized tf.Examples, a batch at a time and always to the same bytes.

The encoder of tfx_bsl is as fast but writes the features of each example in another
order in every process (the order of a C++ hash map), so that the same data never gives
the same file. Here the features stand in the order of the columns.

Wire format of a tf.Example with the features k1, k2, ...::

    0A <size> { 0A <size> { 0A <size> k1  12 <size> { kind <size> <values> } } ... }

The values of a feature, its *payload*, depend on the example; all around them, its
*header*, depends on the payload's size alone. So an example is a concatenation of
pieces, and of each piece those of all examples are copied at once, size by size. Where
payloads overlap, as the contexts of one user do, they are slices of bytes that were
encoded once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]

_BYTES_LIST, _FLOAT_LIST, _INT64_LIST = b"\x0a", b"\x12", b"\x1a"
_FIRST, _SECOND = b"\x0a", b"\x12"  # Tags of a message's fields 1 and 2.
# An empty text, 0.0 and 0, as they stand in their lists.
_PADDING = {_BYTES_LIST: b"\x0a\x00", _FLOAT_LIST: bytes(4), _INT64_LIST: b"\x00"}


@dataclass(frozen=True)
class Terms:
    """Byte strings that codes stand for."""

    values: pa.LargeBinaryArray

    @functools.cached_property
    def sized(self) -> pa.LargeBinaryArray:
        """Each as it stands in a BytesList; made once for all batches."""
        return pa.array(
            [_FIRST + _varint(len(term)) + term for term in self.values.to_pylist()],
            pa.large_binary(),
        )


@dataclass(frozen=True)
class Encoded:
    """Values as they stand in a feature's list, one after the other.

    Attributes:
      kind: the list's tag.
      data: uint8 ``[bytes]``.
      offsets: int64 ``[values + 1]``: where each value begins.
    """

    kind: bytes
    data: Bytes
    offsets: Ints


@dataclass(frozen=True)
class Windows:
    """The values of one feature in a batch of examples, as ranges that may overlap.

    Attributes:
      values: those of all examples, encoded once.
      begin: int64 ``[examples]``: where each example's values begin.
      end: int64 ``[examples]``: one after its last.
      length: shorter ranges are padded to so many values; 0: they are not.
    """

    values: Encoded
    begin: Ints
    end: Ints
    length: int = 0


@dataclass(frozen=True)
class Column:
    """The values of one feature, one example's after the other's.

    Attributes:
      values: int64 or float32 ``[values]``, or int64 codes where `terms` is given.
      offsets: int64 ``[examples + 1]``: where each example's values begin.
      terms: the byte strings that the codes stand for.
    """

    values: npt.NDArray[np.int64] | npt.NDArray[np.float32]
    offsets: Ints
    terms: Terms | None = None

    @classmethod
    def dense(
        cls,
        values: npt.NDArray[np.int64] | npt.NDArray[np.float32],
        terms: Terms | None = None,
    ) -> Column:
        """From an array ``[examples, length]``."""
        examples, length = values.shape
        offsets = np.arange(examples + 1, dtype=np.int64) * length
        return cls(values=values.reshape(-1), offsets=offsets, terms=terms)

    def windows(self) -> Windows:
        """The same values as ranges."""
        values = encode_values(self.values, self.terms)
        return Windows(values, self.offsets[:-1], self.offsets[1:])


@dataclass(frozen=True)
class _Pieces:
    """A piece of each example: where in `data` it begins, and its size."""

    data: Bytes
    begin: Ints
    sizes: Ints


def encode_examples(columns: Mapping[str, Column | Windows]) -> list[bytes]:
    """Serializes a batch.

    Args:
      columns: at least one, all with the same number of examples.

    Returns:
      One serialized tf.Example per row, features in the order of `columns`.
    """
    pieces: list[_Pieces] = []
    for name, column in columns.items():
        windows = column.windows() if isinstance(column, Column) else column
        kind = windows.values.kind
        payload = _payload(windows)
        sizes = _total_sizes(payload)
        make = functools.partial(_header, name.encode(), kind)
        pieces += [_by_size(sizes, make), *payload]
    outer = _by_size(_total_sizes(pieces), lambda size: _FIRST + _varint(size))
    pieces.insert(0, outer)
    sizes = _total_sizes(pieces)
    ends = np.cumsum(sizes)
    data = np.empty(ends[-1] if len(ends) else 0, np.uint8)
    at = ends - sizes
    for piece in pieces:
        _copy(piece, data, at)
        at += piece.sizes
    whole = data.tobytes()
    starts = (ends - sizes).tolist()
    return [whole[a:b] for a, b in zip(starts, ends.tolist(), strict=True)]


def encode_values(
    values: npt.NDArray[np.int64] | npt.NDArray[np.float32], terms: Terms | None = None
) -> Encoded:
    """Encodes the values of a feature.

    Args:
      values: int64 or float32 ``[values]``, or int64 codes where `terms` is given.
      terms: the byte strings that the codes stand for.
    """
    if terms is not None:
        taken = terms.sized.take(pa.array(values))
        data = np.frombuffer(taken.buffers()[2] or b"", np.uint8)
        return Encoded(_BYTES_LIST, data, _offsets(taken))
    if values.dtype == np.float32:
        # Little-endian, as the wire format wants it, on any machine.
        data = values.astype("<f4").view(np.uint8)
        return Encoded(_FLOAT_LIST, data, np.arange(len(values) + 1) * 4)
    return Encoded(_INT64_LIST, *varints(np.asarray(values, np.int64)))


def varints(values: Ints) -> tuple[Bytes, Ints]:
    """Protobuf's variable-length integers.

    Args:
      values: int64 ``[values]``; negative ones take ten bytes.

    Returns:
      The bytes, uint8, and where each value's begin, int64 ``[values + 1]``.
    """
    words = values.astype(np.int64).view(np.uint64)
    sizes = np.ones(len(words), np.int64)
    for bits in range(7, 64, 7):
        longer = words >> np.uint64(bits) != 0
        if not longer.any():
            break
        sizes += longer
    offsets = np.zeros(len(words) + 1, np.int64)
    np.cumsum(sizes, out=offsets[1:])
    data = np.empty(offsets[-1], np.uint8)
    for index in range(int(sizes.max(initial=0))):
        here = np.flatnonzero(sizes > index)
        byte = (words[here] >> np.uint64(7 * index)) & np.uint64(0x7F)
        more = (sizes[here] > index + 1).astype(np.uint64) << np.uint64(7)
        data[offsets[here] + index] = byte | more
    return data, offsets


def _payload(windows: Windows) -> list[_Pieces]:
    """Each example's values and, behind them, its padding."""
    values = windows.values
    begin = values.offsets[windows.begin]
    payload = [_Pieces(values.data, begin, values.offsets[windows.end] - begin)]
    missing = windows.length - (windows.end - windows.begin)
    if windows.length and missing.any():
        padding = _PADDING[values.kind]
        data = np.frombuffer(padding * windows.length, np.uint8)
        payload.append(_Pieces(data, np.zeros_like(missing), missing * len(padding)))
    return payload


def _by_size(sizes: Ints, make: Callable[[int], bytes]) -> _Pieces:
    """A piece that depends on a size alone, made once for each size."""
    distinct = np.flatnonzero(np.bincount(sizes))
    made = [make(size) for size in distinct.tolist()]
    which = np.zeros(sizes.max(initial=0) + 1, np.int64)
    which[distinct] = np.arange(len(distinct))
    lengths = np.array([len(piece) for piece in made], np.int64)
    chosen = which[sizes]
    data = np.frombuffer(b"".join(made), np.uint8)
    return _Pieces(data, (np.cumsum(lengths) - lengths)[chosen], lengths[chosen])


def _total_sizes(pieces: Sequence[_Pieces]) -> Ints:
    return np.sum([piece.sizes for piece in pieces], axis=0)


def _copy(pieces: _Pieces, target: Bytes, at: Ints) -> None:
    """Copies each example's piece to its place."""
    sizes = pieces.sizes
    # Small integers are sorted by radix.
    keys = sizes.astype(np.min_scalar_type(sizes.max(initial=0)))
    order = np.argsort(keys, kind="stable")
    sizes, begin, at = sizes[order], pieces.begin[order], at[order]
    ends = np.flatnonzero(np.diff(sizes, append=-1)) + 1
    start = 0
    for end in ends.tolist():
        size, same = int(sizes[start]), slice(start, end)
        if size:
            _every(target, size)[at[same]] = _every(pieces.data, size)[begin[same]]
        start = end


def _every(data: Bytes, size: int) -> npt.NDArray[np.void]:
    """All so many bytes that stand together, by where they begin; a view."""
    return np.ndarray((len(data) - size + 1,), f"V{size}", data, strides=(1,))


def _header(name: bytes, kind: bytes, payload: int) -> bytes:
    """What stands before a payload of so many bytes, from the map entry's tag on."""
    packed = kind != _BYTES_LIST and payload > 0
    inner = _FIRST + _varint(payload) if packed else b""
    values = kind + _varint(len(inner) + payload) + inner
    feature = _SECOND + _varint(len(values) + payload) + values
    entry = _FIRST + _varint(len(name)) + name + feature
    return _FIRST + _varint(len(entry) + payload) + entry


def _varint(value: int) -> bytes:
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    data.append(value)
    return bytes(data)


def _offsets(array: pa.LargeBinaryArray) -> Ints:
    if not len(array):
        return np.zeros(1, np.int64)
    offsets = np.frombuffer(array.buffers()[1], np.int64)
    return offsets[array.offset : array.offset + len(array) + 1]
