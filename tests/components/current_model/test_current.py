from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from components.current_model.current import (
    NOTHING_PUSHED,
    current_digest,
    current_version,
    parts_of,
)
from configs.errors import UserError

Push = Callable[..., None]


def assert_nothing_is_current(destination: Path) -> None:
    assert current_version(str(destination)) is None
    assert current_digest(str(destination)) == NOTHING_PUSHED


def test_before_the_first_push(tmp_path: Path) -> None:
    assert_nothing_is_current(tmp_path)
    assert_nothing_is_current(tmp_path / "missing")


def test_after_a_push(tmp_path: Path, push: Push) -> None:
    push(tmp_path, 3)
    folder = tmp_path / "versions" / "3"
    assert current_version(str(tmp_path)) == 3
    parts = parts_of(str(tmp_path), 3)
    training = folder / "training"
    assert parts.saved_model == str(training / "saved_model")
    assert parts.bundle == str(folder / "bundle")
    assert parts.examples == str(training / "examples" / "Split-test")
    assert parts.warm_start is not None
    assert parts.warm_start.transform == str(training / "transform")
    manifest = (folder / "bundle" / "manifest.json").read_bytes()
    assert current_digest(str(tmp_path)) == hashlib.sha256(manifest).hexdigest()


def test_the_digest_follows_the_content(tmp_path: Path, push: Push) -> None:
    push(tmp_path, 1)
    first = current_digest(str(tmp_path))
    push(tmp_path, 2)
    second = current_digest(str(tmp_path))
    assert first != second
    (tmp_path / "CURRENT").write_text("1")
    assert current_digest(str(tmp_path)) == first
    (tmp_path / "versions" / "1" / "bundle" / "manifest.json").write_text("{}")
    assert current_digest(str(tmp_path)) not in (first, second)


def test_after_the_destination_was_deleted(tmp_path: Path, push: Push) -> None:
    push(tmp_path / "pushed", 1)
    shutil.rmtree(tmp_path / "pushed")
    assert_nothing_is_current(tmp_path / "pushed")


def test_a_version_that_was_never_made_current_is_not_current(
    tmp_path: Path, push: Push
) -> None:
    push(tmp_path, 1)
    (tmp_path / "CURRENT").unlink()
    assert_nothing_is_current(tmp_path)


@pytest.mark.parametrize("text", ["", "latest", "0", "-1", "1.0", "../1", "1 2", "\0"])
def test_a_pointer_that_names_no_version(tmp_path: Path, push: Push, text: str) -> None:
    push(tmp_path, 1)
    (tmp_path / "CURRENT").write_text(text)
    with pytest.raises(UserError) as error:
        current_version(str(tmp_path))
    assert f"CURRENT: {text!r} names no version" in str(error.value)


def test_a_pointer_that_is_no_text(tmp_path: Path, push: Push) -> None:
    push(tmp_path, 1)
    (tmp_path / "CURRENT").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="names no version"):
        current_digest(str(tmp_path))


def test_a_pointer_to_a_missing_version(tmp_path: Path, push: Push) -> None:
    push(tmp_path, 1)
    push(tmp_path, 2)
    (tmp_path / "CURRENT").write_text("7")
    with pytest.raises(UserError, match=r"version 7, which is missing.*one of 1, 2"):
        current_version(str(tmp_path))


@pytest.mark.parametrize(
    "name",
    [
        "bundle/manifest.json",
        "bundle/model.tflite",
        "training/saved_model/saved_model.pb",
    ],
)
def test_a_version_that_lacks_a_file(tmp_path: Path, push: Push, name: str) -> None:
    push(tmp_path, 1)
    (tmp_path / "versions" / "1" / name).unlink()
    with pytest.raises(UserError, match=f"{name}: missing. Expected a whole version 1"):
        parts_of(str(tmp_path), 1)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("altered", r"examples/Split-test/part.gz: was altered: its SHA-256"),
        ("missing", r"examples/Split-test/part.gz: is missing, expected as"),
        ("more", r"examples/Split-test/more.gz: is not in .*training.sha256"),
        ("no list", r"training.sha256: is missing, expected the SHA-256"),
        ("odd list", r"training.sha256: line 2: 'b' is not allowed. Expected the SHA"),
    ],
)
def test_what_a_version_is_compared_by_is_as_it_was_pushed(
    tmp_path: Path, push: Push, damage: str, message: str
) -> None:
    push(tmp_path, 1)
    sums = tmp_path / "versions" / "1" / "training.sha256"
    examples = sums.with_suffix("") / "examples" / "Split-test"
    if damage == "altered":
        (examples / "part.gz").write_text("others")
    elif damage == "missing":
        (examples / "part.gz").unlink()
    elif damage == "more":
        (examples / "more.gz").write_text("more")
    elif damage == "no list":
        sums.unlink()
    else:
        sums.write_text(f"{'0' * 64}  a\nb\n")
    with pytest.raises(UserError, match=message):
        parts_of(str(tmp_path), 1)
