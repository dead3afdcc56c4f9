"""Activities from text with a separator between columns, without a loop over rows.

Blocks of lines are cut at separators and line ends with NumPy. Only where a file has
quotes are its lines taken one by one.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.timeline_example_gen.sources import cells, text
from components.timeline_example_gen.sources.source import (
    MAX_SAMPLES,
    ActivityBlock,
    ActivityTypes,
    RowCount,
    Sample,
)
from configs.errors import UserError

WRONG_COLUMNS = "wrong number of columns"
_MAX_QUOTED_LINES = 1_000
BAD_QUOTES = (
    f"a quote that is not closed (within {_MAX_QUOTED_LINES} lines), or text behind it"
)

_ROWS_PER_BLOCK = 100_000  # Of files with quotes.
# Cells in quotes may be as long as others; csv's own limit is for all of Python.
csv.field_size_limit(1 << 30)
# Stands for NUL, which csv refuses before Python 3.11. Bytes never become it.
_NUL = "\u2400"
# A character that text never holds stands for separators of several characters.
_UNIT_SEPARATOR = b"\x1f"

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Layout:
    """How a log's rows look.

    Attributes:
      separator: between columns.
      columns: how many there are.
      index: of the columns that are read, by what they hold, see `cells.Rows`.
      form: what the columns mean.
      header: whether the first line holds the columns' names.
      quotes: whether a column may stand in double quotes.
      encoding: of the text.
    """

    separator: bytes
    columns: int
    index: Mapping[str, int]
    form: cells.Form = field(default_factory=cells.Form)
    header: bool = False
    quotes: bool = False
    encoding: str = "utf-8"


@dataclass(frozen=True)
class _Lines(Sequence[bytes]):
    """The lines of a block, cut only if one is asked for."""

    block: bytes
    rows: Ints  # where each stands in the block

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: Any) -> Any:
        return self.block.split(b"\n")[self.rows[row]]


def read_header(path: str, separator: bytes, encoding: str) -> list[str]:
    """The names in the first line of a file.

    Raises:
      UserError: if the file is empty or cannot be decoded.
    """
    first = next(text.lines(text.utf8_chunks(path, encoding)), b"")
    try:
        line = first.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: line 1: {cells.NOT_UTF8}: {first[:80]!r}") from error
    if not line.strip():
        raise UserError(
            f"{path}: line 1: {line!r} instead of the names of the columns: the file "
            "is empty or has no header"
        )
    for odd, what in (
        ("\0", "a NUL; is the file in another encoding (data.files.encoding)?"),
        ("\r", "a line that ends with a carriage return alone"),
    ):
        if odd in line:
            raise UserError(
                f"{path}: line 1: {line[:80]!r} holds {what}. Expected the columns' "
                "names"
            )
    try:
        row = next(csv.reader([line], delimiter=separator.decode(), strict=True))
    except csv.Error as error:
        raise UserError(
            f"{path}: line 1: {line[:80]!r} is not the names of the columns: {error}"
        ) from error
    return [name.strip() for name in row]


def read_activities(
    path: str, layout: Layout, types: ActivityTypes
) -> Iterator[ActivityBlock]:
    """Reads a log, see `source.Source.read_activities`."""
    blocks = text.blocks(text.utf8_chunks(path, layout.encoding))
    line = 1
    for block in blocks:
        if layout.header and line == 1:
            end = block.index(b"\n") + 1
            block, line = block[end:], 2
        if not block:
            continue
        if layout.quotes and b'"' in block:
            # The quote may be closed in a later block.
            lines = text.lines(itertools.chain([block], blocks))
            yield from _read_quoted(lines, line, layout, types)
            return
        rows, count = _cut(block, line, layout)
        yield cells.parse_activities(rows, count, layout.form, types)
        line += block.count(b"\n")


def _cut(block: bytes, first_line: int, layout: Layout) -> tuple[cells.Rows, RowCount]:
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
    inside = np.searchsorted(separators, ends) - np.searchsorted(separators, starts)
    lengths = ends - starts
    # The byte before the line end; of an empty line it is the one before the line.
    returns = (lengths > 0) & (data[np.maximum(ends - 1, 0)] == ord("\r"))
    blank = lengths == returns
    right = (inside == layout.columns - 1) & ~blank
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
    found = pa.Array.from_buffers(
        pa.large_binary(),
        len(borders),
        [None, pa.py_buffer(offsets), pa.py_buffer(data[~border])],
    )
    index = np.flatnonzero(right)
    columns = {
        name: found.take(pa.array(np.arange(column, len(found), layout.columns)))
        for name, column in layout.index.items()
    }
    texts = _Lines(original, index)
    return cells.Rows(columns, lines=first_line + index, text=texts), count


def _read_quoted(
    lines: Iterator[bytes],
    first_line: int,
    layout: Layout,
    types: ActivityTypes,
) -> Iterator[ActivityBlock]:
    records: list[tuple[int, bytes, list[bytes]]] = []
    count = RowCount()
    for line, whole, row in quoted_records(lines, first_line, layout.separator, count):
        if len(row) != layout.columns:
            count.reject(WRONG_COLUMNS, 1, [Sample.of(line, whole)])
            continue
        records.append((line, whole, row))
        if len(records) == _ROWS_PER_BLOCK:
            rows = _columns(records, layout)
            yield cells.parse_activities(rows, count.take(), layout.form, types)
            records = []
    rows = _columns(records, layout)
    yield cells.parse_activities(rows, count, layout.form, types)


def _columns(
    records: list[tuple[int, bytes, list[bytes]]], layout: Layout
) -> cells.Rows:
    return cells.Rows(
        cells={
            name: pa.array([row[column] for _, _, row in records], pa.large_binary())
            for name, column in layout.index.items()
        },
        lines=np.array([line for line, _, _ in records], np.int64),
        text=[whole for _, whole, _ in records],
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
        whole = line
        row = _split_quoted(whole, separator)
        quotes = line.count(b'"')
        while row is None and quotes % 2 and len(parts) < _MAX_QUOTED_LINES:
            more = waiting.pop() if waiting else next(upcoming, None)
            if more is None:
                break
            parts.append(more)
            quotes += more.count(b'"')
            if quotes % 2 == 0:
                whole = b"".join(parts)
                row = _split_quoted(whole, separator)
        if row is None:
            count.reject(BAD_QUOTES, 1, [Sample.of(number, line)])
            waiting += reversed(parts[1:])
            number += 1
            continue
        yield number, whole, row
        number += len(parts)


def _split_quoted(record: bytes, separator: bytes) -> list[bytes] | None:
    """The columns of one row, or None if its quotes are not as they should be."""
    body = record.rstrip(b"\r\n")
    if b'"' not in body:
        return body.split(separator)
    # Latin-1 takes every byte to a character and back.
    characters = body.decode("latin-1").replace("\0", _NUL)
    reader = csv.reader(
        [characters], delimiter=separator.decode("latin-1"), strict=True
    )
    try:
        return [cell.replace(_NUL, "\0").encode("latin-1") for cell in next(reader)]
    except csv.Error:
        return None
