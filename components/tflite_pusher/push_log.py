"""What happened at a push destination: a small file for each event, in ``log/``."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import uuid
from dataclasses import dataclass

from tfx.dsl.io import fileio
from tfx.utils import io_utils

from configs.errors import UserError

LOG = "log"
# What names begin with that are not yet what they will be.
STAGING = ".staging-"

PUSH = "push"
ROLLBACK = "rollback"
# A version that is current though no event says so: its pusher was killed.
FOUND = "found"
REMOVE = "remove"


@dataclass(frozen=True)
class Event:
    """One event.

    Attributes:
      time: ISO 8601, UTC, to the second.
      kind: ``"push"``, ``"rollback"``, ``"found"`` or ``"remove"``.
      version: the version that became current, or was removed.
      replaced: the version that was current before; None if there was none.
    """

    time: str
    kind: str
    version: int
    replaced: int | None


def append(destination: str, kind: str, version: int, replaced: int | None) -> Event:
    """Adds an event to the log; its time is now."""
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    event = Event(now, kind, version, replaced)
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
            events.append(Event(**json.loads(io_utils.read_string_file(path))))
        except (ValueError, TypeError) as error:
            raise UserError(
                f"{path}: is no event of a push log: {error}. Expected time, kind, "
                "version and replaced"
            ) from error
    return events


def current_since(destination: str, version: int) -> Event | None:
    """The last event that made a version the current one."""
    made = [event for event in read(destination) if event.kind != REMOVE]
    return next((event for event in reversed(made) if event.version == version), None)


def _numbers(folder: str) -> list[int]:
    if not fileio.isdir(folder):
        return []
    names = [str(name).rstrip("/") for name in fileio.listdir(folder)]
    return [int(n[:-5]) for n in names if n.endswith(".json") and n[:-5].isdigit()]
