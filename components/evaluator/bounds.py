"""What each gate measures, and what binds it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from configs import features
from configs import recommender_pb2 as pb
from configs.errors import UserError

SPLIT = "test"
# What the bundle is tried with on the device.
EVAL_SPLIT = "eval"
HISTORY_LENGTH = features.HISTORY_LENGTH
POPULARITY = features.LABEL_POPULARITY
TAIL = features.POPULARITY_BUCKETS[-1]
EXAMPLE_COUNT = "example_count"
MEAN_RANK = "mean_rank_test"

# Metrics that are whole numbers.
COUNTS = (
    "model_bytes",
    "memory_bytes",
    "self_test",
    "nonfinite_answers",
    "constant_answers",
    "unknown_items",
    "distinct_items",
)

# Metrics of the machine as much as of the bundle: they are not written into it.
OF_MACHINE = ("latency_p50_ms", "latency_p99_ms", "memory_bytes")

# Unless eval.bounds says otherwise: of all recommendations to the examples of eval, and
# of the best items of the SavedModel that the .tflite file names too.
_LEAST_DISTINCT = 20
_LARGEST_FIRST_ITEM_SHARE = 0.9
_LEAST_OVERLAP = 0.8
# Of fewer examples, all may well have the same best item.
_LEAST_EXAMPLES = 20


@dataclass(frozen=True)
class Metric:
    """One metric of a gate.

    Attributes:
      name: as configurations, manifests and reports have it, e.g. ``hr_10_test``.
      kind: see `components.evaluator.rank_metric.RankMetric`.
      k: its K; 0 for no limit.
    """

    name: str
    kind: str
    k: int

    @property
    def lower_is_better(self) -> bool:
        return self.kind == "mean_rank"


@dataclass(frozen=True)
class Limits:
    """What binds a metric on all examples of the test split; None where nothing does.

    Attributes:
      lower_bound: the least value that passes.
      upper_bound: the largest value that passes.
      max_regression: how much worse than the baseline's value may be.
    """

    lower_bound: float | None = None
    upper_bound: float | None = None
    max_regression: float | None = None


def gate_metrics(config: pb.RecommenderConfig, gate: pb.Gate) -> list[Metric]:
    """The metrics that a gate reports, in the order of reports.

    The .tflite file answers its top K only, so its gate has no mean rank, and its MRR
    ends at the largest K of ``eval.eval_top_k`` and is named by it.
    """
    top_k = features.eval_top_k(config)
    metrics = [
        Metric(f"{kind}_{k}_test", kind, k) for kind in ("hr", "ndcg") for k in top_k
    ]
    if gate == pb.TFLITE:
        return [*metrics, Metric(f"mrr_{top_k[-1]}_test", "mrr", top_k[-1])]
    return [
        *metrics,
        Metric("mrr_test", "mrr", 0),
        Metric(MEAN_RANK, "mean_rank", 0),
    ]


def slice_features(config: pb.RecommenderConfig) -> list[str]:
    """The columns whose values both gates report by, in the order of reports."""
    return [HISTORY_LENGTH, *config.eval.slice_features]


def gate_limits(config: pb.RecommenderConfig, gate: pb.Gate) -> dict[str, Limits]:
    """What binds a gate, by metric; of several bounds on one metric the strictest.

    Raises:
      UserError: if no absolute bound binds the gate, or one names a metric that the
        gate does not have.
    """
    known = {metric.name for metric in gate_metrics(config, gate)}
    limits: dict[str, Limits] = {}
    for bound in features.gate_bounds(config, gate):
        if bound.slice_feature or features.is_device_metric(bound.metric):
            continue
        if bound.metric not in known:
            raise UserError(
                f"eval.bounds: {bound.metric!r} is no metric of the "
                f"{pb.Gate.Name(gate)} gate. Expected one of {', '.join(sorted(known))}"
            )
        limits[bound.metric] = _stricter(limits.get(bound.metric, Limits()), bound)
    if all(v.lower_bound is None and v.upper_bound is None for v in limits.values()):
        raise UserError(
            f"eval.bounds: no absolute bound for the {pb.Gate.Name(gate)} gate. "
            "Expected a lower_bound or upper_bound: without one a first run lets every "
            "model through"
        )
    return limits


def slice_bounds(config: pb.RecommenderConfig, gate: pb.Gate) -> list[pb.MetricBound]:
    """The bounds of a gate that bind slices, in the order of the configuration."""
    return [b for b in features.gate_bounds(config, gate) if b.slice_feature]


def device_limits(
    config: pb.RecommenderConfig, num_items: int, num_examples: int
) -> dict[str, Limits]:
    """What binds a bundle on the device, by metric.

    What no model should do is bound whatever the configuration says; it may bind how
    many items are ever recommended, to how many one item comes first, and how alike the
    two models are, otherwise.

    Args:
      config: the configuration.
      num_items: that could be recommended.
      num_examples: that the share is of.
    """
    limits: dict[str, Limits] = {}
    for bound in features.gate_bounds(config, pb.TFLITE):
        if features.is_device_metric(bound.metric):
            limits[bound.metric] = _stricter(limits.get(bound.metric, Limits()), bound)
    least = min(_LEAST_DISTINCT, (num_items + 1) // 2)
    overlap = f"overlap_{features.overlap_k(config)}"
    none = Limits(upper_bound=0.0)
    first = Limits()
    if num_examples >= _LEAST_EXAMPLES:
        first = Limits(upper_bound=_LARGEST_FIRST_ITEM_SHARE)
    by_default = {
        "distinct_items": Limits(lower_bound=float(least)),
        "first_item_share": first,
        overlap: Limits(lower_bound=_LEAST_OVERLAP),
    }
    return {
        **limits,
        **{
            name: _or_else(limits.get(name, Limits()), default)
            for name, default in by_default.items()
        },
        "self_test": Limits(lower_bound=1.0),
        "nonfinite_answers": none,
        "constant_answers": none,
        "unknown_items": none,
    }


def _or_else(given: Limits, default: Limits) -> Limits:
    """Each side as given, where it is not by default."""

    def side(of_given: float | None, of_default: float | None) -> float | None:
        return of_default if of_given is None else of_given

    return Limits(
        side(given.lower_bound, default.lower_bound),
        side(given.upper_bound, default.upper_bound),
    )


def _stricter(before: Limits, bound: pb.MetricBound) -> Limits:
    return Limits(
        _strictest(max, before.lower_bound, bound, "lower_bound"),
        _strictest(min, before.upper_bound, bound, "upper_bound"),
        _strictest(min, before.max_regression, bound, "max_regression"),
    )


def _strictest(
    choose: Callable[[float, float], float],
    before: float | None,
    bound: pb.MetricBound,
    field: str,
) -> float | None:
    if not bound.HasField(field):
        return before
    value = float(getattr(bound, field))
    return value if before is None else choose(before, value)
