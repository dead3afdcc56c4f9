"""The same log in every format: the same examples, the same rows found wrong."""

from __future__ import annotations

import csv
import gzip
import io
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.protobuf import text_format

from components.timeline_example_gen.generate import generate_examples
from components.timeline_example_gen.report_text import report_lines
from components.timeline_example_gen.sources import cells
from configs import recommender_pb2 as pb
from configs.errors import UserError

Row = tuple[Any, ...]
MakeConfig = Callable[..., pb.RecommenderConfig]

# User, item, rating, seconds. Users 1 and 2 have ties in time; titles hold commas,
# quotes and letters beyond ASCII.
RATINGS: list[Row] = [
    *((1, item, 4, 100 + item // 2) for item in range(10, 16)),
    *((2, item, 3, 105) for item in (11, 13, 14, 10)),
    *((3, item, 5, 200 - item) for item in (10, 11, 12)),
]
MOVIES: list[Row] = [
    (10, "Heat (1995)", ["Action", "Crime"]),
    (11, "American President, The (1995)", ["Comedy"]),
    (12, 'A "Café", Closed (2001)', []),
    (13, "Untitled", ["Crime"]),
    (14, "Series (2005-)", ["Action"]),
    (15, "Last (1980)", ["Comedy", "Crime"]),
]
GENRES = ("Action", "Comedy", "Crime")
COLUMNS = """
  value_column: "movie_rating" item_column: "movie"
  items_file: "{items}" item_key_column: "movie" title_column: "title"
  item_fields {{ column: "title" }}
  item_fields {{ column: "genres" field: "movie_genre" separator: "|" }}
"""
DERIVED = pb.DerivedField(
    field="movie_year", derivation=pb.YEAR_IN_TEXT, from_field="title"
)


def _text(rows: Sequence[Sequence[Any]], **options: Any) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n", **options).writerows(rows)
    return file.getvalue()


def _movielens_100k(folder: Path, ratings: list[Row]) -> None:
    (folder / "u.data").write_text(_text(ratings, delimiter="\t"))
    (folder / "u.genre").write_text("".join(f"{g}|{i}\n" for i, g in enumerate(GENRES)))
    lines = [
        "|".join([str(item), title, "", "", "", *("01"[g in own] for g in GENRES)])
        for item, title, own in MOVIES
    ]
    (folder / "u.item").write_bytes("\n".join(lines).encode("latin-1"))


def _movielens_dat(folder: Path, ratings: list[Row]) -> None:
    lines = ["::".join(map(str, row)) + "\n" for row in ratings]
    (folder / "ratings.dat").write_text("".join(lines))
    lines = [f"{item}::{title}::{'|'.join(own)}\n" for item, title, own in MOVIES]
    (folder / "movies.dat").write_bytes("".join(lines).encode("latin-1"))


def _movielens_csv(folder: Path, ratings: list[Row]) -> None:
    header = ("userId", "movieId", "rating", "timestamp")
    (folder / "ratings.csv").write_text(_text([header, *ratings]))
    movies = [
        (item, title, "|".join(own) or "(no genres listed)")
        for item, title, own in MOVIES
    ]
    (folder / "movies.csv").write_text(_text([("movieId", "title", "genres"), *movies]))


HEADER = ("user_id", "movie", "movie_rating", "timestamp")
ITEM_HEADER = ("movie", "title", "genres")


def _mapped(data: pb.DataConfig, items: str, more: str = "") -> None:
    data.files.SetInParent()
    text_format.Parse(COLUMNS.format(items=items) + more, data.files)
    data.derived_fields.append(DERIVED)


def _items() -> list[Row]:
    return [(item, title, "|".join(own)) for item, title, own in MOVIES]


def _csv(folder: Path, ratings: list[Row], data: pb.DataConfig) -> None:
    (folder / "activities.csv").write_text(_text([HEADER, *ratings]))
    (folder / "items.csv").write_text(_text([ITEM_HEADER, *_items()]))
    _mapped(data, "items.csv")


def _tsv_in_files(folder: Path, ratings: list[Row], data: pb.DataConfig) -> None:
    """Tabs, two files by a pattern, gzip, all quoted, Latin-1."""
    half = len(ratings) // 2
    for name, part in (("log-1.gz", ratings[:half]), ("log-2.gz", ratings[half:])):
        text = _text([HEADER, *part], delimiter="\t", quoting=csv.QUOTE_ALL)
        (folder / name).write_bytes(gzip.compress(text.encode("latin-1")))
    items = _text([ITEM_HEADER, *_items()], delimiter="\t")
    (folder / "items.tsv").write_bytes(items.encode("latin-1"))
    more = 'activities_files: "log-*.gz" delimiter: "\\t" encoding: "latin-1"'
    _mapped(data, "items.tsv", more)


def _csv_with_mark(folder: Path, ratings: list[Row], data: pb.DataConfig) -> None:
    """A byte-order mark, CRLF, columns in another order, milliseconds."""
    rows = [(f"{row[-1]}000", row[2], row[1], row[0]) for row in ratings]
    header = ("when", "movie_rating", "movie", "user_id")
    text = _text([header, *rows]).replace("\n", "\r\n")
    (folder / "log.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    items = "\ufeff" + _text([ITEM_HEADER, *_items()])
    (folder / "items.csv").write_text(items)
    more = 'activities_files: "log.csv" timestamp_column: "when" '
    _mapped(data, "items.csv", more + "timestamp_format: EPOCH_MILLISECONDS")


def _json_lines(folder: Path, ratings: list[Row], data: pb.DataConfig) -> None:
    lines = [json.dumps(dict(zip(HEADER, row, strict=True))) for row in ratings]
    (folder / "activities.jsonl").write_text("\n".join(lines))
    lines = [
        json.dumps({"movie": str(item), "title": title, "genres": own})
        for item, title, own in MOVIES
    ]
    (folder / "items.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    data.source = pb.DataConfig.JSON_LINES
    _mapped(data, "items.jsonl.gz")


def _parquet(folder: Path, ratings: list[Row], data: pb.DataConfig) -> None:
    columns = zip(*ratings, strict=True)
    table = {name: _typed(c) for name, c in zip(HEADER, columns, strict=True)}
    if pa.types.is_integer(table["timestamp"].type):
        table["timestamp"] = table["timestamp"].cast(pa.timestamp("s", "UTC"))
    table["user_id"] = table["user_id"].cast(pa.string()).dictionary_encode()
    pq.write_table(pa.table(table), folder / "activities.parquet", row_group_size=5)
    items = {
        "movie": [item for item, _, _ in MOVIES],
        "title": [title for _, title, _ in MOVIES],
        "genres": pa.array([own for _, _, own in MOVIES], pa.list_(pa.string())),
    }
    pq.write_table(pa.table(items), folder / "items.parquet")
    data.source = pb.DataConfig.PARQUET
    _mapped(data, "items.parquet")


def _parquet_of_texts(folder: Path, ratings: list[Row], data: pb.DataConfig) -> None:
    _parquet(folder, RATINGS, data)
    columns = zip(*ratings, strict=True)
    table = {n: [str(v) for v in c] for n, c in zip(HEADER, columns, strict=True)}
    pq.write_table(pa.table(table), folder / "activities.parquet", row_group_size=5)


def _typed(cells: Sequence[Any]) -> pa.Array:
    """Numbers, or texts where one is a text; an empty one is missing."""
    values = [None if cell == "" else cell for cell in cells]
    if any(isinstance(value, str) for value in values):
        return pa.array([None if value is None else str(value) for value in values])
    return pa.array(values)


def _movielens(write: Callable[[Path, list[Row]], None]) -> Any:
    return lambda folder, ratings, data: write(folder, ratings)


FORMATS = {
    "MOVIELENS_100K": _movielens(_movielens_100k),
    "MOVIELENS_DAT": _movielens(_movielens_dat),
    "MOVIELENS_CSV": _movielens(_movielens_csv),
    "CSV": _csv,
    "TSV, gzip, Latin-1": _tsv_in_files,
    "CSV, byte-order mark": _csv_with_mark,
    "JSON_LINES": _json_lines,
    "PARQUET": _parquet,
    "PARQUET, texts": _parquet_of_texts,
}
ALL = pytest.mark.parametrize("write", FORMATS.values(), ids=FORMATS)
INPUT = """
activity_feature_groups {
  features { feature_name: "context_%(item)s" feature_type: INT vocab_name: "movie_id"
             embedding_dim: 4 feature_length: 3 }
}
activity_feature_groups {
  features { feature_name: "context_movie_genre" embedding_dim: 4 feature_length: 4 }
}
label_feature { feature_name: "label_%(item)s" feature_type: INT
                vocab_name: "movie_id" embedding_dim: 4 }
"""


@pytest.fixture
def examples(
    make_config: MakeConfig,
    tmp_path: Path,
    read_split: Callable[[Path | str, str], list[dict[str, list[Any]]]],
) -> Callable[..., Any]:
    """The report and all examples of a log, the columns' names those of MovieLens."""

    def run(write: Any, ratings: list[Row] = RATINGS, **data: Any) -> Any:
        folder = tmp_path / "data"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        config = make_config(INPUT % {"item": "movie_id"}, **data)
        write(folder, ratings, config.data)
        report = generate_examples(config, str(folder), str(tmp_path / "out"))
        splits = ("train", "eval", "test", "catalogue")
        return report, {name: read_split(tmp_path / "out", name) for name in splits}

    return run


def _key(example: dict[str, list[Any]]) -> Any:
    return [example[n] for n in ("user_id", "label_position", "label_movie_id")]


@ALL
def test_the_same_examples(examples: Callable[..., Any], write: Any) -> None:
    _, expected = examples(FORMATS["MOVIELENS_DAT"])
    report, found = examples(write, num_shards=2)
    for split, rows in expected.items():
        assert sorted(found[split], key=_key) == sorted(rows, key=_key), split
    assert [f["rejected"] for f in report["files"]] == [{}] * len(report["files"])
    # Counted by hand: of 6, 4 and 3 activities 5, 3 and 2 are labels.
    assert report["examples"] == {"train": 4, "eval": 3, "test": 3, "catalogue": 6}


@ALL
def test_titles_and_years_survive(examples: Callable[..., Any], write: Any) -> None:
    _, found = examples(write)
    titles = {
        e["label_movie_id"][0]: (e["item_title"][0].decode(), e["label_movie_year"][0])
        for e in found["catalogue"]
    }
    assert titles == {
        10: ("Heat (1995)", 1995),
        11: ("American President, The (1995)", 1995),
        12: ('A "Café", Closed (2001)', 2001),
        13: ("Untitled", 0),
        14: ("Series (2005-)", 2005),
        15: ("Last (1980)", 1980),
    }


@ALL
def test_ties_come_out_in_one_order(examples: Callable[..., Any], write: Any) -> None:
    seen = []
    for number, turn in (
        (1, RATINGS),
        (3, RATINGS[::-1]),
        (2, RATINGS[5:] + RATINGS[:5]),
    ):
        _, found = examples(write, list(turn), num_shards=number)
        seen.append({e["user_id"][0]: e["seen_movie_id"] for e in found["test"]})
    assert seen[0] == seen[1] == seen[2]
    assert sorted(seen[0][b"1"]) == [10, 11, 12, 13, 14]


@ALL
def test_a_cut_in_time_leaks_nothing(examples: Callable[..., Any], write: Any) -> None:
    ratings = [(user, 9 + t, 3, t) for user in (1, 2) for t in range(1, 7)]
    report, found = examples(
        write, ratings, split=pb.TEMPORAL, train_end="4", eval_end="5"
    )
    assert {e["label_timestamp"][0] for e in found["eval"]} == {5}
    assert {e["label_timestamp"][0] for e in found["test"]} == {6}
    assert all(max(e["context_timestamp"]) < 4 for e in found["train"])
    assert report["split"]["train_ends_before_held_out"] is True
    assert any(line.strip().startswith("No leak: ") for line in report_lines(report))


@ALL
def test_rows_of_no_use_are_counted_and_shown(
    examples: Callable[..., Any], write: Any
) -> None:
    bad: list[Row] = [(9, "", "", ""), (9, 10, 3, "soon"), (9, 10, 3, -4)]
    report, _ = examples(write, [*RATINGS, *bad], max_rejected_fraction=0.5)
    rejected: dict[str, int] = {}
    for file in report["files"]:
        for reason, count in file["rejected"].items():
            rejected[reason] = rejected.get(reason, 0) + count
        for sample in file["samples"]:
            assert sample["line"] > 1
            assert "9" in sample["text"]
    assert rejected == {
        "item is empty": 1,
        "timestamp is not a whole number": 1,
        cells.ABSURD_TIMESTAMP: 1,
    }
    lines = report_lines(report)
    assert lines[0].endswith("3 rejected (13.64%)"), lines[0]
    assert sum(": timestamp is not" in line for line in lines) == 2


@ALL
def test_too_many_of_them_stop_the_run(
    examples: Callable[..., Any], write: Any
) -> None:
    with pytest.raises(UserError, match="max_rejected_fraction allows"):
        examples(write, [*RATINGS, (9, "", "", "")])


# Each kind has the same files again in every span.
@ALL
@pytest.mark.parametrize("span_folder", ["span-{SPAN}/v{VERSION}", "{YYYY}-{MM}-{DD}"])
def test_a_window_of_spans_is_one_log(
    make_config: MakeConfig,
    tmp_path: Path,
    read_split: Callable[[Path | str, str], list[dict[str, list[Any]]]],
    write: Any,
    span_folder: str,
) -> None:
    """Spans 1 to 3 and a window of 2: timelines cross from span 2 to span 3."""
    dated = "YYYY" in span_folder
    names = {
        1: "1970-01-02" if dated else "span-1/v0",
        2: "1970-01-03" if dated else "span-2/v7",
        3: "1970-01-04" if dated else "span-3/v1",
    }
    config = make_config(
        INPUT % {"item": "movie_id"}, span_folder=span_folder, span_window=2
    )
    for span, name in names.items():
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        ratings = [
            (u, 9 + 2 * span + i, 3, 10 * span + i) for u in (1, 2) for i in (0, 1)
        ]
        data = pb.DataConfig()
        write(folder, ratings, data)
    config.data.MergeFrom(data)
    report = generate_examples(config, str(tmp_path / "data"), str(tmp_path / "out"))
    assert report["spans"]["window"] == [2, 3]
    assert report["examples"]["train"] == 2
    [one, two] = read_split(tmp_path / "out", "test")
    assert one["seen_movie_id"] == two["seen_movie_id"] == [13, 14, 15]
    config.data.span = "1970-01-05" if dated else "4"
    with pytest.raises(
        UserError, match=r"span (1970-01-05 \(4\)|4) does not exist"
    ) as e:
        generate_examples(config, str(tmp_path / "data"), str(tmp_path / "out2"))
    assert "There are 1" in str(e.value)
