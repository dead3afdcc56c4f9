"""Cells of tables in the types of their columns; rows of no use are counted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.timeline_example_gen.lookups import Lookup, make_lookup
from components.timeline_example_gen.sources.source import (
    Field,
    Role,
    RowCount,
    Sample,
    Table,
)
from configs import recommender_pb2 as pb


def table_of(keys: list[str], cells: list[Any]) -> Table:
    return Table(
        file="items.csv",
        keys=keys,
        lines=range(2, 2 + len(keys)),
        texts=[f"{key},{cell}".encode() for key, cell in zip(keys, cells, strict=True)],
        fields={"size": cells},
        titles=[f"title of {cell}" for cell in cells],
        count=RowCount(rows=len(keys)),
    )


def read(table: Table, kind: int, key_type: int = pb.INT) -> Lookup:
    field = Field("size", Role.ITEM, kind)
    return make_lookup(table, [(field, kind)], key_type, "item")


def numbers(lookup: Lookup) -> list[Any]:
    """The values of the rows, without the one for none."""
    table = lookup.fields["size"]
    assert table.values.numbers is not None
    return table.values.numbers[table.codes].tolist()[:-1]


@pytest.mark.parametrize(
    "cell", ["", "84.0", "1_000", "\uff19", "x", "1e3", "--1", "9223372036854775808"]
)
def test_no_integers(cell: str) -> None:
    table = table_of(["1", "2"], ["5", cell])
    assert numbers(read(table, pb.INT)) == [5]
    assert table.count.rejected == {"size is not an integer": 1}
    assert table.count.samples["size is not an integer"] == [Sample(3, f"2,{cell}")]


@pytest.mark.parametrize(
    "cell",
    ["nan", "inf", "-inf", "1e39", "1e400", "1_0.5", "\uff11.5", ".", "e5", "0x1"],
)
def test_no_numbers(cell: str) -> None:
    table = table_of(["1", "2"], ["0.5", cell])
    assert numbers(read(table, pb.FLOAT)) == [0.5]
    assert table.count.rejected == {"size is not a number": 1}


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_all_integers(values: list[int]) -> None:
    table = table_of([str(i) for i in range(len(values))], [str(v) for v in values])
    assert numbers(read(table, pb.INT)) == values
    assert not table.count.rejected


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1))
def test_all_numbers(values: list[float]) -> None:
    table = table_of([str(i) for i in range(len(values))], [repr(v) for v in values])
    result = np.array(numbers(read(table, pb.FLOAT)))
    np.testing.assert_array_equal(result, values)
    assert not np.signbit(result[result == 0]).any()


def test_a_missing_cell_is_padding() -> None:
    table = table_of(["1", "2", "3"], ["4", None, "0"])
    assert numbers(read(table, pb.INT)) == [4, 0, 0]
    assert not table.count.rejected


def test_no_item_is_there_twice() -> None:
    keys = ["2", "1", "01", " 3", "3", "+3", "x", "1.0"]
    table = table_of(keys, [str(i) for i in range(len(keys))])
    lookup = read(table, pb.INT)
    assert lookup.keys.to_pylist() == [1, 2, 3]
    assert numbers(lookup) == [1, 0, 3]
    assert lookup.titles is not None
    assert lookup.titles.to_pylist() == [b"title of 1", b"title of 0", b"title of 3"]
    assert table.count.rejected == {
        "item is in the table already": 3,
        "item is not an integer": 2,
    }


def test_texts_are_what_they_are() -> None:
    table = table_of(["2", "02", " 2"], ["1_000", "", "nan"])
    lookup = read(table, pb.STRING, pb.STRING)
    assert lookup.keys.to_pylist() == [b" 2", b"02", b"2"]
    assert not table.count.rejected
