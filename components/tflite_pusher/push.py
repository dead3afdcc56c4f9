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

import tensorflow as tf
from tfx.dsl.io import fileio
from tfx.utils import io_utils

from components.checksums import files_below, sha256, sums_text
from components.current_model.bundles import manifest_of, verify
from components.current_model.current import (
    BUNDLE,
    CURRENT,
    TRAINING,
    TRAINING_SHA256,
    VERSIONS,
    current_version,
)
from components.tflite_pusher import push_log
from components.tflite_pusher.push_log import PUSH, ROLLBACK, STAGING
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
    left = {
        event.replaced
        for event in push_log.read(destination)
        if event.kind == ROLLBACK and event.replaced is not None
    }
    for version in sorted(left - {current_version(destination)}):
        try:
            manifest = manifest_of(destination, version)
        except UserError as error:
            _logger.warning("version %d is broken: %s", version, error)
            continue
        if manifest is not None and bundle_digest(manifest) == digest:
            return version
    return None


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
      keep_versions: so many newest versions stay, and the current one. 0: all.

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
        try:
            make_current(destination, PUSH, version, replaced)
        except (OSError, tf.errors.OpError):
            # Nobody has seen it yet.
            fileio.rmtree(final)
            raise
    # TensorFlow's file systems raise errors of their own, which are no OSErrors.
    except (OSError, tf.errors.OpError) as error:
        raise UserError(
            f"push destination {destination}: cannot be written: {_one_line(error)}"
        ) from error
    finally:
        if fileio.exists(staging):
            fileio.rmtree(staging)
    try:
        _retain(destination, keep_versions)
    # The version is live; what should have gone goes with the next push.
    except (OSError, tf.errors.OpError) as error:
        _logger.warning("old versions stay: %s", _one_line(error))


def make_current(
    destination: str, kind: str, version: int, replaced: int | None
) -> None:
    """Switches ``CURRENT``, and says so in the log; the caller holds the lock.

    Args:
      destination: of the push.
      kind: of the event, see `push_log`.
      version: a whole one.
      replaced: the version that was current before.
    """
    if replaced is not None and push_log.current_since(destination, replaced) is None:
        push_log.append(destination, push_log.FOUND, replaced, None)
    written = os.path.join(destination, f"{STAGING}{uuid.uuid4().hex}")
    try:
        io_utils.write_string_file(written, f"{version}\n")
        fileio.rename(written, os.path.join(destination, CURRENT), overwrite=True)
    finally:
        if fileio.exists(written):
            fileio.remove(written)
    try:
        push_log.append(destination, kind, version, replaced)
    # It is current, whatever the log says; the next event makes up for this one.
    except (OSError, tf.errors.OpError) as error:
        _logger.warning("the push log lacks version %d: %s", version, _one_line(error))


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
    for version in versions_of(destination)[:-keep_versions]:
        if version != current:
            folder = os.path.join(destination, VERSIONS, str(version))
            removed = os.path.join(
                destination, VERSIONS, f"{_REMOVED}{uuid.uuid4().hex}"
            )
            # A reader sees the version whole or not at all.
            fileio.rename(folder, removed)
            fileio.rmtree(removed)
            push_log.append(destination, push_log.REMOVE, version, None)


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
    # TensorFlow's file systems raise errors of their own, which are no OSErrors.
    except Exception as error:
        raise UserError(
            f"push destination {destination}: cannot be written: {_one_line(error)}"
        ) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


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
