"""Which state of the code a model was made with."""

from __future__ import annotations

import subprocess
from pathlib import Path

from components.code_digest import code_digest


def source_revision() -> str:
    """The commit of the checkout that the code runs from, else a digest of the code."""
    root = Path(__file__).resolve().parent.parent
    git = ["git", "-C", str(root)]
    if (root / ".git").exists():
        done = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            return f"git:{done.stdout.strip()}"
    digest = code_digest("components", "configs", "pipeline", "pocketrec_device")
    return f"sources:{digest}"
