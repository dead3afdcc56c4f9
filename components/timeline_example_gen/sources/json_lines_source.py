"""JSON Lines: an object a line; compressed or not."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from components.timeline_example_gen.sources import cells, text
from components.timeline_example_gen.sources.mapped_source import (
    MappedSource,
    table_of_texts,
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
TWICE = "a JSON object with the same name twice"
NOT_A_SCALAR = "{} is neither text nor a number"

_ROWS_PER_BLOCK = 100_000

Object = dict[str, Any]
Row = tuple[int, bytes, Object]


@dataclass(frozen=True)
class JsonLinesSource(MappedSource):
    """Text files with an object in each line."""

    kind: str = "JSON_LINES"

    def read_activities(
        self, path: str, types: ActivityTypes
    ) -> Iterator[ActivityBlock]:
        count = RowCount()
        rows: list[Row] = []
        single = set(self.activity_columns.values())
        look = self._only_type_of_others(types)
        for row in _objects(path, self.files.encoding, single, set(), count, look):
            rows.append(row)
            if len(rows) == _ROWS_PER_BLOCK:
                yield self._parse(rows, count.take(), types)
                rows = []
        yield self._parse(rows, count, types)

    def _only_type_of_others(self, types: ActivityTypes) -> Callable[[Object], Object]:
        """What is looked at of an object: of types not wanted their type alone."""
        column = self.files.activity_type_column

        def look(content: Object) -> Object:
            kind = content.get(column)
            is_wanted = _text(column, kind) in types.activity_types
            return content if is_wanted else {column: kind}

        return look if types.activity_types else lambda content: content

    def _parse(
        self, rows: Sequence[Row], count: RowCount, types: ActivityTypes
    ) -> ActivityBlock:
        parsed = cells.Rows(
            cells={
                name: pa.array(
                    [row[column] for _, _, row in rows], pa.large_string()
                ).cast(pa.large_binary())
                for name, column in self.activity_columns.items()
            },
            lines=np.array([line for line, _, _ in rows], np.int64),
            text=[text for _, text, _ in rows],
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
        lists = {f.column for f in fields if f.separator}
        single = {key, title, *(f.column for f in fields)} - lists - {""}
        rows = _objects(path, self.files.encoding, single, lists, count)
        return table_of_texts(path, what, rows, count, key, fields, title)


def _objects(
    path: str,
    encoding: str,
    single: set[str],
    lists: set[str],
    count: RowCount,
    look: Callable[[Object], Object] = lambda content: content,
) -> Iterator[Row]:
    """The objects of a file, the wanted values as text.

    Args:
      path: of the file.
      encoding: of the file.
      single: names of the values that are one text or number.
      lists: names of the values that may be lists of them.
      count: gets the rows and the rejected ones.
      look: gives what is looked at of an object.
    """
    for number, line in enumerate(text.lines(text.utf8_chunks(path, encoding)), 1):
        if not line.strip():
            count.blank_lines += 1
            continue
        count.rows += 1
        values: Object = {}
        try:
            content = look(_parse_object(line))
            values |= {name: _text(name, content.get(name)) for name in single}
            values |= {name: _texts(name, content.get(name)) for name in lists}
        except _Wrong as error:
            count.reject(str(error), 1, [Sample.of(number, line)])
            continue
        yield number, line, values


class _Wrong(Exception):
    """Why a row cannot be used."""


def _parse_object(line: bytes) -> Object:
    try:
        content = json.loads(
            line.decode("utf-8"),
            parse_constant=_refuse,
            object_pairs_hook=_no_pair_twice,
        )
    except UnicodeDecodeError:
        raise _Wrong(cells.NOT_UTF8) from None
    except (ValueError, RecursionError):
        raise _Wrong(NOT_AN_OBJECT) from None
    if not isinstance(content, dict):
        raise _Wrong(NOT_AN_OBJECT)
    return content


def _text(name: str, value: Any) -> str:
    """Text or a number as text, nothing as no letter."""
    if value is None:
        return ""
    if isinstance(value, str):
        # Half of a surrogate pair, "\\ud800", is no letter; others must not become it.
        if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
            raise _Wrong(cells.NOT_UTF8)
        return value
    if isinstance(value, float) and math.isfinite(value):
        # As in Parquet, 5.0 is 5.
        return repr(int(value) if value.is_integer() else value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise _Wrong(NOT_A_SCALAR.format(name))


def _texts(name: str, value: Any) -> str | list[str]:
    if isinstance(value, list):
        return [_text(name, element) for element in value]
    return _text(name, value)


def _no_pair_twice(pairs: list[tuple[str, Any]]) -> Object:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise _Wrong(TWICE)
    return content


def _refuse(name: str) -> None:
    raise ValueError(name)  # NaN and the infinities are no JSON.
