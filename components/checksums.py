"""SHA-256 of files, and lists of them in the form of ``sha256sum``."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping

from tfx.dsl.io import fileio

from configs.errors import UserError

_BLOCK = 2**20
_LINE = re.compile(r"([0-9a-f]{64})  ([^\n]+)")


def sha256(path: str) -> str:
    """SHA-256 of a file, in hex.

    Args:
      path: local, or any that TFX's fileio reaches.
    """
    digest = hashlib.sha256()
    with fileio.open(path, "rb") as file:
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


def sums_text(sums: Mapping[str, str]) -> str:
    """Lines that ``sha256sum --check`` reads.

    Args:
      sums: SHA-256 in hex, by path.
    """
    return "".join(f"{digest}  {name}\n" for name, digest in sums.items())


def read_sums(path: str) -> dict[str, str]:
    """What `sums_text` wrote: SHA-256 in hex, by path.

    Raises:
      UserError: if the file is missing or holds something else.
    """
    if not fileio.exists(path):
        raise UserError(f"{path}: is missing, expected the SHA-256 of files")
    with fileio.open(path, "rb") as file:
        text = file.read().decode("utf-8", "replace")
    lines = text.splitlines()
    found = [_LINE.fullmatch(line) for line in lines]
    for number, (line, match) in enumerate(zip(lines, found, strict=True), 1):
        if match is None:
            raise UserError(
                f"{path}: line {number}: {line[:80]!r} is not allowed. Expected the "
                "SHA-256 of a file, two spaces and its path"
            )
    return {match[2]: match[1] for match in found if match}


def check_sums(path: str, folder: str) -> None:
    """Compares all files of a folder with a list.

    Args:
      path: of the list.
      folder: that its paths are relative to.

    Raises:
      UserError: naming the first file that is missing, altered or not in the list.
    """
    sums = read_sums(path)
    there = files_below(folder) if fileio.isdir(folder) else []
    for name in sorted({*sums, *there}):
        file = os.path.join(folder, name)
        if name not in there:
            raise UserError(f"{file}: is missing, expected as {path} lists it")
        if name not in sums:
            raise UserError(f"{file}: is not in {path}, expected nothing else")
        if sha256(file) != sums[name]:
            raise UserError(f"{file}: was altered: its SHA-256 is not that in {path}")
