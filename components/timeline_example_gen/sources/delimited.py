"""Activities from text with a separator between columns, without a loop over rows.

Blocks of lines are cut at separators and line ends with NumPy. Only where a file has
quotes are its lines taken one by one.
"""

from __future__ import annotations

import codecs
import csv
import itertools
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.timeline_example_gen import storage
from components.timeline_example_gen.sources.source import (
    MAX_SAMPLES,
    ActivityBlock,
    RowCount,
    Sample,
)
from configs import recommender_pb2 as pb
from configs.errors import UserError

WRONG_COLUMNS = "wrong number of columns"
BAD_QUOTES = "a quote that is not closed, or text behind it"
NOT_UTF8 = "not UTF-8 text"
BAD_TIMESTAMP = "timestamp is not a whole number"
ABSURD_TIMESTAMP = "timestamp is not in seconds between the years 1970 and 2100"

_LAST_TIMESTAMP = 4_102_444_800  # 2100-01-01
_BLOCK_BYTES = 8 << 20
_ROWS_PER_BLOCK = 100_000  # Of files with quotes.
_MAX_QUOTED_LINES = 1_000
# A character that text never holds stands for separators of several characters.
_UNIT_SEPARATOR = b"\x1f"
_DIGITS = np.isin(np.arange(256), np.frombuffer(b"0123456789", np.uint8))
_DECIMALS = np.isin(np.arange(256), np.frombuffer(b"0123456789.", np.uint8))
_MAX_DIGITS = 18  # All whole numbers of so many digits fit into 64 bits.
_INTEGER = re.compile(rb"\s*([+-]?[0-9]{1,18})\s*")
_NUMBER = re.compile(
    rb"\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?)\s*"
)

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Layout:
    """How a log's rows look.

    Attributes:
      separator: between columns.
      columns: how many there are.
      user: index of the user's column; item, timestamp and value likewise.
      value: None if there is none.
      value_name: what messages call it.
      header: whether the first line holds the columns' names.
      quotes: whether a column may stand in double quotes.
      encoding: of the text.
      integer_ids: whether users and items are integers by the format.
    """

    separator: bytes
    columns: int
    user: int = 0
    item: int = 1
    timestamp: int = 3
    value: int | None = 2
    value_name: str = "rating"
    header: bool = False
    quotes: bool = False
    encoding: str = "utf-8"
    integer_ids: bool = True


@dataclass(frozen=True)
class _Rows:
    """Rows with the right number of columns, and where they stand."""

    cells: dict[int, pa.LargeBinaryArray]  # per wanted column [rows]
    lines: Ints  # [rows]
    text: Sequence[bytes] | _Lines  # by row


@dataclass(frozen=True)
class _Lines:
    """The lines of a block, cut only if one is asked for."""

    block: bytes
    index: Ints  # of each row in the block

    def __getitem__(self, row: int) -> bytes:
        return self.block.split(b"\n")[self.index[row]]


def read_header(path: str, separator: bytes, encoding: str) -> list[str]:
    """The names in the first line of a file.

    Raises:
      UserError: if the file is empty or cannot be decoded.
    """
    with storage.open_for_reading(path) as file:
        first = next(_lines(_utf8(file, encoding, path)), b"")
    try:
        text = first.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: line 1: {NOT_UTF8}: {first[:80]!r}") from error
    if not text.strip():
        raise UserError(
            f"{path}: line 1: {text!r} instead of the names of the columns: the file "
            "is empty or has no header"
        )
    row = next(csv.reader([text], delimiter=separator.decode()))
    return [name.strip() for name in row]


def read_activities(
    path: str, layout: Layout, item_type: int, whole_values: bool
) -> Iterator[ActivityBlock]:
    """Reads a log, see `source.Source.read_activities`."""
    with storage.open_for_reading(path) as file:
        blocks = _blocks(_utf8(file, layout.encoding, path))
        line = 1
        for block in blocks:
            if layout.header and line == 1:
                end = block.index(b"\n") + 1
                block, line = block[end:], 2
            if not block:
                continue
            if layout.quotes and b'"' in block:
                # The quote may be closed in a later block.
                lines = _lines(itertools.chain([block], blocks))
                yield from _read_quoted(lines, line, layout, item_type, whole_values)
                return
            rows, count = _cut(block, line, layout)
            yield _parse(rows, count, layout, item_type, whole_values)
            line += block.count(b"\n")


def _utf8(file: BinaryIO, encoding: str, path: str) -> Iterator[bytes]:
    """Chunks of a file as UTF-8 without a byte-order mark.

    Bytes that the encoding does not know stay as they are, and their rows are found not
    to be UTF-8.
    """
    try:
        name = codecs.lookup(encoding).name
    except LookupError as error:
        raise UserError(unknown_encoding(encoding)) from error
    if name in ("utf-8", "utf-8-sig", "ascii"):
        first = file.read(len(codecs.BOM_UTF8))
        if first != codecs.BOM_UTF8:
            yield first
        while chunk := file.read(_BLOCK_BYTES):
            yield chunk
        return
    decoder = codecs.getincrementaldecoder(name)("surrogateescape")
    try:
        while chunk := file.read(_BLOCK_BYTES):
            yield decoder.decode(chunk).encode("utf-8", "surrogateescape")
        yield decoder.decode(b"", final=True).encode("utf-8", "surrogateescape")
    except UnicodeError as error:
        raise UserError(f"{path}: not {encoding} text: {error}") from error


def unknown_encoding(encoding: str) -> str:
    """The message for an encoding that Python does not know."""
    return (
        f"data.csv.encoding: {encoding!r} is not allowed. Expected the name of a text "
        "encoding, such as utf-8 or latin-1"
    )


def _blocks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Whole lines, some megabytes of them at a time; the last line gets its end too."""
    rest: list[bytes] = []
    for chunk in chunks:
        end = chunk.rfind(b"\n") + 1
        if end:
            yield b"".join([*rest, chunk[:end]])
            rest = []
        rest.append(chunk[end:])
    last = b"".join(rest)
    if last:
        yield last + b"\n"


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    for block in _blocks(chunks):
        for line in block[:-1].split(b"\n"):
            yield line + b"\n"


def _cut(block: bytes, first_line: int, layout: Layout) -> tuple[_Rows, RowCount]:
    """Cuts lines without quotes into columns."""
    original = block
    separator = layout.separator
    if len(separator) > 1:
        block = block.replace(separator, _UNIT_SEPARATOR)
        separator = _UNIT_SEPARATOR
    data = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(data == ord("\n"))
    starts = np.r_[0, ends[:-1] + 1]
    separators = np.flatnonzero(data == ord(separator))
    found = np.searchsorted(separators, ends) - np.searchsorted(separators, starts)
    lengths = ends - starts
    # The byte before the line end; of an empty line it is the one before the line.
    returns = (lengths > 0) & (data[np.maximum(ends - 1, 0)] == ord("\r"))
    blank = lengths == returns
    right = (found == layout.columns - 1) & ~blank
    wrong = np.flatnonzero(~right & ~blank)
    count = RowCount(rows=int((~blank).sum()), blank_lines=int(blank.sum()))
    if len(wrong):
        lines = original.split(b"\n")
        samples = [
            Sample.of(first_line + int(i), lines[i]) for i in wrong[:MAX_SAMPLES]
        ]
        count.reject(WRONG_COLUMNS, len(wrong), samples)
    keep = np.repeat(right, lengths + 1)
    keep[(ends - 1)[returns & right]] = False
    data = data[keep]
    border = (data == ord(separator)) | (data == ord("\n"))
    borders = np.flatnonzero(border)
    offsets = np.zeros(len(borders) + 1, np.int64)
    offsets[1:] = borders - np.arange(len(borders))
    cells = pa.Array.from_buffers(
        pa.large_binary(),
        len(borders),
        [None, pa.py_buffer(offsets), pa.py_buffer(data[~border])],
    )
    index = np.flatnonzero(right)
    columns = {
        column: cells.take(pa.array(np.arange(column, len(cells), layout.columns)))
        for column in _wanted(layout)
    }
    rows = _Rows(cells=columns, lines=first_line + index, text=_Lines(original, index))
    return rows, count


def _wanted(layout: Layout) -> list[int]:
    columns = [layout.user, layout.item, layout.timestamp]
    return columns if layout.value is None else [*columns, layout.value]


def _read_quoted(
    lines: Iterator[bytes],
    first_line: int,
    layout: Layout,
    item_type: int,
    whole_values: bool,
) -> Iterator[ActivityBlock]:
    records: list[tuple[int, bytes, list[bytes]]] = []
    count = RowCount()
    for line, text, row in quoted_records(lines, first_line, layout.separator, count):
        if len(row) != layout.columns:
            count.reject(WRONG_COLUMNS, 1, [Sample.of(line, text)])
            continue
        records.append((line, text, row))
        if len(records) == _ROWS_PER_BLOCK:
            rows = _columns(records, layout)
            yield _parse(rows, count.take(), layout, item_type, whole_values)
            records = []
    yield _parse(_columns(records, layout), count, layout, item_type, whole_values)


def _columns(records: list[tuple[int, bytes, list[bytes]]], layout: Layout) -> _Rows:
    return _Rows(
        cells={
            column: pa.array([row[column] for _, _, row in records], pa.large_binary())
            for column in _wanted(layout)
        },
        lines=np.array([line for line, _, _ in records], np.int64),
        text=[text for _, text, _ in records],
    )


def quoted_records(
    lines: Iterable[bytes], first_line: int, separator: bytes, count: RowCount
) -> Iterator[tuple[int, bytes, list[bytes]]]:
    """Rows whose columns may be quoted and, in quotes, hold separators and line ends.

    Where quotes are not as they should be only the line that begins the row is
    rejected: the next one begins a row again.

    Args:
      lines: each with its end.
      first_line: the number of the first.
      separator: one character.
      count: gets the rows and the rejected ones.

    Yields:
      The row's first line's number, its text and its columns.
    """
    upcoming = iter(lines)
    waiting: list[bytes] = []  # Read before, the next one last.
    number = first_line
    while True:
        line = waiting.pop() if waiting else next(upcoming, None)
        if line is None:
            return
        if not line.strip(b"\r\n"):
            count.blank_lines += 1
            number += 1
            continue
        count.rows += 1
        parts = [line]
        text = line
        row = _split_quoted(text, separator)
        quotes = line.count(b'"')
        while row is None and quotes % 2 and len(parts) < _MAX_QUOTED_LINES:
            more = waiting.pop() if waiting else next(upcoming, None)
            if more is None:
                break
            parts.append(more)
            quotes += more.count(b'"')
            if quotes % 2 == 0:
                text = b"".join(parts)
                row = _split_quoted(text, separator)
        if row is None:
            count.reject(BAD_QUOTES, 1, [Sample.of(number, line)])
            waiting += reversed(parts[1:])
            number += 1
            continue
        yield number, text, row
        number += len(parts)


def _split_quoted(text: bytes, separator: bytes) -> list[bytes] | None:
    """The columns of one row, or None if its quotes are not as they should be."""
    body = text.rstrip(b"\r\n")
    if b'"' not in body:
        return body.split(separator)
    # Latin-1 takes every byte to a character and back.
    reader = csv.reader(
        [body.decode("latin-1")], delimiter=separator.decode("latin-1"), strict=True
    )
    try:
        return [cell.encode("latin-1") for cell in next(reader)]
    except csv.Error:
        return None


def _parse(
    rows: _Rows, count: RowCount, layout: Layout, item_type: int, whole_values: bool
) -> ActivityBlock:
    """Turns cells into numbers and keeps the rows in which all of them are right."""
    cells = rows.cells
    user, wrong_users = _ids(cells[layout.user], "user", layout.integer_ids)
    integer_items = layout.integer_ids or item_type == pb.INT
    item, wrong_items = _ids(cells[layout.item], "item", integer_items)
    seconds, whole = parse_integers(cells[layout.timestamp])
    absurd = (seconds < 0) | (seconds > _LAST_TIMESTAMP)
    problems = [
        *wrong_users,
        *wrong_items,
        (BAD_TIMESTAMP, ~whole),
        (ABSURD_TIMESTAMP, absurd),
    ]
    columns = {"user": user, "item": item, "timestamp": pa.array(seconds)}
    if layout.value is not None:
        value, is_number = parse_numbers(cells[layout.value])
        columns["value"] = pa.array(value)
        problems.append((f"{layout.value_name} is not a number", ~is_number))
        if whole_values:
            fraction = value != np.floor(value)
            problems.append((f"{layout.value_name} is not a whole number", fraction))
    right = np.ones(len(rows.lines), np.bool_)
    for reason, wrong in problems:
        index = np.flatnonzero(wrong & right)
        right &= ~wrong
        if len(index):
            samples = [
                Sample.of(int(rows.lines[i]), rows.text[int(i)])
                for i in index[:MAX_SAMPLES]
            ]
            count.reject(reason, len(index), samples)
    batch = pa.RecordBatch.from_arrays(list(columns.values()), list(columns))
    if not right.all():
        batch = batch.filter(pa.array(right))
    if item_type == pb.STRING and pa.types.is_integer(batch["item"].type):
        text = batch["item"].cast(pa.large_string()).cast(pa.large_binary())
        arrays = [text if name == "item" else batch[name] for name in columns]
        batch = pa.RecordBatch.from_arrays(arrays, list(columns))
    return ActivityBlock(activities=batch, count=count)


def _ids(
    cells: pa.LargeBinaryArray, what: str, integers: bool
) -> tuple[pa.Array, list[tuple[str, Mask]]]:
    """Ids, and which rows are wrong for which reason."""
    empty = (f"{what} is empty", np.diff(_buffers(cells)[1]) == 0)
    if integers:
        values, right = parse_integers(cells)
        return pa.array(values), [empty, (f"{what} is not an integer", ~right)]
    return cells, [empty, (NOT_UTF8, ~_is_text(cells))]


def parse_integers(cells: pa.LargeBinaryArray) -> tuple[Ints, Mask]:
    """Whole numbers, 0 where a cell holds none, and where they do.

    Up to 18 digits, a sign, spaces around; no decimal point, not even before zeros.
    """
    data, offsets = _buffers(cells)
    lengths = np.diff(offsets)
    odd = (
        (_count(~_DIGITS[data], offsets) > 0) | (lengths == 0) | (lengths > _MAX_DIGITS)
    )
    values = np.zeros(len(cells), np.int64)
    right = _parse_plain(cells, odd, values, pa.int64())
    for row in np.flatnonzero(odd).tolist():
        match = _INTEGER.fullmatch(cells[row].as_py())
        right[row] = match is not None
        values[row] = int(match[1]) if match else 0
    return values, right


def parse_numbers(cells: pa.LargeBinaryArray) -> tuple[npt.NDArray[np.float64], Mask]:
    """Finite decimal numbers, 0 where a cell holds none, and where they do."""
    data, offsets = _buffers(cells)
    lengths = np.diff(offsets)
    dots = _count(data == ord("."), offsets)
    odd = (_count(~_DECIMALS[data], offsets) > 0) | (lengths > _MAX_DIGITS)
    # A dot needs a digit before and after it here, or it is looked at below.
    odd |= (dots > 1) | (lengths == 0)
    edge = np.flatnonzero(~odd & (dots == 1))
    odd[edge] = (data[offsets[edge]] == ord(".")) | (
        data[offsets[edge + 1] - 1] == ord(".")
    )
    values = np.zeros(len(cells), np.float64)
    right = _parse_plain(cells, odd, values, pa.float64())
    for row in np.flatnonzero(odd).tolist():
        match = _NUMBER.fullmatch(cells[row].as_py())
        value = float(match[1]) if match else math.inf
        right[row] = math.isfinite(value)
        values[row] = value if right[row] else 0.0
    return values, right


def _parse_plain(
    cells: pa.LargeBinaryArray, odd: Mask, values: npt.NDArray, kind: pa.DataType
) -> Mask:
    """Lets Arrow parse all cells but the odd ones, into `values`."""
    plain = cells.filter(pa.array(~odd)) if odd.any() else cells
    values[~odd] = plain.cast(pa.large_string()).cast(kind).to_numpy()
    return ~odd


def _count(flags: Mask, offsets: Ints) -> Ints:
    """How many bytes of each cell are flagged."""
    total = np.zeros(len(flags) + 1, np.int64)
    np.cumsum(flags, out=total[1:])
    return np.diff(total[offsets])


def _is_text(cells: pa.LargeBinaryArray) -> Mask:
    try:
        cells.cast(pa.large_string())
        return np.ones(len(cells), np.bool_)
    except pa.ArrowInvalid:
        return np.array([is_utf8(cell) for cell in cells.to_pylist()], np.bool_)


def is_utf8(data: bytes) -> bool:
    """Whether the bytes are UTF-8 text."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _buffers(cells: pa.LargeBinaryArray) -> tuple[npt.NDArray[np.uint8], Ints]:
    """The bytes of all cells and where each begins, [cells + 1]."""
    if not len(cells):
        return np.zeros(0, np.uint8), np.zeros(1, np.int64)
    _, offset_buffer, data_buffer = cells.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64)
    offsets = offsets[cells.offset : cells.offset + len(cells) + 1]
    data = np.frombuffer(data_buffer or b"", np.uint8)
    return data[offsets[0] : offsets[-1]], offsets - offsets[0]
