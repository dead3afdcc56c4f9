"""Which files are found below the data folder: each once, and the newest or none."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.timeline_example_gen.inputs import Wanted, find_inputs
from configs import recommender_pb2 as pb
from configs.errors import UserError

Find = Callable[..., list[str]]


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., None]:
    """Makes files of these names."""

    def make_files(*names: str) -> None:
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(name)

    return make_files


@pytest.fixture
def find(tmp_path: Path) -> Find:
    """Names of the logs that are found by patterns."""

    def find_files(*names: str, **data: Any) -> list[str]:
        inputs = find_inputs(pb.DataConfig(**data), str(tmp_path), Wanted(names), "CSV")
        return [os.path.relpath(path, tmp_path) for path in inputs.activities]

    return find_files


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["*.csv"], ["a.csv", "b.csv"]),
        (["a.csv", "*.csv"], ["a.csv", "b.csv"]),
        (["a.csv", "./a.csv", "more/../a.csv"], ["a.csv"]),
        (["?.csv", ".//?.csv"], ["a.csv", "b.csv"]),
    ],
)
def test_no_file_is_read_twice(
    make: Callable[..., None], find: Find, patterns: list[str], expected: list[str]
) -> None:
    make("a.csv", "b.csv", "more/c.csv")
    assert find(*patterns) == expected


def test_nor_through_a_link(
    make: Callable[..., None], find: Find, tmp_path: Path
) -> None:
    make("a.csv", "there/b.csv")
    (tmp_path / "c.csv").symlink_to("a.csv")
    (tmp_path / "here").symlink_to("there")
    assert find("*.csv") == ["a.csv"]
    assert find("*/b.csv") == ["here/b.csv"]


@pytest.mark.parametrize("name", ["p[1]-a.csv", "[ab].csv", "p[!x]-a.csv", "a].csv"])
def test_brackets_are_no_pattern(
    make: Callable[..., None], find: Find, name: str
) -> None:
    make(name, "p1-a.csv", "a.csv", "py-a.csv")
    assert find(name) == [name]
    assert find(f"{name[:-4]}*") == [name]


def test_names_without_a_file(make: Callable[..., None], find: Find) -> None:
    make("folder/a.csv")
    for name in ("b.csv", "*.csv", "folder", "fold*"):
        with pytest.raises(UserError, match=r"does not exist\. Expected for data\.sou"):
            find(name)


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"span": "3"}, r"data\.span: '3'"),
        ({"span": "2024-03-01"}, r"data\.span: '2024-03-01'"),
        ({"span_window": 2}, r"data\.span_window: 2"),
    ],
)
def test_a_span_where_there_are_none(
    make: Callable[..., None], find: Find, data: dict[str, Any], field: str
) -> None:
    make("a.csv")
    with pytest.raises(UserError, match=rf"^{field} is not allowed\. Expected .*SPAN"):
        find("a.csv", **data)
    assert find("a.csv", span="latest", span_window=1) == ["a.csv"]


@pytest.mark.parametrize(
    ("newer", "told"),
    [
        ("span-4/a.csv.tmp", "span 4 has no file span-{SPAN}/a.csv, but span-4/a.csv"),
        ("span-10/b.csv", "span 10 has no file span-{SPAN}/a.csv, but span-10/b.csv"),
    ],
)
def test_latest_is_never_silently_an_older_one(
    make: Callable[..., None], find: Find, newer: str, told: str
) -> None:
    make("span-1/a.csv", "span-2/a.csv", "span-2/note", "span-3/a.csv")
    assert find("a.csv", span_folder="span-{SPAN}") == ["span-3/a.csv"]
    make(newer)
    with pytest.raises(UserError) as caught:
        find("a.csv", span_folder="span-{SPAN}")
    assert told in str(caught.value)
    assert "the latest one that has is 3" in str(caught.value)
    assert find("a.csv", span_folder="span-{SPAN}", span="3") == ["span-3/a.csv"]


def test_nor_is_an_older_version(make: Callable[..., None], find: Find) -> None:
    make("1/v1/a.csv", "2/v1/a.csv", "2/v2/a.csv.part", "1/v9/a.csv.part")
    with pytest.raises(UserError, match=r"span 2 has no file .*, but 2/v2/a\.csv\.par"):
        find("a.csv", span_folder="{SPAN}/v{VERSION}")


@pytest.mark.parametrize(
    ("folder", "names"),
    [
        ("span-{SPAN}", ["span-2/a.csv", "span-02/a.csv"]),
        ("{SPAN}/v{VERSION}", ["2/v9/a.csv", "2/v09/a.csv"]),
        ("{SPAN}-{SPAN}", ["2-2/a.csv", "002-002/a.csv"]),
    ],
)
def test_a_span_is_there_once(
    make: Callable[..., None], find: Find, folder: str, names: list[str]
) -> None:
    make(*names)
    with pytest.raises(UserError, match="span 2 is there twice") as caught:
        find("a.csv", span_folder=folder)
    assert all(name in str(caught.value) for name in names)


def test_spans_of_so_many_digits(make: Callable[..., None], find: Find) -> None:
    make("span-02/a.csv", "span-2/a.csv", "span-002/a.csv")
    assert find("a.csv", span_folder="span-{SPAN:2}") == ["span-02/a.csv"]
    assert find("span-{SPAN:1}/a.csv") == ["span-2/a.csv"]
