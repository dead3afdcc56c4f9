"""Makes the hashed lock files from pyproject.toml, and tells when they are out of date.

Each Python has its own file, ``requirements/python3.X.txt``: everything that the
distribution and its `EXTRAS` need on Linux x86_64 with the glibc of its row. The first
lines record a digest of what it was made from, so that a check needs no network.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from scripts.set_up import ROOT, ROWS, Row, dotted, pins

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

# The uv that a machine without one gets.
UV = "uv==0.13.9"
# Of the optional dependencies; Kubeflow's only exist on one Python of each row.
EXTRAS = ("benchmarks", "dev", "kfp")


def project_of(root: Path) -> dict[str, Any]:
    """The [project] table of pyproject.toml."""
    with open(root / "pyproject.toml", "rb") as file:
        project: dict[str, Any] = tomllib.load(file)["project"]
    return project


def requirements_of(project: dict[str, Any]) -> list[str]:
    """What is locked: the dependencies and those of `EXTRAS`, as written."""
    optional = project["optional-dependencies"]
    return [*project["dependencies"], *(r for extra in EXTRAS for r in optional[extra])]


def applying(requirements: list[str], minor: str) -> Iterator[Requirement]:
    """Yields the requirements whose marker holds for this Python on Linux x86_64."""
    machine = {
        "python_version": minor,
        "python_full_version": f"{minor}.0",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "x86_64",
        "extra": "",
    }
    for requirement in map(Requirement, requirements):
        if requirement.marker is None or requirement.marker.evaluate(machine):
            yield requirement


def digest_of(requirements: list[str]) -> str:
    """Digest of the locked requirements, whatever their order and spacing."""
    canonical = sorted(str(Requirement(r)) for r in requirements)
    return hashlib.sha256(json.dumps(canonical).encode()).hexdigest()


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def lock_path(root: Path, minor: str) -> Path:
    return root / "requirements" / f"python{minor}.txt"


def header(row: Row, minor: str, digest: str) -> str:
    return (
        f"# Python {minor}, TFX {row.tfx}: Linux x86_64, glibc {dotted(row.glibc)} or "
        f"newer. Made by `make lock`; do not edit.\n# Requirements: sha256:{digest}\n"
    )


def problems(root: Path) -> Iterator[str]:
    """Yields a line for each way in which the locks do not fit pyproject.toml."""
    requirements = requirements_of(project_of(root))
    digest = digest_of(requirements)
    for row in ROWS:
        for minor in row.pythons:
            path = lock_path(root, minor)
            name = path.relative_to(root)
            if not path.is_file():
                yield f"{name} is missing"
                continue
            text = path.read_text()
            if not text.startswith(header(row, minor, digest)):
                yield f"{name} was made from other requirements than pyproject.toml's"
            locked = {normalized(k): v for k, v in pins(text).items()}
            yield from (f"{name}: {p}" for p in unmet(requirements, minor, locked))
            for entry in locked.values():
                if "--hash=sha256:" not in entry:
                    yield f"{name}: {entry.split()[0]} has no hash"


def unmet(requirements: list[str], minor: str, locked: dict[str, str]) -> Iterator[str]:
    """Yields the requirements that the pins of one lock file do not satisfy."""
    for requirement in applying(requirements, minor):
        entry = locked.get(normalized(requirement.name))
        if entry is None:
            yield f"{requirement.name} is not locked"
            continue
        version = entry.split()[0].split("==")[1]
        if not requirement.specifier.contains(version, prereleases=True):
            yield f"{requirement.name} is locked at {version}, not {requirement}"


def compile_command(row: Row, minor: str, output: Path, upgrade: bool) -> list[str]:
    """The uv command for one Python; kept pins stay unless they must move."""
    command = [
        *(os.environ.get("UV", "uv"), "pip", "compile", "--quiet"),
        "pyproject.toml",
        *(option for extra in EXTRAS for option in ("--extra", extra)),
        *("--python-version", minor),
        *("--python-platform", row.platform),
        *("--generate-hashes", "--no-header"),
        *("--no-emit-index-url", "--no-emit-find-links"),
        *("--output-file", str(output)),
    ]
    return [*command, "--upgrade"] if upgrade else command


def lock(root: Path, upgrade: bool) -> None:
    """Writes every lock file; needs the package index."""
    digest = digest_of(requirements_of(project_of(root)))
    for row in ROWS:
        for minor in row.pythons:
            path = lock_path(root, minor)
            print(f"locking Python {minor}, TFX {row.tfx}", flush=True)
            # uv reads the pins to keep from the file that it will overwrite.
            partial = path.with_suffix(".partial.txt")
            partial.write_text(path.read_text() if path.is_file() else "")
            try:
                command = compile_command(row, minor, partial, upgrade)
                subprocess.run(command, check=True, cwd=root)
                path.write_text(header(row, minor, digest) + partial.read_text())
            finally:
                partial.unlink()
    print(f"locking {UV}", flush=True)
    text = subprocess.run(
        [
            *(os.environ.get("UV", "uv"), "pip", "compile", "--quiet", "-"),
            *("--universal", "--generate-hashes", "--no-header", "--no-annotate"),
            *("--no-emit-index-url", "--no-emit-find-links"),
        ],
        input=UV,
        check=True,
        cwd=root,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    (root / "requirements" / "uv.txt").write_text(
        "# The uv that a machine without one gets. Made by `make lock`; do not edit.\n"
        + text
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes or checks the lock files.")
    parser.add_argument("--check", action="store_true", help="only check, offline")
    parser.add_argument("--upgrade", action="store_true", help="move to newer versions")
    arguments = parser.parse_args()
    if not arguments.check:
        try:
            lock(ROOT, arguments.upgrade)
        except subprocess.CalledProcessError as error:
            sys.exit(f"lock: uv failed (exit {error.returncode})")
    found = list(problems(ROOT))
    if found:
        sys.exit("\n".join(["lock files are out of date; run `make lock`:", *found]))


if __name__ == "__main__":
    main()
