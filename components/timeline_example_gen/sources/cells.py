"""From cells of text to typed activities; rows with a wrong cell are told apart."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.timeline_example_gen import clock
from components.timeline_example_gen.sources.source import (
    FIELD_COLUMN,
    MAX_SAMPLES,
    ActivityBlock,
    ActivityTypes,
    RowCount,
    Sample,
)
from configs import recommender_pb2 as pb

USER, ITEM, TIMESTAMP, VALUE, TYPE = "user", "item", "timestamp", "value", "type"

NOT_UTF8 = "not UTF-8 text"
ABSURD_TIMESTAMP = "timestamp is not between the years 1970 and 2100"
BAD_TIMESTAMP: Mapping[int, str] = {
    pb.EPOCH_SECONDS: "timestamp is not a whole number",
    pb.EPOCH_MILLISECONDS: "timestamp is not a whole number",
    pb.ISO_8601: "timestamp is not a date or a date and a time (ISO 8601)",
}

_LAST_MILLISECOND = 4_102_444_800_000  # 2100-01-01
_TOO_EARLY = -1
_DIGITS = np.isin(np.arange(256), np.frombuffer(b"0123456789", np.uint8))
_DECIMALS = np.isin(np.arange(256), np.frombuffer(b"0123456789.", np.uint8))
_MAX_DIGITS = 18  # All whole numbers of so many digits fit into 64 bits.
# Smaller numbers are finite as float32 too.
FLOAT32_END = 2.0**128 - 2.0**103
_INT64 = np.iinfo(np.int64)
_INEXACT = 2**53  # From here, several whole numbers are the same float64.
_INTEGER = re.compile(rb"\s*([+-]?[0-9]{1,30})\s*")
_NUMBER = re.compile(
    rb"\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?)\s*"
)
_DATE = r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
_CLOCK = r"[T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d([.,]\d{1,9})?)?"
# Nanoseconds in 64 bits, to which Arrow casts without a look, end in 2262.
_NEAR_YEAR = "^(19[6-9]|20|21)"
_LOCAL_TIME = rf"{_DATE}({_CLOCK})?$"
_ZONED_TIME = rf"{_DATE}{_CLOCK}(Z|[+-]\d{{2}}(:?\d{{2}})?)$"

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Form:
    """What the cells of activities mean.

    Attributes:
      integer_ids: whether users and items are integers by the format.
      value_name: what messages call the value.
      timestamps: ``pb.TimestampFormat``.
      timezone: of timestamps without one.
    """

    integer_ids: bool = True
    value_name: str = "rating"
    timestamps: int = pb.EPOCH_SECONDS
    timezone: str = "UTC"


@dataclass(frozen=True)
class Rows:
    """Rows with the right number of cells, and where they stand.

    Attributes:
      cells: large_binary ``[rows]``, by what they are: ``user``, ``item``,
        ``timestamp``, ``value``, ``type``, ``field_<name>``. Empty: no value.
      lines: int64 ``[rows]``, the first is 1.
      text: of each row, for samples.
    """

    cells: dict[str, pa.LargeBinaryArray]
    lines: Ints
    text: Sequence[bytes]


def parse_activities(
    rows: Rows, count: RowCount, form: Form, types: ActivityTypes
) -> ActivityBlock:
    """Turns cells into numbers and keeps the rows in which all of them are right."""
    cells = rows.cells
    user, wrong_users = _ids(cells[USER], "user", form.integer_ids)
    integer_items = form.integer_ids or types.item == pb.INT
    item, wrong_items = _ids(cells[ITEM], "item", integer_items)
    milliseconds, is_time = parse_times(cells[TIMESTAMP], form)
    absurd = (milliseconds < 0) | (milliseconds > _LAST_MILLISECOND)
    right = np.ones(len(rows.lines), np.bool_)
    if types.activity_types:
        right = _is_one_of(cells[TYPE], types.activity_types)
    others = int((~right).sum())
    problems = [
        *wrong_users,
        *wrong_items,
        (BAD_TIMESTAMP[form.timestamps], ~is_time),
        (ABSURD_TIMESTAMP, absurd),
    ]
    columns = {USER: user, ITEM: item, TIMESTAMP: pa.array(milliseconds)}
    if VALUE in cells:
        value, is_number = parse_numbers(cells[VALUE])
        columns[VALUE] = pa.array(value)
        problems.append((f"{form.value_name} is not a number", ~is_number))
        if types.whole_values:
            fraction = (value != np.floor(value)) | (np.abs(value) >= _INEXACT)
            reason = f"{form.value_name} is not a whole number within 53 bits"
            problems.append((reason, fraction))
    if TYPE in cells:
        problems.append((NOT_UTF8, ~_is_text(cells[TYPE])))
    for name, kind in types.fields.items():
        column = FIELD_COLUMN + name
        columns[column], problem = _field(cells[column], name, kind)
        problems.append(problem)
    for reason, wrong in problems:
        index = np.flatnonzero(wrong & right)
        right &= ~wrong
        if len(index):
            samples = [
                Sample.of(int(rows.lines[i]), rows.text[int(i)])
                for i in index[:MAX_SAMPLES]
            ]
            count.reject(reason, len(index), samples)
    batch = pa.RecordBatch.from_arrays(list(columns.values()), list(columns))
    if not right.all():
        batch = batch.filter(pa.array(right))
    if types.item == pb.STRING and pa.types.is_integer(batch[ITEM].type):
        text = batch[ITEM].cast(pa.large_string()).cast(pa.large_binary())
        arrays = [text if name == ITEM else batch[name] for name in columns]
        batch = pa.RecordBatch.from_arrays(arrays, list(columns))
    return ActivityBlock(activities=batch, count=count, of_other_types=others)


def _ids(
    cells: pa.LargeBinaryArray, what: str, integers: bool
) -> tuple[pa.Array, list[tuple[str, Mask]]]:
    """Ids, and which rows are wrong for which reason."""
    empty = (f"{what} is empty", _is_empty(cells))
    if integers:
        values, right = parse_integers(cells)
        return pa.array(values), [empty, (f"{what} is not an integer", ~right)]
    return cells, [empty, (NOT_UTF8, ~_is_text(cells))]


def _field(
    cells: pa.LargeBinaryArray, name: str, kind: int
) -> tuple[pa.Array, tuple[str, Mask]]:
    """A field's values, 0 or empty where there is none, and which rows are wrong."""
    if kind == pb.STRING:
        return cells, (NOT_UTF8, ~_is_text(cells))
    parse = parse_integers if kind == pb.INT else parse_numbers
    numbers, right = parse(cells)
    what = "an integer" if kind == pb.INT else "a number"
    return pa.array(numbers), (f"{name} is not {what}", ~right & ~_is_empty(cells))


def parse_times(cells: pa.LargeBinaryArray, form: Form) -> tuple[Ints, Mask]:
    """Milliseconds since 1970, 0 where a cell holds no time, and where they do."""
    if form.timestamps == pb.ISO_8601:
        return _parse_iso(cells, form.timezone)
    if (_buffers(cells)[0] == ord(".")).any():
        # Programs that know floats alone write whole numbers so: 1700000000.0.
        cells = pc.replace_substring_regex(cells, r"([0-9])\.0+(\s*)$", r"\1\2")
    values, right = parse_integers(cells)
    if form.timestamps == pb.EPOCH_SECONDS:
        # A number too large for milliseconds is absurd in seconds too.
        values = np.clip(values, -_LAST_MILLISECOND, _LAST_MILLISECOND) * 1000
    return values, right


def _parse_iso(cells: pa.LargeBinaryArray, timezone: str) -> tuple[Ints, Mask]:
    values = np.zeros(len(cells), np.int64)
    right = _is_text(cells)
    text = cells.filter(pa.array(right)).cast(pa.large_string())
    rows = np.flatnonzero(right)
    text = pc.utf8_trim_whitespace(text)
    for pattern, zoned in ((_LOCAL_TIME, False), (_ZONED_TIME, True)):
        match = _matches(text, pattern)
        far = match & ~_matches(text, _NEAR_YEAR)
        values[rows[far]] = _TOO_EARLY
        match &= ~far
        nanoseconds, is_time = _to_nanoseconds(text.filter(pa.array(match)), zoned)
        milliseconds = nanoseconds // 1_000_000
        if not zoned and timezone != "UTC":
            milliseconds -= 1000 * clock.local_offsets(milliseconds // 1000, timezone)
        values[rows[match]] = milliseconds
        right[rows[match]] = is_time
        rest = ~match & ~far
        rows, text = rows[rest], text.filter(pa.array(rest))
    right[rows] = False
    return values, right


def _matches(text: pa.LargeStringArray, pattern: str) -> Mask:
    return pc.match_substring_regex(text, pattern).to_numpy(zero_copy_only=False)


def _to_nanoseconds(text: pa.LargeStringArray, zoned: bool) -> tuple[Ints, Mask]:
    """Of texts that look like times; where one is none, each half is looked at."""
    try:
        return _cast_times(text, zoned), np.ones(len(text), np.bool_)
    except pa.ArrowInvalid:  # 2023-02-29
        if len(text) == 1:
            return np.zeros(1, np.int64), np.zeros(1, np.bool_)
    half = len(text) // 2
    parts = [_to_nanoseconds(part, zoned) for part in (text[:half], text[half:])]
    values, right = zip(*parts, strict=True)
    return np.concatenate(values), np.concatenate(right)


def _cast_times(text: pa.LargeStringArray, zoned: bool) -> Ints:
    """A zone is counted in."""
    kind = pa.timestamp("ns", "UTC" if zoned else None)
    text = pc.replace_substring(text, ",", ".")
    return text.cast(kind).cast(pa.int64()).to_numpy()


def parse_integers(cells: pa.LargeBinaryArray) -> tuple[Ints, Mask]:
    """Whole numbers, 0 where a cell holds none, and where they do.

    64 bits, a sign, spaces around; no decimal point, not even before zeros.
    """
    data, offsets = _buffers(cells)
    lengths = np.diff(offsets)
    odd = (
        (_count(~_DIGITS[data], offsets) > 0) | (lengths == 0) | (lengths > _MAX_DIGITS)
    )
    values = np.zeros(len(cells), np.int64)
    right = _parse_plain(cells, odd, values, pa.int64())
    for row in np.flatnonzero(odd).tolist():
        match = _INTEGER.fullmatch(cells[row].as_py())
        value = int(match[1]) if match else _INT64.max + 1
        right[row] = _INT64.min <= value <= _INT64.max
        values[row] = value if right[row] else 0
    return values, right


def parse_numbers(cells: pa.LargeBinaryArray) -> tuple[Floats, Mask]:
    """Decimal numbers within float32, 0 where a cell holds none, and where they do."""
    data, offsets = _buffers(cells)
    lengths = np.diff(offsets)
    dots = _count(data == ord("."), offsets)
    odd = (_count(~_DECIMALS[data], offsets) > 0) | (lengths > _MAX_DIGITS)
    # A dot needs a digit before and after it here, or it is looked at below.
    odd |= (dots > 1) | (lengths == 0)
    edge = np.flatnonzero(~odd & (dots == 1))
    odd[edge] = (data[offsets[edge]] == ord(".")) | (
        data[offsets[edge + 1] - 1] == ord(".")
    )
    values = np.zeros(len(cells), np.float64)
    right = _parse_plain(cells, odd, values, pa.float64())
    for row in np.flatnonzero(odd).tolist():
        match = _NUMBER.fullmatch(cells[row].as_py())
        value = float(match[1]) if match else math.inf
        right[row] = abs(value) < FLOAT32_END
        # There is one zero, not a negative one too.
        values[row] = value + 0.0 if right[row] else 0.0
    return values, right


def _parse_plain(
    cells: pa.LargeBinaryArray, odd: Mask, values: npt.NDArray, kind: pa.DataType
) -> Mask:
    """Lets Arrow parse all cells but the odd ones, into `values`."""
    plain = cells.filter(pa.array(~odd)) if odd.any() else cells
    values[~odd] = plain.cast(pa.large_string()).cast(kind).to_numpy()
    return ~odd


def _count(flags: Mask, offsets: Ints) -> Ints:
    """How many bytes of each cell are flagged."""
    total = np.zeros(len(flags) + 1, np.int64)
    np.cumsum(flags, out=total[1:])
    return np.diff(total[offsets])


def _is_one_of(cells: pa.LargeBinaryArray, texts: Sequence[str]) -> Mask:
    wanted = pa.array([text.encode() for text in texts], pa.large_binary())
    return pc.is_in(cells, value_set=wanted).to_numpy(zero_copy_only=False)


def _is_empty(cells: pa.LargeBinaryArray) -> Mask:
    return np.diff(_buffers(cells)[1]) == 0


def _is_text(cells: pa.LargeBinaryArray) -> Mask:
    try:
        cells.cast(pa.large_string())
        return np.ones(len(cells), np.bool_)
    except pa.ArrowInvalid:
        return np.array([is_utf8(cell) for cell in cells.to_pylist()], np.bool_)


def is_utf8(data: bytes) -> bool:
    """Whether the bytes are UTF-8 text."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _buffers(cells: pa.LargeBinaryArray) -> tuple[npt.NDArray[np.uint8], Ints]:
    """The bytes of all cells and where each begins, [cells + 1]."""
    if not len(cells):
        return np.zeros(0, np.uint8), np.zeros(1, np.int64)
    _, offset_buffer, data_buffer = cells.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64)
    offsets = offsets[cells.offset : cells.offset + len(cells) + 1]
    data = np.frombuffer(data_buffer or b"", np.uint8)
    return data[offsets[0] : offsets[-1]], offsets - offsets[0]
