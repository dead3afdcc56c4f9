"""Ranks and metrics on arrays whose right answer is in the test."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.ranking import (
    coverage,
    excluded_items,
    gains,
    label_ranks,
    metrics,
    popularity_ratio,
    top_items,
)

INF, NAN = math.inf, math.nan


@pytest.mark.parametrize(
    ("scores", "label", "rank"),
    [
        ([3.0, 2.0, 1.0], 0, 1),
        ([3.0, 2.0, 1.0], 2, 3),
        ([2.0, 2.0, 2.0], 1, 3),  # All others are equal: a constant model is no good.
        ([2.0, 2.0, 1.0], 0, 2),
        ([NAN, 2.0, 1.0], 1, 2),  # What is no number counts against the label.
        ([3.0, NAN, 1.0], 1, 3),
        ([INF, 2.0, 1.0], 0, 3),
        ([3.0, 2.0, -INF], 2, 3),
        ([3.0, 2.0, 1.0], -1, 3),
    ],
)
def test_rank(scores, label, rank):
    assert label_ranks(np.array([scores]), np.array([label])).tolist() == [rank]


def test_left_out_items_do_not_count():
    scores = np.array([[5.0, 4.0, 3.0, 2.0]] * 3)
    labels = np.array([3, 3, 1])
    excluded = np.array(
        [
            [True, True, False, False],
            [True, True, True, True],  # The label itself is never left out.
            [False, True, False, False],
        ]
    )
    assert label_ranks(scores, labels, excluded).tolist() == [2, 1, 2]


def test_excluded_items():
    histories = [np.array([2, 0, 2]), np.array([], np.int64), np.array([-1, 1])]
    assert excluded_items(histories, 3).tolist() == [
        [True, False, True],
        [False, False, False],
        [False, True, False],
    ]


def test_metrics():
    assert metrics(np.array([1, 3, 11, 2]), [1, 3]) == pytest.approx(
        {
            "hr_1": 0.25,
            "ndcg_1": 0.25,
            "hr_3": 0.75,
            "ndcg_3": (1 + 0.5 + 1 / math.log2(3)) / 4,
            "mrr": (1 + 1 / 3 + 1 / 11 + 1 / 2) / 4,
            "mean_rank": 17 / 4,
        }
    )


def test_label_at_the_fourth_place_of_five():
    scores = np.array([[0.9, 0.8, 0.7, 0.6, 0.5]])
    values = metrics(label_ranks(scores, np.array([3])), [3, 4])
    assert (values["hr_3"], values["ndcg_3"], values["hr_4"]) == (0, 0, 1)
    assert values["ndcg_4"] == pytest.approx(0.4307, abs=5e-5)


def test_gains_of_misses_are_none():
    ranks = np.array([1.0, 4.0, INF])
    assert gains(ranks, "hr", 4).tolist() == [1, 1, 0]
    assert gains(ranks, "ndcg", 4) == pytest.approx([1, 1 / math.log2(5), 0])
    assert gains(ranks, "mrr", 3).tolist() == [1, 0, 0]
    with pytest.raises(ValueError, match="kind is 'hr', 'ndcg' or 'mrr'"):
        gains(ranks, "map", 3)


def test_top_items():
    scores = np.array([[5.0, 4.0, 3.0, 2.0], [1.0, 2.0, 3.0, 4.0]])
    excluded = np.array([[True, False, False, False], [True, False, True, True]])
    assert np.sort(top_items(scores, 2)).tolist() == [[0, 1], [2, 3]]
    assert np.sort(top_items(scores, 2, excluded)).tolist() == [[1, 2], [-1, 1]]
    assert np.sort(top_items(scores, 9)).tolist() == [[0, 1, 2, 3]] * 2


def test_coverage_and_popularity_ratio():
    top = np.array([[0, 1], [0, 2], [1, -1]])
    assert coverage(top, 5) == 3 / 5
    counts = np.array([4, 2, 1, 1, 0])
    # Lists have 3, 2.5 and 2 in the mean, labels 4, 1 and 0.
    labels = np.array([0, 3, -1])
    assert popularity_ratio(top, labels, counts) == pytest.approx(2.5 / (5 / 3))
    assert popularity_ratio(labels[:2, None], labels[:2], counts) == 1
    assert math.isnan(popularity_ratio(top, np.array([4, -1, 4]), counts))
    assert math.isnan(popularity_ratio(np.full((3, 2), -1), labels, counts))


@pytest.mark.parametrize("ranks", [[], [0], [3, -1]])
def test_ranks_that_are_none_are_refused(ranks):
    with pytest.raises(ValueError, match="ranks start at 1 and there is at least one"):
        metrics(np.array(ranks, np.int64), [10])


@given(
    scores=st.lists(st.integers(0, 4), min_size=2, max_size=8),
    data=st.data(),
)
def test_rank_is_one_plus_those_that_are_not_worse(scores, data):
    label = data.draw(st.integers(0, len(scores) - 1))
    out = data.draw(st.sets(st.integers(0, len(scores) - 1)))
    rivals = [s for i, s in enumerate(scores) if i != label and i not in out]
    expected = 1 + sum(score >= scores[label] for score in rivals)
    excluded = excluded_items([np.array(sorted(out), np.int64)], len(scores))
    array = np.array([scores], np.float64)
    assert label_ranks(array, np.array([label]), excluded).tolist() == [expected]
