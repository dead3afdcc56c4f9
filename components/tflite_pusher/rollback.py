"""Makes an earlier version the current one again."""

from __future__ import annotations

import os

from components.current_model import bundles
from components.current_model.current import (
    BUNDLE,
    current_version,
    parts_of,
    version_dir,
)
from components.files import FILE_ERRORS, one_line
from components.lock import locked
from components.tflite_pusher import push, push_log
from components.tflite_pusher.infra_validation import check_answers
from configs.errors import UserError


def rollback(destination: str, to: int | None = None) -> tuple[int, int]:
    """Switches to another version that is there and whole.

    Args:
      destination: of the pushes.
      to: the version; without it, the one that the current one replaced.

    Returns:
      The version that was current, and the one that is now.

    Raises:
      UserError: if there is no such version, it is the current one already, not whole
        or does not answer, or another process changes the destination.
    """
    if current_version(destination) is None:
        raise UserError(f"push destination {destination}: nothing is pushed there")
    with locked(destination, push.DESTINATION):
        current = current_version(destination)
        if current is None:
            raise UserError(f"push destination {destination}: CURRENT was removed")
        target = push.before(destination, current) if to is None else to
        there = push.versions_of(destination)
        if target not in there:
            raise UserError(
                f"push destination {destination}: there is no version "
                f"{target or f'before {current} that no rollback has left'}. Expected "
                f"--to with one of {', '.join(map(str, there))}"
            )
        if target == current:
            raise UserError(
                f"push destination {destination}: version {target} is the current one "
                "already"
            )
        folder = version_dir(destination, target)
        bundles.verify(os.path.join(folder, BUNDLE))
        # The next gate compares with it.
        parts_of(destination, target)
        check_answers(os.path.join(folder, BUNDLE))
        try:
            push.make_current(destination, push_log.ROLLBACK, target, current)
        except FILE_ERRORS as error:
            raise UserError(
                f"push destination {destination}: cannot be written: {one_line(error)}"
            ) from error
    return current, target
