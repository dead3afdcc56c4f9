"""Parquet files, read by Arrow, batch by batch."""

from __future__ import annotations

import contextlib
import decimal
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.timeline_example_gen import clock, storage
from components.timeline_example_gen.sources import cells
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
from configs.errors import UserError

DEFAULT_FILE = "activities.parquet"

_ROWS_PER_BLOCK = 100_000
_FAR = 10**14
_LAST = 4_102_444_800  # 2100-01-01


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
                name: _as_text(
                    _milliseconds(batch[column], self.timezone)
                    if name == cells.TIMESTAMP
                    else batch[column]
                )
                for name, column in columns.items()
            }
            rows = cells.Rows(
                cells=texts,
                lines=np.arange(first, first + batch.num_rows, dtype=np.int64),
                text=_Lines({columns[name]: text for name, text in texts.items()}),
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
        rows = _table_rows(path, names, count)
        return table_of_texts(path, what, rows, count, key, fields, title)


class _Lines(Sequence[bytes]):
    """How the rows of a batch look, made only if one is asked for."""

    def __init__(self, texts: Mapping[str, pa.LargeBinaryArray]) -> None:
        self._texts = texts

    def __len__(self) -> int:
        return len(next(iter(self._texts.values())))

    def __getitem__(self, row: Any) -> Any:
        cells_of_row = {
            column: texts[row].as_py().decode("utf-8", "backslashreplace")
            for column, texts in self._texts.items()
        }
        return str(cells_of_row).encode()


def _table_rows(
    path: str, names: Sequence[str], count: RowCount
) -> Iterator[tuple[int, bytes, dict[str, Any]]]:
    line = 0
    for batch in _batches(path, sorted(set(names))):
        columns = [_cells(batch[name]) for name in names]
        for cells_of_row in zip(*columns, strict=True):
            line += 1
            count.rows += 1
            row = dict(zip(names, cells_of_row, strict=True))
            text = str(row).encode()
            if None in cells_of_row:
                count.reject(cells.NOT_UTF8, 1, [Sample.of(line, text)])
                continue
            yield line, text, row


def _cells(column: pa.Array) -> list[str | list[str] | None]:
    """A text or a list of texts for each row; None where one is no UTF-8."""
    if _is_list(column.type):
        texts = _cells(column.flatten())
        lengths = column.value_lengths().fill_null(0).to_pylist()
        rest = iter(texts)
        rows: list[Any] = [list(itertools.islice(rest, length)) for length in lengths]
        return [None if None in row else row for row in rows]
    values = _as_text(column).to_pylist()
    return [v.decode("utf-8") if cells.is_utf8(v) else None for v in values]


def _as_text(column: pa.Array) -> pa.LargeBinaryArray:
    """Values as UTF-8, those that are missing and NaN empty."""
    column = _plain(column)
    kind = column.type
    if pa.types.is_decimal(kind):
        texts = [_decimal_text(value) for value in column.to_pylist()]
        return pa.array(texts, pa.large_string()).cast(pa.large_binary())
    if _is_bytes(kind):
        text = column.cast(pa.large_binary())
    elif pa.types.is_floating(kind):
        text = _float_texts(column).cast(pa.large_binary())
    else:
        text = column.cast(pa.large_string()).cast(pa.large_binary())
    return text.fill_null(b"")


def _float_texts(column: pa.Array) -> pa.LargeStringArray:
    """Whole numbers as integers: Arrow's own text of 1.7e12 has an exponent."""
    nothing = pa.scalar(None, column.type)
    column = pc.if_else(pc.is_nan(column), nothing, column)
    is_whole = pc.equal(column, pc.floor(column))
    is_int64 = pc.less(pc.abs(column), 2.0**63)
    integers = pc.if_else(pc.and_(is_whole, is_int64), column, nothing)
    text = integers.cast(pa.int64()).cast(pa.large_string())
    return pc.coalesce(text, column.cast(pa.large_string()))


def _decimal_text(value: decimal.Decimal | None) -> str:
    """As a float's: 5.00 is 5."""
    if value is None:
        return ""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _plain(column: pa.Array) -> pa.Array:
    is_dictionary = pa.types.is_dictionary(column.type)
    return column.dictionary_decode() if is_dictionary else column


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def _is_cell(kind: pa.DataType) -> bool:
    """Whether a value of this type can be written as text."""
    is_one_of = (
        *(pa.types.is_string, pa.types.is_large_string, _is_bytes),
        *(pa.types.is_integer, pa.types.is_float32, pa.types.is_float64),
        pa.types.is_decimal,
        *(pa.types.is_date, pa.types.is_timestamp, pa.types.is_time),
        *(pa.types.is_boolean, pa.types.is_null),
    )
    return any(is_type(kind) for is_type in is_one_of)


def _milliseconds(column: pa.Array, timezone: str) -> pa.Array:
    """Times of Parquet's own as milliseconds since 1970; without a zone, local ones."""
    column = _plain(column)
    if not (pa.types.is_date(column.type) or pa.types.is_timestamp(column.type)):
        return column
    zone = getattr(column.type, "tz", None)
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("ms"))
    missing = np.asarray(column.is_null())
    unit = column.type.unit
    values = column.cast(pa.int64()).fill_null(0).to_numpy()
    # What is out of range stays so: it must not come round.
    if unit == "s":
        values = np.clip(values, -_FAR, _FAR) * 1000
    values = values // {"s": 1, "ms": 1, "us": 1000, "ns": 1_000_000}[unit]
    values = np.clip(values, -_FAR, _FAR)
    if zone is None and timezone != "UTC":
        near = np.clip(values // 1000, 0, _LAST)
        values = values - 1000 * clock.local_offsets(near, timezone)
    return pa.array(values, mask=missing)


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
        of_list = name in lists and _is_list(kind)
        if not _is_cell(kind.value_type if of_list else kind):
            raise UserError(
                f"{path}: column {name!r} is {kind}. Expected text, a number or a time"
            )
    return {name: schema.field(name).type for name in names}
