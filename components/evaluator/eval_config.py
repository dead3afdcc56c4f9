"""What a gate reports and what binds it, as TensorFlow Model Analysis wants it."""

from __future__ import annotations

import json

from tensorflow_model_analysis.proto import config_pb2

from components.evaluator.bounds import (
    EXAMPLE_COUNT,
    Limits,
    Metric,
    gate_limits,
    gate_metrics,
    slice_features,
)
from configs import recommender_pb2 as pb

SIGNATURE = "evaluate"

_METRIC_MODULE = "components.evaluator.rank_metric"
_METRIC_CLASS = "RankMetric"


def eval_config(config: pb.RecommenderConfig, gate: pb.Gate) -> config_pb2.EvalConfig:
    """The evaluation of one gate.

    All metrics are reported on all examples together and by history length and what
    ``eval.slice_features`` names; thresholds bind the former alone, since a plain
    threshold would let a slice of a few examples stop a good model. Bounds of slices
    are looked at by `components.evaluator.verdict.make_verdict`.

    Args:
      config: the configuration.
      gate: ``SAVED_MODEL`` (the model's signature ``evaluate`` answers ranks) or
        ``TFLITE`` (ranks come from `components.evaluator.tflite_extractor`).

    Raises:
      UserError: if nothing absolute binds the gate.
    """
    limits = gate_limits(config, gate)
    metrics = [
        config_pb2.MetricConfig(
            class_name=_METRIC_CLASS,
            module=_METRIC_MODULE,
            config=json.dumps({"kind": m.kind, "k": m.k, "name": m.name}),
            per_slice_thresholds=_thresholds(m, limits.get(m.name, Limits())),
        )
        for m in gate_metrics(config, gate)
    ]
    metrics.append(
        config_pb2.MetricConfig(
            class_name="ExampleCount", config=json.dumps({"name": EXAMPLE_COUNT})
        )
    )
    result = config_pb2.EvalConfig(
        model_specs=[
            config_pb2.ModelSpec(
                model_type="tf_generic",
                signature_name=SIGNATURE if gate == pb.SAVED_MODEL else "",
                label_key=config.input.label_feature.feature_name,
            )
        ],
        slicing_specs=[
            config_pb2.SlicingSpec(),
            *(
                config_pb2.SlicingSpec(feature_keys=[name])
                for name in slice_features(config)
            ),
        ],
        metrics_specs=[config_pb2.MetricsSpec(metrics=metrics)],
    )
    result.options.include_default_metrics.value = False
    return result


def _thresholds(
    metric: Metric, limits: Limits
) -> list[config_pb2.PerSliceMetricThreshold]:
    if limits == Limits():
        return []
    threshold = config_pb2.MetricThreshold()
    if limits.lower_bound is not None:
        threshold.value_threshold.lower_bound.value = limits.lower_bound
    if limits.upper_bound is not None:
        threshold.value_threshold.upper_bound.value = limits.upper_bound
    if limits.max_regression is not None:
        change = threshold.change_threshold
        if metric.lower_is_better:
            change.direction = config_pb2.LOWER_IS_BETTER
            change.absolute.value = limits.max_regression
        else:
            change.direction = config_pb2.HIGHER_IS_BETTER
            change.absolute.value = -limits.max_regression
    return [
        config_pb2.PerSliceMetricThreshold(
            slicing_specs=[config_pb2.SlicingSpec()], threshold=threshold
        )
    ]
