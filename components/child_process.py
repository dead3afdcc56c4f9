"""Runs Python in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any


def run_python(
    arguments: Sequence[str], timeout_seconds: float, **streams: Any
) -> subprocess.CompletedProcess[str]:
    """Runs Python to its end; it finds our packages where this process found them.

    Args:
      arguments: of Python: ``-m``, a module and the module's arguments.
      timeout_seconds: after which the process is killed.
      streams: `subprocess.run`'s ``stdout`` and ``stderr``, or ``capture_output``.

    Returns:
      how it ended; text where streams were captured.

    Raises:
      subprocess.TimeoutExpired: if it takes longer.
    """
    return subprocess.run(
        [sys.executable, *arguments],
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        text=True,
        timeout=timeout_seconds,
        check=False,
        **streams,
    )
