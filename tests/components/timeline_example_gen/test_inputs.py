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
def find_table(tmp_path: Path) -> Callable[..., str]:
    """Name of the table that is found beside logs a.csv."""

    def find_file(name: str, logs: str = "a.csv", **data: Any) -> str:
        wanted = Wanted((logs,), (name,))
        inputs = find_inputs(pb.DataConfig(**data), str(tmp_path), wanted, "CSV")
        return os.path.relpath(inputs.tables[name], tmp_path)

    return find_file


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


def test_nor_in_a_window(make: Callable[..., None], find: Find, tmp_path: Path) -> None:
    make("1/a.csv", "1/b.csv")
    (tmp_path / "1" / "c.csv").symlink_to("a.csv")
    (tmp_path / "2").symlink_to("1")
    expected = ["1/a.csv", "1/b.csv"]
    for patterns in (["*.csv"], ["*.csv", "a.csv"], ["a.csv", "?.csv"]):
        assert find(*patterns, span_folder="{SPAN}", span="1") == expected
        assert find(*patterns, span_folder="{SPAN}", span_window=2) == expected


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
        ("span-4/a.csv.tmp", "span 4 is not complete: span-4 holds a.csv.tmp. Exp"),
        ("span-10/b.csv", "span 10 is not complete: span-10 holds b.csv"),
        ("span-4/more/a.csv", "span 4 is not complete: span-4 holds no"),
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
    with pytest.raises(UserError, match=r"span (4|10) is not complete"):
        find("span-{SPAN}/a.csv")
    assert find("a.csv", span_folder="span-{SPAN}", span="3") == ["span-3/a.csv"]


@pytest.mark.parametrize(
    ("folder", "logs"),
    [
        ("", "{SPAN}/v{VERSION}/a.csv"),
        ("{SPAN}", "v{VERSION}/a.csv"),
        ("{SPAN}/v{VERSION}", "a.csv"),
    ],
)
@pytest.mark.parametrize(
    ("newer", "told"),
    [
        ("3/v1/a.csv.part", "span 3 is not complete: 3/v1 holds a.csv.part"),
        ("3/note", "span 3 is not complete: 3 holds note"),
        ("2/v2/a.csv.part", "span 2 is not complete: 2/v2 holds a.csv.part"),
        ("1/v2/a.csv.part", "span 1 is not complete: 1/v2 holds a.csv.part"),
    ],
)
def test_nor_is_an_older_version(
    make: Callable[..., None],
    find: Find,
    folder: str,
    logs: str,
    newer: str,
    told: str,
) -> None:
    make("1/v1/a.csv", "2/v0/a.csv.part", "2/v1/a.csv", "0/v9/a.csv.part")
    expected = ["1/v1/a.csv", "2/v1/a.csv"]
    assert find(logs, span_folder=folder, span_window=2) == expected
    make(newer)
    with pytest.raises(UserError, match=told):
        find(logs, span_folder=folder, span_window=2)


def test_nor_is_one_beside_an_empty_folder(
    make: Callable[..., None], find: Find, tmp_path: Path
) -> None:
    make("2024-02-29/logs/a.csv")
    (tmp_path / "2024-03-01" / "logs").mkdir(parents=True)
    with pytest.raises(UserError, match="2024-03-01/logs holds no file"):
        find("logs/a.csv", span_folder="{YYYY}-{MM}-{DD}")


@pytest.mark.parametrize(
    ("folder", "names"),
    [
        ("span-{SPAN}", ["span-2/a.csv", "span-02/a.csv"]),
        ("{SPAN}/v{VERSION}", ["2/v9/a.csv", "2/v09/a.csv"]),
        ("{SPAN}-{SPAN}", ["2-2/a.csv", "002-002/a.csv"]),
        ("{SPAN}/v{VERSION}", ["2/v1/a.csv", "02/v2/a.csv"]),
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


def test_a_table_is_of_the_newest_span_that_has_it(
    make: Callable[..., None], find_table: Callable[..., str]
) -> None:
    make("1/a.csv", "2/a.csv", "3/a.csv", "1/items.csv", "2/items.csv", "items.csv")
    window = {"span_folder": "{SPAN}", "span_window": 2}
    assert find_table("items.csv", **window) == "2/items.csv"
    assert find_table("items.csv", span_folder="{SPAN}") == "items.csv"
    make("3/b-v1.csv", "3/items.csv")
    assert find_table("items.csv", "b-v{VERSION}.csv", **{"span_folder": "{SPAN}"}) == (
        "3/items.csv"
    )


def test_a_table_is_one_file(
    make: Callable[..., None], find_table: Callable[..., str]
) -> None:
    make("1/a.csv", "1/items.csv", "01/items.csv")
    with pytest.raises(UserError, match=r"than one file .*: 01/items.csv, 1/items.csv"):
        find_table("items.csv", span_folder="{SPAN}")
