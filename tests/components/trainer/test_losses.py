"""Losses by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.trainer import losses

REAL = np.array([False, False, True, True, True])
EVEN = np.zeros(5, np.float32)


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
    labels, items = np.array([2, 3, 2]), np.array([2, 3])
    scores = np.log(np.array([[1.0, 3.0], [2.0, 4.0], [8.0, 1.0]], np.float32))
    loss = losses.batch_softmax(scores, labels, items, REAL, EVEN)
    # Item 2 is twice a negative of the second label, and never one of its own two.
    expected = -(math.log(1 / 4) + math.log(4 / 8) + math.log(8 / 9)) / 3
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_batch_softmax_leaves_unknown_labels_out_as_rows_and_columns() -> None:
    scores = np.random.default_rng(1).normal(size=(3, 3)).astype(np.float32)
    labels = np.array([2, 1, 4])
    whole = losses.batch_softmax(scores, labels, labels, REAL, EVEN)
    kept, labels = scores[np.ix_([0, 2], [0, 2])], labels[[0, 2]]
    assert float(whole) == pytest.approx(
        float(losses.batch_softmax(kept, labels, labels, REAL, EVEN)), rel=1e-5
    )


def test_excluded_items_are_no_negatives_and_the_label_always_counts() -> None:
    scores = np.log(np.array([[50.0, 60.0, 1.0, 2.0, 5.0]], np.float32))
    excluded = np.array([[False, False, True, True, False]])
    loss = losses.global_softmax(scores, np.array([3]), REAL, excluded)
    assert float(loss) == pytest.approx(-math.log(2 / 7), rel=1e-5)


def test_label_smoothing_by_hand() -> None:
    scores = np.log(np.array([[50.0, 60.0, 1.0, 2.0, 5.0]], np.float32))
    shares = np.array([1.0, 2.0, 5.0]) / 8
    target = np.array([0.1, 0.1, 0.1]) / 3 + np.array([0.0, 0.9, 0.0])
    loss = losses.global_softmax(scores, np.array([3]), REAL, None, 0.1)
    assert float(loss) == pytest.approx(-(target * np.log(shares)).sum(), rel=1e-5)
    # Left-out items get no share of the target.
    excluded = np.array([[False, False, True, False, False]])
    loss = losses.global_softmax(scores, np.array([3]), REAL, excluded, 0.1)
    expected = -0.95 * math.log(2 / 7) - 0.05 * math.log(5 / 7)
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_label_smoothing_of_a_sample_by_hand() -> None:
    """A sampled item stands for as many as it is rarely drawn, the label for itself."""
    loss = losses.sampled_softmax(
        own=np.log(np.array([2.0], np.float32)),
        others=np.log(np.array([[3.0, 8.0, 5.0]], np.float32)),
        own_log_frequencies=np.log(np.array([0.5], np.float32)),
        log_frequencies=np.log(np.array([1.0, 1.0, 0.25], np.float32)),
        hits=np.array([[False, True, False]]),
        counts=np.array([True]),
        label_smoothing=0.1,
    )
    shares = np.array([4.0, 3.0, 20.0]) / 27
    target = 0.1 * np.array([1.0, 1.0, 4.0]) / 6 + np.array([0.9, 0.0, 0.0])
    assert float(loss) == pytest.approx(-(target * np.log(shares)).sum(), rel=1e-5)


def test_label_smoothing_of_a_batch_by_hand() -> None:
    labels, items = np.array([2, 3, 2]), np.array([2, 3])
    scores = np.log(np.array([[1.0, 3.0], [2.0, 4.0], [8.0, 1.0]], np.float32))
    frequencies = np.log(np.array([1.0, 1.0, 0.5, 0.25, 1.0], np.float32))
    loss = losses.batch_softmax(scores, labels, items, REAL, frequencies, None, 0.1)
    # Of 3 labels 3 / 4 were to be item 3, which is 1 of them; item 2 is 2 for 3 / 2.
    target = 0.1 * np.array([3, 4]) / 7 + np.array([0.9, 0.0])
    shares = np.array([[2, 12], [16, 8], [16, 4]]) / np.array([[14], [24], [20]])
    expected = -(target * np.log(shares)).sum(axis=1).mean()
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def gradient_of(loss: Callable[[tf.Tensor], tf.Tensor], scores: np.ndarray) -> Any:
    scores = tf.constant(scores)
    with tf.GradientTape() as tape:
        tape.watch(scores)
        value = loss(scores)
    return tape.gradient(value, scores).numpy()


@pytest.mark.parametrize("kind", ["sample", "batch"])
def test_label_smoothing_over_many_draws_is_about_that_of_the_full_softmax(
    kind: str,
) -> None:
    """For items that are often drawn as for others."""
    rng = np.random.default_rng(0)
    label, every, smoothing = 45, np.ones(60, bool), 0.5
    row = rng.normal(size=60).astype(np.float32)
    shares = 1 / np.arange(1.0, 61.0)
    shares /= shares.sum()
    log_shares = np.log(shares).astype(np.float32)
    log_counts = np.log(1 - (1 - shares) ** 20).astype(np.float32)
    [expected] = gradient_of(
        lambda rows: losses.global_softmax(rows, [label], every, None, smoothing),
        row[np.newaxis],
    )
    found = np.zeros(60)
    for _ in range(200):
        others = rng.choice(60, 20, p=shares)
        if kind == "batch":
            labels = np.array([label, *others])
            items = np.unique(labels)
            gradient = labels.size * gradient_of(
                lambda rows, labels=labels, items=items: losses.batch_softmax(
                    rows, labels, items, every, log_shares, None, smoothing
                ),
                np.tile(row[items], (labels.size, 1)),
            )
        else:
            others = np.unique(others)
            items = np.array([label, *others])
            gradient = gradient_of(
                lambda rows, others=others: losses.sampled_softmax(
                    rows[:, 0],
                    rows[:, 1:],
                    log_counts[[label]],
                    log_counts[others],
                    others[np.newaxis] == label,
                    np.array([True]),
                    smoothing,
                ),
                row[items][np.newaxis],
            )
        np.add.at(found, items, gradient[0] / 200)
    # By how often they are drawn the first five would lose by it.
    assert found[:5].sum() > 0
    assert found[:5].sum() == pytest.approx(expected[:5].sum(), abs=0.02)
    assert found[label] == pytest.approx(expected[label], rel=0.25)


def test_batch_softmax_is_corrected_for_frequency() -> None:
    """A model that knows popularity alone loses what an even choice loses."""
    frequencies = np.array([1.0, 1.0, 0.7, 0.2, 0.1], np.float32)
    labels = np.array([2, 3, 4])
    scores = np.tile(np.log(frequencies[labels]), (3, 1)).astype(np.float32)
    loss = losses.batch_softmax(scores, labels, labels, REAL, np.log(frequencies))
    assert float(loss) == pytest.approx(math.log(3), rel=1e-5)


def test_batch_softmax_leaves_out_excluded_columns() -> None:
    labels = np.array([2, 3])
    scores = np.log(np.array([[1.0, 3.0], [2.0, 4.0]], np.float32))
    excluded = np.array([[True, True], [False, False]])
    loss = losses.batch_softmax(scores, labels, labels, REAL, EVEN, excluded)
    assert float(loss) == pytest.approx(-math.log(4 / 6) / 2, rel=1e-5)


def test_sampled_softmax_by_hand() -> None:
    loss = losses.sampled_softmax(
        own=np.log(np.array([2.0], np.float32)),
        others=np.log(np.array([[3.0, 8.0, 5.0]], np.float32)),
        own_log_frequencies=np.log(np.array([0.5], np.float32)),
        log_frequencies=np.log(np.array([1.0, 1.0, 0.25], np.float32)),
        hits=np.array([[False, True, False]]),
        counts=np.array([True]),
    )
    assert float(loss) == pytest.approx(-math.log(4 / (4 + 3 + 20)), rel=1e-5)


def test_sampled_softmax_of_the_whole_catalogue_is_the_full_one() -> None:
    scores = np.random.default_rng(2).normal(size=(4, 3)).astype(np.float32)
    labels = np.array([0, 1, 2, 1])
    full = losses.global_softmax(scores, labels, np.ones(3, bool))
    zeros = np.zeros(3, np.float32)
    sampled = losses.sampled_softmax(
        scores[np.arange(4), labels],
        scores,
        zeros[labels],
        zeros,
        labels[:, None] == np.arange(3),
        np.ones(4, bool),
    )
    assert float(sampled) == pytest.approx(float(full), rel=1e-5)


def test_binary_cross_entropy_by_hand() -> None:
    loss = losses.binary_cross_entropy(
        own=np.array([0.0, 2.0, 9.0], np.float32),
        others=np.array([1.0, 5.0, 9.0], np.float32),
        hits=np.array([False, True, False]),
        counts=np.array([True, True, False]),
    )
    first = math.log(2) + math.log(1 + math.e)
    assert float(loss) == pytest.approx((first + math.log1p(math.exp(-2))) / 2)
