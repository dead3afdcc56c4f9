"""The ingestion report: what was read, what was left out and why, what came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from components.timeline_example_gen import spans, splits
from components.timeline_example_gen.columns import Plan
from components.timeline_example_gen.lookups import Lookup
from components.timeline_example_gen.shards import LEFT_OUT, ShardReport, SplitCount
from components.timeline_example_gen.sources.derived import OF_TIME
from components.timeline_example_gen.sources.source import Field, RowCount, Source
from configs import features
from configs import recommender_pb2 as pb

_NOTES = {
    pb.LEAVE_ONE_OUT: "within a user, train is earlier than eval and eval than test; "
    "train of one user may be later than eval and test of another",
    pb.TEMPORAL: "train is earlier than eval, and eval than test, for all users",
    pb.RANDOM: "train holds activities that are later than those of eval and test",
    pb.USER_HASH: "no user is in two splits; train holds activities that are later "
    "than those of other users in eval and test",
}


def merge_items(reports: Sequence[ShardReport]) -> pa.Table:
    """The items of all shards: as `ShardReport.items`."""
    together = pa.concat_tables([report.items for report in reports])
    grouped = together.group_by("item").aggregate(
        [("in_train", "any"), *((name, "sum") for name in splits.LABELLED_SPLITS)]
    )
    names = {"in_train_any": "in_train"} | {
        f"{name}_sum": name for name in splits.LABELLED_SPLITS
    }
    return grouped.rename_columns([names.get(n, n) for n in grouped.column_names])


def split_counts(reports: Sequence[ShardReport]) -> dict[str, SplitCount]:
    """The counts of all shards, by split."""
    return {
        name: sum((report.splits[name] for report in reports), SplitCount())
        for name in splits.LABELLED_SPLITS
    }


def make_report(
    config: pb.RecommenderConfig,
    source: Source,
    plan: Plan,
    files: Mapping[str, RowCount],
    filtered: Mapping[str, int],
    window: spans.Window | None,
    shards: Sequence[ShardReport],
    items: pa.Table,
    catalogue: Lookup,
    cuts: splits.Cuts | None,
) -> dict[str, Any]:
    """The report as plain values, ready for JSON.

    Args:
      config: the configuration.
      source: the logs.
      plan: the columns.
      files: rows by the file's name in the data folder.
      filtered: activities left out, by filter.
      window: the spans that were read.
      shards: what became of the rest.
      items: see `merge_items`.
      catalogue: its items.
      cuts: of TEMPORAL.
    """
    counts = split_counts(shards)
    data = config.data
    activities = sum(shard.activities for shard in shards)
    return {
        "source": source.kind,
        "files": [_file(name, count) for name, count in files.items()],
        "fields": [
            {
                "name": field.name,
                "role": field.role.value,
                "type": pb.FeatureType.Name(field.natural),
                "multi_valued": field.multi_valued,
                **_derivation(field, plan),
            }
            for field in source.fields
        ],
        "spans": _spans(window),
        "filters": {
            "min_rating": data.min_rating if data.HasField("min_rating") else None,
            "activity_types": list(data.activity_types),
            "repeated_activities": pb.RepeatedActivities.Name(data.repeated_activities),
            "min_timeline_length": data.min_timeline_length,
            "max_timeline_length": data.max_timeline_length,
            "window_stride": data.window_stride,
            "max_windows_per_user": data.max_windows_per_user,
        },
        "left_out": {
            **filtered,
            **{n: sum(shard.left_out[n] for shard in shards) for n in LEFT_OUT},
        },
        "users": sum(shard.users for shard in shards),
        "users_not_in_table": _users_without_row(plan, shards),
        "items": items.num_rows,
        "items_not_in_table": _items_without_row(source, items, catalogue),
        "activities": activities,
        "first_timestamp": min(shard.first_timestamp for shard in shards),
        "last_timestamp": max(shard.last_timestamp for shard in shards),
        "split": _split(config, counts, shards, items, cuts),
        "examples": {
            **{name: count.examples for name, count in counts.items()},
            splits.CATALOGUE_SPLIT: len(catalogue.keys),
        },
        "labels_unseen_in_train": {
            name: _unseen(items, name) for name in ("eval", "test")
        },
        "popularity": popularity(items),
        "max_context_length": plan.max_context_length,
        "seed": data.seed,
    }


def popularity(items: pa.Table) -> dict[str, list[str]]:
    """The items that train's labels are, by falling number, cut into thirds.

    An item is in the third that the first of its labels falls into; those of the last
    third, and items that are no label of train, are left out.

    Args:
      items: see `merge_items`.

    Returns:
      Raw ids by the first names of `features.POPULARITY_BUCKETS`, the most popular
      first; where equal, in the order of the ids.
    """
    counts = zip(items["item"].to_pylist(), items["train"].to_pylist(), strict=True)
    ordered = sorted(counts, key=lambda entry: (-entry[1], entry[0]))
    total = sum(count for _, count in ordered)
    result: dict[str, list[str]] = {n: [] for n in features.POPULARITY_BUCKETS[:-1]}
    before = 0
    for item, count in ordered:
        third = 3 * before // total if total else len(result)
        if third >= len(result):
            break
        text = item.decode(errors="replace") if isinstance(item, bytes) else str(item)
        result[features.POPULARITY_BUCKETS[third]].append(text)
        before += count
    return result


def _derivation(field: Field, plan: Plan) -> dict[str, Any]:
    if field.derivation is None:
        return {}
    result = {"derivation": pb.Derivation.Name(field.derivation)}
    if field.derivation in OF_TIME:
        result["timezone"] = plan.timezone
    return result


def _spans(window: spans.Window | None) -> dict[str, Any] | None:
    if window is None:
        return None
    return {
        "newest": window.newest,
        "window": list(window.spans),
        "versions": [window.versions[span] for span in window.spans],
        "dates": [spans.date_text(span) for span in window.spans]
        if window.dated
        else None,
    }


def _file(name: str, count: RowCount) -> dict[str, Any]:
    return {
        "file": name,
        "rows": count.rows,
        "blank_lines": count.blank_lines,
        "rejected": dict(sorted(count.rejected.items())),
        "samples": [
            {"line": sample.line, "reason": reason, "text": sample.text}
            for reason, samples in sorted(count.samples.items())
            for sample in samples
        ],
    }


def _users_without_row(plan: Plan, shards: Sequence[ShardReport]) -> int | None:
    if not plan.with_prefix(features.USER):
        return None
    return sum(shard.users_without_row for shard in shards)


def _items_without_row(
    source: Source, items: pa.Table, catalogue: Lookup
) -> int | None:
    if not source.has_item_table:
        return None
    known = pc.is_in(items["item"], value_set=catalogue.keys)
    return items.num_rows - int(pc.sum(known).as_py() or 0)


def _split(
    config: pb.RecommenderConfig,
    counts: Mapping[str, SplitCount],
    shards: Sequence[ShardReport],
    items: pa.Table,
    cuts: splits.Cuts | None,
) -> dict[str, Any]:
    held_out = min(counts["eval"].first_timestamp, counts["test"].first_timestamp)
    result: dict[str, Any] = {
        "kind": pb.Split.Name(config.data.split),
        "train_ends_before_held_out": counts["train"].last_timestamp < held_out,
        "users_trained_later_than_held_out": sum(s.users_trained_later for s in shards),
        "note": _NOTES[config.data.split],
        "labels": {
            name: {
                "users": count.users,
                "items": int(pc.sum(pc.greater(items[name], 0)).as_py() or 0),
                "first_timestamp": count.first_timestamp,
                "last_timestamp": count.last_timestamp,
            }
            for name, count in counts.items()
        },
    }
    if cuts is not None:
        result["train_end"] = cuts.train_end
        result["eval_end"] = cuts.eval_end
    return result


def _unseen(items: pa.Table, split: str) -> float:
    """Share of a split's labels whose item no train example holds."""
    labels = items[split].to_numpy()
    unseen = labels[~items["in_train"].to_numpy()]
    return float(unseen.sum() / labels.sum())
