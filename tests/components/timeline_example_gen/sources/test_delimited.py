from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.timeline_example_gen.sources import cells, delimited, text
from components.timeline_example_gen.sources.cells import Form
from components.timeline_example_gen.sources.delimited import Layout
from components.timeline_example_gen.sources.movielens import COLUMNS
from components.timeline_example_gen.sources.source import ActivityTypes, RowCount
from configs import recommender_pb2 as pb
from configs.errors import UserError

TABS = Layout(separator=b"\t", columns=4, index=COLUMNS)
COMMAS = Layout(
    separator=b",",
    columns=4,
    index=COLUMNS,
    form=Form(integer_ids=False),
    header=True,
    quotes=True,
)
HEADER = b"user,item,rating,timestamp\n"


def _read(
    path: Path,
    content: bytes,
    layout: Layout = TABS,
    item_type: int = pb.INT,
    whole_values: bool = False,
) -> tuple[list[tuple[Any, ...]], RowCount]:
    path.write_bytes(content)
    rows: list[tuple[Any, ...]] = []
    count = RowCount()
    types = ActivityTypes(item_type, whole_values)
    blocks = delimited.read_activities(str(path), layout, types)
    for block in blocks:
        count.add(block.count)
        columns = block.activities.to_pydict()
        columns["timestamp"] = [time // 1000 for time in columns["timestamp"]]
        rows += zip(*columns.values(), strict=True)
    return rows, count


def test_rows_are_read(tmp_path: Path) -> None:
    rows, count = _read(tmp_path / "f", b"1\t20\t3\t100\n2\t30\t4.5\t200\n")
    assert rows == [(1, 20, 100, 3.0), (2, 30, 200, 4.5)]
    assert (count.rows, count.rejected) == (2, {})


@pytest.mark.parametrize(
    "content",
    [
        b"1\t2\t3\t4\r\n5\t6\t7\t8\r\n",
        b"1\t2\t3\t4\n5\t6\t7\t8",
        b"\xef\xbb\xbf1\t2\t3\t4\n5\t6\t7\t8\n",
        b"1\t2\t3\t4\n\n5\t6\t7\t8\n\n",
        b" 1\t2 \t+3\t4\n5\t6\t7.\t8\n",
        b"001\t2\t3\t4\n5\t6\t.7e1\t8\n",
    ],
    ids=["CRLF", "no last line end", "BOM", "blank lines", "spaces", "odd numbers"],
)
def test_ways_to_write_the_same_rows(tmp_path: Path, content: bytes) -> None:
    rows, count = _read(tmp_path / "f", content)
    assert rows == [(1, 2, 4, 3.0), (5, 6, 8, 7.0)]
    assert (count.rows, count.rejected) == (2, {})


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"9\t\t", "wrong number of columns"),
        (b"9\t\t\t", "item is empty"),
        (b"\t1\t2\t3", "user is empty"),
        (b"1\t2\t3\t4\t5", "wrong number of columns"),
        (b"one\t2\t3\t4", "user is not an integer"),
        (b"1\t2.0\t3\t4", "item is not an integer"),
        (b"1\t0x1F\t3\t4", "item is not an integer"),
        (b"1\t1234567890123456789012\t3\t4", "item is not an integer"),
        (b"1\t2\tgood\t4", "rating is not a number"),
        (b"1\t2\t\t4", "rating is not a number"),
        (b"1\t2\tnan\t4", "rating is not a number"),
        (b"1\t2\tinf\t4", "rating is not a number"),
        (b"1\t2\t1e999\t4", "rating is not a number"),
        (b"1\t2\t1.2.3\t4", "rating is not a number"),
        (b"1\t2\t.\t4", "rating is not a number"),
        (b"1\t2\t3\t", "timestamp is not a whole number"),
        (b"1\t2\t3\tnow", "timestamp is not a whole number"),
        (b"1\t2\t3\t-5", cells.ABSURD_TIMESTAMP),
        (b"1\t2\t3\t1700000000000", cells.ABSURD_TIMESTAMP),
        (b"\xff\xfe\t2\t3\t4", "user is not an integer"),
    ],
)
def test_a_row_that_cannot_be_used_is_counted(
    tmp_path: Path, row: bytes, reason: str
) -> None:
    content = b"1\t2\t3\t4\r\n" + row + b"\r\n5\t6\t7\t8\r\n"
    rows, count = _read(tmp_path / "f", content)
    assert rows == [(1, 2, 4, 3.0), (5, 6, 8, 7.0)]
    assert (count.rows, count.rejected) == (3, {reason: 1})
    (sample,) = count.samples[reason]
    assert sample.line == 2
    assert sample.text == row.decode("utf-8", "backslashreplace")


def test_samples_are_the_first_few_and_all_rows_are_counted(tmp_path: Path) -> None:
    rows, count = _read(tmp_path / "f", b"x\t1\t1\t1\n" * 50 + b"1\t1\n" * 5)
    assert rows == []
    assert count.rejected == {"user is not an integer": 50, delimited.WRONG_COLUMNS: 5}
    assert [s.line for s in count.samples["user is not an integer"]] == [1, 2, 3]
    assert [s.line for s in count.samples[delimited.WRONG_COLUMNS]] == [51, 52, 53]


def test_separators_of_two_characters(tmp_path: Path) -> None:
    layout = Layout(separator=b"::", columns=4, index=COLUMNS)
    rows, count = _read(tmp_path / "f", b"1::2::3::4\n1:2:3:4\n5::6::7::8\n", layout)
    assert rows == [(1, 2, 4, 3.0), (5, 6, 8, 7.0)]
    assert count.samples[delimited.WRONG_COLUMNS][0].text == "1:2:3:4"


def test_blocks_do_not_cut_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "_BLOCK_BYTES", 7)
    content = b"".join(b"%d\t%d\t3\t%d\n" % (i, i * 7, i * 99) for i in range(50))
    rows, count = _read(tmp_path / "f", content + b"bad\n")
    assert rows == [(i, i * 7, i * 99, 3.0) for i in range(50)]
    assert count.samples[delimited.WRONG_COLUMNS][0].line == 51


def test_quoted_columns(tmp_path: Path) -> None:
    content = (
        HEADER
        + b'u1,"a, b",1,10\n'
        + b'"u ""2""","line\r\nbreak",2,20\r\n'
        + b'u3,5" disk,3,30\n'
        + b"u4,plain,4,40\n"
    )
    rows, count = _read(tmp_path / "f", content, COMMAS, pb.STRING)
    assert rows == [
        (b"u1", b"a, b", 10, 1.0),
        (b'u "2"', b"line\r\nbreak", 20, 2.0),
        (b"u3", b'5" disk', 30, 3.0),
        (b"u4", b"plain", 40, 4.0),
    ]
    assert (count.rows, count.rejected) == (4, {})


def test_a_quote_that_is_never_closed_costs_one_row(tmp_path: Path) -> None:
    content = HEADER + b'u1,"open,1,10\nu2,b,2,20\nu3,"c",3,30\nu4,d,4,40\n'
    rows, count = _read(tmp_path / "f", content, COMMAS, pb.STRING)
    assert [row[0] for row in rows] == [b"u2", b"u3", b"u4"]
    assert (count.rows, count.rejected) == (4, {delimited.BAD_QUOTES: 1})
    assert count.samples[delimited.BAD_QUOTES][0].line == 2


def test_line_numbers_behind_quoted_line_breaks(tmp_path: Path) -> None:
    content = HEADER + b'u1,"a\nb\nc",1,10\nu2,b,bad,20\n'
    _, count = _read(tmp_path / "f", content, COMMAS, pb.STRING)
    assert count.samples["rating is not a number"][0].line == 5


def test_empty_and_undecodable_texts_are_rejected(tmp_path: Path) -> None:
    content = HEADER + b"9,,1,10\n,b,2,20\nu\xe9,c,3,30\nu,\xc3\xa9,4,40\n"
    rows, count = _read(tmp_path / "f", content, COMMAS, pb.STRING)
    assert rows == [(b"u", "é".encode(), 40, 4.0)]
    assert count.rejected == {
        "item is empty": 1,
        "user is empty": 1,
        cells.NOT_UTF8: 1,
    }


def test_another_encoding(tmp_path: Path) -> None:
    layout = Layout(
        separator=b",",
        columns=4,
        index=COLUMNS,
        form=Form(integer_ids=False),
        header=True,
        quotes=True,
        encoding="latin-1",
    )
    content = HEADER + b"u\xe9,c,3,30\n"
    rows, _ = _read(tmp_path / "f", content, layout, pb.STRING)
    assert rows == [("ué".encode(), b"c", 30, 3.0)]


def test_items_wanted_as_integers_or_as_text(tmp_path: Path) -> None:
    content = HEADER + b"u1,12,1,10\nu2,b7,2,20\n"
    rows, count = _read(tmp_path / "f", content, COMMAS, pb.INT)
    assert rows == [(b"u1", 12, 10, 1.0)]
    assert count.rejected == {"item is not an integer": 1}
    rows, _ = _read(tmp_path / "f", b"1\t012\t3\t4\n", TABS, pb.STRING)
    assert rows == [(1, b"12", 4, 3.0)]


def test_values_wanted_as_integers(tmp_path: Path) -> None:
    content = b"1\t2\t3.0\t4\n1\t2\t3.5\t4\n"
    rows, count = _read(tmp_path / "f", content, whole_values=True)
    assert rows == [(1, 2, 4, 3.0)]
    assert count.rejected == {"rating is not a whole number within 53 bits": 1}


def test_files_without_a_row(tmp_path: Path) -> None:
    assert _read(tmp_path / "f", b"")[0] == []
    assert _read(tmp_path / "f", HEADER, COMMAS)[0] == []
    assert _read(tmp_path / "f", HEADER[:-1], COMMAS)[1].rows == 0


def test_a_header_must_be_there(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"\n1,2\n")
    with pytest.raises(UserError, match="line 1: '' instead of the names"):
        delimited.read_header(str(tmp_path / "f"), b",", "utf-8")


@pytest.mark.parametrize("name", ["klingon", "rot13", "base64", "hex", "utf-8\0", ""])
def test_an_encoding_must_be_known(tmp_path: Path, name: str) -> None:
    (tmp_path / "f").write_bytes(HEADER)
    with pytest.raises(UserError) as caught:
        delimited.read_header(str(tmp_path / "f"), b",", name)
    assert str(caught.value).startswith(f"data.files.encoding: {name!r} is not allowed")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"user,item\ru1,i1\ru2,i2\r", "carriage return alone"),
        ("user,item\nu1,i1\n".encode("utf-16-le"), "a NUL; is the file in another"),
        (b'user,"it\nem"\nu1,i1\n', "is not the names of the columns"),
        (b'user,"item" x\nu1,i1\n', "is not the names of the columns"),
    ],
)
def test_headers_of_no_use(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        delimited.read_header(str(tmp_path / "f"), b",", "utf-8")
    assert str(caught.value).startswith(f"{tmp_path / 'f'}: line 1: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("quote", [b"", b'"'])
@pytest.mark.parametrize("item", [b"x" * 200_000, b"a\0b"])
def test_quotes_change_nothing_in_long_and_odd_cells(
    tmp_path: Path, item: bytes, quote: bytes
) -> None:
    content = HEADER + b"u1," + quote + item + quote + b",1,10\n"
    rows, count = _read(tmp_path / "f", content, COMMAS, pb.STRING)
    assert rows == [(b"u1", item, 10, 1.0)]
    assert not count.rejected


def test_a_quote_may_go_over_a_thousand_lines(tmp_path: Path) -> None:
    for breaks, rejected in ((999, 0), (1000, 2)):
        content = HEADER + b'u1,"' + b"\n" * breaks + b'",1,10\n'
        _, count = _read(tmp_path / "f", content, COMMAS, pb.STRING)
        assert count.rejected.get(delimited.BAD_QUOTES, 0) == rejected


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.integers(-(10**17), 10**17),
            st.integers(-(10**17), 10**17),
            st.floats(width=32, allow_nan=False, allow_infinity=False),
            st.integers(0, 4 * 10**9),
        ),
        max_size=30,
    )
)
def test_numbers_come_back(
    tmp_path: Path, expected: list[tuple[int, int, float, int]]
) -> None:
    content = "".join(f"{u}\t{i}\t{r!r}\t{t}\n" for u, i, r, t in expected)
    rows, count = _read(tmp_path / "f", content.encode())
    assert rows == [(u, i, t, r) for u, i, r, t in expected]
    assert count.rejected == {}


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.text(
            st.characters(codec="utf-8", exclude_characters="\0\r\n"), min_size=1
        ).filter(lambda text: not text.startswith("\ufeff"))
    )
)
def test_quoted_texts_come_back(tmp_path: Path, items: list[str]) -> None:
    quoted = ['"' + item.replace('"', '""') + '"' for item in items]
    content = HEADER + "".join(f"u,{item},1,2\n" for item in quoted).encode()
    rows, count = _read(tmp_path / "f", content, COMMAS, pb.STRING)
    assert [row[1].decode() for row in rows] == items
    assert count.rejected == {}
