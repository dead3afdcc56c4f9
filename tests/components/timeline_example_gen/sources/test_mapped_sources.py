"""JSON Lines and Parquet: what their rows may hold, and what is said of the others."""

from __future__ import annotations

import datetime
import decimal
import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.protobuf import text_format

from components.timeline_example_gen.sources import cells, open_source, parquet_source
from components.timeline_example_gen.sources.source import ActivityTypes, RowCount
from configs import recommender_pb2 as pb
from configs.errors import UserError

TYPES = ActivityTypes(pb.STRING)


def config(files: str = "", **data: Any) -> pb.RecommenderConfig:
    result = pb.RecommenderConfig(data=pb.DataConfig(**data))
    result.input.label_feature.feature_name = "label_item_id"
    result.data.files.SetInParent()
    text_format.Parse(files, result.data.files)
    return result


def read(
    settings: pb.RecommenderConfig, folder: Path, types: ActivityTypes = TYPES
) -> tuple[list[dict[str, Any]], RowCount]:
    source = open_source(settings, str(folder)).source
    rows, count = [], RowCount()
    for path in source.activity_files:
        for block in source.read_activities(path, types):
            rows += block.activities.to_pylist()
            count.add(block.count)
    return rows, count


def test_json_values_of_every_kind(tmp_path: Path) -> None:
    lines = [
        '{"user_id": "ünä", "item_id": 7, "timestamp": 5}',
        '{"user_id": 12345678901234567890, "item_id": "a,b", "timestamp": "6"}',
        "",
        '{"user_id": "u", "item_id": null, "timestamp": 5}',
        '{"user_id": "u", "timestamp": 5}',
        '{"user_id": true, "item_id": "i", "timestamp": 5}',
        '{"user_id": ["u"], "item_id": "i", "timestamp": 5}',
        '{"user_id": "u", "item_id": "i", "timestamp": 5.5}',
        '{"user_id": "u", "item_id": 5.0, "timestamp": 7.0}',
        '{"user_id": "u", "item_id": 1e400, "timestamp": 5}',
        '{"user_id": "u", "item_id": "i", "item_id": "i", "timestamp": 5}',
        '{"user_id": "u", "item_id": "i", "timestamp": 5, "x": {"y": 1, "y": 1}}',
        '{"user_id": "u", "item_id": "i", "timestamp": NaN}',
        '{"user_id": "u", "item_id": "i", "timestamp": 5',
        '{"user_id": "\\ud800", "item_id": "i", "timestamp": 5}',
        "[" * 100_000,
        "[1, 2, 3]",
        '"text"',
    ]
    content = "\n".join(lines).encode() + b'\n{"user_id": "\xff"}\n'
    (tmp_path / "activities.jsonl").write_bytes(content)
    rows, count = read(config(source=pb.DataConfig.JSON_LINES), tmp_path)
    assert rows == [
        {"user": "ünä".encode(), "item": b"7", "timestamp": 5_000},
        {"user": b"12345678901234567890", "item": b"a,b", "timestamp": 6_000},
        {"user": b"u", "item": b"5", "timestamp": 7_000},
    ]
    assert count.rejected == {
        "item is empty": 2,
        "user_id is neither text nor a number": 2,
        "timestamp is not a whole number": 1,
        "item_id is neither text nor a number": 1,
        "a JSON object with the same name twice": 2,
        "not a JSON object": 5,
        "not UTF-8 text": 2,
    }
    assert (count.rows, count.blank_lines) == (18, 1)
    assert [s.line for s in count.samples["not UTF-8 text"]] == [15, 19]


def test_json_rows_of_other_types_are_not_looked_at(tmp_path: Path) -> None:
    lines = [
        '{"user_id": "u", "item_id": "i", "timestamp": 5, "what": "buy"}',
        '{"user_id": ["u"], "item_id": {"x": 1}, "timestamp": 1e400, "what": "view"}',
        '{"user_id": true}',
        '{"user_id": ["u"], "item_id": "i", "timestamp": 5, "what": "buy"}',
        '{"user_id": "u", "item_id": "i", "timestamp": 5, "what": ["view"]}',
        '{"user_id": "u", "item_id": "i", "timestamp": 5, "what": 7.0}',
    ]
    (tmp_path / "activities.jsonl").write_text("\n".join(lines))
    settings = config('activity_type_column: "what"', source=pb.DataConfig.JSON_LINES)
    types = ActivityTypes(pb.STRING, activity_types=("buy", "7"))
    source = open_source(settings, str(tmp_path)).source
    [block] = source.read_activities(source.activity_files[0], types)
    assert block.activities.num_rows == 2
    assert (block.count.rows, block.of_other_types) == (6, 2)
    assert block.count.rejected == {
        "user_id is neither text nor a number": 1,
        "what is neither text nor a number": 1,
    }


def test_the_format_is_told_by_the_first_name(tmp_path: Path) -> None:
    row = b'{"user_id": "u", "item_id": "i", "timestamp": 5}\n'
    (tmp_path / "a.ndjson.gz").write_bytes(gzip.compress(row))
    settings = config('activities_files: "a.ndjson.gz"')
    assert open_source(settings, str(tmp_path)).source.kind == "JSON_LINES"
    assert len(read(settings, tmp_path)[0]) == 1


@pytest.mark.parametrize(
    "content",
    [b"\x1f\x8bbroken", gzip.compress(b"a" * 99, mtime=0)[:-9]],
    ids=["no header", "cut off"],
)
def test_a_damaged_gzip_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "activities.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"activities\.csv: the gzip file is damaged"):
        read(config(), tmp_path)


def parquet(folder: Path, **columns: Any) -> None:
    defaults = {"user_id": ["u", "v"], "item_id": ["i", "j"], "timestamp": [5, 6]}
    pq.write_table(pa.table({**defaults, **columns}), folder / "activities.parquet")


UTC = datetime.timezone.utc


@pytest.mark.parametrize(
    ("times", "zone", "expected"),
    [
        (pa.array([5, 6]), "UTC", [5_000, 6_000]),
        (pa.array(["5", "6"]), "UTC", [5_000, 6_000]),
        (pa.array([1.7e9, 6.5]), "UTC", [1_700_000_000_000, None]),
        (pa.array([5_250, 6_000], pa.timestamp("ms")), "UTC", [5_250, 6_000]),
        (pa.array([5, 6], pa.timestamp("s", "Asia/Tokyo")), "UTC", [5_000, 6_000]),
        (pa.array([90_000, 1], pa.timestamp("s")), "Asia/Tokyo", [57_600_000, None]),
        (pa.array([5_999_000, 6_000], pa.timestamp("ns")), "UTC", [5, 0]),
        (pa.array([1, 2], pa.date32()), "UTC", [86_400_000, 172_800_000]),
    ],
)
def test_times_of_parquet(
    tmp_path: Path, times: pa.Array, zone: str, expected: list[int | None]
) -> None:
    parquet(tmp_path, timestamp=times)
    rows, count = read(config(source=pb.DataConfig.PARQUET, timezone=zone), tmp_path)
    assert [row["timestamp"] for row in rows] == [t for t in expected if t is not None]
    assert count.rejected_rows == expected.count(None)


def test_milliseconds_of_parquet_as_floats(tmp_path: Path) -> None:
    parquet(tmp_path, timestamp=[1.7e12, float("inf")])
    settings = config(
        "timestamp_format: EPOCH_MILLISECONDS", source=pb.DataConfig.PARQUET
    )
    rows, count = read(settings, tmp_path)
    assert [row["timestamp"] for row in rows] == [1_700_000_000_000]
    assert count.rejected == {"timestamp is not a whole number": 1}


def test_a_time_of_parquet_that_is_far_off_does_not_come_round(tmp_path: Path) -> None:
    table = pa.table({"user_id": ["u"], "item_id": ["i"]})
    far = pa.array([2**62 + 5], pa.timestamp("ms"))
    pq.write_table(table.append_column("timestamp", far), tmp_path / "far.parquet")
    settings = config('activities_files: "far.parquet"', source=pb.DataConfig.PARQUET)
    rows, count = read(settings, tmp_path)
    assert rows == []
    assert list(count.rejected) == [cells.ABSURD_TIMESTAMP]


@pytest.mark.parametrize(
    ("genres", "expected"),
    [
        (pa.array([["a", None, "b"], None]), [["a", "b"], []]),
        (pa.array([[b"a"], [b"\xff"]]), [["a"]]),
        (pa.array([[1, 2], []]), [["1", "2"], []]),
        (pa.array(["a|b", None]), [["a", "b"], []]),
        (pa.array(["a|b", "c"]).dictionary_encode(), [["a", "b"], ["c"]]),
    ],
)
def test_lists_of_a_parquet_table(
    tmp_path: Path, genres: pa.Array, expected: list[list[str]]
) -> None:
    parquet(tmp_path)
    items = pa.table({"item_id": ["i", "j"], "genres": genres})
    pq.write_table(items, tmp_path / "items.parquet")
    settings = config(
        'items_file: "items.parquet" item_fields { column: "genres" separator: "|" }',
        source=pb.DataConfig.PARQUET,
    )
    table = open_source(settings, str(tmp_path)).source.read_items()
    assert table is not None and table.fields["genres"] == expected
    assert sum(table.count.rejected.values()) == 2 - len(expected)


def test_missing_values_of_parquet_are_counted_with_their_row(tmp_path: Path) -> None:
    parquet(tmp_path, user_id=["u", None], timestamp=[5, 6])
    rows, count = read(config(source=pb.DataConfig.PARQUET), tmp_path)
    assert [row["user"] for row in rows] == [b"u"]
    [sample] = count.samples["user is empty"]
    assert sample.line == 2
    assert "'item_id': 'j'" in sample.text


DECIMALS = [decimal.Decimal("5.00"), decimal.Decimal("12.50")]


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (pa.array([5, 12], pa.decimal128(38, 0)), [b"5", b"12"]),
        (pa.array(DECIMALS, pa.decimal128(10, 2)), [b"5", b"12.5"]),
        (pa.array([5.0, 12.5]), [b"5", b"12.5"]),
        (pa.array([1.7e12, -0.0]), [b"1700000000000", b"0"]),
        (pa.array([3e10, 0.1], pa.float32()), [b"30000001024", b"0.1"]),
        (pa.array([1e18, -1e18]), [b"1" + b"0" * 18, b"-1" + b"0" * 18]),
        (pa.array([b"\xff" * 4, b"abcd"], pa.binary(4)), [b"abcd"]),
        (pa.array([b"\xff" * 4, b"abcd"]), [b"abcd"]),
        (pa.array([1, 2], pa.date32()), [b"1970-01-02", b"1970-01-03"]),
        (pa.array(["a", "b"]).dictionary_encode(), [b"a", b"b"]),
        (pa.array([None, "b"]), [b"b"]),
        (pa.array([float("nan"), 2.0]), [b"2"]),
    ],
)
def test_ids_of_parquet(tmp_path: Path, ids: pa.Array, expected: list[bytes]) -> None:
    parquet(tmp_path, item_id=ids)
    rows, count = read(config(source=pb.DataConfig.PARQUET), tmp_path)
    assert [row["item"] for row in rows] == expected
    assert count.rejected_rows == 2 - len(expected)


def test_cells_of_a_parquet_table(tmp_path: Path) -> None:
    parquet(tmp_path)
    items = {
        "item_id": pa.array([5, 6], pa.decimal128(10, 0)),
        "day": pa.array([1, None], pa.date32()),
        "price": pa.array([DECIMALS[1], None], pa.decimal128(10, 2)),
        "size": pa.array([float("nan"), 0.5]),
        "at": pa.array([1000, None], pa.timestamp("ms")),
    }
    pq.write_table(pa.table(items), tmp_path / "items.parquet")
    fields = " ".join(
        f'item_fields {{ column: "{name}" }}' for name in items if name != "item_id"
    )
    settings = config(
        f'items_file: "items.parquet" {fields}', source=pb.DataConfig.PARQUET
    )
    table = open_source(settings, str(tmp_path)).source.read_items()
    assert table is not None and table.keys == ["5", "6"]
    assert table.fields == {
        "day": ["1970-01-02", None],
        "price": ["12.5", None],
        "size": [None, "0.5"],
        "at": ["1970-01-01 00:00:01.000", None],
    }


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"item_id": pa.array([1, 2], pa.duration("s"))}, "column 'item_id' is durat"),
        ({"item_id": [["i"], ["j"]]}, "column 'item_id' is list"),
        ({"user_id": None}, "no column 'user_id', expected one. There are item_id, t"),
    ],
)
def test_columns_of_parquet_of_no_use(
    tmp_path: Path, columns: dict[str, Any], message: str
) -> None:
    defaults = {"user_id": ["u", "v"], "item_id": ["i", "j"], "timestamp": [5, 6]}
    table = {k: v for k, v in {**defaults, **columns}.items() if v is not None}
    pq.write_table(pa.table(table), tmp_path / "activities.parquet")
    with pytest.raises(UserError, match=message):
        read(config(source=pb.DataConfig.PARQUET), tmp_path)


def test_floats_of_16_bits_are_refused() -> None:
    # Arrow reads them since version 15, and cannot tell which of them is NaN.
    assert not parquet_source._is_cell(pa.float16())


def test_a_file_that_is_no_parquet(tmp_path: Path) -> None:
    (tmp_path / "activities.parquet").write_bytes(b"user_id,item_id\n")
    with pytest.raises(UserError, match=r"parquet: not a whole Parquet file: "):
        read(config(source=pb.DataConfig.PARQUET), tmp_path)


def test_patterns_find_files_in_their_order(tmp_path: Path) -> None:
    for name in ("log-2.csv", "log-1.csv", "log-10.csv", "other.csv", "l.csv"):
        (tmp_path / name).write_text("user_id,item_id,timestamp\nu,i,5\n")
    settings = config('activities_files: "log-?.csv" activities_files: "log-1*.csv"')
    source = open_source(settings, str(tmp_path)).source
    names = [Path(path).name for path in source.activity_files]
    assert names == ["log-1.csv", "log-2.csv", "log-10.csv"]


def test_a_pattern_that_finds_nothing_is_named(tmp_path: Path) -> None:
    (tmp_path / "plays.csv").write_text("")
    with pytest.raises(UserError, match=r"log-\*\.csv does not exist.*plays\.csv"):
        open_source(config('activities_files: "log-*.csv"'), str(tmp_path))


def test_a_folder_of_odd_name_is_taken_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "logs [1]*"
    folder.mkdir()
    (folder / "log-1.csv").write_text("user_id,item_id,timestamp\nu,i,5\n")
    assert len(read(config('activities_files: "log-*.csv"'), folder)[0]) == 1
