"""What a gate found and decided, for people and for the manifest."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.evaluator.bounds import (
    COUNTS,
    EXAMPLE_COUNT,
    HISTORY_LENGTH,
    MEAN_RANK,
    OF_MACHINE,
    POPULARITY,
    Limits,
    gate_limits,
    gate_metrics,
    slice_bounds,
    slice_features,
)
from configs import features
from configs import recommender_pb2 as pb

# The names that TensorFlow Model Analysis gives two models that it compares.
CANDIDATE = "candidate"
BASELINE = "baseline"

# Column and value of a slice, both empty of all examples together.
Slice = tuple[str, str]
OVERALL = ("", "")

_ROWS = "rows.json"


@dataclass(frozen=True)
class MetricVerdict:
    """One metric on the test split.

    Attributes:
      metric: its name, e.g. ``hr_10_test``.
      value: NaN if there was nothing to measure.
      lower_bound: the least value that passes, if there is one.
      upper_bound: the largest value that passes, if there is one.
      baseline: the value of the current model on the same examples, None without one.
      max_regression: how much worse than the baseline it may be, None if not compared.
      blessed: whether it passed; None if nothing binds it.
      slice: which examples, e.g. ``history_length=5-9``; empty if all.
      examples: how many, of a slice.
      min_examples: a slice of fewer is not judged.
      note: what else there is to say.
    """

    metric: str
    value: float
    lower_bound: float | None = None
    upper_bound: float | None = None
    baseline: float | None = None
    max_regression: float | None = None
    blessed: bool | None = None
    slice: str = ""
    examples: int = 0
    min_examples: int = 0
    note: str = ""

    @property
    def name(self) -> str:
        """The metric and the slice."""
        return f"{self.metric} {self.slice}".rstrip()

    @property
    def is_too_small(self) -> bool:
        """Whether it is a slice of too few examples to be judged."""
        return self.examples < self.min_examples

    def _number(self, value: float) -> str:
        return number_text(self.metric, value)

    def text(self) -> str:
        """One line with the value and every bound that it was held against."""
        bounds = []
        if self.lower_bound is not None:
            bounds.append(f"at least {self.lower_bound:.6g}")
        if self.upper_bound is not None:
            bounds.append(f"at most {self.upper_bound:.6g}")
        if self.max_regression is not None:
            if self.baseline is None:
                bounds.append("no current model to compare with")
            else:
                bounds.append(
                    f"at most {self.max_regression:.6g} worse than the current model's "
                    f"{self._number(self.baseline)}"
                )
        elif self.baseline is not None:
            bounds.append(f"the current model has {self._number(self.baseline)}")
        if self.is_too_small:
            bounds.append(
                f"not judged: {self.examples} examples are fewer than "
                f"{self.min_examples}"
            )
        if self.note:
            bounds.append(self.note)
        line = f"{self.name} = {self._number(self.value)}"
        if bounds:
            line += f" ({', '.join(bounds)})"
        if self.blessed is None:
            return line
        return f"{line}: {'passed' if self.blessed else 'failed'}"


@dataclass(frozen=True)
class SliceMetrics:
    """The metrics on the examples that have one value in a column.

    Attributes:
      feature: the column, e.g. ``history_length``.
      value: in it, e.g. ``5-9``.
      examples: how many there are.
      metrics: values by name.
    """

    feature: str
    value: str
    examples: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Verdict:
    """What a gate decided.

    Attributes:
      gate: ``"SAVED_MODEL"`` or ``"TFLITE"``.
      blessed: whether the model may be pushed, as far as this gate goes.
      examples: size of the test split.
      compared: whether there was a current model to compare with.
      rows: every metric on all examples, those that are bound on slices, and what the
        bundle is like on a device.
      slices: all metrics by history length, shortest first, and by what
        ``eval.slice_features`` names.
    """

    gate: str
    blessed: bool
    examples: int
    compared: bool
    rows: tuple[MetricVerdict, ...]
    slices: tuple[SliceMetrics, ...]

    def failures(self) -> list[MetricVerdict]:
        """The metrics that decided against the model."""
        return [row for row in self.rows if row.blessed is False]

    def summary(self) -> str:
        """One line: the decision and, where it is no, each metric, value and bound."""
        if self.blessed:
            return f"{self.gate}: BLESSED on {self.examples} examples"
        return f"{self.gate}: NOT_BLESSED, {self.reasons()}"

    def reasons(self) -> str:
        """Each metric, value and bound that decided against the model."""
        reasons = [row.text() for row in self.failures()]
        if not self.examples:
            reasons.insert(0, "there is no example to judge by")
        return "; ".join(reasons)

    def comparison(self) -> str:
        """One line: what the model was compared with, and how."""
        if not self.compared:
            return "no current model to compare with"
        return (
            "compared with the current model on the same examples, each in its own "
            "vocabulary"
        )

    def lines(self) -> list[str]:
        """The summary, how the models were compared, a line per metric and slice."""
        return [
            self.summary(),
            f"  {self.comparison()}",
            *(f"  {row.text()}" for row in self.rows),
            *(
                f"  {s.feature} {s.value} ({s.examples} examples): "
                + ", ".join(f"{k} = {number_text(k, v)}" for k, v in s.metrics.items())
                for s in self.slices
            ),
        ]

    def as_dicts(self) -> list[dict[str, Any]]:
        """The rows as the manifest holds them; values that are no numbers are None.

        What another machine would measure otherwise is left out: one model gives one
        bundle.
        """
        return [
            {
                "metric": row.metric,
                "slice": row.slice,
                "value": _finite(row.value),
                "lower_bound": row.lower_bound,
                "upper_bound": row.upper_bound,
                "baseline": _finite(row.baseline),
                "max_regression": row.max_regression,
                "blessed": row.blessed,
            }
            for row in self.rows
            if row.metric not in OF_MACHINE
        ]


def read_verdict(
    evaluation_uri: str, config: pb.RecommenderConfig, gate: pb.Gate
) -> Verdict:
    """Reads what the Evaluator wrote.

    Args:
      evaluation_uri: folder of the artifact ``evaluation``.
      config: the configuration that the evaluation ran with.
      gate: which of the two gates it was.
    """
    # It costs as much as all of TFX, which nobody else here needs.
    import tensorflow_model_analysis as tfma

    slices: dict[Slice, dict[tuple[str, str], float]] = {}
    for record in tfma.load_metrics(evaluation_uri):
        keys = record.slice_key.single_slice_keys
        part = (keys[0].column, _value_text(keys[0])) if keys else OVERALL
        values = slices.setdefault(part, {})
        for entry in record.metric_keys_and_values:
            if not entry.key.is_diff:
                key = (entry.key.model_name, entry.key.name)
                values[key] = entry.value.double_value.value
    result = tfma.load_validation_result(evaluation_uri)
    failed = {
        failure.metric_key.name
        for validation in result.metric_validations_per_slice
        for failure in validation.failures
    }
    rows = _read_rows(evaluation_uri)
    return make_verdict(config, gate, slices, failed, result.validation_ok, rows)


def write_rows(evaluation_uri: str, rows: Sequence[MetricVerdict]) -> None:
    """Writes what was judged without TFMA beside its metrics, for `read_verdict`."""
    from tfx.utils import io_utils

    text = json.dumps([dataclasses.asdict(row) for row in rows], indent=2)
    io_utils.write_string_file(os.path.join(evaluation_uri, _ROWS), text + "\n")


def _read_rows(evaluation_uri: str) -> list[MetricVerdict]:
    from tfx.dsl.io import fileio
    from tfx.utils import io_utils

    path = os.path.join(evaluation_uri, _ROWS)
    if not fileio.exists(path):
        return []
    return [MetricVerdict(**row) for row in json.loads(io_utils.read_string_file(path))]


def make_verdict(
    config: pb.RecommenderConfig,
    gate: pb.Gate,
    slices: Mapping[Slice, Mapping[tuple[str, str], float]],
    failed: set[str],
    blessed: bool,
    others: Sequence[MetricVerdict] = (),
) -> Verdict:
    """Puts the numbers of an evaluation together.

    Args:
      config: the configuration.
      gate: which of the two gates it was.
      slices: by column and value (`OVERALL`: all examples), then by model and metric;
        models are ``"candidate"`` and ``"baseline"``, or ``""`` where there is one.
      failed: metrics that failed a bound on all examples.
      blessed: whether all examples together passed.
      others: rows that are judged already.
    """
    overall = slices.get(OVERALL, {})
    compared = any(model == BASELINE for model, _ in overall)
    candidate = CANDIDATE if compared else ""
    limits = gate_limits(config, gate)
    names = [metric.name for metric in gate_metrics(config, gate)]
    rows = []
    for name in names:
        bound = limits.get(name, Limits())
        rows.append(
            MetricVerdict(
                metric=name,
                value=overall.get((candidate, name), math.nan),
                lower_bound=bound.lower_bound,
                upper_bound=bound.upper_bound,
                baseline=overall.get((BASELINE, name)),
                max_regression=bound.max_regression,
                blessed=_is_blessed(
                    name, bound, overall.get((candidate, name)), failed
                ),
            )
        )
    rows += [*_slice_rows(config, gate, slices, candidate), *others]
    return Verdict(
        gate=pb.Gate.Name(gate),
        blessed=blessed and all(row.blessed is not False for row in rows),
        examples=int(overall.get((candidate, EXAMPLE_COUNT), 0)),
        compared=compared,
        rows=tuple(rows),
        slices=tuple(
            SliceMetrics(
                feature=feature,
                value=value,
                examples=int(values[candidate, EXAMPLE_COUNT]),
                metrics={name: values[candidate, name] for name in names},
            )
            for (feature, value), values in sorted(
                slices.items(), key=lambda entry: _place(config, *entry[0])
            )
            if feature
        ),
    )


def _is_blessed(
    name: str, bound: Limits, value: float | None, failed: set[str]
) -> bool | None:
    if bound == Limits():
        return None
    # TFMA says nothing about what it has not measured.
    return value is not None and name not in failed


def _slice_rows(
    config: pb.RecommenderConfig,
    gate: pb.Gate,
    slices: Mapping[Slice, Mapping[tuple[str, str], float]],
    candidate: str,
) -> list[MetricVerdict]:
    """What binds slices; TFMA's own thresholds know no smallest slice."""
    rows = []
    found = sorted(slices.items(), key=lambda entry: _place(config, *entry[0]))
    for bound in slice_bounds(config, gate):
        bound_slices = [
            ((feature, value), values)
            for (feature, value), values in found
            if feature == bound.slice_feature and bound.slice_value in ("", value)
        ]
        if not bound_slices:
            part = f"{bound.slice_feature}={bound.slice_value}".rstrip("=")
            row = MetricVerdict(
                bound.metric,
                math.nan,
                lower_bound=_given(bound, "lower_bound"),
                upper_bound=_given(bound, "upper_bound"),
                max_regression=_given(bound, "max_regression"),
                slice=part,
                note="not judged: there is no such example",
            )
            rows.append(row)
        for (feature, value), values in bound_slices:
            row = MetricVerdict(
                metric=bound.metric,
                value=values.get((candidate, bound.metric), math.nan),
                lower_bound=_given(bound, "lower_bound"),
                upper_bound=_given(bound, "upper_bound"),
                baseline=values.get((BASELINE, bound.metric)),
                max_regression=_given(bound, "max_regression"),
                slice=f"{feature}={value}",
                examples=int(values.get((candidate, EXAMPLE_COUNT), 0)),
                min_examples=int(bound.min_slice_examples),
            )
            rows.append(row if row.is_too_small else compared_verdict(row))
    return rows


def bound_verdict(metric: str, value: float, limits: Limits) -> MetricVerdict:
    """A value held to absolute bounds."""
    row = MetricVerdict(metric, value, limits.lower_bound, limits.upper_bound)
    return row if limits == Limits() else compared_verdict(row)


def compared_verdict(row: MetricVerdict) -> MetricVerdict:
    """A row, judged by the bounds that it holds."""
    return dataclasses.replace(row, blessed=_passes(row))


def _given(bound: pb.MetricBound, field: str) -> float | None:
    return float(getattr(bound, field)) if bound.HasField(field) else None


def _passes(row: MetricVerdict) -> bool:
    # A comparison with NaN is false.
    if row.lower_bound is not None and not row.value >= row.lower_bound:
        return False
    if row.upper_bound is not None and not row.value <= row.upper_bound:
        return False
    if row.max_regression is None or row.baseline is None:
        return True
    loss = row.baseline - row.value
    if row.metric == MEAN_RANK:
        loss = -loss
    return loss <= row.max_regression


def _value_text(key: Any) -> str:
    """The value of a slice's key, a text or a whole number."""
    if key.WhichOneof("kind") == "int64_value":
        return str(key.int64_value)
    return str(key.bytes_value.decode(errors="replace"))


def _place(
    config: pb.RecommenderConfig, feature: str, value: str
) -> tuple[int, int, str]:
    """Where a slice comes in reports: numbers by size, texts after them by name."""
    if feature == HISTORY_LENGTH:
        number = _first_length(value)
    elif feature == POPULARITY:
        number = features.POPULARITY_BUCKETS.index(value)
    else:
        number = int(value) if value.isdecimal() else sys.maxsize
    return ["", *slice_features(config)].index(feature), number, value


def _first_length(bucket: str) -> int:
    """``5-9`` -> 5, ``100+`` -> 100."""
    return int(bucket.rstrip("+").split("-")[0] or 0)


def number_text(metric: str, value: float) -> str:
    """A metric's value: counts and bytes without a fraction."""
    if math.isnan(value):
        return "not a number"
    return f"{value:,.0f}" if metric in COUNTS else f"{value:.4f}"


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
