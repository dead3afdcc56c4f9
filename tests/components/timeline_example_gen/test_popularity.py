"""Which items the report calls popular."""

from __future__ import annotations

import pyarrow as pa
import pytest

from components.timeline_example_gen.report import popularity


@pytest.mark.parametrize(
    ("counts", "head", "middle"),
    [
        # 9 labels: thirds begin before the first, the fourth and the seventh.
        ({1: 3, 2: 3, 3: 3}, ["1"], ["2"]),
        ({5: 1, 4: 2, 3: 2, 2: 2, 1: 2}, ["1", "2"], ["3"]),
        ({1: 9}, ["1"], []),
        # The second item begins in the last third.
        ({1: 7, 2: 2}, ["1"], []),
        ({1: 1, 2: 0, 3: 1, 4: 1}, ["1"], ["3"]),
        ({1: 0, 2: 0}, [], []),
        ({b"b": 2, b"a": 2, "é".encode(): 3, b"c": 2}, ["é"], ["a", "b"]),
    ],
)
def test_thirds_of_the_labels(counts, head, middle):
    items = pa.table({"item": list(counts), "train": list(counts.values())})
    assert popularity(items) == {"head": head, "middle": middle}
