"""Aligned features and buckets, through TensorFlow Transform itself."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

from components.tflite_converter import manifest
from components.transform import preprocessing, vocabularies
from configs import features, loader
from configs import recommender_pb2 as pb
from pocketrec_device.features import InputSpec, tensors_from_example

CONFIG = """
input {
  activity_feature_groups {
    features { feature_name: "context_item" feature_type: INT vocab_name: "item"
               embedding_dim: 2 feature_length: 3 }
    features { feature_name: "context_genre" embedding_dim: 2 feature_length: 3
               values_per_step: 2 }
    features { feature_name: "context_shelf" feature_type: INT vocab_size: 9
               embedding_dim: 2 feature_length: 3 values_per_step: 2 }
    features { feature_name: "context_score" feature_type: FLOAT feature_length: 3
               embedding_dim: 2 num_buckets: 4 }
    features { feature_name: "context_gap" feature_type: FLOAT feature_length: 3
               embedding_dim: 2 bucket_boundaries: 60 bucket_boundaries: 3600 }
  }
  label_feature { feature_name: "label_item" feature_type: INT vocab_name: "item"
                  embedding_dim: 2 }
}
data { derived_fields { field: "gap" derivation: GAP } }
eval { bounds { metric: "hr_1_test" lower_bound: 0.1 } eval_top_k: 1 }
"""
KINDS = {
    "context_item": {"source": "item_id", "multi_valued": False},
    "context_genre": {"source": "item", "multi_valued": True},
    "context_shelf": {"source": "item", "multi_valued": True},
    "context_score": {"source": "value", "multi_valued": False},
    "context_gap": {"source": "gap", "multi_valued": False},
}
SPEC = {
    "user_id": tf.io.FixedLenFeature([1], tf.string),
    "label_position": tf.io.FixedLenFeature([1], tf.int64),
    "context_length": tf.io.FixedLenFeature([1], tf.int64),
    "context_timestamp": tf.io.FixedLenFeature([3], tf.int64),
    "context_item": tf.io.FixedLenFeature([3], tf.int64),
    "context_genre": tf.io.FixedLenFeature([6], tf.string),
    "context_genre_step_lengths": tf.io.FixedLenFeature([3], tf.int64),
    "context_shelf": tf.io.FixedLenFeature([6], tf.int64),
    "context_shelf_step_lengths": tf.io.FixedLenFeature([3], tf.int64),
    "context_score": tf.io.FixedLenFeature([3], tf.float32),
    "context_gap": tf.io.FixedLenFeature([3], tf.float32),
    "label_item": tf.io.FixedLenFeature([1], tf.int64),
    "seen_item": tf.io.VarLenFeature(tf.int64),
}


def example(steps: list[tuple[Any, ...]], label: int) -> dict[str, Any]:
    """Of steps (item, genres, shelves, score, gap)."""

    def padded(values: list[Any], length: int, padding: Any) -> list[Any]:
        return values + [padding] * (length - len(values))

    def slots(values: list[list[Any]], padding: Any) -> list[Any]:
        return [v for own in padded(values, 3, []) for v in padded(own, 2, padding)]

    items, genres, shelves, scores, gaps = (
        [list(column) for column in zip(*steps, strict=True)] if steps else [[]] * 5
    )
    return {
        "user_id": [b"u"],
        "label_position": [len(steps)],
        "context_length": [len(steps)],
        "context_timestamp": padded([7] * len(steps), 3, 0),
        "context_item": padded(items, 3, 0),
        "context_genre": slots(genres, b""),
        "context_genre_step_lengths": padded([len(g) for g in genres], 3, 0),
        "context_shelf": slots(shelves, 0),
        "context_shelf_step_lengths": padded([len(s) for s in shelves], 3, 0),
        "context_score": padded(scores, 3, 0.0),
        "context_gap": padded(gaps, 3, 0.0),
        "label_item": [label],
        "seen_item": [],
    }


# An empty genre, and the shelf 0, are real where the lengths say so.
TRAIN = [
    example(
        [(7, [b"a", b"b"], [1], 1.0, 0.0), (8, [], [0, 3], 2.0, 59.0)],
        7,
    ),
    example(
        [
            (7, [b"a"], [], 3.0, 60.0),
            (8, [b""], [2], 4.0, 3600.0),
            (7, [b"a", b"c"], [8, 8], 0.0, 1e7),
        ],
        8,
    ),
]
CATALOGUE = [example([], item) for item in (7, 8)]


def transform(
    output: Path,
    rows: list[dict[str, Any]],
    text: str = CONFIG,
    batch_size: int | None = None,
) -> tuple[list[dict[str, Any]], tft.TFTransformOutput]:
    config = parsed(text)
    metadata = dataset_metadata.DatasetMetadata(
        schema_utils.schema_from_feature_spec(SPEC)
    )
    temporary = tempfile.mkdtemp(dir=output)
    with tft_beam.Context(temp_dir=temporary, desired_batch_size=batch_size):
        (rows, _), transform_fn = (
            rows,
            metadata,
        ) | tft_beam.AnalyzeAndTransformDataset(
            lambda inputs: preprocessing.preprocess(inputs, config)
        )
        transform_fn | tft_beam.WriteTransformFn(str(output / "graph"))
    return rows, tft.TFTransformOutput(str(output / "graph"))


def parsed(text: str = CONFIG) -> pb.RecommenderConfig:
    config = loader.parse_config(text)
    loader.validate_config(config)
    return config


@pytest.fixture(scope="module")
def transformed(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[list[dict[str, Any]], tft.TFTransformOutput]:
    return transform(tmp_path_factory.mktemp("transform"), TRAIN + CATALOGUE)


def test_ids_of_aligned_features_stay_in_their_step(transformed: Any) -> None:
    rows, output = transformed
    assert vocabularies.vocabulary_terms(output, "genre") == [b"a", b"c", b"b"]
    np.testing.assert_array_equal(rows[0]["context_genre"], [2, 4, 0, 0, 0, 0])
    np.testing.assert_array_equal(rows[1]["context_genre"], [2, 0, 1, 0, 2, 3])
    np.testing.assert_array_equal(rows[0]["context_shelf"], [1, 0, 0, 3, 0, 0])
    np.testing.assert_array_equal(rows[1]["context_shelf"], [0, 0, 2, 0, 8, 8])
    for row in rows:
        np.testing.assert_array_equal(row["context_shelf_min"], [0])
        np.testing.assert_array_equal(row["context_shelf_max"], [8])


def test_boundaries_are_quantiles_of_what_is_real(transformed: Any) -> None:
    rows, _ = transformed
    for row in rows:
        # Of the scores 0, 1, 2, 3 and 4.
        np.testing.assert_array_equal(row["context_score_boundaries"], [1, 2, 3])
        assert row["context_score_boundaries"].dtype == np.float32
        assert "context_gap_boundaries" not in row
    np.testing.assert_array_equal(rows[1]["context_score"], [3, 4, 0])


def test_the_device_makes_the_same_tensors_of_examples(transformed: Any) -> None:
    rows, output = transformed
    config = parsed()
    sizes = {
        f.feature_name: vocabularies.transformed_feature_rows(f, output)
        for f in features.all_features(config)
        if features.is_categorical(f)
    }
    inputs = [InputSpec(**spec) for spec in manifest.input_specs(config, sizes, KINDS)]
    ids = {
        name: {
            term: index
            for index, term in enumerate(vocabularies.vocabulary_terms(output, name), 2)
        }
        for name in ("item", "genre")
    }
    for raw, row in zip(TRAIN, rows[: len(TRAIN)], strict=True):
        tensors = tensors_from_example(inputs, raw, ids)
        assert len(tensors) == 5
        for name, tensor in tensors.items():
            np.testing.assert_array_equal(tensor[0], row[name], err_msg=name)


def test_raw_columns_have_the_lengths_of_steps() -> None:
    columns = preprocessing.raw_columns(parsed(), "serve")
    assert "context_genre_step_lengths" in columns
    assert "context_genre_length" not in columns


BUCKETS = """
input {
  activity_feature_groups {
    features { feature_name: "context_item" feature_type: INT vocab_size: 9
               embedding_dim: 2 feature_length: 3 }
    features { feature_name: "context_score" feature_type: FLOAT feature_length: 3
               embedding_dim: 2 num_buckets: 4 }
  }
  label_feature { feature_name: "label_item" feature_type: INT vocab_size: 9
                  embedding_dim: 2 }
}
eval { bounds { metric: "hr_1_test" lower_bound: 0.1 } }
"""


def test_boundaries_do_not_depend_on_how_examples_are_batched(tmp_path: Path) -> None:
    # Beam sizes batches by the clock: what differs here differs from run to run.
    scores = np.random.default_rng(4).lognormal(8, 4, (2000, 3)).astype(np.float32)
    rows = [
        example([(7, [b"a"], [1], score, 0.0) for score in row], 7)
        for row in scores.tolist()
    ]
    found = []
    for size in (1000, 20):
        folder = tmp_path / str(size)
        folder.mkdir()
        row = transform(folder, rows, BUCKETS, batch_size=size)[0][0]
        found.append(row["context_score_boundaries"])
    np.testing.assert_array_equal(found[0], found[1])
    quartiles = np.quantile(scores, [0.25, 0.5, 0.75])
    np.testing.assert_allclose(found[0], quartiles, rtol=2e-2)
