"""Reads a pushed bundle: its manifest, and whether its files are as that says."""

from __future__ import annotations

import json
import os
from typing import Any

from tfx.dsl.io import fileio

from components.current_model.current import BUNDLE, version_dir
from components.files import read_bytes, sha256
from components.tflite_converter import manifest as manifests
from configs.errors import UserError


def verify(bundle: str) -> None:
    """Reads a bundle's files and compares them with its manifest.

    Args:
      bundle: its folder.

    Raises:
      UserError: if one is missing or not as the manifest says, or that is broken.
    """
    manifest = _read_manifest(os.path.join(bundle, manifests.MANIFEST))
    for name, entry in manifest["files"].items():
        path = os.path.join(bundle, name)
        if not fileio.exists(path) or sha256(path) != entry["sha256"]:
            raise UserError(f"{path}: is not what the manifest says")


def manifest_of(destination: str, version: int) -> dict[str, Any] | None:
    """A version's manifest; None if there is none any more.

    Raises:
      UserError: if it is broken.
    """
    folder = os.path.join(version_dir(destination, version), BUNDLE)
    path = os.path.join(folder, manifests.MANIFEST)
    if not fileio.exists(path):
        return None
    return _read_manifest(path)


def _read_manifest(path: str) -> dict[str, Any]:
    expected = "Expected what a push wrote: restore it, or remove its version"
    if not fileio.exists(path):
        raise UserError(f"{path}: is missing. {expected}")
    content = read_bytes(path)
    try:
        manifest: dict[str, Any] = json.loads(content)
        version, files = manifest["format_version"], manifest["files"]
        names = {manifests.MODEL, manifests.ITEMS} - files.keys()
        digests = [entry["sha256"] for entry in files.values()]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as e:
        raise UserError(f"{path}: is no manifest: {e!r:.200}. {expected}") from e
    if version != manifests.FORMAT_VERSION:
        raise UserError(
            f"{path}: has format version {version}, expected {manifests.FORMAT_VERSION}"
        )
    outside = [n for n in files if os.path.isabs(n) or ".." in n.split("/")]
    if names or outside or not all(digests):
        what = f"lacks {', '.join(sorted(names))}" if names else f"names {outside}"
        raise UserError(f"{path}: {what}. {expected}")
    own = os.path.join(os.path.dirname(path), manifests.MANIFEST_SHA256)
    if not fileio.exists(own) or read_bytes(own) != manifests.sum_of(content):
        raise UserError(
            f"{path}: is not what {manifests.MANIFEST_SHA256} says. {expected}"
        )
    return manifest
