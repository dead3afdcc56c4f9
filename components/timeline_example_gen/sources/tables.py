"""Item and user tables from text with a separator between columns."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from components.timeline_example_gen import storage
from components.timeline_example_gen.sources import delimited
from components.timeline_example_gen.sources.source import RowCount, Sample, Table
from configs.errors import UserError

Cells = Sequence[str]
Extractor = Callable[[Cells], "str | Sequence[str] | None"]


@dataclass(frozen=True)
class TableLayout:
    """How a table's rows look.

    Attributes:
      what: what a row is, for messages: ``"item"`` or ``"user"``.
      separator: between columns.
      columns: how many there are.
      key: index of the key's column.
      integer_keys: whether keys are integers by the format.
      header: whether the first line holds the columns' names.
      quotes: whether a column may stand in double quotes.
      encoding: of the text; None: UTF-8 if the file is valid UTF-8, else Latin-1.
    """

    what: str
    separator: bytes
    columns: int
    key: int = 0
    integer_keys: bool = True
    header: bool = False
    quotes: bool = False
    encoding: str | None = None


def read_table(
    path: str,
    layout: TableLayout,
    fields: Mapping[str, Extractor],
    title: Callable[[Cells], str] | None = None,
) -> Table:
    """Reads a table; rows that cannot be used are counted and left out.

    Args:
      path: of the file.
      layout: how its rows look.
      fields: how to get each field from a row's columns.
      title: how to get the title, if there is one.

    Raises:
      UserError: if the file's encoding is not known.
    """
    count = RowCount()
    keys: list[str] = []
    lines: list[int] = []
    columns: dict[str, list] = {name: [] for name in fields}
    titles: list[str] = []
    seen = set[str]()
    for line, text, cells in _rows(path, layout, count):
        key = cells[layout.key]
        if layout.integer_keys:
            key = _canonical_integer(key)
        problem = _key_problem(cells[layout.key], key, seen, layout.what)
        if problem:
            count.reject(problem, 1, [Sample.of(line, text)])
            continue
        seen.add(key)
        keys.append(key)
        lines.append(line)
        for name, extract in fields.items():
            columns[name].append(extract(cells))
        if title is not None:
            titles.append(title(cells))
    return Table(
        file=path,
        keys=keys,
        lines=lines,
        fields=dict(columns),
        titles=titles if title is not None else None,
        count=count,
    )


def column(index: int) -> Callable[[Cells], str | None]:
    """Gets a column; an empty one holds no value."""
    return lambda cells: cells[index] or None


def several(index: int, separator: str) -> Callable[[Cells], Sequence[str]]:
    """Gets a column's values; empty ones are none."""
    return lambda cells: [v for v in cells[index].split(separator) if v]


def read_text(path: str, encoding: str | None) -> bytes:
    """The content of a file as UTF-8 without a byte-order mark.

    Args:
      path: of the file.
      encoding: None: UTF-8 if the content is valid UTF-8, else Latin-1, in which the
        older MovieLens sets are.
    """
    content = storage.read_bytes(path)
    if encoding is None:
        encoding = "utf-8" if delimited.is_utf8(content) else "latin-1"
    try:
        name = codecs.lookup(encoding).name
    except LookupError as error:
        raise UserError(delimited.unknown_encoding(encoding)) from error
    if name in ("utf-8", "utf-8-sig", "ascii"):
        return content.removeprefix(codecs.BOM_UTF8)
    # Bytes that the encoding does not know come out as no UTF-8, for row by row.
    text = content.decode(name, "surrogateescape")
    return text.encode("utf-8", "surrogateescape")


def _rows(
    path: str, layout: TableLayout, count: RowCount
) -> Iterator[tuple[int, bytes, list[str]]]:
    """Rows with the right number of columns, with the line and text of each."""
    lines = [line + b"\n" for line in read_text(path, layout.encoding).split(b"\n")]
    if lines[-1] == b"\n":
        lines.pop()
    first = 2 if layout.header else 1
    lines = lines[first - 1 :]
    records = (
        delimited.quoted_records(lines, first, layout.separator, count)
        if layout.quotes
        else _plain_records(lines, first, layout.separator, count)
    )
    for line, text, cells in records:
        if len(cells) != layout.columns:
            count.reject(delimited.WRONG_COLUMNS, 1, [Sample.of(line, text)])
        elif not all(map(delimited.is_utf8, cells)):
            count.reject(delimited.NOT_UTF8, 1, [Sample.of(line, text)])
        else:
            yield line, text, [cell.decode("utf-8") for cell in cells]


def _plain_records(
    lines: Sequence[bytes], first_line: int, separator: bytes, count: RowCount
) -> Iterator[tuple[int, bytes, list[bytes]]]:
    for number, line in enumerate(lines, first_line):
        body = line.rstrip(b"\r\n")
        if not body:
            count.blank_lines += 1
            continue
        count.rows += 1
        yield number, line, body.split(separator)


def _canonical_integer(text: str) -> str:
    """The shortest way to write it, as activities have it; other text is empty."""
    stripped = text.strip()
    digits = stripped.lstrip("+-")
    is_integer = digits.isascii() and digits.isdigit() and len(digits) <= 18
    return str(int(stripped)) if is_integer and len(stripped) - len(digits) <= 1 else ""


def _key_problem(text: str, key: str, seen: set[str], what: str) -> str:
    if not text:
        return f"{what} is empty"
    if not key:
        return f"{what} is not an integer"
    return f"{what} is in the table already" if key in seen else ""
