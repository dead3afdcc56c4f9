"""What a run has come to, for the person who started it."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf
from tfx.utils import io_utils, path_utils

from components.evaluator.bounds import HISTORY_LENGTH, POPULARITY
from components.evaluator.top_k_rank import FLOOR
from components.evaluator.variants import Variants, read_variants
from components.evaluator.verdict import (
    SliceMetrics,
    Verdict,
    number_text,
    read_verdict,
)
from components.text_table import table_lines
from components.tflite_converter import manifest as manifests
from components.tflite_converter.raw_examples import split_examples
from components.tflite_converter.variants import variant_uri
from components.tflite_pusher.executor import (
    NOT_BLESSED,
    OUTCOME,
    PATH,
    PUSHED,
    ROLLED_BACK,
    UNCHANGED,
    VERSION,
)
from components.tflite_pusher.push import BUNDLE
from components.tflite_pusher.versions import hit_rate
from components.timeline_example_gen.report_text import report_lines
from configs import features
from configs import recommender_pb2 as pb
from pipeline.local_runner import Run
from pocketrec_device import Recommender
from pocketrec_device.features import tensors_from_example

_TOP = 10
_SHOWN_HISTORY = 5
_MOST_SLICES = 12
_DECISIONS = {True: "passed", False: "FAILED", None: ""}
_SLICED_BY = {
    HISTORY_LENGTH: ("history length", "activities"),
    POPULARITY: ("popularity of the label in train", "items"),
}


@dataclass(frozen=True)
class Summary:
    """The summary of a run.

    Attributes:
      lines: for the terminal.
      outcome: the pusher's, e.g. `components.tflite_pusher.executor.PUSHED`.
      version: that the outcome is about; None of a model that was not blessed.
      metric: the hit rate that `pocketrec versions` shows, e.g. ``hr_10_test``.
      value: of the model that was made; None if the gates have no hit rate.
      reason: why it is not pushed; empty if it is.
    """

    lines: list[str]
    outcome: str
    version: int | None
    metric: str
    value: float | None
    reason: str

    @property
    def is_current(self) -> bool:
        """Whether the model is the pushed version that is current."""
        return self.outcome in (PUSHED, UNCHANGED)


def summarize(config: pb.RecommenderConfig, run: Run) -> Summary:
    """Reads the artifacts of a run and tells what came out."""
    report = json.loads(
        io_utils.read_string_file(run.uri("TimelineExampleGen", "ingestion_report"))
    )
    variants = read_variants(run.uri("TFLiteEvaluator", "evaluation"))
    uri = run.uri("TFLiteConverter", "tflite_model")
    bundle = Path(
        path_utils.serving_model_dir(variant_uri(uri, variants.chosen.quantization))
    )
    verdicts = [
        read_verdict(run.uri(node, "evaluation"), config, gate)
        for node, gate in (
            ("Evaluator", pb.SAVED_MODEL),
            ("TFLiteEvaluator", pb.TFLITE),
        )
    ]
    pushed = run.artifacts["TFLitePusher"]["pushed_model"].custom_properties
    outcome = pushed[OUTCOME].string_value
    lines = [
        *report_lines(report),
        *_vocabularies(bundle),
        *(line for verdict in verdicts for line in _gate(verdict)),
        *_variants(variants),
        *_model(bundle),
    ]
    metric, value = hit_rate(verdicts[-1].as_dicts())
    version = None if outcome == NOT_BLESSED else int(pushed[VERSION].int_value)
    reason = ""
    if outcome == NOT_BLESSED:
        reason = "; ".join(v.summary() for v in verdicts if not v.blessed)
        lines.append("Pushed: nothing, the current version stays")
    elif outcome == ROLLED_BACK:
        reason = f"this is version {version}, which was rolled back"
        lines.append(
            f"Pushed: nothing: {reason} (pocketrec rollback --to {version} makes it "
            "current again)"
        )
    else:
        path = pushed[PATH].string_value
        note = ", unchanged since an earlier run" if outcome == UNCHANGED else ""
        lines.append(f"Pushed: {path}{note}")
        history = sample_history(config, run)
        lines += ["", *_recommendations(Path(path) / BUNDLE, history)]
    return Summary(lines, outcome, version, metric, value, reason)


def _vocabularies(bundle: Path) -> Iterator[str]:
    sizes = []
    for path in sorted((bundle / manifests.VOCABULARIES).iterdir()):
        terms = len(path.read_bytes().splitlines())
        sizes.append(f"{path.stem} {terms:,}")
    yield "Vocabularies: " + (", ".join(sizes) or "none, raw ids are used")


def _gate(verdict: Verdict) -> Iterator[str]:
    yield ""
    yield verdict.summary()
    yield f"  {verdict.comparison()}"
    header = ("metric", "value", "at least", "at most", "current", "may lose", "")
    rows = [
        (
            row.name,
            *(
                "" if value is None else number_text(row.metric, value)
                for value in (
                    row.value,
                    row.lower_bound,
                    row.upper_bound,
                    row.baseline,
                    row.max_regression,
                )
            ),
            "too few" if row.is_too_small else _DECISIONS[row.blessed] or row.note,
        )
        for row in verdict.rows
    ]
    yield from _table([header, *rows])
    names = [
        row.metric for row in verdict.rows if row.blessed is not None and not row.slice
    ]
    for feature, parts in itertools.groupby(verdict.slices, lambda part: part.feature):
        yield from _slices(feature, list(parts), names)


def _slices(
    feature: str, parts: Sequence[SliceMetrics], names: Sequence[str]
) -> Iterator[str]:
    """The slices by one column, as far as they fit a terminal."""
    name, heading = _SLICED_BY.get(feature, (feature, "value"))
    if len(parts) > _MOST_SLICES:
        yield f"  by {name}: {len(parts)} values, see the artifact `evaluation`"
        return
    names = [metric for metric in names if metric in parts[0].metrics]
    yield f"  by {name}:"
    yield from _table(
        [
            (heading, "examples", *names),
            *(
                (
                    part.value,
                    f"{part.examples:,}",
                    *(number_text(name, part.metrics[name]) for name in names),
                )
                for part in parts
            ),
        ]
    )


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield from (f"  {line}" for line in table_lines(rows))


def _variants(variants: Variants) -> Iterator[str]:
    if len(variants.tried) > 1:
        yield ""
        yield "Variants of the .tflite file:"
        yield from _table(variants.table())


def _model(bundle: Path) -> Iterator[str]:
    manifest = manifests.read_manifest(bundle)
    size = manifest["files"][manifests.MODEL]["size"]
    yield ""
    yield f"{manifests.MODEL}: {size:,} bytes ({manifest['quantization']})"


@dataclass(frozen=True)
class SampleHistory:
    """One user's last activities, from the test split."""

    user: str
    items: list[str]
    columns: dict[str, list[Any]]


def sample_history(config: pb.RecommenderConfig, run: Run) -> SampleHistory:
    """The history of the test split's first example."""
    folder = os.path.join(run.uri("TimelineExampleGen", "examples"), "Split-test")
    example = tf.train.Example.FromString(split_examples(folder)[0])
    columns = {name: _values(f) for name, f in example.features.feature.items()}
    seen = columns[features.seen_feature_name(config)]
    return SampleHistory(str(columns["user_id"][0]), [str(i) for i in seen], columns)


def _values(feature: tf.train.Feature) -> list[Any]:
    kind = feature.WhichOneof("kind")
    values = list(getattr(feature, kind).value) if kind else []
    return [v.decode() for v in values] if kind == "bytes_list" else values


def _recommendations(folder: Path, history: SampleHistory) -> Iterator[str]:
    """What the bundle answers to the example, as its gate has asked it."""
    recommender = Recommender(folder)
    bundle = recommender.bundle
    indices, scores = recommender.predict(
        tensors_from_example(bundle.inputs, history.columns, bundle.vocabularies)
    )
    titles = {item.index: item.title for item in bundle.items.values()}
    yield f"User {history.user}, whose last items are"
    for key in history.items[-_SHOWN_HISTORY:]:
        yield f"      {bundle.items[key].title if key in bundle.items else key}"
    yield "is recommended"
    best = indices[scores > FLOOR][:_TOP]
    for rank, index in enumerate(best, start=1):
        yield f"  {rank:>2}. {titles[int(index)]}"
