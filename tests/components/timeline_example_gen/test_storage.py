"""Folders that only Beam reaches, by a file system of the tests' own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from apache_beam.io.filesystem import FileMetadata
from apache_beam.io.localfilesystem import LocalFileSystem

from components.timeline_example_gen import storage
from components.timeline_example_gen.generate import generate_examples
from configs import loader

CONFIG = """
name: "remote"
data {
  source: CSV
  span_folder: "span-{SPAN}"
  span_window: 2
  files { user_column: "user" item_column: "item" timestamp_column: "ts" }
}
input {
  activity_feature_groups {
    features { feature_name: "context_item" embedding_dim: 4 feature_length: 5 }
  }
  label_feature { feature_name: "label_item" embedding_dim: 4 }
}
"""


class Far(LocalFileSystem):
    """The local disk below a folder, under addresses that begin with ``far://``."""

    root = Path()

    @classmethod
    def scheme(cls) -> str:
        return "far"

    def _near(self, path: str) -> str:
        return str(self.root / path.removeprefix("far://"))

    def _list(self, dir_or_prefix: str) -> Iterator[Any]:
        # As where names have no folders: all that begin with the prefix.
        for file in sorted(self.root.rglob("*")):
            path = f"far://{file.relative_to(self.root).as_posix()}"
            if file.is_file() and path.startswith(dir_or_prefix):
                yield FileMetadata(path, file.stat().st_size)

    def has_dirs(self) -> bool:
        return False

    def join(self, basepath: str, *paths: str) -> str:
        return "/".join([basepath.rstrip("/"), *paths])

    def split(self, path: str) -> tuple[str, str]:
        folder, _, name = path.rpartition("/")
        return folder, name

    def exists(self, path: str) -> bool:
        return super().exists(self._near(path))

    def metadata(self, path: str) -> FileMetadata:
        return FileMetadata(path, Path(self._near(path)).stat().st_size)

    def open(self, path: str, *arguments: Any, **options: Any) -> Any:
        return super().open(self._near(path), *arguments, **options)

    def create(self, path: str, *arguments: Any, **options: Any) -> Any:
        Path(self._near(path)).parent.mkdir(parents=True, exist_ok=True)
        return super().create(self._near(path), *arguments, **options)

    def rename(self, sources: list[str], targets: list[str]) -> None:
        for target in targets:
            Path(self._near(target)).parent.mkdir(parents=True, exist_ok=True)
        super().rename([*map(self._near, sources)], [*map(self._near, targets)])

    def delete(self, paths: list[str]) -> None:
        super().delete([*map(self._near, paths)])


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(Far, "root", tmp_path)
    return tmp_path


def test_a_folder_exists_by_what_is_below_it(far: Path) -> None:
    (far / "bucket" / "a" / "b").mkdir(parents=True)
    assert not storage.is_folder("far://bucket/a")
    (far / "bucket" / "a" / "b" / "c").write_text("x")
    assert storage.is_folder("far://bucket/a")
    assert storage.is_folder("far://bucket/a/b/")
    assert not storage.is_folder("far://bucket/b")
    assert storage.match_files("far://bucket", "a/*/c") == ["a/b/c"]
    assert storage.list_files("far://bucket/a") == []


def test_brackets_and_stars_in_addresses_are_no_patterns(
    far: Path, recwarn: pytest.WarningsRecorder
) -> None:
    for name in ("b[1]/p[1].csv", "b[1]/p1.csv", "b1/a", "b*/c.csv", "bx/d.csv"):
        (far / "k" / name).parent.mkdir(parents=True, exist_ok=True)
        (far / "k" / name).write_text(name)
    assert storage.is_folder("far://k/b[1]")
    assert not storage.is_folder("far://k/b[x]")
    assert not storage.is_folder("far://k/b?")
    assert storage.list_files("far://k/b[1]") == ["p1.csv", "p[1].csv"]
    assert storage.list_files("far://k/b*") == ["c.csv"]
    assert storage.match_files("far://k/b[1]", "p[1]*") == ["p[1].csv"]
    assert storage.match_files("far://k/b[1]/", "*1?*") == ["p1.csv", "p[1].csv"]
    assert storage.match_folders("far://k", "b[*") == ["b[1]"]
    assert storage.size("far://k/b[1]/p[1].csv") == len("b[1]/p[1].csv")
    assert not [w for w in recwarn if "nested set" in str(w.message)]


@pytest.mark.parametrize("scheme", ["", "far://"])
def test_folders_that_a_pattern_finds(far: Path, scheme: str) -> None:
    for name in ("logs/s-1/v2/a", "logs/s-1/v3/b", "logs/s-2/a", "logs/s-3"):
        (far / name).parent.mkdir(parents=True, exist_ok=True)
        (far / name).write_text(name)
    root = f"{scheme or f'{far}/'}logs"
    assert storage.match_folders(root, "s-*") == ["s-1", "s-2"]
    assert storage.match_folders(root, "s-*/v?") == ["s-1/v2", "s-1/v3"]
    assert storage.match_folders(root, "*/a") == []


@pytest.mark.parametrize("folder", ["far://b", "far://b/", "far://b/c//", "b", "/b/c/"])
@pytest.mark.parametrize("name", ["a.csv", "b/a.csv"])
def test_names_below_a_folder(folder: str, name: str) -> None:
    assert storage.name_below(folder, storage.join(folder, name)) == name


def test_spans_far_away_give_the_same_examples(far: Path, tmp_path: Path) -> None:
    for span in range(3):
        folder = tmp_path / "logs" / f"span-{span}"
        folder.mkdir(parents=True)
        rows = [
            f"u{user},i{(user + item) % 5},{1_700_000_000 + 10 * span + item}"
            for user in range(4)
            for item in range(3)
        ]
        (folder / "activities.csv").write_text("\n".join(["user,item,ts", *rows]))
    config = loader.parse_config(CONFIG)
    near = generate_examples(config, str(tmp_path / "logs"), str(tmp_path / "near"))
    report = generate_examples(config, "far://logs", "far://far")
    assert report == near
    assert report["spans"]["window"] == [1, 2]
    for split in ("train", "eval", "test", "catalogue"):
        name = f"Split-{split}/data_tfrecord-00000-of-00001.gz"
        there = (tmp_path / "far" / name).read_bytes()
        assert there == (tmp_path / "near" / name).read_bytes()
    assert not list((tmp_path / "far").glob(".work*/**/*.*"))
