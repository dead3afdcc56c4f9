"""Names in an output folder, and checks of what a command is given."""

from __future__ import annotations

import os
from pathlib import Path

from configs.errors import UserError

METADATA, ARTIFACTS = "metadata.sqlite", "artifacts"


def expect_folder(path: Path) -> None:
    """Refuses what is no folder."""
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise UserError(f"{path}: {what}, expected a folder")


def expect_file(path: Path) -> None:
    """Refuses what is no file."""
    if not path.is_file():
        what = "is a folder" if path.exists() else "does not exist"
        raise UserError(f"{path}: {what}, expected a file")


def expect_new(path: Path) -> None:
    """Refuses a folder that holds something."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UserError(f"{path}: is there already, expected a new or an empty folder")
    expect_writable(path)


def expect_writable(path: Path) -> None:
    """Refuses a folder that cannot be made or written, without making it."""
    there = path.absolute()
    while not there.exists():
        there = there.parent
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        what = "cannot be written" if there.is_dir() else "is a file"
        raise UserError(
            f"{path}: {there} {what}, expected a folder that can be written"
        )
