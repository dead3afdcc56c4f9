"""Runs the command line as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "data" / "sample"


@dataclass(frozen=True)
class Command:
    """What a command of `pocketrec` printed and how it ended."""

    code: int
    out: str
    err: str


def pocketrec(*arguments: str | Path, cwd: Path | None = None) -> Command:
    """Runs the command line as a user does, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return Command(done.returncode, done.stdout, done.stderr)
