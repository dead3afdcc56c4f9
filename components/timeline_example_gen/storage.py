"""Files on the local disk or, for ``scheme://`` paths, on what Beam can reach."""

from __future__ import annotations

import glob
import os
import re
import shutil
import uuid
from collections.abc import Iterable
from typing import Any, BinaryIO


def join(folder: str, *names: str) -> str:
    """One path from a folder and names below it."""
    if _is_remote(folder):
        return "/".join([folder.rstrip("/"), *names])
    return os.path.join(folder, *names)


def name_below(folder: str, path: str) -> str:
    """The name of a file that `join` gave."""
    return path.removeprefix(join(folder, ""))


def is_file(path: str) -> bool:
    """Whether there is a file of this name."""
    if _is_remote(path):
        return bool(_beam().exists(path))
    return os.path.isfile(path)


def is_folder(path: str) -> bool:
    """Whether there is a folder of this name; a remote one, with a file below it."""
    if _is_remote(path):
        return bool(_remote_files(path, "**", limit=1))
    return os.path.isdir(path)


def real_path(path: str) -> str:
    """The path of the file itself, where a link leads to it."""
    return path if _is_remote(path) else os.path.realpath(path)


def list_files(folder: str) -> list[str]:
    """Names of the files directly in a folder, sorted; none if there is no folder."""
    if _is_remote(folder):
        return match_files(folder, "*")
    if not os.path.isdir(folder):
        return []
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_file())


def match_files(folder: str, pattern: str) -> list[str]:
    """Names of the files below a folder that a pattern finds, sorted.

    Args:
      folder: taken as it is, whatever characters it holds.
      pattern: of names below it, with ``*`` and ``?``, which match no slash.
    """
    if _is_remote(folder):
        return _matching(_remote_files(folder, pattern), pattern)
    return [name for name in _glob(folder, pattern) if is_file(join(folder, name))]


def match_folders(folder: str, pattern: str) -> list[str]:
    """Names of the folders below a folder that a pattern finds, as `match_files`."""
    if not _is_remote(folder):
        return [
            name for name in _glob(folder, pattern) if is_folder(join(folder, name))
        ]
    files = _remote_files(folder, f"{pattern}/**")
    depth = pattern.count("/") + 1
    return _matching({"/".join(file.split("/")[:depth]) for file in files}, pattern)


def size(path: str) -> int:
    """Bytes of a file."""
    if _is_remote(path):
        # Beam's match would take a bracket for the beginning of a pattern.
        system = _beam().get_filesystem(path)
        return int(system.metadata(path).size_in_bytes)
    return os.path.getsize(path)


def open_for_reading(path: str) -> BinaryIO:
    """The file's bytes as they are: nothing is decompressed."""
    if _is_remote(path):
        return _beam().open(path, compression_type="uncompressed")
    return open(path, "rb")


def open_for_writing(path: str) -> BinaryIO:
    """A new file, in place of an older one; missing folders are made."""
    if _is_remote(path):
        return _beam().create(path, compression_type="uncompressed")
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    return open(path, "wb")


def read_bytes(path: str) -> bytes:
    """The whole content of a file."""
    with open_for_reading(path) as file:
        return file.read()


def part_name(path: str) -> str:
    """A name for a file that is not complete; two attempts at one get two names."""
    return f"{path}.{uuid.uuid4().hex}.part"


def read_part(path: str, begin: int, size: int) -> bytes:
    """So many bytes of a file, from one on."""
    with open_for_reading(path) as file:
        file.seek(begin)
        return file.read(size)


def write_bytes(path: str, content: bytes) -> None:
    """Writes a file under another name first: it is there as a whole or not at all."""
    temporary = part_name(path)
    with open_for_writing(temporary) as file:
        file.write(content)
    rename(temporary, path)


def rename(source: str, target: str) -> None:
    """Moves a file, in place of one of the target's name."""
    if not _is_remote(target):
        os.replace(source, target)
        return
    if _beam().exists(target):
        _beam().delete([target])
    _beam().rename([source], [target])


def move_folder(source: str, target: str) -> None:
    """Moves a folder of files, in place of an older one."""
    remove_tree(target)
    if not _is_remote(target):
        os.makedirs(os.path.dirname(os.path.abspath(target)), exist_ok=True)
        os.replace(source, target)
        return
    for name in list_files(source):
        rename(join(source, name), join(target, name))


def remove_tree(folder: str) -> None:
    """Removes a folder and all below it, if it is there."""
    if not _is_remote(folder):
        shutil.rmtree(folder, ignore_errors=True)
    elif _beam().match([join(folder, "**")])[0].metadata_list:
        _beam().delete([folder.rstrip("/") + "/"])


def _glob(folder: str, pattern: str) -> list[str]:
    return sorted(glob.glob(pattern.replace("[", "[[]"), root_dir=folder))


def _remote_files(folder: str, pattern: str, limit: int | None = None) -> list[str]:
    """Names below a folder, at least those that a pattern finds (or one of them)."""
    prefix = folder.rstrip("/") + "/"
    # Beam has no way to quote.
    loose = re.sub(r"[*?[]", "?", prefix)
    limits = [limit if loose == prefix else None]
    found = _beam().match([loose + pattern.replace("[", "?")], limits)
    paths = [match.path for match in found[0].metadata_list]
    return [path.removeprefix(prefix) for path in paths if path.startswith(prefix)]


def _matching(names: Iterable[str], pattern: str) -> list[str]:
    wild = {"*": "[^/]*", "?": "[^/]"}
    regex = re.compile("".join(wild.get(c, re.escape(c)) for c in pattern), re.DOTALL)
    return sorted(filter(regex.fullmatch, names))


def _is_remote(path: str) -> bool:
    return "://" in path


def _beam() -> Any:
    # Imported where it is needed: Beam takes five seconds.
    from apache_beam.io.filesystems import FileSystems

    return FileSystems
