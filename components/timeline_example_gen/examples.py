"""The columns of examples, from timelines and tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.timeline_example_gen import columns as names
from components.timeline_example_gen import timelines
from components.timeline_example_gen.columns import ColumnSpec, Plan
from components.timeline_example_gen.example_encoder import (
    Column,
    Encoded,
    Terms,
    Windows,
    encode_values,
)
from components.timeline_example_gen.lookups import (
    FieldTable,
    Lookup,
    Values,
    make_values,
    padding_of,
)
from components.timeline_example_gen.sources.derived import OF_TIME
from components.timeline_example_gen.sources.source import Field, Role
from configs import features
from configs import recommender_pb2 as pb

Ints = npt.NDArray[np.int64]

_NO_TEXT = Terms(pa.array([b""], pa.large_binary()))


@dataclass(frozen=True)
class Activities:
    """Activities of some users, sorted by user, then time.

    Attributes:
      user: int64 ``[rows]``, index into `user_terms`.
      user_terms: large_binary, the users' ids as text.
      item: int64 ``[rows]``, index into `item_terms`.
      item_terms: int64 or large_binary, the items' ids.
      timestamp: int64 ``[rows]``.
      value: float64 ``[rows]``, if activities have a value.
      position: int64 ``[rows]``, activities of the same user before this one.
      length: int64 ``[rows]``, activities of the same user.
      fields: the activities' own fields ``[rows]``: int64, float64 or large_binary.
    """

    user: Ints
    user_terms: pa.LargeBinaryArray
    item: Ints
    item_terms: pa.Array
    timestamp: Ints
    value: npt.NDArray[np.float64] | None
    position: Ints
    length: Ints
    fields: Mapping[str, pa.Array]


@dataclass(frozen=True)
class _RowField:
    """A field of activities or users: its values, one row's after the other's.

    Attributes:
      values: encoded once for all examples.
      offsets: int64 ``[rows + 1]``, where each row's values begin; None: one a row.
    """

    values: Encoded
    offsets: Ints | None = None

    def span(self, begin: Ints, end: Ints) -> tuple[Ints, Ints]:
        """From where to where the values of ranges of rows stand."""
        if self.offsets is None:
            return begin, end
        return self.offsets[begin], self.offsets[end]


@dataclass(frozen=True)
class _Slots:
    """A multi-valued field of activities, so many values of each, with padding.

    Attributes:
      values: ``[rows * values_per_step]``.
      lengths: ``[rows]``, how many of each row's values are real.
    """

    values: Encoded
    lengths: Encoded


class ExampleColumns:
    """Makes the columns of examples, any part of them at a time.

    Args:
      plan: the columns.
      activities: of whole timelines.
      items: the item table.
      users: the user table.

    Attributes:
      user_row: int64 ``[users]``, the row of each in the user table, see `Lookup.rows`.
    """

    def __init__(
        self, plan: Plan, activities: Activities, items: Lookup, users: Lookup
    ) -> None:
        self._plan = plan
        self._activities = activities
        item_row = items.rows(activities.item_terms)[activities.item]
        self._fields = {
            field.name: _row_field(field, plan, activities, items, item_row)
            for field in plan.fields(Role.ITEM_ID, Role.ITEM, Role.VALUE, Role.ACTIVITY)
        }
        self._slots = {
            spec.name: _slots(spec, items.fields[spec.field.name], item_row)
            for spec in plan.specs
            if spec.is_aligned
        }
        self.user_row = users.rows(activities.user_terms)
        self._user_fields = {
            field.name: _table_field(field, users.fields[field.name], self.user_row)
            for field in plan.fields(Role.USER)
        }
        every_user = np.arange(len(activities.user_terms), dtype=np.int64)
        self._user_ids = encode_values(every_user, Terms(activities.user_terms))
        self._timestamps = encode_values(activities.timestamp)
        longest = int(activities.position.max(initial=0))
        texts = [features.history_bucket(p, plan.buckets) for p in range(longest + 1)]
        distinct, codes = np.unique(texts, return_inverse=True)
        terms = Terms(pa.array([t.encode() for t in distinct], pa.large_binary()))
        self._buckets = encode_values(codes.reshape(-1), terms)  # by position

    def __call__(self, label: Ints, with_seen: bool) -> dict[str, Column | Windows]:
        """The columns of the examples of some labels.

        Args:
          label: int64 ``[examples]``, rows.
          with_seen: whether the column of all earlier items is filled.

        Returns:
          Columns in the order of their names.
        """
        activities, plan = self._activities, self._plan
        user, position = activities.user[label], activities.position[label]
        context_length = np.minimum(position, plan.max_context_length)
        begin = label - context_length
        ranges = {
            features.USER: (self._user_fields, user, user + 1),
            features.LABEL: (self._fields, label, label + 1),
            features.CONTEXT: (self._fields, begin, label),
        }
        result: dict[str, Column | Windows] = {}
        for spec in plan.specs:
            fields, first, end = ranges[spec.prefix]
            if spec.is_aligned:
                result |= _steps(spec, self._slots[spec.name], first, end)
                continue
            field = fields[spec.field.name]
            result |= _part(spec, field, *field.span(first, end))
        seen = self._fields[plan.item.name].values
        result |= {
            names.CONTEXT_TIMESTAMP: Windows(
                self._timestamps, begin, label, plan.max_context_length
            ),
            names.LABEL_TIMESTAMP: Windows(self._timestamps, label, label + 1),
            names.LABEL_POSITION: _one(position),
            names.CONTEXT_LENGTH: _one(context_length),
            names.USER_ID: Windows(self._user_ids, user, user + 1),
            names.HISTORY_LENGTH: Windows(self._buckets, position, position + 1),
            names.ITEM_TITLE: _nothing(len(label), _NO_TEXT),
            plan.seen: Windows(seen, label - position if with_seen else label, label),
        }
        return dict(sorted(result.items()))


def catalogue_columns(
    plan: Plan, items: Lookup, part: slice
) -> dict[str, Column | Windows]:
    """One example per item: its own fields as label, all else empty.

    Args:
      plan: the columns.
      items: the item table, or the items of the log without any field.
      part: which of its rows.
    """
    rows = np.arange(len(items.keys), dtype=np.int64)[part]
    nothing = np.zeros(len(rows), np.int64)
    result: dict[str, Column | Windows] = {}
    for spec in plan.specs:
        field = _catalogue_field(spec, plan, items)
        span = (nothing, nothing)
        if spec.is_aligned:
            slots = _Slots(field.values, encode_values(nothing[:0]))
            result |= _steps(spec, slots, *span)
            continue
        of_item = spec.field.role in (Role.ITEM_ID, Role.ITEM)
        if spec.prefix == features.LABEL and of_item:
            span = field.span(rows, rows + 1)
        result |= _part(spec, field, *span)
    titles = items.titles
    seen = _item_values(items.keys, plan.item_type)
    context = np.zeros((len(rows), plan.max_context_length), np.int64)
    result |= {
        names.CONTEXT_TIMESTAMP: Column.dense(context),
        names.LABEL_TIMESTAMP: _one(nothing),
        names.LABEL_POSITION: _one(nothing),
        names.CONTEXT_LENGTH: _one(nothing),
        names.USER_ID: _one(nothing, _NO_TEXT),
        names.HISTORY_LENGTH: _one(nothing, Terms(pa.array([b"0"], pa.large_binary()))),
        names.ITEM_TITLE: _one(nothing, _NO_TEXT)
        if titles is None
        else _one(rows, Terms(titles)),
        plan.seen: _nothing(len(rows), seen.terms),
    }
    return dict(sorted(result.items()))


def _part(
    spec: ColumnSpec, field: _RowField, begin: Ints, end: Ints
) -> dict[str, Column | Windows]:
    """As many values of ranges as fit, the newest, or of one step the first.

    Of a multi-valued field also how many there are.
    """
    count = np.minimum(end - begin, spec.length)
    first = begin if spec.values_per_step else end - count
    result: dict[str, Column | Windows] = {
        spec.name: Windows(field.values, first, first + count, spec.length)
    }
    if spec.field.multi_valued:
        result[features.length_column(spec.name)] = _one(count)
    return result


def _steps(
    spec: ColumnSpec, slots: _Slots, begin: Ints, end: Ints
) -> dict[str, Column | Windows]:
    """The slots of the newest rows of ranges, and how many of each are real."""
    begin = np.maximum(begin, end - spec.steps)
    number = spec.values_per_step
    return {
        spec.name: Windows(slots.values, begin * number, end * number, spec.length),
        features.step_lengths_column(spec.name): Windows(
            slots.lengths, begin, end, spec.steps
        ),
    }


def _one(values: Ints, terms: Terms | None = None) -> Column:
    return Column.dense(values[:, None], terms)


def _nothing(examples: int, terms: Terms | None) -> Column:
    offsets = np.zeros(examples + 1, np.int64)
    return Column(np.zeros(0, np.int64), offsets, terms)


def _row_field(
    field: Field, plan: Plan, activities: Activities, items: Lookup, item_row: Ints
) -> _RowField:
    """A field of activities or of their items, row by row."""
    if field.role == Role.ITEM_ID:
        values = _item_values(activities.item_terms, plan.item_type)
        return _RowField(_encode(activities.item + 1, values))
    if field.role == Role.VALUE:
        assert activities.value is not None
        return _value_field(activities.value, plan.type_of(field))
    if field.role == Role.ACTIVITY:
        kind = plan.type_of(field)
        if field.derivation is None:
            return _activity_field(activities.fields[field.name], kind)
        if field.derivation == pb.GAP:
            gaps = timelines.gaps(activities.timestamp, activities.position)
            return _activity_field(pa.array(gaps), kind)
        of_time = OF_TIME[field.derivation](activities.timestamp, plan.timezone)
        return _activity_field(pa.array(of_time), kind)
    return _table_field(field, items.fields[field.name], item_row)


def _table_field(field: Field, table: FieldTable, row: Ints) -> _RowField:
    """A field of some rows of a table."""
    begin, end = table.offsets[row], table.offsets[row + 1]
    if not field.multi_valued:
        return _RowField(_encode(table.codes[begin], table.values))
    offsets = np.zeros(len(row) + 1, np.int64)
    np.cumsum(end - begin, out=offsets[1:])
    codes = table.codes[timelines.spread(begin, end - begin)]
    return _RowField(_encode(codes, table.values), offsets)


def _slots(spec: ColumnSpec, table: FieldTable, row: Ints) -> _Slots:
    """The first values of some rows of a table, each with padding behind it."""
    begin = table.offsets[row]
    count = np.minimum(table.offsets[row + 1] - begin, spec.values_per_step)
    real = np.arange(spec.values_per_step) < count[:, None]  # [rows, values_per_step]
    codes = np.zeros(real.shape, np.int64)
    codes[real] = table.codes[timelines.spread(begin, count)]
    return _Slots(_encode(codes.reshape(-1), table.values), encode_values(count))


def _catalogue_field(spec: ColumnSpec, plan: Plan, items: Lookup) -> _RowField:
    if spec.field.role == Role.ITEM_ID:
        codes = np.arange(1, len(items.keys) + 1, dtype=np.int64)
        return _RowField(_encode(codes, _item_values(items.keys, plan.item_type)))
    table = items.fields.get(spec.field.name)
    if table is None:  # The users' and the activities' own fields.
        values = make_values([padding_of(spec.type)], spec.type)
        return _RowField(_encode(np.zeros(1, np.int64), values))
    return _RowField(_encode(table.codes, table.values), table.offsets)


def _item_values(terms: pa.Array, item_type: int) -> Values:
    """Items' ids with the padding before them."""
    if item_type == pb.STRING:
        padding = pa.array([b""], pa.large_binary())
        return Values(None, Terms(pa.concat_arrays([padding, terms])))
    return Values(np.r_[np.int64(0), terms.to_numpy()], None)


def _activity_field(values: pa.Array, kind: int) -> _RowField:
    if kind == pb.STRING and pa.types.is_integer(values.type):
        values = values.cast(pa.large_string()).cast(pa.large_binary())
    encoded = values.dictionary_encode()
    codes = encoded.indices.to_numpy().astype(np.int64) + 1
    distinct = encoded.dictionary.to_pylist()
    return _RowField(_encode(codes, make_values([padding_of(kind), *distinct], kind)))


def _value_field(value: npt.NDArray[np.float64], kind: int) -> _RowField:
    distinct, codes = np.unique(value, return_inverse=True)
    codes = codes.reshape(-1).astype(np.int64) + 1
    if kind == pb.STRING:
        texts = [np.format_float_positional(v, trim="-").encode() for v in distinct]
        return _RowField(_encode(codes, make_values([b"", *texts], kind)))
    return _RowField(_encode(codes, make_values([0, *distinct.tolist()], kind)))


def _encode(codes: Ints, values: Values) -> Encoded:
    if values.terms is not None:
        return encode_values(codes, values.terms)
    assert values.numbers is not None
    return encode_values(values.numbers[codes])
