"""Tiny examples and hand-made models whose ranks are known."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from components.tflite_converter import manifest as manifests
from configs import recommender_pb2 as pb
from configs.loader import config_to_text, parse_config

CONFIG = """
input {
  activity_feature_groups {
    features {
      feature_name: "context_movie_id" feature_type: INT vocab_name: "movie_id"
      embedding_dim: 4 feature_length: 3
    }
  }
  label_feature {
    feature_name: "label_movie_id" feature_type: INT vocab_name: "movie_id"
    embedding_dim: 4
  }
}
model { num_predictions: 3 }
eval {
  eval_top_k: [1, 2]
  bounds { metric: "hr_2_test" lower_bound: 0.4 max_regression: 0.1 }
}
"""


@dataclass(frozen=True)
class Row:
    """A test example: label, earlier items, the bucket of their number, genres."""

    label: int
    context: tuple[int, ...] = (11, 12)
    history_length: str = "1-4"
    genres: tuple[str, ...] = ("Drama",)


# As SchemaGen infers it.
SCHEMA = """
feature { name: "context_movie_id" type: INT shape { dim { size: 3 } }
          presence { min_fraction: 1 min_count: 1 } }
feature { name: "context_length" type: INT shape { dim { size: 1 } }
          presence { min_fraction: 1 min_count: 1 } }
feature { name: "label_movie_id" type: INT shape { dim { size: 1 } }
          presence { min_fraction: 1 min_count: 1 } }
feature { name: "seen_movie_id" type: INT presence { min_count: 1 }
          value_count { min: 1 } }
feature { name: "user_id" type: BYTES shape { dim { size: 1 } }
          presence { min_fraction: 1 min_count: 1 } }
feature { name: "label_movie_genre" type: BYTES shape { dim { size: 3 } }
          presence { min_fraction: 1 min_count: 1 } }
feature { name: "label_movie_genre_length" type: INT shape { dim { size: 1 } }
          presence { min_fraction: 1 min_count: 1 } }
feature { name: "label_movie_rating" type: FLOAT shape { dim { size: 1 } }
          presence { min_fraction: 1 min_count: 1 } }
feature { name: "history_length" type: BYTES shape { dim { size: 1 } }
          presence { min_fraction: 1 min_count: 1 } }
"""


# By popularity 11, 12, 13, 14 the ranks of the labels are 1, 2, 3, 1, 4.
ROWS = (
    Row(11),
    Row(12, genres=("Drama", "War")),
    Row(13, (11, 12, 14), "5-9", genres=("War",)),
    Row(11, (12,), genres=()),
    Row(14, (12, 13), "5-9"),
)


@pytest.fixture(scope="session")
def config() -> pb.RecommenderConfig:
    return parse_config(CONFIG)


@pytest.fixture(scope="session")
def rows() -> tuple[Row, ...]:
    return ROWS


@pytest.fixture(scope="session")
def write_examples() -> Callable[[Path, Sequence[Row]], None]:
    """Writes rows as ``Split-test`` of an Examples artifact."""
    import tensorflow as tf

    def write(uri: Path, rows: Sequence[Row]) -> None:
        (uri / "Split-test").mkdir(parents=True)
        path = str(uri / "Split-test" / "examples-00000-of-00001.gz")
        with tf.io.TFRecordWriter(path, "GZIP") as writer:
            for row in rows:
                writer.write(_example(row).SerializeToString())

    return write


@pytest.fixture(scope="session")
def encode() -> Callable[[Row], bytes]:
    """A row as a serialized tf.Example."""
    return lambda row: _example(row).SerializeToString()


def _example(row: Row) -> Any:
    import tensorflow as tf

    def ints(*values: int) -> tf.train.Feature:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    def texts(*values: str) -> tf.train.Feature:
        encoded = [value.encode() for value in values]
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=encoded))

    context = row.context + (0,) * (3 - len(row.context))
    columns = {
        "context_movie_id": ints(*context),
        "context_length": ints(len(row.context)),
        "label_movie_id": ints(row.label),
        "seen_movie_id": ints(*row.context),
        "user_id": texts("7"),
        "history_length": texts(row.history_length),
        "label_movie_genre": texts(*row.genres, *[""] * (3 - len(row.genres))),
        "label_movie_genre_length": ints(len(row.genres)),
        "label_movie_rating": tf.train.Feature(
            float_list=tf.train.FloatList(value=[4.0])
        ),
    }
    return tf.train.Example(features=tf.train.Features(feature=columns))


@pytest.fixture(scope="session")
def save_model() -> Callable[[Path, Mapping[int, float]], None]:
    """Writes a SavedModel that scores the same whatever the context.

    Its vocabulary is the keys of ``scores``; another label ranks last.
    """
    import tensorflow as tf

    class Scores(tf.Module):
        def __init__(self, scores: Mapping[int, float]) -> None:
            super().__init__()
            ids = tf.constant(list(scores), tf.int64)
            rows = tf.range(len(scores), dtype=tf.int64)
            self.table = tf.lookup.StaticHashTable(
                tf.lookup.KeyValueTensorInitializer(ids, rows), default_value=-1
            )
            self.scores = tf.constant(list(scores.values()), tf.float32)  # [items]

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
        def evaluate(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
            spec = {"label_movie_id": tf.io.FixedLenFeature([1], tf.int64)}
            label = tf.io.parse_example(examples, spec)["label_movie_id"][:, 0]
            row = self.table.lookup(label)
            own = tf.gather(self.scores, tf.maximum(row, 0))  # [batch]
            rivals = ~(self.scores[None, :] < own[:, None])  # [batch, items]
            rank = tf.reduce_sum(tf.cast(rivals, tf.float32), axis=1)
            known = (row >= 0) & tf.math.is_finite(own)
            last = tf.cast(tf.size(self.scores), tf.float32)
            return {"label_rank": tf.where(known, rank, last)}

    def save(path: Path, scores: Mapping[int, float]) -> None:
        module = Scores(scores)
        tf.saved_model.save(module, str(path), signatures={"evaluate": module.evaluate})

    return save


@dataclass(frozen=True)
class Gate:
    """What a run of the Evaluator's executor left behind."""

    evaluation: str
    blessed: bool
    files: frozenset[str]
    properties: Mapping[str, Any]


@pytest.fixture(scope="session")
def run_gate() -> Callable[..., Gate]:
    """Runs the Evaluator's executor on folders, as its component sets it up."""
    from tfx import types
    from tfx.components.util import model_utils
    from tfx.dsl.components.base import base_beam_executor
    from tfx.proto import example_gen_pb2
    from tfx.types import channel_utils, standard_artifacts
    from tfx.utils import proto_utils

    from components.evaluator.component import Evaluator
    from components.timeline_example_gen.generate import DEFAULT_BEAM_ARGS

    def artifact(kind: type[types.Artifact], uri: Path) -> Any:
        result = kind()
        result.uri = str(uri)
        return result

    def run(
        folder: Path,
        config: pb.RecommenderConfig,
        gate: pb.Gate,
        model: Path,
        baseline: Path | None = None,
        report: Mapping[str, Any] | None = None,
    ) -> Gate:
        examples = artifact(standard_artifacts.Examples, folder / "examples")
        examples.split_names = '["train", "eval", "test", "catalogue"]'
        examples.set_string_custom_property(
            "payload_format",
            example_gen_pb2.PayloadFormat.Name(example_gen_pb2.FORMAT_TF_EXAMPLE),
        )
        schema = artifact(standard_artifacts.Schema, folder / "schema")
        Path(schema.uri).mkdir(exist_ok=True)
        (Path(schema.uri) / "schema.pbtxt").write_text(SCHEMA)
        inputs = {
            "examples": [examples],
            "schema": [schema],
            "model": [artifact(standard_artifacts.Model, model)],
        }
        if baseline is not None:
            baseline.mkdir(parents=True, exist_ok=True)
            inputs["baseline_model"] = [artifact(standard_artifacts.Model, baseline)]
        number = len(list(folder.glob("evaluation-*")))
        if report is not None:
            path = folder / f"report-{number}"
            path.write_text(json.dumps(report))
            inputs["ingestion_report"] = [artifact(standard_artifacts.JsonValue, path)]
        outputs = {
            "evaluation": [
                artifact(
                    standard_artifacts.ModelEvaluation, folder / f"evaluation-{number}"
                )
            ],
            "blessing": [
                artifact(
                    standard_artifacts.ModelBlessing, folder / f"blessing-{number}"
                )
            ],
        }
        component = Evaluator(
            **{key: channel_utils.as_channel(value) for key, value in inputs.items()},
            config=config_to_text(config),
            gate=gate,
            code_digest="0",
        )
        properties = {
            key: proto_utils.proto_to_json(value)
            if hasattr(value, "DESCRIPTOR")
            else value
            for key, value in component.exec_properties.items()
        }
        context = base_beam_executor.BaseBeamExecutor.Context(
            beam_pipeline_args=list(DEFAULT_BEAM_ARGS),
            tmp_dir=str(folder / "tmp"),
            unique_id="1",
        )
        component.executor_spec.executor_class(context).Do(inputs, outputs, properties)
        (blessing,) = outputs["blessing"]
        return Gate(
            evaluation=outputs["evaluation"][0].uri,
            blessed=model_utils.is_model_blessed(blessing),
            files=frozenset(os.listdir(blessing.uri)),
            properties={**properties, "model": str(model)},
        )

    return run


@dataclass(frozen=True)
class BundleSpec:
    """A bundle to make.

    Attributes:
      scores: of each item by its id, in the order of the vocabulary; the same whatever
        the context.
      num_predictions: K.
      seen: whether the model has the input ``seen_movie_id`` and leaves it out.
    """

    scores: Mapping[int, float]
    num_predictions: int = 3
    seen: bool = False


# Reads the specifications from the standard input: the converter aborts the process
# that it fails in.
CONVERT = """
import json, sys
import tensorflow as tf

for spec in json.load(sys.stdin):
    rows = tf.constant([0.0, 0.0, *spec["scores"]], tf.float32)
    k = spec["num_predictions"]
    floor = tf.float32.min

    class Model(tf.Module):
        def __init__(self):
            super().__init__()
            # Not constant, or the input would be optimised away.
            self.table = tf.Variable(tf.zeros([rows.shape[0], 1]))

        def answer(self, context, seen):
            scores = rows + tf.reduce_sum(tf.gather(self.table, context))
            left_out = tf.reduce_max(tf.one_hot(seen[0], rows.shape[0]), axis=0)
            scores = tf.where(left_out > 0, floor, scores)
            best = tf.math.top_k(scores[2:], k)
            return {
                "top_prediction_ids": best.indices + 2,
                "top_prediction_scores": best.values,
            }

        @tf.function(input_signature=[
            tf.TensorSpec([1, 3], tf.int32, "context_movie_id"),
        ])
        def plain(self, context_movie_id):
            return self.answer(context_movie_id, tf.zeros([1, 1], tf.int32))

        @tf.function(input_signature=[
            tf.TensorSpec([1, 3], tf.int32, "context_movie_id"),
            tf.TensorSpec([1, 4], tf.int32, "seen_movie_id"),
        ])
        def leaving_out(self, context_movie_id, seen_movie_id):
            return self.answer(context_movie_id, seen_movie_id)

    model = Model()
    serve = model.leaving_out if spec["seen"] else model.plain
    saved = spec["path"] + ".saved_model"
    tf.saved_model.save(model, saved, signatures={"serving_default": serve})
    converter = tf.lite.TFLiteConverter.from_saved_model(
        saved, signature_keys=["serving_default"]
    )
    with open(spec["path"], "wb") as file:
        file.write(converter.convert())
"""


@pytest.fixture(scope="session")
def bundle_spec() -> type[BundleSpec]:
    return BundleSpec


@pytest.fixture(scope="session")
def make_bundles() -> Callable[[Mapping[Path, BundleSpec]], None]:
    """Makes bundles, each in the folder that is its key, with one converter."""

    def make(specs: Mapping[Path, BundleSpec]) -> None:
        requests = []
        for folder, spec in specs.items():
            folder.mkdir(parents=True)
            requests.append(
                {
                    "path": str(folder / manifests.MODEL),
                    "scores": list(spec.scores.values()),
                    "num_predictions": spec.num_predictions,
                    "seen": spec.seen,
                }
            )
        subprocess.run(
            [sys.executable, "-c", CONVERT],
            input=json.dumps(requests),
            text=True,
            check=True,
            capture_output=True,
        )
        for folder, spec in specs.items():
            shutil.rmtree(folder / f"{manifests.MODEL}.saved_model")
            _describe(folder, spec)

    return make


def _describe(folder: Path, spec: BundleSpec) -> None:
    (folder / manifests.VOCABULARIES).mkdir()
    terms = "".join(f"{item}\n" for item in spec.scores)
    (folder / manifests.VOCABULARIES / "movie_id.txt").write_text(terms)
    items = [
        {"index": index, "id": str(item), "title": f"Film {item}", "features": {}}
        for index, item in enumerate(spec.scores, 2)
    ]
    lines = "".join(json.dumps(item) + "\n" for item in items)
    (folder / manifests.ITEMS).write_text(lines)
    common = {
        "dtype": "int32",
        "field": "movie_id",
        "feature_type": "INT",
        "multi_valued": False,
        "vocabulary": "movie_id",
        "vocab_size": len(spec.scores) + 2,
    }
    inputs = [
        {
            **common,
            "name": "context_movie_id",
            "length": 3,
            "role": "context",
            "source": "item_id",
        }
    ]
    if spec.seen:
        seen = {"name": "seen_movie_id", "length": 4, "role": "seen", "source": "seen"}
        inputs.append({**common, **seen})
    manifests.write_manifest(
        folder,
        {
            "format_version": manifests.FORMAT_VERSION,
            "name": "tiny",
            "signature": {
                "name": "serving_default",
                "inputs": inputs,
                "outputs": manifests.output_specs(spec.num_predictions),
            },
            "item_field": "movie_id",
            "max_context_length": 3,
            "num_predictions": spec.num_predictions,
            "seen": "TIMELINE" if spec.seen else "KEPT",
            "quantization": "FLOAT32",
        },
    )
