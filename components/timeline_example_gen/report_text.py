"""The ingestion report for people: rejected rows, filters, spans, and the splits."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from components.text_table import table_lines
from components.timeline_example_gen import spans, splits

_SHOWN_FILES = 3
_MINUTES, _SECONDS = "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S"

# What is left out, and what each line of `report["left_out"]` counts beside.
_LEFT_OUT = {
    "activities_below_min_rating": "activities below min_rating",
    "activities_of_other_types": "activities of other types than activity_types",
    "repeated_activities": "repeated activities (repeated_activities)",
    "activities_of_short_timelines": "activities of users with fewer than "
    "min_timeline_length",
    "activities_of_long_timelines": "activities of users with more than "
    "max_timeline_length",
    "train_windows": "train examples (window_stride, max_windows_per_user)",
}


def report_lines(report: Mapping[str, Any]) -> list[str]:
    """All of it.

    Args:
      report: from `report.make_report`.
    """
    return [
        *_spans(report),
        *_rows(report["files"]),
        *_not_in_table(report),
        *_left_out(report["left_out"]),
        *split_lines(report),
    ]


def split_lines(report: Mapping[str, Any]) -> list[str]:
    """The split report: a table, and whether the future leaks into train."""
    split = report["split"]
    counts = [f"{name} {report['examples'][name]:,}" for name in splits.SPLITS]
    header = ("split", "examples", "users", "items", "unseen", "first label", "last")
    rows = [header]
    for name in splits.LABELLED_SPLITS:
        labels = split["labels"][name]
        unseen = report["labels_unseen_in_train"].get(name)
        rows.append(
            (
                name,
                f"{report['examples'][name]:,}",
                f"{labels['users']:,}",
                f"{labels['items']:,}",
                "" if unseen is None else f"{unseen:.2%}",
                _moment(labels["first_timestamp"]),
                _moment(labels["last_timestamp"]),
            )
        )
    return [
        f"Examples: {', '.join(counts)}",
        f"Split {split['kind']} (unseen: labels whose item train does not hold)",
        *(f"  {line}" for line in table_lines(rows)),
        f"  {leak_line(report)}",
    ]


def leak_line(report: Mapping[str, Any]) -> str:
    """Whether train knows the future of eval and test, from the times themselves."""
    split = report["split"]
    labels = split["labels"]
    last = _moment(labels["train"]["last_timestamp"], _SECONDS)
    first = _moment(
        min(labels["eval"]["first_timestamp"], labels["test"]["first_timestamp"]),
        _SECONDS,
    )
    times = f"last train label {last}, first of eval and test {first}"
    later = split["users_trained_later_than_held_out"]
    if split["train_ends_before_held_out"]:
        return f"No leak: {times}"
    if later:
        return (
            f"LEAKS the future: {later:,} users are trained on what comes later than "
            f"their labels in eval or test; {times}"
        )
    return (
        "No leak within a user: nobody is trained on what comes later than their own "
        f"labels in eval and test; across users there may be ({times})"
    )


def _spans(report: Mapping[str, Any]) -> Iterator[str]:
    window = report["spans"]
    if window is not None:
        dated = window["dates"] is not None
        yield f"Spans: {spans.ranges_text(window['window'], dated)}"


def _rows(files: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    rows = sum(file["rows"] for file in files)
    rejected = sum(sum(file["rejected"].values()) for file in files)
    where = ", ".join(file["file"] for file in files[:_SHOWN_FILES])
    if len(files) > _SHOWN_FILES:
        where += f" and {len(files) - _SHOWN_FILES} more"
    share = rejected / rows if rows else 0
    yield f"Rows: {rows:,} of {where}; {rejected:,} rejected ({share:.2%})"
    for file in files:
        for reason, count in file["rejected"].items():
            sample = next(s for s in file["samples"] if s["reason"] == reason)
            yield (
                f"  {count:,} in {file['file']}: {reason}, as in line "
                f"{sample['line']}: {sample['text']!r}"
            )


def _not_in_table(report: Mapping[str, Any]) -> Iterator[str]:
    for what in ("items", "users"):
        missing = report[f"{what}_not_in_table"]
        if missing:
            yield (
                f"Not in the table of {what}: {missing:,} of {report[what]:,} {what}, "
                "which have no features"
            )


def _left_out(left_out: Mapping[str, int]) -> Iterator[str]:
    for name, text in _LEFT_OUT.items():
        if left_out[name]:
            yield f"Left out: {left_out[name]:,} {text}"


def _moment(second: int, form: str = _MINUTES) -> str:
    moment = datetime.datetime.fromtimestamp(second, datetime.timezone.utc)
    return moment.strftime(form)
