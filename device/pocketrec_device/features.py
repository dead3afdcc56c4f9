"""From a history of items to the tensors that the model takes: pure functions.

What is done here is what the pipeline's Transform does to examples: values become ids
of the bundle's own vocabularies, padding stands at the end, and where there is more
than fits the newest survive. A test of the pipeline holds the two against each other.
"""

from __future__ import annotations

import contextlib
import math
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Number
from typing import Any, TypeAlias

import numpy as np

from pocketrec_device import clock

PADDING_ID = 0
OOV_ID = 1
INDEX_OF_FIRST_TERM = 2

CONTEXT_LENGTH = "context_length"

# What is worked out from an activity's local time.
OF_TIME = {"weekday": clock.weekday, "hour": clock.hour}
# What is worked out from the times of an activity and of the one before it.
GAP = "gap"

_LARGEST = float(np.finfo(np.float32).max)
_LARGEST_INT = 2**63 - 1  # of the logs
_ONE_VALUE = (str, bytes, Number, np.generic)
_END_OF_TIME = 4_102_444_800  # 2100-01-01, as for the logs

Tensors: TypeAlias = "dict[str, np.ndarray[Any, Any]]"
Vocabularies: TypeAlias = Mapping[str, Mapping[bytes, int]]


class RequestError(ValueError):
    """A history, a feature or a number of items that cannot be answered."""


@dataclass(frozen=True)
class InputSpec:
    """How one input of the model is made; as in the manifest.

    Attributes:
      name: of the model's input.
      dtype: ``"int32"`` or ``"float32"``.
      length: values; the input's shape is ``[1, length]``.
      role: ``"context"``, ``"user"`` or ``"seen"``.
      field: the item's, user's or activity's field that the values come from.
      source: ``"item_id"`` (the history's ids), ``"item"`` (a field of the catalogue),
        ``"value"`` (ratings), ``"timestamp"``, ``"activity"`` (a field of the
        activities), ``"weekday"`` (of the timestamps: 1, Monday, to 7, Sunday),
        ``"hour"`` (of the timestamps: 0 to 23), ``"gap"`` (of the timestamps: seconds
        since the activity before), ``"user"`` or ``"seen"`` (all items that the user
        has had).
      feature_type: ``"STRING"``, ``"INT"`` or ``"FLOAT"``.
      multi_valued: whether an item or user has several values.
      vocabulary: its name; None where values are ids (INT) or numbers (FLOAT).
      vocab_size: rows of the embedding table; 0 for FLOAT.
      timezone: name of the time zone of weekday and hour, e.g. ``"Europe/Berlin"``;
        None is UTC.
      values_per_step: how many of the input's values belong to each activity, the
        item's first and padding behind them; 0 where the values of all activities stand
        one after the other.
    """

    name: str
    dtype: str
    length: int
    role: str
    field: str
    source: str
    feature_type: str
    multi_valued: bool
    vocabulary: str | None
    vocab_size: int
    timezone: str | None = None
    values_per_step: int = 0

    @property
    def steps(self) -> int:
        """How many activities, or values, fit in."""
        return self.length // max(self.values_per_step, 1)


@dataclass(frozen=True, slots=True)
class Item:
    """One item of the catalogue.

    Attributes:
      index: its id inside the model; 1 if it is out of vocabulary.
      id: as the logs have it.
      title: for people.
      features: raw values by field, e.g. ``{"movie_genre": ["Action", "Sci-Fi"]}``.
    """

    index: int
    id: str
    title: str
    features: Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class History:
    """What is known of a user.

    Attributes:
      items: raw item ids, oldest first.
      ratings: one per item; None where there is none, or none at all.
      timestamps: seconds since 1970, one per item; None where one is not known, or
        none at all.
      user: the user's features by field, e.g. ``{"age": 31}``; a list where a feature
        has several values, None where the value is not known.
      seen: raw item ids to leave out, oldest first; None: those of the items.
      activities: the activities' own features by field, one value per item, e.g.
        ``{"device": ["phone", "tv"]}``; None where one is not known.
    """

    items: Sequence[Any]
    ratings: Sequence[float | None] | None = None
    timestamps: Sequence[int | None] | None = None
    user: Mapping[str, Any] | None = None
    seen: Sequence[Any] | None = None
    activities: Mapping[str, Sequence[Any]] | None = None


def tensors_from_history(
    inputs: Sequence[InputSpec],
    items: Mapping[str, Item],
    vocabularies: Vocabularies,
    max_context_length: int,
    history: History,
) -> Tensors:
    """The model's input tensors for a user.

    An item that the catalogue does not have, and one without a value in a field, counts
    as the examples have it: empty text or 0, no value at all in a multi-valued field. A
    value of the catalogue that the model has no row for (INT features without a
    vocabulary) becomes padding. A rating that is not known is 0; a time or a feature of
    an activity counts as an item's. A gap is counted from the last time that is known,
    in the whole history; it is 0 for the first, and where the time is not known.

    Args:
      inputs: of the model.
      items: the catalogue, by raw id.
      vocabularies: by name, the id of each term.
      max_context_length: how many of the last items the model looks at.
      history: of the user.

    Returns:
      By input, int32 or float32 ``[1, length]``.

    Raises:
      RequestError: if ratings, timestamps or features of activities do not go with the
        items, times fall, a feature of the user or the activities or the times that the
        model looks at are missing, or a value is not of its type or outside its range.
    """
    steps = _steps(inputs, items, max_context_length, history)
    tensors = {}
    for spec in inputs:
        values = _values(spec, steps, history)
        if spec.source in ("item_id", "seen", "user", "activity"):
            _check_raw_ids(spec, values)
        tensors[spec.name] = _tensor(spec, values, vocabularies)
    return tensors


def tensors_from_example(
    inputs: Sequence[InputSpec], columns: Mapping[str, Any], vocabularies: Vocabularies
) -> Tensors:
    """The model's input tensors for a raw example of the pipeline.

    Where the example's columns are longer than the inputs, the newest values survive.
    Values are looked up in the given vocabularies, those of the bundle, whichever the
    examples were made with; an id that the bundle's model has no row for (INT features
    without a vocabulary) becomes padding.

    Args:
      inputs: of the model.
      columns: of one example, arrays or lists of raw values by column: each input's
        name, ``context_length`` and, for a multi-valued input, ``<name>_length`` or,
        where it has values of each step, ``<name>_step_lengths``. Others are not looked
        at.
      vocabularies: by name, the id of each term.

    Returns:
      By input, int32 or float32 ``[1, length]``.

    Raises:
      RequestError: if a column is missing or a value is not of its feature's type.
    """
    tensors = {}
    for spec in inputs:
        values = _column(columns, spec.name)
        if spec.role != "seen" and not spec.values_per_step:
            values = values[: _count(spec, columns)]
        if _has_raw_ids(spec):
            values = [
                v if 0 <= int(v) < spec.vocab_size else PADDING_ID for v in values
            ]
        if spec.values_per_step:
            values = _by_step(spec, values, columns)
        tensors[spec.name] = _tensor(spec, values, vocabularies)
    return tensors


def check_item(inputs: Sequence[InputSpec], item: Item) -> None:
    """Finds values of an item that no request with it could be answered with.

    Raises:
      RequestError: if a feature that the model looks at has one.
    """
    for spec in inputs:
        if spec.source == "item":
            for value in item.features.get(spec.field, ()):
                _check_value(spec, value)


def catalogue_key(value: Any, feature_type: str) -> str:
    """A raw item id as the catalogue writes it: ``50`` and ``"050"`` are ``"50"``.

    Raises:
      RequestError: if the ids are INT and the value is no whole number.
    """
    if feature_type == "INT":
        return str(_integer("an item id", value))
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def item_id_type(inputs: Sequence[InputSpec]) -> str:
    """Type of the raw item ids; ``"STRING"`` if no input is made from them."""
    for spec in inputs:
        if spec.source in ("item_id", "seen"):
            return spec.feature_type
    return "STRING"


@dataclass(frozen=True)
class _Steps:
    """The activities that the model looks at, oldest first."""

    ids: list[Any]
    items: list[Item | None]
    ratings: list[Any]
    timestamps: list[Any]
    gaps: list[int]
    activities: dict[str, list[Any]]


def _steps(
    inputs: Sequence[InputSpec],
    items: Mapping[str, Item],
    max_context_length: int,
    history: History,
) -> _Steps:
    ids = _listed("history", history.items)
    unknown = [None] * len(ids)
    given = {
        name: unknown if values is None else _listed(name, values)
        for name, values in (
            ("ratings", history.ratings),
            ("timestamps", history.timestamps),
        )
    }
    for name, values in given.items():
        _check_one_for_each(name, values, ids)
    times = [_seconds(time) for time in given["timestamps"] if time is not None]
    for earlier, later in pairwise(times):
        if later < earlier:
            raise RequestError(
                f"timestamps: {later} after {earlier}. Expected the oldest first"
            )
    activities = {
        spec.field: _activity_values(spec.field, history.activities or {}, ids)
        for spec in inputs
        if spec.source == "activity"
    }
    gaps = [0] * len(ids)
    if any(spec.source == GAP for spec in inputs):
        gaps = _gaps(given["timestamps"])
    newest = slice(-max_context_length, None)
    feature_type = item_id_type(inputs)
    keys = [catalogue_key(value, feature_type) for value in ids[newest]]
    return _Steps(
        ids=ids[newest],
        items=[items.get(key) for key in keys],
        ratings=given["ratings"][newest],
        timestamps=given["timestamps"][newest],
        gaps=gaps[newest],
        activities={field: values[newest] for field, values in activities.items()},
    )


def _listed(name: str, values: Sequence[Any]) -> list[Any]:
    # A text is a sequence too, of its characters.
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise RequestError(f"{name}: {values!r} is not allowed. Expected a list")
    return list(values)


def _check_one_for_each(name: str, values: Sequence[Any], ids: Sequence[Any]) -> None:
    if len(values) != len(ids):
        raise RequestError(
            f"{len(values)} {name} for {len(ids)} items. Expected one for each"
        )


def _activity_values(
    field: str, activities: Mapping[str, Sequence[Any]], ids: Sequence[Any]
) -> list[Any]:
    """Raw values of one field, one for each of the items; None where not known."""
    if field not in activities and ids:
        raise RequestError(
            f"activities: {field} is missing, which the model looks at. Expected a "
            "value for each item, or None (not known)"
        )
    values = _listed(f"activities: {field}", activities.get(field, ()))
    _check_one_for_each(f"values of {field}", values, ids)
    for value in values:
        if value is not None and not isinstance(value, _ONE_VALUE):
            raise RequestError(
                f"activities: {field} has {value!r}. Expected one value for each item"
            )
    return values


def _values(spec: InputSpec, steps: _Steps, history: History) -> list[Any]:
    """Raw values of one input, oldest first; None where one is not known."""
    if spec.source == "item_id":
        return steps.ids
    if spec.source == "item":
        return _item_values(spec, steps.items)
    if spec.source == "value":
        return [_rating(spec, rating) for rating in steps.ratings]
    if spec.source == "timestamp":
        return steps.timestamps
    if spec.source == "activity":
        return steps.activities[spec.field]
    if spec.source in OF_TIME or spec.source == GAP:
        if history.timestamps is None and steps.ids:
            raise RequestError(
                f"timestamps: are missing, of which the model takes the {spec.source}. "
                "Expected one for each item, or None (not known)"
            )
        if spec.source == GAP:
            return steps.gaps
        return _values_of_time(spec, steps.timestamps)
    if spec.source == "seen":
        seen = history.items if history.seen is None else history.seen
        return _listed("seen", seen)
    return _user_values(spec, history.user or {})


def _item_values(spec: InputSpec, items: Sequence[Item | None]) -> list[Any]:
    values: list[Any] = []
    for item in items:
        own = item.features.get(spec.field, ()) if item else ()
        if _has_raw_ids(spec):
            own = [value if _in_table(spec, value) else None for value in own]
        if spec.values_per_step:
            values.append(own)
        else:
            values.extend(own if spec.multi_valued else [own[0] if own else None])
    return values


def _has_raw_ids(spec: InputSpec) -> bool:
    return spec.feature_type == "INT" and spec.vocabulary is None


def _in_table(spec: InputSpec, value: Any) -> bool:
    return value is None or 0 <= _integer(spec.name, value) < spec.vocab_size


def _check_value(spec: InputSpec, value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, _ONE_VALUE):
        raise RequestError(
            f"{spec.field}: {reprlib.repr(value)} is not allowed. Expected one value"
        )
    if spec.feature_type == "FLOAT":
        _float(spec.field, value)
    elif spec.feature_type == "INT":
        _integer(spec.field, value)


def _rating(spec: InputSpec, rating: Any) -> Any:
    """A rating as the examples have it: a number, its whole part or its text."""
    if rating is None:
        return None
    number = _float(spec.name, rating)
    if spec.feature_type == "STRING":
        return np.format_float_positional(number, trim="-")
    return int(number) if spec.feature_type == "INT" else number


def _values_of_time(spec: InputSpec, timestamps: Sequence[Any]) -> list[int | None]:
    value_of = OF_TIME[spec.source]
    zone = clock.time_zone(spec.timezone or clock.UTC)
    return [
        None if time is None else value_of(_seconds(time), zone) for time in timestamps
    ]


def _gaps(timestamps: Sequence[Any]) -> list[int]:
    """Seconds since the last time before that is known; 0 where there is none."""
    gaps = []
    last: int | None = None
    for time in timestamps:
        now = last if time is None else _seconds(time)
        gaps.append(0 if now is None or last is None else now - last)
        last = now
    return gaps


def _seconds(time: Any) -> int:
    seconds = _integer("timestamps", time)
    if not 0 <= seconds < _END_OF_TIME:
        raise RequestError(
            f"timestamps: {time} is not allowed. Expected seconds since 1970, before "
            "2100"
        )
    return seconds


def _user_values(spec: InputSpec, user: Mapping[str, Any]) -> list[Any]:
    if not isinstance(user, Mapping):
        raise RequestError(f"user: {user!r} is not allowed. Expected a dict by field")
    if spec.field not in user:
        raise RequestError(
            f"user: {spec.field} is missing, which the model looks at. Expected a "
            "value, or None (not known)"
        )
    value = user[spec.field]
    several = isinstance(value, (list, tuple))
    if spec.multi_valued:
        return list(value) if several else [] if value is None else [value]
    if several:
        raise RequestError(f"user: {spec.field} is {value!r}. Expected one value")
    return [value]


def _check_raw_ids(spec: InputSpec, values: Sequence[Any]) -> None:
    if not _has_raw_ids(spec):
        return
    # No item has the id 0; of other fields it stands for a value that is missing.
    first = 1 if spec.source in ("item_id", "seen") else 0
    for value in values:
        if value is None or first <= _integer(spec.name, value) < spec.vocab_size:
            continue
        raise RequestError(
            f"{spec.name}: {value} is not allowed. Expected {first} to "
            f"{spec.vocab_size - 1}, the ids that the model has"
        )


def _count(spec: InputSpec, columns: Mapping[str, Any]) -> int:
    length = f"{spec.name}_length"
    if spec.multi_valued or length in columns:
        return int(_column(columns, length)[0])
    return 1 if spec.role == "user" else int(_column(columns, CONTEXT_LENGTH)[0])


def _by_step(
    spec: InputSpec, values: Sequence[Any], columns: Mapping[str, Any]
) -> list[Sequence[Any]]:
    """The real values of each step of an example."""
    lengths = _column(columns, f"{spec.name}_step_lengths")
    slots = len(values) // max(len(lengths), 1)
    steps = int(_column(columns, CONTEXT_LENGTH)[0])
    return [
        values[at * slots : at * slots + int(length)]
        for at, length in enumerate(lengths[:steps])
    ]


def _column(columns: Mapping[str, Any], name: str) -> list[Any]:
    if name not in columns:
        raise RequestError(f"the example has no column {name}, which the model needs")
    values = columns[name]
    if isinstance(values, np.ndarray):
        flat: list[Any] = values.ravel().tolist()
        return flat
    return list(values)


def _tensor(
    spec: InputSpec, values: Sequence[Any], vocabularies: Vocabularies
) -> np.ndarray[Any, Any]:
    """Values, or the values of each step where the input has them, as numbers."""
    kept = values[-spec.steps :]
    tensor = np.zeros([spec.steps, max(spec.values_per_step, 1)], spec.dtype)
    if spec.values_per_step:
        for row, own in zip(tensor, kept, strict=False):
            first = own[: spec.values_per_step]
            row[: len(first)] = _numbers(spec, first, vocabularies)
    else:
        tensor[: len(kept), 0] = _numbers(spec, kept, vocabularies)
    return tensor.reshape(1, spec.length)


def _numbers(
    spec: InputSpec, values: Sequence[Any], vocabularies: Vocabularies
) -> list[int] | list[float]:
    if spec.feature_type == "FLOAT":
        return [_float(spec.name, v) for v in values]
    if spec.vocabulary is not None:
        ids = vocabularies[spec.vocabulary]
        return [ids.get(_term(spec, v), OOV_ID) for v in values]
    return [_raw_id(spec, v) for v in values]


def _term(spec: InputSpec, value: Any) -> bytes:
    if spec.feature_type == "INT":
        return b"%d" % (0 if value is None else _integer(spec.name, value))
    if value is None:
        return b""
    if isinstance(value, bytes):
        return value
    try:
        # A command line's bytes that are no UTF-8 arrive as surrogates.
        return str(value).encode(errors="surrogateescape")
    except UnicodeEncodeError:
        raise RequestError(
            f"{spec.name}: {value!r} is not allowed. Expected whole characters"
        ) from None


def _raw_id(spec: InputSpec, value: Any) -> int:
    number = PADDING_ID if value is None else _integer(spec.name, value)
    # Beyond the table the model would read what is not its own.
    if not 0 <= number < spec.vocab_size:
        raise RequestError(
            f"{spec.name}: {value} is not allowed. Expected 1 to {spec.vocab_size - 1}"
        )
    return number


def _integer(name: str, value: Any) -> int:
    number = None
    if isinstance(value, (int, np.integer)):
        number = int(value)
    elif isinstance(value, (str, bytes)):
        with contextlib.suppress(ValueError):
            number = int(value)
    if number is None or abs(number) > _LARGEST_INT:
        raise RequestError(
            f"{name}: {reprlib.repr(value)} is not allowed. Expected a whole number"
        )
    return number


def _float(name: str, value: Any) -> float:
    if value is None:
        return 0.0
    try:
        number = float(value)
    except (OverflowError, TypeError, ValueError):
        number = math.nan
    # False for what is no number, too.
    if not abs(number) <= _LARGEST:
        raise RequestError(
            f"{name}: {reprlib.repr(value)} is not allowed. Expected a number"
        )
    return number
