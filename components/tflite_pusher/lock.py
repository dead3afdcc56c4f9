"""Only one process at a time changes a push destination."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from configs.errors import UserError

LOCK = ".lock"


@contextlib.contextmanager
def locked(destination: str) -> Iterator[None]:
    """Holds a destination until the end of the block.

    The operating system locks a local folder, and lets go when the process ends in any
    way. Other file systems have no such lock: let one pusher run at a time there.

    Args:
      destination: a folder.

    Raises:
      UserError: if another process holds it, or the folder cannot be written.
    """
    if "://" in destination:
        yield
        return
    try:
        descriptor = os.open(Path(destination) / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise UserError(
            f"push destination {destination}: cannot be written: {error.strerror}"
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"push destination {destination}: another process is changing it. "
                "Expected one at a time: run again when it has ended"
            ) from error
        yield
    finally:
        os.close(descriptor)
