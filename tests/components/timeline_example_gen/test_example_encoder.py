from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

from components.timeline_example_gen.example_encoder import (
    Column,
    Terms,
    Windows,
    encode_examples,
    encode_values,
    varints,
)

INTS = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(width=32, allow_nan=False)


def _ragged(rows: list[list], dtype: type) -> Column:
    offsets = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    return Column(np.array([v for row in rows for v in row], dtype), offsets)


def _texts(rows: list[list[bytes]]) -> Column:
    terms = sorted({v for row in rows for v in row} | {b""})
    codes = _ragged([[terms.index(v) for v in row] for row in rows], np.int64)
    return Column(
        codes.values, codes.offsets, Terms(pa.array(terms, pa.large_binary()))
    )


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(INTS, max_size=5),
            st.lists(FLOATS, max_size=5),
            st.lists(st.binary(max_size=200), max_size=5),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_another_decoder_reads_the_same_values(
    rows: list[tuple[list[int], list[float], list[bytes]]],
) -> None:
    columns = {
        "ints": _ragged([row[0] for row in rows], np.int64),
        "floats": _ragged([row[1] for row in rows], np.float32),
        "bytes": _texts([row[2] for row in rows]),
    }
    decoded = ExamplesToRecordBatchDecoder().DecodeBatch(encode_examples(columns))
    got = decoded.to_pydict()
    assert [list(values) for values in zip(*rows, strict=True)] == [
        got["ints"],
        got["floats"],
        got["bytes"],
    ]
    assert str(decoded.schema.field("ints").type.value_type) == "int64"
    assert str(decoded.schema.field("floats").type.value_type) == "float"


def test_bytes_are_those_of_the_wire_format() -> None:
    columns = {
        "a": Column.dense(np.array([[1, 300]])),
        "b": _texts([[b"hi", b""]]),
        "c": Column.dense(np.array([[1.0]], np.float32)),
        "d": _ragged([[]], np.int64),
    }
    (example,) = encode_examples(columns)
    a = b"\x0a\x01a" + b"\x12\x07" + b"\x1a\x05" + b"\x0a\x03" + b"\x01\xac\x02"
    b = b"\x0a\x01b" + b"\x12\x08" + b"\x0a\x06" + b"\x0a\x02hi" + b"\x0a\x00"
    c = b"\x0a\x01c" + b"\x12\x08" + b"\x12\x06" + b"\x0a\x04" + b"\x00\x00\x80\x3f"
    d = b"\x0a\x01d" + b"\x12\x02" + b"\x1a\x00"
    entries = b"".join(b"\x0a" + bytes([len(e)]) + e for e in (a, b, c, d))
    assert example == b"\x0a" + bytes([len(entries)]) + entries


def test_a_batch_cut_in_two_has_the_same_bytes() -> None:
    values = np.arange(60).reshape(20, 3) ** 5
    whole = encode_examples({"x": Column.dense(values)})
    halves = [
        *encode_examples({"x": Column.dense(values[:7])}),
        *encode_examples({"x": Column.dense(values[7:])}),
    ]
    assert whole == halves


@given(
    st.lists(st.integers(-300, 300), max_size=12),
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 4)), min_size=1),
)
def test_windows_equal_the_columns_they_stand_for(
    values: list[int], ranges: list[tuple[int, int]]
) -> None:
    begin = np.minimum([b for b, _ in ranges], len(values))
    end = np.minimum(begin + [n for _, n in ranges], len(values))
    rows = [values[b:e] for b, e in zip(begin, end, strict=True)]
    padded = [row + [0] * (4 - len(row)) for row in rows]
    texts = {value: f"{value}".encode() * abs(value) for value in values} | {0: b""}
    numbers = sorted(texts)
    terms = Terms(pa.array([texts[n] for n in numbers], pa.large_binary()))
    codes = np.array([numbers.index(v) for v in values], np.int64)

    encoded = {
        "ints": encode_values(np.array(values, np.int64)),
        "floats": encode_values(np.array(values, np.float32)),
        "texts": encode_values(codes, terms),
    }
    for length, wanted in ((0, rows), (4, padded)):
        windows = {
            name: Windows(one, begin, end, length) for name, one in encoded.items()
        }
        assert encode_examples(windows) == encode_examples(
            {
                "ints": _ragged(wanted, np.int64),
                "floats": _ragged(wanted, np.float32),
                "texts": _texts([[texts[v] for v in row] for row in wanted]),
            }
        )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, b"\x00"),
        (127, b"\x7f"),
        (128, b"\x80\x01"),
        (-1, b"\xff" * 9 + b"\x01"),
        (2**63 - 1, b"\xff" * 8 + b"\x7f"),
    ],
)
def test_varints(value: int, expected: bytes) -> None:
    data, offsets = varints(np.array([5, value, 6]))
    assert data.tobytes() == b"\x05" + expected + b"\x06"
    assert offsets.tolist() == [0, 1, 1 + len(expected), 2 + len(expected)]


def test_long_values_have_long_sizes() -> None:
    text = b"x" * 100_000
    (example,) = encode_examples({"t": _texts([[text]])})
    decoded = ExamplesToRecordBatchDecoder().DecodeBatch([example])
    assert decoded.to_pydict() == {"t": [[text]]}
