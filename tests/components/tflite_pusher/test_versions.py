"""Rollback, retention, the log and the table of versions, at one destination."""

from __future__ import annotations

import json
import os
import resource
import signal
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tfx.dsl.io import filesystem_registry
from tfx.dsl.io.plugins.local import LocalFilesystem

from components.current_model import bundles
from components.current_model.current import current_version
from components.lock import LOCK, locked
from components.tflite_converter import manifest as manifests
from components.tflite_pusher import push, push_log
from components.tflite_pusher import rollback as rollback_module
from components.tflite_pusher.infra_validation import check_answers
from components.tflite_pusher.rollback import rollback
from components.tflite_pusher.versions import (
    log_lines,
    versions,
    versions_lines,
)
from configs.errors import UserError
from tests.components.tflite_pusher.conftest import bundle, tree

GATES = {
    "tflite": [
        {"metric": "hr_5_test", "value": 0.1},
        {"metric": "hr_10_test", "value": 0.25},
        {"metric": "hr_10_test", "slice": "stored examples", "value": 0.5},
    ]
}

SCHEME = "bucket://"


@pytest.fixture
def destination(tmp_path: Path) -> str:
    return str(tmp_path / "push")


@pytest.fixture(autouse=True)
def client(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The bundles that it was asked about; those of here have no model that runs."""
    asked: list[str] = []
    monkeypatch.setattr(rollback_module, "check_answers", asked.append)
    return asked


def push_many(destination: str, count: int, training: dict, **options: int) -> None:
    for number in range(1, count + 1):
        folder = Path(destination).parent / f"bundle-{number}"
        source = bundle(folder, b"model %d" % number, gates=GATES, version=number)
        push.push(destination, number, source, training, **options)


def happened(destination: str) -> list[tuple[str, int, int | None]]:
    return [(e.kind, e.version, e.replaced) for e in push_log.read(destination)]


def statuses(destination: str) -> dict[int, str]:
    return {v.number: v.status for v in versions(destination)}


def test_a_rollback_goes_to_what_was_replaced_and_forth_again(
    destination: str, training: dict[str, str], client: list[str]
) -> None:
    push_many(destination, 3, training)
    assert rollback(destination) == (3, 2)
    assert client == [os.path.join(destination, "versions", "2", "bundle")]
    assert rollback(destination) == (2, 1)
    assert current_version(destination) == 1
    assert statuses(destination) == {1: "current", 2: "rolled back", 3: "rolled back"}
    assert rollback(destination, to=3) == (1, 3)
    assert statuses(destination) == {1: "rolled back", 2: "rolled back", 3: "current"}
    assert push.next_version(destination) == 4
    assert happened(destination) == [
        ("push", 1, None),
        ("push", 2, 1),
        ("push", 3, 2),
        ("rollback", 2, 3),
        ("rollback", 1, 2),
        ("rollback", 3, 1),
    ]


def test_after_a_rollback_a_push_replaces_the_version_that_is_current(
    destination: str, training: dict[str, str], tmp_path: Path
) -> None:
    push_many(destination, 3, training)
    rollback(destination, to=1)
    push.push(destination, 4, bundle(tmp_path / "new", b"new"), training)
    assert happened(destination)[-1] == ("push", 4, 1)
    assert rollback(destination) == (4, 1)


def test_a_version_that_was_left_is_known_by_its_digest(
    destination: str, training: dict[str, str]
) -> None:
    push_many(destination, 2, training)
    digests = [
        push.bundle_digest(bundles.manifest_of(destination, number) or {})
        for number in (1, 2)
    ]
    assert push.rolled_back(destination, digests[1]) is None
    rollback(destination)
    assert [push.rolled_back(destination, digest) for digest in digests] == [None, 2]
    rollback(destination, to=2)
    assert [push.rolled_back(destination, digest) for digest in digests] == [1, None]


@pytest.mark.parametrize(
    ("pushed", "to", "message"),
    [
        (0, None, "nothing is pushed"),
        (
            1,
            None,
            "before 1 that no rollback has left. Expected --to with one of 1",
        ),
        (2, 7, "no version 7. Expected --to with one of 1, 2"),
        (2, 2, "version 2 is the current one already"),
    ],
)
def test_a_rollback_that_cannot_be_changes_nothing(
    destination: str,
    training: dict[str, str],
    pushed: int,
    to: int | None,
    message: str,
) -> None:
    os.mkdir(destination)
    push_many(destination, pushed, training)
    before = tree(Path(destination))
    with pytest.raises(UserError, match=message):
        rollback(destination, to)
    after = tree(Path(destination))
    after.pop(LOCK, None)
    assert after == before


@pytest.mark.parametrize("change", [b"altered", None])
def test_a_rollback_to_a_version_that_is_not_whole_is_refused(
    destination: str, training: dict[str, str], change: bytes | None
) -> None:
    push_many(destination, 2, training)
    model = Path(destination) / "versions" / "1" / "bundle" / manifests.MODEL
    if change is None:
        model.unlink()
    else:
        model.write_bytes(change)
    with pytest.raises(
        UserError, match=r"model\.tflite: is not what the manifest says"
    ):
        rollback(destination)
    assert current_version(destination) == 2


def test_a_rollback_to_a_version_that_does_not_answer_is_refused(
    destination: str, training: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    push_many(destination, 2, training)
    monkeypatch.setattr(rollback_module, "check_answers", check_answers)
    with pytest.raises(UserError, match=r"does not answer as it should: Error: .*1/bu"):
        rollback(destination)
    assert current_version(destination) == 2


@pytest.mark.parametrize("part", ["saved_model/saved_model.pb", "examples"])
def test_a_rollback_to_what_no_gate_could_compare_with_is_refused(
    destination: str, training: dict[str, str], part: str
) -> None:
    push_many(destination, 2, training)
    path = Path(destination) / "versions" / "1" / "training" / part
    path.rename(Path(destination).parent / "elsewhere")
    with pytest.raises(
        UserError, match=f"{part}.*: missing. Expected a whole version 1"
    ):
        rollback(destination)
    assert current_version(destination) == 2


def test_a_broken_version_hides_no_other(
    destination: str, training: dict[str, str]
) -> None:
    push_many(destination, 3, training)
    rollback(destination)
    for number in (1, 3):
        folder = Path(destination) / "versions" / str(number) / "bundle"
        (folder / manifests.MANIFEST).write_text("{")
    assert statuses(destination) == {
        1: "broken",
        2: "current",
        3: "rolled back, broken",
    }
    digest = push.bundle_digest(bundles.manifest_of(destination, 2) or {})
    assert push.rolled_back(destination, digest) is None


@pytest.mark.parametrize(
    ("keep", "left"), [(0, [1, 2, 3, 4]), (1, [4]), (3, [2, 3, 4])]
)
def test_the_newest_versions_stay(
    destination: str, training: dict[str, str], keep: int, left: list[int]
) -> None:
    push_many(destination, 4, training, keep_versions=keep)
    assert push.versions_of(destination) == left
    removed = [number for number in range(1, 5) if number not in left]
    assert [n for n, s in statuses(destination).items() if s == "removed"] == removed
    assert push.next_version(destination) == 5


def test_the_current_version_stays_however_old_it_is(
    destination: str, training: dict[str, str], tmp_path: Path
) -> None:
    push_many(destination, 4, training)
    rollback(destination, to=1)
    push._retain(destination, 1)
    assert push.versions_of(destination) == [1]


def test_what_killed_pushers_left_is_removed_by_the_next(
    destination: str, training: dict[str, str], tmp_path: Path
) -> None:
    push_many(destination, 1, training)
    folder = Path(destination) / "versions"
    for name in (".staging-abc", ".removed-abc"):
        (folder / name / "bundle").mkdir(parents=True)
    push.push(destination, 2, bundle(tmp_path / "new", b"new"), training)
    assert sorted(os.listdir(folder)) == ["1", "2"]


def test_a_bad_version_is_not_gone_back_to(
    destination: str, training: dict[str, str], tmp_path: Path
) -> None:
    """Nor does it take the place of the good one where few are kept."""
    push_many(destination, 2, training)
    rollback(destination)
    third = bundle(tmp_path / "third", b"third")
    push.push(destination, 3, third, training, keep_versions=2)
    assert statuses(destination) == {1: "", 2: "removed", 3: "current"}
    assert rollback(destination) == (3, 1)


def test_where_only_bad_ones_are_left_the_user_has_to_choose(
    destination: str, training: dict[str, str]
) -> None:
    push_many(destination, 3, training)
    rollback(destination)
    rollback(destination)
    with pytest.raises(UserError, match=r"before 1 that no rollback has left.*1, 2, 3"):
        rollback(destination)
    assert rollback(destination, to=3) == (1, 3)


def test_a_bad_version_is_known_after_it_was_removed(
    destination: str, training: dict[str, str], tmp_path: Path
) -> None:
    push_many(destination, 2, training)
    digest = push.bundle_digest(bundles.manifest_of(destination, 2) or {})
    rollback(destination)
    third = bundle(tmp_path / "third", b"third")
    push.push(destination, 3, third, training, keep_versions=1)
    assert push.versions_of(destination) == [3]
    assert push.rolled_back(destination, digest) == 2


@pytest.mark.parametrize("lost", [False, True])
def test_a_rollback_whose_event_is_lost_is_made_up_for(
    destination: str, training: dict[str, str], tmp_path: Path, lost: bool
) -> None:
    """It was killed, or the disk was full, after CURRENT was switched."""
    push_many(destination, 2, training)
    digest = push.bundle_digest(bundles.manifest_of(destination, 2) or {})
    rollback(destination)
    if lost:
        os.remove(Path(destination) / "log" / "000003.json")
    assert statuses(destination) == {1: "current", 2: "rolled back"}
    assert push.rolled_back(destination, digest) == 2
    push.push(destination, 3, bundle(tmp_path / "third", b"third"), training)
    assert push.rolled_back(destination, digest) == 2
    assert happened(destination)[2:] == [
        ("found" if lost else "rollback", 1, 2),
        ("push", 3, 1),
    ]


def test_a_version_without_an_event_is_found_and_kept_in_the_log(
    destination: str, training: dict[str, str], tmp_path: Path
) -> None:
    """Its pusher was killed after CURRENT was switched."""
    push_many(destination, 2, training)
    os.remove(Path(destination) / "log" / "000002.json")
    push.push(destination, 3, bundle(tmp_path / "new", b"new"), training)
    assert happened(destination) == [
        ("push", 1, None),
        ("found", 2, 1),
        ("push", 3, 2),
    ]
    assert statuses(destination) == {1: "", 2: "", 3: "current"}


def test_a_disk_that_fills_up_leaves_all_as_it_was(
    destination: str, training: dict[str, str], tmp_path: Path
) -> None:
    push_many(destination, 1, training)
    before = tree(Path(destination))
    large = bundle(tmp_path / "large", b"x" * 100_000)
    pid = os.fork()
    if not pid:
        # As a full disk, a limit on the size of a file fails in the midst of it.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        try:
            push.push(destination, 2, large, training)
        except UserError as error:
            os._exit(7 if destination in str(error) else 1)
        os._exit(2)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 7
    assert tree(Path(destination)) == before
    assert os.listdir(Path(destination) / "versions") == ["1"]


def test_the_table_and_the_log_tell_the_story(
    destination: str, training: dict[str, str]
) -> None:
    push_many(destination, 3, training, keep_versions=2)
    rollback(destination)
    lines = [line.split() for line in versions_lines(versions(destination))]
    assert lines[0] == ["version", "pushed", "span", "hr_10_test", "bytes", "status"]
    assert [line[0] for line in lines[1:]] == ["1", "2", "3"]
    assert [line[-1] for line in lines[1:]] == ["removed", "current", "back"]
    assert lines[2][3:6] == ["1970-01-02", "0.2500", "7"]
    told = [line.split("  ", 1)[1] for line in log_lines(push_log.read(destination))]
    assert told == [
        "version 1 pushed",
        "version 2 pushed in place of 1",
        "version 3 pushed in place of 2",
        "version 1 removed",
        "version 2 made current again in place of 3",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[" * 100_000,
        '{"time": null, "kind": "push", "version": 1, "replaced": null}',
        '{"time": "", "kind": "pull", "version": 1, "replaced": null}',
        '{"time": "", "kind": "push", "version": "1", "replaced": null}',
        '{"time": "", "kind": "push", "version": 1, "replaced": -1}',
        '{"time": "", "kind": "push", "version": 1, "replaced": null, "digest": 1}',
    ],
)
def test_an_odd_event_is_one_line(
    destination: str, training: dict[str, str], text: str
) -> None:
    push_many(destination, 2, training)
    path = Path(destination) / "log" / "000002.json"
    path.write_text(text)
    for call in (versions, rollback, push.next_version):
        with pytest.raises(UserError, match=rf"^{path}: is no event of a push log"):
            call(destination)


@pytest.mark.parametrize("name", ["manifest.json", "manifest.sha256", "model.tflite"])
@pytest.mark.parametrize("kind", ["folder", "dangling link", "deep"])
def test_what_is_no_file_is_one_line(
    destination: str, training: dict[str, str], name: str, kind: str
) -> None:
    push_many(destination, 2, training)
    path = Path(destination) / "versions" / "1" / "bundle" / name
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "deep":
        path.write_text("[" * 100_000)
    else:
        path.symlink_to("nowhere")
    with pytest.raises(UserError, match=rf"{path.parent}/\S+: "):
        rollback(destination)
    assert current_version(destination) == 2
    broken = "" if name == "model.tflite" else "broken"
    assert statuses(destination)[1] in (broken, "")


@pytest.mark.parametrize("text", ["1" * 5000, None])
def test_an_odd_pointer_is_one_line(
    destination: str, training: dict[str, str], text: str | None
) -> None:
    push_many(destination, 1, training)
    pointer = Path(destination) / "CURRENT"
    pointer.unlink()
    if text is None:
        pointer.mkdir()
    else:
        pointer.write_text(text)
    for call in (versions, rollback):
        with pytest.raises(UserError, match=rf"^{pointer}: "):
            call(destination)


def test_a_disk_that_is_full_leaves_a_rollback_undone(
    destination: str, training: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    push_many(destination, 2, training)
    before = tree(Path(destination))

    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(push.io_utils, "write_string_file", full)
    with pytest.raises(UserError, match="cannot be written: No space left"):
        rollback(destination)
    assert {k: v for k, v in tree(Path(destination)).items() if k != LOCK} == {
        k: v for k, v in before.items() if k != LOCK
    }


@pytest.mark.parametrize("fails", [True, False])
def test_a_rename_that_fails_after_it_took_effect(
    destination: str,
    training: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fails: bool,
) -> None:
    """As where it is a copy and a removal, and the removal fails."""
    push_many(destination, 1, training)
    rename = push.fileio.rename

    def rename_and_fail(source: str, target: str, overwrite: bool = False) -> None:
        rename(source, target, overwrite)
        if fails and target.endswith("CURRENT"):
            raise OSError("cannot remove")

    monkeypatch.setattr(push.fileio, "rename", rename_and_fail)
    push.push(destination, 2, bundle(tmp_path / "new", b"new"), training)
    assert current_version(destination) == 2
    assert push.versions_of(destination) == [1, 2]
    assert happened(destination)[-1] == ("push", 2, 1)


def test_a_broken_log_is_named(destination: str, training: dict[str, str]) -> None:
    push_many(destination, 1, training)
    (Path(destination) / "log" / "000001.json").write_text(json.dumps({"kind": "x"}))
    with pytest.raises(UserError, match=r"000001\.json: is no event"):
        versions(destination)


def remote(place: Path) -> type[LocalFilesystem]:
    """A file system with a scheme of its own, whose files lie in a local folder."""

    def local(path: Any) -> Any:
        return str(path).replace(SCHEME, f"{place}/", 1)

    def remote_path(path: Any) -> str:
        return str(path).replace(f"{place}/", SCHEME, 1)

    def moved(name: str) -> staticmethod:
        method = getattr(LocalFilesystem, name)

        def operation(*arguments: Any, **options: Any) -> Any:
            return method(*map(local, arguments[:1]), *arguments[1:], **options)

        return staticmethod(operation)

    class Remote(LocalFilesystem):
        SUPPORTED_SCHEMES: ClassVar = [SCHEME]
        open, exists, isdir, listdir, makedirs, mkdir, remove, rmtree, stat = map(
            moved,
            [
                "open",
                "exists",
                "isdir",
                "listdir",
                "makedirs",
                "mkdir",
                "remove",
                "rmtree",
                "stat",
            ],
        )

        @staticmethod
        def rename(src: Any, dst: Any, overwrite: bool = False) -> None:
            LocalFilesystem.rename(local(src), local(dst), overwrite)

        @staticmethod
        def glob(pattern: Any) -> list[str]:
            return [remote_path(path) for path in LocalFilesystem.glob(local(pattern))]

        @staticmethod
        def walk(top: Any, **options: Any) -> Any:
            for folder, *names in LocalFilesystem.walk(local(top), **options):
                yield remote_path(folder), *names

    return Remote


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A destination that is no folder of this machine."""
    registry = filesystem_registry.FilesystemRegistry()
    registry.register(LocalFilesystem, 10)
    registry.register(remote(tmp_path / "bucket"), 0)
    monkeypatch.setattr(filesystem_registry, "DEFAULT_FILESYSTEM_REGISTRY", registry)
    return f"{SCHEME}push"


def test_a_destination_on_another_file_system(
    bucket: str, tmp_path: Path, training: dict[str, str]
) -> None:
    for number in (1, 2, 3):
        source = bundle(tmp_path / f"{number}", b"model %d" % number, version=number)
        with locked(bucket, push.DESTINATION):
            push.push(bucket, number, source, training, keep_versions=2)
    assert rollback(bucket) == (3, 2)
    assert statuses(bucket) == {1: "removed", 2: "current", 3: "rolled back"}
    assert happened(bucket)[-1] == (push_log.ROLLBACK, 2, 3)
    assert (tmp_path / "bucket/push/CURRENT").read_text() == "2\n"
    assert not any(path.name.startswith(".s") for path in tmp_path.rglob("*"))
    model = tmp_path / "bucket/push/versions/3/bundle" / manifests.MODEL
    model.write_bytes(b"gone bad")
    with pytest.raises(UserError, match=r"is not what the manifest says"):
        rollback(bucket, 3)
    assert current_version(bucket) == 2
