"""Reads a push destination: which version is current, and what it is."""

from __future__ import annotations

import hashlib
import os
import re

from tfx.dsl.io import fileio

from configs.errors import UserError

CURRENT = "CURRENT"
VERSIONS = "versions"
MANIFEST = "manifest.json"
BUNDLE = "bundle"
SAVED_MODEL = os.path.join("training", "saved_model")
TEST_SPLIT = "Split-test"
EXAMPLES = os.path.join("training", "examples", TEST_SPLIT)
TRAINING_CONFIG = os.path.join("training", "config.pbtxt")
TRANSFORM = os.path.join("training", "transform")
BEST_CHECKPOINT = os.path.join(
    *("training", "model_run", "checkpoints", "*-best.weights.h5")
)
SAVED_MODEL_FILE = "saved_model.pb"
TFLITE_FILE = "model.tflite"

NOTHING_PUSHED = "none"

_VERSION = re.compile(r"[1-9][0-9]*")


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
    content = _read(pointer)
    text = content.decode("utf-8", "replace").strip()
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
    version = current_version(push_destination)
    if version is None:
        return NOTHING_PUSHED
    manifest = os.path.join(version_dir(push_destination, version), BUNDLE, MANIFEST)
    _require(manifest, version)
    return hashlib.sha256(_read(manifest)).hexdigest()


def current_models(push_destination: str) -> tuple[str, str] | None:
    """Folders of the current SavedModel and bundle; None where nothing is pushed.

    Raises:
      UserError: if ``CURRENT`` is broken or the version lacks one of the two.
    """
    version = current_version(push_destination)
    if version is None:
        return None
    folder = version_dir(push_destination, version)
    saved_model = os.path.join(folder, SAVED_MODEL)
    bundle = os.path.join(folder, BUNDLE)
    _require(os.path.join(saved_model, SAVED_MODEL_FILE), version)
    _require(os.path.join(bundle, TFLITE_FILE), version)
    _require(os.path.join(bundle, MANIFEST), version)
    return saved_model, bundle


def stored_examples(push_destination: str) -> str | None:
    """Folder of the test examples that the current version was judged by.

    Returns:
      None where nothing is pushed.

    Raises:
      UserError: if ``CURRENT`` is broken or the version lacks them.
    """
    version = current_version(push_destination)
    if version is None:
        return None
    folder = os.path.join(version_dir(push_destination, version), EXAMPLES)
    # Without them, bad new data could lower the bar for both models.
    _require(folder, version)
    return folder


def current_training(push_destination: str) -> tuple[str, str, str] | None:
    """What a warm start needs of the current version.

    Returns:
      Paths of its configuration, its checkpoint and the folder of its transform graph;
      None where nothing is pushed, or a part was not kept: ``train.checkpoint_path``
      puts checkpoints elsewhere.
    """
    version = current_version(push_destination)
    if version is None:
        return None
    folder = version_dir(push_destination, version)
    config = os.path.join(folder, TRAINING_CONFIG)
    graph = os.path.join(folder, TRANSFORM)
    checkpoints = fileio.glob(os.path.join(folder, BEST_CHECKPOINT))
    if len(checkpoints) != 1 or not fileio.exists(config) or not fileio.isdir(graph):
        return None
    return config, str(checkpoints[0]), graph


def version_dir(push_destination: str, version: int) -> str:
    """Folder of a version."""
    return os.path.join(push_destination, VERSIONS, str(version))


def _require(path: str, version: int) -> None:
    if not fileio.exists(path):
        raise UserError(
            f"{path}: missing, though version {version} is the current one. Expected a "
            "whole version: restore it, or point CURRENT to another"
        )


def _read(path: str) -> bytes:
    with fileio.open(path, "rb") as file:
        content: bytes = file.read()
    return content


def _versions(push_destination: str) -> str:
    folder = os.path.join(push_destination, VERSIONS)
    if not fileio.isdir(folder):
        return ""
    names = [str(name).rstrip("/") for name in fileio.listdir(folder)]
    numbers = sorted(int(name) for name in names if _VERSION.fullmatch(name))
    return ", ".join(map(str, numbers))
