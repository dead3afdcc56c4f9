"""JSON Lines: an object a line; compressed or not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from components.timeline_example_gen.sources import cells, tables, text
from components.timeline_example_gen.sources.mapped_source import (
    MappedSource,
    field_name,
)
from components.timeline_example_gen.sources.source import (
    ActivityBlock,
    ActivityTypes,
    RowCount,
    Sample,
    Table,
)
from configs import recommender_pb2 as pb

DEFAULT_FILE = "activities.jsonl"
NOT_AN_OBJECT = "not a JSON object"
NOT_A_SCALAR = "{} is neither text nor a number"

_ROWS_PER_BLOCK = 100_000

Row = tuple[int, bytes, "dict[str, Any]"]


@dataclass(frozen=True)
class JsonLinesSource(MappedSource):
    """Text files with an object in each line."""

    kind: str = "JSON_LINES"

    def read_activities(
        self, path: str, types: ActivityTypes
    ) -> Iterator[ActivityBlock]:
        return self._blocks(path, types)

    def _blocks(self, path: str, types: ActivityTypes) -> Iterator[ActivityBlock]:
        count = RowCount()
        rows: list[Row] = []
        columns = self.activity_columns
        for row in _objects(path, self.files.encoding, columns.values(), count):
            rows.append(row)
            if len(rows) == _ROWS_PER_BLOCK:
                yield self._parse(rows, columns, count.take(), types)
                rows = []
        yield self._parse(rows, columns, count, types)

    def _parse(
        self,
        rows: Sequence[Row],
        columns: Mapping[str, str],
        count: RowCount,
        types: ActivityTypes,
    ) -> ActivityBlock:
        parsed = cells.Rows(
            cells={
                name: pa.array(
                    [content[column] for _, _, content in rows], pa.large_binary()
                )
                for name, column in columns.items()
            },
            lines=np.array([line for line, _, _ in rows], np.int64),
            text=[line for _, line, _ in rows],
        )
        return cells.parse_activities(parsed, count, self.form, types)

    def read_table(
        self,
        what: str,
        path: str,
        key: str,
        fields: Sequence[pb.FileField],
        title: str = "",
    ) -> Table:
        count = RowCount()
        single = [key, *(f.column for f in fields if not f.separator)]
        single += [title] if title else []
        several = {f.column: f.separator for f in fields if f.separator}
        return tables.collect(
            path,
            what,
            _objects(path, self.files.encoding, single, count, several),
            count,
            key=lambda content: content[key].decode(),
            fields={field_name(f): _getter(f) for f in fields},
            title=(lambda content: content[title].decode()) if title else None,
        )


def _getter(field: pb.FileField) -> Any:
    if field.separator:
        return lambda content: [v.decode() for v in content[field.column] if v]
    return lambda content: content[field.column].decode() or None


def _objects(
    path: str,
    encoding: str,
    single: Any,
    count: RowCount,
    several: Mapping[str, str] | None = None,
) -> Iterator[Row]:
    """The objects of a file, the wanted values as UTF-8.

    Args:
      path: of the file.
      encoding: of the file.
      single: names of the values that are one text or number.
      count: gets the rows and the rejected ones.
      several: names of the values that are lists, or texts with a separator between
        the values, and that separator.
    """
    chunks = text.utf8_chunks(path, encoding)
    for number, line in enumerate(text.lines(chunks), 1):
        if not line.strip():
            count.blank_lines += 1
            continue
        count.rows += 1
        try:
            content = json.loads(line, parse_constant=_refuse)
        except UnicodeDecodeError:
            count.reject(cells.NOT_UTF8, 1, [Sample.of(number, line)])
            continue
        except ValueError:
            content = None
        if not isinstance(content, dict):
            count.reject(NOT_AN_OBJECT, 1, [Sample.of(number, line)])
            continue
        values: dict[str, Any] = {}
        wrong = ""
        for name in single:
            value = _encode(content.get(name))
            wrong = wrong or (NOT_A_SCALAR.format(name) if value is None else "")
            values[name] = value
        for name, separator in (several or {}).items():
            found = _encode_several(content.get(name), separator)
            wrong = wrong or (NOT_A_SCALAR.format(name) if found is None else "")
            values[name] = found
        if wrong:
            count.reject(wrong, 1, [Sample.of(number, line)])
            continue
        yield number, line, values


def _encode(value: Any) -> bytes | None:
    """Text or a number as UTF-8, nothing as no byte; None for all else."""
    if value is None:
        return b""
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return repr(value).encode()
    return None


def _encode_several(value: Any, separator: str) -> list[bytes] | None:
    if isinstance(value, list):
        encoded = [_encode(element) for element in value]
        return None if None in encoded else [e for e in encoded if e is not None]
    one = _encode(value)
    return None if one is None else one.split(separator.encode())


def _refuse(name: str) -> None:
    raise ValueError(name)  # NaN and the infinities are no JSON.
