"""What the cycles of a pipeline have come to: ``status.json`` in its output folder."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.lock import locked
from components.text_table import table_lines
from configs.errors import UserError

STATUS_FILE = "status.json"

# How a cycle ends. The first four have looked at the data to the end.
PUSHED = "pushed"
UNCHANGED = "unchanged"
REFUSED = "refused"
SKIPPED = "skipped"
NOTHING_NEW = "nothing new"
FAILED = "failed"
# SIGTERM, or the time limit.
INTERRUPTED = "interrupted"
# Its process ended without a word.
KILLED = "killed"
RUNNING = "running"

DONE = (PUSHED, UNCHANGED, REFUSED, SKIPPED)
# It may have pushed a model by then.
CUT_SHORT = (FAILED, INTERRUPTED, KILLED)
_KEPT = 100


@dataclass(frozen=True)
class Cycle:
    """One cycle.

    Attributes:
      started: ISO 8601, UTC, to the second.
      outcome: one of those above.
      ended: the same; empty while it runs.
      span: the newest span that was read, or the empty text where there are none.
      key: tells data and configuration from others: what has been done is not done
        again.
      version: that was pushed, or is the same model; None if there is none.
      metric: of the gate, e.g. ``hr_10_test``.
      value: of the metric.
      message: why, where it is not pushed.
      times: how often in a row there was nothing new.
      process: its id.
      replaces: the version that was current when it began to run.
    """

    started: str
    outcome: str
    ended: str = ""
    span: str = ""
    key: str = ""
    version: int | None = None
    metric: str = ""
    value: float | None = None
    message: str = ""
    times: int = 1
    process: int = 0
    replaces: int | None = None


@dataclass(frozen=True)
class Status:
    """What ``pocketrec status`` shows.

    Attributes:
      cycles: the newest, oldest first.
      totals: how many cycles ever ended, by outcome.
      push_destination: folder of the pushed versions; empty before the first cycle.
    """

    cycles: tuple[Cycle, ...] = ()
    totals: dict[str, int] = field(default_factory=dict)
    push_destination: str = ""

    @property
    def done(self) -> Cycle | None:
        """The last cycle that has come to a result on its data."""
        return next((c for c in reversed(self.cycles) if c.outcome in DONE), None)


def now() -> str:
    """This moment, ISO 8601, UTC, to the second."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def read(output: Path) -> Status:
    """The status of a pipeline; an empty one before its first cycle.

    Raises:
      UserError: if the file is none that this package wrote.
    """
    path = output / STATUS_FILE
    if not path.exists():
        return Status()
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        cycles = tuple(Cycle(**cycle) for cycle in content.pop("cycles"))
        return Status(cycles, **content)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"{path}: is no status of a pipeline: {error}. Expected what `pocketrec "
            "retrain` wrote; remove it to begin anew"
        ) from error


def write(output: Path, status: Status) -> None:
    """Replaces the status, at once; of its cycles the newest 100 stay.

    The caller holds the pipeline's lock.
    """
    kept = dataclasses.replace(status, cycles=status.cycles[-_KEPT:])
    text = json.dumps(dataclasses.asdict(kept), indent=2) + "\n"
    partial = output / f".{STATUS_FILE}"
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(output / STATUS_FILE)


def seconds(moment: str) -> float:
    """A moment as seconds since 1970."""
    return datetime.datetime.fromisoformat(moment).timestamp()


def begin(output: Path, cycle: Cycle, push_destination: str = "") -> tuple[Cycle, ...]:
    """Adds a cycle. The caller holds the pipeline's lock, so no other is running.

    Returns:
      Those that said they were: killed, as is now known.
    """
    status = read(output)
    cycles, totals, killed = [], status.totals, []
    for one in status.cycles:
        if one.outcome == RUNNING:
            one = dataclasses.replace(one, outcome=KILLED)
            totals = _counted(totals, KILLED)
            killed.append(one)
        cycles.append(one)
    cycles.append(cycle)
    begun = Status(tuple(cycles), totals, push_destination or status.push_destination)
    write(output, begun)
    return tuple(killed)


def amend(output: Path, cycle: Cycle) -> None:
    """Replaces the last cycle, which goes on."""
    status = read(output)
    cycles = (*status.cycles[:-1], cycle)
    write(output, dataclasses.replace(status, cycles=cycles))


def end(output: Path, cycle: Cycle) -> None:
    """Replaces the last cycle by how it has ended.

    A cycle with nothing new to look at is counted with those of the same kind just
    before it.
    """
    status = read(output)
    *before, _ = status.cycles
    if before and cycle.outcome == NOTHING_NEW == before[-1].outcome:
        # Days without news are one line, not one each hour.
        cycle = dataclasses.replace(cycle, times=before.pop().times + 1)
    totals = _counted(status.totals, cycle.outcome)
    write(output, dataclasses.replace(status, cycles=(*before, cycle), totals=totals))


def bury(
    output: Path, message: str, unheard: tuple[Cycle, ...] | None = None
) -> Cycle | None:
    """Ends the last cycle if its process has died over it, or before it began.

    Args:
      output: of the pipeline.
      message: why.
      unheard: of a process that has failed, the cycles that there were before it: if
        there are no others, it has not come so far as to say that it began.

    Returns:
      The cycle, if there was one to end.

    Raises:
      LockedError: if a process is at work.
    """
    with locked(str(output), "output"):
        cycles = read(output).cycles
        if cycles and cycles[-1].outcome == RUNNING:
            last = cycles[-1]
            ended = dataclasses.replace(
                last, outcome=KILLED, ended=now(), message=message
            )
        elif cycles == unheard:
            ended = Cycle(now(), FAILED, ended=now(), message=message)
            begin(output, ended)
        else:
            return None
        end(output, ended)
    return ended


def settle(output: Path, known: Cycle, cycle: Cycle) -> None:
    """Replaces a cycle that has ended, since more is known of it now."""
    status = read(output)
    totals = _counted(status.totals, cycle.outcome)
    totals[known.outcome] = max(totals.get(known.outcome, 0) - 1, 0)
    cycles = tuple(cycle if one == known else one for one in status.cycles)
    write(output, dataclasses.replace(status, cycles=cycles, totals=totals))


def _counted(totals: Mapping[str, int], outcome: str) -> dict[str, int]:
    return {**totals, outcome: totals.get(outcome, 0) + 1}


def lines(status: Status, is_running: bool) -> list[str]:
    """The cycles as a table, each with its message below.

    Args:
      status: from `read`.
      is_running: whether a process is at work; else the last cycle was killed, if it
        has not ended.
    """
    header = ("started", "took", "span", "outcome", "version", "metric")
    table, *rows = table_lines(
        [header, *(_row(cycle, is_running) for cycle in status.cycles)]
    )
    result = [table] if rows else ["no cycle yet"]
    for line, cycle in zip(rows, status.cycles, strict=True):
        result.append(line)
        result += [f"    {part}" for part in cycle.message.splitlines()]
    return result


def short(moment: str) -> str:
    """A moment for people: ``"2024-03-01 03:00"``, UTC."""
    return moment.replace("T", " ")[:16]


def _row(cycle: Cycle, is_running: bool) -> tuple[str, ...]:
    outcome = cycle.outcome
    if outcome == RUNNING and not is_running:
        outcome = KILLED
    if cycle.times > 1:
        outcome += f", {cycle.times} times"
    return (
        short(cycle.started),
        _took(cycle),
        cycle.span,
        outcome,
        "" if cycle.version is None else str(cycle.version),
        "" if cycle.value is None else f"{cycle.metric} {cycle.value:.4f}",
    )


def _took(cycle: Cycle) -> str:
    if not cycle.ended:
        return ""
    return f"{seconds(cycle.ended) - seconds(cycle.started):.0f} s"
