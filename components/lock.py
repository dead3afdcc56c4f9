"""Only one process at a time changes a folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from configs.errors import UserError

LOCK = ".lock"

_TRIES = 5
_PAUSE_SECONDS = 0.05


class LockedError(UserError):
    """Another process holds the folder."""


@contextlib.contextmanager
def locked(folder: str, what: str) -> Iterator[None]:
    """Holds a folder until the end of the block.

    The operating system locks a local folder, and lets go when the process ends in any
    way. Other file systems have no such lock: let one process at a time work there.

    Args:
      folder: that exists.
      what: it is, for messages.

    Raises:
      LockedError: if another process holds it.
      UserError: if it cannot be written.
    """
    if "://" in folder:
        yield
        return
    try:
        descriptor = os.open(Path(folder) / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise UserError(
            f"{what} {folder}: cannot be written: {error.strerror}"
        ) from error
    try:
        if not _taken(descriptor, fcntl.LOCK_EX):
            raise LockedError(
                f"{what} {folder}: another process is changing it. Expected one at a "
                "time: run again when it has ended"
            )
        yield
    finally:
        os.close(descriptor)


def is_locked(folder: str) -> bool:
    """Whether a process holds a local folder now."""
    try:
        descriptor = os.open(Path(folder) / LOCK, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return not _taken(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _taken(descriptor: int, kind: int) -> bool:
    # Several times: `is_locked` of another process holds it for a moment.
    for _ in range(_TRIES):
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_PAUSE_SECONDS)
        else:
            return True
    return False
