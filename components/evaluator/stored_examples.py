"""The candidate against the current model, on the test examples stored with that.

On new examples alone, bad data could lower the bar for both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from components.evaluator.bounds import Metric, gate_limits, gate_metrics
from components.evaluator.rank_metric import gain
from components.evaluator.tflite_extractor import BundleRanker, check_columns
from components.evaluator.verdict import MetricVerdict, compared_verdict
from components.tflite_converter.raw_examples import raw_columns
from configs import recommender_pb2 as pb
from configs.errors import UserError
from pocketrec_device import RequestError

SLICE = "stored examples"


def stored_rows(
    config: pb.RecommenderConfig,
    candidate: BundleRanker,
    baseline: BundleRanker,
    examples: Sequence[bytes],
) -> list[MetricVerdict]:
    """Holds a bundle to each ``max_regression`` of the ``TFLITE`` gate.

    The candidate may have been trained on these examples since; it can only fail here,
    never win by them.

    Args:
      config: the configuration.
      candidate: the bundle to judge.
      baseline: the current one.
      examples: serialized raw tf.Examples of its test split.

    Returns:
      A row for each metric; judged by nothing, with a note that says why, if there is
      no example, or they lack what the candidate looks at.
    """
    limits = gate_limits(config, pb.TFLITE)
    allowed = {name: limit.max_regression for name, limit in limits.items()}
    metrics = [
        metric
        for metric in gate_metrics(config, pb.TFLITE)
        if allowed.get(metric.name) is not None
    ]
    columns = [raw_columns(example) for example in examples]
    note = _why_not(candidate, columns)
    ours = []
    if not note:
        try:
            ours = [candidate.rank(row) for row in columns]
        except RequestError as error:
            note = f"the candidate cannot read them: {error}"
    if note:
        return [
            MetricVerdict(m.name, math.nan, slice=SLICE, note=f"not judged: {note}")
            for m in metrics
        ]
    theirs = [baseline.rank(row) for row in columns]
    return [
        compared_verdict(
            MetricVerdict(
                metric.name,
                _mean(metric, ours),
                baseline=_mean(metric, theirs),
                max_regression=allowed[metric.name],
                slice=SLICE,
                examples=len(columns),
            )
        )
        for metric in metrics
    ]


def _why_not(candidate: BundleRanker, columns: Sequence[Mapping[str, Any]]) -> str:
    if not columns:
        return "the current version has none"
    try:
        check_columns(candidate.bundle, columns[0])
    except UserError as error:
        return str(error)
    return ""


def _mean(metric: Metric, ranks: Sequence[float]) -> float:
    return math.fsum(gain(rank, metric.kind, metric.k) for rank in ranks) / len(ranks)
