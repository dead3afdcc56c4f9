"""Timelines from examples, and the pairs in them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.activities import Activities, pair_weights, rebuild


def as_rows(activities: Activities) -> list[tuple[int, int, int]]:
    columns = (activities.user, activities.position, activities.item)
    return list(zip(*(c.tolist() for c in columns), strict=True))


def windows(timelines: list[list[int]], length: int) -> tuple[np.ndarray, ...]:
    """Examples of timelines as the pipeline cuts them, in reverse order."""
    rows = []
    for user, items in enumerate(timelines):
        for position in range(1, len(items)):
            context = items[max(0, position - length) : position]
            padded = context + [0] * (length - len(context))
            rows.append((user, position, items[position], padded, len(context)))
    columns = zip(*reversed(rows), strict=True)
    return tuple(np.array(column, np.int64) for column in columns)


def test_each_activity_is_there_once():
    examples = windows([[7, 5, 7, 3], [2, 9]], length=2)
    assert as_rows(rebuild(*examples)) == [
        (0, 0, 7),
        (0, 1, 5),
        (0, 2, 7),
        (0, 3, 3),
        (1, 0, 2),
        (1, 1, 9),
    ]


def test_a_gap_between_examples_stays_a_gap():
    user = np.array([0, 0])
    position, label = np.array([1, 6]), np.array([4, 8])
    context = np.array([[3, 0], [5, 6]])
    activities = rebuild(user, position, label, context, np.array([1, 2]))
    assert as_rows(activities) == [
        (0, 0, 3),
        (0, 1, 4),
        (0, 4, 5),
        (0, 5, 6),
        (0, 6, 8),
    ]


TIMELINES = st.lists(
    st.lists(st.integers(0, 5), min_size=2, max_size=9), min_size=1, max_size=4
)


@given(timelines=TIMELINES, length=st.integers(1, 5))
def test_timelines_come_back_whole(timelines, length):
    activities = rebuild(*windows(timelines, length))
    assert as_rows(activities) == [
        (user, position, item)
        for user, items in enumerate(timelines)
        for position, item in enumerate(items)
    ]


def make(timelines: list[list[int]]) -> Activities:
    user = [u for u, items in enumerate(timelines) for _ in items]
    position = [p for items in timelines for p in range(len(items))]
    item = [i for items in timelines for i in items]
    return Activities(np.array(user), np.array(position), np.array(item))


def weights(activities: Activities, max_gap: int) -> dict[tuple[int, int], float]:
    pairs = pair_weights(activities, 6, max_gap)
    return {
        (earlier, int(pairs.later[i])): float(pairs.weight[i])
        for earlier in range(6)
        for i in range(pairs.begin[earlier], pairs.begin[earlier + 1])
    }


def test_neighbours_are_counted_within_a_user():
    activities = make([[0, 1, 0, 1], [2, 0]])
    assert weights(activities, 1) == {(0, 1): 2.0, (1, 0): 1.0, (2, 0): 1.0}


def test_pairs_further_apart_count_less():
    assert weights(make([[0, 1, 2, 3]]), 3) == {
        (0, 1): 1.0,
        (0, 2): 1 / 2,
        (0, 3): 1 / 3,
        (1, 2): 1.0,
        (1, 3): 1 / 2,
        (2, 3): 1.0,
    }


def test_the_place_tells_the_gap_not_the_row():
    activities = Activities(np.zeros(3, int), np.array([0, 3, 4]), np.array([0, 1, 2]))
    assert weights(activities, 1) == {(1, 2): 1.0}
    assert weights(activities, 3) == {(0, 1): 1 / 3, (1, 2): 1.0}


@given(timelines=TIMELINES, max_gap=st.integers(1, 6))
def test_pairs_equal_those_counted_by_hand(timelines, max_gap):
    expected: dict[tuple[int, int], float] = {}
    for items in timelines:
        for i, earlier in enumerate(items):
            for gap, later in enumerate(items[i + 1 : i + 1 + max_gap], 1):
                pair = (earlier, later)
                expected[pair] = expected.get(pair, 0.0) + 1 / gap
    found = weights(make(timelines), max_gap)
    assert found.keys() == expected.keys()
    for pair, weight in expected.items():
        assert abs(found[pair] - weight) < 1e-9
