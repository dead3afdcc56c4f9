from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest

from components.evaluator.rank_metric import RankMetric, gain


@pytest.mark.parametrize(
    ("kind", "k", "expected"),
    [
        ("hr", 2, [1.0, 1.0, 0.0, 0.0]),
        ("ndcg", 2, [1.0, 1 / math.log2(3), 0.0, 0.0]),
        ("mrr", 2, [1.0, 0.5, 0.0, 0.0]),
        ("mrr", 0, [1.0, 0.5, 0.2, 0.0]),
    ],
)
def test_gain(kind: str, k: int, expected: list[float]) -> None:
    ranks = [1.0, 2.0, 5.0, math.inf]
    assert [gain(rank, kind, k) for rank in ranks] == pytest.approx(expected)


def test_label_at_the_fourth_place_of_five() -> None:
    scores = [0.9, 0.8, 0.7, 0.6, 0.5]
    rank = 1.0 + sum(score > scores[3] for score in scores)
    assert (gain(rank, "hr", 3), gain(rank, "hr", 4)) == (0.0, 1.0)
    assert gain(rank, "ndcg", 3) == 0.0
    assert gain(rank, "ndcg", 4) == pytest.approx(0.4307, abs=5e-5)
    assert gain(rank, "mrr", 0) == 0.25


@pytest.mark.parametrize("kind", ["hr", "ndcg", "mrr"])
def test_a_rank_that_is_no_number_is_a_miss(kind: str) -> None:
    assert gain(math.nan, kind, 10) == 0.0


def test_mean_rank_of_no_number_is_none() -> None:
    assert gain(7.0, "mean_rank", 0) == 7.0
    assert math.isnan(gain(math.nan, "mean_rank", 0))


def test_ranks_start_at_one() -> None:
    with pytest.raises(ValueError, match=r"at least 1\. Received: 0"):
        gain(0.0, "hr", 10)


@pytest.mark.parametrize(
    ("kind", "k", "message"),
    [
        ("recall", 1, "kind is one of hr, ndcg, mrr, mean_rank. Received: 'recall'"),
        ("hr", 0, "k of hr is 1 or more. Received: 0"),
        ("mrr", -1, "k of mrr is 0 or more. Received: -1"),
        ("mean_rank", 5, "k of mean_rank is 0. Received: 5"),
    ],
)
def test_wrong_arguments_are_refused(kind: str, k: int, message: str) -> None:
    with pytest.raises(ValueError) as error:
        RankMetric(kind, k)
    assert str(error.value) == message


def evaluate(
    metric: RankMetric, parts: Sequence[Sequence[object]], model_name: str = ""
) -> dict[str, float]:
    """Combines each part by itself, then all of them, as Beam's workers do."""
    (computation,) = metric.computations(model_names=[model_name])
    combiner = computation.combiner
    accumulators = []
    for part in parts:
        accumulator = combiner.create_accumulator()
        for prediction in part:
            element = SimpleNamespace(prediction=prediction)
            accumulator = combiner.add_input(accumulator, element)
        accumulators.append(accumulator)
    output = combiner.extract_output(combiner.merge_accumulators(accumulators))
    return {key.name: value for key, value in output.items()}


def test_it_is_the_mean_over_all_parts() -> None:
    parts = [[np.array([1.0]), np.array(4.0)], [], [np.array([2.0])]]
    metric = RankMetric("mrr", 0, "mrr_test")
    assert evaluate(metric, parts) == pytest.approx(
        {"mrr_test": (1 + 1 / 4 + 1 / 2) / 3}
    )


def test_the_output_of_a_signature_may_have_a_name() -> None:
    metric = RankMetric("hr", 2)
    assert evaluate(metric, [[{"label_rank": np.array([2.0])}]]) == {"hr_2": 1.0}


def test_of_two_models_each_has_its_own() -> None:
    parts = [[{"candidate": np.array([1.0]), "baseline": np.array([3.0])}]]
    metric = RankMetric("mean_rank", 0)
    assert evaluate(metric, parts, "candidate") == {"mean_rank": 1.0}
    assert evaluate(metric, parts, "baseline") == {"mean_rank": 3.0}


def test_without_examples_it_is_no_number() -> None:
    (value,) = evaluate(RankMetric("hr", 10), [[]]).values()
    assert math.isnan(value)


def test_it_is_rebuilt_from_its_configuration() -> None:
    rebuilt = RankMetric.from_config(RankMetric("ndcg", 3, "x").get_config())
    assert rebuilt.get_config() == {"kind": "ndcg", "k": 3, "name": "x"}
