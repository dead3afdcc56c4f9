from __future__ import annotations

import json
from typing import Any

import pytest
from tensorflow_model_analysis.proto import config_pb2

from components.evaluator.eval_config import eval_config
from configs import recommender_pb2 as pb
from configs.errors import UserError


def metrics(config: config_pb2.EvalConfig) -> dict[str, Any]:
    (spec,) = config.metrics_specs
    return {json.loads(metric.config)["name"]: metric for metric in spec.metrics}


def thresholds(metric: Any) -> Any:
    """The threshold of the overall slice, the only one that may be there."""
    assert not metric.HasField("threshold")
    (threshold,) = metric.per_slice_thresholds
    assert list(threshold.slicing_specs) == [config_pb2.SlicingSpec()]
    return threshold.threshold


@pytest.mark.parametrize(
    ("gate", "signature"), [(pb.SAVED_MODEL, "evaluate"), (pb.TFLITE, "")]
)
def test_model_and_slices(
    config: pb.RecommenderConfig, gate: pb.Gate, signature: str
) -> None:
    result = eval_config(config, gate)
    (model,) = result.model_specs
    assert model.model_type == "tf_generic"
    assert model.signature_name == signature
    assert model.label_key == "label_movie_id"
    assert [list(s.feature_keys) for s in result.slicing_specs] == [
        [],
        ["history_length"],
    ]


def test_further_slices_come_from_the_configuration(
    config: pb.RecommenderConfig,
) -> None:
    changed = pb.RecommenderConfig()
    changed.CopyFrom(config)
    changed.eval.slice_features.extend(["label_popularity", "user_age"])
    for gate in (pb.SAVED_MODEL, pb.TFLITE):
        specs = eval_config(changed, gate).slicing_specs
        assert [list(spec.feature_keys) for spec in specs] == [
            [],
            ["history_length"],
            ["label_popularity"],
            ["user_age"],
        ]


def test_only_bounds_become_thresholds(config: pb.RecommenderConfig) -> None:
    by_name = metrics(eval_config(config, pb.SAVED_MODEL))
    bound = [n for n, metric in by_name.items() if metric.per_slice_thresholds]
    assert bound == ["hr_2_test"]
    assert set(by_name) - set(bound) == {
        *("hr_1_test", "ndcg_1_test", "ndcg_2_test", "mrr_test", "mean_rank_test"),
        "example_count",
    }
    threshold = thresholds(by_name["hr_2_test"])
    assert threshold.value_threshold.lower_bound.value == 0.4
    assert not threshold.value_threshold.HasField("upper_bound")
    assert threshold.change_threshold.direction == config_pb2.HIGHER_IS_BETTER
    assert threshold.change_threshold.absolute.value == -0.1


def test_a_mean_rank_may_not_grow(config: pb.RecommenderConfig) -> None:
    changed = pb.RecommenderConfig()
    changed.CopyFrom(config)
    changed.eval.bounds.add(metric="mean_rank_test", upper_bound=9, max_regression=2)
    by_name = metrics(eval_config(changed, pb.SAVED_MODEL))
    threshold = thresholds(by_name["mean_rank_test"])
    assert threshold.value_threshold.upper_bound.value == 9
    assert not threshold.value_threshold.HasField("lower_bound")
    assert threshold.change_threshold.direction == config_pb2.LOWER_IS_BETTER
    assert threshold.change_threshold.absolute.value == 2


def test_without_a_regression_bound_nothing_is_compared() -> None:
    config = pb.RecommenderConfig()
    config.eval.bounds.add(metric="hr_10_test", lower_bound=0.1)
    by_name = metrics(eval_config(config, pb.TFLITE))
    assert not thresholds(by_name["hr_10_test"]).HasField("change_threshold")


def test_no_bound_is_refused() -> None:
    with pytest.raises(UserError, match="no absolute bound for the SAVED_MODEL gate"):
        eval_config(pb.RecommenderConfig(), pb.SAVED_MODEL)
