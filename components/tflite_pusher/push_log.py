"""What happened at a push destination: a small file for each event, in ``log/``."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from tfx.dsl.io import fileio
from tfx.utils import io_utils

from components.files import read_bytes
from configs.errors import UserError

LOG = "log"
# What names begin with that are not yet what they will be.
STAGING = ".staging-"

PUSH = "push"
ROLLBACK = "rollback"
# A version that is current though the last event says otherwise: who made it so was
# killed before it could tell.
FOUND = "found"
REMOVE = "remove"
KINDS = (PUSH, ROLLBACK, FOUND, REMOVE)


@dataclass(frozen=True)
class Event:
    """One event.

    Attributes:
      time: ISO 8601, UTC, to the second.
      kind: ``"push"``, ``"rollback"``, ``"found"`` or ``"remove"``.
      version: the version that became current, or was removed.
      replaced: the version that was current before; None if there was none.
      digest: of the bundle that was pushed, see `push.bundle_digest`; else empty.
    """

    time: str
    kind: str
    version: int
    replaced: int | None
    digest: str = ""

    def __post_init__(self) -> None:
        texts = (self.time, self.digest)
        numbers = (self.version, *(() if self.replaced is None else (self.replaced,)))
        if self.kind not in KINDS or not all(isinstance(t, str) for t in texts):
            raise ValueError(f"{self.kind!r:.40}: no such event")
        if not all(isinstance(n, int) and n > 0 for n in numbers):
            raise ValueError(f"{numbers!r:.40}: no numbers of versions")


def append(
    destination: str,
    kind: str,
    version: int,
    replaced: int | None = None,
    digest: str = "",
) -> Event:
    """Adds an event to the log; its time is now."""
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    event = Event(now, kind, version, replaced, digest)
    folder = os.path.join(destination, LOG)
    fileio.makedirs(folder)
    number = max(_numbers(folder), default=0) + 1
    written = os.path.join(folder, f"{STAGING}{uuid.uuid4().hex}")
    io_utils.write_string_file(written, json.dumps(dataclasses.asdict(event)) + "\n")
    fileio.rename(written, os.path.join(folder, f"{number:06}.json"))
    return event


def read(destination: str) -> list[Event]:
    """All events, the oldest first.

    Raises:
      UserError: if a file is no event.
    """
    folder = os.path.join(destination, LOG)
    events = []
    for number in sorted(_numbers(folder)):
        path = os.path.join(folder, f"{number:06}.json")
        try:
            events.append(Event(**json.loads(read_bytes(path))))
        except (ValueError, TypeError, RecursionError) as error:
            raise UserError(
                f"{path}: is no event of a push log: {error}. Expected time, kind, "
                "version, replaced and digest"
            ) from error
    return events


def last_current(events: Sequence[Event]) -> int | None:
    """The version that is current, as far as events tell."""
    made = [event.version for event in events if event.kind != REMOVE]
    return made[-1] if made else None


def left_by_rollback(events: Sequence[Event], current: int | None) -> set[int]:
    """The versions that a rollback has left, and nothing has made current since.

    Args:
      events: the oldest first.
      current: the version that is.
    """
    left: set[int] = set()
    for event in events:
        if event.kind == REMOVE:
            continue
        # No push makes a smaller number current.
        back = event.kind != PUSH and event.version < (event.replaced or 0)
        if event.replaced is not None and (event.kind == ROLLBACK or back):
            left.add(event.replaced)
        left.discard(event.version)
    last = last_current(events)
    if last is not None and current is not None and current < last:
        left.add(last)
    return left - {current}


def _numbers(folder: str) -> list[int]:
    if not fileio.isdir(folder):
        return []
    names = [str(name).rstrip("/") for name in fileio.listdir(folder)]
    return [int(n[:-5]) for n in names if n.endswith(".json") and n[:-5].isdigit()]
