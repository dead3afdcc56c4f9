"""A small world of activities, cut and transformed once per session."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from components.transform.preprocessing import preprocess
from configs import recommender_pb2 as pb

NUM_ITEMS = 30
LENGTH = 5
GENRE_LENGTH = 8
GENRES = ["Action", "Comedy", "Drama", "War"]
STRINGS = ("context_movie_genre", "label_movie_genre", "user_id")


@dataclass(frozen=True)
class World:
    """Raw and transformed examples, and the graph between them.

    Attributes:
      config: with every feature that the examples have.
      raw: serialized raw tf.Examples by split.
      files: transformed TFRecord files by split.
      transform_output: folder of Transform's graph.
    """

    config: pb.RecommenderConfig
    raw: dict[str, list[bytes]]
    files: dict[str, list[str]]
    transform_output: str


def feature(name: str, kind: int, **knobs: object) -> pb.Feature:
    return pb.Feature(feature_name=name, feature_type=kind, **knobs)


def genres_of(item: int) -> list[str]:
    return [GENRES[item % 4]] + (["Drama"] if item % 3 == 0 else [])


@pytest.fixture(scope="session")
def vocabulary_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Items by vocabulary, genres, ratings (Z_SCORE) and a global float."""
    ids = {"vocab_name": "movie_id"}
    return make_world(world_config(ids), tmp_path_factory.mktemp("vocabulary"))


@pytest.fixture(scope="session")
def raw_id_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Items by their raw ids, of which 31 to 39 are no items."""
    ids = {"vocab_size": 40}
    return make_world(world_config(ids), tmp_path_factory.mktemp("raw_ids"))


def world_config(ids: dict[str, object]) -> pb.RecommenderConfig:
    config = pb.RecommenderConfig(name="tiny")
    group = config.input.activity_feature_groups.add(encoder_type=pb.BOW)
    group.features.append(
        feature(
            "context_movie_id", pb.INT, embedding_dim=8, feature_length=LENGTH, **ids
        )
    )
    group.features.append(
        feature(
            "context_movie_rating", pb.FLOAT, feature_length=LENGTH, scaling=pb.Z_SCORE
        )
    )
    genres = config.input.activity_feature_groups.add(encoder_type=pb.CNN)
    genres.features.append(
        feature(
            "context_movie_genre",
            pb.STRING,
            embedding_dim=4,
            feature_length=GENRE_LENGTH,
        )
    )
    user = config.input.global_feature_groups.add()
    user.features.append(feature("user_age", pb.FLOAT, scaling=pb.MIN_MAX))
    config.input.label_feature.CopyFrom(
        feature("label_movie_id", pb.INT, embedding_dim=8, **ids)
    )
    config.input.label_item_features.append(
        feature("label_movie_genre", pb.STRING, embedding_dim=4, feature_length=2)
    )
    config.model.hidden_layer_dims.append(16)
    config.model.num_predictions = 12
    config.model.max_seen_length = 20
    config.model.seen = pb.TIMELINE
    config.train.batch_size = 64
    config.train.learning_rate = 0.01
    config.train.num_epochs = 3
    config.train.early_stopping_patience = 0
    config.eval.bounds.add(metric="hr_10_test", lower_bound=0.01)
    return config


def timelines() -> list[list[int]]:
    """Users walk along the items in steps of 1, sometimes of 2: a strong habit."""
    rng = np.random.default_rng(5)
    result = []
    for _ in range(40):
        item, length = int(rng.integers(NUM_ITEMS)), int(rng.integers(6, 20))
        line = []
        for _ in range(length):
            line.append(item + 1)
            item = (item + (1 if rng.random() < 0.8 else 2)) % NUM_ITEMS
        result.append(line)
    return result


def raw_rows() -> dict[str, list[dict[str, object]]]:
    splits: dict[str, list[dict[str, object]]] = {
        "train": [],
        "eval": [],
        "test": [],
        "catalogue": [],
    }
    for user, line in enumerate(timelines()):
        for position in range(1, len(line)):
            behind = len(line) - 1 - position
            split = {0: "test", 1: "eval"}.get(behind, "train")
            history = line[:position]
            row = raw_row(history[-LENGTH:], line[position], float(20 + user))
            row |= {"user_id": [f"user {user}"], "label_position": [position]}
            if split != "train":
                row["seen_movie_id"] = history
            splits[split].append(row)
    for item in range(1, NUM_ITEMS + 1):
        splits["catalogue"].append(raw_row([], item, 0.0))
    return splits


def raw_row(context: list[int], label: int, age: float) -> dict[str, object]:
    genres = [g for item in context for g in genres_of(item)][-GENRE_LENGTH:]
    own = genres_of(label)
    steps = len(context)
    return {
        "context_movie_id": context + [0] * (LENGTH - steps),
        "context_movie_rating": [float(i % 5 + 1) for i in context]
        + [0.0] * (LENGTH - steps),
        "context_movie_genre": genres + [""] * (GENRE_LENGTH - len(genres)),
        "context_movie_genre_length": [len(genres)],
        "context_length": [steps],
        "user_age": [age],
        "label_movie_id": [label],
        "label_movie_genre": own + [""] * (2 - len(own)),
        "label_movie_genre_length": [len(own)],
        "context_timestamp": [100 + i // 2 for i in range(steps)]
        + [0] * (LENGTH - steps),
        "label_position": [0],
        "user_id": [""],
        "seen_movie_id": [],
    }


def serialize(row: dict[str, object]) -> bytes:
    import tensorflow as tf

    example = tf.train.Example()
    for name, values in row.items():
        target = example.features.feature[name]
        if "rating" in name or "age" in name:
            target.float_list.value.extend(values)
        elif name in STRINGS:
            target.bytes_list.value.extend(v.encode() for v in values)
        else:
            target.int64_list.value.extend(values)
    return example.SerializeToString()


def make_world(config: pb.RecommenderConfig, folder: Path) -> World:
    import tensorflow as tf
    import tensorflow_transform as tft
    import tensorflow_transform.beam as tft_beam
    from google.protobuf import text_format
    from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

    kinds = {"context_movie_rating": tf.float32, "user_age": tf.float32}
    splits = raw_rows()
    spec = {
        name: tf.io.FixedLenFeature(
            [len(values)], tf.string if name in STRINGS else kinds.get(name, tf.int64)
        )
        for name, values in splits["train"][0].items()
        if name != "seen_movie_id"
    }
    spec["seen_movie_id"] = tf.io.VarLenFeature(tf.int64)
    metadata = dataset_metadata.DatasetMetadata(
        schema_utils.schema_from_feature_spec(spec)
    )
    output = str(folder / "transform")
    with tft_beam.Context(temp_dir=tempfile.mkdtemp(dir=folder)):
        analyzed = [*splits["train"], *splits["catalogue"]]
        function = (analyzed, metadata) | tft_beam.AnalyzeDataset(
            lambda inputs: preprocess(inputs, config)
        )
        function | tft_beam.WriteTransformFn(output)
    # TFX's Transform writes the raw schema beside the graph too.
    raw_metadata = folder / "transform" / tft.TFTransformOutput.RAW_METADATA_DIR
    raw_metadata.mkdir()
    schema = text_format.MessageToString(metadata.schema)
    (raw_metadata / "schema.pbtxt").write_text(schema)
    transform = tft.TFTransformOutput(output)
    raw = {split: [serialize(row) for row in rows] for split, rows in splits.items()}
    layer = transform.transform_features_layer()
    files = {}
    for split, examples in raw.items():
        columns = layer(tf.io.parse_example(examples, transform.raw_feature_spec()))
        path = folder / f"{split}-00000-of-00001.gz"
        write_transformed(columns, len(examples), str(path))
        files[split] = [str(path)]
    return World(config, raw, files, output)


def write_transformed(columns: dict, count: int, path: str) -> None:
    import tensorflow as tf

    arrays = {}
    for name, column in columns.items():
        if isinstance(column, tf.SparseTensor):
            arrays[name] = tf.RaggedTensor.from_sparse(column).to_list()
        else:
            arrays[name] = column.numpy().tolist()
    with tf.io.TFRecordWriter(path, "GZIP") as writer:
        for row in range(count):
            example = tf.train.Example()
            for name, column in arrays.items():
                target = example.features.feature[name]
                values = column[row]
                if columns[name].dtype == tf.float32:
                    target.float_list.value.extend(values)
                elif columns[name].dtype == tf.string:
                    target.bytes_list.value.extend(values)
                else:
                    target.int64_list.value.extend(values)
            writer.write(example.SerializeToString())
