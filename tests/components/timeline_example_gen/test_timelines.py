from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from components.timeline_example_gen import timelines


def _sort(
    user: list[int],
    timestamp: list[int],
    item: list[int],
    value: list[float] | None = None,
    seed: int = 1,
) -> np.ndarray:
    hashes = np.arange(10_000, dtype=np.uint64)
    result = timelines.sort_timelines(
        np.array(user),
        np.array(timestamp),
        np.array(item),
        hashes,
        hashes,
        [] if value is None else [np.array(value)],
        seed,
    )
    return result.order


def test_positions_and_lengths() -> None:
    position, length = timelines.positions(np.array([4, 4, 4, 2, 9, 9]))
    assert position.tolist() == [0, 1, 2, 0, 0, 1]
    assert length.tolist() == [3, 3, 3, 1, 2, 2]


def test_no_rows_are_no_timelines() -> None:
    position, length = timelines.positions(np.zeros(0, np.int64))
    assert position.tolist() == length.tolist() == []


def test_timelines_are_in_time_order() -> None:
    order = _sort(user=[1, 0, 1, 0], timestamp=[9, 5, 3, 1], item=[1, 2, 3, 4])
    assert order.tolist() == [3, 1, 2, 0]


def test_ties_in_time_are_in_one_order_whatever_that_of_the_rows() -> None:
    # Activities (t5, i9), (t5, i2), (t7, i4).
    rows = [(5, 9), (5, 2), (7, 4)]
    seen = set()
    for turn in ([0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]):
        mixed = [rows[i] for i in turn]
        order = _sort([0, 0, 0], [t for t, _ in mixed], [i for _, i in mixed])
        seen.add(tuple(mixed[i] for i in order))
    assert len(seen) == 1
    assert next(iter(seen))[2] == (7, 4)


def test_ties_in_time_are_ascending_by_item_half_of_the_time() -> None:
    for seed in (1, 2):
        user = np.repeat(np.arange(1000), 2).tolist()
        item = np.tile([3, 8], 1000).tolist()
        order = _sort(user, [5] * 2000, item, seed=seed)
        ascending = np.mean(np.array(item)[order].reshape(-1, 2)[:, 0] == 3)
        assert abs(ascending - 0.5) < 0.05


def test_the_seed_chooses_the_order_of_ties() -> None:
    user, item = np.repeat(np.arange(1000), 2).tolist(), np.tile([3, 8], 1000).tolist()
    one, two = (_sort(user, [5] * 2000, item, seed=seed) for seed in (1, 2))
    assert 400 < (one != two).sum() / 2 < 600


def test_repeated_activities_are_ordered_by_value() -> None:
    order = _sort([0, 0, 0], [1, 1, 1], [5, 5, 5], [3.0, 1.0, 2.0])
    assert order.tolist() == [1, 2, 0]


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5))))
def test_spread_concatenates_ranges(ranges: list[tuple[int, int]]) -> None:
    begin = np.array([b for b, _ in ranges], np.int64)
    length = np.array([n for _, n in ranges], np.int64)
    expected = [position for b, n in ranges for position in range(b, b + n)]
    assert timelines.spread(begin, length).tolist() == expected


@given(st.lists(st.integers(0, 30)), st.integers(1, 40))
def test_chunks_cover_all_rows_within_the_budget(cost: list[int], budget: int) -> None:
    parts = timelines.chunks(np.array(cost, np.int64), budget)
    rows = [row for part in parts for row in range(len(cost))[part]]
    assert rows == list(range(len(cost)))
    for part in parts:
        # The last row of a chunk may reach over the budget.
        assert sum(cost[part][:-1]) < budget or len(cost[part]) == 1
