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
        target = _before(destination, current) if to is None else to
        there = push.versions_of(destination)
        if target not in there:
            raise UserError(
                f"push destination {destination}: there is no version "
                f"{'before ' + str(current) if target is None else target}. Expected "
                f"one of {', '.join(map(str, there))}"
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
        push.make_current(destination, push_log.ROLLBACK, target, current)
    return current, target


def _before(destination: str, current: int) -> int | None:
    """The version that the current one replaced when it was pushed, if it is there."""
    pushed = [
        event.replaced
        for event in push_log.read(destination)
        if event.version == current and event.kind == push_log.PUSH
    ]
    there = push.versions_of(destination)
    if pushed and pushed[-1] in there:
        return pushed[-1]
    return max((version for version in there if version < current), default=None)
