"""Lists of SHA-256 of files, in the form of ``sha256sum``."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from tfx.dsl.io import fileio

from components.files import files_below, read_bytes, sha256
from configs.errors import UserError

_LINE = re.compile(r"([0-9a-f]{64})  ([^\n]+)")


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
    sums = {}
    lines = read_bytes(path).decode("utf-8", "replace").splitlines()
    for number, line in enumerate(lines, 1):
        match = _LINE.fullmatch(line)
        if match is None or match[2] in sums:
            raise UserError(
                f"{path}: line {number}: {line[:80]!r} is not allowed. Expected the "
                "SHA-256 of a file, two spaces and its path, each once"
            )
        sums[match[2]] = match[1]
    return sums


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
