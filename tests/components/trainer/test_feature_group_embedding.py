"""Aligned features, buckets, and what the converter makes of both."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from components.tflite_converter.convert import convert
from components.trainer.export import device_inputs, export_device_model
from components.trainer.feature_group_embedding import FeatureGroupEmbedding, bucket_of
from components.trainer.label_encoder import LabelEncoder
from components.trainer.recommendation_model import ModelInputs
from components.trainer.trainer import build_model
from configs import recommender_pb2 as pb

IDS = pb.Feature(
    feature_name="context_movie_id",
    feature_type=pb.INT,
    vocab_name="movie_id",
    embedding_dim=3,
    feature_length=3,
)
GENRE = pb.Feature(
    feature_name="context_genre", embedding_dim=4, feature_length=3, values_per_step=2
)
GAP = pb.Feature(
    feature_name="context_gap",
    feature_type=pb.FLOAT,
    embedding_dim=2,
    feature_length=3,
    bucket_boundaries=[60.0, 3600.0],
)
YEAR = pb.Feature(
    feature_name="label_year", feature_type=pb.FLOAT, embedding_dim=2, num_buckets=3
)
ROWS = {"context_movie_id": 10, "context_genre": 6}


def test_a_step_is_the_mean_of_its_own_ids() -> None:
    embed = FeatureGroupEmbedding(pb.FeatureGroup(features=[GENRE]), ROWS)
    values, mask = embed({"context_genre": np.array([[2, 5, 0, 0, 3, 0]], np.int32)})
    table = embed.weights[0].numpy()
    assert values.shape == (1, 3, 4)
    np.testing.assert_allclose(values[0, 0], (table[2] + table[5]) / 2, rtol=1e-6)
    np.testing.assert_array_equal(values[0, 1], np.zeros(4))
    np.testing.assert_allclose(values[0, 2], table[3], rtol=1e-6)
    np.testing.assert_array_equal(mask, [[1, 0, 1]])
    assert embed.width == 4


def test_an_aligned_feature_beside_others() -> None:
    group = pb.FeatureGroup(features=[IDS, GENRE, GAP])
    embed = FeatureGroupEmbedding(group, ROWS)
    columns = {
        "context_movie_id": np.array([[7, 8, 0], [7, 0, 0]], np.int64),
        "context_genre": np.array([[2, 0, 0, 0, 0, 0], [2, 3, 0, 4, 0, 0]], np.int64),
        "context_gap": np.array([[0.0, 60.0, 9.0], [1e9, 59.99, 0.0]], np.float32),
    }
    values, mask = embed(columns)
    assert values.shape == (2, 3, embed.width) == (2, 3, 9)
    # The genre of the second example's second step makes it real.
    np.testing.assert_array_equal(mask, [[1, 1, 0], [1, 1, 0]])
    buckets = embed.tables["context_gap"].numpy()
    assert buckets.shape == (3, 2)
    np.testing.assert_array_equal(values[0, :2, 7:], buckets[[0, 1]])
    np.testing.assert_array_equal(values[1, :2, 7:], buckets[[2, 0]])
    np.testing.assert_array_equal(values[:, 2], np.zeros((2, 9)))


def test_raw_ids_outside_the_table_are_no_value_of_a_step() -> None:
    shelf = pb.Feature(
        feature_name="context_shelf",
        feature_type=pb.INT,
        vocab_size=5,
        embedding_dim=2,
        feature_length=1,
        values_per_step=3,
    )
    embed = FeatureGroupEmbedding(
        pb.FeatureGroup(features=[shelf]), {"context_shelf": 5}
    )
    values, mask = embed({"context_shelf": np.array([[5, 4, -1], [9, 9, 9]])})
    np.testing.assert_array_equal(values[0, 0], embed.weights[0][4])
    np.testing.assert_array_equal(mask, [[1], [0]])


@pytest.mark.parametrize(
    ("value", "bucket"), [(-1e30, 0), (0.99, 0), (1.0, 1), (2.5, 2), (4.0, 4), (9.0, 4)]
)
def test_a_boundary_lies_in_the_bucket_above_it(value: float, bucket: int) -> None:
    # The third bucket of quantiles that are the same is empty.
    boundaries = np.array([1.0, 2.0, 4.0, 4.0], np.float32)
    found = bucket_of(tf.constant([[value]]), boundaries)
    assert found.dtype == tf.int32
    assert found.numpy().tolist() == [[bucket]]


def test_items_have_buckets_too() -> None:
    label = pb.Feature(feature_name="label_movie_id", embedding_dim=3)
    encode = LabelEncoder(
        label,
        {"label_movie_id": 4},
        [YEAR],
        {"label_year": np.array([[0], [1977], [1990], [1991]], np.float32)},
        id_embedding=False,
        boundaries={"label_year": np.array([1980, 1990], np.float32)},
    )
    vectors = encode.catalogue().numpy()
    assert vectors.shape == (4, 3)
    np.testing.assert_array_equal(vectors[0], vectors[1])
    np.testing.assert_array_equal(vectors[2], vectors[3])
    assert np.abs(vectors[1] - vectors[2]).max() > 1e-6


@pytest.mark.parametrize("encoder", pb.EncoderType.keys())
def test_the_converted_model_agrees(encoder: str, tmp_path: Path) -> None:
    config = pb.RecommenderConfig()
    group = config.input.activity_feature_groups.add()
    group.encoder_type = pb.EncoderType.Value(encoder)
    group.features.extend([IDS, GENRE, GAP])
    age = config.input.global_feature_groups.add().features.add(
        feature_name="user_age", feature_type=pb.FLOAT, embedding_dim=2, num_buckets=4
    )
    config.input.label_feature.CopyFrom(IDS)
    config.input.label_feature.feature_name = "label_movie_id"
    config.input.label_feature.feature_length = 1
    config.input.label_item_features.append(YEAR)
    config.model.num_predictions = 6
    years = np.arange(1980, 1990, dtype=np.float32)[:, None]
    inputs = ModelInputs(
        rows=ROWS | {"label_movie_id": 10},
        candidates=np.arange(10) > 1,
        item_values={"label_year": years},
        boundaries={
            age.feature_name: np.array([18, 30, 50], np.float32),
            "label_year": np.array([1983, 1986], np.float32),
        },
    )
    keras.utils.set_random_seed(2)
    model = build_model(config, inputs)
    saved = tmp_path / "saved"
    export_device_model(model, config, inputs, str(saved))
    convert(saved, tmp_path / "model.tflite", pb.FLOAT32, tmp_path / "log.txt", 300)
    interpreter = Interpreter(str(tmp_path / "model.tflite"))
    run = interpreter.get_signature_runner("serving_default")
    assert device_inputs(config)["context_genre"].shape == (1, 6)
    signature = tf.saved_model.load(str(saved)).signatures["serving_default"]
    scores = []
    for gap in (0.0, 59.0, 60.0, 1e6):
        columns = {
            "context_movie_id": np.array([[7, 8, 0]], np.int32),
            "context_genre": np.array([[2, 5, 0, 3, 0, 0]], np.int32),
            "context_gap": np.array([[0.0, gap, 0.0]], np.float32),
            "user_age": np.array([[30.0]], np.float32),
        }
        ours = signature(**{k: tf.constant(v) for k, v in columns.items()})
        theirs = run(**columns)
        for name, value in ours.items():
            np.testing.assert_allclose(theirs[name], value, atol=1e-5)
        scores.append(sorted(theirs["top_prediction_scores"]))
    # Gaps of one bucket are the same to the model, of others they are not.
    np.testing.assert_array_equal(scores[0], scores[1])
    assert np.abs(np.subtract(scores[1], scores[2])).max() > 1e-4
    assert np.abs(np.subtract(scores[2], scores[3])).max() > 1e-4
    operators = {op["op_name"] for op in interpreter._get_ops_details()}
    assert not [name for name in operators if "Flex" in name or "CUSTOM" in name]
