"""What examples are sliced by, without the gate."""

from __future__ import annotations

import numpy as np
import pytest

from components.evaluator.popularity import known_buckets, popularity_of
from components.evaluator.slices import slice_values


def test_padding_is_no_value() -> None:
    genres = np.array([b"War", b"Drama", b"", b""], object)
    assert slice_values(genres, 2).tolist() == [b"War", b"Drama"]
    assert slice_values(genres, 0).tolist() == []
    # Without a length only the empty text is known to be none.
    assert slice_values(genres, None).tolist() == [b"War", b"Drama"]
    assert slice_values(np.array(["a", ""]), 2).tolist() == ["a"]


def test_numbers_end_where_the_length_says() -> None:
    numbers = np.array([7, 0, 0, 0])
    assert slice_values(numbers, 2).tolist() == [7, 0]
    assert slice_values(numbers[:1], None).tolist() == [7]
    assert slice_values(numbers, 1).dtype == numbers.dtype


def test_popularity_is_known_while_a_gate_runs() -> None:
    assert known_buckets() is None
    with popularity_of({"popularity": {"head": ["a"], "middle": ["b", "c"]}}):
        assert known_buckets() == {"a": "head", "b": "middle", "c": "middle"}
        with popularity_of(None):
            assert known_buckets() is None
    with pytest.raises(RuntimeError), popularity_of({"popularity": {}}):
        raise RuntimeError
    assert known_buckets() is None
