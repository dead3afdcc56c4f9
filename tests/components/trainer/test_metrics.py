"""Metrics by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from components.trainer import metrics, ranks


def ranks_of(label: int) -> np.ndarray:
    scores = np.array([[0.9, 0.8, 0.7, 0.6, 0.5]], np.float32)
    return ranks.label_ranks(scores, np.array([label]), np.ones(5, bool)).numpy()


def test_label_at_the_fourth_place() -> None:
    found = ranks_of(3)
    assert metrics.hit_rate(found, 3) == 0
    assert metrics.hit_rate(found, 4) == 1
    assert metrics.ndcg(found, 3) == 0
    assert metrics.ndcg(found, 4) == pytest.approx(0.4307, abs=5e-5)
    assert metrics.mean_reciprocal_rank(found) == 0.25


def test_names_and_means() -> None:
    values = metrics.catalogue_metrics(np.array([1.0, 2.0, 20.0]), [1, 10], "eval")
    assert values == pytest.approx(
        {
            "hr_1_eval": 1 / 3,
            "hr_10_eval": 2 / 3,
            "ndcg_1_eval": 1 / 3,
            "ndcg_10_eval": (1 + 0.63093) / 3,
            "mrr_eval": (1 + 0.5 + 0.05) / 3,
            "mean_rank_eval": 23 / 3,
        },
        rel=1e-5,
    )


@pytest.mark.parametrize("size", [8, 64, 512])
def test_mean_rank_in_the_batch_does_not_depend_on_its_size(size: int) -> None:
    rng = np.random.default_rng(size)
    found, others = [], []
    for _ in range(4096 // size):
        scores = rng.normal(size=(size, size)).astype(np.float32)
        in_batch, count = ranks.batch_ranks(
            scores, np.arange(size), np.full(size, True)
        )
        found.append(in_batch)
        others.append(count)
    values = metrics.batch_metrics(
        np.concatenate(found), np.concatenate(others), [1], "eval"
    )
    assert values["batch_mean_rank_eval"] == pytest.approx(0.5, abs=0.02)


def test_batch_metrics_by_hand() -> None:
    values = metrics.batch_metrics(
        np.array([1.0, 3.0, 1.0]), np.array([4.0, 4.0, 0.0]), [1, 3], "eval"
    )
    assert values == pytest.approx(
        {"batch_hr_1_eval": 2 / 3, "batch_hr_3_eval": 1, "batch_mean_rank_eval": 0.25}
    )
    alone = metrics.batch_metrics(np.array([1.0]), np.array([0.0]), [1], "eval")
    assert alone == {"batch_hr_1_eval": 1.0}


# Five candidates, rows 2 to 6, with as many examples of train. What users choose has a
# count of (4 + 1 + 1 + 0) / 4 = 1.5 in the mean: the last label is no candidate.
COUNTS = np.array([0, 0, 4, 2, 1, 1, 0])
TOP = np.array([[2, 3], [2, 4], [3, 2], [2, -1]])
LABELS = np.array([2, 4, 5, 1])


def test_coverage_is_the_share_of_candidates_in_any_list() -> None:
    assert metrics.coverage(TOP, 5) == 3 / 5
    assert metrics.coverage(TOP[:, :1], 5) == 2 / 5
    assert metrics.coverage(np.full((3, 2), -1), 5) == 0


def test_popularity_ratio_compares_lists_with_labels() -> None:
    # By example (4 + 2) / 2, (4 + 1) / 2, (2 + 4) / 2, and 4 of one item alone.
    mean = (3 + 2.5 + 3 + 4) / 4
    assert metrics.popularity_ratio(TOP, LABELS, COUNTS) == pytest.approx(mean / 1.5)
    # Answering what users choose is no bias.
    own = LABELS[:, None]
    assert metrics.popularity_ratio(own, LABELS, COUNTS) == 1
    # An empty list is left out of the mean, and what is outside the table counts 0.
    top, labels = np.array([[2, 3], [-1, -1]]), np.array([2, 99])
    assert metrics.popularity_ratio(top, labels, COUNTS) == 3 / 2


def test_popularity_ratio_without_anything_to_compare() -> None:
    unseen, nothing = np.array([6]), np.array([[-1]])
    assert math.isnan(metrics.popularity_ratio(TOP[:1], unseen, COUNTS))
    assert math.isnan(metrics.popularity_ratio(nothing, LABELS[:1], COUNTS))


def test_names_of_the_metrics_of_lists() -> None:
    assert metrics.list_metrics(TOP, LABELS, 5, COUNTS, [1, 2], "eval") == {
        "coverage_1_eval": 2 / 5,
        "coverage_2_eval": 3 / 5,
        "popularity_ratio_1_eval": pytest.approx((4 + 4 + 2 + 4) / 4 / 1.5),
        "popularity_ratio_2_eval": pytest.approx(12.5 / 4 / 1.5),
    }
    assert metrics.list_metrics(TOP, LABELS, 5, None, [2], "test") == {
        "coverage_2_test": 3 / 5
    }
