"""Losses by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from components.trainer import losses

REAL = np.array([False, False, True, True, True])


def test_global_softmax_by_hand() -> None:
    scores = np.log(np.array([[50.0, 60.0, 1.0, 2.0, 5.0]], np.float32))
    loss = losses.global_softmax(scores, np.array([3]), REAL)
    assert float(loss) == pytest.approx(-math.log(2 / 8), rel=1e-5)


def test_rows_that_are_no_items_get_no_gradient() -> None:
    scores = tf.Variable(np.zeros((2, 5), np.float32))
    with tf.GradientTape() as tape:
        loss = losses.global_softmax(scores, np.array([2, 4]), REAL)
    gradient = tape.gradient(loss, scores).numpy()
    np.testing.assert_array_equal(gradient[:, :2], np.zeros((2, 2)))
    np.testing.assert_allclose(gradient[0, 2:], [-1 / 3, 1 / 6, 1 / 6], rtol=1e-5)


@pytest.mark.parametrize("unknown", [0, 1])
def test_unknown_labels_count_nothing(unknown: int) -> None:
    scores = np.random.default_rng(0).normal(size=(2, 5)).astype(np.float32)
    one = losses.global_softmax(scores[:1], np.array([3]), REAL)
    both = losses.global_softmax(scores, np.array([3, unknown]), REAL)
    assert float(one) == pytest.approx(float(both))
    none = losses.global_softmax(scores, np.array([unknown, unknown]), REAL)
    assert float(none) == 0.0


def test_batch_softmax_by_hand_without_accidental_hits() -> None:
    labels = np.array([2, 3, 2])
    scores = np.log(np.array([[1.0, 3.0, 9.0], [2.0, 4.0, 6.0], [8.0, 1.0, 1.0]]))
    loss = losses.batch_softmax(scores.astype(np.float32), labels, REAL)
    # Columns 0 and 2 are the same item: neither is a negative for the other.
    expected = -(math.log(1 / 4) + math.log(4 / 12) + math.log(1 / 2)) / 3
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_batch_softmax_leaves_unknown_labels_out_as_rows_and_columns() -> None:
    scores = np.random.default_rng(1).normal(size=(3, 3)).astype(np.float32)
    whole = losses.batch_softmax(scores, np.array([2, 1, 4]), REAL)
    kept = scores[np.ix_([0, 2], [0, 2])]
    assert float(whole) == pytest.approx(
        float(losses.batch_softmax(kept, np.array([2, 4]), REAL)), rel=1e-5
    )


def test_plateaus() -> None:
    counts = np.array([0, 0, 3, 1])
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert losses.global_plateau(counts) == pytest.approx(entropy)
    uniform = np.ones(1000)
    assert losses.batch_plateau(uniform, 64) == pytest.approx(math.log(64), abs=1e-2)
