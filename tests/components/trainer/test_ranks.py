"""Ranks, exclusion and the best items."""

from __future__ import annotations

import math

import numpy as np
import pytest

from components.trainer import ranks

SCORES = np.array([[0.0, 0.0, 0.9, 0.8, 0.7, 0.6, 0.5]], np.float32)
REAL = np.arange(7) > 1  # Row 0 is padding, row 1 out of vocabulary.


def rank(scores: np.ndarray, label: int, excluded: list[int] | None = None) -> float:
    out = None
    if excluded is not None:
        out = np.isin(np.arange(scores.shape[1]), excluded)[None]
    found = ranks.label_ranks(scores, np.array([label]), REAL, out)
    assert found.dtype == np.float32
    return float(found[0])


@pytest.mark.parametrize(("label", "expected"), [(2, 1), (3, 2), (5, 4), (6, 5)])
def test_rank_is_one_plus_those_ahead(label: int, expected: int) -> None:
    assert rank(SCORES, label) == expected


def test_rows_that_are_no_items_are_never_ahead() -> None:
    scores = SCORES.copy()
    scores[0, :2] = 99.0
    assert rank(scores, 2) == 1


def test_ties_count_against_the_label() -> None:
    assert rank(np.full((1, 7), 0.3, np.float32), 2) == 5
    assert rank(np.array([[0, 0, 3, 2, 2, 2, 1]], np.float32), 4) == 4


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_label_whose_score_is_not_finite_ranks_last(value: float) -> None:
    scores = SCORES.copy()
    scores[0, 2] = value
    assert rank(scores, 2) == 5


def test_scores_that_are_no_numbers_count_against_the_label() -> None:
    scores = SCORES.copy()
    scores[0, [5, 6]] = math.nan
    assert rank(scores, 3) == 4


@pytest.mark.parametrize("label", [0, 1, -1, 7, 1000])
def test_unknown_label_ranks_last(label: int) -> None:
    assert rank(SCORES, label) == 5


def test_excluded_items_are_not_ahead_and_the_label_never_is_excluded() -> None:
    assert rank(SCORES, 5, excluded=[2, 3]) == 2
    assert rank(SCORES, 5, excluded=[2, 3, 5]) == 2


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_excluded_rows(dtype: type) -> None:
    ids = np.array([[3, 5, 3, 0], [0, 0, 0, 0], [6, 7, -2, 1]], dtype)
    found = ranks.excluded_items(ids, 7).numpy()
    assert [np.flatnonzero(row).tolist() for row in found] == [[3, 5], [], [1, 6]]


def test_top_items() -> None:
    scores = np.array([[0.1, 0.4, 0.3, 0.2]], np.float32)
    places, values = ranks.top_items(scores, 3)
    np.testing.assert_array_equal(places, [[1, 2, 3]])
    np.testing.assert_allclose(values, [[0.4, 0.3, 0.2]])
    assert places.dtype == np.int32


def test_left_out_items_come_last() -> None:
    scores = np.array([[0.1, 0.4, 0.3, 0.2]], np.float32)
    left_out = np.array([[False, True, False, True]])
    places, values = ranks.top_items(scores, 4, left_out)
    np.testing.assert_array_equal(places, [[2, 0, 1, 3]])
    assert values[0, 2] == values[0, 3] == ranks.FLOOR


def test_batch_ranks_take_equal_labels_as_one_item() -> None:
    labels = np.array([4, 7, 4, 9])
    scores = np.array(
        [
            [0.5, 0.9, 0.8, 0.1],  # Label 4: behind 7; its other column is itself.
            [0.9, 0.5, 0.9, 0.5],  # Label 7: behind 4 (once) and 9 (a tie).
            [0.0, 0.1, 0.5, 0.2],  # Label 4: ahead of both.
            [0.1, 0.2, 0.3, math.nan],  # Label 9: not finite, last of three.
        ],
        np.float32,
    )
    found, others = ranks.batch_ranks(scores, labels, labels > 0)
    np.testing.assert_array_equal(found, [2, 3, 1, 3])
    np.testing.assert_array_equal(others, [2, 2, 2, 2])


@pytest.mark.parametrize("unknown", [0, 1])
def test_batch_ranks_are_not_behind_unknown_labels(unknown: int) -> None:
    labels = np.array([4, unknown, 7])
    scores = np.array([[0.5, 9.0, 0.9], [0.0, 0.0, 0.0], [0.1, 9.0, 0.2]], np.float32)
    found, others = ranks.batch_ranks(scores, labels, labels > 1)
    assert [found[0], found[2]] == [2, 1]
    assert [others[0], others[2]] == [1, 1]


def test_items_that_are_ranked_again_come_before_all_others() -> None:
    scores = np.array([[0.1, 0.4, 9.0, 0.2], [0.4, 0.3, 0.2, math.nan]], np.float32)
    places = np.array([[1, 3], [0, 1]])
    again = np.array([[-7.0, 2.0], [0.1, 0.2]], np.float32)
    found = ranks.ranked_again(scores, places, again).numpy()
    assert found[0].argsort()[::-1].tolist() == [3, 1, 2, 0]
    np.testing.assert_allclose(found[0, [1, 3]], [-7.0, 2.0])
    # What is no number stays none, and hides nobody's score.
    assert math.isnan(found[1, 3])
    np.testing.assert_allclose(found[1, :2], [0.1, 0.2])
