from __future__ import annotations

import sys
from pathlib import Path

import pytest

from components.code_digest import code_digest


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "digested"
    (folder / "inner").mkdir(parents=True)
    for name in ("__init__.py", "a.py", "inner/b.py", "inner/c.proto", "note.txt"):
        (folder / name).write_text("raise AssertionError('not to be imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


@pytest.mark.parametrize("name", ["__init__.py", "a.py", "inner/b.py", "inner/c.proto"])
def test_every_source_counts(package: Path, name: str) -> None:
    before = code_digest("digested")
    (package / name).write_text("changed")
    assert code_digest("digested") != before
    assert "digested" not in sys.modules


def test_names_and_new_files_count(package: Path) -> None:
    digests = {code_digest("digested")}
    (package / "a.py").rename(package / "z.py")
    digests.add(code_digest("digested"))
    (package / "new.py").write_text("")
    digests.add(code_digest("digested"))
    assert len(digests) == 3


def test_other_files_do_not_count(package: Path) -> None:
    before = code_digest("digested")
    (package / "note.txt").write_text("changed")
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "a.pyc").write_text("")
    assert code_digest("digested") == before


def test_the_order_of_packages_does_not_count() -> None:
    one = code_digest("components.transform", "components.timeline_example_gen")
    two = code_digest("components.timeline_example_gen", "components.transform")
    assert one == two
    assert one != code_digest("components.transform")


def test_single_modules_and_the_configuration() -> None:
    digest = code_digest("components.code_digest")
    assert digest != code_digest()
    assert code_digest("configs") == code_digest()
    assert len(digest) == 64


def test_unknown_packages_are_an_error() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        code_digest("no_such_package")
