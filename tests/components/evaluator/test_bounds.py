from __future__ import annotations

import pytest

from components.evaluator.bounds import Limits, gate_limits, gate_metrics
from configs import recommender_pb2 as pb
from configs.errors import UserError


def names(config: pb.RecommenderConfig, gate: pb.Gate) -> list[str]:
    return [metric.name for metric in gate_metrics(config, gate)]


def test_each_gate_reports_what_it_can_tell(config: pb.RecommenderConfig) -> None:
    common = ["hr_1_test", "hr_2_test", "ndcg_1_test", "ndcg_2_test"]
    assert names(config, pb.SAVED_MODEL) == [*common, "mrr_test", "mean_rank_test"]
    assert names(config, pb.TFLITE) == [*common, "mrr_2_test"]


def test_default_ks() -> None:
    assert names(pb.RecommenderConfig(), pb.TFLITE) == [
        *("hr_1_test", "hr_5_test", "hr_10_test"),
        *("ndcg_1_test", "ndcg_5_test", "ndcg_10_test"),
        "mrr_10_test",
    ]


def test_only_a_mean_rank_is_better_when_lower(config: pb.RecommenderConfig) -> None:
    lower = [m.name for m in gate_metrics(config, pb.SAVED_MODEL) if m.lower_is_better]
    assert lower == ["mean_rank_test"]


def with_bounds(*bounds: pb.MetricBound) -> pb.RecommenderConfig:
    return pb.RecommenderConfig(eval=pb.EvalConfig(eval_top_k=[2], bounds=bounds))


def test_the_strictest_of_several_bounds_binds() -> None:
    config = with_bounds(
        pb.MetricBound(metric="hr_2_test", lower_bound=0.1, max_regression=0.3),
        pb.MetricBound(metric="hr_2_test", lower_bound=0.2, upper_bound=0.9),
        pb.MetricBound(metric="hr_2_test", upper_bound=0.8, max_regression=0.4),
    )
    for gate in (pb.SAVED_MODEL, pb.TFLITE):
        assert gate_limits(config, gate) == {"hr_2_test": Limits(0.2, 0.8, 0.3)}


def test_zero_is_a_bound() -> None:
    config = with_bounds(
        pb.MetricBound(metric="hr_2_test", lower_bound=0.0, max_regression=0.0)
    )
    assert gate_limits(config, pb.TFLITE) == {"hr_2_test": Limits(0.0, None, 0.0)}


def test_a_bound_may_be_for_one_gate() -> None:
    config = with_bounds(
        pb.MetricBound(metric="hr_2_test", lower_bound=0.3, gate=pb.SAVED_MODEL),
        pb.MetricBound(metric="hr_2_test", lower_bound=0.2, gate=pb.TFLITE),
    )
    assert gate_limits(config, pb.SAVED_MODEL) == {"hr_2_test": Limits(0.3)}
    assert gate_limits(config, pb.TFLITE) == {"hr_2_test": Limits(0.2)}


@pytest.mark.parametrize(
    "bounds",
    [
        [],
        [pb.MetricBound(metric="hr_2_test", max_regression=0.1)],
        [pb.MetricBound(metric="mean_rank_test", upper_bound=90)],
    ],
    ids=["none", "relative", "of-the-other-gate"],
)
def test_a_gate_without_an_absolute_bound_is_refused(
    bounds: list[pb.MetricBound],
) -> None:
    with pytest.raises(UserError, match="no absolute bound for the TFLITE gate"):
        gate_limits(with_bounds(*bounds), pb.TFLITE)


@pytest.mark.parametrize("metric", ["hr_7_test", "mrr_100_test", "auc"])
def test_a_metric_that_the_gate_lacks_is_refused(metric: str) -> None:
    config = with_bounds(pb.MetricBound(metric=metric, lower_bound=0.1))
    with pytest.raises(UserError, match=f"eval.bounds: '{metric}' is no metric"):
        gate_limits(config, pb.SAVED_MODEL)
