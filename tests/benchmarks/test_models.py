"""Scores of the baselines on timelines of a few items."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.activities import Activities
from benchmarks.models import ItemCosine, Markov, Popularity

# Users' items in order: 0 1 2, 0 1 3, 1 0.
ACTIVITIES = Activities(
    user=np.array([0, 0, 0, 1, 1, 1, 2, 2]),
    position=np.array([0, 1, 2, 0, 1, 2, 0, 1]),
    item=np.array([0, 1, 2, 0, 1, 3, 1, 0]),
)
NUM_ITEMS = 5
POPULARITY = [3, 3, 1, 1, 0]


def scores(model, *histories):
    arrays = [np.array(history, np.int64) for history in histories]
    result = model.scores(arrays)
    assert result.shape == (len(histories), NUM_ITEMS)
    return result


def test_popularity_does_not_look_at_the_history():
    model = Popularity(ACTIVITIES, NUM_ITEMS)
    assert scores(model, [2], []).tolist() == [POPULARITY, POPULARITY]


def test_markov_counts_what_came_after_the_last_item():
    model = Markov(ACTIVITIES, NUM_ITEMS)
    found = scores(model, [3, 0], [0, 1], [2], [], [0, -1])
    expected = [[0, 2, 0, 0, 0], [1, 0, 1, 1, 0], [0] * 5, [0] * 5, [0] * 5]
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_markov_orders_equal_counts_by_popularity():
    model = Markov(ACTIVITIES, NUM_ITEMS)
    nothing, one = scores(model, [4], [1])
    assert nothing[0] == nothing[1] > nothing[2] == nothing[3] > nothing[4]
    assert one[0] > one[2] == one[3] > one[1] > one[4]


def test_markov_over_more_steps_weighs_gaps_and_ages():
    model = Markov(ACTIVITIES, NUM_ITEMS, steps=2)
    # After 0: 1 twice, 2 and 3 at half; after 1: 2, 3 and 0 once.
    found = scores(model, [1, 0], [0, 1], [1, 0, 0], [0, 4, 4])
    expected = [
        [0 + 1 / 2, 2.0, 1 / 2 + 1 / 2, 1 / 2 + 1 / 2, 0],
        [1.0, 2 / 2, 1 + 1 / 4, 1 + 1 / 4, 0],
        [0.0, 2 + 2 / 2, 1 / 2 + 1 / 4, 1 / 2 + 1 / 4, 0],
        [0.0, 0.0, 0.0, 0.0, 0.0],
    ]
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_item_cosine_sums_similarities():
    model = ItemCosine(ACTIVITIES, NUM_ITEMS)
    third = 1 / np.sqrt(3)
    # Users of 0 and 1: all three; of 2: the first; of 3: the second; of 4: none.
    found = scores(model, [0], [2, 0], [4], [-1, 3, 3])
    expected = [
        [0, 1, third, third, 0],
        [third, 1 + third, third, third, 0],
        [0, 0, 0, 0, 0],
        [third, third, 0, 0, 0],
    ]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_item_cosine_counts_a_user_once_however_often_he_had_an_item():
    twice = Activities(
        user=np.array([0, 0, 0, 1]),
        position=np.array([0, 1, 2, 0]),
        item=np.array([0, 0, 1, 1]),
    )
    expected = [[0, 1 / np.sqrt(2), 0, 0, 0]]
    np.testing.assert_allclose(scores(ItemCosine(twice, NUM_ITEMS), [0]), expected)


@pytest.mark.parametrize("seed", range(3))
def test_item_cosine_equals_the_dense_formula(seed):
    random = np.random.default_rng(seed)
    matrix = random.random((12, NUM_ITEMS)) < 0.4
    matrix[0, 0] = True
    user, item = np.nonzero(matrix)
    activities = Activities(user, np.zeros_like(user), item)
    norm = np.sqrt(np.maximum(matrix.sum(axis=0), 1))
    similarity = matrix.astype(float).T @ matrix / norm / norm[:, None]
    np.fill_diagonal(similarity, 0)
    found = scores(ItemCosine(activities, NUM_ITEMS), [0, 3], [1, 2, 4])
    expected = [similarity[[0, 3]].sum(axis=0), similarity[[1, 2, 4]].sum(axis=0)]
    np.testing.assert_allclose(found, expected, atol=1e-12)
