"""Item and user tables by their keys, values as codes, in the columns' types."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.timeline_example_gen.example_encoder import Terms
from components.timeline_example_gen.sources.cells import FLOAT32_END
from components.timeline_example_gen.sources.source import Field, Sample, Table
from configs import recommender_pb2 as pb

Ints = npt.NDArray[np.int64]

Value = int | float | bytes

_INT64 = np.iinfo(np.int64)
_INTEGER = re.compile(r"\s*[+-]?[0-9]+\s*", re.ASCII)
_NUMBER = re.compile(
    r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*", re.ASCII
)


@dataclass(frozen=True)
class Values:
    """Distinct values of one type; the first is the padding.

    Attributes:
      numbers: int64 or float32 ``[values]``, of INT and FLOAT columns.
      terms: of STRING columns.
    """

    numbers: npt.NDArray[np.int64] | npt.NDArray[np.float32] | None
    terms: Terms | None


@dataclass(frozen=True)
class FieldTable:
    """A field of all rows of a table, and of one row more that stands for none.

    Attributes:
      offsets: int64 ``[rows + 2]``: where each row's codes begin.
      codes: int64, indices into `values`; 0 where a value is missing.
      values: what the codes stand for.
    """

    offsets: Ints
    codes: Ints
    values: Values


@dataclass(frozen=True)
class _Row:
    """A row in the columns' types: its place in the table, and its fields' values."""

    key: Any
    place: int
    values: list[list[Value]]


@dataclass(frozen=True)
class Lookup:
    """A table by its keys.

    Attributes:
      keys: int64 or large_binary ``[rows]``, ascending.
      fields: by name.
      titles: large_binary ``[rows]``.
    """

    keys: pa.Array
    fields: dict[str, FieldTable]
    titles: pa.LargeBinaryArray | None

    def rows(self, keys: pa.Array) -> Ints:
        """The row of each key; the one after the last for unknown keys."""
        if not len(self.keys):
            return np.zeros(len(keys), np.int64)
        found = pc.index_in(keys, value_set=self.keys)
        return found.fill_null(len(self.keys)).to_numpy().astype(np.int64)


def make_lookup(
    table: Table | None,
    fields: Sequence[tuple[Field, int]],
    key_type: int,
    what: str,
) -> Lookup:
    """Converts a table's texts; rows that cannot be used are left out.

    Args:
      table: None gives a lookup that knows no key and no field; its count gets the rows
        that are left out.
      fields: those wanted, with the ``pb.FeatureType`` of their columns.
      key_type: ``pb.INT`` or ``pb.STRING``.
      what: what a row is, for messages.
    """
    if table is None:
        return Lookup(keys=empty_keys(key_type), fields={}, titles=None)
    rows = sorted(_usable_rows(table, fields, key_type, what), key=lambda row: row.key)
    kind = pa.int64() if key_type == pb.INT else pa.large_binary()
    titles = None
    if table.titles is not None:
        encoded = [table.titles[row.place].encode() for row in rows]
        titles = pa.array(encoded, pa.large_binary())
    return Lookup(
        keys=pa.array([row.key for row in rows], kind),
        fields={
            field.name: _field_table([row.values[i] for row in rows], field, kind)
            for i, (field, kind) in enumerate(fields)
        },
        titles=titles,
    )


def empty_keys(key_type: int) -> pa.Array:
    """No key, of the type of the others."""
    return pa.array([], pa.int64() if key_type == pb.INT else pa.large_binary())


def _usable_rows(
    table: Table, fields: Sequence[tuple[Field, int]], key_type: int, what: str
) -> Iterator[_Row]:
    columns = [(table.fields[field.name], field.name, kind) for field, kind in fields]
    seen = set[Value]()
    for place, text in enumerate(table.keys):
        try:
            key = _convert(text, key_type, what)
            # As integers, two may be the same that are not as text.
            if key in seen:
                raise ValueError(f"{what} is in the table already")
            values = [
                _convert_cell(cells[place], kind, name) for cells, name, kind in columns
            ]
        except ValueError as error:
            sample = Sample.of(table.lines[place], table.texts[place])
            table.count.reject(str(error), 1, [sample])
            continue
        seen.add(key)
        yield _Row(key, place, values)


def _field_table(
    rows: Sequence[Sequence[Value]], field: Field, kind: int
) -> FieldTable:
    lengths = [len(values) for values in rows]
    code_of: dict[Value, int] = {padding_of(kind): 0}
    codes = [code_of.setdefault(v, len(code_of)) for values in rows for v in values]
    if field.multi_valued:
        lengths.append(0)
    else:
        lengths.append(1)
        codes.append(0)
    return FieldTable(
        offsets=np.cumsum([0, *lengths], dtype=np.int64),
        codes=np.array(codes, np.int64),
        values=make_values(list(code_of), kind),
    )


def padding_of(kind: int) -> Value:
    """What stands where there is no value, in columns of a type."""
    paddings: dict[int, Value] = {pb.INT: 0, pb.FLOAT: 0.0}
    return paddings.get(kind, b"")


def make_values(values: Sequence[Value], kind: int) -> Values:
    """Values of a column's type."""
    if kind == pb.STRING:
        return Values(None, Terms(pa.array(values, pa.large_binary())))
    if kind == pb.INT:
        return Values(np.array(values, np.int64), None)
    return Values(np.array(values, np.float32), None)


def _convert_cell(
    cell: str | Sequence[str] | None, kind: int, name: str
) -> list[Value]:
    if cell is None:
        return [padding_of(kind)]
    several = [cell] if isinstance(cell, str) else cell
    return [_convert(text, kind, name) for text in several]


def _convert(text: str, kind: int, what: str) -> Value:
    if kind == pb.STRING:
        return text.encode()
    if kind == pb.INT:
        # Not int() alone, which takes other digits than those of ASCII, and "1_000".
        if _INTEGER.fullmatch(text) and _INT64.min <= int(text) <= _INT64.max:
            return int(text)
        raise ValueError(f"{what} is not an integer")
    if not _NUMBER.fullmatch(text) or abs(float(text)) >= FLOAT32_END:
        raise ValueError(f"{what} is not a number")
    # There is one zero, not a negative one too.
    return float(text) + 0.0
