"""A versioned push: staged, verified, renamed, then made current.

Layout of the destination::

    versions/1/bundle/    what ships
    versions/1/training/  what the next gate and warm start need
    versions/1/training.sha256
    CURRENT               the number of the version in use
    log/000001.json       who was replaced by what

Readers follow ``CURRENT``, which is written last, so they see the old version whole or
the new one whole. Who changes anything holds the lock of `components.lock`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfx.dsl.io import fileio
from tfx.utils import io_utils

from components.checksums import sums_text
from components.current_model.bundles import manifest_of, verify
from components.current_model.current import (
    BUNDLE,
    CURRENT,
    TRAINING,
    TRAINING_SHA256,
    VERSIONS,
    current_version,
)
from components.files import FILE_ERRORS, files_below, one_line, sha256
from components.tflite_converter import manifest as manifests
from components.tflite_pusher import push_log
from components.tflite_pusher.push_log import PUSH, STAGING
from configs.errors import UserError

MODEL_CARD = "model_card.md"
# What messages call it.
DESTINATION = "push destination"

_logger = logging.getLogger(__name__)

_REMOVED = ".removed-"
_PROBE = ".probe-"


def bundle_digest(manifest: Mapping[str, Any]) -> str:
    """SHA-256 of what a bundle does: its files and how they are fed.

    The model card, the version and the gates' numbers are about the bundle and do not
    count.
    """
    files = {k: v for k, v in manifest["files"].items() if k != MODEL_CARD}
    content = {"signature": manifest["signature"], "seen": manifest["seen"], **files}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def next_version(destination: str) -> int:
    """One more than the largest version that was ever pushed; 1 for the first."""
    pushed = [event.version for event in push_log.read(destination)]
    return max([*versions_of(destination), *pushed], default=0) + 1


def unchanged(destination: str, digest: str) -> int | None:
    """The current version, if its bundle has this digest."""
    version = current_version(destination)
    manifest = None if version is None else manifest_of(destination, version)
    if manifest is None or bundle_digest(manifest) != digest:
        return None
    return version


def rolled_back(destination: str, digest: str) -> int | None:
    """The version with a bundle of this digest that a rollback has left.

    Args:
      destination: of the push.
      digest: of a bundle, see `bundle_digest`.
    """
    events = push_log.read(destination)
    left = push_log.left_by_rollback(events, current_version(destination))
    # Whether or not the version is still there.
    pushed = {event.version: event.digest for event in events if event.digest}
    return min((v for v in left if pushed.get(v) == digest), default=None)


def push(
    destination: str,
    version: int,
    bundle: Path,
    training: Mapping[str, str],
    keep_versions: int = 0,
) -> None:
    """Writes a version and makes it the current one; the caller holds the lock.

    Args:
      destination: a local folder or any that TFX's fileio reaches.
      version: its number, see `next_version`.
      bundle: the local folder of the finished bundle, manifest included.
      training: name below ``training/`` to the folder or file that is copied there.
      keep_versions: so many versions stay: the current one, what a rollback would go
        to, the newest others, and last those that a rollback has left. 0: all.

    Raises:
      UserError: if the destination cannot be written, what was written does not read
        back as it should, or the version is there already.
    """
    versions = os.path.join(destination, VERSIONS)
    staging = os.path.join(versions, f"{STAGING}{uuid.uuid4().hex}")
    final = os.path.join(versions, str(version))
    replaced = current_version(destination)
    try:
        _sweep(destination)
        fileio.makedirs(staging)
        _copy_verified(str(bundle), os.path.join(staging, BUNDLE))
        for name, source in training.items():
            _copy_verified(source, os.path.join(staging, TRAINING, name))
        _write_training_sums(staging)
        verify(os.path.join(staging, BUNDLE))
        if fileio.exists(final):
            raise UserError(
                f"push destination {destination}: version {version} was pushed by "
                "another run meanwhile; run again"
            )
        fileio.rename(staging, final)
        digest = bundle_digest(manifests.read_manifest(bundle))
        try:
            make_current(destination, PUSH, version, replaced, digest)
        except FILE_ERRORS:
            # Unless it is current after all, nobody has seen it yet.
            if current_version(destination) != version:
                fileio.rmtree(final)
            raise
    except FILE_ERRORS as error:
        raise UserError(
            f"push destination {destination}: cannot be written: {one_line(error)}"
        ) from error
    finally:
        if fileio.exists(staging):
            fileio.rmtree(staging)
    try:
        _retain(destination, keep_versions)
    # The version is live; what should have gone goes with the next push.
    except FILE_ERRORS as error:
        _logger.warning("old versions stay: %s", one_line(error))


def make_current(
    destination: str,
    kind: str,
    version: int,
    replaced: int | None,
    digest: str = "",
) -> None:
    """Switches ``CURRENT``, and says so in the log; the caller holds the lock.

    Args:
      destination: of the push.
      kind: of the event, see `push_log`.
      version: a whole one.
      replaced: the version that was current before.
      digest: of the bundle, if it is new.
    """
    last = push_log.last_current(push_log.read(destination))
    if replaced is not None and last != replaced:
        push_log.append(destination, push_log.FOUND, replaced, last)
    written = os.path.join(destination, f"{STAGING}{uuid.uuid4().hex}")
    try:
        io_utils.write_string_file(written, f"{version}\n")
        fileio.rename(written, os.path.join(destination, CURRENT), overwrite=True)
    except FILE_ERRORS as error:
        # On some file systems a rename is a copy and a removal, which may fail alone.
        if current_version(destination) != version:
            if fileio.exists(written):
                fileio.remove(written)
            raise
        _logger.warning("%s stays: %s", written, one_line(error))
    try:
        push_log.append(destination, kind, version, replaced, digest)
    # It is current, whatever the log says; the next event makes up for this one.
    except FILE_ERRORS as error:
        _logger.warning("the push log lacks version %d: %s", version, one_line(error))


def before(destination: str, current: int) -> int | None:
    """The version that a rollback goes to; None if there is none.

    The one that the current version replaced when it was pushed; where that is gone, or
    a rollback has left it, the newest before that was current and not left so.
    """
    events = push_log.read(destination)
    left = push_log.left_by_rollback(events, current)
    served = {event.version for event in events if event.kind != push_log.REMOVE}
    there = {v for v in versions_of(destination) if v in served - left}
    pushed = [
        event.replaced
        for event in events
        if event.version == current and event.kind == PUSH
    ]
    if pushed and pushed[-1] in there:
        return pushed[-1]
    return max((version for version in there if version < current), default=None)


def versions_of(destination: str) -> list[int]:
    """The numbers of all versions, ascending."""
    folder = os.path.join(destination, VERSIONS)
    if not fileio.isdir(folder):
        return []
    names = [str(name).rstrip("/") for name in fileio.listdir(folder)]
    return sorted(int(name) for name in names if name.isascii() and name.isdigit())


def _retain(destination: str, keep_versions: int) -> None:
    if not keep_versions:
        return
    current = current_version(destination)
    left = push_log.left_by_rollback(push_log.read(destination), current)
    back = None if current is None else before(destination, current)
    by_worth = sorted(
        versions_of(destination),
        key=lambda version: (
            version == current,
            version == back,
            version not in left,
            version,
        ),
    )
    for version in sorted(by_worth[:-keep_versions]):
        folder = os.path.join(destination, VERSIONS, str(version))
        removed = os.path.join(destination, VERSIONS, f"{_REMOVED}{uuid.uuid4().hex}")
        # A reader sees the version whole or not at all.
        fileio.rename(folder, removed)
        fileio.rmtree(removed)
        push_log.append(destination, push_log.REMOVE, version)


def _sweep(destination: str) -> None:
    """Removes what pushers left that were killed."""
    for part in ("", VERSIONS, push_log.LOG):
        folder = os.path.join(destination, part)
        for name in fileio.listdir(folder) if fileio.isdir(folder) else ():
            path = os.path.join(folder, str(name).rstrip("/"))
            if str(name).startswith((STAGING, _REMOVED, _PROBE)):
                remove = fileio.rmtree if fileio.isdir(path) else fileio.remove
                remove(path)


def check_writable(destination: str) -> None:
    """Finds out before a run what would fail after it.

    Raises:
      UserError: if the folder cannot be made or written.
    """
    probe = os.path.join(destination, f"{_PROBE}{uuid.uuid4().hex}")
    try:
        fileio.makedirs(destination)
        io_utils.write_string_file(probe, "")
        fileio.remove(probe)
    except FILE_ERRORS as error:
        raise UserError(
            f"push destination {destination}: cannot be written: {one_line(error)}"
        ) from error


def _copy_verified(source: str, target: str) -> None:
    """Copies a file or folder and reads it back.

    Raises:
      UserError: if the copy is not the same.
    """
    if not fileio.isdir(source):
        io_utils.copy_file(source, target)
        _compare(source, target)
        return
    io_utils.copy_dir(source, target)
    for folder, _, names in fileio.walk(source):
        for name in names:
            path = os.path.join(str(folder), str(name))
            _compare(path, os.path.join(target, os.path.relpath(path, source)))


def _write_training_sums(version: str) -> None:
    folder = os.path.join(version, TRAINING)
    sums = {n: sha256(os.path.join(folder, n)) for n in files_below(folder)}
    io_utils.write_string_file(os.path.join(version, TRAINING_SHA256), sums_text(sums))


def _compare(source: str, target: str) -> None:
    if not fileio.exists(target) or sha256(source) != sha256(target):
        raise UserError(f"{target}: what was written does not read back")
