"""Drift guards: whether the newest span looks like those before it.

Drift and skew are measured by TensorFlow Data Validation's comparators.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2

from components.text_table import table_lines
from components.timeline_example_gen import storage
from components.timeline_example_gen.columns import plan_columns
from components.timeline_example_gen.generate import activity_types
from components.timeline_example_gen.sources import open_source
from components.timeline_example_gen.sources.source import (
    FIELD_COLUMN,
    ActivityTypes,
    Role,
    RowCount,
    Source,
)
from configs import recommender_pb2 as pb
from configs.errors import UserError

ROW_COUNT_RATIO = "row_count_ratio"
UNKNOWN_ITEMS = "unknown_items"
REJECTED_ROWS = "rejected_rows"
DRIFT, SKEW = "drift_", "skew_"


@dataclass(frozen=True)
class Span:
    """The activities of a span.

    Attributes:
      items: int64 or large_binary, of each activity.
      fields: by name, the item's among them: int64, float64 or large_binary.
      rows: that were read.
      rejected: of those, how many cannot be used.
    """

    items: pa.ChunkedArray
    fields: Mapping[str, pa.ChunkedArray]
    rows: int
    rejected: int


@dataclass(frozen=True)
class Judged:
    """A guard and what it has found.

    Attributes:
      guard: as configured.
      value: what it measures; NaN where there is nothing to compare with.
    """

    guard: pb.DriftGuard
    value: float

    @property
    def holds(self) -> bool:
        """Whether the value is within its bounds, or cannot be told."""
        if math.isnan(self.value):
            return True
        guard = self.guard
        return (
            not guard.HasField("lower_bound") or self.value >= guard.lower_bound
        ) and (not guard.HasField("upper_bound") or self.value <= guard.upper_bound)

    @property
    def action(self) -> int | None:
        """What is to be done, `pb.DriftGuard.Action`; None where it holds."""
        return None if self.holds else int(self.guard.action)

    def __str__(self) -> str:
        guard = self.guard
        bounds = [
            f"{text} {getattr(guard, bound):g}"
            for bound, text in (("lower_bound", "at least"), ("upper_bound", "at most"))
            if guard.HasField(bound)
        ]
        return f"{guard.measure} {self.value:.4g} ({', '.join(bounds)})"


def judge(config: pb.RecommenderConfig, data: str) -> list[Judged]:
    """Holds the newest span to the guards.

    Args:
      config: a valid configuration with guards.
      data: folder of the activities, items and users.

    Returns:
      One for each guard, in their order.

    Raises:
      UserError: if the data has no spans, or no such field.
    """
    opened = open_source(config, data)
    if opened.window is not None and config.retrain.guard_spans:
        longer = pb.RecommenderConfig()
        longer.CopyFrom(config)
        longer.data.span_window = config.retrain.guard_spans + 1
        # Days that are missing there are nothing that training needs.
        opened = open_source(longer, data, whole_window=False)
    window, source = opened.window, opened.source
    if window is None:
        raise UserError(
            f"retrain.guards: {data} has no spans to compare. Expected "
            "data.span_folder or activities_files with a placeholder such as {SPAN}, "
            "or no guards"
        )
    plan = plan_columns(config, source)
    types = activity_types(config, plan, source)
    columns = {f.name: "item" for f in plan.fields(Role.ITEM_ID)}
    columns |= {f.name: "value" for f in plan.fields(Role.VALUE)}
    columns |= {name: f"{FIELD_COLUMN}{name}" for name in types.fields}
    for index, guard in enumerate(config.retrain.guards):
        field = _field(guard.measure)
        if field is not None and field not in columns:
            raise UserError(
                f"retrain.guards.{index}.measure: {guard.measure!r} is not allowed. "
                f"The activities have {', '.join(columns)}"
            )
    *others, newest = (
        read_span(source, types, columns, [storage.join(data, n) for n in names])
        for names in (window.files[span] for span in window.spans)
    )
    return judge_spans(config.retrain.guards, newest, others)


def read_span(
    source: Source,
    types: ActivityTypes,
    columns: Mapping[str, str],
    files: Sequence[str],
) -> Span:
    """Reads the activities of a span.

    Args:
      source: of the window.
      types: as the examples are made from them.
      columns: by a field's name, its column in a block of activities.
      files: paths of the span's logs.
    """
    count, batches = RowCount(), []
    for file in files:
        for block in source.read_activities(file, types):
            count.add(block.count)
            batches.append(block.activities)
    if not batches:
        nothing = pa.chunked_array([], pa.null())
        fields = dict.fromkeys(columns, nothing)
        return Span(nothing, fields, count.rows, count.rejected_rows)
    table = pa.Table.from_batches(batches)
    return Span(
        items=table["item"],
        fields={name: table[column] for name, column in columns.items()},
        rows=count.rows,
        rejected=count.rejected_rows,
    )


def judge_spans(
    guards: Sequence[pb.DriftGuard], newest: Span, others: Sequence[Span]
) -> list[Judged]:
    """Holds a span to guards.

    Args:
      guards: with bounds.
      newest: the span.
      others: before it, the oldest first.
    """
    compared = {
        prefix: _distances(newest, earlier, _fields(guards, prefix))
        for prefix, earlier in ((DRIFT, others[-1:]), (SKEW, others))
    }
    values = {
        ROW_COUNT_RATIO: _ratio(newest, others),
        UNKNOWN_ITEMS: _unknown(newest, others),
        REJECTED_ROWS: newest.rejected / newest.rows if newest.rows else 0.0,
        **{
            f"{prefix}{field}": distance
            for prefix, distances in compared.items()
            for field, distance in distances.items()
        },
    }
    return [Judged(guard, values[guard.measure]) for guard in guards]


def guard_lines(judged: Sequence[Judged]) -> list[str]:
    """A table of what each guard has found."""
    rows = [("guard", "value", "at least", "at most", "")]
    for one in judged:
        guard = one.guard
        rows.append(
            (
                guard.measure,
                "nothing to compare with"
                if math.isnan(one.value)
                else f"{one.value:.4g}",
                f"{guard.lower_bound:g}" if guard.HasField("lower_bound") else "",
                f"{guard.upper_bound:g}" if guard.HasField("upper_bound") else "",
                "holds"
                if one.holds
                else f"FAILED: {pb.DriftGuard.Action.Name(guard.action)}",
            )
        )
    return table_lines(rows)


def _field(measure: str) -> str | None:
    for prefix in (DRIFT, SKEW):
        if measure.startswith(prefix):
            return measure.removeprefix(prefix)
    return None


def _fields(guards: Sequence[pb.DriftGuard], prefix: str) -> list[str]:
    named = (g.measure for g in guards if g.measure.startswith(prefix))
    return [measure.removeprefix(prefix) for measure in named]


def _ratio(newest: Span, others: Sequence[Span]) -> float:
    rows = sum(span.rows for span in others)
    return newest.rows * len(others) / rows if rows else math.nan


def _unknown(newest: Span, others: Sequence[Span]) -> float:
    """Share of activities, not of items."""
    others = [span for span in others if len(span.items)]
    if not others or not len(newest.items):
        return math.nan
    known = pa.concat_arrays([pc.unique(span.items) for span in others])
    unknown = pc.invert(pc.is_in(newest.items, value_set=known))
    return float(pc.mean(unknown).as_py())


def _distances(
    newest: Span, others: Sequence[Span], fields: Sequence[str]
) -> dict[str, float]:
    """TFDV's drift of each field between a span and others together."""
    others = [span for span in others if len(span.items)]
    if not fields or not others or not len(newest.items):
        return dict.fromkeys(fields, math.nan)
    ours = _frame([newest], fields)
    theirs = _frame(others, fields)
    schema = schema_pb2.Schema()
    for field in fields:
        is_text = ours[field].dtype == object
        feature = schema.feature.add(
            name=field, type=schema_pb2.BYTES if is_text else schema_pb2.FLOAT
        )
        comparator = feature.drift_comparator
        # A threshold asks for the measure; what follows from it is the guards'.
        if is_text:
            comparator.infinity_norm.threshold = 1
        else:
            comparator.jensen_shannon_divergence.threshold = 1
    found = tfdv.validate_statistics(
        tfdv.generate_statistics_from_dataframe(ours),
        schema,
        previous_statistics=tfdv.generate_statistics_from_dataframe(theirs),
    )
    measured = {
        _name(info): info.drift_measurements[0].value
        for info in found.drift_skew_info
        if info.drift_measurements
    }
    # Of columns without a value TFDV tells nothing.
    return {field: measured.get(field, math.nan) for field in fields}


def _name(info: anomalies_pb2.DriftSkewInfo) -> str:
    return ".".join(info.path.step)


def _frame(spans: Sequence[Span], fields: Sequence[str]) -> pd.DataFrame:
    """Ids and words as text, numbers as they are."""
    columns = {}
    for field in fields:
        chunks = [chunk for span in spans for chunk in span.fields[field].chunks]
        column = pa.chunked_array(chunks)
        if pa.types.is_integer(column.type):
            column = column.cast(pa.string())
        columns[field] = column.to_pandas()
    return pd.DataFrame(columns)
