"""Parquet files, read by Arrow, batch by batch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.timeline_example_gen import clock, storage
from components.timeline_example_gen.sources import cells, tables
from components.timeline_example_gen.sources.mapped_source import (
    MappedSource,
    field_name,
)
from components.timeline_example_gen.sources.source import (
    ActivityBlock,
    ActivityTypes,
    RowCount,
    Table,
)
from configs import recommender_pb2 as pb
from configs.errors import UserError

DEFAULT_FILE = "activities.parquet"

_ROWS_PER_BLOCK = 100_000


@dataclass(frozen=True)
class ParquetSource(MappedSource):
    """Parquet files; a row's line is its number in the file, from 1."""

    kind: str = "PARQUET"

    def read_activities(
        self, path: str, types: ActivityTypes
    ) -> Iterator[ActivityBlock]:
        columns = self.activity_columns
        with _open(path) as file:
            kinds = _column_types(path, file, list(columns.values()))
        form = self.form
        kind = kinds[self.files.timestamp_column]
        if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
            form = replace(form, timestamps=pb.EPOCH_MILLISECONDS)
        return self._blocks(path, columns, form, types)

    def _blocks(
        self,
        path: str,
        columns: Mapping[str, str],
        form: cells.Form,
        types: ActivityTypes,
    ) -> Iterator[ActivityBlock]:
        first = 1
        for batch in _batches(path, sorted(set(columns.values()))):
            texts = {
                name: _as_text(batch[column], self.timezone)
                for name, column in columns.items()
            }
            rows = cells.Rows(
                cells=texts,
                lines=np.arange(first, first + batch.num_rows, dtype=np.int64),
                text=_Lines(batch),
            )
            count = RowCount(rows=batch.num_rows)
            yield cells.parse_activities(rows, count, form, types)
            first += batch.num_rows

    def read_table(
        self,
        what: str,
        path: str,
        key: str,
        fields: Sequence[pb.FileField],
        title: str = "",
    ) -> Table:
        names = [key, *(f.column for f in fields)] + ([title] if title else [])
        with _open(path) as file:
            _column_types(path, file, names, {f.column for f in fields if f.separator})
        count = RowCount()
        return tables.collect(
            path,
            what,
            _table_rows(path, names, self.timezone, count),
            count,
            key=lambda row: row[key],
            fields={field_name(f): _getter(f) for f in fields},
            title=(lambda row: row[title]) if title else None,
        )


def _getter(field: pb.FileField) -> Callable[[Any], Any]:
    if not field.separator:
        return lambda row: row[field.column] or None

    def several(row: dict[str, Any]) -> list[str]:
        value = row[field.column]
        values = value if isinstance(value, list) else value.split(field.separator)
        return [v for v in values if v]

    return several


class _Lines(Sequence[bytes]):
    """How the rows of a batch look, made only if one is asked for."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self._batch = batch

    def __len__(self) -> int:
        return int(self._batch.num_rows)

    def __getitem__(self, row: Any) -> Any:
        return str(self._batch.slice(row, 1).to_pylist()[0]).encode()


def _table_rows(
    path: str, names: Sequence[str], timezone: str, count: RowCount
) -> Iterator[tuple[int, bytes, dict[str, Any]]]:
    first = 1
    for batch in _batches(path, sorted(set(names))):
        count.rows += batch.num_rows
        columns: dict[str, list[Any]] = {}
        for name in names:
            column = batch[name]
            if _is_list(column.type):
                lists = column.to_pylist()
                columns[name] = [
                    [str(value) for value in row or () if value is not None]
                    for row in lists
                ]
            else:
                texts = _as_text(column, timezone).to_pylist()
                columns[name] = [value.decode("utf-8") for value in texts]
        lines = _Lines(batch)
        for row in range(batch.num_rows):
            content = {name: columns[name][row] for name in names}
            yield first + row, lines[row], content
        first += batch.num_rows


def _as_text(column: pa.Array, timezone: str) -> pa.LargeBinaryArray:
    """Values as UTF-8, those that are missing empty, times in milliseconds."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if pa.types.is_date(kind):
        column, kind = column.cast(pa.timestamp("ms")), pa.timestamp("ms")
    if pa.types.is_timestamp(kind):
        milliseconds = pc.cast(column, pa.timestamp("ms", kind.tz), safe=False)
        column = milliseconds.cast(pa.int64())
        if kind.tz is None and timezone != "UTC":
            column = _from_local(column, timezone)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        text = column.cast(pa.large_binary())
    else:
        text = column.cast(pa.large_string()).cast(pa.large_binary())
    return text.fill_null(b"")


def _from_local(milliseconds: pa.Int64Array, timezone: str) -> pa.Int64Array:
    values = milliseconds.fill_null(0).to_numpy()
    offsets = clock.local_offsets(values // 1000, timezone)
    return pa.array(values - 1000 * offsets, mask=np.asarray(milliseconds.is_null()))


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


@contextlib.contextmanager
def _open(path: str) -> Iterator[pq.ParquetFile]:
    with storage.open_for_reading(path) as file:
        try:
            yield pq.ParquetFile(pa.PythonFile(file, mode="r"))
        except (pa.ArrowInvalid, OSError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{path}: not a whole Parquet file: {reason}") from error


def _batches(path: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    with _open(path) as file:
        yield from file.iter_batches(_ROWS_PER_BLOCK, columns=list(columns))


def _column_types(
    path: str,
    file: pq.ParquetFile,
    names: Sequence[str],
    lists: set[str] | frozenset[str] = frozenset(),
) -> dict[str, pa.DataType]:
    """Types of some columns.

    Raises:
      UserError: if a column is not there, or of a type that is no text, number or time.
    """
    schema = file.schema_arrow
    for name in names:
        if schema.names.count(name) != 1:
            times = schema.names.count(name) or "no"
            raise UserError(
                f"{path}: {times} column {name!r}, expected one. There are "
                f"{', '.join(schema.names)}"
            )
        kind = schema.field(name).type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if pa.types.is_nested(kind) and not (name in lists and _is_list(kind)):
            raise UserError(
                f"{path}: column {name!r} is {kind}. Expected text, a number or a time"
            )
    return {name: schema.field(name).type for name in names}
