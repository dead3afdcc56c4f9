"""A version is pushed whole or not at all, and never overwritten."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import shutil
import signal
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from components.checksums import read_sums
from components.current_model import bundles, current
from components.current_model.current import current_version
from components.evaluator.variants import Variant
from components.tflite_converter import manifest as manifests
from components.tflite_pusher import model_card, push, push_log
from components.tflite_pusher.executor import check_baseline, check_gated
from components.tflite_pusher.infra_validation import check_answers
from components.tflite_pusher.rollback import rollback
from configs.errors import UserError
from tests.components.tflite_pusher.conftest import (
    CONTENT,
    bundle,
    make_training,
    tree,
)


def digest(folder: Path) -> str:
    return push.bundle_digest(manifests.read_manifest(folder))


def test_a_push_is_a_numbered_folder_that_current_names(
    tmp_path: Path, training: dict[str, str]
) -> None:
    destination = tmp_path / "push"
    source = bundle(tmp_path / "bundle")
    assert push.next_version(str(destination)) == 1
    push.push(str(destination), 1, source, training)
    folder = destination / push.VERSIONS / "1"
    assert tree(folder / push.BUNDLE) == tree(source)
    assert tree(folder / push.TRAINING) == {
        "config.pbtxt": b"name: 'tiny'",
        "examples/Split-test/part.gz": b"examples",
        "saved_model/saved_model.pb": b"graph",
        "saved_model/variables/index": b"weights",
    }
    sums = read_sums(str(folder / push.TRAINING_SHA256))
    assert list(sums) == list(tree(folder / push.TRAINING))
    assert (destination / push.CURRENT).read_text() == "1\n"
    assert sorted(os.listdir(destination)) == [push.CURRENT, "log", push.VERSIONS]
    assert os.listdir(destination / push.VERSIONS) == ["1"]


def test_the_next_version_is_one_more_than_any_ever_pushed(
    tmp_path: Path, training: dict[str, str]
) -> None:
    destination = tmp_path / "push"
    source = bundle(tmp_path / "bundle")
    push.push(str(destination), 1, source, training)
    push.push(str(destination), 9, source, training)
    (destination / push.CURRENT).write_text("1\n")
    assert push.next_version(str(destination)) == 10


def test_a_version_is_never_overwritten(
    tmp_path: Path, training: dict[str, str]
) -> None:
    destination = tmp_path / "push"
    push.push(str(destination), 1, bundle(tmp_path / "old", b"old"), training)
    before = tree(destination)
    with pytest.raises(UserError, match="version 1 was pushed by another run"):
        push.push(str(destination), 1, bundle(tmp_path / "new", b"new"), training)
    assert tree(destination) == before


@pytest.mark.parametrize("fails_at", ["copy", "verify", "rename"])
def test_a_failed_push_leaves_the_destination_as_it_was(
    tmp_path: Path,
    training: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    fails_at: str,
) -> None:
    destination = tmp_path / "push"
    push.push(str(destination), 1, bundle(tmp_path / "old", b"old"), training)
    before = tree(destination)
    new = bundle(tmp_path / "new", b"new")
    if fails_at == "copy":
        training["absent"] = str(tmp_path / "absent")
    elif fails_at == "verify":
        (new / manifests.MODEL).write_bytes(b"changed after the manifest")
    else:

        def broken(*_: object, **__: object) -> None:
            raise OSError("disk full")

        monkeypatch.setattr(push.fileio, "rename", broken)
    with pytest.raises(UserError, match=str(destination)):
        push.push(str(destination), 2, new, training)
    assert tree(destination) == before
    assert os.listdir(destination / push.VERSIONS) == ["1"]


def deadly(do: Callable[..., object], left: Iterator[int]) -> Callable[..., object]:
    """An operation that kills the process once none is left."""

    def operation(*arguments: object, **options: object) -> object:
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return do(*arguments, **options)

    return operation


def killed_at(step: int, destination: Path, source: Path, training: dict) -> bool:
    """Pushes version 2 in a process that is killed before its n-th file operation.

    Returns whether it came to that.
    """
    pid = os.fork()
    if pid == 0:
        left = iter(range(step))
        for name in ("copy", "makedirs", "mkdir", "open", "rename", "rmtree"):
            setattr(push.fileio, name, deadly(getattr(push.fileio, name), left))
        push.push(str(destination), 2, source, training, keep_versions=1)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status) or status == 0
    return os.WIFSIGNALED(status)


def whole_version(destination: Path, old: Path, new: Path) -> int:
    """The current version after a push was killed; another push can follow."""
    version = current.current_version(str(destination))
    assert version in (1, 2)
    folder = destination / push.VERSIONS / str(version)
    assert tree(folder / push.BUNDLE) == tree(new if version == 2 else old)
    assert len(tree(folder / push.TRAINING)) == 4
    assert current.parts_of(str(destination), version)
    # A version that was never made current is whole, too, and its number is taken.
    complete = [p for p in os.listdir(destination / push.VERSIONS) if p.isdigit()]
    for name in complete:
        assert len(tree(destination / push.VERSIONS / name)) == len(tree(folder))
    return version


def push_again(destination: Path, source: Path, training: dict[str, str]) -> None:
    """Pushes as if nothing had happened."""
    names = os.listdir(destination / push.VERSIONS)
    following = push.next_version(str(destination))
    assert following == 1 + max(int(name) for name in names if name.isdigit())
    push.push(str(destination), following, source, training)
    assert current.current_version(str(destination)) == following
    left = [path.name for path in destination.rglob(".*")]
    assert left == [], "what the killed one left is to be swept away"


def test_a_push_that_is_killed_leaves_the_old_version_or_the_new_one(
    tmp_path: Path, training: dict[str, str]
) -> None:
    """At whichever file operation: what is current is whole, and a push can follow."""
    old, new = bundle(tmp_path / "old", b"old"), bundle(tmp_path / "new", b"new")
    seen = []
    for step in range(1000):
        destination = tmp_path / f"push-{step}"
        push.push(str(destination), 1, old, training)
        killed = killed_at(step, destination, new, training)
        seen.append(whole_version(destination, old, new))
        assert seen[-1] == 2 or killed
        push_again(destination, new, training)
        if not killed:
            break
    assert step > 10
    assert seen == sorted(seen)
    assert set(seen) == {1, 2}


def test_a_push_that_is_killed_at_any_moment(
    tmp_path: Path, training: dict[str, str]
) -> None:
    """In the midst of operations as well, 50 times; the file is of some size."""
    old = bundle(tmp_path / "old", b"old")
    new = bundle(tmp_path / "new", b"new" * 1_000_000)
    moments = random.Random(20)
    start = time.monotonic()
    push.push(str(tmp_path / "alive"), 1, new, training)
    lasts = time.monotonic() - start
    killed = 0
    for number in range(50):
        destination = tmp_path / f"push-{number}"
        push.push(str(destination), 1, old, training)
        pid = os.fork()
        if pid == 0:
            push.push(str(destination), 2, new, training, keep_versions=1)
            os._exit(0)
        time.sleep(moments.uniform(0, lasts))
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        killed += os.WIFSIGNALED(status)
        assert whole_version(destination, old, new) == 2 or os.WIFSIGNALED(status)
        push_again(destination, old, training)
        shutil.rmtree(destination)
    assert killed > 25


def test_the_same_bundle_is_not_pushed_again(
    tmp_path: Path, training: dict[str, str]
) -> None:
    destination = str(tmp_path / "push")
    source = bundle(tmp_path / "bundle")
    assert push.unchanged(destination, digest(source)) is None
    push.push(destination, 1, source, training)
    assert push.unchanged(destination, digest(source)) == 1
    other = bundle(tmp_path / "other", b"other")
    assert push.unchanged(destination, digest(other)) is None


def test_the_digest_is_of_what_the_bundle_does(tmp_path: Path) -> None:
    first = digest(bundle(tmp_path / "first", version=1))
    second = bundle(tmp_path / "second", version=2)
    (second / push.MODEL_CARD).write_text("another card")
    manifests.write_manifest(second, {**CONTENT, "gates": {}})
    assert digest(second) == first
    assert digest(bundle(tmp_path / "third", seen="CONTEXT")) != first


def test_a_destination_that_cannot_be_written_is_found_out_early(
    tmp_path: Path,
) -> None:
    push.check_writable(str(tmp_path / "new" / "folder"))
    assert os.listdir(tmp_path / "new" / "folder") == []
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"push destination .*file.* cannot be written"):
        push.check_writable(str(tmp_path / "file"))
    if os.geteuid():  # The superuser may write anywhere.
        (tmp_path / "locked").mkdir(mode=stat.S_IRUSR | stat.S_IXUSR)
        with pytest.raises(UserError, match="cannot be written"):
            push.check_writable(str(tmp_path / "locked"))


@pytest.mark.parametrize("part", ["", "versions"])
def test_a_destination_that_may_only_be_read(part: str) -> None:
    """Root may write anywhere, so a process of nobody's tries it."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        source, destination = bundle(Path(folder, "one")), Path(folder, "push")
        push.push(str(destination), 1, source, make_training(Path(folder)))
        for path in (destination, *destination.rglob("*")):
            path.chmod(0o777 if path.is_dir() else 0o666)
        (destination / part).chmod(0o555)
        before = tree(destination)
        pid = os.fork()
        if pid == 0:
            if not os.getuid():
                os.setuid(65534)
            call = push.check_writable if not part else _push_second
            try:
                call(str(destination))
            except UserError as error:
                told = f"push destination {destination}: cannot be written"
                os._exit(7 if str(error).startswith(told) else 1)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 7
        assert tree(destination) == before
        (destination / part).chmod(0o755)


def _push_second(destination: str) -> None:
    push.push(destination, 2, Path(destination).parent / "one", {})


def test_the_model_card_tells_data_accuracy_and_limits(tmp_path: Path) -> None:
    source = bundle(tmp_path / "bundle", version=4)
    card = model_card.model_card(manifests.read_manifest(source))
    assert "# tiny, version 4" in card
    assert "1,234 activities of 2 users from 1970-01-01 to 1970-01-02" in card
    assert "| hr_10_test |  | 0.2500 | 0.1000 |" in card
    assert "seen=kept" in card
    assert "limits" in card


@pytest.mark.parametrize("what", ["pointer", "log", "retention"])
def test_a_disk_that_is_full_at_the_last_moment(
    what: str,
    tmp_path: Path,
    training: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    destination = str(tmp_path / "push")
    push.push(destination, 1, bundle(tmp_path / "one", version=1), training)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = tree(Path(destination))
    if what == "pointer":
        monkeypatch.setattr(push.io_utils, "write_string_file", full)
    else:
        place = (push.push_log, "append") if what == "log" else (push, "_retain")
        monkeypatch.setattr(*place, full)
    second = bundle(tmp_path / "two", version=2)
    if what != "pointer":
        push.push(destination, 2, second, training)
        assert current_version(destination) == 2
        return
    with pytest.raises(UserError, match=r"cannot be written: .*No space left"):
        push.push(destination, 2, second, training)
    assert tree(Path(destination)) == before


def judged_as(source: Path) -> Variant:
    digests = [
        hashlib.sha256((source / name).read_bytes()).hexdigest()
        for name in (manifests.MODEL, manifests.MANIFEST)
    ]
    model, manifest = digests
    return Variant("FLOAT16", model, 5, True, manifest_sha256=manifest)


@pytest.mark.parametrize(
    "name",
    [manifests.MODEL, manifests.MANIFEST, manifests.ITEMS, "vocabularies/item.txt"],
)
def test_only_what_was_gated_is_pushed(tmp_path: Path, name: str) -> None:
    source = bundle(tmp_path / "bundle", b"model")
    judged = judged_as(source)
    check_gated(source, judged)
    changed = (source / name).read_bytes().replace(b"7", b"8") + b"\n"
    (source / name).write_bytes(changed)
    with pytest.raises(UserError, match=r"gate has judged|not what the manifest"):
        check_gated(source, judged)


def test_a_model_that_was_compared_with_another_version_is_not_pushed(
    tmp_path: Path, training: dict[str, str]
) -> None:
    destination = str(tmp_path / "push")
    nothing = str(tmp_path / "nothing")
    check_baseline(nothing, destination)
    push.push(destination, 1, bundle(tmp_path / "one", version=1), training)
    with pytest.raises(UserError, match="has changed since the model was compared"):
        check_baseline(nothing, destination)
    first = str(Path(destination) / "versions" / "1" / "bundle")
    check_baseline(first, destination)
    push.push(destination, 2, bundle(tmp_path / "two", version=2), training)
    with pytest.raises(UserError, match="has changed since the model was compared"):
        check_baseline(first, destination)
    push.make_current(destination, push_log.ROLLBACK, 1, 2)
    check_baseline(first, destination)


def test_a_finished_bundle_that_does_not_answer_is_not_pushed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"does not answer as it should: Error"):
        check_answers(str(bundle(tmp_path / "bundle")))


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"format_version": 1, "files": {}}', "\x00", '"text"'],
)
def test_a_broken_manifest_is_told_by_its_path(
    tmp_path: Path, training: dict[str, str], text: str
) -> None:
    destination = str(tmp_path / "push")
    for version in (1, 2):
        source = bundle(tmp_path / f"bundle-{version}", version=version)
        push.push(destination, version, source, training)
    path = Path(destination, "versions", "1", "bundle", manifests.MANIFEST)
    path.write_text(text)
    for call in (
        lambda: bundles.manifest_of(destination, 1),
        lambda: bundles.verify(str(path.parent)),
        lambda: rollback(destination, 1),
    ):
        with pytest.raises(UserError, match=rf"^{path}: "):
            call()
    assert current_version(destination) == 2


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"format_version": 9}, "has format version 9, expected 1"),
        ({"files": {"../../etc/passwd": {"sha256": "0"}}}, "lacks items.jsonl, model"),
    ],
)
def test_a_manifest_that_does_not_fit_is_not_rolled_back_to(
    tmp_path: Path, change: dict[str, object], told: str
) -> None:
    source = bundle(tmp_path / "bundle")
    path = source / manifests.MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(UserError, match=told):
        bundles.verify(str(source))


def test_a_manifest_lists_every_file(tmp_path: Path) -> None:
    source = bundle(tmp_path / "bundle")
    manifest = json.loads((source / manifests.MANIFEST).read_text())
    assert set(manifest["files"]) == {
        manifests.MODEL,
        manifests.ITEMS,
        f"{manifests.VOCABULARIES}/item.txt",
    }
    assert manifest["files"][manifests.MODEL] == {
        "sha256": "9372c470eeadd5ecd9c3c74c2b3cb633f8e2f2fad799250a0f70d652b6b825e4",
        "size": 5,
    }
