"""Environments that know our wheel, and not the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from tests.checkout import ROOT


def wheel_environment(folder: Path, pth_lines: Sequence[str] = ()) -> Path:
    """Makes an environment with our wheel, and with the packages of others.

    Args:
      folder: an empty one.
      pth_lines: what else is run as its Python starts.

    Returns:
      Its Python.
    """
    source, dist, environment = (folder / name for name in ("source", "dist", "venv"))
    # Builds leave folders behind where the sources are.
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("components", "configs", "data", "pipeline", "device"):
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", dist, source)
    [wheel] = dist.iterdir()
    run(sys.executable, "-m", "venv", "--without-pip", environment)
    python = environment / "bin" / "python"
    _pip("--python", python, "install", "--no-deps", "--no-index", wheel)
    # Folders that a .pth file names have their own .pth files ignored: that by which
    # this environment knows the checkout is not seen there.
    theirs = dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
    lines = "\n".join([*theirs, *pth_lines, ""])
    (packages_of(python) / "others.pth").write_text(lines)
    return python


def packages_of(python: Path) -> Path:
    """Where an environment's packages are."""
    asked = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
    return Path(asked.strip())


def run(*command: str | Path, folder: Path | None = None) -> str:
    """Runs a command that must go well; returns what it printed."""
    done = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def clean_environment(**more: str | Path) -> dict[str, str]:
    """Variables without what would show the checkout."""
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    return kept | {name: str(value) for name, value in more.items()}


def _pip(*arguments: str | Path) -> None:
    run(sys.executable, "-m", "pip", "--quiet", *arguments)
