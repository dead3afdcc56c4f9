"""Vocabularies, ids and masks, through TensorFlow Transform itself."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

from components.transform import preprocessing, vocabularies
from configs import features, loader
from configs import recommender_pb2 as pb
from configs.errors import UserError

CONFIG = """
input {
  global_feature_groups {
    features { feature_name: "user_age" feature_type: FLOAT scaling: Z_SCORE }
  }
  activity_feature_groups {
    features { feature_name: "context_item" feature_type: INT vocab_name: "item"
               embedding_dim: 2 feature_length: 3 }
    features { feature_name: "context_score" feature_type: FLOAT feature_length: 3
               scaling: MIN_MAX }
    features { feature_name: "context_shelf" feature_type: INT vocab_size: 9
               embedding_dim: 2 feature_length: 3 }
  }
  activity_feature_groups {
    features { feature_name: "context_genre" embedding_dim: 2 feature_length: 4
               vocab_size: 2 }
  }
  label_feature { feature_name: "label_item" feature_type: INT vocab_name: "item"
                  embedding_dim: 2 }
}
eval { bounds { metric: "hr_1_test" lower_bound: 0.1 } eval_top_k: 1 }
"""

SPEC = {
    "context_length": tf.io.FixedLenFeature([1], tf.int64),
    "user_age": tf.io.FixedLenFeature([1], tf.float32),
    "context_item": tf.io.FixedLenFeature([3], tf.int64),
    "context_score": tf.io.FixedLenFeature([3], tf.float32),
    "context_shelf": tf.io.FixedLenFeature([3], tf.int64),
    "context_genre": tf.io.FixedLenFeature([4], tf.string),
    "context_genre_length": tf.io.FixedLenFeature([1], tf.int64),
    "label_item": tf.io.FixedLenFeature([1], tf.int64),
    "seen_item": tf.io.VarLenFeature(tf.int64),
    "user_id": tf.io.FixedLenFeature([1], tf.string),
    "label_position": tf.io.FixedLenFeature([1], tf.int64),
    "context_timestamp": tf.io.FixedLenFeature([3], tf.int64),
    "unused": tf.io.FixedLenFeature([1], tf.string),
}


def example(
    items: list[int],
    label: int,
    *,
    scores: list[float] | None = None,
    shelves: list[int] | None = None,
    genres: list[str] | None = None,
    age: float = 0.0,
    seen: list[int] | None = None,
) -> dict[str, Any]:
    def padded(values: list[Any], length: int, padding: Any) -> list[Any]:
        return values + [padding] * (length - len(values))

    genres = genres or []
    return {
        "context_length": [len(items)],
        "user_age": [age],
        "context_item": padded(items, 3, 0),
        "context_score": padded(scores or [1.0] * len(items), 3, 0.0),
        "context_shelf": padded(shelves or [1] * len(items), 3, 0),
        "context_genre": padded([g.encode() for g in genres], 4, b""),
        "context_genre_length": [len(genres)],
        "label_item": [label],
        "seen_item": seen or [],
        "user_id": [b"ann"],
        "label_position": [len(items)],
        "context_timestamp": padded([5] * len(items), 3, 0),
        "unused": [b"x"],
    }


# Item 0 is a real item here; -5 too. Padding must not be counted as item 0.
TRAIN = [
    example([7, 7], 7, scores=[2.0, 0.0], genres=["a", "a", "b"], age=20.0),
    example([7, 0, -5], 0, scores=[4.0, 0.0, 3.0], genres=["a", "b"], age=40.0),
    example([0], 7, scores=[0.0], shelves=[8], genres=["c"], age=30.0),
]
CATALOGUE = [example([], label, age=999.0) for label in (0, 7, -5, 11)]


@pytest.fixture(scope="module")
def transformed(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[list[dict[str, Any]], tft.TFTransformOutput]]:
    yield transform(CONFIG, tmp_path_factory.mktemp("transform"))


def transform(
    text: str,
    output: Path,
    rows: list[dict[str, Any]] | None = None,
    batch_size: int | None = None,
) -> tuple[list[dict[str, Any]], tft.TFTransformOutput]:
    config = loader.parse_config(text)
    loader.validate_config(config)
    metadata = dataset_metadata.DatasetMetadata(
        schema_utils.schema_from_feature_spec(SPEC)
    )
    assert isinstance(metadata.schema, schema_pb2.Schema)
    temporary = tempfile.mkdtemp(dir=output)
    with tft_beam.Context(temp_dir=temporary, desired_batch_size=batch_size):
        (rows, _), transform_fn = (
            rows or TRAIN + CATALOGUE,
            metadata,
        ) | tft_beam.AnalyzeAndTransformDataset(
            lambda inputs: preprocessing.preprocess(inputs, config)
        )
        transform_fn | tft_beam.WriteTransformFn(str(output / "graph"))
    return rows, tft.TFTransformOutput(str(output / "graph"))


def test_terms_are_ordered_by_frequency_and_padding_is_none(transformed: Any) -> None:
    _, output = transformed
    # In train and the catalogue: 7 is there 5 + 1 times, 0 3 + 1, -5 1 + 1, 11 0 + 1.
    assert vocabularies.vocabulary_terms(output, "item") == [b"7", b"0", b"-5", b"11"]


def test_context_and_label_share_the_ids(transformed: Any) -> None:
    rows, _ = transformed
    np.testing.assert_array_equal(rows[0]["context_item"], [2, 2, 0])
    np.testing.assert_array_equal(rows[1]["context_item"], [2, 3, 4])
    np.testing.assert_array_equal(rows[2]["context_item"], [3, 0, 0])
    labels = [int(row["label_item"][0]) for row in rows]
    assert labels == [2, 3, 2, 3, 2, 4, 5]


def test_a_capped_vocabulary_leaves_the_rarest_out(transformed: Any) -> None:
    rows, output = transformed
    assert vocabularies.vocabulary_terms(output, "genre") == [b"a", b"b"]
    np.testing.assert_array_equal(rows[0]["context_genre"], [2, 2, 3, 0])
    np.testing.assert_array_equal(rows[2]["context_genre"], [features.OOV_ID, 0, 0, 0])
    genre = loader.parse_config(CONFIG).input.activity_feature_groups[1].features[0]
    assert vocabularies.transformed_feature_rows(genre, output) == 4


def test_analyzed_numbers_ignore_padding_and_the_catalogue(transformed: Any) -> None:
    rows, _ = transformed
    for row in rows:
        # Scores of real steps: 2, 0, 4, 0, 3, 0.
        assert row["context_score_offset"] == pytest.approx([0.0])
        assert row["context_score_scale"] == pytest.approx([0.25])
        assert row["user_age_offset"] == pytest.approx([30.0])
        assert row["user_age_scale"] == pytest.approx([1 / np.sqrt(200 / 3)])
        np.testing.assert_array_equal(row["context_shelf_min"], [1])
        np.testing.assert_array_equal(row["context_shelf_max"], [8])


SCALING = """
input {
  activity_feature_groups {
    features { feature_name: "context_shelf" feature_type: INT vocab_size: 9
               embedding_dim: 2 feature_length: 3 }
    features { feature_name: "context_score" feature_type: FLOAT feature_length: 3
               scaling: Z_SCORE }
  }
  label_feature { feature_name: "label_item" feature_type: INT vocab_size: 9
                  embedding_dim: 2 }
}
eval { bounds { metric: "hr_1_test" lower_bound: 0.1 } }
"""


def test_scaling_does_not_depend_on_how_examples_are_batched(tmp_path: Path) -> None:
    # Beam sizes batches by the clock: what differs here differs from run to run.
    scores = np.random.default_rng(4).uniform(0, 5, (3000, 3)).astype(np.float32)
    rows = [example([7, 7, 7], 7, scores=row.tolist()) for row in scores]
    found = []
    for size in (1000, 7):
        folder = tmp_path / str(size)
        folder.mkdir()
        row = transform(SCALING, folder, rows, batch_size=size)[0][0]
        found.append([row["context_score_offset"][0], row["context_score_scale"][0]])
    assert found[0] == found[1]
    exact = scores.astype(np.float64)
    assert found[0] == pytest.approx([exact.mean(), 1 / exact.std()], rel=1e-6)


def test_a_new_word_is_out_of_vocabulary_in_the_graph(transformed: Any) -> None:
    _, output = transformed
    layer = output.transform_features_layer()
    result = layer(
        {
            "context_length": tf.constant([[2]], tf.int64),
            "context_item": tf.constant([[7, 12345, 7]], tf.int64),
            "context_genre": tf.constant([["never seen", "a", "", ""]]),
            "context_genre_length": tf.constant([[3]], tf.int64),
        }
    )
    # The third item is beyond the context, an empty genre within it is no term.
    np.testing.assert_array_equal(result["context_item"], [[2, 1, 0]])
    np.testing.assert_array_equal(result["context_genre"], [[1, 2, 1, 0]])


def test_raw_columns_are_what_the_signatures_need() -> None:
    config = loader.parse_config(CONFIG)
    serve = preprocessing.raw_columns(config, "serve")
    assert "label_item" not in serve
    assert "seen_item" not in serve
    assert {"context_length", "context_genre_length", "user_age"} <= set(serve)
    config.model.seen = pb.TIMELINE
    evaluate = preprocessing.raw_columns(config, "evaluate")
    assert {"label_item", "seen_item"} <= set(evaluate)
    with pytest.raises(ValueError, match="'train'"):
        preprocessing.raw_columns(config, "train")


def test_a_vocabulary_without_a_term(tmp_path: Path) -> None:
    none = {"context_genre": [b""] * 4, "context_genre_length": [0]}
    rows = [{**row, **none} for row in TRAIN + CATALOGUE]
    _, output = transform(CONFIG, tmp_path, rows)
    with pytest.raises(UserError, match="vocabulary genre of size zero"):
        vocabularies.vocabulary_terms(output, "genre")


def test_vocabularies_can_be_given(tmp_path: Path) -> None:
    folder = tmp_path / "vocabularies"
    folder.mkdir()
    (folder / "item.txt").write_text("11\n7\n")
    (folder / "genre.txt").write_text("b\n")
    text = f'{CONFIG} data {{ build_vocabs: false vocab_dir: "{folder}" }}'
    rows, output = transform(text, tmp_path)
    np.testing.assert_array_equal(rows[1]["context_item"], [3, 1, 1])
    assert vocabularies.vocabulary_terms(output, "item") == [b"11", b"7"]


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "no term"), ("a\nb\na\n", "line 3: 'a' is in line 1 too"), (None, "exist")],
)
def test_given_vocabularies_are_checked(
    tmp_path: Path, content: str | None, message: str
) -> None:
    (tmp_path / "item.txt").write_text("7\n")
    config = loader.parse_config(CONFIG)
    config.data.build_vocabs = False
    config.data.vocab_dir = str(tmp_path)
    if content is not None:
        (tmp_path / "genre.txt").write_text(content)
    with pytest.raises(UserError, match=f"genre.*{message}"):
        vocabularies.check_given(config)
