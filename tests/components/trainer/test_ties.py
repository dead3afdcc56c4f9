"""Steps of one moment change places, all columns together, and nothing else moves."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from components.trainer.ties import shuffled_ties

STEPS = 6


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.lists(st.integers(0, 3), min_size=0, max_size=STEPS), min_size=1, max_size=4
    ),
    st.integers(0, 2**31 - 1),
)
def test_only_steps_of_one_moment_change_places(
    lines: list[list[int]], seed: int
) -> None:
    moments = np.zeros((len(lines), STEPS), np.int64)
    for row, line in enumerate(lines):
        moments[row, : len(line)] = sorted(line)
    counts = np.array([len(line) for line in lines], np.int32)
    # Each step's place stands in all columns, two values a step in the second.
    place = np.tile(np.arange(1, STEPS + 1), (len(lines), 1))
    place[np.arange(STEPS) >= counts[:, None]] = 0
    pairs = np.stack([place, -place], axis=2).reshape(len(lines), 2 * STEPS)
    noise = np.random.default_rng(seed).random((len(lines), STEPS), np.float32)
    found = shuffled_ties(
        {"id": tf.constant(place), "genre": tf.constant(pairs)},
        tf.constant(moments),
        tf.constant(counts),
        tf.constant(noise),
    )
    ids = found["id"].numpy()
    for row, count in enumerate(counts):
        kept = ids[row, :count]
        assert sorted(kept) == list(range(1, count + 1))
        np.testing.assert_array_equal(ids[row, count:], 0)
        np.testing.assert_array_equal(moments[row][kept - 1], moments[row, :count])
    genres = found["genre"].numpy().reshape(len(lines), STEPS, 2)
    np.testing.assert_array_equal(genres[..., 0], ids)
    np.testing.assert_array_equal(genres[..., 1], -ids)


def test_every_order_of_a_moment_comes_up() -> None:
    rows = 600
    moments = tf.tile(tf.constant([[5, 5, 5, 9]]), [rows, 1])
    noise = tf.random.stateless_uniform([rows, 4], [1, 2])
    found = shuffled_ties(
        {"id": tf.tile(tf.constant([[1, 2, 3, 4]]), [rows, 1])},
        moments,
        tf.fill([rows], 4),
        noise,
    )["id"].numpy()
    orders, times = np.unique(found, axis=0, return_counts=True)
    assert len(orders) == 6 and (orders[:, 3] == 4).all()
    assert (times > 60).all()
