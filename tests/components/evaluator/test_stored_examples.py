"""The candidate against the current model on the examples stored with that."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from components.evaluator.stored_examples import SLICE, stored_rows
from components.evaluator.tflite_extractor import BundleRanker, load_ranker
from configs import recommender_pb2 as pb

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def rankers(
    tmp_path_factory: pytest.TempPathFactory,
    make_bundles: Callable[..., None],
    bundle_spec: Any,
) -> dict[str, BundleRanker]:
    """Of one that knows the labels, and of one that has them last."""
    folder = tmp_path_factory.mktemp("stored")
    scores = {
        "good": {11: 4.0, 12: 3.0, 13: 2.0, 14: 1.0},
        "bad": {21: 9.0, 22: 8.0, 23: 7.0, 11: 3.0, 12: 2.0},
    }
    make_bundles({folder / name: bundle_spec(s) for name, s in scores.items()})
    return {name: load_ranker(str(folder / name)) for name in scores}


@pytest.fixture(scope="module")
def examples(rows: Any, encode: Callable[..., bytes]) -> list[bytes]:
    return [encode(row) for row in rows]


def test_a_worse_model_fails_and_a_better_one_passes(
    config: pb.RecommenderConfig, rankers: Any, examples: list[bytes]
) -> None:
    [row] = stored_rows(config, rankers["bad"], rankers["good"], examples)
    assert (row.metric, row.slice, row.examples) == ("hr_2_test", SLICE, 5)
    assert (row.value, row.baseline, row.blessed) == (0.0, 3 / 5, False)
    [row] = stored_rows(config, rankers["good"], rankers["bad"], examples)
    assert (row.value, row.baseline, row.blessed) == (3 / 5, 0.0, True)
    assert row.lower_bound is None


def test_the_same_model_is_no_regression(
    config: pb.RecommenderConfig, rankers: Any, examples: list[bytes]
) -> None:
    [row] = stored_rows(config, rankers["good"], rankers["good"], examples)
    assert row.blessed


def test_what_cannot_be_compared_says_why(
    config: pb.RecommenderConfig, rankers: Any, encode: Callable[..., bytes], rows: Any
) -> None:
    import tensorflow as tf

    lacking = tf.train.Example.FromString(encode(rows[0]))
    del lacking.features.feature["context_movie_id"]
    for found, reason in (
        ([], "the current version has none"),
        ([lacking.SerializeToString()], "context_movie_id"),
    ):
        [row] = stored_rows(config, rankers["good"], rankers["bad"], found)
        assert row.blessed is None
        assert math.isnan(row.value)
        assert reason in row.text()


def test_without_a_bound_nothing_is_compared(
    config: pb.RecommenderConfig, rankers: Any, examples: list[bytes]
) -> None:
    changed = pb.RecommenderConfig()
    changed.CopyFrom(config)
    changed.eval.bounds[0].ClearField("max_regression")
    assert stored_rows(changed, rankers["bad"], rankers["good"], examples) == []
