"""What the terminal shows of the logs: ours, and errors that nobody raises."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PROGRAM = """
import logging, os, sys, warnings
from pipeline.quiet import silence
silence()
name, level = sys.argv[1:]
logging.getLogger(name).log(int(level), "shown")
warnings.warn("a warning")
"""


@pytest.mark.parametrize(
    ("name", "level", "shown"),
    [
        ("components.trainer", logging.WARNING, True),
        ("pipeline.local_runner", logging.ERROR, True),
        ("components.trainer", logging.INFO, False),
        ("tensorflow", logging.WARNING, False),
        ("tensorflow", logging.ERROR, True),
        ("absl", logging.ERROR, False),
        ("apache_beam.runners.common", logging.ERROR, False),
        ("apache_beam.runners.common", logging.CRITICAL, True),
        ("apache_beamer", logging.ERROR, True),
    ],
)
def test_what_is_shown(name: str, level: int, shown: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, name, str(level)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    expected = f"{logging.getLevelName(level)} {name}: shown\n" if shown else ""
    assert (done.stdout, done.stderr) == ("", expected)
