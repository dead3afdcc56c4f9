"""Who may import whom, what the tracked files may say, and what the locks must hold."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from scripts import lock, set_up
from tests.checkout import ROOT, tracked_files

# Import name -> its folder, and the others of ours that it may import.
FOLDERS = {
    "benchmarks": "benchmarks",
    "components": "components",
    "configs": "configs",
    "data": "data",
    "pipeline": "pipeline",
    "pocketrec_device": "device/pocketrec_device",
    "scripts": "scripts",
}
ALLOWED = {
    "benchmarks": {"components", "configs", "data", "pocketrec_device"},
    "components": {"configs", "pocketrec_device"},
    "configs": set(),
    "data": set(),
    "pipeline": {"components", "configs", "data", "pocketrec_device"},
    "pocketrec_device": set(),
    "scripts": set(),
}
OURS = {*FOLDERS, "tests"}


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yields (line, top-level name) of absolute imports and of import_module calls."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name.split(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.lineno, node.module.split(".")[0]
        elif isinstance(node, ast.Call) and node.args:
            function = node.func
            name = getattr(function, "attr", getattr(function, "id", ""))
            first = node.args[0]
            if name in {"import_module", "__import__"} and isinstance(
                first, ast.Constant
            ):
                yield node.lineno, str(first.value).split(".")[0]


def violations(package: str, source: str) -> list[tuple[int, str]]:
    """The imports of other packages of ours that `package` must not have."""
    forbidden = OURS - ALLOWED[package] - {package}
    return [
        (line, name) for line, name in imports(ast.parse(source)) if name in forbidden
    ]


def sources(package: str) -> list[Path]:
    return sorted((ROOT / FOLDERS[package]).rglob("*.py"))


@pytest.mark.parametrize("package", sorted(FOLDERS))
def test_imports_keep_to_the_rules(package: str) -> None:
    assert sources(package), f"nothing found in {FOLDERS[package]}"
    found = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in sources(package)
        for line, name in violations(package, path.read_text())
    ]
    assert found == []


@pytest.mark.parametrize(
    ("package", "source", "expected"),
    [
        ("configs", "from components.trainer import x", [(1, "components")]),
        ("configs", "import json\nimport pipeline.cli as c", [(2, "pipeline")]),
        ("pocketrec_device", "def f():\n    import configs", [(2, "configs")]),
        (
            "components",
            "import importlib\nimportlib.import_module('pipeline.cli')",
            [(2, "pipeline")],
        ),
        ("components", "from tests import helpers", [(1, "tests")]),
        ("components", "from configs import loader\nimport pocketrec_device", []),
        ("pipeline", "import components, configs\nfrom pipeline import cli", []),
        ("data", "from data import download", []),
        ("data", "from configs import errors", [(1, "configs")]),
        ("configs", "from . import errors", []),
    ],
)
def test_the_rules_find_what_breaks_them(
    package: str, source: str, expected: list[tuple[int, str]]
) -> None:
    assert violations(package, source) == expected


def test_the_device_client_needs_numpy_and_litert_alone() -> None:
    allowed = {*sys.stdlib_module_names, "numpy", "ai_edge_litert", "pocketrec_device"}
    found = {
        name
        for path in sources("pocketrec_device")
        for _, name in imports(ast.parse(path.read_text()))
    }
    assert found <= allowed


def test_nothing_is_called_utils() -> None:
    names = [p for package in FOLDERS for p in sources(package) if "util" in p.stem]
    assert names == []


# Options and addresses that bind a checkout to one package index, and this very folder.
INDEX = re.compile(
    r"^\s*--?(index-url|extra-index-url|find-links|trusted-host|[fi] )"
    r"|\b(files\.)?py(pi|thonhosted)\.org\b"
    r"|\[\[tool\.uv\.index\]\]",
    re.MULTILINE,
)


def test_no_file_names_an_index_or_this_machine() -> None:
    found = []
    for path in tracked_files():
        text = path.read_bytes().decode("utf-8", errors="replace")
        match = INDEX.search(text)
        if match:
            found.append(f"{path.relative_to(ROOT)}: {match[0]}")
        if str(ROOT) in text:
            found.append(f"{path.relative_to(ROOT)}: {ROOT}")
    assert found == []


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("--index-url https://host/simple\ntfx==1", True),
        ("a==1\n--find-links /wheels", True),
        ("-i https://host/simple", True),
        ("see py" + "pi.org/project/x", True),
        ("[[tool.uv" + ".index]]", True),
        ("tfx==1.16.0 \\\n    --hash=sha256:0\n- item", False),
    ],
)
def test_what_counts_as_an_index(text: str, bound: bool) -> None:
    assert bool(INDEX.search(text)) == bound


def test_files_stay_small() -> None:
    large = [p.name for p in tracked_files() if p.stat().st_size > 1_000_000]
    assert large == []


MINORS = [minor for row in set_up.ROWS for minor in row.pythons]


def test_the_rows_are_the_declared_pythons() -> None:
    declared = lock.project_of(ROOT)
    classified = [
        classifier.rpartition(" ")[2]
        for classifier in declared["classifiers"]
        if classifier.startswith("Programming Language :: Python :: 3.")
    ]
    assert sorted(MINORS) == sorted(classified)
    files = {path.name for path in (ROOT / "requirements").iterdir()}
    assert files == {"uv.txt", *(f"python{minor}.txt" for minor in MINORS)}


@pytest.mark.parametrize(
    ("minor", "expected"),
    [
        ("3.10", {"tfx": "1.16", "tensorflow": "2.16", "apache-beam": "2.65"}),
        ("3.11", {"tfx": "1.21", "tensorflow": "2.21", "apache-beam": "2.77"}),
        ("3.12", {"tfx": "1.21", "tensorflow": "2.21", "apache-beam": "2.77"}),
        ("3.13", {"tfx": "1.21", "tensorflow": "2.21", "apache-beam": "2.77"}),
    ],
)
def test_each_lock_holds_its_rows_stack(minor: str, expected: dict[str, str]) -> None:
    pins = set_up.pins(lock.lock_path(ROOT, minor).read_text())
    locked = {name: pins[name].split()[0].partition("==")[2] for name in expected}
    assert {k: ".".join(v.split(".")[:2]) for k, v in locked.items()} == expected
    (row,) = [row for row in set_up.ROWS if minor in row.pythons]
    assert row.tfx == expected["tfx"]
    # What the packages import without declaring it.
    assert {"pip", "setuptools", "tensorboard", "ai-edge-litert"} <= pins.keys()
    assert int(pins["setuptools"].split("==")[1].split(".")[0]) < 81


@pytest.mark.parametrize("minor", MINORS)
def test_locks_hold_pins_and_hashes_alone(minor: str) -> None:
    for line in lock.lock_path(ROOT, minor).read_text().splitlines():
        assert re.fullmatch(
            r"#.*|\s+#.*|[\w.-]+==[\w.!+-]+ \\|    --hash=sha256:[0-9a-f]{64}( \\)?",
            line,
        ), line


def test_the_lock_in_use_is_complete() -> None:
    """Every requirement of every locked package is locked too."""
    minor = f"{sys.version_info[0]}.{sys.version_info[1]}"
    pins = set_up.pins(lock.lock_path(ROOT, minor).read_text())
    locked = {lock.normalized(name) for name in pins}
    missing = set()
    for name in locked:
        for text in importlib.metadata.requires(name) or []:
            requirement = Requirement(text)
            marker = requirement.marker
            needed = marker is None or marker.evaluate({"extra": ""})
            if needed and lock.normalized(requirement.name) not in locked:
                missing.add(f"{requirement.name} (of {name})")
    assert missing == set()


def test_the_locked_uv_is_hashed() -> None:
    pins = set_up.pins((ROOT / "requirements" / "uv.txt").read_text())
    assert list(pins) == ["uv"]
    assert pins["uv"].startswith(f"{lock.UV} ")
    assert pins["uv"].count("--hash=sha256:") > 1
