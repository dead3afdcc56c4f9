"""A digest of source code, so that a changed component is not served from the cache."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

_SUFFIXES = (".proto", ".py")


def code_digest(*packages: str) -> str:
    """SHA-256 over the sources of packages or modules, and of `configs`.

    TFX's cache looks at inputs and execution properties alone; handing it this digest
    as one of them makes it look at the code too.

    Args:
      packages: dotted names, e.g. ``"components.trainer"``; of a package all ``.py``
        and ``.proto`` files are read, those of its subpackages too, none is imported.

    Returns:
      64 hexadecimal digits; the same wherever the packages are installed.

    Raises:
      ModuleNotFoundError: if there is no such package or module.
    """
    digest = hashlib.sha256()
    for package in sorted({*packages, "configs"}):
        for name, path in _sources(package):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{package}\n{name}\n{content}\n".encode())
    return digest.hexdigest()


def _sources(package: str) -> list[tuple[str, Path]]:
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise ModuleNotFoundError(f"no package or module {package!r}", name=package)
    if spec.submodule_search_locations is None:
        if spec.origin is None or not spec.origin.endswith(_SUFFIXES):
            raise ModuleNotFoundError(f"{package!r} has no source file", name=package)
        return [(Path(spec.origin).name, Path(spec.origin))]
    return sorted(
        (path.relative_to(folder).as_posix(), path)
        for folder in map(Path, spec.submodule_search_locations)
        for path in folder.rglob("*")
        if path.suffix in _SUFFIXES
    )
