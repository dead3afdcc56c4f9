from __future__ import annotations

import math

import numpy as np
import pytest

from components.evaluator.top_k_rank import FLOOR, top_k_rank


def rank(
    ids: list[int], scores: list[float], label: int, complete: bool = False
) -> float:
    return top_k_rank(
        np.array(ids, np.int32), np.array(scores, np.float32), label, complete
    )


@pytest.mark.parametrize(("label", "expected"), [(7, 1), (5, 2), (9, 3)])
def test_without_ties_it_is_the_position(label: int, expected: int) -> None:
    assert rank([7, 5, 9], [3.0, 2.0, 1.0], label) == expected


@pytest.mark.parametrize("label", [7, 5])
def test_ties_count_against_the_label_at_every_position(label: int) -> None:
    assert rank([7, 5, 9], [3.0, 3.0, 1.0], label) == 2


@pytest.mark.parametrize("label", [5, 9])
def test_a_tie_that_reaches_the_last_entry_is_a_miss(label: int) -> None:
    assert rank([7, 5, 9], [3.0, 1.0, 1.0], label) == math.inf
    assert rank([7, 5, 9], [3.0, 1.0, 1.0], label, complete=True) == 3


def test_constant_scores_have_no_hit() -> None:
    ids = list(range(2, 12))
    assert all(rank(ids, [0.5] * 10, label) == math.inf for label in ids)
    assert rank([2], [0.5], 2) == math.inf
    assert rank([2], [0.5], 2, complete=True) == 1


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf, FLOOR])
def test_a_score_that_tells_nothing_is_a_miss(score: float) -> None:
    assert rank([7, 5, 9], [3.0, score, 1.0], 5, complete=True) == math.inf


def test_a_score_that_is_no_number_leaves_all_in_no_order() -> None:
    assert rank([7, 5, 9], [3.0, math.nan, 1.0], 7) == math.inf


def test_an_infinite_score_of_another_is_above_the_label() -> None:
    assert rank([7, 5, 9], [math.inf, 2.0, 1.0], 5) == 2


def test_a_label_that_is_not_among_the_items_is_a_miss() -> None:
    assert rank([7, 5, 9], [3.0, 2.0, 1.0], 8, complete=True) == math.inf


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match=r"Received: \[2\] and \[1\]"):
        rank([1, 2], [1.0], 1)
