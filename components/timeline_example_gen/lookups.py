"""Item and user tables by their keys, values as codes, in the columns' types."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.timeline_example_gen.example_encoder import Terms
from components.timeline_example_gen.sources.source import Field, Table
from configs import recommender_pb2 as pb
from configs.errors import UserError

Ints = npt.NDArray[np.int64]

_INT64 = np.iinfo(np.int64)


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
    """Converts a table's texts.

    Args:
      table: None gives a lookup that knows no key and no field.
      fields: those wanted, with the ``pb.FeatureType`` of their columns.
      key_type: ``pb.INT`` or ``pb.STRING``.
      what: what a row is, for messages.

    Raises:
      UserError: if a text is not of the type wanted.
    """
    if table is None:
        return Lookup(keys=empty_keys(key_type), fields={}, titles=None)
    keys, order = _sorted_keys(table, key_type, what)
    converted = {
        field.name: _field_table(table, field, kind, order) for field, kind in fields
    }
    titles = None
    if table.titles is not None:
        titles = pa.array([table.titles[i].encode() for i in order], pa.large_binary())
    return Lookup(keys=keys, fields=converted, titles=titles)


def empty_keys(key_type: int) -> pa.Array:
    """No key, of the type of the others."""
    return pa.array([], pa.int64() if key_type == pb.INT else pa.large_binary())


def _sorted_keys(table: Table, key_type: int, what: str) -> tuple[pa.Array, list[int]]:
    if key_type == pb.INT:
        numbers = [
            _convert(text, pb.INT, table, row, what)
            for row, text in enumerate(table.keys)
        ]
        order = sorted(range(len(numbers)), key=numbers.__getitem__)
        return pa.array([numbers[i] for i in order], pa.int64()), order
    encoded = [text.encode() for text in table.keys]
    order = sorted(range(len(encoded)), key=encoded.__getitem__)
    return pa.array([encoded[i] for i in order], pa.large_binary()), order


def _field_table(
    table: Table, field: Field, kind: int, order: Sequence[int]
) -> FieldTable:
    rows = table.fields[field.name]
    lengths, codes = [], []
    padding = padding_of(kind)
    code_of: dict[int | float | bytes, int] = {padding: 0}
    for row in order:
        cell = rows[row]
        several = [cell] if cell is None or isinstance(cell, str) else cell
        lengths.append(len(several))
        for text in several:
            value = (
                padding
                if text is None
                else _convert(text, kind, table, row, field.name)
            )
            codes.append(code_of.setdefault(value, len(code_of)))
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


def padding_of(kind: int) -> int | float | bytes:
    """What stands where there is no value, in columns of a type."""
    paddings: dict[int, int | float | bytes] = {pb.INT: 0, pb.FLOAT: 0.0}
    return paddings.get(kind, b"")


def make_values(values: Sequence[int | float | bytes], kind: int) -> Values:
    """Values of a column's type."""
    if kind == pb.STRING:
        return Values(None, Terms(pa.array(values, pa.large_binary())))
    if kind == pb.INT:
        return Values(np.array(values, np.int64), None)
    return Values(np.array(values, np.float32), None)


def _convert(
    text: str, kind: int, table: Table, row: int, what: str
) -> int | float | bytes:
    if kind == pb.STRING:
        return text.encode()
    convert: Callable[[str], int | float] = int if kind == pb.INT else float
    try:
        value = convert(text)
    except ValueError:
        value = np.inf
    if not (
        _INT64.min <= value <= _INT64.max if kind == pb.INT else np.isfinite(value)
    ):
        expected = "an integer" if kind == pb.INT else "a number"
        raise UserError(
            f"{table.file}: line {table.lines[row]}: {what} is {text!r}, expected "
            f"{expected}, since its feature is {pb.FeatureType.Name(kind)}"
        )
    return value
