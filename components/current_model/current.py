"""Reads a push destination: which version is current, and what it is."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from tfx.dsl.io import fileio

from components.checksums import check_sums
from components.files import read_bytes, sha256
from configs.errors import UserError

CURRENT = "CURRENT"
VERSIONS = "versions"
MANIFEST = "manifest.json"
BUNDLE = "bundle"
TRAINING = "training"
TRAINING_SHA256 = "training.sha256"
SAVED_MODEL = os.path.join(TRAINING, "saved_model")
TEST_SPLIT = "Split-test"
EXAMPLES = os.path.join(TRAINING, "examples", TEST_SPLIT)
TRAINING_CONFIG = os.path.join(TRAINING, "config.pbtxt")
TRANSFORM = os.path.join(TRAINING, "transform")
BEST_CHECKPOINT = os.path.join(
    *(TRAINING, "model_run", "checkpoints", "*-best.weights.h5")
)
SAVED_MODEL_FILE = "saved_model.pb"
TFLITE_FILE = "model.tflite"

NOTHING_PUSHED = "none"

_VERSION = re.compile(r"[1-9][0-9]{0,17}")


def current_version(push_destination: str) -> int | None:
    """The version that ``CURRENT`` names; None where nothing is pushed.

    Args:
      push_destination: a local folder or any that TFX's fileio reaches; it need not
        exist.

    Raises:
      UserError: if ``CURRENT`` is no version's number, or that version is not there.
    """
    pointer = os.path.join(push_destination, CURRENT)
    if not fileio.exists(pointer):
        return None
    text = read_bytes(pointer).decode("utf-8", "replace").strip()
    if not _VERSION.fullmatch(text):
        raise UserError(
            f"{pointer}: {text[:40]!r} names no version. Expected the number of a "
            f"folder in {os.path.join(push_destination, VERSIONS)}"
        )
    version = int(text)
    if not fileio.isdir(version_dir(push_destination, version)):
        raise UserError(
            f"{pointer}: names version {version}, which is missing in "
            f"{os.path.join(push_destination, VERSIONS)}. Expected one of "
            f"{_versions(push_destination) or 'none: nothing is there'}"
        )
    return version


def current_digest(push_destination: str) -> str:
    """SHA-256 of the current version's manifest, ``"none"`` where nothing is pushed.

    The manifest holds the digest of every file of its bundle and the version's number,
    so the digest tells a rollback, a push and a deletion, which the pointer's text
    alone does not: after a deletion the first version is 1 again.

    Raises:
      UserError: if ``CURRENT`` is broken or the version has no manifest.
    """
    return digest_of(push_destination, current_version(push_destination))


def digest_of(push_destination: str, version: int | None) -> str:
    """What `current_digest` is where this version is the current one.

    Raises:
      UserError: if the version has no manifest.
    """
    if version is None:
        return NOTHING_PUSHED
    manifest = os.path.join(version_dir(push_destination, version), BUNDLE, MANIFEST)
    _require(manifest, version)
    return sha256(manifest)


@dataclass(frozen=True)
class WarmStart:
    """Paths of what a warm start needs: configuration, checkpoint, transform graph."""

    config: str
    checkpoint: str
    transform: str


@dataclass(frozen=True)
class Parts:
    """Folders of what a version consists of.

    Attributes:
      saved_model: the SavedModel.
      bundle: the bundle.
      examples: those of test that the version was judged by.
      warm_start: None where a part was not kept: ``train.checkpoint_path`` puts
        checkpoints elsewhere.
    """

    saved_model: str
    bundle: str
    examples: str
    warm_start: WarmStart | None


def parts_of(push_destination: str, version: int) -> Parts:
    """What a version consists of, all that it is compared by as the push wrote it.

    Raises:
      UserError: if a part is missing, or a file below ``training/`` is another.
    """
    folder = version_dir(push_destination, version)
    bundle = os.path.join(folder, BUNDLE)
    saved_model = os.path.join(folder, SAVED_MODEL)
    examples = os.path.join(folder, EXAMPLES)
    for path in (
        os.path.join(saved_model, SAVED_MODEL_FILE),
        os.path.join(bundle, TFLITE_FILE),
        os.path.join(bundle, MANIFEST),
        # Without them, bad new data could lower the bar for both models.
        examples,
    ):
        _require(path, version)
    check_sums(os.path.join(folder, TRAINING_SHA256), os.path.join(folder, TRAINING))
    return Parts(saved_model, bundle, examples, _warm_start(folder))


def has_warm_start(push_destination: str) -> bool:
    """Whether the current version, if there is one, has all that a warm start needs."""
    version = current_version(push_destination)
    if version is None:
        return False
    return _warm_start(version_dir(push_destination, version)) is not None


def _warm_start(folder: str) -> WarmStart | None:
    config = os.path.join(folder, TRAINING_CONFIG)
    graph = os.path.join(folder, TRANSFORM)
    checkpoints = fileio.glob(os.path.join(folder, BEST_CHECKPOINT))
    if len(checkpoints) != 1 or not fileio.exists(config) or not fileio.isdir(graph):
        return None
    return WarmStart(config, str(checkpoints[0]), graph)


def version_dir(push_destination: str, version: int) -> str:
    """Folder of a version."""
    return os.path.join(push_destination, VERSIONS, str(version))


def _require(path: str, version: int) -> None:
    if not fileio.exists(path):
        raise UserError(
            f"{path}: missing. Expected a whole version {version}: restore it, or make "
            "another one the current one (pocketrec rollback --to)"
        )


def _versions(push_destination: str) -> str:
    folder = os.path.join(push_destination, VERSIONS)
    if not fileio.isdir(folder):
        return ""
    names = [str(name).rstrip("/") for name in fileio.listdir(folder)]
    numbers = sorted(int(name) for name in names if _VERSION.fullmatch(name))
    return ", ".join(map(str, numbers))
