"""Reads files wherever TFX's fileio reaches; one that cannot be read is one error."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator

import tensorflow as tf
from tfx.dsl.io import fileio

from configs.errors import UserError

_BLOCK = 2**20
# TensorFlow's file systems raise errors of their own, which are no OSErrors.
FILE_ERRORS = (OSError, tf.errors.OpError)


def read_bytes(path: str) -> bytes:
    """The content of a file.

    Raises:
      UserError: if it cannot be read.
    """
    with _read_errors(path), fileio.open(path, "rb") as file:
        content: bytes = file.read()
    return content


def sha256(path: str) -> str:
    """SHA-256 of a file, in hex.

    Raises:
      UserError: if it cannot be read.
    """
    digest = hashlib.sha256()
    with _read_errors(path), fileio.open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def files_below(folder: str) -> list[str]:
    """Paths of all files, relative to the folder, sorted."""
    return sorted(
        os.path.relpath(os.path.join(str(parent), str(name)), folder)
        for parent, _, names in fileio.walk(folder)
        for name in names
    )


def one_line(error: Exception) -> str:
    """An error's text, without what would break a line."""
    return " ".join(str(error).split())


@contextlib.contextmanager
def _read_errors(path: str) -> Iterator[None]:
    try:
        yield
    except FILE_ERRORS as error:
        raise UserError(f"{path}: cannot be read: {one_line(error)}") from error
