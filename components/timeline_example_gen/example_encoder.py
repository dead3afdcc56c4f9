"""Columns to serialized tf.Examples, a batch at a time and always to the same bytes.

The encoder of tfx_bsl is as fast but writes the features of each example in another
order in every process (the order of a C++ hash map), so that the same data never gives
the same file. Here the features stand in the order of the columns.

Wire format of a tf.Example with the features k1, k2, ...::

    0A <size> { 0A <size> { 0A <size> k1  12 <size> { kind <size> <values> } } ... }

The values of a feature, its *payload*, depend on the example; all around them depends
on the payload's size alone. So an example is a concatenation of pieces, header and
payload of each column, and one Arrow `take` puts the pieces of a batch in order.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]

_BYTES_LIST, _FLOAT_LIST, _INT64_LIST = b"\x0a", b"\x12", b"\x1a"
_FIRST, _SECOND = b"\x0a", b"\x12"  # Tags of a message's fields 1 and 2.


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
class Column:
    """The values of one feature in a batch of examples.

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


def encode_examples(columns: Mapping[str, Column]) -> list[bytes]:
    """Serializes a batch.

    Args:
      columns: at least one, all with the same number of examples.

    Returns:
      One serialized tf.Example per row, features in the order of `columns`.
    """
    pieces: list[pa.LargeBinaryArray] = []
    takes: list[Ints] = []  # per piece of an example [examples]
    total = np.zeros(len(next(iter(columns.values())).offsets) - 1, np.int64)
    known = 0
    for name, column in columns.items():
        payload, kind = _payload(column)
        sizes = np.diff(_offsets(payload))
        distinct, which = np.unique(sizes, return_inverse=True)
        headers = [_header(name.encode(), kind, size) for size in distinct.tolist()]
        takes.append(which.reshape(-1) + known)
        takes.append(np.arange(len(sizes)) + known + len(headers))
        pieces += [pa.array(headers, pa.large_binary()), payload]
        known += len(headers) + len(payload)
        total += (
            sizes + np.array([len(h) for h in headers], np.int64)[which.reshape(-1)]
        )
    distinct, which = np.unique(total, return_inverse=True)
    outer = [_FIRST + _varint(size) for size in distinct.tolist()]
    pieces.append(pa.array(outer, pa.large_binary()))
    takes.insert(0, which.reshape(-1) + known)
    order = np.stack(takes, axis=1).reshape(-1)  # [examples * pieces of an example]
    flat = pa.concat_arrays(pieces).take(pa.array(order))
    return _regroup(flat, _offsets(flat)[:: len(takes)]).to_pylist()


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


def _payload(column: Column) -> tuple[pa.LargeBinaryArray, bytes]:
    """Each example's values as they stand in its list, and the list's tag."""
    if column.terms is not None:
        taken = column.terms.sized.take(pa.array(column.values))
        return _regroup(taken, _offsets(taken)[column.offsets]), _BYTES_LIST
    if column.values.dtype == np.float32:
        # Little-endian, as the wire format wants it, on any machine.
        data = column.values.astype("<f4").view(np.uint8)
        return _binary(data, column.offsets * 4), _FLOAT_LIST
    data, offsets = varints(np.asarray(column.values, np.int64))
    return _binary(data, offsets[column.offsets]), _INT64_LIST


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


def _binary(data: Bytes, offsets: Ints) -> pa.LargeBinaryArray:
    buffers = [None, pa.py_buffer(np.ascontiguousarray(offsets)), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.large_binary(), len(offsets) - 1, buffers)


def _regroup(array: pa.LargeBinaryArray, offsets: Ints) -> pa.LargeBinaryArray:
    """The same bytes, cut at other places."""
    data = array.buffers()[2] or pa.py_buffer(b"")
    buffers = [None, pa.py_buffer(np.ascontiguousarray(offsets)), data]
    return pa.Array.from_buffers(pa.large_binary(), len(offsets) - 1, buffers)


def _offsets(array: pa.LargeBinaryArray) -> Ints:
    if not len(array):
        return np.zeros(1, np.int64)
    offsets = np.frombuffer(array.buffers()[1], np.int64)
    return offsets[array.offset : array.offset + len(array) + 1]
