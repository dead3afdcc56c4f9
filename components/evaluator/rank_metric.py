"""Metrics over ranks, for TensorFlow Model Analysis.

A gated model predicts the rank of the label, not a score per item, so that each model
is judged in its own ids and ties are counted where the scores are. HR@K (recall@K with
one label), NDCG@K (Järvelin and Kekäläinen, 2002; with one label of gain 1 it is
``1 / log2(1 + rank)``), MRR and mean rank are means over these ranks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import apache_beam as beam
from tensorflow_model_analysis.metrics import metric_types, metric_util
from tensorflow_model_analysis.utils import util

HR = "hr"
NDCG = "ndcg"
MRR = "mrr"
MEAN_RANK = "mean_rank"
KINDS = (HR, NDCG, MRR, MEAN_RANK)


def gain(rank: float, kind: str, k: int) -> float:
    """What one example adds to the sum of which the metric is the mean.

    Args:
      rank: 1 is the best; infinite where the label is not among the exported items.
        NaN, which only a broken model answers, is a miss too.
      kind: one of ``KINDS``.
      k: ranks beyond it count nothing; 0 for no limit. Mean rank has none.

    Raises:
      ValueError: if the rank is below 1.
    """
    if rank < 1:
        raise ValueError(f"a rank is at least 1. Received: {rank}")
    if kind == MEAN_RANK:
        return rank
    if not rank <= (k or math.inf) or math.isinf(rank):
        return 0.0
    if kind == HR:
        return 1.0
    return 1 / rank if kind == MRR else 1 / math.log2(1 + rank)


class RankMetric(metric_types.Metric):
    """Mean over examples of what the rank of the label is worth.

    Without examples it is NaN, which passes no bound.

    Args:
      kind: ``"hr"``, ``"ndcg"``, ``"mrr"`` or ``"mean_rank"``.
      k: ranks beyond it count nothing; 0 for no limit. HR and NDCG need one, mean rank
        takes none.
      name: in the results; ``<kind>_<k>`` or ``<kind>`` unless given.

    Raises:
      ValueError: if the kind is unknown or `k` does not fit it.
    """

    def __init__(self, kind: str = HR, k: int = 10, name: str | None = None) -> None:
        if kind not in KINDS:
            raise ValueError(f"kind is one of {', '.join(KINDS)}. Received: {kind!r}")
        if k < 0 or (kind in (HR, NDCG) and k == 0) or (kind == MEAN_RANK and k > 0):
            expected = {MEAN_RANK: "0", MRR: "0 or more"}.get(kind, "1 or more")
            raise ValueError(f"k of {kind} is {expected}. Received: {k}")
        # By keyword: the metric is rebuilt from them in the workers.
        super().__init__(
            metric_util.merge_per_key_computations(_computations),
            kind=kind,
            k=k,
            name=name or (f"{kind}_{k}" if k else kind),
        )


def _computations(
    kind: str,
    k: int,
    name: str,
    model_name: str = "",
    output_name: str = "",
    sub_key: metric_types.SubKey | None = None,
    example_weighted: bool = False,
) -> list[metric_types.MetricComputation]:
    key = metric_types.MetricKey(
        name=name,
        model_name=model_name,
        output_name=output_name,
        sub_key=sub_key,
        example_weighted=example_weighted,
    )
    return [
        metric_types.MetricComputation(
            keys=[key], preprocessors=None, combiner=_MeanGain(key, kind, k)
        )
    ]


class _MeanGain(beam.CombineFn):
    """Sum of gains and number of examples, then their quotient."""

    def __init__(self, key: metric_types.MetricKey, kind: str, k: int) -> None:
        self._key = key
        self._kind = kind
        self._k = k

    def create_accumulator(self) -> tuple[float, int]:
        return 0.0, 0

    def add_input(
        self,
        accumulator: tuple[float, int],
        element: metric_types.StandardMetricInputs,
    ) -> tuple[float, int]:
        total, count = accumulator
        rank = _rank(element.prediction, self._key.model_name)
        return total + gain(rank, self._kind, self._k), count + 1

    def merge_accumulators(
        self, accumulators: Iterable[tuple[float, int]]
    ) -> tuple[float, int]:
        totals, counts = zip(*accumulators, strict=True)
        return math.fsum(totals), sum(counts)

    def extract_output(
        self, accumulator: tuple[float, int]
    ) -> dict[metric_types.MetricKey, float]:
        total, count = accumulator
        return {self._key: total / count if count else math.nan}


def _rank(prediction: Any, model_name: str) -> float:
    """The rank in the prediction of one of several models, or of the only one."""
    if model_name:
        prediction = util.get_by_keys(prediction, [model_name])
    if isinstance(prediction, Mapping):
        (prediction,) = prediction.values()  # The signature's only output.
    return float(prediction.item())
