"""A versioned push: staged, verified, renamed, then made current.

Layout of the destination::

    versions/1/bundle/    what ships
    versions/1/training/  what the next gate and warm start need
    CURRENT               the number of the version in use

Readers follow ``CURRENT``, which is written last, so they see the old version whole or
the new one whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfx.dsl.io import fileio
from tfx.utils import io_utils

from components.current_model.current import current_version
from components.tflite_converter import manifest as manifests
from configs.errors import UserError

VERSIONS = "versions"
BUNDLE = "bundle"
TRAINING = "training"
CURRENT = "CURRENT"
MODEL_CARD = "model_card.md"


@dataclass(frozen=True)
class Pushed:
    """Outcome of a push.

    Attributes:
      version: the current version after it.
      path: its folder.
      unchanged: the bundle was the current one already, nothing was written.
    """

    version: int
    path: str
    unchanged: bool


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
    folder = os.path.join(destination, VERSIONS)
    if not fileio.exists(folder):
        return 1
    names = [str(name).rstrip("/") for name in fileio.listdir(folder)]
    return max((int(name) for name in names if name.isdigit()), default=0) + 1


def unchanged(destination: str, digest: str) -> Pushed | None:
    """The current version, if its bundle has this digest."""
    version = current_version(destination)
    if version is None:
        return None
    path = os.path.join(destination, VERSIONS, str(version))
    text = io_utils.read_string_file(os.path.join(path, BUNDLE, manifests.MANIFEST))
    if bundle_digest(json.loads(text)) != digest:
        return None
    return Pushed(version, path, unchanged=True)


def push(
    destination: str, version: int, bundle: Path, training: Mapping[str, str]
) -> Pushed:
    """Writes a version and makes it the current one.

    Args:
      destination: a local folder or any that TFX's fileio reaches.
      version: its number, see `next_version`.
      bundle: the local folder of the finished bundle, manifest included.
      training: name below ``training/`` to the folder or file that is copied there.

    Raises:
      UserError: if the destination cannot be written, or the version is there already.
      OSError: if what was written does not read back as it should.
    """
    versions = os.path.join(destination, VERSIONS)
    staging = os.path.join(versions, f".staging-{uuid.uuid4().hex}")
    final = os.path.join(versions, str(version))
    try:
        fileio.makedirs(staging)
    except OSError as error:
        raise UserError(
            f"push destination {destination}: cannot be written: {error}"
        ) from error
    try:
        io_utils.copy_dir(str(bundle), os.path.join(staging, BUNDLE))
        for name, source in training.items():
            _copy(source, os.path.join(staging, TRAINING, name))
        _verify(os.path.join(staging, BUNDLE), manifests.read_manifest(bundle))
        if fileio.exists(final):
            raise UserError(
                f"push destination {destination}: version {version} was pushed by "
                "another run meanwhile; run again"
            )
        fileio.rename(staging, final)
    except BaseException:
        if fileio.exists(staging):
            fileio.rmtree(staging)
        raise
    _make_current(destination, version)
    return Pushed(version, final, unchanged=False)


def check_writable(destination: str) -> None:
    """Finds out before a run what would fail after it.

    Raises:
      UserError: if the folder cannot be made or written.
    """
    probe = os.path.join(destination, f".probe-{uuid.uuid4().hex}")
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


def _copy(source: str, target: str) -> None:
    if fileio.isdir(source):
        io_utils.copy_dir(source, target)
    else:
        io_utils.copy_file(source, target)


def _verify(bundle: str, manifest: Mapping[str, Any]) -> None:
    for name, entry in manifest["files"].items():
        content = io_utils.read_bytes_file(os.path.join(bundle, name))
        if hashlib.sha256(content).hexdigest() != entry["sha256"]:
            raise OSError(f"{bundle}/{name}: what was written does not read back")


def _make_current(destination: str, version: int) -> None:
    written = os.path.join(destination, f".{CURRENT}-{uuid.uuid4().hex}")
    io_utils.write_string_file(written, f"{version}\n")
    fileio.rename(written, os.path.join(destination, CURRENT), overwrite=True)
