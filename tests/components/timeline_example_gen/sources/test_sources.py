"""Each kind of log: which files it is told by, what is read from them."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from google.protobuf import text_format

from components.timeline_example_gen.sources import open_source
from components.timeline_example_gen.sources.source import (
    ActivityTypes,
    Role,
    Source,
    Table,
)
from configs import recommender_pb2 as pb
from configs.errors import UserError

GENRES = "unknown|0\nAction|1\nDrama|2\n\n"
CSV = """
  activities_files: "log.csv" user_column: "who" item_column: "what"
  timestamp_column: "when" value_column: "stars"
  items_file: "things.csv" item_key_column: "id" title_column: "name"
  item_fields { column: "kinds" field: "kind" separator: "|" }
  item_fields { column: "price" type: FLOAT }
  users_file: "people.csv" user_key_column: "id" user_fields { column: "age" type: INT }
"""


def _config(csv: str = "") -> pb.RecommenderConfig:
    config = pb.RecommenderConfig()
    config.input.label_feature.feature_name = "label_what"
    if csv:
        text_format.Parse(csv, config.data.files)
    return config


def _write(folder: Path, **files: str | bytes) -> str:
    for name, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        (folder / name.replace("__", ".")).write_bytes(data)
    return str(folder)


def _ml100k(folder: Path, **files: str | bytes) -> str:
    flags = "|01-Jan-1995||http://x|0|1|1\n"
    defaults: dict[str, str | bytes] = {
        "u__data": "1\t10\t3\t100\n",
        "u__item": f"10|Toy Story (1995){flags}",
        "u__genre": GENRES,
    }
    return _write(folder, **(defaults | files))


def _source(config: pb.RecommenderConfig, folder: str) -> Source:
    return open_source(config, folder).source


def _items(folder: str, config: pb.RecommenderConfig | None = None) -> Table:
    table = _source(config or _config(), folder).read_items()
    assert table is not None
    return table


def test_movielens_100k(tmp_path: Path) -> None:
    folder = _ml100k(tmp_path, u__user="1|24|M|technician|85711\n")
    source = _source(_config(), folder)
    assert source.kind == "MOVIELENS_100K"
    table = _items(folder)
    assert list(table.keys) == ["10"]
    assert table.fields == {
        "movie_year": ["1995"],
        "movie_genre": [["Action", "Drama"]],
        "title": ["Toy Story (1995)"],
    }
    users = source.read_users()
    assert users is not None
    assert users.fields == {
        "age": ["24"],
        "gender": ["M"],
        "occupation": ["technician"],
        "zip": ["85711"],
    }
    (block,) = source.read_activities(source.activity_files[0], ActivityTypes(pb.INT))
    assert block.activities.to_pylist() == [
        {"user": 1, "item": 10, "timestamp": 100_000, "value": 3.0}
    ]


def test_movielens_100k_without_users_has_no_user_field(tmp_path: Path) -> None:
    source = _source(_config(), _ml100k(tmp_path))
    assert source.read_users() is None
    assert [f for f in source.fields if f.role == Role.USER] == []


def test_genres_must_be_numbered_in_order(tmp_path: Path) -> None:
    folder = _ml100k(tmp_path, u__genre="unknown|0\nAction|2\n")
    with pytest.raises(UserError, match=r"u\.genre: line 2: 'Action\|2' instead of"):
        _items(folder)


@pytest.mark.parametrize(
    ("movies", "title"),
    [
        (b"1::Mis\xe9rables, Les (1995)::Drama\n", "Misérables, Les (1995)"),
        ("1::Misérables, Les (1995)::Drama\n".encode(), "Misérables, Les (1995)"),
        (
            "\ufeff1::Misérables, Les (1995)::Drama\n".encode(),
            "Misérables, Les (1995)",
        ),
        (b"1::Tron: Legacy (1995)::Drama\r\n", "Tron: Legacy (1995)"),
    ],
    ids=["Latin-1", "UTF-8", "UTF-8 with BOM", "colon and CRLF"],
)
def test_encodings_of_movies_dat(tmp_path: Path, movies: bytes, title: str) -> None:
    folder = _write(tmp_path, ratings__dat="1::1::3::5\n", movies__dat=movies)
    table = _items(folder)
    assert (table.count.rows, table.count.rejected) == (1, {})
    assert list(table.keys) == ["1"]
    assert table.titles == [title]
    assert table.fields["movie_year"] == ["1995"]
    assert table.fields["movie_genre"] == [["Drama"]]


def test_encoding_of_u_item(tmp_path: Path) -> None:
    row = b"10|Mis\xe9rables (1995)|01-Jan-1995||http://x|0|1|1\n"
    assert _items(_ml100k(tmp_path, u__item=row)).titles == ["Misérables (1995)"]


def test_users_dat(tmp_path: Path) -> None:
    folder = _write(
        tmp_path,
        ratings__dat="1::1::3::5\n",
        movies__dat="1::A (1990)::Drama\n",
        users__dat="1::F::25::10::48067\n",
    )
    users = _source(_config(), folder).read_users()
    assert users is not None
    assert users.fields == {
        "gender": ["F"],
        "age": ["25"],
        "occupation": ["10"],
        "zip": ["48067"],
    }


def test_movielens_csv(tmp_path: Path) -> None:
    folder = _write(
        tmp_path,
        ratings__csv="userId,movieId,rating,timestamp\n1,11,2.5,9\n9,,\n",
        movies__csv="\ufeffmovieId,title,genres\r\n"
        '11,"American President, The (1995)",Comedy|Drama\r\n'
        '12,"A ""Quote"" (2005\u20132013)",(no genres listed)\r\n'
        "13,Untimely,Drama\r\n",
    )
    source = _source(_config(), folder)
    assert source.kind == "MOVIELENS_CSV"
    table = _items(folder)
    assert table.titles == [
        "American President, The (1995)",
        'A "Quote" (2005\u20132013)',
        "Untimely",
    ]
    assert table.fields["movie_year"] == ["1995", "2005", None]
    assert table.fields["movie_genre"] == [["Comedy", "Drama"], [], ["Drama"]]
    (block,) = source.read_activities(source.activity_files[0], ActivityTypes(pb.INT))
    assert block.activities.num_rows == 1
    assert block.count.samples["wrong number of columns"][0].text == "9,,"


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    folder = _write(
        tmp_path,
        ratings__csv='"timestamp", rating,more,movieId,userId\n9,2.5,x,11,1\n',
        movies__csv="genres,title,movieId\nDrama,A (1990),11\n",
    )
    source = _source(_config(), folder)
    (block,) = source.read_activities(source.activity_files[0], ActivityTypes(pb.INT))
    assert block.activities.to_pylist() == [
        {"user": 1, "item": 11, "timestamp": 9_000, "value": 2.5}
    ]
    assert _items(folder).titles == ["A (1990)"]


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    folder = _write(
        tmp_path,
        ratings__csv="user,movieId,rating,timestamp\n",
        movies__csv="movieId,title,genres\n",
    )
    source = _source(_config(), folder)
    with pytest.raises(UserError, match="no column 'userId', expected one"):
        source.read_activities(source.activity_files[0], ActivityTypes(pb.INT))


def test_any_csv(tmp_path: Path) -> None:
    folder = _write(
        tmp_path,
        log__csv="when,who,what,stars\n9,ann,x-1,2.5\n",
        things__csv="id,name,kinds,price\nx-1,Thing,a|b|,9.5\nx-2,Other,,\n",
        people__csv="id,age\nann,30\n",
    )
    source = _source(_config(CSV), folder)
    assert source.kind == "CSV"
    assert [(f.name, f.role, f.multi_valued) for f in source.fields] == [
        ("what", Role.ITEM_ID, False),
        ("stars", Role.VALUE, False),
        ("kind", Role.ITEM, True),
        ("price", Role.ITEM, False),
        ("age", Role.USER, False),
    ]
    table = _items(folder, _config(CSV))
    assert table.fields == {"kind": [["a", "b"], []], "price": ["9.5", None]}
    assert table.titles == ["Thing", "Other"]
    users = source.read_users()
    assert users is not None and users.fields == {"age": ["30"]}
    (block,) = source.read_activities(
        source.activity_files[0], ActivityTypes(pb.STRING)
    )
    assert block.activities.to_pylist() == [
        {"user": b"ann", "item": b"x-1", "timestamp": 9_000, "value": 2.5}
    ]


def test_rows_of_tables_that_cannot_be_used(tmp_path: Path) -> None:
    folder = _write(
        tmp_path,
        ratings__dat="1::1::3::5\n",
        movies__dat="1::A (1990)::Drama\n01::A again::Drama\nx::B::Drama\n2::C\n\n",
    )
    table = _items(folder)
    assert list(table.keys) == ["1"]
    assert table.count.rows == 4
    assert table.count.rejected == {
        "item is in the table already": 1,
        "item is not an integer": 1,
        "wrong number of columns": 1,
    }


def test_undecodable_rows_of_a_utf8_table(tmp_path: Path) -> None:
    folder = _write(
        tmp_path,
        ratings__csv="userId,movieId,rating,timestamp\n",
        movies__csv=b"movieId,title,genres\n1,Caf\xe9,Drama\n2,B,Drama\n",
    )
    table = _items(folder)
    assert list(table.keys) == ["2"]
    assert table.count.rejected == {"not UTF-8 text": 1}
    assert table.count.samples["not UTF-8 text"][0].text == r"1,Caf\xe9,Drama"


def test_a_folder_without_logs_says_what_it_holds(tmp_path: Path) -> None:
    folder = _write(tmp_path, notes__txt="")
    with pytest.raises(
        UserError, match=r"u\.data, ratings\.dat, ratings\.csv, but notes"
    ):
        _source(_config(), folder)


def test_a_folder_with_logs_of_two_kinds_is_refused(tmp_path: Path) -> None:
    folder = _ml100k(tmp_path)
    _write(tmp_path, ratings__dat="", movies__dat="")
    with pytest.raises(UserError, match="MOVIELENS_100K and MOVIELENS_DAT: choose one"):
        _source(_config(), folder)
    config = _config()
    config.data.source = pb.DataConfig.MOVIELENS_DAT
    assert _source(config, folder).kind == "MOVIELENS_DAT"


def test_missing_folder_and_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere does not exist"):
        _source(_config(), str(tmp_path / "nowhere"))
    _write(tmp_path, ratings__dat="")
    with pytest.raises(UserError, match=r"movies\.dat does not exist. Expected for"):
        _source(_config(), str(tmp_path))
    config = _config(CSV)
    with pytest.raises(UserError, match=r"log\.csv does not exist"):
        _source(config, str(tmp_path))


def test_sources_travel_to_workers(tmp_path: Path) -> None:
    source = _source(_config(), _ml100k(tmp_path))
    assert pickle.loads(pickle.dumps(source)) == source
