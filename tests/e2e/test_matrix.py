"""Encoders x {ids, ids and features, features}, from the configuration alone.

Each runs through to a pushed bundle whose .tflite agrees with its SavedModel.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components.evaluator.top_k_rank import FLOOR
from components.tflite_converter.raw_examples import raw_columns
from configs import features, loader
from configs import recommender_pb2 as pb
from pocketrec_device import Recommender
from pocketrec_device.features import tensors_from_example
from tests.e2e.commands import ROOT

pytestmark = pytest.mark.e2e

CONFIG = """
name: "matrix"
input {
  activity_feature_groups {
    features { feature_name: "context_movie_id" feature_type: INT
               vocab_name: "movie_id" embedding_dim: 8 feature_length: 6 }
    encoder_type: BOW
  }
  activity_feature_groups {
    features { feature_name: "context_movie_year" feature_type: INT
               vocab_name: "movie_year" embedding_dim: 4 feature_length: 6 }
    features { feature_name: "context_movie_rating" feature_type: FLOAT
               feature_length: 6 scaling: Z_SCORE }
    encoder_type: BOW
  }
  activity_feature_groups {
    features { feature_name: "context_movie_genre" embedding_dim: 4
               feature_length: 12 }
    encoder_type: BOW
  }
  label_feature { feature_name: "label_movie_id" feature_type: INT
                  vocab_name: "movie_id" embedding_dim: 8 }
  label_item_features { feature_name: "label_movie_year" feature_type: INT
                        vocab_name: "movie_year" embedding_dim: 4 }
  label_item_features { feature_name: "label_movie_genre" embedding_dim: 4
                        feature_length: 4 }
}
model { hidden_layer_dims: 16 lstm_num_units: 8 num_predictions: 20 }
train { num_epochs: 2 batch_size: 64 learning_rate: 0.01 }
eval {
  bounds { metric: "hr_10_test" lower_bound: 0.001 }
  # Hardly trained, it recommends few.
  bounds { metric: "distinct_items" lower_bound: 1 }
  bounds { metric: "first_item_share" upper_bound: 1 }
}
"""
FEATURE_SETS = ("ids", "ids and features", "features")
# Those beyond the original three meet all kinds of features once; their layers have
# tests of their own.
ENCODERS = {
    "ids": ("BOW", "CNN", "LSTM"),
    "ids and features": tuple(pb.EncoderType.keys()),
    "features": ("BOW", "CNN", "LSTM"),
}
CELLS = [(name, encoder) for name in FEATURE_SETS for encoder in ENCODERS[name]]
SEEN = {"ids": "TIMELINE", "ids and features": "CONTEXT", "features": "KEPT"}


def make_config(feature_set: str, encoder: str) -> pb.RecommenderConfig:
    config = loader.parse_config(CONFIG)
    if feature_set == "ids":
        del config.input.activity_feature_groups[1:]
        del config.input.label_item_features[:]
    elif feature_set == "features":
        del config.input.activity_feature_groups[0]
        config.input.label_id_embedding = False
    for group in config.input.activity_feature_groups:
        group.encoder_type = pb.EncoderType.Value(encoder)
    loader.apply_override(config, f"model.seen={SEEN[feature_set]}")
    loader.validate_config(config)
    return config


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One folder for the encoders of a feature set: they share all but the training."""
    return {
        name: tmp_path_factory.mktemp(name.replace(" ", "_")) for name in FEATURE_SETS
    }


@pytest.mark.parametrize(("feature_set", "encoder"), CELLS)
def test_it_runs_through_to_a_bundle_that_agrees_with_its_model(
    feature_set: str, encoder: str, outputs: dict[str, Path], tiny_data: Path
) -> None:
    output = outputs[feature_set]
    config = make_config(feature_set, encoder)
    states = run_through(config, tiny_data, output, output / f"push_{encoder}")
    if encoder != ENCODERS[feature_set][0]:
        # How features are encoded is no business of the steps before training.
        assert states["Transform"] == states["TimelineExampleGen"] == "cached"
    assert states["Trainer"] == states["TFLiteConverter"] == "complete"


DEEP = [
    "input.activity_feature_groups.0.encoder_type=GRU",
    "input.tie_item_embeddings=true",
    "input.label_value_feature.feature_name=label_movie_rating",
    "input.label_value_feature.feature_type=FLOAT",
    "model.seen=TIMELINE",
    "model.dropout=0.2",
    "model.layer_norm=true",
    "model.gru_num_layers=2",
    "model.cross_num_layers=1",
    "model.cross_rank=4",
    "model.ranking_num_candidates=30",
    "train.targets=EVERY_POSITION",
    "train.leave_out_seen=true",
    "train.loss=SAMPLED_SOFTMAX",
    "train.label_smoothing=0.1",
    "train.value_loss_weight=0.5",
    "train.weight_decay=0.01",
    "train.num_epochs=4",
]


def test_all_that_a_model_may_have_runs_through(
    tiny_data: Path, tmp_path: Path
) -> None:
    config = loader.parse_config(CONFIG)
    # Genres are not aligned here, so they have no every position.
    del config.input.activity_feature_groups[2]
    for override in DEEP:
        loader.apply_override(config, override)
    loader.validate_config(config)
    run_through(config, tiny_data, tmp_path, tmp_path / "push")


@pytest.mark.parametrize("name", ["id_only", "feature_based", "global_groups"])
def test_the_original_format_runs_through(
    name: str, tiny_data: Path, tmp_path: Path
) -> None:
    """Bare input configurations, whose ids are those of the logs."""
    config = loader.load_config(
        ROOT / "tests" / "configs" / "testdata" / f"{name}_input.pbtxt",
        ["train.num_epochs=1", "model.num_predictions=20"],
    )
    run_through(config, tiny_data, tmp_path, tmp_path / "push")


def run_through(
    config: pb.RecommenderConfig, data: Path, output: Path, push: Path
) -> dict[str, str]:
    """Runs the pipeline to a first version that agrees; states by component."""
    from components.timeline_example_gen.fingerprint import data_fingerprint
    from pipeline import local_runner, summary

    run = local_runner.run(
        config,
        data,
        output,
        str(push),
        data_fingerprint(config, str(data)),
        echo=lambda line: None,
    )
    result = summary.summarize(config, run)
    assert result.is_current, result.lines
    assert (push / "CURRENT").read_text() == "1\n"
    examples = run.uri("TimelineExampleGen", "examples")
    check_agreement(config, push / "versions" / "1", examples)
    return {node.node: node.state for node in run.nodes}


def check_agreement(config: pb.RecommenderConfig, version: Path, examples: str) -> None:
    """The .tflite answers what the SavedModel answers, on every test example."""
    recommender = Recommender(version / "bundle")
    bundle = recommender.bundle
    model = tf.saved_model.load(str(version / "training" / "saved_model"))
    recommend = model.signatures["serving_default"]
    files = sorted(Path(examples, "Split-test").iterdir())
    serialized = list(
        tf.data.TFRecordDataset(list(map(str, files)), "GZIP").as_numpy_iterator()
    )
    assert len(serialized) == 60
    answer = recommend(examples=tf.constant(serialized))
    item_of = {item.index: item.id for item in bundle.items.values()}
    for row, text in enumerate(serialized):
        columns = raw_columns(text)
        indices, scores = recommender.predict(
            tensors_from_example(bundle.inputs, columns, bundle.vocabularies)
        )
        ids = answer["top_prediction_ids"][row].numpy()
        expected = answer["top_prediction_scores"][row].numpy()
        np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-4)
        first = features.FIRST_TERM_ID
        if not features.has_vocabulary(config.input.label_feature):
            first = features.PADDING_ID + 1
        assert min(indices) >= first
        # Items that tie, as those of the same features do, may change places.
        score_of = dict(zip(ids, expected, strict=True))
        for index, score in zip(indices[:10], scores[:10], strict=True):
            assert score == pytest.approx(score_of[index], rel=1e-4, abs=1e-4)
        kept = {
            item_of[index]
            for index, score in zip(indices, scores, strict=True)
            if score > FLOOR
        }
        length = columns["context_length"][0]
        had = {
            pb.KEPT: [],
            pb.CONTEXT: columns["context_movie_id"][:length],
            pb.TIMELINE: columns["seen_movie_id"],
        }[config.model.seen]
        assert len(kept) >= 10
        assert not kept & set(map(str, had))
