"""What belongs to the checkout that the tests run in."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def tracked_files() -> list[Path]:
    """Files under version control or about to be; all but hidden ones without git."""
    if shutil.which("git") and (ROOT / ".git").exists():
        names = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split("\0")
        paths = [ROOT / name for name in names if name]
    else:
        paths = []
        for folder, folders, files in os.walk(ROOT):
            folders[:] = [
                f for f in folders if f[0] != "." and f not in {"__pycache__", "runs"}
            ]
            paths += [Path(folder, name) for name in files]
    return [path for path in paths if path.is_file()]
