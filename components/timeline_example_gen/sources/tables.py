"""Item and user tables from text with a separator between columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.timeline_example_gen.sources import delimited, text
from components.timeline_example_gen.sources.cells import NOT_UTF8, is_utf8
from components.timeline_example_gen.sources.source import RowCount, Sample, Table

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
    return collect(
        path,
        layout.what,
        _rows(path, layout, count),
        count,
        key=lambda cells: cells[layout.key],
        fields=fields,
        title=title,
        integer_keys=layout.integer_keys,
    )


def collect(
    path: str,
    what: str,
    rows: Iterable[tuple[int, bytes, Any]],
    count: RowCount,
    *,
    key: Callable[[Any], str],
    fields: Mapping[str, Callable[[Any], str | Sequence[str] | None]],
    title: Callable[[Any], str] | None = None,
    integer_keys: bool = False,
) -> Table:
    """Makes a table of rows; those with a key of no use are counted and left out.

    Args:
      path: of the file.
      what: what a row is, for messages.
      rows: line, text and content of each.
      count: gets the rejected rows.
      key: gets the key from a row's content.
      fields: how to get each field.
      title: how to get the title, if there is one.
      integer_keys: whether keys are integers by the format.
    """
    keys: list[str] = []
    lines: list[int] = []
    texts: list[bytes] = []
    columns: dict[str, list] = {name: [] for name in fields}
    titles: list[str] = []
    seen = set[str]()
    for line, row, content in rows:
        given = key(content)
        wanted = _canonical_integer(given) if integer_keys else given
        problem = _key_problem(given, wanted, seen, what)
        if problem:
            count.reject(problem, 1, [Sample.of(line, row)])
            continue
        seen.add(wanted)
        keys.append(wanted)
        lines.append(line)
        texts.append(row)
        for name, extract in fields.items():
            columns[name].append(extract(content))
        if title is not None:
            titles.append(title(content))
    return Table(
        file=path,
        keys=keys,
        lines=lines,
        texts=texts,
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


def _rows(
    path: str, layout: TableLayout, count: RowCount
) -> Iterator[tuple[int, bytes, list[str]]]:
    """Rows with the right number of columns, with the line and text of each."""
    lines = [
        line + b"\n" for line in text.read_utf8(path, layout.encoding).split(b"\n")
    ]
    if lines[-1] == b"\n":
        lines.pop()
    first = 2 if layout.header else 1
    lines = lines[first - 1 :]
    records = (
        delimited.quoted_records(lines, first, layout.separator, count)
        if layout.quotes
        else _plain_records(lines, first, layout.separator, count)
    )
    for line, row, cells in records:
        if len(cells) != layout.columns:
            count.reject(delimited.WRONG_COLUMNS, 1, [Sample.of(line, row)])
        elif not all(map(is_utf8, cells)):
            count.reject(NOT_UTF8, 1, [Sample.of(line, row)])
        else:
            yield line, row, [cell.decode("utf-8") for cell in cells]


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
