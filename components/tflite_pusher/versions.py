"""Which versions a push destination has, and which of them was what when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.current_model import bundles
from components.current_model.current import current_version
from components.text_table import table_lines
from components.tflite_converter import manifest as manifests
from components.tflite_pusher import push, push_log
from configs.errors import UserError

CURRENT, ROLLED_BACK, REMOVED, NEVER_CURRENT, BROKEN = (
    *("current", "rolled back", "removed", "never current", "broken"),
)


@dataclass(frozen=True)
class Version:
    """A version that is there, or that was.

    Attributes:
      number: its number.
      pushed: when, ISO 8601, UTC; empty if no event says so.
      span: the spans of data that it was made from, or the last day of its data.
      metric: the first hit rate of the ``.tflite`` gate, e.g. ``hr_10_test``.
      value: of the metric; None if there is none.
      size: of the model in bytes; None of a removed version.
      status: ``"current"``, ``"rolled back"``, ``"removed"``, ``"never current"``, any
        of them with ``"broken"`` where its manifest is, or empty.
    """

    number: int
    pushed: str
    span: str
    metric: str
    value: float | None
    size: int | None
    status: str


def versions(destination: str) -> list[Version]:
    """All versions that were ever pushed, the oldest first.

    Args:
      destination: of the pushes.

    Raises:
      UserError: if nothing was pushed there, or ``CURRENT`` or the log is broken.
    """
    events = push_log.read(destination)
    there = push.versions_of(destination)
    numbers = sorted({*there, *(event.version for event in events)})
    if not numbers:
        raise UserError(f"push destination {destination}: nothing is pushed there")
    current = current_version(destination)
    left = push_log.left_by_rollback(events, current)
    return [
        _version(
            destination,
            number,
            number in there,
            number == current,
            number in left,
            events,
        )
        for number in numbers
    ]


def versions_lines(found: Sequence[Version]) -> list[str]:
    """A table of versions."""
    metric = next((v.metric for v in reversed(found) if v.metric), "")
    header = ("version", "pushed", "span", metric, "bytes", "status")
    rows = [
        (
            str(v.number),
            v.pushed.replace("T", " ")[:16],
            v.span,
            "" if v.value is None or v.metric != metric else f"{v.value:.4f}",
            "" if v.size is None else f"{v.size:,}",
            v.status,
        )
        for v in found
    ]
    return table_lines([header, *rows])


def log_lines(events: Sequence[push_log.Event]) -> list[str]:
    """A line for each event: when, what, and who was replaced."""
    what = {
        push_log.PUSH: "pushed",
        push_log.ROLLBACK: "made current again",
        push_log.FOUND: "found to be current",
        push_log.REMOVE: "removed",
    }
    return [
        f"{event.time.replace('T', ' ')[:19]}  version {event.version} "
        f"{what[event.kind]}"
        + ("" if event.replaced is None else f" in place of {event.replaced}")
        for event in events
    ]


def _version(
    destination: str,
    number: int,
    is_there: bool,
    is_current: bool,
    is_left: bool,
    events: Sequence[push_log.Event],
) -> Version:
    made = [e for e in events if e.version == number and e.kind != push_log.REMOVE]
    if is_current:
        status = CURRENT
    elif not is_there:
        status = REMOVED
    elif is_left:
        status = ROLLED_BACK
    else:
        status = "" if made else NEVER_CURRENT
    pushed = next((e.time for e in made if e.kind == push_log.PUSH), "")
    manifest = None
    if is_there:
        try:
            manifest = bundles.manifest_of(destination, number)
        except UserError:
            status = ", ".join(filter(None, (status, BROKEN)))
    if manifest is None:
        return Version(number, pushed, "", "", None, None, status)
    metric, value = hit_rate(manifest.get("gates", {}).get("tflite", ()))
    return Version(
        number,
        pushed,
        _span(manifest["data"]),
        metric,
        value,
        manifest["files"][manifests.MODEL]["size"],
        status,
    )


def hit_rate(gate: Iterable[Mapping[str, Any]]) -> tuple[str, float | None]:
    """HR@10, or the hit rate at the largest K.

    Args:
      gate: rows of a gate, as a manifest holds them.

    Returns:
      Its name and value; the empty text and None where there is no hit rate.
    """
    rows = manifests.by_metric(gate)
    rates = {name: row["value"] for name, row in rows.items() if name[:3] == "hr_"}
    name = "hr_10_test" if "hr_10_test" in rates else max(rates, key=_k, default="")
    return name, rates.get(name)


def _k(metric: str) -> int:
    return int(metric.split("_")[1])


def _span(data: Mapping[str, Any]) -> str:
    if spans := data.get("dates") or data.get("spans"):
        return f"{spans[0]} to {spans[-1]}" if len(spans) > 1 else str(spans[0])
    return manifests.day(data["last_timestamp"])
