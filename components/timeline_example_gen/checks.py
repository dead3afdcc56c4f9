"""Refusals of data and of configurations that do not fit it, each in one line."""

from __future__ import annotations

import datetime
from collections.abc import Mapping

import numpy as np

from components.timeline_example_gen.columns import Plan
from components.timeline_example_gen.lookups import FieldTable, Lookup
from components.timeline_example_gen.sources.source import Role, RowCount, Source
from configs import features
from configs import recommender_pb2 as pb
from configs.errors import UserError

# What the seconds of the years from 1973 to 2100 are in seconds, taken as milliseconds.
_SECONDS_AS_MILLISECONDS = range(100_000, 4_102_445)


def check_rejected(path: str, count: RowCount, max_fraction: float) -> None:
    """Refuses a file of which too many rows cannot be used.

    Raises:
      UserError: with the most frequent reason and its first row, and the other reasons.
    """
    # A share such as 0.29 is a little off as a floating-point number.
    if count.rejected_rows <= max_fraction * count.rows * (1 + 1e-6):
        return
    raise UserError(
        f"{_rejected(path, count)}, data.max_rejected_fraction allows {max_fraction:g}"
    )


def check_table(path: str, count: RowCount, table: Lookup, max_fraction: float) -> None:
    """Refuses a table of which too many rows cannot be used, or all.

    Raises:
      UserError: with the most frequent reason, if there is a row.
    """
    check_rejected(path, count, max_fraction)
    if len(table.keys):
        return
    if count.rejected_rows:
        raise UserError(_rejected(path, count))
    raise UserError(f"{path}: no row to be read")


def _rejected(path: str, count: RowCount) -> str:
    first, *others = sorted(count.rejected, key=lambda r: -count.rejected[r])
    sample = count.samples[first][0]
    share = count.rejected_rows / count.rows
    also = ", ".join(f"{reason} ({count.rejected[reason]})" for reason in others)
    return (
        f"{path}: line {sample.line}: {first}: {sample.text!r}; "
        f"{count.rejected_rows} of {count.rows} rows cannot be used ({share:.2%})"
        + (f", others since {also}" if also else "")
    )


def check_min_rating(config: pb.RecommenderConfig, source: Source) -> None:
    """Refuses a filter by a value that activities do not have.

    Raises:
      UserError: naming the field.
    """
    has_value = any(field.role == Role.VALUE for field in source.fields)
    if config.data.HasField("min_rating") and not has_value:
        raise UserError(
            f"data.min_rating: {config.data.min_rating:g} is not allowed. Expected "
            f"none, since activities ({source.kind}) have no value; name its column "
            "with data.files.value_column"
        )


def check_tables(
    config: pb.RecommenderConfig, plan: Plan, items: Lookup, users: Lookup
) -> None:
    """Refuses features without a single value, and labels that would be cut.

    Raises:
      UserError: naming the feature.
    """
    tables = {(False, name): table for name, table in items.fields.items()}
    tables |= {(True, name): table for name, table in users.fields.items()}
    if config.data.build_vocabs:
        _check_vocabularies(config, tables)
    _check_label_lengths(config, plan, items)


def check_activities(
    config: pb.RecommenderConfig,
    files: Mapping[str, RowCount],
    read: int,
    filtered: Mapping[str, int],
) -> None:
    """Refuses logs of which nothing is left.

    Args:
      config: names the filters.
      files: rows by path.
      read: activities.
      filtered: how many each filter has left out, in the filters' order.

    Raises:
      UserError: naming the files or the filter.
    """
    if sum(count.rows - count.rejected_rows for count in files.values()) == 0:
        for path, count in files.items():
            if count.rejected_rows:
                raise UserError(_rejected(path, count))
        raise UserError(f"{', '.join(files)}: no activity to be read")
    by_rating, by_type = filtered.values()
    if by_type == read:
        raise UserError(
            f"data.activity_types: {', '.join(config.data.activity_types)} leaves no "
            f"activity; {config.data.files.activity_type_column!r} holds others"
        )
    if by_rating + by_type == read:
        raise UserError(
            f"data.min_rating: {config.data.min_rating:g} leaves no activity"
        )


def check_times(config: pb.RecommenderConfig, last_timestamp: int) -> None:
    """Refuses seconds that were read as milliseconds, which all seem to be of 1970.

    Args:
      config: tells how timestamps are written.
      last_timestamp: of all activities, in seconds.

    Raises:
      UserError: naming the field.
    """
    form = config.data.files.timestamp_format
    if form == pb.EPOCH_MILLISECONDS and last_timestamp in _SECONDS_AS_MILLISECONDS:
        last = datetime.datetime.fromtimestamp(last_timestamp, datetime.timezone.utc)
        raise UserError(
            "data.files.timestamp_format: EPOCH_MILLISECONDS is not allowed. Expected "
            f"EPOCH_SECONDS, since the last activity would be of {last:%Y-%m-%d}"
        )


def check_examples(
    config: pb.RecommenderConfig, users: int, examples: Mapping[str, int]
) -> None:
    """Refuses data that gives no timeline, or no example for a split.

    Args:
      config: names the filters.
      users: whose timelines are long enough.
      examples: by split.

    Raises:
      UserError: naming the filter or the split.
    """
    data = config.data
    if users == 0:
        most = data.max_timeline_length
        raise UserError(
            f"data.min_timeline_length: no user has {data.min_timeline_length} "
            + (f"to {most} " if most else "")
            + "activities (after the other filters)"
        )
    for split, number in examples.items():
        if number == 0:
            kind = pb.Split.Name(data.split)
            raise UserError(
                f"data.split {kind}: no example for {split}. The splits have "
                + ", ".join(f"{name} {n}" for name, n in examples.items())
            )


def _check_vocabularies(
    config: pb.RecommenderConfig, tables: Mapping[tuple[bool, str], FieldTable]
) -> None:
    for name, members in features.vocabularies(config).items():
        found = []
        for feature in members:
            is_user = features.role_of(feature.feature_name) == features.USER
            table = tables.get((is_user, features.field_of(feature.feature_name)))
            # Fields of activities themselves, the item's id and value, are never empty.
            found.append(table is None or _has_text(table))
        if not any(found):
            names = ", ".join(feature.feature_name for feature in members)
            raise UserError(
                f"vocabulary {name} of size zero: the data has no value for {names}"
            )


def _has_text(table: FieldTable) -> bool:
    """Whether any row has a value; the padding is none in text, but may be a number."""
    return bool(np.any(table.codes > 0))


def _check_label_lengths(
    config: pb.RecommenderConfig, plan: Plan, items: Lookup
) -> None:
    """The device derives contexts from the labels of the catalogue, so none is cut."""
    lengths = {spec.name: spec.length for spec in plan.specs}
    for feature in features.context_features(config):
        if features.role_of(feature.feature_name) != features.CONTEXT:
            continue
        name = features.field_of(feature.feature_name)
        table = items.fields.get(name)
        if table is None:
            continue
        most = int(np.diff(table.offsets).max(initial=0))
        taken = int(feature.values_per_step) or lengths[feature.feature_name]
        label = features.LABEL + name
        needed = min(most, taken)
        if lengths[label] < needed:
            raise UserError(
                f"feature {label}: length {lengths[label]} is not allowed. Expected "
                f"{needed} or more: an item has {most} values, and "
                f"{feature.feature_name} takes up to {taken} of them"
            )
