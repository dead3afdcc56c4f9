"""Earlier items, against a loop over timelines."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from components.trainer.earlier_items import EarlierItems, activities_of

LENGTH = 3


@st.composite
def worlds(draw: st.DrawFn) -> tuple[dict[bytes, list[int]], list[tuple[bytes, int]]]:
    """Timelines, and the examples (user, position) of them that there are."""
    users = draw(st.lists(st.binary(min_size=1, max_size=3), min_size=1, unique=True))
    timelines = {
        user: draw(st.lists(st.integers(1, 9), min_size=2, max_size=9))
        for user in users
    }
    every = [(user, p) for user in users for p in range(1, len(timelines[user]))]
    chosen = draw(st.lists(st.sampled_from(every), min_size=1, unique=True))
    return timelines, chosen


def columns(
    timelines: dict[bytes, list[int]], examples: list[tuple[bytes, int]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    contexts = np.zeros((len(examples), LENGTH), np.int32)
    for row, (user, position) in enumerate(examples):
        context = timelines[user][max(position - LENGTH, 0) : position]
        contexts[row, : len(context)] = context
    return (
        np.array([user for user, _ in examples], object),
        np.array([position for _, position in examples]),
        np.array([timelines[user][position] for user, position in examples]),
        contexts,
    )


@settings(max_examples=150, deadline=None)
@given(worlds(), st.integers(1, 12), st.integers(1, 4))
def test_earlier_items_are_those_that_any_example_shows(
    world: tuple[dict[bytes, list[int]], list[tuple[bytes, int]]],
    max_length: int,
    batch: int,
) -> None:
    timelines, examples = world
    parts = [
        activities_of(*columns(timelines, examples[start : start + batch]))
        for start in range(0, len(examples), batch)
    ]
    shown: dict[bytes, set[int]] = {user: set() for user in timelines}
    for user, position in examples:
        shown[user] |= set(range(max(position - LENGTH, 0), position + 1))
    users, positions, _, _ = columns(timelines, examples)
    found = EarlierItems(parts, max_length)(tf.constant(users), tf.constant(positions))
    for row, (user, position) in zip(found.numpy().tolist(), examples, strict=True):
        expected = [
            item if place in shown[user] else 0
            for place, item in enumerate(timelines[user][:position])
        ]
        expected = ([0] * len(row) + expected)[-len(row) :] if row else []
        assert row == expected
        assert len(row) == min(max(positions), max_length)


def test_names_of_users_are_any_bytes() -> None:
    """Also such as end in a zero byte, which NumPy's own text type cuts off."""
    users = np.array([b"a", b"a\0", b"\xff"], object)
    part = activities_of(
        users, np.array([1, 1, 1]), np.array([4, 5, 6]), np.array([[1], [2], [3]])
    )
    found = EarlierItems([part], 5)(
        tf.constant(users), tf.constant([2, 2, 2], tf.int64)
    )
    np.testing.assert_array_equal(found, [[1, 4], [2, 5], [3, 6]])
